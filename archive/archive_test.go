package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"confab/archive/search"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
	"confab/xmpp/xmpptest"
)

const (
	romeo  directory.ID = 1
	juliet directory.ID = 2
	alice  directory.ID = 300
)

var jids = map[directory.ID]xmpp.JID{
	romeo:  xmpp.MustJID("romeo@example.com"),
	juliet: xmpp.MustJID("juliet@example.com"),
	alice:  xmpp.MustJID("alice@example.com"),
}

// house is an archive whose store can be held and can fail.
type house struct {
	*Archive
	t       testing.TB
	clock   *xmpptest.Clock
	dir     string
	held    *storetest.Held
	failing *storetest.Failing
	index   *search.Index
}

func open(t testing.TB, dir string) *house {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "archive.db"), bolt.Options{
		NoSync: true, Append: AppendSpaces(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, clock: new(xmpptest.Clock), dir: dir, failing: storetest.Fail(db)}
	h.held = storetest.Hold(h.failing)
	h.index = search.New(search.Options{Dir: filepath.Join(dir, "search"), Clock: h.clock})
	t.Cleanup(func() { h.index.Close(); h.held.Close() })
	h.Archive, err = Open(t.Context(), h.held, Options{Clock: h.clock, Log: slog.New(slog.DiscardHandler), Links: uploads, Index: h.index})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// reopen closes the store and opens it again.
func (h *house) reopen() *house {
	h.t.Helper()
	if err := errors.Join(h.index.Close(), h.held.Close()); err != nil {
		h.t.Fatal(err)
	}
	return open(h.t, h.dir)
}

// catchUp has the index follow up to now.
func (h *house) catchUp() {
	h.t.Helper()
	for {
		s, err := h.follower.step(h.t.Context(), indexBatch)
		if err != nil {
			h.t.Fatal(err)
		}
		if !s.more {
			return
		}
	}
}

// text reads what somebody looks for.
func text(s string) *search.Query {
	q, err := search.Parse(s)
	if err != nil {
		panic(err)
	}
	return q
}

// message makes a chat message between users; each of them gets a row. To oneself it is one row.
func message(from, to directory.ID, text string) *Message {
	f, _ := jids[from].WithResource("orchard")
	m := &Message{
		Stanza: fmt.Appendf(nil, "<message xmlns='jabber:client' from='%s' to='%s' type='chat' id='%s'><body>%s</body></message>", f, jids[to], text, text),
		Type:   xmpp.TypeChat, Flags: HasBody,
		Rows: []Row{{Owner: to, With: f, Incoming: true}},
	}
	if from != to {
		m.Rows = append(m.Rows, Row{Owner: from, With: jids[to]})
	}
	return m
}

func (h *house) keep(batch ...*Message) []uint64 {
	h.t.Helper()
	if err := h.Keep(context.Background(), batch, Also{}); err != nil {
		h.t.Fatal(err)
	}
	var ids []uint64
	for _, m := range batch {
		ids = append(ids, m.ID)
	}
	return ids
}

// entomb has clients see a tombstone in place of a message.
func (h *house) entomb(id uint64, with Tombstone) {
	h.t.Helper()
	err := h.db.Update(h.t.Context(), func(tx store.Tx) error { return h.setTombstone(tx, id, with) })
	if err != nil {
		h.t.Fatal(err)
	}
}

// page returns the ids of a page.
func (h *house) page(q Query) ([]uint64, Result) {
	h.t.Helper()
	ids := []uint64{}
	r, err := h.Page(h.t.Context(), q, func(it *Item) error { ids = append(ids, it.ID); return nil })
	if err != nil {
		h.t.Fatalf("%+v: %v", q, err)
	}
	return ids, r
}

func bodies(t testing.TB, h *house, q Query) []string {
	t.Helper()
	var got []string
	_, err := h.Page(t.Context(), q, func(it *Item) error {
		st, err := xmpp.Parse(it.Stanza)
		if err != nil {
			return err
		}
		got = append(got, st.Child("", "body").Text())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestKeepIsDurableBeforeDelivery(t *testing.T) {
	h := open(t, t.TempDir())
	h.held.Hold()
	delivered := make(chan uint64, 2)
	kept := make(chan error)
	go func() {
		kept <- h.Keep(context.Background(), []*Message{message(romeo, juliet, "1"), message(romeo, juliet, "2")},
			Also{Deliver: func(m *Message) { delivered <- m.ID }})
	}()
	if !h.held.Await(1) {
		t.Fatal("nothing reached the store")
	}
	if n := len(bodies(t, h, Query{Owner: juliet})); n != 0 || len(delivered) != 0 || h.Last() != 0 {
		t.Error("something is there before the commit")
	}
	h.held.Release()
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
	first, second := <-delivered, <-delivered
	if first == 0 || first >= second || h.Last() != second {
		t.Errorf("delivered %d and %d, last is %d", first, second, h.Last())
	}
	if got := bodies(t, h, Query{Owner: juliet}); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("juliet has %q", got)
	}
}

func TestKeepOnAFullDisk(t *testing.T) {
	h := open(t, t.TempDir())
	h.failing.Fail(storetest.ErrFull)
	err := h.Keep(t.Context(), []*Message{message(romeo, juliet, "1")}, Also{
		Count:   Count{Key: "session", Handled: 7},
		Deliver: func(*Message) { t.Error("a message that was not kept was delivered") },
		Flush:   func() { t.Error("flushed without a message") },
	})
	if !errors.Is(err, storetest.ErrFull) {
		t.Errorf("Keep: %v", err)
	}
	if s := h.Stats(); s.Failed != 1 || s.Messages != 0 {
		t.Errorf("%+v", s)
	}
	if _, ok, _ := h.Count(t.Context(), "session"); ok {
		t.Error("the count was kept without the messages")
	}
	h.failing.Fail(nil)
	ids := h.keep(message(romeo, juliet, "2"))
	if got, r := h.page(Query{Owner: juliet}); !slices.Equal(got, ids) || r.Count != 1 {
		t.Errorf("juliet has %v of %d, want %v", got, r.Count, ids)
	}
}

// TestDeliveryOrder has many readers keep messages at once.
func TestDeliveryOrder(t *testing.T) {
	h := open(t, t.TempDir())
	var order []uint64 // of the committer's goroutine
	flushed := 0
	var group sync.WaitGroup
	for reader := range 8 {
		group.Go(func() {
			for n := range 20 {
				batch := []*Message{message(romeo, juliet, fmt.Sprint(reader, "-", n, "a")), message(juliet, romeo, fmt.Sprint(reader, "-", n, "b"))}
				err := h.Keep(context.Background(), batch, Also{
					Deliver: func(m *Message) { order = append(order, m.ID) },
					Flush:   func() { flushed++ },
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if len(order) != 320 || !slices.IsSorted(order) || len(slices.Compact(slices.Clone(order))) != 320 {
		t.Errorf("%d messages were delivered, in the order of ids: %v", len(order), slices.IsSorted(order))
	}
	if flushed == 0 || flushed > 160 {
		t.Errorf("flushed %d times", flushed)
	}
	ids, r := h.page(Query{Owner: juliet, Max: 250})
	if !slices.Equal(ids, order[:250]) || r.Count != 320 || r.Complete {
		t.Errorf("the archive is not in the order of delivery: %+v", r)
	}
	h.check()
}

func TestIDsAscendWhenTheClockDoesNot(t *testing.T) {
	h := open(t, t.TempDir())
	first := h.keep(message(romeo, juliet, "1"), message(romeo, juliet, "2"))
	if want := uint64(h.clock.Now().UnixMicro()); first[0] != want || first[1] != want+1 {
		t.Errorf("ids %v, want those from %d on", first, want)
	}
	h.clock.Pass(time.Hour)
	later := h.keep(message(romeo, juliet, "3"))[0]
	if later != uint64(h.clock.Now().UnixMicro()) {
		t.Errorf("id %d is not the time", later)
	}
	h = h.reopen() // its clock begins anew, an hour back
	if h.Last() != later {
		t.Errorf("after opening again, the last id is %d, want %d", h.Last(), later)
	}
	if id := h.keep(message(romeo, juliet, "4"))[0]; id != later+1 {
		t.Errorf("with the clock set back, the id is %d, want %d", id, later+1)
	}
	// An id is not given away again when its message is gone (XEP-0313 §6.2).
	gone := h.Last()
	for _, o := range []directory.ID{romeo, juliet} {
		if _, err := h.Purge(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	h = h.reopen()
	if id := h.keep(message(romeo, juliet, "5"))[0]; id != gone+1 {
		t.Errorf("after a purge the id is %d, want %d", id, gone+1)
	}
}

func TestIDText(t *testing.T) {
	var texts []string
	for _, id := range []uint64{0, 1, 31, 32, 1 << 40, 1_700_000_000_000_000, 1<<64 - 1} {
		s := FormatID(id)
		if back, ok := ParseID(s); !ok || back != id || len(s) != 13 {
			t.Errorf("%d is written %q and read as %d, %v", id, s, back, ok)
		}
		texts = append(texts, s)
	}
	if !slices.IsSorted(texts) {
		t.Errorf("texts do not sort as ids do: %q", texts)
	}
	for _, s := range []string{"", "0", "00000000000000", "000000000000", "g000000000000", "000000000000w", "000000000000V", " 00000000000", "000000000000\x00", "-000000000001"} {
		if id, ok := ParseID(s); ok {
			t.Errorf("%q is read as %d", s, id)
		}
	}
}

func TestOneRowForEachOwner(t *testing.T) {
	h := open(t, t.TempDir())
	m := message(romeo, juliet, "1")
	m.Rows = append(m.Rows, m.Rows...)
	h.keep(m, message(alice, alice, "self"))
	if s := h.Stats(); s.Messages != 2 || s.Rows != 3 {
		t.Errorf("%+v", s)
	}
	for o, want := range map[directory.ID]int{romeo: 1, juliet: 1, alice: 1} {
		if ids, r := h.page(Query{Owner: o}); len(ids) != want || r.Count != want {
			t.Errorf("%d has %d of %d", o, len(ids), r.Count)
		}
	}
}

// check looks at everything that is kept: each index lists messages that are there and name its owner, without gaps in the
// ordinals, and has every message that names it.
func (h *house) check() {
	h.t.Helper()
	found := map[place][]uint64{}
	for p := range h.recent.of {
		found[p] = nil
	}
	err := h.db.View(h.t.Context(), func(tx store.Tx) error {
		for k := range tx.Scan(spaceIndex, store.Range{}) {
			found[place{directory.ID(idOf(k[:8])), peerOf(k)}] = nil
		}
		for p := range found {
			var before entry
			for e := range (index{appendPlace(nil, p), h.recent.ids(p)}).in(tx).scan(0, maxID, false) {
				if before.id != 0 && (e.ordinal != before.ordinal+1 || e.id <= before.id) {
					h.t.Errorf("%v: %v comes after %v", p, e, before)
				}
				before = e
				found[p] = append(found[p], e.id)
				if tx.Get(spaceBody, appendID(nil, e.id)) == nil {
					h.t.Errorf("%v: message %d is not there", p, e.id)
				}
			}
		}
		for k, v := range tx.Scan(spaceBody, store.Range{}) {
			var b body
			if err := b.decode(v); err != nil {
				return err
			}
			listed := 0
			err := b.eachRow(func(r *row) bool {
				if _, ok := slices.BinarySearch(found[place{owner: r.owner}], idOf(k)); !ok {
					return true // purged
				}
				listed++
				p := place{r.owner, string(bareOf(r.with))}
				if _, ok := slices.BinarySearch(found[p], idOf(k)); !ok {
					h.t.Errorf("%v: message %d is not listed", p, idOf(k))
				}
				return true
			})
			if err != nil {
				return err
			}
			if listed == 0 {
				h.t.Errorf("nobody has message %d", idOf(k))
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestCrashImage opens the files as they were at one moment, after some messages and in the middle of others.
func TestCrashImage(t *testing.T) {
	h := open(t, t.TempDir())
	var want []uint64
	for range 30 {
		want = append(want, h.keep(message(romeo, juliet, "1"), message(juliet, alice, "2"))...)
	}
	h.held.Hold()
	kept := make(chan error)
	go func() { kept <- h.Keep(context.Background(), []*Message{message(romeo, juliet, "3")}, Also{}) }()
	if !h.held.Await(1) {
		t.Fatal("nothing reached the store")
	}
	dir := t.TempDir()
	err := os.CopyFS(dir, os.DirFS(h.dir))
	h.held.Release()
	if err := errors.Join(err, <-kept); err != nil {
		t.Fatal(err)
	}
	after := open(t, dir)
	after.check()
	if ids, r := after.page(Query{Owner: juliet, Max: 250}); !slices.Equal(ids, want) || r.Count != len(want) {
		t.Errorf("juliet has %d of %d messages", len(ids), len(want))
	}
	if id := after.keep(message(romeo, juliet, "4"))[0]; id <= want[len(want)-1] {
		t.Errorf("the next id is %d, after %d", id, want[len(want)-1])
	}
	after.check()
}

// TestRoom has rows without another side, as a room has them.
func TestRoom(t *testing.T) {
	h := open(t, t.TempDir())
	var want []uint64
	for range 5 {
		m := message(romeo, juliet, "1")
		m.Rows = []Row{{Owner: 7}}
		want = append(want, h.keep(m)...)
	}
	h.check()
	if ids, r := h.page(Query{Owner: 7}); !slices.Equal(ids, want) || r.Count != 5 || !r.Complete {
		t.Errorf("the room has %v, %+v", ids, r)
	}
	if n, err := h.Purge(t.Context(), 7); n != 5 || err != nil || records(h, spaceBody) != 0 || records(h, spaceIndex) != 0 {
		t.Errorf("purged %d, %v", n, err)
	}
}

func TestCounts(t *testing.T) {
	h := open(t, t.TempDir())
	ctx := t.Context()
	count := func(key string) string {
		n, ok, err := h.Count(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(n, ok)
	}
	keep := func(key string, n uint32, batch ...*Message) {
		if err := h.Keep(ctx, batch, Also{Count: Count{key, n}}); err != nil {
			t.Fatal(err)
		}
	}
	keep("a", 1, message(romeo, juliet, "1"))
	keep("a", 1<<32-1, message(romeo, juliet, "2"))
	h.clock.Pass(time.Hour)
	keep("b", 5)
	for i := range 3000 { // more than one View reads
		keep(fmt.Sprint("c", i), 1)
	}
	if a, b, c := count("a"), count("b"), count("c"); a != "4294967295 true" || b != "5 true" || c != "0 false" {
		t.Errorf("a: %s, b: %s, c: %s", a, b, c)
	}
	h = h.reopen()
	if a := count("a"); a != "4294967295 true" {
		t.Errorf("after opening again, a: %s", a)
	}
	if err := h.DropCountsBefore(ctx, h.clock.Now().Add(30*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if a, b, c := count("a"), count("b"), count("c2999"); a != "0 false" || b != "5 true" || c != "1 true" {
		t.Errorf("after dropping the old ones, a: %s, b: %s, c2999: %s", a, b, c)
	}
	if err := h.DropCountsBefore(ctx, h.clock.Now().Add(2*time.Hour)); err != nil || records(h, spaceCount) != 0 {
		t.Errorf("after dropping all, %d are left: %v", records(h, spaceCount), err)
	}
	keep("b", 5)
	if err := h.DropCounts(ctx, "b", "unknown"); err != nil {
		t.Fatal(err)
	}
	if b := count("b"); b != "0 false" {
		t.Errorf("after dropping it, b: %s", b)
	}
}

func FuzzRecords(f *testing.F) {
	m := message(romeo, juliet, "hello")
	edit := xmpp.Edit{From: jids[alice], Label: "Bob"}
	m.Rows[0].Edit = &edit
	m.Rows[1].Edit, m.Rows[1].To = &edit, jids[romeo]
	var k keeping
	k.prepare(&Archive{}, []*Message{m}, Also{})
	f.Add(k.bodies[0])
	f.Add((&Tombstone{ID: 7, By: jids[romeo], Inside: []byte("<x/>")}).append(nil))
	f.Fuzz(func(t *testing.T, v []byte) {
		var b body
		if b.decode(v) == nil {
			_ = b.eachRow(func(r *row) bool {
				_ = bareOf(r.with)
				_, _ = b.readEdit(r)
				return true
			})
			_, _, _ = b.rowOf(romeo)
			_, _ = b.entry(1)
			if again := (body{}); again.decode(b.append(nil)) != nil {
				t.Errorf("%x cannot be read when written again", v)
			}
		}
		b.tomb = v
		if tomb, err := b.tombstone(); err == nil && tomb != nil {
			b.tomb = tomb.append(nil)
			if _, err := b.tombstone(); err != nil {
				t.Errorf("%x cannot be read when written again", v)
			}
		}
		idOf(v)
		peerOf(v)
		all, _ := appendEntries(nil, v, v)
		for i, e := range all {
			if e.ordinal-uint64(i) != all[0].ordinal {
				t.Errorf("%x has gaps", v)
			}
		}
		_, _ = readOldRow(romeo, v, &edit)
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("0000000000000")
	f.Add(FormatID(maxID))
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := ParseID(s); ok && FormatID(id) != s {
			t.Errorf("%q is read as %d, which is %q", s, id, FormatID(id))
		}
	})
}

// An edit that several rows name is stored once, with a body that knows it; each owner sees the message by his own address.
func TestSharedEdit(t *testing.T) {
	h := open(t, t.TempDir())
	shared := &xmpp.Edit{From: xmpp.MustJID("sales@example.com/romeo"), Label: "Romeo", Add: []byte("<x xmlns='urn:example'/>")}
	own := &xmpp.Edit{From: jids[alice], Add: shared.Add}
	m := message(romeo, juliet, "hi")
	m.Rows = []Row{
		{Owner: romeo, With: jids[juliet]},
		{Owner: juliet, With: jids[alice], Incoming: true, Edit: shared, To: jids[juliet]},
		{Owner: alice, With: jids[alice], Incoming: true, Edit: shared, To: jids[alice]},
		{Owner: 301, With: jids[alice], Incoming: true, Edit: own, To: jids[romeo]},
		{Owner: 302, With: jids[alice], Incoming: true, Edit: shared},
	}
	id := h.keep(m)[0]
	h.entomb(id, Tombstone{ID: id, Inside: []byte("<retracted/>")})
	h = h.reopen()
	seen := func(e *xmpp.Edit, to xmpp.JID) xmpp.Edit { c := *e; c.To = to; return c }
	want := []xmpp.Edit{{}, seen(shared, jids[juliet]), seen(shared, jids[alice]), seen(own, jids[romeo]), *shared}
	for i, r := range m.Rows {
		var items []Item
		if _, err := h.Page(t.Context(), Query{Owner: r.Owner}, func(it *Item) error { items = append(items, *it); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(items) != 1 || !reflect.DeepEqual(items[0].Edit, want[i]) {
			t.Errorf("%d has %+v, want %+v", r.Owner, items, want[i])
		}
	}
}
