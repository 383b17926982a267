package archive

import (
	"bytes"
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
