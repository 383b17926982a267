package archive

import (
	"context"
	"os"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// crashing is a store whose files somebody looks at after each commit.
type crashing struct {
	store.DB
	look func()
}

func (d *crashing) Update(ctx context.Context, fn func(store.Tx) error) error {
	err := d.DB.Update(ctx, fn)
	if d.look != nil {
		d.look()
	}
	return err
}

// What takes several transactions may be cut short behind any of them.
func TestCrashBetweenTransactions(t *testing.T) {
	const n, others = 2*sweepBodies + 10, directory.ID(1000)
	h := open(t, t.TempDir())
	db := &crashing{DB: h.Archive.db}
	h.Archive.db = db
	for i := range directory.ID(n) {
		m := message(romeo, juliet, "1")
		m.Rows = []Row{{Owner: romeo, With: xmpp.MustJID("user" + FormatID(uint64(i)) + "@example.com")}, {Owner: others + i, With: jids[romeo], Incoming: true}}
		h.keep(m)
	}
	now := h.clock.Now()
	// at calls then with what a crash leaves, at each point of what is done.
	at := func(points int, do func(), then func(c *house)) {
		t.Helper()
		db.look = func() {
			points--
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(h.dir)); err != nil {
				t.Fatal(err)
			}
			c := open(t, dir)
			c.clock.Pass(h.clock.Now().Sub(now))
			c.check()
			then(c)
			c.check()
		}
		do()
		if db.look = nil; points > 0 {
			t.Errorf("there were %d transactions less", points)
		}
	}
	othersHave := func(c *house) {
		t.Helper()
		for i := range directory.ID(n) {
			if _, r := c.page(Query{Owner: others + i, With: jids[romeo]}); r.Count != 1 {
				t.Fatalf("%d has %d messages", others+i, r.Count)
			}
		}
	}
	at(n/settleBlocks+2, func() {
		if _, err := h.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}, func(c *house) {
		othersHave(c)
		if _, r := c.page(Query{Owner: romeo}); r.Count != n {
			t.Errorf("romeo has %d messages", r.Count)
		}
	})
	at(3, func() {
		if _, err := h.Purge(t.Context(), romeo); err != nil {
			t.Fatal(err)
		}
	}, func(c *house) {
		if _, err := c.Purge(t.Context(), romeo); err != nil {
			t.Error(err)
		}
		if left := c.blocks(romeo); len(left) > 0 {
			t.Errorf("%d blocks are left", len(left))
		}
		othersHave(c)
	})
	h.clock.Pass(2 * MinRetention)
	at(3, func() {
		if _, err := h.Retain(t.Context(), MinRetention); err != nil {
			t.Fatal(err)
		}
	}, func(c *house) {
		if _, err := c.Retain(t.Context(), MinRetention); err != nil {
			t.Error(err)
		}
		if b, x := records(c, spaceBody), records(c, spaceIndex); b != 0 || x != 0 {
			t.Errorf("%d messages and %d blocks are left", b, x)
		}
	})
}
