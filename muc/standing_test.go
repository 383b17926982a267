package muc_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature/featuretest"
)

const bobAway = "bob@example.com/hall"

func admin(id, items string) string {
	return "<iq type='set' id='" + id + "' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'>" + items + "</query></iq>"
}

// refused checks that somebody has heard one error and nothing else.
func refused(t testing.TB, p *featuretest.Person, condition string) {
	t.Helper()
	if got := heard(t, p); strings.Count(got, " type='error'") != 1 || !strings.Contains(got, "<"+condition+" ") {
		t.Errorf("%s heard %s, not one error %s", p.JID(), got, condition)
	}
}

// TestEachListOnce has a request name the same list many times: it is in the answer once.
func TestEachListOnce(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, nil, there)[0]
	all := strings.Repeat("<item affiliation='owner'/><item role='moderator'/>", 400)
	romeo.Sends("<iq type='get' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'>" + all + "</query></iq>")
	hears(t, romeo, "<iq type='result' id='1' from='"+cave+"' to='"+there+"'><query xmlns='http://jabber.org/protocol/muc#admin'>"+
		"<item affiliation='owner' jid='romeo@example.com'/><item affiliation='owner' jid='"+there+"' nick='romeo' role='moderator'/></query></iq>")
}

// TestPresenceBroadcast changes whose presence is shown while people are in the room: who is not shown any more is seen to
// go, and who is shown from now on to come (XEP-0045 §5.1).
func TestPresenceBroadcast(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	code := "<message from='" + cave + "' to='" + there + "' type='groupchat'><x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x></message>"
	presence := func(kind, role string) string {
		return "<presence from='" + cave + "/juliet' to='" + there + "'" + kind + "><x xmlns='http://jabber.org/protocol/muc#user'>" +
			"<item affiliation='none' role='" + role + "' jid='" + away + "'/></x><o/></presence>"
	}
	all[0].Sends(configured(cave, "presencebroadcast=moderator"))
	hears(t, all[0], result(all[0], cave, "conf"), presence(" type='unavailable'", "none"), code)
	if got := heard(t, all[1]); strings.Contains(got, "<presence") {
		t.Errorf("juliet heard %s", got)
	}
	all[0].Sends(configured(cave, "presencebroadcast=participant"))
	hears(t, all[0], result(all[0], cave, "conf"), presence("", "participant"), code)
	if got := heard(t, all[1]); strings.Count(got, "<presence") != 1 || !strings.Contains(got, "/romeo' type='unavailable'") {
		t.Errorf("juliet heard %s", got)
	}
}

// TestBannedKeepsHisBan has somebody who is banned take back a registration: the ban and its reason stay.
func TestBannedKeepsHisBan(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, nil, there)[0]
	romeo.Sends(admin("1", "<item affiliation='outcast' jid='juliet@example.com'><reason>Treason</reason></item><item affiliation='outcast' jid='elsewhere.example'/>"))
	quiet(romeo)
	juliet := h.Online(t, away)
	juliet.Sends("<iq type='set' id='1' to='" + cave + "'><query xmlns='jabber:iq:register'><remove/></query></iq>")
	refused(t, juliet, "forbidden")
	d, _, err := h.Show(xmpp.MustJID(cave))
	if err != nil || len(d.Affiliated) != 3 || d.Affiliated[2].Reason != "Treason" {
		t.Errorf("%+v, %v", d.Affiliated, err)
	}
}

// TestNobodyOwnsForADomain has a form name a domain among the owners or admins: a domain can be banned and nothing else.
func TestNobodyOwnsForADomain(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, nil, there)[0]
	for _, field := range []string{"roomowners=elsewhere.example", "roomadmins=elsewhere.example"} {
		romeo.Sends(configured(cave, field))
		refused(t, romeo, "not-acceptable")
	}
}

// TestPasswordAlone has a form with a password and without the question whether there is to be one: other servers have no
// such field, and a room that is open to everybody is not what was meant.
func TestPasswordAlone(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, []string{"roomsecret=cauldron"}, there)[0]
	juliet := h.Online(t, away)
	join(juliet, cave)
	refused(t, juliet, "not-authorized")
	romeo.Sends(configured(cave, "roomname=Cave"))
	join(juliet, cave)
	refused(t, juliet, "not-authorized")
	romeo.Sends(configured(cave, "roomsecret="))
	join(juliet, cave)
	if got := heard(t, juliet); !strings.Contains(got, "<status code='110'/>") {
		t.Errorf("juliet heard %s", got)
	}
}

