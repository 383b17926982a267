package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"confab/xmpp/store"
)

// Held is an engine that holds commits on demand: while it holds, what an Update wrote is not on disk, its OnCommit
// functions are not called and it does not return, nor does anybody's who comes after it. This is how a test shows that
// nothing is delivered or acknowledged before it is durable.
type Held struct {
	store.DB

	mu      sync.Mutex
	release chan struct{} // nil: nothing is held
	waiting int
	changed chan struct{} // closed and replaced when waiting changes
}

// Hold makes a Held of an engine. It lets commits pass until Hold is called.
func Hold(db store.DB) *Held { return &Held{DB: db, changed: make(chan struct{})} }

// Hold begins to hold commits.
func (h *Held) Hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.release == nil {
		h.release = make(chan struct{})
	}
}

// Release lets all commits go on.
func (h *Held) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.release != nil {
		close(h.release)
		h.release = nil
	}
}

// Update implements store.DB. The commit is held at the end of its function, on the committer's goroutine.
func (h *Held) Update(ctx context.Context, fn func(store.Tx) error) error {
	arrived := sync.OnceFunc(func() { h.count(1) })
	defer h.count(-1)
	defer arrived()
	return h.DB.Update(queued{ctx, arrived}, func(tx store.Tx) error {
		arrived()
		err := fn(tx)
		h.mu.Lock()
		release := h.release
		h.mu.Unlock()
		if release != nil {
			<-release
		}
		return err
	})
}

// queued is the context of an Update. An engine asks when it is done once the Update has its place in the queue.
type queued struct {
	context.Context
	arrived func()
}

func (q queued) Done() <-chan struct{} {
	q.arrived()
	return q.Context.Done()
}

// Close implements store.DB; it releases what is held.
func (h *Held) Close() error {
	h.Release()
	return h.DB.Close()
}

func (h *Held) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting += n
	close(h.changed)
	h.changed = make(chan struct{})
}

// Await waits until at least n Updates are in the engine's queue and have not returned: whatever comes later is behind
// them. It reports false if that does not happen in good time.
func (h *Held) Await(n int) bool {
	timeout := time.After(patience)
	for {
		h.mu.Lock()
		waiting, changed := h.waiting, h.changed
		h.mu.Unlock()
		if waiting >= n {
			return true
		}
		select {
		case <-changed:
		case <-timeout:
			return false
		}
	}
}

// ErrFull is what a Failing engine returns if it is given no other error.
var ErrFull = errors.New("storetest: no space left on device")

// Failing is an engine whose commits fail on demand, as on a full disk: the function of an Update is run, nothing of it
// remains, no OnCommit function is called.
type Failing struct {
	store.DB

	mu   sync.Mutex
	left int // Updates until then
	err  error
}

// Fail makes a Failing of an engine. It works until Fail is called.
func Fail(db store.DB) *Failing { return &Failing{DB: db} }

// Fail lets every Update that is called from now on return err; nil ends that.
func (f *Failing) Fail(err error) { f.FailAfter(0, err) }

// FailAfter is Fail from the Update on that comes after n others.
func (f *Failing) FailAfter(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.err = n, err
}

// Update implements store.DB.
func (f *Failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	f.mu.Lock()
	failure := f.err
	if f.left--; f.left >= 0 {
		failure = nil
	}
	f.mu.Unlock()
	if failure == nil {
		return f.DB.Update(ctx, fn)
	}
	return f.DB.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return failure
	})
}
