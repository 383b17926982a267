package muc_test

import (
	"strings"
	"testing"

	"confab/muc"
	"confab/xmpp"
)

// FuzzRequests has an owner and somebody else send whatever may be in a request, a presence or a message.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{
		"<iq type='set' id='1'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='juliet' role='none'><reason>x</reason></item><item jid='alice@example.com' affiliation='owner'/></query></iq>",
		"<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query></iq>",
		configured(cave, "membersonly=1", "whois=anyone", "maxusers=none", "roomowners=juliet@example.com", "presencebroadcast=none"),
		"<iq type='set' id='1'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='a@b'/></query></iq>",
		"<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>",
		"<iq type='set' id='1'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='muc#register_roomnick'><value>x</value></field></x></query></iq>",
		"<iq type='set' id='1'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='with'><value>cave@conference.example.com/juliet</value></field></x></query></iq>",
		"<iq type='result' id='0123456789abcdef1'/>",
		"<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><after>x</after></set></query></iq>",
		"<presence><x xmlns='http://jabber.org/protocol/muc'><history seconds='1' since='2024-01-01T00:00:00Z'/><password>x</password></x></presence>",
		"<presence type='error'><error><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
		"<message><x xmlns='http://jabber.org/protocol/muc#user'><invite to='alice@example.com'><continue thread='x'/></invite><decline to='a@b'/></x></message>",
		"<message><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field><field var='muc#request_allow'><value>1</value></field></x></message>",
		"<message><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field><field var='x-person'><value>juliet@example.com</value></field><field var='muc#register_roomnick'><value>j</value></field><field var='muc#register_allow'><value>1</value></field></x></message>",
		"<iq type='set' id='1'><vCard xmlns='vcard-temp'><PHOTO><TYPE>image/svg+xml</TYPE><BINVAL>PHN2Zy8+</BINVAL></PHOTO></vCard></iq>",
		"<iq type='get' id='1'><vCard xmlns='vcard-temp'/></iq>",
		"<iq type='get' id='1'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub></iq>",
		"<message type='groupchat'><subject xml:lang='en'>x</subject><delay xmlns='urn:xmpp:delay' from='cave@conference.example.com'/></message>",
	} {
		for _, to := range []string{"", "/juliet", "/nobody"} {
			f.Add(s, to)
		}
	}
	f.Fuzz(func(t *testing.T, stanza, below string) {
		st, err := xmpp.Parse([]byte(stanza))
		if err != nil || st.Kind == xmpp.KindOther {
			t.Skip()
		}
		n := st.Node()
		n.SetAttr("to", cave+below)
		if _, err := xmpp.ParseJID(cave + below); err != nil {
			t.Skip()
		}
		h := newHouse(t, muc.Options{MayCreate: everybody})
		all := cast(t, h, cave, []string{"persistentroom=1"}, "romeo@example.com/orchard", "juliet@example.com/balcony")
		for _, p := range []int{1, 0} {
			all[p].Sends(string(n.Append(nil)))
		}
		for _, p := range all {
			canonical(t, heard(t, p)) // what others hear is well-formed
		}
		if s := h.Logged(); strings.Contains(s, "panic") {
			t.Fatal(s)
		}
		// The room is still to be read, from the disk too.
		if _, _, err := h.Show(xmpp.MustJID(cave)); err != nil {
			t.Fatal(err)
		}
	})
}
