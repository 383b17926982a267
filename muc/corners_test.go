package muc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/feature/featuretest"
)

const (
	there = "romeo@example.com/orchard"
	away  = "juliet@example.com/balcony"
)

// TestRoomsByPages pages through the rooms of a service (XEP-0045 §6.3, XEP-0059).
func TestRoomsByPages(t *testing.T) {
	h := newHouse(t, muc.Options{})
	for i := range 5 {
		err := h.Create(t.Context(), xmpp.MustJID(fmt.Sprintf("r%d@conference.example.com", i)), xmpp.MustJID("romeo@example.com"), muc.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
	}
	romeo := h.Online(t, there)
	tests := []struct {
		set   string
		rooms []int
		index int
	}{
		{"<max>2</max>", []int{0, 1}, 0},
		{"<max>2</max><after>r1@conference.example.com</after>", []int{2, 3}, 2},
		{"<max>2</max><after>r3@conference.example.com</after>", []int{4}, 4},
		{"<max>2</max><before/>", []int{3, 4}, 3},
		{"<max>2</max><before>r3@conference.example.com</before>", []int{1, 2}, 1},
		{"<max>1</max><index>3</index>", []int{3}, 3},
		{"<max>9</max><index>9</index>", nil, 5},
		{"<max>0</max>", nil, 0},
		{"<max>9</max><after>gone@conference.example.com</after>", []int{0, 1, 2, 3, 4}, 0},
	}
	for _, x := range tests {
		romeo.Sends("<iq type='get' id='1' to='conference.example.com'><query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'>" + x.set + "</set></query></iq>")
		var items, ends string
		for _, i := range x.rooms {
			items += fmt.Sprintf("<item jid='r%d@conference.example.com'/>", i)
		}
		if n := len(x.rooms); n > 0 {
			ends = fmt.Sprintf("<first index='%d'>r%d@conference.example.com</first><last>r%d@conference.example.com</last>", x.index, x.rooms[0], x.rooms[n-1])
		}
		hears(t, romeo, "<iq type='result' id='1' from='conference.example.com' to='"+there+"'><query xmlns='http://jabber.org/protocol/disco#items'>"+
			items+"<set xmlns='http://jabber.org/protocol/rsm'>"+ends+"<count>5</count></set></query></iq>")
	}
}

// TestLongAddress has an occupant whose address does not fit in front of a frame.
func TestLongAddress(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	long := "juliet@example.com/" + strings.Repeat("'", 900)
	all := cast(t, h, cave, nil, there, long, "alice@example.com/garden")
	all[0].Sends("<message type='groupchat' to='" + cave + "' id='m1'><body>hi</body></message>")
	for i, to := range []string{there, strings.ReplaceAll(long, "'", "&apos;"), "alice@example.com/garden"} {
		hears(t, all[i], "<message from='"+cave+"/romeo' to='"+to+"' type='groupchat' id='m1'><body>hi</body><o/><sid by='"+cave+"'/></message>")
	}
}

// TestTwoNicksBecomeOne has somebody who is in the room under two nicks give up one for the other.
func TestTwoNicksBecomeOne(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, nil, there)[0]
	one, two := h.Online(t, "juliet@example.com/a"), h.Online(t, "juliet@example.com/b")
	one.Sends("<presence to='" + cave + "/one'><show>xa</show>" + noLines + "</presence>")
	two.Sends("<presence to='" + cave + "/two'>" + noLines + "</presence>")
	quiet(romeo, one, two)
	two.Sends("<presence to='" + cave + "/one'/>")
	x := func(item, more string) string {
		return "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant' " + item + "/>" + more + "</x><o/></presence>"
	}
	hears(t, romeo,
		"<presence type='unavailable' from='"+cave+"/two' to='"+there+"'>"+x("nick='one' jid='juliet@example.com/b'", "<status code='303'/>"),
		"<presence from='"+cave+"/one' to='"+there+"'>"+x("jid='juliet@example.com/b'", ""))
	hears(t, two,
		"<presence type='unavailable' from='"+cave+"/two' to='juliet@example.com/b'>"+x("nick='one' jid='juliet@example.com/b'", "<status code='110'/><status code='303'/>"),
		"<presence from='"+cave+"/one' to='juliet@example.com/b'>"+x("jid='juliet@example.com/b'", "<status code='110'/>"))
	quiet(one)
	romeo.Sends("<message type='chat' to='" + cave + "/one' id='m1'><body>psst</body></message>")
	for _, p := range []string{heard(t, one), heard(t, two)} {
		if strings.Count(p, "psst") != 1 {
			t.Errorf("juliet heard %s", p)
		}
	}
	d, _, err := h.Show(xmpp.MustJID(cave))
	if err != nil || len(d.Present) != 2 || len(d.Present[1].Clients) != 2 {
		t.Errorf("%+v, %v", d.Present, err)
	}
}

