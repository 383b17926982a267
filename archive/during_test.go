package archive

import (
	"context"
	"slices"
	"testing"

	"confab/xmpp"
	"confab/xmpp/store"
)

// intruded is a store in which something happens whenever somebody has just begun to read.
type intruded struct {
	store.DB
	intrude func()
}

func (d *intruded) View(ctx context.Context, fn func(store.Tx) error) error {
	return d.DB.View(ctx, func(tx store.Tx) error {
		if d.intrude != nil {
			d.intrude()
		}
		return fn(tx)
	})
}

// Who reads finds what there was when he began, although it is settled, and more comes, after his View has begun.
func TestSettledDuringView(t *testing.T) {
	h := open(t, t.TempDir())
	db := &intruded{DB: h.Archive.db}
	h.Archive.db = db
	u, err := h.Audit(t.Context(), "nurse", "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	full, _ := jids[romeo].WithResource("orchard")
	page := func(q Query) func() ([]uint64, error) {
		q.Owner, q.Max = juliet, 250
		return func() (ids []uint64, err error) {
			_, err = h.Page(t.Context(), q, func(it *Item) error { ids = append(ids, it.ID); return nil })
			return ids, err
		}
	}
	find := func(s Search) func() ([]uint64, error) {
		return func() (ids []uint64, err error) {
			_, err = u.Search(t.Context(), s, func(e *Entry) error { ids = append(ids, e.ID); return nil })
			return ids, err
		}
	}
	var all []uint64
	reads := map[string]func() ([]uint64, error){
		"archive":      page(Query{}),
		"conversation": page(Query{With: jids[romeo]}),
		"resource":     page(Query{With: full}),
		"text":         page(Query{Text: text("hello")}),
		"listed":       func() ([]uint64, error) { return page(Query{IDs: all})() },
		"behind one": func() ([]uint64, error) {
			ids, err := page(Query{After: all[0]})()
			return append(all[:1:1], ids...), err
		},
		"spool": func() (ids []uint64, err error) {
			_, err = h.Spool(t.Context(), juliet, 0, func(it *Item) error { ids = append(ids, it.ID); return nil })
			return ids, err
		},
		"ends": func() ([]uint64, error) {
			newest := all[len(all)-1]
			first, last, err := h.Ends(t.Context(), juliet)
			if err == nil && (first != all[0] || last < newest) {
				t.Errorf("from %d to %d", first, last)
			}
			return all, err
		},
		"search":      find(Search{Owner: juliet}),
		"search with": find(Search{Owner: juliet, With: jids[romeo], Text: text("hello")}),
		"everywhere":  find(Search{}),
	}
	for name, read := range reads {
		for _, indexed := range []bool{false, true} {
			all = append(all, h.keep(message(romeo, juliet, "hello"))...)
			if indexed {
				h.catchUp()
			}
			db.intrude = func() {
				all = append(all, h.keep(message(romeo, juliet, "hello"))...)
				if _, err := h.settle(t.Context()); err != nil {
					t.Error(err)
				}
			}
			n := len(all)
			got, err := read()
			db.intrude = nil
			if err != nil || len(got) < n || !slices.Equal(got, all[:len(got)]) {
				t.Errorf("%s, indexed %v: %v, %v; not %v", name, indexed, got, err, all[:n])
			}
		}
		if _, err := h.Purge(t.Context(), juliet); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Purge(t.Context(), romeo); err != nil {
			t.Fatal(err)
		}
		all = nil
	}
}

// What is kept while the search index is told what is new is found in it later.
func TestKeptWhileIndexing(t *testing.T) {
	h := open(t, t.TempDir())
	db := &intruded{DB: h.Archive.db}
	h.Archive.db = db
	var all []uint64
	db.intrude = func() { all = append(all, h.keep(message(romeo, juliet, "hello"))...) }
	h.catchUp()
	db.intrude = nil
	h.catchUp()
	if got, _ := h.page(Query{Owner: juliet, Text: text("hello")}); len(all) == 0 || !slices.Equal(got, all) {
		t.Errorf("%v are found, not %v", got, all)
	}
}

// Last tells of no message that is in no index yet.
func TestNotedBeforeLast(t *testing.T) {
	h := open(t, t.TempDir())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3000 {
			h.keep(message(romeo, juliet, "1"))
		}
	}()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		last := h.Last()
		if ids := h.Archive.index(juliet, xmpp.JID{}).recent; last != 0 && (len(ids) == 0 || ids[len(ids)-1] < last) {
			t.Fatalf("message %d is the last and not noted", last)
		}
	}
}
