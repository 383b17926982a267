package archive

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// blocks returns the keys of an owner's blocks.
func (h *house) blocks(o directory.ID) (keys [][]byte) {
	h.t.Helper()
	err := h.db.View(h.t.Context(), func(tx store.Tx) error {
		for k := range tx.Scan(spaceIndex, store.Range{Prefix: appendPlace(nil, place{owner: o})}) {
			keys = append(keys, bytes.Clone(k))
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return keys
}

// A block is full before the next begins, whenever it is settled.
func TestBlocksAreFull(t *testing.T) {
	for _, each := range []int{1, 5, blockIDs - 1, blockIDs, blockIDs + 1, 3*blockIDs + 1} {
		h := open(t, t.TempDir())
		for n := 0; n < 3*blockIDs+1; n += each {
			for range min(each, 3*blockIDs+1-n) {
				h.keep(message(juliet, juliet, "1"))
			}
			if _, err := h.settle(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(h.blocks(juliet)); n != 4 {
			t.Errorf("%d blocks for %d messages, settled %d at a time", n, 3*blockIDs+1, each)
		}
		h.check()
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
