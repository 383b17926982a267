package directory

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
)

func TestRevisionMovesWithWhatOthersSee(t *testing.T) {
	h := newHouse(t)
	h.add("romeo")
	other := h.Domain(there).Revision()
	for name, step := range map[string]struct {
		fn   func(*User)
		seen bool
	}{
		"name":     {func(u *User) { u.Name = "Romeo" }, true},
		"groups":   {func(u *User) { u.Groups = []string{"Friends"} }, true},
		"hidden":   {func(u *User) { u.Hidden = true }, true},
		"disabled": {func(u *User) { u.Disabled = true }, true},
		"admin":    {func(u *User) { u.Admin = true }, false},
		"nothing":  {func(*User) {}, false},
	} {
		before := h.Domain(here).Revision()
		h.update("romeo", step.fn)
		if moved := h.Domain(here).Revision() > before; moved != step.seen {
			t.Errorf("%s: moved %v", name, moved)
		}
	}
	before := h.Domain(here).Revision()
	h.update("romeo", func(u *User) { u.Local = "r" })
	renamed := h.Domain(here).Revision()
	h.delete("r")
	if deleted := h.Domain(here).Revision(); !(before < renamed && renamed < deleted) {
		t.Errorf("revisions %d %d %d", before, renamed, deleted)
	}
	if h.Domain(there).Revision() != other {
		t.Error("the other domain's revision moved")
	}
}

func TestRevisionWhenTheClockGoesBack(t *testing.T) {
	h := newHouse(t)
	h.add("romeo")
	before := h.Domain(here).Revision()
	h.clock.pass(-24 * time.Hour)
	h.add("juliet")
	if after := h.Domain(here).Revision(); after <= before {
		t.Errorf("went from %d to %d", before, after)
	}
}

func TestChanges(t *testing.T) {
	h := newHouse(t)
	h.options.ChangeLog = 4
	h.add("a")
	first := h.Domain(here).Revision()
	h.add("b", "c")
	h.update("a", func(u *User) { u.Name = "A" })

	changes, ok := h.Changes(here, first)
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%v %s", c.Old == nil, c.New.Local))
	}
	if !ok || !slices.Equal(got, []string{"true b", "true c", "false a"}) {
		t.Errorf("%v %q", ok, got)
	}
	now := h.Domain(here).Revision()
	if changes, ok := h.Changes(here, now); !ok || len(changes) != 0 {
		t.Errorf("since now: %v %v", changes, ok)
	}
	for _, since := range []uint64{0, 1, first - 1, first + 1<<20, now + 1} {
		if changes, ok := h.Changes(here, since); ok {
			t.Errorf("since %d: %v", since, changes)
		}
	}
	if _, ok := h.Changes("montague.example", now); ok {
		t.Error("changes of a domain that is not served")
	}

	h.add("d")
	if _, ok := h.Changes(here, first); ok {
		t.Error("the log is longer than it may be")
	}
	h = h.reopen()
	if log := h.Domain(here).Snapshot().log; len(log) != 4 || log[0].New.Local != "b" {
		t.Errorf("after opening: %+v", log)
	}
	var batch []NewUser
	for i := range 10 {
		batch = append(batch, NewUser{Domain: here, Local: fmt.Sprint("e", i)})
	}
	if err := h.Add(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if log := h.Domain(here).Snapshot().log; len(log) != 4 || log[0].New.Local != "e6" || log[3].New.Local != "e9" {
			t.Errorf("after a batch: %+v", log)
		}
		h = h.reopen()
	}
}