// TestSessionEnds takes whoever is gone out of all rooms; one who begins to enter when his session has ended is not let in.
func TestSessionEnds(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	join(all[1], "tent@conference.example.com")
	h.Table.End(all[1].Session)
	hears(t, all[0], "<presence type='unavailable' from='"+cave+"/juliet' to='"+there+"'><x xmlns='http://jabber.org/protocol/muc#user'>"+
		"<item affiliation='none' role='none' jid='"+away+"'/></x><o/></presence>")
	join(all[1], cave)
	hears(t, all[0])
	if n := h.Stats.Occupants.Load(); n != 1 {
		t.Errorf("%d clients are counted in rooms", n)
	}
	if all := h.List("example.com"); len(all) != 1 {
		t.Errorf("the room that nobody is in any more is there: %+v", all)
	}
	// The same in a room that he would have made.
	join(all[1], "tent@conference.example.com")
	if all := h.List("example.com"); len(all) != 1 {
		t.Errorf("a room was made by somebody who is gone: %+v", all)
	}
}

// TestStoreFails has nothing change, and nobody told, when a change cannot be written down.
func TestStoreFails(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, []string{"persistentroom=1"}, there, away)
	h.closeState(t)
	for _, stanza := range []string{
		"<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast' jid='juliet@example.com'/></query></iq>",
		configured(cave, "membersonly=1"),
		"<message type='groupchat' to='" + cave + "' id='s'><subject>x</subject></message>",
		"<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>",
		"<presence to='tent@conference.example.com/romeo'>" + mucX + "</presence>",
	} {
		all[0].Sends(stanza)
		if got := heard(t, all[0]); !strings.Contains(got, "internal-server-error") {
			t.Errorf("%s: %s", stanza, got)
		}
		hears(t, all[1])
	}
	d, ok, err := h.Show(xmpp.MustJID(cave))
	if !ok || err != nil || d.Subject != "" || d.Config.MembersOnly || len(d.Affiliated) != 1 || len(d.Present) != 2 {
		t.Errorf("%+v, %v, %v", d, ok, err)
	}
}

// TestLastWords hands what is said from one occupant to another to the account of one who has gone meanwhile.
func TestLastWords(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	h.history.Hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		all[0].Sends("<message type='chat' to='" + cave + "/juliet' id='m1'><body>psst</body></message>")
	}()
	if !h.history.Await(1) {
		t.Fatal("nothing is being stored")
	}
	all[1].Sends("<presence type='unavailable' to='" + cave + "/juliet'/>")
	quiet(all...)
	h.history.Release()
	<-done
	if got := heard(t, all[1]); strings.Count(got, "psst") != 1 {
		t.Errorf("juliet heard %s", got)
	}
}

// TestNobodyHearsBeforeItIsKept holds the history back: until it has a message nobody else does.
func TestNobodyHearsBeforeItIsKept(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	h.history.Hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		all[0].Sends("<message type='groupchat' to='" + cave + "' id='m1'><body>hi</body></message>")
	}()
	if !h.history.Await(1) {
		t.Fatal("nothing is being stored")
	}
	for _, p := range all {
		hears(t, p)
	}
	h.history.Release()
	<-done
	for _, p := range all {
		hears(t, p, "<message from='"+cave+"/romeo' to='"+p.JID().String()+"' type='groupchat' id='m1'><body>hi</body><o/><sid by='"+cave+"'/></message>")
	}
}