// TestKickedWhileEntering has somebody be sent out before he has had the history: he hears of it.
func TestKickedWhileEntering(t *testing.T) {
	var reading atomic.Pointer[func()]
	h := newHouse(t, muc.Options{MayCreate: everybody, Blocks: func(_ directory.ID, j xmpp.JID) bool {
		// Of those who are not in the room only the history is asked about.
		if fn := reading.Load(); fn != nil && j.Resource() == "bob" && reading.CompareAndSwap(fn, nil) {
			(*fn)()
		}
		return false
	}})
	all := cast(t, h, cave, nil, there, bobAway)
	all[1].Sends("<message type='groupchat' to='"+cave+"' id='m1'><body>hi</body></message>", "<presence type='unavailable' to='"+cave+"/bob'/>")
	juliet := h.Online(t, away)
	kick := func() { all[0].Sends(admin("k", "<item nick='juliet' role='none'/>")) }
	reading.Store(&kick)
	juliet.Sends("<presence to='" + cave + "/juliet'>" + mucX + "</presence>")
	got := heard(t, juliet)
	if strings.Count(got, "<status code='307'/>") != 1 || strings.Contains(got, "<subject") {
		t.Errorf("juliet heard %s", got)
	}
	// The same with a room that ends.
	end := func() {
		all[0].Sends("<iq type='set' id='d' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>")
	}
	reading.Store(&end)
	juliet.Sends("<presence to='" + cave + "/juliet'>" + mucX + "</presence>")
	if got := heard(t, juliet); strings.Count(got, "<destroy") != 1 || strings.Contains(got, "<subject") {
		t.Errorf("juliet heard %s", got)
	}
}

// TestLockedRoomIsNone asks about a room that is not open yet: for all but its owner there is none (XEP-0045 §7.2.10).
func TestLockedRoomIsNone(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo, juliet := h.Online(t, there), h.Online(t, away)
	join(romeo, cave)
	quiet(romeo)
	for _, stanza := range []string{
		"<iq type='get' id='1' to='" + cave + "'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<iq type='get' id='1' to='" + cave + "'><query xmlns='jabber:iq:register'/></iq>",
		"<iq type='set' id='1' to='" + cave + "'><query xmlns='jabber:iq:register'><remove/></query></iq>",
		"<iq type='get' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member'/></query></iq>",
		"<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='juliet@example.com'/></query></iq>",
		"<iq type='get' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>",
		"<iq type='get' id='1' to='" + cave + "'><query xmlns='urn:xmpp:nothing'/></iq>",
		"<iq type='get' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
		"<iq type='get' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/></iq>",
		"<iq type='get' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
		"<message to='" + cave + "' id='1'><x xmlns='http://jabber.org/protocol/muc#user'><decline to='romeo@example.com'/></x></message>",
		"<message type='groupchat' to='" + cave + "' id='1'><body>hi</body></message>",
		"<presence to='" + cave + "/juliet'>" + mucX + "</presence>",
	} {
		juliet.Sends(stanza)
		if got := heard(t, juliet); strings.Count(got, " type='error'") != 1 || !strings.Contains(got, "<item-not-found ") {
			t.Errorf("%s: juliet heard %s", stanza, got)
		}
		hears(t, romeo)
	}
}

// TestBackBeforeGone has a client come back under its address when its last session has ended but has not left the room
// yet.
func TestBackBeforeGone(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	all[1].End(nil)
	juliet := h.Online(t, away)
	join(juliet, cave)
	if got := heard(t, juliet); strings.Count(got, "<presence ") != 2 || !strings.Contains(got, "<status code='110'/>") || !strings.Contains(got, "<subject") {
		t.Errorf("juliet heard %s", got)
	}
	if got := heard(t, all[0]); strings.Count(got, "type='unavailable'") != 1 || strings.Count(got, "<presence ") != 2 {
		t.Errorf("romeo heard %s", got)
	}
	if n := h.Stats.Occupants.Load(); n != 2 {
		t.Errorf("%d clients are counted in rooms", n)
	}
}

// changing is a source whose room gets another name while it is being read.
type changing struct {
	*alias
	change func()
}

func (c *changing) Room(j xmpp.JID) *muc.Given {
	g := c.alias.Room(j)
	if change := c.change; change != nil && g != nil {
		c.change = nil
		change()
	}
	return g
}