// A client that saw a change which a backup does not have must not be told that
// nothing has changed.
func TestRestoredBackup(t *testing.T) {
	h := newHouse(t)
	h.add("romeo")
	h = h.reopen() // so that all of it is in the file
	kept := h.Domain(here).Revision()
	backup := filepath.Join(t.TempDir(), "state.db")
	data, err := os.ReadFile(h.path)
	if err == nil {
		err = os.WriteFile(backup, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.add("tybalt")
	lost := h.Domain(here).Revision()

	restored := openHouse(t, backup, Options{})
	restored.clock.pass(48 * time.Hour)
	if _, ok := restored.Changes(here, lost); ok {
		t.Error("the lost revision is known")
	}
	if changes, ok := restored.Changes(here, kept); !ok || len(changes) != 0 {
		t.Errorf("since the backup: %v %v", changes, ok)
	}
	restored.add("benvolio")
	if now := restored.Domain(here).Revision(); now == lost {
		t.Error("the lost revision was given out again")
	}
	if _, ok := restored.Changes(here, lost); ok {
		t.Error("the lost revision is known after a change")
	}
}

func TestListeners(t *testing.T) {
	h := newHouse(t)
	var heard []Change
	h.OnChange(func(c Change) {
		if c.New != nil && h.User(c.New.JID) != c.New {
			t.Errorf("heard of %s before it can be seen", c.New.JID)
		}
		if c.New == nil && h.User(c.Old.JID) != nil {
			t.Errorf("heard of the end of %s before it is gone", c.Old.JID)
		}
		h.OnChange(func(Change) {}) // nothing is locked
		heard = append(heard, c)
	})
	h.add("romeo")
	h.update("romeo", func(u *User) { u.Admin = true })
	h.update("romeo", func(u *User) { u.Local = "r" })
	h.delete("r")
	if len(heard) != 4 {
		t.Fatalf("heard %d changes", len(heard))
	}
	if heard[0].Old != nil || heard[3].New != nil || heard[2].Old.Local != "romeo" || heard[2].New.Local != "r" {
		t.Errorf("%+v", heard)
	}
	if heard[1].Revision != heard[0].Revision || heard[2].Revision <= heard[1].Revision {
		t.Errorf("revisions %d %d %d", heard[0].Revision, heard[1].Revision, heard[2].Revision)
	}
}

// Changes that are made at once are heard one after the other, in their order,
// and each before the call that made it returns.
func TestListenersInOrder(t *testing.T) {
	h := newHouse(t)
	var mu sync.Mutex
	var last uint64
	heard := make(map[string]bool)
	h.OnChange(func(c Change) {
		if !mu.TryLock() {
			t.Error("two changes are told at once")
			return
		}
		defer mu.Unlock()
		if c.Revision <= last {
			t.Errorf("%d is told after %d", c.Revision, last)
		}
		last = c.Revision
		heard[c.New.Local] = true
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 20 {
				local := fmt.Sprintf("user%d-%d", i, k)
				if err := h.Add(t.Context(), NewUser{Domain: here, Local: local}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if !heard[local] {
					t.Errorf("%s was not heard of", local)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func FuzzRecord(f *testing.F) {
	u := &User{
		ID: 7, Domain: here, Local: "romeo", Name: "Romeo", Groups: []string{"Friends", ""},
		Hidden: true, Created: time.UnixMicro(1).UTC(), Former: "r",
	}
	f.Add(appendUser(nil, u))
	f.Add(appendChange(nil, Change{Old: u}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := parseUser(b); err == nil {
			again, err := parseUser(appendUser(nil, u))
			if err != nil || fmt.Sprint(*again) != fmt.Sprint(*u) {
				t.Errorf("%+v is read again as %+v, %v", u, again, err)
			}
		}
		if c, err := parseChange(3, b); err == nil {
			if _, err := parseChange(3, appendChange(nil, c)); err != nil {
				t.Errorf("%+v is not read again: %v", c, err)
			}
		}
	})
}

func BenchmarkUser(b *testing.B) {
	h := newHouse(b)
	var list []NewUser
	for i := range 20_000 {
		list = append(list, NewUser{Domain: here, Local: fmt.Sprintf("user%05d", i)})
	}
	if err := h.AddAll(b.Context(), list, Batch{}); err != nil {
		b.Fatal(err)
	}
	full := xmpp.MustJID("user12345@" + here + "/orchard")
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if h.User(full) == nil {
				b.Fatal("lost")
			}
		}
	})
}

// The cost of 20,000 users: to add them, to add one more, to open.
func BenchmarkTwentyThousand(b *testing.B) {
	var list []NewUser
	for i := range 20_000 {
		list = append(list, NewUser{
			Domain: here, Local: fmt.Sprintf("user%05d", i), Name: fmt.Sprintf("User Number %d", i),
			Groups: []string{fmt.Sprint("Department ", i%40)},
		})
	}
	for b.Loop() {
		h := newHouse(b)
		start := time.Now()
		if err := h.AddAll(b.Context(), list, Batch{}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/add")
		start = time.Now()
		for i := range 100 {
			if err := h.Add(b.Context(), NewUser{Domain: here, Local: fmt.Sprint("late", i)}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/100, "µs/one-more")
		start = time.Now()
		h.reopen()
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/open")
	}
}

// Nobody sees or hears of what is not on disk.
func TestNothingIsSeenBeforeItIsOnDisk(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "state.db"), bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	held := storetest.Hold(db)
	defer held.Close()
	d, err := Open(t.Context(), held, Options{Domains: []string{here}})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan Change, 1)
	d.OnChange(func(c Change) { heard <- c })
	held.Hold()
	added := make(chan error, 1)
	go func() { added <- d.Add(context.Background(), NewUser{Domain: here, Local: "romeo"}) }()
	if !held.Await(1) {
		t.Fatal("nothing is written")
	}
	if d.Login(here, "romeo") != nil || d.Domain(here).Len() != 0 || len(heard) != 0 || len(added) != 0 {
		t.Error("he is there before he is on disk")
	}
	held.Release()
	if err := <-added; err != nil || len(heard) != 1 || d.Login(here, "romeo") == nil {
		t.Errorf("%v, heard of %d changes", err, len(heard))
	}
}

// The second change is heard after the first, however long that takes.
func TestASlowListenerKeepsTheOrder(t *testing.T) {
	h := newHouse(t)
	second := make(chan error, 1)
	var heard []string
	h.OnChange(func(c Change) {
		if c.New.Local == "romeo" {
			go func() { second <- h.Add(context.Background(), NewUser{Domain: here, Local: "juliet"}) }()
			for h.user("juliet") == nil {
				runtime.Gosched()
			}
			for range 10_000 {
				runtime.Gosched()
			}
		}
		heard = append(heard, c.New.Local)
	})
	h.add("romeo")
	if err := <-second; err != nil || !slices.Equal(heard, []string{"romeo", "juliet"}) {
		t.Errorf("%v, heard of %q", err, heard)
	}
}
