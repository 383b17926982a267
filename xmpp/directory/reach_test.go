package directory

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// told is what a reach says, without what only the cache knows of it.
func (r *Reach) told() any {
	if r == nil {
		return nil
	}
	return []any{r.Alias, r.Users, r.Foreign, r.Skipped, r.at, r.inside}
}

// Whatever changes, and however much of it at once: who is reached is what one would find who looked anew, and what has
// nothing to do with the change is not looked at again.
func TestReachFollowsChanges(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(kind string) string { return fmt.Sprint(kind, r.IntN(12)) }
	member := func() NewMember {
		switch r.IntN(8) {
		case 0:
			return NewMember{"xmpp:" + pick("x") + "@example.net", false}
		case 1, 2:
			return NewMember{pick("a"), r.IntN(2) == 0}
		}
		return NewMember{pick("u"), r.IntN(2) == 0}
	}
	fresh := func() NewAlias {
		n := NewAlias{Domain: here, Local: pick("a"), Everyone: r.IntN(10) == 0, Lenient: true}
		for range 1 + r.IntN(4) {
			n.Members = append(n.Members, member())
		}
		return n
	}
	user := func() *User { return h.user(pick("u")) }
	alias := func() *Alias { all, _ := h.Domain(here).Aliases(); return all[r.IntN(len(all))] }
	again, same := 0, 0
	for step := range 600 {
		before := map[ID]*Reach{}
		all, _ := h.Domain(here).Aliases()
		for _, a := range all {
			before[a.ID] = h.Reach(a.ID)
		}
		switch k := r.IntN(9); {
		case k == 0 || len(all) == 0:
			_ = h.AddAliases(ctx, fresh())
		case k == 1:
			_ = h.Add(ctx, NewUser{Domain: here, Local: pick("u")})
		case k == 2 && user() != nil:
			if u := user(); u != nil && r.IntN(3) == 0 {
				_ = h.Delete(ctx, u.ID)
			}
		case k == 3 && r.IntN(3) == 0:
			_ = h.DeleteAlias(ctx, alias().ID)
		case k == 4:
			_ = h.UpdateAlias(ctx, alias().ID, Membership{}, func(a *Alias) error { a.Local = pick("a"); return nil })
		case k == 5:
			if u := user(); u != nil {
				_ = h.Update(ctx, u.ID, func(u *User) { u.Disabled = !u.Disabled })
			}
		case k == 6:
			if u := user(); u != nil {
				_ = h.Update(ctx, u.ID, func(u *User) { u.Local, u.Name = pick("u"), pick("Name ") })
			}
		default:
			list := []NewMember{member(), member()}
			b := AliasBatch{Add: []NewAlias{fresh(), fresh()}}
			for _, a := range []*Alias{alias(), alias()} {
				if len(b.Update) == 0 || b.Update[0].ID != a.ID {
					b.Update = append(b.Update, AliasUpdate{ID: a.ID, Membership: Membership{Replace: &list, Lenient: true}})
				}
			}
			_ = h.ChangeAliases(ctx, b)
		}
		all, _ = h.Domain(here).Aliases()
		if !slices.IsSortedFunc(all, func(a, b *Alias) int { return slices.Compare([]byte(a.Local), []byte(b.Local)) }) {
			t.Fatalf("step %d: the aliases are out of order", step)
		}
		for _, a := range all {
			got, want := h.Reach(a.ID), h.expand(a, nil)
			if h.AliasByID(a.ID) != a || h.Alias(a.JID) != a || !reflect.DeepEqual(got.told(), want.told()) {
				t.Fatalf("step %d: %s reaches %+v, want %+v", step, a.JID, got.told(), want.told())
			}
			if got == before[a.ID] {
				same++
			} else if before[a.ID] != nil && reflect.DeepEqual(got.told(), before[a.ID].told()) {
				again++
			}
		}
	}
	if same < 5*again || same == 0 {
		t.Errorf("%d reaches stayed, %d were found anew for nothing", same, again)
	}
}

