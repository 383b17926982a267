package muc_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/store"
)

var stanzaID = regexp.MustCompile(`by='cave@conference.example.com' id='([0-9a-v]{13})'`)

// TestNothingLostOnEntering has somebody enter again and again while another one talks: history and what is heard live
// fit together, without a gap and without anything twice.
func TestNothingLostOnEntering(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := h.Online(t, "romeo@example.com/orchard")
	join(romeo, cave)
	romeo.Sends(configured(cave, "muc#maxhistoryfetch=250"))
	juliet := h.Online(t, "juliet@example.com/balcony")
	const said = 200
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range said {
			romeo.Sends(fmt.Sprintf("<message to='"+cave+"' type='groupchat' id='m%d'><body>%d</body></message>", i, i))
		}
	}()
	for talking := true; talking; {
		select {
		case <-done:
			talking = false
		default:
		}
		juliet.Sends("<presence to='" + cave + "/juliet'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='250'/></x></presence>")
		juliet.Sends("<presence to='" + cave + "/juliet' type='unavailable'/>")
		var ids []string
		for _, m := range stanzaID.FindAllStringSubmatch(heard(t, juliet), -1) {
			ids = append(ids, m[1])
		}
		if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Fatalf("out of order or twice, of %d messages", len(ids))
		}
		// Romeo sends one after the other, so that the ids of what is missing would be between those that are there.
		all := allIDs(t, h, juliet)
		if len(ids) > 0 {
			from, to := slices.Index(all, ids[0]), slices.Index(all, ids[len(ids)-1])
			if from != 0 || !slices.Equal(all[from:to+1], ids) {
				t.Fatalf("%d messages were heard of %d up to the last of them", len(ids), to+1)
			}
		}
	}
}

// TestEnteringBetween has somebody enter when a message is in the history and nobody has heard it yet: it comes with the
// history, and not again.
func TestEnteringBetween(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, nil, "romeo@example.com/orchard")[0]
	juliet := h.Online(t, "juliet@example.com/balcony")
	entered := 0
	h.stored = func() {
		entered++
		juliet.Sends("<presence to='" + cave + "/juliet'>" + mucX + "</presence>")
	}
	romeo.Sends("<message to='" + cave + "' type='groupchat' id='m'><body>But soft</body></message>")
	h.stored = nil
	romeo.Sends("<message to='" + cave + "' type='groupchat' id='n'><body>What light</body></message>")
	if entered != 1 {
		t.Fatalf("entered %d times", entered)
	}
	got := heard(t, juliet)
	for _, body := range []string{"But soft", "What light"} {
		if n := strings.Count(got, body); n != 1 {
			t.Errorf("%q was heard %d times in %s", body, n, got)
		}
	}
}

