package aliasbridge

import (
	"fmt"
	"go/build"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"confab/archive"
	"confab/muc"
	"confab/roster"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/pep"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/store/bolt"
)

// server is a house with aliases.
type server struct {
	*featuretest.House
	t      testing.TB
	bridge *Bridge
	events *pep.PEP
}

func serve(t testing.TB, o Options) *server {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "archive.db"), bolt.Options{NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &server{t: t}
	s.House = featuretest.New(t, func(h *feature.Host) []feature.Feature {
		a, err := archive.Open(t.Context(), db, archive.Options{Clock: h.Clock, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		h.Keeper = a.Keeper()
		s.bridge = New(h, a, o)
		contacts := roster.New(h, roster.Options{Mode: roster.Off, Sources: []roster.Source{s.bridge.Contacts()}})
		rooms := muc.New(h, a, muc.Options{})
		rooms.SetSource(s.bridge.Rooms())
		nodes := pubsub.New(h, pubsub.Options{MaySee: contacts.MaySee})
		s.events = pep.New(h, nodes, pep.Options{})
		s.bridge.Connect(contacts, rooms, s.events)
		return []feature.Feature{archive.NewOffline(h, a), contacts.Feature(), archive.New(h, a), s.bridge.Feature(), rooms.Feature(), nodes.Feature(), s.events.Feature(), s.bridge.Bookmarking()}
	})
	return s
}

func (s *server) alias(local string, fn func(*directory.NewAlias), members ...string) *directory.Alias {
	s.t.Helper()
	n := directory.NewAlias{Domain: "example.com", Local: local}
	for _, m := range members {
		n.Members = append(n.Members, directory.NewMember{Address: m})
	}
	if fn != nil {
		fn(&n)
	}
	dir := s.bridge.dir
	if err := dir.AddAliases(s.t.Context(), n); err != nil {
		s.t.Fatal(err)
	}
	return dir.Alias(xmpp.MustJID(local + "@example.com"))
}

func (s *server) update(a *directory.Alias, m directory.Membership, fn func(*directory.Alias) error) *directory.Alias {
	s.t.Helper()
	if err := s.bridge.dir.UpdateAlias(s.t.Context(), a.ID, m, fn); err != nil {
		s.t.Fatal(err)
	}
	return s.bridge.dir.AliasByID(a.ID)
}

// online connects somebody who gets messages, and leaves out what greets a newcomer.
func (s *server) online(full string) *featuretest.Person {
	p := s.Connect(s.t, full)
	p.Sends("<presence/>")
	p.Conn.Left()
	return p
}

// The house stands on the floors below only.
func TestImports(t *testing.T) {
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range p.Imports {
		if strings.HasPrefix(path, "confab/cmd") || strings.HasPrefix(path, "confab/xmpp/c2s") || strings.HasPrefix(path, "confab/xmpp/feature/") {
			t.Errorf("imports %s", path)
		}
	}
}

func TestTally(t *testing.T) {
	for _, test := range []struct {
		count tally
		want  status
	}{
		{tally{}, gone}, {tally{here: 1}, here}, {tally{away: 2}, away}, {tally{busy: 2}, busy},
		{tally{away: 1, busy: 1}, away}, {tally{away: 5, busy: 5, here: 1}, here},
	} {
		if got := test.count.status(); got != test.want {
			t.Errorf("%v: %v, want %v", test.count, got, test.want)
		}
	}
}

// A MUC or alias used as an amplifier: what one sender makes of a message has a limit.
func TestAliasUsedAsAmplifier(t *testing.T) {
	s := serve(t, Options{Rate: feature.Rate{Burst: 2, PerSecond: 1}})
	s.alias("sales", nil, "juliet")
	romeo, juliet := s.online("romeo@example.com/orchard"), s.online("juliet@example.com/balcony")
	for i := range 3 {
		romeo.Sends(fmt.Sprintf("<message to='sales@example.com' type='chat' id='%d'><body>x</body></message>", i))
	}
	if got := juliet.Conn.Left(); len(got) != 2 {
		t.Errorf("juliet heard %q", got)
	}
	if got := romeo.Conn.Left(); len(got) != 1 || !strings.Contains(got[0], "<resource-constraint") || !strings.Contains(got[0], "type='wait'") {
		t.Errorf("romeo heard %q", got)
	}
}

// What the log of changes says brings any roster up to date, whatever the version, and unknown versions are told apart.
func TestChanges(t *testing.T) {
	s := serve(t, Options{})
	source, viewer := s.bridge.Contacts(), s.bridge.dir.User(xmpp.MustJID("romeo@example.com"))
	type state map[xmpp.JID]string
	look := func() state {
		m := state{}
		for c := range source.Contacts(viewer) {
			m[c.JID] = c.Name
		}
		return m
	}
	states := map[uint64]state{source.Revision("example.com"): look()}
	note := func() { states[source.Revision("example.com")] = look() }
	a := s.alias("sales", nil, "juliet")
	note()
	inner := s.alias("inner", nil, "juliet")
	note()
	a = s.update(a, directory.Membership{Add: []directory.NewMember{{Address: "inner"}}}, func(a *directory.Alias) error {
		a.Settings.Visible = directory.VisibleMembers
		return nil
	})
	note()
	s.update(inner, directory.Membership{Add: []directory.NewMember{{Address: "romeo"}}}, nil) // so he sees sales, too
	note()
	s.update(a, directory.Membership{}, func(a *directory.Alias) error { a.Local = "orders"; return nil })
	note()
	if err := s.bridge.dir.DeleteAlias(t.Context(), inner.ID); err != nil {
		t.Fatal(err)
	}
	note()
	if len(states) != 7 {
		t.Errorf("%d revisions, want 7", len(states))
	}
	for since, old := range states {
		changes, ok := source.Changes("example.com", since)
		if !ok {
			t.Fatalf("nothing is known of revision %d", since)
		}
		for _, c := range changes {
			delete(old, c.JID)
			if c.Old != nil {
				if was, there := c.Old(viewer); there {
					delete(old, was.JID)
				}
			}
			if c.New != nil {
				if now, there := c.New(viewer); there {
					old[now.JID] = now.Name
				}
			}
		}
		if fmt.Sprint(old) != fmt.Sprint(look()) {
			t.Errorf("from %d: %v, want %v", since, old, look())
		}
	}
	if _, ok := source.Changes("example.com", 12345); ok {
		t.Error("a version of another past is known")
	}
}

func TestRoomSource(t *testing.T) {
	s := serve(t, Options{})
	a := s.alias("family", func(n *directory.NewAlias) {
		n.Kind, n.Settings.History = directory.RoomAlias, directory.HistorySinceJoin
		n.Members = append(n.Members, directory.NewMember{Address: "romeo", Moderator: true})
	}, "juliet")
	rooms := s.bridge.Rooms()
	g := rooms.Room(xmpp.MustJID("family@conference.example.com"))
	if g == nil || g.ID != a.ID || g.Name != "family" {
		t.Fatalf("got %+v", g)
	}
	for _, j := range []string{"family@example.com", "conference.example.com", "nobody@conference.example.com", "family@conference.example.org"} {
		if rooms.Room(xmpp.MustJID(j)) != nil {
			t.Errorf("there is a room %s", j)
		}
	}
	var nicks []string
	for p := range rooms.Members(a.ID) {
		nicks = append(nicks, p.Nick+" "+p.Affiliation.String())
		if p.Since.IsZero() {
			t.Errorf("%s has been there always", p.Nick)
		}
	}
	if !slices.Equal(nicks, []string{"juliet member", "romeo admin"}) {
		t.Errorf("got %v", nicks)
	}
	if _, ok := rooms.Member(a.ID, xmpp.MustJID("nurse@example.com")); ok {
		t.Error("the nurse is a member")
	}
}

// Many write while the administrator changes the alias: nobody gets anything twice, nothing is lost to those who stay.
func TestChangesUnderWay(t *testing.T) {
	s := serve(t, Options{})
	a := s.alias("sales", nil, "juliet", "romeo")
	romeo, juliet := s.online("romeo@example.com/orchard"), s.online("juliet@example.com/balcony")
	romeo.Conn.Left()
	const messages = 40
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range messages {
			romeo.Sends(fmt.Sprintf("<message to='sales@example.com' type='chat' id='m%d'><body>x</body></message>", i))
		}
	})
	for range 10 {
		s.update(a, directory.Membership{Remove: []string{"romeo"}}, nil)
		s.update(a, directory.Membership{Add: []directory.NewMember{{Address: "romeo"}}}, func(a *directory.Alias) error {
			a.Name += "x"
			return nil
		})
		s.bridge.tell()
	}
	wg.Wait()
	seen := map[string]int{}
	for _, x := range juliet.Conn.Left() {
		if st, err := xmpp.Parse([]byte(x)); err == nil && st.Kind == xmpp.KindMessage {
			seen[string(st.ID)]++
		}
	}
	for i := range messages {
		if id := fmt.Sprintf("m%d", i); seen[id] != 1 {
			t.Errorf("%s came %d times", id, seen[id])
		}
	}
}
