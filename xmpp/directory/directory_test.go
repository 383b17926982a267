package directory

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
)

const (
	here  = "capulet.example"
	there = "example.com"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) AfterFunc(d time.Duration, f func()) xmpp.Timer { return time.AfterFunc(d, f) }

// house is a directory with what is under it.
type house struct {
	*Directory
	t     testing.TB
	db    *storetest.Failing
	clock *clock
	path  string
}

func newHouse(t testing.TB) *house {
	return openHouse(t, filepath.Join(t.TempDir(), "state.db"), Options{})
}

func openHouse(t testing.TB, path string, o Options) *house {
	t.Helper()
	db, err := bolt.Open(path, bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, db: storetest.Fail(db), path: path}
	t.Cleanup(func() { db.Close() })
	h.clock = &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	o.Clock = h.clock
	if o.Domains == nil {
		o.Domains = []string{here, there}
	}
	if h.Directory, err = Open(t.Context(), h.db, o); err != nil {
		t.Fatal(err)
	}
	return h
}

// reopen closes the store and opens it again, an hour later.
func (h *house) reopen() *house {
	h.t.Helper()
	if err := h.db.Close(); err != nil {
		h.t.Fatal(err)
	}
	o := h.options
	h2 := openHouse(h.t, h.path, o)
	h2.clock.now = h.clock.now.Add(time.Hour)
	return h2
}

