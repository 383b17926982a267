package muc_test

import (
	"regexp"
	"strings"
	"testing"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/feature/featuretest"
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

// TestSourceChanges has a source give somebody another nick, take somebody else out, and hear of a room that nobody is in.
func TestSourceChanges(t *testing.T) {
	a := newAlias("romeo", "juliet", "alice")
	h := openHouse(t, t.TempDir(), muc.Options{}, a)
	h.Changed(a.room.JID)
	h.Moved(a.room.JID, a.room.JID)
	h.Gone(a.room.JID)
	var all []*featuretest.Person
	for _, name := range []string{"romeo", "juliet", "alice"} {
		p := h.Online(t, name+"@example.com/there")
		all = append(all, p)
		join(p, sales)
	}
	quiet(all...)
	a.members[1].Nick = "giulietta"
	a.members = a.members[:2]
	h.Changed(a.room.JID)
	hears(t, all[0],
		"<presence type='unavailable' from='"+sales+"/juliet' to='romeo@example.com/there'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='member' role='participant' nick='giulietta'/><status code='303'/></x><o/></presence>",
		"<presence type='unavailable' from='"+sales+"/alice' to='romeo@example.com/there'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='none'/><status code='321'/></x><o/></presence>",
		presence(sales+"/giulietta", "romeo@example.com/there", "<item affiliation='member' role='participant'/>"))
	if got := heard(t, all[1]); !strings.Contains(got, "jid='juliet@example.com/there' nick='giulietta'/><status code='110'/><status code='303'/>") ||
		!strings.Contains(got, "jid='juliet@example.com/there'/><status code='110'/><status code='210'/>") {
		t.Errorf("juliet heard %s", got)
	}
	if i := h.List("example.com"); len(i) != 1 || !i[0].Given || i[0].Occupants != 2 || i[0].ID != a.room.ID {
		t.Errorf("%+v", i)
	}
	if err := h.SetAffiliation(a.room.JID, a.members[0].JID, muc.Owner, ""); err == nil {
		t.Error("an affiliation of a given room was changed")
	}
	if err := h.Destroy(a.room.JID, xmpp.JID{}, ""); err == nil {
		t.Error("a given room was destroyed")
	}
	a.room.JID = xmpp.JID{}
	h.Gone(xmpp.MustJID(sales))
	if got := heard(t, all[1]); !strings.Contains(got, "<destroy>") {
		t.Errorf("juliet heard %s", got)
	}
	if err := h.Erase(t.Context(), a.room.ID); err != nil {
		t.Error(err)
	}
}

// TestNicksGoRound has a source give nicks to others than those who have them now, all at once: whoever follows who comes and
// goes knows who is there in the end.
func TestNicksGoRound(t *testing.T) {
	a := newAlias("romeo", "juliet", "alice", "bob")
	h := openHouse(t, t.TempDir(), muc.Options{}, a)
	var all []*featuretest.Person
	for _, name := range []string{"romeo", "juliet", "alice", "bob"} {
		p := h.Online(t, name+"@example.com/there")
		all = append(all, p)
		join(p, sales)
	}
	quiet(all...)
	a.members[1].Nick, a.members[2].Nick = "alice", "bob" // juliet, alice
	a.members = a.members[:3]
	h.Changed(a.room.JID)
	there := map[string]bool{sales + "/juliet": true, sales + "/alice": true, sales + "/bob": true}
	for _, m := range regexp.MustCompile(`<presence ([^>]*)>`).FindAllStringSubmatch(heard(t, all[0]), -1) {
		from := regexp.MustCompile(`from='([^']*)'`).FindStringSubmatch(m[1])[1]
		there[from] = !strings.Contains(m[1], "unavailable")
	}
	if there[sales+"/juliet"] || !there[sales+"/alice"] || !there[sales+"/bob"] {
		t.Errorf("romeo takes for present: %v", there)
	}
	d, _, err := h.Show(a.room.JID)
	if err != nil || len(d.Present) != 3 {
		t.Errorf("%+v, %v", d.Present, err)
	}
}
