package muc_test

import (
	"testing"

	"confab/muc"
)

func presence(from, to, x string) string {
	return "<presence from='" + from + "' to='" + to + "'><x xmlns='http://jabber.org/protocol/muc#user'>" + x + "</x><o/></presence>"
}

func TestJoinAlias(t *testing.T) {
	a := newAlias("romeo", "juliet")
	a.members[1].Affiliation = muc.Admin
	h := openHouse(t, t.TempDir(), muc.Options{}, a)
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	romeo.Sends("<presence to='" + sales + "/romeo'>" + mucX + "</presence>")
	hears(t, romeo,
		presence(sales+"/romeo", "romeo@example.com/orchard", "<item affiliation='member' role='participant' jid='romeo@example.com/orchard'/><status code='110'/><status code='170'/>"),
		"<message from='"+sales+"' to='romeo@example.com/orchard' type='groupchat'><subject/></message>")
	romeo.Sends("<message to='" + sales + "' type='groupchat' id='m1'><body>hi</body></message>")
	hears(t, romeo, "<message from='"+sales+"/romeo' to='romeo@example.com/orchard' type='groupchat' id='m1'><body>hi</body><o/><sid by='"+sales+"'/></message>")
	juliet.Sends("<presence to='" + sales + "/Julie'><show>away</show>" + mucX + "</presence>")
	hears(t, juliet,
		presence(sales+"/romeo", "juliet@example.com/balcony", "<item affiliation='member' role='participant' jid='romeo@example.com/orchard'/>"),
		"<presence from='"+sales+"/juliet' to='juliet@example.com/balcony'><show>away</show><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='admin' role='moderator' jid='juliet@example.com/balcony'/><status code='110'/><status code='170'/><status code='210'/></x><o/></presence>",
		"<message from='"+sales+"/romeo' to='juliet@example.com/balcony' type='groupchat' id='m1'><body>hi</body><o/><sid by='"+sales+"'/><late/></message>",
		"<message from='"+sales+"' to='juliet@example.com/balcony' type='groupchat'><subject/></message>")
	hears(t, romeo,
		"<presence from='"+sales+"/juliet' to='romeo@example.com/orchard'><show>away</show><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='admin' role='moderator'/></x><o/></presence>")
	if s := h.Logged(); s != "" {
		t.Error(s)
	}
}
