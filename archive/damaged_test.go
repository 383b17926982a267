package archive

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"confab/xmpp/store"
)

// damage writes something in place of a message.
func (h *house) damage(id uint64, v []byte) {
	h.t.Helper()
	err := h.db.Update(h.t.Context(), func(tx store.Tx) error { return tx.Put(spaceBody, appendID(nil, id), v) })
	if err != nil {
		h.t.Fatal(err)
	}
}

// A message that cannot be read keeps nobody from the others, wherever it is, and from none of what is done with a history.
func TestDamagedMessages(t *testing.T) {
	for at := range 5 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			h := open(t, t.TempDir())
			var ids []uint64
			for range 5 {
				ids = append(ids, h.keep(message(romeo, juliet, "hello"))...)
			}
			if at%2 == 0 && at < 4 { // an index that has lost no later one still lists it
				if _, err := h.settle(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			h.damage(ids[at], []byte{99})
			want := slices.Delete(slices.Clone(ids), at, at+1)
			for _, last := range []bool{false, true} {
				if got, r := h.page(Query{Owner: juliet, Last: last}); !slices.Equal(got, want) || !r.Complete {
					t.Errorf("juliet has %v, %+v; not %v", got, r, want)
				}
			}
			var spooled []uint64
			last, err := h.Spool(t.Context(), juliet, 0, func(it *Item) error { spooled = append(spooled, it.ID); return nil })
			if err != nil || last != ids[4] || !slices.Equal(spooled, want) {
				t.Errorf("%v waits up to %d, %v; not %v up to %d", spooled, last, err, want, ids[4])
			}
			h.searches(want)
			h.catchUp()
			h.searches(want)
			h = h.reopen()
			h.clock.Pass(2 * MinRetention)
			later := h.keep(message(romeo, juliet, "hello"))
			if n, err := h.Purge(t.Context(), romeo); n < 5 || err != nil { // Open does not note a damaged one
				t.Errorf("removed %d, %v", n, err)
			}
			if n, err := h.Retain(t.Context(), MinRetention); n != 5 || err != nil {
				t.Errorf("removed %d, %v", n, err)
			}
			if got, r := h.page(Query{Owner: juliet}); !slices.Equal(got, later) || r.Count != 1 {
				t.Errorf("juliet has %v, %+v; not %v", got, r, later)
			}
			h.check()
		})
	}
}

// Who pages gets beyond what cannot be read, however short the pages are.
func TestPagingOverDamagedMessages(t *testing.T) {
	h := open(t, t.TempDir())
	ids := h.keep(message(romeo, juliet, "1"), message(romeo, juliet, "2"), message(romeo, juliet, "3"), message(romeo, juliet, "4"))
	for _, id := range ids[1:3] {
		h.damage(id, []byte{99})
	}
	for size := 1; size <= 5; size++ {
		for _, backward := range []bool{false, true} {
			var got []uint64
			q := Query{Owner: juliet, Max: size, Last: backward}
			for range 2 * len(ids) {
				page, r := h.page(q)
				if got = append(got, page...); r.Complete {
					break
				}
				if backward {
					q.Before = r.First
				} else {
					q.After = r.Last
				}
			}
			slices.Sort(got)
			if want := []uint64{ids[0], ids[3]}; !slices.Equal(got, want) {
				t.Errorf("pages of %d, backward %v: %v, not %v", size, backward, got, want)
			}
		}
	}
}

// searches looks for all there is, in several ways.
func (h *house) searches(want []uint64) {
	h.t.Helper()
	u, err := h.Audit(h.t.Context(), "nurse", "test", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, s := range []Search{{}, {Reverse: true}, {Owner: romeo}, {Text: text("hello")}, {Owner: juliet, Text: text("hello"), Reverse: true}} {
		var got []uint64
		_, err := u.Search(h.t.Context(), s, func(e *Entry) error { got = append(got, e.ID); return nil })
		if s.Reverse {
			slices.Reverse(got)
		}
		if err != nil || !slices.Equal(got, want) {
			h.t.Errorf("%+v finds %v, %v; not %v", s, got, err, want)
		}
	}
}

// A damaged block costs what is in it, and nothing else: who reads comes to an end, and what comes later is there.
func TestDamagedBlocks(t *testing.T) {
	const n = 3*blockIDs + 10
	damages := map[string]func(v []byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"short":   func(v []byte) []byte { return append(v[:len(v)/2:len(v)/2], 0x80) },
		"garbage": func(v []byte) []byte { return bytes.Repeat([]byte{0xff}, len(v)) },
		"zero":    func(v []byte) []byte { return make([]byte, len(v)) },
	}
	for block := range 4 {
		for name, damage := range damages {
			t.Run(fmt.Sprint(name, " ", block), func(t *testing.T) {
				h := open(t, t.TempDir())
				for range n {
					h.keep(message(romeo, juliet, "1"))
				}
				if _, err := h.settle(t.Context()); err != nil {
					t.Fatal(err)
				}
				k := h.blocks(juliet)[block]
				err := h.db.Update(t.Context(), func(tx store.Tx) error {
					return tx.Put(spaceIndex, k, damage(bytes.Clone(tx.Get(spaceIndex, k))))
				})
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					for i := range n {
						h.page(Query{Owner: juliet, HasIndex: true, Index: i, Max: 5})
					}
					h.page(Query{Owner: juliet, Last: true, Max: n})
					later := h.keep(message(romeo, juliet, "2"), message(romeo, juliet, "3"))
					if _, err := h.settle(t.Context()); err != nil {
						t.Fatal(err)
					}
					ids, _ := h.page(Query{Owner: juliet, Last: true, Max: 2})
					if _, last, err := h.Ends(t.Context(), juliet); !slices.Equal(ids, later) || last != later[1] || err != nil {
						t.Errorf("the last are %v and %d, %v; not %v", ids, last, err, later)
					}
					if got, _ := h.page(Query{Owner: juliet, IDs: later}); !slices.Equal(got, later) {
						t.Errorf("%v are found, not %v", got, later)
					}
					h = h.reopen()
				}
				if _, err := h.Purge(t.Context(), juliet); err != nil {
					t.Error(err)
				}
				if left := h.blocks(juliet); len(left) > 0 {
					t.Errorf("%d blocks are left", len(left))
				}
			})
		}
	}
}