func (h *house) add(locals ...string) {
	h.t.Helper()
	for _, l := range locals {
		if err := h.Add(h.t.Context(), NewUser{Domain: here, Local: l}); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) update(local string, fn func(*User)) *User {
	h.t.Helper()
	u := h.must(local)
	if err := h.Update(h.t.Context(), u.ID, fn); err != nil {
		h.t.Fatal(err)
	}
	return h.ByID(u.ID)
}

func (h *house) delete(local string) {
	h.t.Helper()
	if err := h.Delete(h.t.Context(), h.must(local).ID); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) must(local string) *User {
	h.t.Helper()
	u := h.user(local)
	if u == nil {
		h.t.Fatalf("there is no %s", local)
	}
	return u
}

func (h *house) user(local string) *User { return h.User(xmpp.MustJID(local + "@" + here)) }

func (h *house) locals() (all []string) {
	for u := range h.Domain(here).Users() {
		all = append(all, u.Local)
	}
	return all
}

func TestFind(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "juliet")
	if err := h.Add(t.Context(), NewUser{Domain: there, Local: "romeo", Name: "Another"}); err != nil {
		t.Fatal(err)
	}
	u := h.must("romeo")
	if got := h.User(xmpp.MustJID("Romeo@" + here + "/orchard")); got != u {
		t.Errorf("by full JID: %+v", got)
	}
	if got := h.ByID(u.ID); got != u {
		t.Errorf("by id: %+v", got)
	}
	if other := h.User(xmpp.MustJID("romeo@" + there)); other == u || other.Name != "Another" || other.ID == u.ID {
		t.Errorf("the other domain's: %+v", other)
	}
	for _, j := range []string{"nurse@" + here, here, "romeo@montague.example"} {
		if got := h.User(xmpp.MustJID(j)); got != nil {
			t.Errorf("%s is %+v", j, got)
		}
	}
	if got := h.locals(); !slices.Equal(got, []string{"juliet", "romeo"}) {
		t.Errorf("users are %q", got)
	}
	if h.Domain("montague.example") != nil || h.Domain(here).Len() != 2 {
		t.Error("domains are mixed up")
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	h := newHouse(t)
	h.add("romeo")
	full := xmpp.MustJID("romeo@" + here + "/orchard")
	id := h.must("romeo").ID
	allocs := testing.AllocsPerRun(100, func() {
		if h.User(full) == nil || h.ByID(id) == nil || h.Resolve(full) == nil {
			t.Fatal("lost")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestMailAddresses(t *testing.T) {
	h := newHouse(t)
	h.add("o'brien", "Anna.Karenina", `d\27artagnan`)
	for name, want := range map[string]string{
		"o'brien":                 `o\27brien`,
		`o\27brien`:               `o\27brien`,
		"O'Brien":                 `o\27brien`,
		"o'brien@" + here:         `o\27brien`,
		"o'brien@Capulet.Example": `o\27brien`,
		"anna.karenina":           "anna.karenina",
		"ANNA.KARENINA@" + here:   "anna.karenina",
		"d'artagnan":              `d\27artagnan`,
	} {
		u := h.Login(here, name)
		if u == nil || u.Local != want {
			t.Errorf("%s logs in as %+v, not as %s", name, u, want)
		}
	}
	for _, name := range []string{"", "obrien", "o'brien@" + there, "@", "@" + here, "o'brien@", "\x00", strings.Repeat("a", 2000)} {
		if u := h.Login(here, name); u != nil {
			t.Errorf("%q logs in as %s", name, u.JID)
		}
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "o'brien")
	long := strings.Repeat("a", 129)
	tests := []struct {
		name string
		user NewUser
		kind error
		text string
	}{
		{"same name", NewUser{Domain: here, Local: "romeo"}, ErrExists, "there is a user romeo@capulet.example already"},
		{"same name but for case", NewUser{Domain: here, Local: "ROMEO"}, ErrExists, "romeo@capulet.example already"},
		{"same name escaped", NewUser{Domain: here, Local: `o\27brien`}, ErrExists, "already"},
		{"no name", NewUser{Domain: here}, ErrName, "needs a name"},
		{"control character", NewUser{Domain: here, Local: "ro\x07meo"}, ErrName, `"ro\ameo" cannot be the name of a user`},
		{"too long", NewUser{Domain: here, Local: strings.Repeat("a", 1024)}, ErrName, "cannot be the name"},
		{"domain of others", NewUser{Domain: "montague.example", Local: "romeo"}, ErrDomain, `"montague.example" is not served here, only capulet.example, example.com`},
		{"no domain", NewUser{Local: "romeo"}, ErrDomain, "not served here"},
		{"long display name", NewUser{Domain: here, Local: "tybalt", Name: long}, ErrName, "display name of tybalt@capulet.example is longer than 128"},
		{"long group", NewUser{Domain: here, Local: "tybalt", Groups: []string{long}}, ErrName, "group of tybalt@capulet.example"},
		{"many groups", NewUser{Domain: here, Local: "tybalt", Groups: make([]string, 65)}, ErrName, "more than 64 groups"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := h.Add(t.Context(), NewUser{Domain: here, Local: "nurse"}, tt.user)
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v", err)
			}
			if h.user("nurse") != nil {
				t.Error("part of the list was added")
			}
			var told []error
			h.Check([]NewUser{{Domain: here, Local: "nurse"}, tt.user}, func(i int, err error) {
				if i != 1 {
					t.Errorf("number %d: %v", i, err)
				}
				told = append(told, err)
			})
			if len(told) != 1 || !errors.Is(told[0], tt.kind) {
				t.Errorf("Check: %v", told)
			}
		})
	}
	twice := []NewUser{{Domain: here, Local: "nurse"}, {Domain: here, Local: "Nurse"}}
	if err := h.Add(t.Context(), twice...); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "twice") {
		t.Errorf("twice in a list: %v", err)
	}
	if err := h.Update(t.Context(), h.must("romeo").ID, func(u *User) { u.Local = "o'brien" }); !errors.Is(err, ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	for _, err := range []error{
		h.Update(t.Context(), 99, func(*User) {}),
		h.Delete(t.Context(), 99),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
	}
}

func TestNamesAreCleaned(t *testing.T) {
	h := newHouse(t)
	err := h.Add(t.Context(), NewUser{
		Domain: here, Local: "juliet", Name: " Juliet\u202e\r\n Capulet\x00 ",
		Groups: []string{"House\u2028of  Capulet", "", "House of Capulet", "\u2066Ladies\u2069"},
	})
	if err != nil {
		t.Fatal(err)
	}
	u := h.must("juliet")
	if u.Name != "Juliet Capulet" || !slices.Equal(u.Groups, []string{"House of Capulet", "Ladies"}) {
		t.Errorf("%q %q", u.Name, u.Groups)
	}
	for in, want := range map[string]string{"": "", "Zoe\u0308": "Zoë", "a\xffb": "ab", "\u200f\u061c": "", "נינה": "נינה", "👩‍🚀": "👩‍🚀"} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q", in, got)
		}
	}
}

func TestAddAll(t *testing.T) {
	h := newHouse(t)
	h.add("user0003")
	var list []NewUser
	for i := range 5000 {
		list = append(list, NewUser{Domain: here, Local: fmt.Sprintf("user%04d", 4999-i)})
	}
	var progress []int
	batch := Batch{Progress: func(done int) { progress = append(progress, done) }}
	err := h.AddAll(t.Context(), list, batch)
	if !errors.Is(err, ErrExists) || h.Domain(here).Len() != 4001 || !slices.Equal(progress, []int{2000, 4000}) {
		t.Fatalf("stopped by %v at %d, progress %d", err, h.Domain(here).Len(), progress)
	}

	progress = nil
	refused := 0
	batch.Refused = func(u NewUser, err error) error { refused++; return nil }
	if err := h.AddAll(t.Context(), list, batch); err != nil {
		t.Fatal(err)
	}
	if refused != 4001 || h.Domain(here).Len() != 5000 || !slices.Equal(progress, []int{2000, 4000, 5000}) {
		t.Errorf("%d refused, %d users, progress %d", refused, h.Domain(here).Len(), progress)
	}
	if !slices.IsSorted(h.locals()) {
		t.Error("users are not in order")
	}
}

func TestReopen(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "nurse", "tybalt")
	h.update("romeo", func(u *User) {
		u.Name, u.Groups = "Romeo", []string{"Montague", "Friends"}
		u.Hidden, u.Disabled, u.Admin = true, true, true
	})
	h.update("nurse", func(u *User) { u.Local = "angelica" })
	h.delete("tybalt")
	want := h.Domain(here).Snapshot()
	stone := *h.Tombstone(3)

	h2 := h.reopen()
	got := h2.Domain(here).Snapshot()
	if h2.Epoch() != h.Epoch() || len(h.Epoch()) < 16 {
		t.Errorf("epoch was %q, is %q", h.Epoch(), h2.Epoch())
	}
	if got.Revision != want.Revision || len(got.Users) != len(want.Users) || len(got.log) != len(want.log) {
		t.Fatalf("was %+v, is %+v", want, got)
	}
	for i := range got.Users {
		if a, b := fmt.Sprintf("%+v", *want.Users[i]), fmt.Sprintf("%+v", *got.Users[i]); a != b {
			t.Errorf("was %s\n is %s", a, b)
		}
	}
	if got := h2.Tombstone(3); got == nil || fmt.Sprint(*got) != fmt.Sprint(stone) || h2.ByID(3) != nil {
		t.Errorf("tombstone was %+v, is %+v", stone, got)
	}
	changes, ok := h2.Changes(here, want.log[0].Revision)
	if !ok || len(changes) != 5 || changes[4].New != nil || changes[4].Old.Local != "tybalt" || changes[2].New.Name != "Romeo" {
		t.Errorf("%v, changes are %+v", ok, changes)
	}
	h2.add("tybalt")
	if id := h2.must("tybalt").ID; id != 4 {
		t.Errorf("a namesake has the id %d", id)
	}
}