// allIDs returns the ids in the room's archive.
func allIDs(t *testing.T, h *house, p *featuretest.Person) (ids []string) {
	t.Helper()
	p.Sends("<iq type='set' id='all' to='" + cave + "'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>250</max></set></query></iq>")
	for _, m := range regexp.MustCompile(`<result xmlns='urn:xmpp:mam:2' id='([0-9a-v]{13})'`).FindAllStringSubmatch(heard(t, p), -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// TestCommotion has many clients come, talk, take nicks and go at once. It is there for the race detector; in the end
// nobody is left.
func TestCommotion(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	names := []string{"romeo", "juliet", "alice", "bob"}
	var wg sync.WaitGroup
	for i := range 12 {
		p := h.Online(t, fmt.Sprintf("%s@example.com/c%d", names[i%4], i))
		wg.Go(func() {
			room := fmt.Sprintf("hall%d@conference.example.com", i%2)
			for n := range 25 {
				join(p, room)
				p.Sends(instant(room),
					"<message to='"+room+"' type='groupchat'><body>hi</body></message>",
					"<message to='"+room+"' type='groupchat'><subject>s</subject></message>",
					fmt.Sprintf("<presence to='%s/%s-%d'/>", room, p.JID().Local(), n),
					"<message to='"+room+"/alice' type='chat'><body>psst</body></message>",
					"<iq type='set' id='k' to='"+room+"'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='bob' role='none'/></query></iq>",
					"<iq type='set' id='p' to='"+room+"'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='alice@example.com' affiliation='admin'/></query></iq>")
				if n%5 == 4 {
					p.Sends(configured(room, "persistentroom="+fmt.Sprint(n%2), "membersonly=0"))
				}
				h.List("example.com")
				p.Sends("<presence to='" + room + "/x' type='unavailable'/>")
				p.Conn.Left()
			}
		})
	}
	wg.Wait()
	for _, i := range h.List("example.com") {
		if i.Clients != 0 {
			t.Errorf("%d clients are still in %s", i.Clients, i.JID)
		}
	}
	if n := h.Stats.Occupants.Load(); n != 0 {
		t.Errorf("%d occupants are counted", n)
	}
	if s := h.Logged(); strings.Contains(s, "panic") {
		t.Error(s)
	}
}

func TestIdleRoomsRest(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody, Idle: time.Minute})
	all := cast(t, h, cave, []string{"persistentroom=1"}, "romeo@example.com/orchard")
	romeo := all[0]
	romeo.Sends("<message to='" + cave + "' type='groupchat'><subject>Spells</subject></message>")
	romeo.Sends("<presence to='" + cave + "/romeo' type='unavailable'/>")
	loaded := func() int64 { return h.Stats.Loaded.Load() }
	h.Clock.Pass(30 * time.Second)
	if loaded() != 1 {
		t.Error("a room was forgotten at once")
	}
	h.Clock.Pass(2 * time.Minute)
	if loaded() != 0 {
		t.Error("an empty room stays in memory")
	}
	quiet(romeo)
	romeo.Sends("<presence to='" + cave + "/romeo'>" + noLines + "</presence>")
	if got := heard(t, romeo); !strings.Contains(got, "affiliation='owner'") || !strings.Contains(got, "<subject>Spells</subject>") {
		t.Errorf("after that romeo heard %s", got)
	}
	h.Clock.Pass(5 * time.Minute)
	if loaded() != 1 {
		t.Error("a room with somebody in it was forgotten")
	}
}

func TestShutdown(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, "romeo@example.com/orchard", "juliet@example.com/balcony")
	h.Shutdown()
	hears(t, all[1], "<presence from='"+cave+"/juliet' to='juliet@example.com/balcony' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'>"+
		"<item affiliation='none' role='none'/><status code='110'/><status code='332'/></x><o/></presence>")
}

// TestNamesake has a user deleted who is somebody in a room: who comes after him under his name is nobody.
func TestNamesake(t *testing.T) {
	for _, loaded := range []bool{true, false} {
		h := newHouse(t, muc.Options{MayCreate: everybody, Idle: time.Minute})
		romeo := cast(t, h, cave, []string{"persistentroom=1"}, "romeo@example.com/orchard")[0]
		romeo.Sends("<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='admin' jid='juliet@example.com' nick='julie'/></query></iq>")
		if !loaded {
			romeo.Sends("<presence to='" + cave + "/romeo' type='unavailable'/>")
			h.Clock.Pass(time.Hour)
		}
		if err := h.Directory.Delete(t.Context(), h.ID("juliet@example.com")); err != nil {
			t.Fatal(err)
		}
		if err := h.Directory.Add(t.Context(), directory.NewUser{Domain: "example.com", Local: "juliet"}); err != nil {
			t.Fatal(err)
		}
		d, ok, err := h.Show(xmpp.MustJID(cave))
		if !ok || err != nil || len(d.Affiliated) != 1 {
			t.Errorf("loaded %v: %+v, %v", loaded, d.Affiliated, err)
		}
	}
}

// TestRenamedUser keeps somebody's place in a room when the account gets another name.
func TestRenamedUser(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, []string{"persistentroom=1"}, "romeo@example.com/orchard")[0]
	romeo.Sends("<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='admin' jid='juliet@example.com'/></query></iq>")
	err := h.Directory.Update(t.Context(), h.ID("juliet@example.com"), func(u *directory.User) { u.Local = "giulietta" })
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := h.Show(xmpp.MustJID(cave))
	if err != nil || len(d.Affiliated) != 2 || d.Affiliated[1].JID.String() != "giulietta@example.com" {
		t.Errorf("%+v, %v", d.Affiliated, err)
	}
}

