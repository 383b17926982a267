package directory

import (
	"errors"
	"testing"

	"confab/xmpp/store"
)

func TestAllocate(t *testing.T) {
	h := newHouse(t)
	h.add("romeo")
	put := func(tx store.Tx, id ID) error { return tx.Put("test", []byte{byte(id)}, []byte("x")) }
	fail := func(store.Tx, ID) error { return errors.New("not now") }
	room, err := h.Allocate(t.Context(), put)
	if err != nil || room <= h.must("romeo").ID {
		t.Fatalf("%d, %v", room, err)
	}
	if _, err := h.Allocate(t.Context(), fail); err == nil {
		t.Error("a failure of the transaction went unnoticed")
	}
	h.add("juliet")
	if id := h.must("juliet").ID; id <= room {
		t.Errorf("a user has the id %d, and %d was given away before", id, room)
	}
	if h.ByID(room) != nil {
		t.Error("the id of a room is one of a user")
	}
	h = h.reopen()
	if id, err := h.Allocate(t.Context(), nil); err != nil || id <= h.must("juliet").ID {
		t.Errorf("after a restart: %d, %v", id, err)
	}
}
