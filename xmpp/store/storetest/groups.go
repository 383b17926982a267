package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"confab/xmpp/store"
)

// together calls Update for each fn so that they are waiting at the same time, in their order, and returns the errors.
func together(t testing.TB, db store.DB, fns ...func(store.Tx) error) []error {
	t.Helper()
	blocked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var group sync.WaitGroup
	group.Go(func() {
		_ = db.Update(context.Background(), func(store.Tx) error {
			once.Do(func() { close(blocked); <-release })
			return nil
		})
	})
	<-blocked
	errs := make([]error, len(fns))
	for i, fn := range fns {
		ctx := signalling{context.Background(), make(chan struct{}), new(sync.Once)}
		group.Go(func() { errs[i] = db.Update(ctx, fn) })
		<-ctx.waits
	}
	close(release)
	group.Wait()
	return errs
}

// signalling is a context that tells when somebody waits for it: an Update does so once it has joined.
type signalling struct {
	context.Context
	waits chan struct{}
	once  *sync.Once
}

func (s signalling) Done() <-chan struct{} {
	s.once.Do(func() { close(s.waits) })
	return s.Context.Done()
}

func testRollbackInGroup(t *testing.T, db store.DB) {
	const n = 60
	failure := errors.New("failure")
	var fns []func(store.Tx) error
	var runs, committed [n]int
	for i := range n {
		fns = append(fns, func(tx store.Tx) error {
			runs[i]++
			if v := tx.Get(b, []byte{1}); i > 0 && string(v) != "seen" {
				t.Errorf("%d does not see what was written before it", i)
			}
			tx.OnCommit(func() { committed[i]++ })
			err := errors.Join(put(tx, a, fmt.Sprintf("%03d", i)), tx.Put(b, []byte{1}, []byte("seen")))
			if i%3 == 1 {
				return failure
			}
			return err
		})
	}
	errs := together(t, db, fns...)
	var want []string
	for i, err := range errs {
		bad := i%3 == 1
		if bad != errors.Is(err, failure) {
			t.Errorf("%d: %v", i, err)
		}
		if bad && committed[i] != 0 || !bad && committed[i] != 1 {
			t.Errorf("%d: OnCommit was called %d times", i, committed[i])
		}
		if bad && runs[i] != 1 {
			t.Errorf("%d: failed and was run %d times", i, runs[i])
		}
		if !bad {
			want = append(want, fmt.Sprintf("%03d", i))
		}
	}
	view(t, db, func(tx store.Tx) {
		if got := keys(t, tx, a, store.Range{}); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func testCommitOrder(t *testing.T, db store.DB) {
	const n = 100
	var called []string
	var fns []func(store.Tx) error
	for i := range n {
		fns = append(fns, func(tx store.Tx) error {
			tx.OnCommit(func() { called = append(called, fmt.Sprint(i)) })
			tx.OnGroup("group", func() { called = append(called, "group") })
			tx.OnCommit(func() { called = append(called, fmt.Sprint(i, "b")) })
			return put(tx, a, fmt.Sprintf("%03d", i))
		})
	}
	for i, err := range together(t, db, fns...) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	next, groups := 0, 0
	for i, c := range called {
		switch c {
		case "group":
			groups++
		case fmt.Sprint(next):
		case fmt.Sprint(next, "b"):
			next++
		default:
			t.Fatalf("call %d is %q, want that of %d; all: %q", i, c, next, called)
		}
	}
	if next != n || groups == 0 || called[len(called)-1] != "group" || groups > n/4 {
		t.Errorf("%d transactions and %d groups were called, want %d and few", next, groups, n)
	}
	// Before Update returns.
	done := false
	update(t, db, func(tx store.Tx) error {
		tx.OnCommit(func() { done = true })
		return put(tx, a, "x")
	})
	if !done {
		t.Error("Update returned before OnCommit was called")
	}
}

func testPanic(t *testing.T, db store.DB) {
	errs := together(t, db,
		func(tx store.Tx) error { return put(tx, a, "1") },
		func(tx store.Tx) error { _ = put(tx, a, "2"); panic("in a transaction") },
		func(tx store.Tx) error { tx.OnCommit(func() { panic("after it") }); return put(tx, a, "3") },
		func(tx store.Tx) error { return put(tx, a, "4") },
		func(tx store.Tx) error { tx.OnGroup("g", func() { panic("after all") }); return put(tx, a, "5") },
	)
	var p *store.PanicError
	if errs[0] != nil || errs[3] != nil {
		t.Errorf("somebody else's panic: %v, %v", errs[0], errs[3])
	}
	if !errors.As(errs[1], &p) || p.Committed || p.Value != "in a transaction" || len(p.Stack) == 0 {
		t.Errorf("a panic in a transaction: %v", errs[1])
	}
	for _, i := range []int{2, 4} {
		if !errors.As(errs[i], &p) || !p.Committed {
			t.Errorf("a panic after the commit: %v", errs[i])
		}
	}
	view(t, db, func(tx store.Tx) {
		if got := keys(t, tx, a, store.Range{}); !slices.Equal(got, []string{"1", "3", "4", "5"}) {
			t.Errorf("got %q", got)
		}
	})
	func() {
		defer func() {
			if recover() != "mine" {
				t.Error("a panic in a View did not reach its caller")
			}
		}()
		_ = db.View(t.Context(), func(store.Tx) error { panic("mine") })
	}()
	view(t, db, func(store.Tx) {})
}

func testContext(t *testing.T, db store.DB) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	must := func(store.Tx) error { t.Error("called with a context that had ended"); return nil }
	if err := db.Update(ended, must); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v", err)
	}
	if err := db.View(ended, must); !errors.Is(err, context.Canceled) {
		t.Errorf("View: %v", err)
	}

	// Once it runs, the outcome counts; while it waits, the context does.
	running, cancelRunning := context.WithCancel(t.Context())
	waiting, cancelWaiting := context.WithCancel(t.Context())
	began, release := make(chan struct{}), make(chan struct{})
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		var once sync.Once
		first <- db.Update(running, func(tx store.Tx) error {
			once.Do(func() { close(began); <-release })
			return put(tx, a, "1")
		})
	}()
	<-began
	sig := signalling{waiting, make(chan struct{}), new(sync.Once)}
	go func() { second <- db.Update(sig, func(tx store.Tx) error { return put(tx, a, "2") }) }()
	<-sig.waits
	cancelRunning()
	cancelWaiting()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("an Update that waited: %v", err)
	}
	select {
	case err := <-first:
		t.Errorf("an Update that ran did not await its outcome: %v", err)
	default:
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("an Update that ran: %v", err)
	}
	view(t, db, func(tx store.Tx) {
		if got := keys(t, tx, a, store.Range{}); !slices.Equal(got, []string{"1"}) {
			t.Errorf("got %q", got)
		}
	})
}

func testConcurrency(t *testing.T, db store.DB) {
	const writers, each = 8, 50
	key := []byte("n")
	var group sync.WaitGroup
	var stop atomic.Bool
	for range writers {
		group.Go(func() {
			for range each {
				err := db.Update(context.Background(), func(tx store.Tx) error {
					var n int
					if v := tx.Get(a, key); v != nil {
						fmt.Sscan(string(v), &n)
					}
					v := []byte(fmt.Sprint(n + 1))
					return errors.Join(tx.Put(a, key, v), tx.Put(b, key, v))
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				_ = db.View(context.Background(), func(tx store.Tx) error {
					if x, y := tx.Get(a, key), tx.Get(b, key); string(x) != string(y) {
						t.Errorf("a View saw half a transaction: %q and %q", x, y)
					}
					return nil
				})
			}
		})
	}
	group.Wait()
	stop.Store(true)
	readers.Wait()
	view(t, db, func(tx store.Tx) {
		if v := tx.Get(a, key); string(v) != fmt.Sprint(writers*each) {
			t.Errorf("counted to %q, want %d", v, writers*each)
		}
	})
}
