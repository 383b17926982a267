package archive

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/record"
	"confab/xmpp/store/storetest"
	"confab/xmpp/xmpptest"
)

// tell writes down what owners have.
func tell(t *testing.T, h *house, owners ...directory.ID) string {
	var told bytes.Buffer
	for _, o := range owners {
		r, err := h.Page(t.Context(), Query{Owner: o}, func(it *Item) error {
			fmt.Fprintf(&told, "%d: %d %v %x with %s incoming %v %+v %+v\n%s\n", o, it.ID, it.Type, it.Flags, it.With, it.Incoming, it.Edit, it.Tombstone, it.Stanza)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&told, "%d: %d in all\n", o, r.Count)
		u, err := h.Audit(t.Context(), "nurse", "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		err = u.Conversations(t.Context(), o, func(c Conversation) error {
			fmt.Fprintf(&told, "%d: %d with %s, from %d to %d\n", o, c.Messages, c.With, TimeID(c.First), TimeID(c.Last))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return told.String()
}

// before opens a history that an earlier version kept, in which there is all that it knew: messages to oneself, in a room, by
// an alias with one edit for several, retracted, and of somebody who is gone.
func before(t *testing.T, change func(tx store.Tx) error) *house {
	t.Helper()
	dir := t.TempDir()
	packed, err := os.Open("testdata/before/archive.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "archive.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		db, err := bolt.Open(filepath.Join(dir, "archive.db"), bolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(t.Context(), change), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return open(t, dir)
}

// An earlier history is what it was.
func TestConvert(t *testing.T) {
	h := before(t, nil)
	want, err := os.ReadFile("testdata/before/told.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"when it is opened first", "settled", "when it is opened again"} {
		if got := tell(t, h, romeo, juliet, alice, 301, 302, 7); got != string(want) {
			t.Errorf("%s the history is\n%s\nand not\n%s", when, got, want)
		}
		h.check()
		if n := records(h, spaceOldRow); n != 0 {
			t.Errorf("%s %d old rows are left", when, n)
		}
		if when == "settled" {
			h = h.reopen()
		}
	}
	if _, err := h.Purge(t.Context(), juliet); err != nil {
		t.Fatal(err)
	}
	h.check()
}

// writeOld writes messages as earlier versions kept them, from romeo to juliet, n of them.
func writeOld(t *testing.T, db store.DB, n int) {
	t.Helper()
	err := db.Update(t.Context(), func(tx store.Tx) (err error) {
		for i := range n {
			id := uint64(1_600_000_000_000_000 + i)
			b := record.AppendUint([]byte{oldBodyFormat, byte(xmpp.TypeChat)}, uint64(HasBody))
			b = record.AppendString(b, []byte{byte(romeo), byte(juliet)})
			b = record.AppendString(b, "")
			b = fmt.Appendf(b, "<message from='romeo@example.com/orchard' to='juliet@example.com' id='%d'><body>%s</body></message>", i, strings.Repeat("x", i%5000))
			err = errors.Join(err, tx.Put(spaceBody, appendID(nil, id), b))
			for o, with := range map[directory.ID]string{romeo: "juliet@example.com", juliet: "romeo@example.com"} {
				ordinal := record.AppendUint(nil, uint64(i+1))
				row := record.AppendString(append(bytes.Clone(ordinal), 0), with)
				err = errors.Join(err, tx.Put(spaceOldRow, appendID(appendPlace(nil, place{owner: o}), id), row),
					tx.Put(spaceOldRow, appendID(appendPlace(nil, place{o, with}), id), ordinal))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A history is converted in several transactions, behind each of which the server may crash, or the disk be full.
func TestConvertCutShort(t *testing.T) {
	const n = 3*convertAtOnce + 10
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "archive.db"), bolt.Options{NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	writeOld(t, db, n)
	whole := func(h *house) {
		t.Helper()
		for o, with := range map[directory.ID]directory.ID{romeo: juliet, juliet: romeo} {
			ids, r := h.page(Query{Owner: o, With: jids[with], Last: true, Max: 5})
			if r.Count != n || len(ids) != 5 || ids[4] != 1_600_000_000_000_000+n-1 {
				t.Errorf("%d has %v, %+v", o, ids, r)
			}
		}
		if left := records(h, spaceOldRow); left != 0 {
			t.Errorf("%d old rows are left", left)
		}
		h.check()
	}
	full := storetest.Fail(&crashing{DB: db, look: func() {
		crashed := t.TempDir()
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		whole(open(t, crashed))
	}})
	o := Options{Clock: new(xmpptest.Clock), Log: slog.New(slog.DiscardHandler)}
	attempts := 0
	for err = storetest.ErrFull; err != nil; attempts++ {
		full.FailAfter(1, storetest.ErrFull)
		_, err = Open(t.Context(), full, o)
		if err != nil && !errors.Is(err, storetest.ErrFull) || attempts == n {
			t.Fatal(attempts, err)
		}
	}
	if attempts < 4 {
		t.Errorf("it took %d attempts only", attempts)
	}
}

// An earlier message that cannot be read is one that cannot be read, and no more.
func TestConvertDamaged(t *testing.T) {
	damaged := uint64(0)
	h := before(t, func(tx store.Tx) error {
		for k, v := range tx.Scan(spaceBody, store.Range{Limit: 1}) {
			damaged = idOf(k)
			return tx.Put(spaceBody, bytes.Clone(k), v[:3])
		}
		return nil
	})
	for _, o := range []directory.ID{romeo, juliet} {
		ids, r := h.page(Query{Owner: o})
		if r.Count != len(ids) || len(ids) < 3 || ids[0] <= damaged {
			t.Errorf("%d has %v, %+v", o, ids, r)
		}
	}
	h = h.reopen()
	err := h.db.View(t.Context(), func(tx store.Tx) error {
		_, err := newEntry(damaged, tx.Get(spaceBody, appendID(nil, damaged)))
		return err
	})
	if !errors.Is(err, errRecord) {
		t.Error(err)
	}
}

// An earlier row that cannot be read takes nothing from the others who have the message.
func TestConvertDamagedRow(t *testing.T) {
	_, all := before(t, nil).page(Query{Owner: romeo})
	whole := before(t, nil)
	h := before(t, func(tx store.Tx) error {
		for k := range tx.Scan(spaceOldRow, store.Range{Prefix: appendPlace(nil, place{owner: romeo}), Limit: 1}) {
			return tx.Put(spaceOldRow, bytes.Clone(k), []byte{0xff})
		}
		return errors.New("romeo has nothing")
	})
	if _, r := h.page(Query{Owner: romeo}); r.Count != all.Count-1 {
		t.Errorf("romeo has %d, not one less than %d", r.Count, all.Count)
	}
	if got, want := tell(t, h, juliet, alice, 301, 302, 7), tell(t, whole, juliet, alice, 301, 302, 7); got != want {
		t.Errorf("others have\n%s\nnot\n%s", got, want)
	}
}
