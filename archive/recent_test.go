package archive

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// settleSome is a settling that was cut short: it wrote some of the indices, and not how far it got.
func (h *house) settleSome() {
	h.t.Helper()
	all, upto := h.recent.places()
	err := h.db.Update(h.t.Context(), func(tx store.Tx) error {
		for i, p := range all {
			if i%2 == 0 {
				continue
			}
			if err := (index{prefix: appendPlace(nil, p)}).extend(tx, until(h.recent.ids(p), upto)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// What is noted has an end, and none of it is lost.
func TestRecentIsBounded(t *testing.T) {
	h := open(t, t.TempDir())
	const each, owners = 40, settleAt / 8
	for range each {
		m := message(romeo, juliet, "hi")
		m.Rows = m.Rows[:0]
		for o := range owners {
			m.Rows = append(m.Rows, Row{Owner: directory.ID(o + 1), With: jids[juliet]})
		}
		h.keep(m)
		if n := h.recent.size(); n > maxRecent+2*owners {
			t.Fatalf("%d are noted", n)
		}
	}
	for _, o := range []directory.ID{1, 2, owners / 2, owners} {
		if _, r := h.page(Query{Owner: o, With: jids[juliet]}); r.Count != each {
			t.Errorf("%d has %d messages of %d", o, r.Count, each)
		}
	}
	h.recent.settling.Lock() // until the background is done
	defer h.recent.settling.Unlock()
	if records(h, spaceIndex) == 0 {
		t.Error("nothing was settled")
	}
}

// What was not settled is settled when the archive is opened, if it is much.
func TestMuchIsRecalled(t *testing.T) {
	const each, owners = 5, settleAt / 8
	h := open(t, t.TempDir())
	h.recent.settling.Lock() // in the background nothing is
	m := message(romeo, juliet, "hi")
	m.Rows = m.Rows[:0]
	for o := range owners {
		m.Rows = append(m.Rows, Row{Owner: directory.ID(o + 1), With: jids[juliet]})
	}
	for range each {
		h.keep(m)
	}
	after := h.reopen()
	h.recent.settling.Unlock()
	if n := after.recent.size(); n >= settleAt || records(after, spaceIndex) == 0 {
		t.Errorf("%d are noted, %d blocks are written", n, records(after, spaceIndex))
	}
	for _, o := range []directory.ID{1, owners} {
		if _, r := after.page(Query{Owner: o, With: jids[juliet]}); r.Count != each {
			t.Errorf("%d has %d messages of %d", o, r.Count, each)
		}
	}
}

// counting counts transactions.
type counting struct {
	store.DB
	updates atomic.Int64
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.updates.Add(1)
	return c.DB.Update(ctx, fn)
}

// Of many who find that too much is noted one settles.
func TestSettledOnceForMany(t *testing.T) {
	const waiting = 30
	h := open(t, t.TempDir())
	db := &counting{DB: h.Archive.db}
	h.Archive.db = db
	for i := range maxRecent {
		h.recent.add(place{owner: directory.ID(1000 + i%settleBlocks)}, uint64(i+1))
	}
	h.recent.upto = maxRecent
	h.held.Hold()
	var group sync.WaitGroup
	for range waiting {
		group.Go(func() { h.keep(message(romeo, juliet, "1")) })
	}
	h.held.Await(1)
	h.held.Release()
	group.Wait()
	if n := db.updates.Load(); n > waiting+2 {
		t.Errorf("%d transactions for %d messages", n, waiting)
	}
}

// A store that takes nothing for a while costs nothing but that.
func TestSettleFails(t *testing.T) {
	h := open(t, t.TempDir())
	ids := h.keep(message(romeo, juliet, "1"), message(romeo, juliet, "2"))
	failed := errors.New("no")
	h.failing.Fail(failed)
	if _, err := h.settle(t.Context()); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if _, err := h.Purge(t.Context(), romeo); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	h.failing.Fail(nil)
	h.check()
	if got, _ := h.page(Query{Owner: romeo}); !slices.Equal(got, ids) {
		t.Errorf("romeo has %v, not %v", got, ids)
	}
	if _, err := h.settle(t.Context()); err != nil || len(h.recent.of) != 0 || h.recent.n != 0 {
		t.Errorf("%v, %d places are left", err, len(h.recent.of))
	}
	h.check()
}

// An attempt to settle that failed is not repeated with each message that comes.
func TestSettleRetry(t *testing.T) {
	h := open(t, t.TempDir())
	db := &counting{DB: h.Archive.db}
	h.Archive.db = db
	for i := range settleAt {
		h.recent.add(place{owner: romeo}, uint64(i+1))
	}
	h.recent.upto = settleAt
	h.failing.Fail(errors.New("no"))
	h.settleSoon()
	for deadline := time.Now().Add(20 * time.Second); h.clock.Timers() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("there will be no other attempt")
		}
	}
	for range 10 {
		h.settleSoon()
	}
	if n := db.updates.Load(); n != 1 {
		t.Errorf("%d attempts", n)
	}
	if h.clock.Pass(settleRetry); h.recent.background.Load() {
		t.Error("none is made later")
	}
}

// What was removed is not noted again from the messages that others still have.
func TestRemovedStaysRemoved(t *testing.T) {
	h := open(t, t.TempDir())
	for range 100 {
		h.keep(message(romeo, juliet, "1"), message(juliet, alice, "2"))
	}
	if n, err := h.Purge(t.Context(), romeo); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	later := h.keep(message(romeo, juliet, "3"))
	h = h.reopen()
	h.check()
	if ids, r := h.page(Query{Owner: romeo}); !slices.Equal(ids, later) || r.Count != 1 {
		t.Errorf("romeo has %v, %+v", ids, r)
	}
	h.clock.Pass(2 * MinRetention)
	if n, err := h.Retain(t.Context(), MinRetention); n != 201 || err != nil {
		t.Error(n, err)
	}
	h = h.reopen()
	h.check()
	if _, r := h.page(Query{Owner: juliet}); r.Count != 0 {
		t.Errorf("juliet has %+v", r)
	}
	if n := records(h, spaceIndex); n != 0 {
		t.Errorf("%d blocks are left", n)
	}
}

// Who reads while messages come and are settled and removed finds each once, in order, without gaps.
func TestReadingWhileSettling(t *testing.T) {
	h := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			if _, err := h.settle(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	group.Go(func() {
		defer cancel()
		for range 1000 {
			h.keep(message(romeo, juliet, "1"), message(alice, juliet, "2"))
			h.clock.Pass(time.Millisecond)
		}
	})
	seen := 0
	for ctx.Err() == nil {
		before := h.stats.messages.Load()
		ids, r := h.page(Query{Owner: juliet, Last: true, Max: 100})
		if r.Count < max(seen, int(before)) || len(ids) > 0 && r.Index+len(ids) != r.Count || !slices.IsSorted(ids) {
			t.Errorf("%d messages after %d, a page of %d from %d on", r.Count, before, len(ids), r.Index)
			cancel()
		}
		seen = r.Count
	}
	group.Wait()
	h.check()
}

// A transaction sees what is committed with it.
func TestInTheSameTransaction(t *testing.T) {
	for _, name := range []string{"noted", "settled"} {
		t.Run(name, func(t *testing.T) {
			h := open(t, t.TempDir())
			old := h.keep(message(romeo, juliet, "0"), message(juliet, romeo, "1"), message(alice, juliet, "1"))
			if name == "settled" {
				if _, err := h.settle(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			m := []*Message{message(romeo, juliet, "2"), message(romeo, alice, "3"), message(juliet, romeo, "4"), message(romeo, alice, "5")}
			var first, last, end uint64
			var items []Item
			err := h.Keep(t.Context(), m, Also{Write: func(tx store.Tx) (err error) {
				first, last = h.endsIn(tx, juliet)
				items, end = h.spoolIn(tx, juliet, old[0])
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			if first != old[0] || last != m[2].ID || end != last || len(items) != 2 || items[0].ID != old[2] || items[1].ID != m[0].ID {
				t.Errorf("from %d to %d; %d waits, up to %d", first, last, len(items), end)
			}
		})
	}
}