// TestNickInAnotherSpelling has the second client of somebody spell the nick in another way: it is the same nick, and both
// clients are one occupant (XEP-0045 §7.2.3, §7.2.8).
func TestNickInAnotherSpelling(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	second := h.Online(t, "juliet@example.com/second")
	second.Sends("<presence to='" + cave + "/Juliet'>" + noLines + "</presence>")
	if got := heard(t, second); !strings.Contains(got, "from='"+cave+"/juliet'") || !strings.Contains(got, "<status code='210'/>") {
		t.Errorf("juliet heard %s", got)
	}
	d, _, err := h.Show(xmpp.MustJID(cave))
	if err != nil || len(d.Present) != 2 || len(d.Present[1].Clients) != 2 {
		t.Errorf("%+v, %v", d.Present, err)
	}
	// It may become that spelling, for both; others have no such nick.
	quiet(all...)
	second.Sends("<presence to='" + cave + "/JULIET'/>")
	if got := heard(t, all[1]); strings.Count(got, "<presence ") != 2 || !strings.Contains(got, "from='"+cave+"/JULIET'") {
		t.Errorf("juliet heard %s", got)
	}
	alice := h.Online(t, "alice@example.com/garden")
	alice.Sends("<presence to='" + cave + "/juliet'>" + noLines + "</presence>")
	refused(t, alice, "conflict")
	// Under another nick, and back to the one that the other client has.
	all[1].Sends("<presence type='unavailable' to='" + cave + "/JULIET'/>")
	all[1].Sends("<presence to='" + cave + "/julie'>" + noLines + "</presence>")
	quiet(all[1])
	all[1].Sends("<presence to='" + cave + "/juliet'/>")
	if got := heard(t, all[1]); !strings.Contains(got, "nick='JULIET'") || !strings.Contains(got, "from='"+cave+"/JULIET'") {
		t.Errorf("juliet heard %s", got)
	}
	d, _, err = h.Show(xmpp.MustJID(cave))
	if err != nil || len(d.Present) != 2 || len(d.Present[1].Clients) != 2 {
		t.Errorf("%+v, %v", d.Present, err)
	}
}

// TestAskedAndNotRestored has somebody's room be gone after a restart: who has asked him something there is told, too.
func TestAskedAndNotRestored(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	for _, p := range all {
		if err := p.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	all[0].Sends("<iq type='get' id='v' to='" + cave + "/juliet'><query xmlns='jabber:iq:version'/></iq>")
	saved := h.Table.Save(all[1].Session)
	h = newHouse(t, muc.Options{})
	juliet, romeo := h.Online(t, away), h.Online(t, there)
	if err := h.Table.Restore(juliet.Session, saved); err != nil {
		t.Fatal(err)
	}
	h.Table.Restored()
	hears(t, romeo, "<iq type='error' id='v' from='"+cave+"/juliet' to='"+there+"'><error type='cancel' by='"+cave+"'>"+
		"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>who was asked is not there any more</text></error></iq>")
}

// TestOwnOtherClient has each of somebody's two clients in a room ask the occupant that they are: the other one is asked.
func TestOwnOtherClient(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, nil, there)[0]
	second := h.Online(t, "romeo@example.com/second")
	join(second, cave)
	for _, x := range [][2]*featuretest.Person{{romeo, second}, {second, romeo}} {
		quiet(romeo, second)
		x[0].Sends("<iq type='get' id='v' to='" + cave + "/romeo'><query xmlns='jabber:iq:version'/></iq>")
		hears(t, x[0])
		if got := heard(t, x[1]); !strings.Contains(got, "jabber:iq:version") {
			t.Errorf("%s heard %s", x[1].JID(), got)
		}
	}
}