func TestDomainThatIsNoLongerServed(t *testing.T) {
	h := newHouse(t)
	h.add("romeo")
	h.options.Domains = []string{there}
	h = h.reopen()
	if h.Domain(here) != nil || h.user("romeo") != nil || h.ByID(1) != nil {
		t.Error("a user of it can be found")
	}
	if got := h.Absent(); len(got) != 1 || got[here] != 1 {
		t.Errorf("absent are %v", got)
	}
	if err := h.Add(t.Context(), NewUser{Domain: there, Local: "romeo"}); err != nil || h.ByID(2) == nil {
		t.Errorf("the next user: %v", err)
	}
	h.options.Domains = []string{here, there}
	h = h.reopen()
	if u := h.must("romeo"); u.ID != 1 || len(h.Absent()) != 0 {
		t.Errorf("is back as %+v, absent are %v", u, h.Absent())
	}
}

func TestRename(t *testing.T) {
	h := newHouse(t)
	h.add("juliet", "nurse")
	before := h.must("juliet")
	after := h.update("juliet", func(u *User) { u.Local = "Juliet.Montague"; u.ID = 7; u.Domain = there; u.Former = "nurse" })
	if after.ID != before.ID || after.JID.String() != "juliet.montague@"+here || before.Local != "juliet" {
		t.Fatalf("%+v became %+v", before, after)
	}
	old := xmpp.MustJID("juliet@" + here)
	if h.User(old) != nil || h.Resolve(old) != after || h.Login(here, "juliet") != after {
		t.Error("the former address is not resolved")
	}
	if got := h.locals(); !slices.Equal(got, []string{"juliet.montague", "nurse"}) {
		t.Errorf("users are %q", got)
	}
	h.clock.pass(30*24*time.Hour + time.Second)
	if h.Resolve(old) != nil {
		t.Error("the former address is resolved after 30 days")
	}

	after = h.update("juliet.montague", func(u *User) { u.Local = "juliet" })
	if h.user("juliet") != after || h.Resolve(xmpp.MustJID("juliet.montague@"+here)) != after {
		t.Error("she cannot go back")
	}
	h.update("juliet", func(u *User) { u.Local = "jule" })
	h.add("juliet")
	if u := h.Resolve(old); u == nil || u.ID == after.ID {
		t.Errorf("the address of a newcomer is resolved to %+v", u)
	}
	h.update("jule", func(u *User) { u.Local = "lady.capulet" })
	h.update("lady.capulet", func(u *User) { u.Local = "jule" })
	if h.Resolve(xmpp.MustJID("juliet.montague@"+here)) != nil {
		t.Error("an address is resolved that was left two changes ago")
	}
	h.delete("jule")
	if h.Resolve(xmpp.MustJID("jule@"+here)) != nil {
		t.Error("a deleted user is resolved")
	}
}

