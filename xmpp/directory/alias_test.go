package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
)

func (h *house) alias(local string) *Alias {
	h.t.Helper()
	a := h.Alias(xmpp.MustJID(local + "@" + here))
	if a == nil {
		h.t.Fatalf("there is no alias %s", local)
	}
	return a
}

func (h *house) create(local string, members ...string) *Alias {
	h.t.Helper()
	if err := h.AddAliases(h.t.Context(), newAlias(local, members...)); err != nil {
		h.t.Fatal(err)
	}
	return h.alias(local)
}

func newAlias(local string, members ...string) NewAlias {
	n := NewAlias{Domain: here, Local: local}
	for _, m := range members {
		address, moderator := strings.CutSuffix(m, "!")
		n.Members = append(n.Members, NewMember{address, moderator})
	}
	return n
}

// reached tells whom an alias reaches, moderators with a mark.
func (h *house) reached(local string) (names []string) {
	h.t.Helper()
	r := h.Reach(h.alias(local).ID)
	for _, u := range r.Users {
		name := u.User.Local
		if u.Moderator {
			name += "!"
		}
		names = append(names, name)
	}
	for _, f := range r.Foreign {
		names = append(names, f.JID.String())
	}
	for _, s := range r.Skipped {
		names = append(names, "-"+s.Address)
	}
	return names
}

func (h *house) reaches(local string, want ...string) {
	h.t.Helper()
	if got := h.reached(local); !slices.Equal(got, want) {
		h.t.Errorf("%s reaches %v, want %v", local, got, want)
	}
}

func TestAliasMembers(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet", "nurse", "tybalt")
	h.create("north", "juliet", "romeo!", "ann@example.net", "xmpp:Eve@example.net")
	h.reaches("north", "juliet", "romeo!", "eve@example.net", "-ann@example.net")
	h.create("twice", "romeo!", "romeo", "juliet", "juliet!")
	h.reaches("twice", "juliet!", "romeo!")
	own := newAlias("own", "own", "nurse")
	if own.Lenient = true; h.AddAliases(t.Context(), own) != nil {
		t.Error("an alias in its own list was refused")
	}
	h.reaches("own", "nurse")
	h.create("south", "north", "nurse")
	h.reaches("south", "juliet", "nurse", "romeo!", "eve@example.net", "-ann@example.net")
	h.create("west", "north!", "juliet")
	h.reaches("west", "juliet!", "romeo!", "eve@example.net", "-ann@example.net")

	// A circle ends.
	if err := h.UpdateAlias(t.Context(), h.alias("north").ID, Membership{Add: []NewMember{{"south", false}}}, nil); err != nil {
		t.Fatal(err)
	}
	h.reaches("north", "juliet", "nurse", "romeo!", "eve@example.net", "-ann@example.net")

	h.update("juliet", func(u *User) { u.Disabled = true })
	h.reaches("south", "nurse", "romeo!", "eve@example.net", "-ann@example.net", "-juliet@"+here)
	h.delete("romeo")
	h.reaches("south", "nurse", "eve@example.net", "-ann@example.net", "-juliet@"+here)
	// A namesake is somebody else.
	h.add("romeo")
	h.reaches("south", "nurse", "eve@example.net", "-ann@example.net", "-juliet@"+here)
}

