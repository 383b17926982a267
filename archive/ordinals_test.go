package archive

import (
	"context"
	"errors"
	"testing"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// What a transaction gave away that was undone is given away again; what is on disk is not.
func TestOrdinalsUndone(t *testing.T) {
	h := open(t, t.TempDir())
	ctx := context.Background()
	ordinalsOf := func(want ...uint64) {
		t.Helper()
		var got []uint64
		err := h.db.View(ctx, func(tx store.Tx) error {
			for k, v := range tx.Scan(spaceRow, store.Range{Prefix: appendConversation(nil, romeo, "")}) {
				got = append(got, toEntry(k, v).ordinal)
			}
			return nil
		})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v, %v", got, err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	}
	keep := func(text string) error {
		return h.Keep(ctx, []*Message{message(romeo, juliet, text), message(juliet, romeo, text)}, Also{})
	}
	if err := keep("one"); err != nil {
		t.Fatal(err)
	}
	ordinalsOf(1, 2)
	// A commit that fails.
	failed := errors.New("no")
	h.failing.Fail(failed)
	if err := keep("three"); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	h.failing.Fail(nil)
	if err := keep("four"); err != nil {
		t.Fatal(err)
	}
	ordinalsOf(1, 2, 3, 4)
	// After a restart they go on.
	h = h.reopen()
	if err := keep("five"); err != nil {
		t.Fatal(err)
	}
	ordinalsOf(1, 2, 3, 4, 5, 6)
}

// What is remembered has an end.
func TestOrdinalsAreBounded(t *testing.T) {
	h := open(t, t.TempDir())
	for i := range 3 {
		m := message(romeo, juliet, "hi")
		m.Rows = m.Rows[:0]
		for j := range maxOrdinals / 2 {
			m.Rows = append(m.Rows, Row{Owner: directory.ID(i*maxOrdinals + j + 1), With: jids[juliet]})
		}
		if err := h.Keep(t.Context(), []*Message{m}, Also{}); err != nil {
			t.Fatal(err)
		}
		if n := len(h.ordinals.last); n > 2*maxOrdinals {
			t.Fatalf("%d are remembered", n)
		}
	}
}