func TestDelete(t *testing.T) {
	h := newHouse(t)
	h.add("tybalt", "nurse")
	var gone []ID
	h.OnDelete(func(tx store.Tx, id ID) error {
		gone = append(gone, id)
		return tx.Put("test", []byte("gone"), []byte{byte(id)})
	})
	h.delete("tybalt")
	if !slices.Equal(gone, []ID{1}) || h.user("tybalt") != nil || h.ByID(1) != nil {
		t.Errorf("gone are %d", gone)
	}
	stone := h.Tombstone(1)
	if stone == nil || stone.Local != "tybalt" || !stone.Deleted.Equal(h.clock.Now()) {
		t.Errorf("%+v", stone)
	}
	if err := h.Delete(t.Context(), 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	h.add("tybalt")
	if id := h.must("tybalt").ID; id != 3 {
		t.Errorf("a namesake has the id %d", id)
	}

	h.OnDelete(func(store.Tx, ID) error { return errors.New("not now") })
	if err := h.Delete(t.Context(), 2); err == nil || h.user("nurse") == nil || h.Domain(here).Len() != 2 {
		t.Errorf("what the store refused was done: %v", err)
	}
}

func TestAlso(t *testing.T) {
	h := newHouse(t)
	put := func(tx store.Tx, id ID) error { return tx.Put("test", []byte{byte(id)}, []byte("x")) }
	fail := func(store.Tx, ID) error { return errors.New("not now") }
	err := h.Add(t.Context(), NewUser{Domain: here, Local: "romeo", Also: put}, NewUser{Domain: here, Local: "juliet", Also: fail})
	if err == nil || h.Domain(here).Len() != 0 {
		t.Fatalf("%v, %d users", err, h.Domain(here).Len())
	}
	if err := h.Add(t.Context(), NewUser{Domain: here, Local: "romeo", Also: put}); err != nil {
		t.Fatal(err)
	}
	var kept []byte
	err = h.db.View(context.Background(), func(tx store.Tx) error {
		for key := range tx.Scan("test", store.Range{}) {
			kept = append(kept, key...)
		}
		return nil
	})
	if id := h.must("romeo").ID; err != nil || !slices.Equal(kept, []byte{byte(id)}) {
		t.Errorf("%v: kept for %d, the user is %d", err, kept, id)
	}
}

func TestStoreFails(t *testing.T) {
	h := newHouse(t)
	h.add("romeo")
	before := h.Domain(here).Snapshot()
	full := errors.New("disk full")
	h.OnChange(func(c Change) { t.Errorf("listeners hear of %+v", c) })
	h.db.Fail(full)
	for _, err := range []error{
		h.Add(t.Context(), NewUser{Domain: here, Local: "juliet"}),
		h.Update(t.Context(), 1, func(u *User) { u.Local, u.Name = "r", "R" }),
		h.Delete(t.Context(), 1),
	} {
		if !errors.Is(err, full) {
			t.Errorf("%v", err)
		}
	}
	if h.Domain(here).Snapshot() != before || h.must("romeo") != before.Users[0] || h.user("juliet") != nil {
		t.Error("something changed")
	}
	h.db.Fail(nil)
	h.hooks.Lock()
	h.listeners = nil
	h.hooks.Unlock()
	h.add("juliet")
	if h.must("juliet").ID != 2 {
		t.Errorf("%+v", h.must("juliet"))
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Add(cancelled, NewUser{Domain: here, Local: "nurse"}); !errors.Is(err, context.Canceled) || h.user("nurse") != nil {
		t.Errorf("cancelled: %v", err)
	}
}

// Somebody who had an address before and was deleted does not end what leads from it to whoever left it later, and nor does
// a restart.
func TestFormerAddressOfTwo(t *testing.T) {
	h := newHouse(t)
	h.add("romeo", "nurse")
	h.delete("romeo")
	h.clock.now = h.clock.now.Add(time.Hour)
	h.add("romeo")
	h.clock.now = h.clock.now.Add(time.Hour)
	montague := h.update("romeo", func(u *User) { u.Local = "montague" })
	former := xmpp.MustJID("romeo@" + here)
	for _, when := range []string{"at once", "after a restart"} {
		if u := h.Resolve(former); u == nil || u.ID != montague.ID {
			t.Errorf("%s: %s leads to %+v", when, former, u)
		}
		h = h.reopen()
	}
	h.add("romeo") // who takes the address and leaves this world ends it
	h.delete("romeo")
	for range 2 {
		if u := h.Resolve(former); u != nil {
			t.Errorf("%s leads to %+v", former, u)
		}
		h = h.reopen()
	}
}