// TestChangedWhileRead has a room of a source change before those who would be told can find it.
func TestChangedWhileRead(t *testing.T) {
	src := &changing{alias: newAlias("romeo")}
	h := openHouse(t, t.TempDir(), muc.Options{}, src)
	romeo := h.Online(t, there)
	src.change = func() {
		src.room.Name = "Orders"
		h.Changed(xmpp.MustJID(sales))
	}
	join(romeo, sales)
	d, _, err := h.Show(xmpp.MustJID(sales))
	if err != nil || d.Config.Name != "Orders" {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestNoLeaks asks what a room is that one may not enter: what is being talked about, and among how many, is not told
// (XEP-0045 §14.4).
func TestNoLeaks(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	info := "<iq type='get' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
	all := cast(t, h, cave, nil, there)
	juliet := h.Online(t, away)
	all[0].Sends("<message type='groupchat' to='" + cave + "' id='s'><subject>spells</subject></message>")
	for _, x := range []struct {
		fields []string
		told   bool
	}{
		{nil, true}, {[]string{"membersonly=1"}, false}, {[]string{"membersonly=0", "roomsecret=x"}, false}, {[]string{"roomsecret="}, true},
	} {
		all[0].Sends(configured(cave, x.fields...))
		quiet(all[0])
		for p, told := range map[*featuretest.Person]bool{all[0]: true, juliet: x.told} {
			p.Sends(info)
			if got := heard(t, p); strings.Contains(got, "spells") != told || strings.Contains(got, "roominfo_occupants") != told || !strings.Contains(got, "roominfo_subjectmod") {
				t.Errorf("%v: %s heard %s", x.fields, p.JID(), got)
			}
		}
	}
	all[0].Sends(admin("1", "<item affiliation='outcast' jid='juliet@example.com'/>"))
	if juliet.Sends(info); strings.Contains(heard(t, juliet), "spells") {
		t.Error("juliet is banned, and told the subject")
	}
}

// TestVoiceStays has people leave and come back: who was given a voice has it, and whose voice was taken has none (XEP-0045
// §5.1), until he becomes somebody else in the room.
func TestVoiceStays(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, []string{"moderatedroom=1"}, there, away, bobAway)
	again := func(p *featuretest.Person, want string) {
		t.Helper()
		p.Sends("<presence type='unavailable' to='" + cave + "/" + p.JID().Local() + "'/>")
		quiet(p)
		join(p, cave)
		if got := heard(t, p); !strings.Contains(got, " role='"+want+"' jid='"+p.JID().String()+"'/><status code='110'/>") {
			t.Errorf("%s is no %s: %s", p.JID(), want, got)
		}
	}
	all[0].Sends(admin("1", "<item nick='juliet' role='participant'/><item affiliation='member' jid='bob@example.com'/>"))
	all[0].Sends(admin("2", "<item nick='bob' role='visitor'/>"))
	again(all[1], "participant")
	again(all[2], "visitor")
	all[0].Sends(admin("3", "<item nick='juliet' role='moderator'/>"))
	again(all[1], "participant")
	all[0].Sends(admin("4", "<item affiliation='none' jid='bob@example.com'/>"), admin("5", "<item affiliation='member' jid='bob@example.com'/>"))
	all[0].Sends(admin("6", "<item nick='juliet' role='visitor'/>"))
	again(all[1], "visitor")
	again(all[2], "participant")
	all[0].Sends(configured(cave, "moderatedroom=0"))
	again(all[1], "participant")
}

// TestNewModeratorSeesWhoIsWho makes a moderator: he is shown the real addresses of all who are
// there (XEP-0045 §8), on each of his devices.
func TestNewModeratorSeesWhoIsWho(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away, bobAway, "juliet@example.com/chamber")
	seen := func(p *featuretest.Person) string {
		x := func(nick, affiliation, role, jid string) string {
			return "<presence from='" + cave + "/" + nick + "' to='" + p.JID().String() + "'><x xmlns='http://jabber.org/protocol/muc#user'>" +
				"<item affiliation='" + affiliation + "' role='" + role + "' jid='" + jid + "'/></x><o/></presence>"
		}
		return x("romeo", "owner", "moderator", there) + x("bob", "none", "participant", bobAway)
	}
	made := func(p *featuretest.Person) string {
		return "<presence from='" + cave + "/juliet' to='" + p.JID().String() + "'><x xmlns='http://jabber.org/protocol/muc#user'>" +
			"<item affiliation='none' role='moderator' jid='" + p.JID().String() + "'><actor nick='romeo'/></item><status code='110'/></x><o/></presence>"
	}
	all[0].Sends(admin("1", "<item nick='juliet' role='moderator'/>"))
	hears(t, all[1], made(all[1]), seen(all[1]))
	hears(t, all[3], made(all[3]), seen(all[3]))
	if got := heard(t, all[2]); strings.Count(got, "<presence ") != 1 {
		t.Errorf("bob heard %s", got)
	}
}

// TestListOfAdminsAlone has the form name the admins and not the owners: an owner who is among them stays one.
func TestListOfAdminsAlone(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, nil, there, away)[0]
	romeo.Sends(admin("1", "<item jid='juliet@example.com' affiliation='owner'/>"), configured(cave, "roomadmins=juliet@example.com"))
	if got := heard(t, romeo); strings.Contains(got, "type='error'") {
		t.Error(got)
	}
	d, _, err := h.Show(xmpp.MustJID(cave))
	if err != nil || len(d.Affiliated) != 2 || d.Affiliated[1].Affiliation != muc.Owner {
		t.Errorf("%+v, %v", d.Affiliated, err)
	}
}

