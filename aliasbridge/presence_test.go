package aliasbridge

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/roster"
	"confab/xmpp/directory"
	"confab/xmpp/feature/featuretest"
)

// Several members change at once, and some of it cancels out: what an alias knows of them is what they are.
func TestManyChangeAtOnce(t *testing.T) {
	s := serve(t, Options{})
	a := s.alias("sales", nil, "romeo", "juliet", "alice", "bob")
	var all []*featuretest.Person
	for _, j := range []string{"romeo@example.com/a", "juliet@example.com/a", "alice@example.com/a", "bob@example.com/a"} {
		all = append(all, s.online(j))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		for _, p := range all {
			p.Sends([]string{"<presence/>", "<presence><show>away</show></presence>", "<presence><show>dnd</show></presence>"}[r.IntN(3)])
		}
		s.Clock.Pass(settle)
		s.bridge.mu.Lock()
		got, want := s.bridge.shown[a.ID], newShown(s.bridge, a)
		s.bridge.mu.Unlock()
		if got.count != want.count || !maps.Equal(got.told, want.told) {
			t.Fatalf("round %d: %v %v, want %v %v", round, got.count, got.told, want.count, want.told)
		}
	}
}

const membersOfSales = "sales@example.com/@members'"

// Whoever is no member of the inner alias any more loses sight of the outer one that only members see, and sees it go.
func TestLosesSightThroughAnother(t *testing.T) {
	s := serve(t, Options{})
	inner := s.alias("inner", nil, "juliet")
	s.alias("sales", func(n *directory.NewAlias) { n.Settings.Visible = directory.VisibleMembers }, "inner", "romeo")
	juliet := s.online("juliet@example.com/balcony")
	s.online("romeo@example.com/orchard")
	s.Clock.Pass(settle)
	juliet.Conn.Left()
	s.update(inner, directory.Membership{Remove: []string{"juliet"}}, nil)
	if got := strings.Join(juliet.Conn.Left(), ""); strings.Count(got, membersOfSales) != 1 || !strings.Contains(got, "type='unavailable'") {
		t.Errorf("juliet heard %s", got)
	}
}

// Whoever is enabled sees the aliases that only their members see, and is seen there.
func TestEnabledMember(t *testing.T) {
	for _, mode := range []string{directory.PresenceAggregate, directory.PresenceAlways} {
		s := serve(t, Options{})
		s.alias("sales", func(n *directory.NewAlias) {
			n.Settings.Visible, n.Settings.Presence = directory.VisibleMembers, mode
		}, "carol", "romeo")
		s.online("romeo@example.com/orchard")
		s.Clock.Pass(settle)
		if err := s.bridge.dir.Update(t.Context(), s.ID("carol@example.com"), func(u *directory.User) { u.Disabled = false }); err != nil {
			t.Fatal(err)
		}
		carol := s.Connect(t, "carol@example.com/home")
		carol.Sends("<presence/>")
		s.Clock.Pass(time.Minute)
		if got := strings.Join(carol.Conn.Left(), ""); strings.Count(got, membersOfSales) != 1 || strings.Contains(got, "unavailable") {
			t.Errorf("%s: carol heard %s", mode, got)
		}
	}
}

// More aliases at once than are told of in one piece: who is online gets the item and the presence of each, the item first.
func TestManyAliasesAtOnce(t *testing.T) {
	s := serve(t, Options{})
	juliet := s.online("juliet@example.com/balcony")
	juliet.Set(roster.Interested)
	s.online("romeo@example.com/orchard")
	juliet.Conn.Left()
	list := make([]directory.NewAlias, 3*atOnce+1)
	for i := range list {
		list[i] = directory.NewAlias{Domain: "example.com", Local: fmt.Sprintf("team-%d", i), Members: []directory.NewMember{{Address: "romeo"}}}
	}
	if err := s.bridge.dir.AddAliases(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	heard := juliet.Conn.Left()
	if len(heard) != 2*len(list) {
		t.Fatalf("juliet heard %d stanzas, want %d", len(heard), 2*len(list))
	}
	for i := range list {
		address := list[i].Local + "@example.com"
		item := slices.IndexFunc(heard, func(st string) bool { return strings.Contains(st, "jid='"+address+"'") })
		presence := slices.IndexFunc(heard, func(st string) bool { return strings.Contains(st, "from='"+address+"/") })
		if item < 0 || presence < item {
			t.Errorf("%s: the item came at %d, the presence at %d", address, item, presence)
		}
	}
}

// Members come and go while an alias goes out of sight: who has been told that it is gone hears no more of it, nor does who
// comes just then hear of it.
func TestToldWhileItIsHidden(t *testing.T) {
	s := serve(t, Options{})
	a := s.alias("sales", nil, "romeo")
	romeo, juliet := s.online("romeo@example.com/orchard"), s.online("juliet@example.com/balcony")
	s.Clock.Pass(settle)
	before := s.bridge.shown[a.ID]
	s.update(a, directory.Membership{}, func(a *directory.Alias) error {
		return directory.KnobNamed("visible").Set(&a.Settings, directory.VisibleHidden)
	})
	romeo.Sends("<presence><show>away</show></presence>")
	juliet.Conn.Left()

	s.bridge.shown[a.ID] = before // as it is between the two
	s.bridge.hide("example.com")
	s.bridge.tell()
	bob := s.Connect(t, "bob@example.com/home")
	bob.Sends("<presence/>")
	s.bridge.reveal("example.com")
	if got := strings.Join(bob.Conn.Left(), ""); strings.Contains(got, membersOfSales) {
		t.Errorf("bob heard %s", got)
	}
	if got := juliet.Conn.Left(); len(got) != 1 || !strings.Contains(got[0], "type='unavailable'") {
		t.Errorf("juliet heard %q", got)
	}
}

// A session that is back from its rest counts in every alias that it is behind, and in no other.
func TestRestoredSessionCounts(t *testing.T) {
	s := serve(t, Options{})
	for i := range 8 {
		s.alias(fmt.Sprint("with", i), nil, "romeo", "juliet")
		s.alias(fmt.Sprint("without", i), nil, "juliet")
	}
	romeo := s.online("romeo@example.com/orchard")
	s.bridge.online = map[directory.ID]status{} // as after a start
	for id := range s.bridge.shown {
		s.bridge.shown[id] = newShown(s.bridge, s.bridge.dir.AliasByID(id))
	}
	if err := s.bridge.restore(romeo.Session, nil); err != nil {
		t.Fatal(err)
	}
	for id, got := range s.bridge.shown {
		if want := newShown(s.bridge, s.bridge.dir.AliasByID(id)); got.count != want.count || !maps.Equal(got.told, want.told) {
			t.Errorf("%s: %v, want %v", got.jid, got.count, want.count)
		}
	}
}
