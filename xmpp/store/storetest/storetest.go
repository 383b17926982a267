// Package storetest holds what every storage engine must pass, and engines for the tests of those who use a store: one
// that holds its commits until it is told to go on, and one whose commits fail on demand.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"confab/xmpp/store"
)

const (
	a store.Space = "test.a"
	b store.Space = "test.b"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// Run tests an engine. open opens the data in a directory, which the engine fills at the first call; it is called again
// for the same directory after the store was closed.
func Run(t *testing.T, open func(t testing.TB, dir string) store.DB) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.DB)
	}{
		{"values", testValues},
		{"scan", testScan},
		{"scan while writing", testScanWriting},
		{"read only", testReadOnly},
		{"snapshot", testSnapshot},
		{"rollback", testRollback},
		{"rollback in a group", testRollbackInGroup},
		{"commit order", testCommitOrder},
		{"panic", testPanic},
		{"context", testContext},
		{"concurrency", testConcurrency},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := open(t, t.TempDir())
			defer db.Close()
			test.run(t, db)
		})
	}
	t.Run("reopen", func(t *testing.T) { testReopen(t, open) })
	t.Run("close", func(t *testing.T) { testClose(t, open) })
}

func update(t testing.TB, db store.DB, fn func(tx store.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t testing.TB, db store.DB, fn func(tx store.Tx)) {
	t.Helper()
	if err := db.View(t.Context(), func(tx store.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatalf("View: %v", err)
	}
}

func put(tx store.Tx, s store.Space, keys ...string) error {
	for _, k := range keys {
		if err := tx.Put(s, []byte(k), []byte("="+k)); err != nil {
			return err
		}
	}
	return nil
}

// keys returns the keys of a range and reports values that are not what put wrote.
func keys(t testing.TB, tx store.Tx, s store.Space, r store.Range) []string {
	t.Helper()
	got := []string{}
	for k, v := range tx.Scan(s, r) {
		if string(v) != "="+string(k) {
			t.Errorf("value of %q is %q", k, v)
		}
		got = append(got, string(k))
	}
	return got
}

func testValues(t *testing.T, db store.DB) {
	update(t, db, func(tx store.Tx) error {
		if v := tx.Get(a, []byte("k")); v != nil {
			t.Errorf("a key in a space that was never written has the value %q", v)
		}
		if err := tx.Delete(a, []byte("k")); err != nil {
			t.Errorf("Delete of what is not there: %v", err)
		}
		key := []byte("k")
		err := errors.Join(tx.Put(a, key, []byte("1")), tx.Put(b, []byte("k"), []byte("2")), tx.Put(a, []byte("empty"), nil))
		copy(key, "x")
		if v := tx.Get(a, []byte("k")); string(v) != "1" {
			t.Errorf("a transaction reads %q, not its own write", v)
		}
		if tx.Put(a, nil, []byte("v")) == nil {
			t.Error("an empty key was accepted")
		}
		return err
	})
	update(t, db, func(tx store.Tx) error {
		return errors.Join(tx.Put(a, []byte("k"), []byte("3")), tx.Delete(b, []byte("k")))
	})
	view(t, db, func(tx store.Tx) {
		if v := tx.Get(a, []byte("k")); string(v) != "3" {
			t.Errorf("a/k = %q, want 3", v)
		}
		if v := tx.Get(b, []byte("k")); v != nil {
			t.Errorf("b/k = %q, want none", v)
		}
		if v := tx.Get(a, []byte("empty")); v == nil || len(v) != 0 {
			t.Errorf("an empty value is read as %v", v)
		}
		if v := tx.Get(a, []byte("x")); v != nil {
			t.Errorf("a key that was changed after Put is %q", v)
		}
	})
}

func testScan(t *testing.T, db store.DB) {
	update(t, db, func(tx store.Tx) error {
		return errors.Join(put(tx, a, "b1", "a", "\xff\xff", "b", "b3", "\xff", "c", "b2", "\xffz"), put(tx, b, "b9"))
	})
	type R = store.Range
	by := func(s string) []byte { return []byte(s) }
	for i, test := range []struct {
		r    R
		want []string
	}{
		0:  {R{}, []string{"a", "b", "b1", "b2", "b3", "c", "\xff", "\xffz", "\xff\xff"}},
		1:  {R{Reverse: true}, []string{"\xff\xff", "\xffz", "\xff", "c", "b3", "b2", "b1", "b", "a"}},
		2:  {R{Prefix: by("b")}, []string{"b", "b1", "b2", "b3"}},
		3:  {R{Prefix: by("b"), Reverse: true}, []string{"b3", "b2", "b1", "b"}},
		4:  {R{Prefix: by("\xff")}, []string{"\xff", "\xffz", "\xff\xff"}},
		5:  {R{Prefix: by("\xff"), Reverse: true, Limit: 2}, []string{"\xff\xff", "\xffz"}},
		6:  {R{From: by("b1"), To: by("c")}, []string{"b1", "b2", "b3"}},
		7:  {R{From: by("b1"), To: by("c"), Reverse: true}, []string{"b3", "b2", "b1"}},
		8:  {R{Prefix: by("b"), From: by("b2")}, []string{"b2", "b3"}},
		9:  {R{Prefix: by("b"), From: by("a"), To: by("z")}, []string{"b", "b1", "b2", "b3"}},
		10: {R{Prefix: by("b"), To: by("b2"), Reverse: true}, []string{"b1", "b"}},
		11: {R{Limit: 2}, []string{"a", "b"}},
		12: {R{From: by("b15"), Limit: 1}, []string{"b2"}},
		13: {R{To: by("b15"), Limit: 1, Reverse: true}, []string{"b1"}},
		14: {R{Prefix: by("bb")}, []string{}},
		15: {R{Prefix: by("bb"), Reverse: true}, []string{}},
		16: {R{From: by("c"), To: by("b")}, []string{}},
		17: {R{From: by("c"), To: by("b"), Reverse: true}, []string{}},
		18: {R{To: by("a")}, []string{}},
		19: {R{To: by("a"), Reverse: true}, []string{}},
		20: {R{From: by("\xff\xff\xff")}, []string{}},
		21: {R{From: by("\xff\xff\xff"), Reverse: true}, []string{}},
	} {
		check := func(tx store.Tx) {
			if got := keys(t, tx, a, test.r); !slices.Equal(got, test.want) {
				t.Errorf("%d: got %q, want %q", i, got, test.want)
			}
		}
		view(t, db, check)
		update(t, db, func(tx store.Tx) error { check(tx); return nil })
	}
	view(t, db, func(tx store.Tx) {
		if got := keys(t, tx, "test.unknown", R{}); len(got) > 0 {
			t.Errorf("an unknown space has keys: %q", got)
		}
		n := 0
		for range tx.Scan(a, R{}) {
			if n++; n == 2 {
				break
			}
		}
		if n != 2 {
			t.Errorf("a loop that ended itself saw %d keys", n)
		}
	})
}

// testScanWriting changes keys in front of, at and behind the place that a Scan has reached.
func testScanWriting(t *testing.T, db store.DB) {
	const n = 500 // more than fit into one page
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%06d", 2*i))
	}
	for _, reverse := range []bool{false, true} {
		update(t, db, func(tx store.Tx) error { return put(tx, a, all...) })
		update(t, db, func(tx store.Tx) error {
			i := 0
			for k := range tx.Scan(a, store.Range{Reverse: reverse}) {
				want := all[i]
				if reverse {
					want = all[n-1-i]
				}
				if string(k) != want {
					t.Fatalf("reverse %v: key %d is %q, want %q", reverse, i, k, want)
				}
				i++
				if err := tx.Delete(a, []byte(want)); err != nil {
					return err
				}
			}
			if i != n {
				t.Errorf("reverse %v: %d keys seen, want %d", reverse, i, n)
			}
			return nil
		})
	}
	update(t, db, func(tx store.Tx) error { return put(tx, a, "a", "c", "e") })
	update(t, db, func(tx store.Tx) error {
		var got []string
		for k := range tx.Scan(a, store.Range{}) {
			got = append(got, string(k))
			if string(k) == "a" {
				if err := errors.Join(put(tx, a, "b"), tx.Delete(a, []byte("c"))); err != nil {
					return err
				}
			}
		}
		if want := []string{"a", "b", "e"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

func testReadOnly(t *testing.T, db store.DB) {
	view(t, db, func(tx store.Tx) {
		if err := tx.Put(a, []byte("k"), nil); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Put in a View: %v", err)
		}
		if err := tx.Delete(a, []byte("k")); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Delete in a View: %v", err)
		}
		tx.OnCommit(func() { t.Error("OnCommit of a View was called") })
		tx.OnGroup(t, func() { t.Error("OnGroup of a View was called") })
	})
	failure := errors.New("failure")
	if err := db.View(t.Context(), func(store.Tx) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("View returned %v, want its function's error", err)
	}
}

// testSnapshot has a View open while somebody writes.
func testSnapshot(t *testing.T, db store.DB) {
	update(t, db, func(tx store.Tx) error { return put(tx, a, "1", "2") })
	view(t, db, func(tx store.Tx) {
		written := make(chan error)
		go func() {
			written <- db.Update(context.Background(), func(tx store.Tx) error {
				return errors.Join(tx.Delete(a, []byte("1")), put(tx, a, "3"))
			})
		}()
		if err := <-written; err != nil {
			t.Errorf("Update: %v", err)
		}
		if got := keys(t, tx, a, store.Range{}); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("the snapshot changed to %q", got)
		}
	})
	view(t, db, func(tx store.Tx) {
		if got := keys(t, tx, a, store.Range{}); !slices.Equal(got, []string{"2", "3"}) {
			t.Errorf("the next View has %q", got)
		}
	})
}

func testRollback(t *testing.T, db store.DB) {
	update(t, db, func(tx store.Tx) error { return put(tx, a, "kept") })
	failure := errors.New("failure")
	err := db.Update(t.Context(), func(tx store.Tx) error {
		tx.OnCommit(func() { t.Error("OnCommit of a failed transaction was called") })
		tx.OnGroup(t, func() { t.Error("OnGroup of a failed transaction was called") })
		if err := errors.Join(put(tx, a, "new"), put(tx, b, "new"), tx.Delete(a, []byte("kept"))); err != nil {
			t.Error(err)
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("Update returned %v, want its function's error", err)
	}
	view(t, db, func(tx store.Tx) {
		if got := keys(t, tx, a, store.Range{}); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("a failed transaction left %q", got)
		}
		if got := keys(t, tx, b, store.Range{}); len(got) > 0 {
			t.Errorf("a failed transaction left %q", got)
		}
	})
}

func testReopen(t *testing.T, open func(testing.TB, string) store.DB) {
	dir := t.TempDir()
	db := open(t, dir)
	update(t, db, func(tx store.Tx) error { return put(tx, a, "1", "2") })
	update(t, db, func(tx store.Tx) error { return errors.Join(put(tx, b, "3"), tx.Delete(a, []byte("1"))) })
	_ = db.Update(t.Context(), func(tx store.Tx) error { return errors.Join(put(tx, a, "4"), errors.New("failure")) })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	defer db.Close()
	view(t, db, func(tx store.Tx) {
		if x, y := keys(t, tx, a, store.Range{}), keys(t, tx, b, store.Range{}); !slices.Equal(x, []string{"2"}) || !slices.Equal(y, []string{"3"}) {
			t.Errorf("after opening again: %q and %q", x, y)
		}
	})
}

// testClose closes while Updates wait: they are done, later ones are refused.
func testClose(t *testing.T, open func(testing.TB, string) store.DB) {
	dir := t.TempDir()
	db := open(t, dir)
	began, release := make(chan struct{}), make(chan struct{})
	results := make(chan error, 2)
	var once sync.Once
	go func() {
		results <- db.Update(context.Background(), func(tx store.Tx) error {
			once.Do(func() { close(began); <-release })
			return put(tx, a, "1")
		})
	}()
	<-began
	ctx := signalling{context.Background(), make(chan struct{}), new(sync.Once)}
	go func() { results <- db.Update(ctx, func(tx store.Tx) error { return put(tx, a, "2") }) }()
	<-ctx.waits
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	close(release)
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("an Update that was called before Close: %v", err)
		}
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	must := func(store.Tx) error { t.Error("called after Close"); return nil }
	if err := db.Update(t.Context(), must); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update after Close: %v", err)
	}
	if err := db.View(t.Context(), must); !errors.Is(err, store.ErrClosed) {
		t.Errorf("View after Close: %v", err)
	}
	db = open(t, dir)
	defer db.Close()
	view(t, db, func(tx store.Tx) {
		if got := keys(t, tx, a, store.Range{}); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("after Close: %q", got)
		}
	})
}