// TestNamesakeHasNoVoice has somebody with a voice in a room be deleted, when he has left it or while he is there: who gets
// his name comes as anybody does.
func TestNamesakeHasNoVoice(t *testing.T) {
	for _, left := range []bool{true, false} {
		h := newHouse(t, muc.Options{MayCreate: everybody})
		all := cast(t, h, cave, []string{"moderatedroom=1"}, there, away)
		all[0].Sends(admin("1", "<item nick='juliet' role='participant'/>"))
		if left {
			all[1].Sends("<presence type='unavailable' to='" + cave + "/juliet'/>")
		}
		if err := h.Directory.Delete(t.Context(), h.ID("juliet@example.com")); err != nil {
			t.Fatal(err)
		}
		h.Table.End(all[1].Session)
		if err := h.Directory.Add(t.Context(), directory.NewUser{Domain: "example.com", Local: "juliet"}); err != nil {
			t.Fatal(err)
		}
		juliet := h.Online(t, "juliet@example.com/new")
		join(juliet, cave)
		if got := heard(t, juliet); !strings.Contains(got, "role='visitor'") {
			t.Errorf("left: %t: %s", left, got)
		}
	}
}

// TestNobodyBansHimself has an admin and the owner do that (§9.1).
func TestNobodyBansHimself(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	all[0].Sends(admin("1", "<item jid='juliet@example.com' affiliation='admin'/>"))
	quiet(all...)
	for _, p := range all {
		p.Sends(admin("1", "<item jid='"+p.JID().Bare().String()+"' affiliation='outcast'/>"))
		if got := heard(t, p); !strings.Contains(got, "<conflict ") {
			t.Error(got)
		}
	}
}

// TestKickedTwice has one request send somebody away two times.
func TestKickedTwice(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	all[0].Sends(admin("1", "<item nick='juliet' role='none'/><item nick='juliet' role='none'/>"))
	if got := heard(t, all[0]); strings.Count(got, "<presence ") != 1 || !strings.Contains(got, "type='result'") {
		t.Error(got)
	}
	if got := heard(t, all[1]); strings.Count(got, "<status code='307'/>") != 1 {
		t.Error(got)
	}
	if got := h.Logged(); got != "" {
		t.Error(got)
	}
}

// TestModeratorWithoutAVoice has somebody's voice be taken from him, who then becomes a moderator in the source of the room.
func TestModeratorWithoutAVoice(t *testing.T) {
	src := newAlias("romeo", "juliet")
	src.members[0].Affiliation = muc.Admin
	h := openHouse(t, t.TempDir(), muc.Options{}, src)
	romeo, juliet := h.Online(t, there), h.Online(t, away)
	join(romeo, sales)
	join(juliet, sales)
	romeo.Sends("<iq type='set' id='1' to='" + sales + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='juliet' role='visitor'/></query></iq>")
	for _, x := range []struct {
		affiliation muc.Affiliation
		role        string
	}{{muc.Member, "visitor"}, {muc.Admin, "moderator"}} {
		juliet.Sends("<presence type='unavailable' to='" + sales + "/juliet'/>")
		src.members[1].Affiliation = x.affiliation
		quiet(juliet)
		join(juliet, sales)
		if got := heard(t, juliet); !strings.Contains(got, "role='"+x.role+"' jid='"+away+"'") {
			t.Errorf("as %v: %s", x.affiliation, got)
		}
	}
}

// TestInvitedTooEarly has the owner of a room that is not open yet invite somebody.
func TestInvitedTooEarly(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo, juliet := h.Online(t, there), h.Online(t, away)
	join(romeo, cave)
	quiet(romeo)
	romeo.Sends("<message to='" + cave + "' id='i'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='juliet@example.com'/></x></message>")
	refused(t, romeo, "item-not-found")
	hears(t, juliet)
}

// TestNamesakeApplies has somebody who has asked to become a member be deleted: who gets his name may ask, too.
func TestNamesakeApplies(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, []string{"membersonly=1"}, there)[0]
	for i := range 2 {
		juliet := h.Online(t, "juliet@example.com/"+string(rune('a'+i)))
		juliet.Sends("<iq type='set' id='r' to='" + cave + "'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>" +
			"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>" +
			"<field var='muc#register_roomnick'><value>juliet</value></field></x></query></iq>")
		if got := heard(t, romeo); strings.Count(got, "<message ") != 1 {
			t.Errorf("romeo heard %s, and juliet %s", got, heard(t, juliet))
		}
		h.Table.End(juliet.Session)
		if err := h.Directory.Delete(t.Context(), h.ID("juliet@example.com")); err != nil {
			t.Fatal(err)
		}
		if err := h.Directory.Add(t.Context(), directory.NewUser{Domain: "example.com", Local: "juliet"}); err != nil {
			t.Fatal(err)
		}
	}
}