func TestAliasOfEverybody(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet")
	n := newAlias("all")
	n.Everyone, n.Settings.MaxFanout = true, 1
	if err := h.AddAliases(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	h.reaches("all", "juliet", "romeo")
	h.add("nurse")
	h.reaches("all", "juliet", "nurse", "romeo")
}

// An address that nobody has is kept by imports, and is somebody's when there is one.
func TestAliasMemberToBe(t *testing.T) {
	h := newHouse(t)
	n := newAlias("sales", "romeo")
	if err := h.AddAliases(t.Context(), n); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	n.Lenient = true
	if err := h.AddAliases(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	h.reaches("sales", "-romeo@"+here)
	h.add("romeo")
	h.reaches("sales", "romeo")
}

func TestAliasNames(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet")
	first := h.create("sales", "romeo")
	for _, n := range []NewAlias{newAlias("sales"), newAlias("Sales"), newAlias("romeo")} {
		if err := h.AddAliases(t.Context(), n); !errors.Is(err, ErrExists) {
			t.Errorf("%s: %v", n.Local, err)
		}
	}
	if err := h.Add(t.Context(), NewUser{Domain: here, Local: "sales"}); !errors.Is(err, ErrExists) {
		t.Errorf("a user of an alias's name: %v", err)
	}
	if err := h.AddAliases(t.Context(), newAlias("b", "c"), newAlias("c", "b", "juliet"), newAlias("b")); !errors.Is(err, ErrExists) {
		t.Errorf("twice in a list: %v", err)
	}
	if err := h.AddAliases(t.Context(), newAlias("b", "c"), newAlias("c", "b", "juliet")); err != nil {
		t.Fatal(err)
	}
	h.reaches("b", "juliet")

	rename := func(id ID, to string) error {
		return h.UpdateAlias(t.Context(), id, Membership{}, func(a *Alias) error { a.Local = to; return nil })
	}
	if err := rename(first.ID, "juliet"); !errors.Is(err, ErrExists) {
		t.Errorf("renamed to a user's name: %v", err)
	}
	if err := rename(first.ID, "orders"); err != nil {
		t.Fatal(err)
	}
	old := xmpp.MustJID("sales@" + here)
	if h.Alias(old) != nil || h.ResolveAlias(old) != h.alias("orders") || h.alias("orders").ID != first.ID {
		t.Error("the former address does not lead to the alias")
	}
	if h.Conversation(old) != first.Conversation() || h.Spoken(first.Conversation()) != h.alias("orders").JID {
		t.Error("the conversation is another one")
	}
	h.clock.pass(31 * 24 * time.Hour)
	if h.ResolveAlias(old) != nil {
		t.Error("the former address is good for ever")
	}

	// Deleted, it leaves its name and nothing else.
	if err := h.DeleteAlias(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if j := xmpp.MustJID("orders@" + here); !h.WasAlias(j) || h.Alias(j) != nil || h.Spoken(first.Conversation()) != j {
		t.Error("there is no tombstone")
	}
	if again := h.create("orders", "romeo"); again.ID == first.ID || again.Conversation() == first.Conversation() {
		t.Error("the namesake inherits")
	}
}

func TestAliasCap(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet", "nurse")
	inner := h.create("inner", "romeo")
	n := newAlias("outer", "inner", "juliet")
	n.Settings.MaxFanout = 1
	if err := h.AddAliases(t.Context(), n); !errors.Is(err, ErrTooMany) {
		t.Errorf("made too large: %v", err)
	}
	n.Settings.MaxFanout = 2
	if err := h.AddAliases(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := h.UpdateAlias(t.Context(), inner.ID, Membership{Add: []NewMember{{"nurse", false}}}, nil); !errors.Is(err, ErrTooMany) {
		t.Errorf("grown from inside: %v", err)
	}
	var refused []int
	list := AliasBatch{Add: []NewAlias{n, newAlias("x", "romeo"), newAlias("y", "nobody")}}
	drafts, err := h.CheckAliases(t.Context(), list, func(i int, err error) { refused = append(refused, i) })
	if err != nil || !slices.Equal(refused, []int{0, 2}) || drafts[0] != nil || drafts[1] == nil || drafts[2] != nil {
		t.Errorf("refused %v, drafts %v, %v", refused, drafts, err)
	}
}

func TestAliasMembership(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet", "nurse")
	a := h.create("sales", "romeo", "ann@example.net")
	since := a.Members[0].Since
	h.clock.pass(time.Hour)
	change := func(m Membership) error { return h.UpdateAlias(t.Context(), a.ID, m, nil) }
	if err := change(Membership{Replace: &[]NewMember{{"juliet", false}, {"romeo", false}}}); err != nil {
		t.Fatal(err)
	}
	h.reaches("sales", "juliet", "romeo")
	if m, _ := h.Reach(a.ID).Member(h.must("romeo").ID); !m.Since.Equal(since) {
		t.Errorf("romeo is a member since %v, want %v", m.Since, since)
	}
	if err := change(Membership{Remove: []string{"juliet"}, Add: []NewMember{{"nurse", false}}, Moderators: &[]string{"nurse"}}); err != nil {
		t.Fatal(err)
	}
	h.reaches("sales", "nurse!", "romeo")
	for _, m := range []Membership{
		{Remove: []string{"juliet"}}, {Add: []NewMember{{"sales", false}}}, {Add: []NewMember{{"", false}}}, {Add: []NewMember{{"a\nb", false}}},
		{Moderators: &[]string{"juliet"}},
	} {
		if err := change(m); err == nil {
			t.Errorf("%+v was not refused", m)
		}
	}
	h.reaches("sales", "nurse!", "romeo")
}

func TestAliasesAreDurable(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet")
	h.create("sales", "romeo!", "ann@example.net")
	gone := h.create("gone")
	if err := h.DeleteAlias(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	before := *h.alias("sales")
	_, revision := h.Domain(here).Aliases()
	h = h.reopen()
	if got := *h.alias("sales"); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", before) {
		t.Errorf("got %+v, want %+v", got, before)
	}
	if all, now := h.Domain(here).Aliases(); now != revision || len(all) != 1 {
		t.Errorf("revision %d, want %d; %d aliases", now, revision, len(all))
	}
	if h.AliasTombstone(gone.ID) == nil || h.AliasByID(gone.ID) != nil || !h.WasAlias(gone.JID) {
		t.Error("the tombstone is lost")
	}
	if next := h.create("next"); next.ID <= gone.ID {
		t.Error("an id was given away twice")
	}
}

// Listeners hear each transaction once, when it is in force.
func TestAliasListeners(t *testing.T) {
	h := newHouse(t)
	var heard []string
	h.OnAliasChange(func(changes []AliasChange) {
		for _, c := range changes {
			switch {
			case c.Old == nil:
				heard = append(heard, "+"+c.New.Local)
			case c.New == nil:
				heard = append(heard, "-"+c.Old.Local)
			default:
				heard = append(heard, c.Old.Local+">"+c.New.Local)
			}
			if c.New != nil && h.AliasByID(c.New.ID) != c.New {
				t.Errorf("%s is not in force", c.New.Local)
			}
		}
	})
	if err := h.AddAliases(t.Context(), newAlias("a"), newAlias("b")); err != nil {
		t.Fatal(err)
	}
	id := h.alias("a").ID
	if err := h.UpdateAlias(t.Context(), id, Membership{}, func(a *Alias) error { a.Local = "c"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteAlias(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if want := []string{"+a", "+b", "a>c", "-c"}; !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

// Whoever reads while others change sees aliases whole.
func TestAliasesUnderWay(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet")
	a := h.create("sales", "romeo")
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if r := h.Reach(a.ID); r == nil || r.Len() < 1 || r.Len() > 2 {
					t.Errorf("reach %+v", r)
					return
				}
			}
		})
	}
	for range 50 {
		if err := h.UpdateAlias(t.Context(), a.ID, Membership{Add: []NewMember{{"juliet", false}}}, nil); err != nil {
			t.Fatal(err)
		}
		if err := h.UpdateAlias(t.Context(), a.ID, Membership{Remove: []string{"juliet"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
}

// A former address leads to whoever had it last, and to nobody once somebody
// else had it who was deleted: what was meant for the one reaches no other.
func TestFormerAddressWasSomebodyElses(t *testing.T) {
	h := newHouse(t)
	older, first := h.create("board"), h.create("sales")
	rename := func(id ID, to string) {
		t.Helper()
		h.clock.pass(time.Minute)
		if err := h.UpdateAlias(t.Context(), id, Membership{}, func(a *Alias) error { a.Local = to; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	rename(first.ID, "orders")
	rename(older.ID, "sales")
	rename(older.ID, "shop")

	info := h.create("info")
	rename(info.ID, "help")
	h.clock.pass(time.Minute)
	again := h.create("info")
	desk := h.create("desk")
	rename(desk.ID, "counter")
	h.clock.pass(time.Minute)
	h.add("desk")
	h.clock.pass(time.Minute)
	h.delete("desk")
	if err := h.DeleteAlias(t.Context(), again.ID); err != nil {
		t.Fatal(err)
	}

	check := func(when string) {
		t.Helper()
		if a := h.ResolveAlias(xmpp.MustJID("sales@" + here)); a == nil || a.ID != older.ID {
			t.Errorf("%s, sales leads to %+v", when, a)
		}
		for _, local := range []string{"info", "desk"} {
			if a := h.ResolveAlias(xmpp.MustJID(local + "@" + here)); a != nil {
				t.Errorf("%s, %s leads to %s", when, local, a.JID)
			}
		}
	}
	check("at once")
	for _, id := range []ID{first.ID, info.ID, desk.ID} {
		if err := h.UpdateAlias(t.Context(), id, Membership{}, func(a *Alias) error { a.Name = "Another"; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	check("after another change")
	h = h.reopen()
	check("after a restart")
	if a := h.ResolveAlias(xmpp.MustJID("board@" + here)); a != nil {
		t.Errorf("board, left two names ago, leads to %s", a.JID)
	}
}

// What is changed into what it is already costs no commit and is told to nobody.
func TestAliasThatDoesNotChange(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet")
	h.create("none")
	a := h.create("sales", "romeo", "juliet!")
	h = h.reopen()
	told := 0
	h.OnAliasChange(func([]AliasChange) { told++ })
	_, before := h.Domain(here).Aliases()
	members := []NewMember{{"romeo", false}, {"juliet", true}}
	update := func(id ID, m Membership, fn func(*Alias) error) {
		t.Helper()
		if err := h.UpdateAlias(t.Context(), id, m, fn); err != nil {
			t.Fatal(err)
		}
	}
	update(a.ID, Membership{Replace: &members}, func(a *Alias) error { a.Name = ""; return KnobNamed("post").Set(&a.Settings, PostDomain) })
	update(a.ID, Membership{Add: members[:1]}, nil)
	update(h.alias("none").ID, Membership{Replace: &[]NewMember{}}, nil)
	if _, after := h.Domain(here).Aliases(); after != before || told != 0 {
		t.Errorf("revision %d, was %d; told %d times", after, before, told)
	}
	members[1].Moderator = false
	update(a.ID, Membership{Replace: &members}, nil)
	if _, after := h.Domain(here).Aliases(); after == before || told != 1 {
		t.Errorf("after a change: revision %d, was %d; told %d times", after, before, told)
	}
}