func TestLimits(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody, MaxAffiliations: 3, MaxItems: 2, MaxRooms: 1, MaxOccupants: 1})
	romeo := cast(t, h, cave, nil, "romeo@example.com/orchard")[0]
	item := func(who string) string { return "<item affiliation='member' jid='" + who + "'/>" }
	set := func(items string) string {
		return "<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'>" + items + "</query></iq>"
	}
	failed := func(kind, condition string) string {
		return "<error type='" + kind + "'.*<" + condition + " "
	}
	tests := []struct{ stanza, want string }{
		{set(item("alice@elsewhere.example") + item("bob@elsewhere.example") + item("c@elsewhere.example")), failed("modify", "policy-violation")},
		{set(item("alice@elsewhere.example") + item("bob@elsewhere.example")), "type='result'"},
		{set(item("c@elsewhere.example")), failed("wait", "resource-constraint")},
		{set(item("alice@elsewhere.example")), "type='result'"}, // is there already
		{"<presence to='tent@conference.example.com/romeo'>" + mucX + "</presence>", failed("wait", "resource-constraint")},
		{"<message to='" + cave + "'><x xmlns='http://jabber.org/protocol/muc#user'>" + strings.Repeat("<invite to='alice@example.com'/>", 50) + "</x></message>", failed("modify", "policy-violation")},
		{"<message type='groupchat' to='" + cave + "'><subject>" + strings.Repeat("x", 10000) + "</subject></message>", failed("modify", "not-acceptable")},
		{"<presence to='" + cave + "/" + strings.Repeat("x", 300) + "'/>", failed("modify", "not-acceptable")},
	}
	for _, x := range tests {
		romeo.Sends(x.stanza)
		if got := heard(t, romeo); !regexp.MustCompile(x.want).MatchString(got) {
			t.Errorf("%.100s: %s", x.stanza, got)
		}
	}
	juliet := h.Online(t, "juliet@example.com/balcony")
	join(juliet, cave)
	if got := heard(t, juliet); !strings.Contains(got, "service-unavailable") {
		t.Errorf("juliet enters a full room and hears %s", got)
	}
}

func TestOperate(t *testing.T) {
	folder := t.TempDir()
	h := openHouse(t, folder, muc.Options{}, nil)
	address, romeo, juliet := xmpp.MustJID(cave), xmpp.MustJID("romeo@example.com"), xmpp.MustJID("juliet@example.com")
	c := muc.DefaultConfig()
	c.Name, c.MembersOnly = "Cave", true
	if err := h.Create(t.Context(), address, romeo, c); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ address, owner string }{
		{cave, "romeo@example.com"}, {"cave@example.com", "romeo@example.com"}, {"conference.example.com", "romeo@example.com"},
		{"a@conference.elsewhere.example", "romeo@example.com"}, {"a@conference.example.com", "nobody@example.com"},
		{"a@conference.example.com", "juliet@capulet.example"},
	} {
		if err := h.Create(t.Context(), xmpp.MustJID(x.address), xmpp.MustJID(x.owner), c); err == nil {
			t.Errorf("%s was made for %s", x.address, x.owner)
		}
	}
	if err := h.SetAffiliation(address, juliet, muc.Member, ""); err != nil {
		t.Error(err)
	}
	if err := h.SetAffiliation(address, xmpp.MustJID("nobody@example.com"), muc.Member, ""); err == nil {
		t.Error("nobody became a member")
	}
	if err := h.SetAffiliation(address, romeo, muc.None, ""); err == nil {
		t.Error("the last owner is none")
	}
	p := h.Online(t, "juliet@example.com/balcony")
	join(p, cave)
	quiet(p)
	d, ok, err := h.Show(address)
	if !ok || err != nil || d.Config.Name != "Cave" || len(d.Affiliated) != 2 || len(d.Present) != 1 || d.Clients != 1 {
		t.Errorf("%+v, %v, %v", d, ok, err)
	}
	if all := h.List("example.com"); len(all) != 1 || all[0].JID != address || all[0].Occupants != 1 {
		t.Errorf("%+v", all)
	}
	if err := h.SetAffiliation(address, juliet, muc.None, "gone"); err != nil {
		t.Error(err)
	}
	hears(t, p, "<presence from='"+cave+"/juliet' to='juliet@example.com/balcony' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'>"+
		"<item affiliation='none' role='none' jid='juliet@example.com/balcony'><reason>gone</reason></item><status code='110'/><status code='321'/></x><o/></presence>")
	if err := h.Destroy(address, xmpp.JID{}, "closed"); err != nil {
		t.Error(err)
	}
	if err := h.Destroy(address, xmpp.JID{}, "closed"); err == nil {
		t.Error("a room was destroyed twice")
	}
	if _, ok, err := h.Show(address); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// TestHistoryFails has nobody hear what the history does not take.