// A batch is one transaction that listeners hear of once, and with an error it is none.
func TestAliasBatch(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.add("romeo", "juliet", "nurse")
	north, south := h.create("north", "romeo!"), h.create("south", "romeo")
	told := 0
	h.OnAliasChange(func(c []AliasChange) { told++ })
	replace := func(names ...string) Membership {
		return Membership{Replace: &newAliasOf(names).Members, Moderate: true}
	}
	b := AliasBatch{
		Add:    []NewAlias{newAlias("west", "south", "east"), newAlias("east", "nurse")},
		Update: []AliasUpdate{{north.ID, replace("romeo", "west"), nil}, {south.ID, replace("romeo", "nobody"), nil}},
	}
	if err := h.ChangeAliases(ctx, b); err == nil || told != 0 || h.user("west") != nil {
		t.Fatalf("%v, told %d", err, told)
	}
	var refused []int
	drafts, err := h.CheckAliases(ctx, b, func(i int, err error) { refused = append(refused, i) })
	if err != nil || !slices.Equal(refused, []int{3}) || drafts[3] != nil || drafts[2] == north || len(drafts[2].Members) != 2 {
		t.Fatalf("refused %v, drafts %+v, %v", refused, drafts, err)
	}
	b.Update[1].Membership = replace("romeo")
	if drafts, err = h.CheckAliases(ctx, b, func(i int, err error) { t.Error(i, err) }); err != nil || drafts[3] != south {
		t.Fatalf("what does not change is %+v, %v", drafts[3], err)
	}
	if err := h.ChangeAliases(ctx, b); err != nil || told != 1 {
		t.Fatalf("%v, told %d times", err, told)
	}
	h.reaches("north", "nurse", "romeo!")
	h.reaches("west", "nurse", "romeo")
	if h.AliasByID(south.ID) != south {
		t.Error("south is another one")
	}
}

func newAliasOf(members []string) *NewAlias {
	n := newAlias("", members...)
	return &n
}

// An alias outside of a batch counts: what it reaches grows with those inside of it, also when one of its addresses that
// nobody had becomes an alias.
func TestAliasBatchOverflow(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.add("romeo", "juliet", "nurse")
	h.create("inner", "romeo")
	outer := newAlias("outer", "inner", "later")
	outer.Lenient, outer.Settings.MaxFanout = true, 2
	if err := h.AddAliases(ctx, outer); err != nil {
		t.Fatal(err)
	}
	list := newAlias("", "romeo", "juliet", "nurse").Members
	for _, b := range []AliasBatch{
		{Update: []AliasUpdate{{ID: h.alias("inner").ID, Membership: Membership{Replace: &list}}}},
		{Add: []NewAlias{newAlias("later", "juliet", "nurse")}},
	} {
		if _, err := h.CheckAliases(ctx, b, func(i int, err error) { t.Error(i, err) }); err == nil {
			t.Errorf("%+v would be allowed", b)
		}
		if err := h.ChangeAliases(ctx, b); err == nil {
			t.Errorf("%+v was allowed", b)
		}
	}
}

// Users are changed together, too: all or nobody.
func TestUpdateAll(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	h.add("romeo", "juliet", "nurse")
	rename := func(local, to string) UserUpdate {
		return UserUpdate{h.must(local).ID, func(u *User) { u.Local, u.Name = to, to }}
	}
	list := []UserUpdate{rename("romeo", "paris"), rename("juliet", "paris")}
	var refused []int
	h.CheckUpdates(list, func(i int, err error) { refused = append(refused, i) })
	if err := h.UpdateAll(ctx, list...); err == nil || !slices.Equal(refused, []int{1}) || h.user("romeo") == nil {
		t.Fatalf("%v, refused %v", err, refused)
	}
	generation, revision := h.Generation(), h.Domain(here).Revision()
	if err := h.UpdateAll(ctx, rename("nurse", "nurse"), list[0]); err != nil || h.Generation() != generation+1 || h.must("nurse").Name != "nurse" {
		t.Fatalf("%v, generation %d, was %d", err, h.Generation(), generation)
	}
	generation, after := h.Generation(), h.Domain(here).Revision()
	if err := h.UpdateAll(ctx, rename("nurse", "nurse")); err != nil || h.Generation() != generation || h.Domain(here).Revision() != after || after == revision {
		t.Errorf("who does not change moved something: %v", err)
	}
}