func TestHistoryFails(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, "romeo@example.com/orchard", "juliet@example.com/balcony")
	if err := h.closeHistory(); err != nil {
		t.Fatal(err)
	}
	all[0].Sends("<message to='" + cave + "' type='groupchat' id='m1'><body>hi</body></message>")
	if got := heard(t, all[0]); !strings.Contains(got, "internal-server-error") {
		t.Errorf("romeo heard %s", got)
	}
	hears(t, all[1])
}

// TestTemporaryRoomsLeaveNothing looks for what is left on disk of rooms that have gone, but for their history.
func TestTemporaryRoomsLeaveNothing(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	kept := func() (keys []string) {
		err := h.State.View(t.Context(), func(tx store.Tx) error {
			for k := range tx.Scan("rooms", store.Range{}) {
				keys = append(keys, string(k))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	before := kept()
	romeo := cast(t, h, cave, nil, "romeo@example.com/orchard")[0]
	romeo.Sends("<message to='"+cave+"' type='groupchat'><subject>Spells</subject></message>",
		"<presence to='"+cave+"/romeo' type='unavailable'/>")
	romeo = cast(t, h, cave, []string{"persistentroom=1"}, "romeo@example.com/orchard2")[0]
	romeo.Sends("<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>")
	if after := kept(); !slices.Equal(after, before) {
		t.Errorf("there is %q, and was %q", after, before)
	}
	// Somebody gives a subject to a room that ends.
	for range 20 {
		romeo = cast(t, h, cave, []string{"persistentroom=1"}, "romeo@example.com/orchard3")[0]
		var ended sync.WaitGroup
		ended.Go(func() {
			if err := h.Destroy(xmpp.MustJID(cave), xmpp.JID{}, ""); err != nil {
				t.Error(err)
			}
		})
		for range 5 {
			romeo.Sends("<message to='" + cave + "' type='groupchat'><subject>Spells</subject></message>")
		}
		ended.Wait()
		romeo.End(nil)
	}
	if after := kept(); !slices.Equal(after, before) {
		t.Errorf("there is %q, and was %q", after, before)
	}
	// Or to one that is persistent no longer.
	for i := range 20 {
		romeo = cast(t, h, cave, []string{"persistentroom=1"}, fmt.Sprint("romeo@example.com/a", i))[0]
		second := h.Online(t, "romeo@example.com/second")
		var temporary sync.WaitGroup
		temporary.Go(func() { second.Sends(configured(cave, "persistentroom=0")) })
		for range 5 {
			romeo.Sends("<message to='" + cave + "' type='groupchat'><subject>Spells</subject></message>")
		}
		temporary.Wait()
		h.Table.End(romeo.Session)
		h.Table.End(second.Session)
	}
	if after := kept(); !slices.Equal(after, before) {
		t.Errorf("there is %q, and was %q", after, before)
	}
	// Earlier versions left something of each.
	err := h.State.Update(t.Context(), func(tx store.Tx) error { return tx.Put("rooms", []byte("o12345678"), []byte("x")) })
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := kept(); !slices.Equal(after, before) {
		t.Errorf("there is %q, and was %q", after, before)
	}
}
