package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"confab/xmpp/store"
)

const (
	// A group ends when one of these is reached; who is left makes up the next. They bound how long a commit takes and how
	// much work is repeated when functions fail.
	maxGroupJobs     = 4096
	maxGroupBytes    = 8 << 20
	maxGroupFailures = 8
)

// job is one Update.
type job struct {
	fn    func(store.Tx) error
	taken atomic.Bool // by the committer, or by a caller whose context ended
	done  chan error  // capacity 1

	// Of the last run.
	dirty   bool
	commits []func()
	groups  []hook
	late    error // a panic in an OnCommit function
}

type hook struct {
	key any
	fn  func()
}

// Update implements store.DB.
func (db *DB) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{fn: fn, done: make(chan error, 1)}
	if err := db.join(j); err != nil {
		return err
	}
	db.stats.waiting.Add(1)
	defer db.stats.waiting.Add(-1)
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return <-j.done
	}
}

func (db *DB) join(j *job) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return store.ErrClosed
	}
	if db.broken {
		return store.ErrBroken
	}
	db.pending = append(db.pending, j)
	db.signal()
	return nil
}

func (db *DB) signal() {
	select {
	case db.wake <- struct{}{}:
	default:
	}
}

// commitLoop is the committer: the only goroutine that writes.
func (db *DB) commitLoop() {
	defer close(db.done)
	debug.SetPanicOnFault(true)
	var queue []*job
	for {
		db.mu.Lock()
		queue = append(queue, db.pending...)
		clear(db.pending)
		db.pending = db.pending[:0]
		ended := db.closed && len(queue) == 0
		db.mu.Unlock()
		if ended {
			return
		}
		if len(queue) == 0 {
			<-db.wake
			continue
		}
		n := copy(queue, db.commitGroup(queue))
		clear(queue[n:])
		queue = queue[:n]
	}
}

// group is the work of one commit.
type group struct {
	db  *DB
	tx  *tx
	ok  []*job // ran without error, in order
	err error  // of the engine: the group is lost
}

// commitGroup runs and commits as many of the jobs as one group takes, and returns the others.
func (db *DB) commitGroup(jobs []*job) (rest []*job) {
	g := &group{db: db, ok: make([]*job, 0, min(len(jobs), maxGroupJobs))}
	if g.err = db.brokenErr(); g.err == nil {
		g.begin()
	}
	n, failures := 0, 0
	for _, j := range jobs {
		if len(g.ok) == maxGroupJobs || failures == maxGroupFailures || g.tx != nil && g.tx.bytes >= maxGroupBytes {
			break
		}
		n++
		if !j.taken.CompareAndSwap(false, true) {
			continue
		}
		if g.err != nil {
			g.ok = append(g.ok, j)
			continue
		}
		if err := g.run(j); err != nil {
			db.stats.failed.Add(1)
			if j.dirty {
				failures++
				g.again()
			}
			j.done <- err
			continue
		}
		g.ok = append(g.ok, j)
	}
	g.finish()
	return jobs[n:]
}

func (g *group) begin() {
	b, err := g.db.bolt.Begin(true)
	if err != nil {
		g.err = fmt.Errorf("store: begin: %w", err)
		return
	}
	g.tx = &tx{db: g.db, bolt: b}
}

// run calls a job's function; a panic becomes its error.
func (g *group) run(j *job) (err error) {
	j.dirty, j.commits, j.groups = false, nil, nil
	g.tx.job = j
	defer func() {
		if v := recover(); v != nil {
			j.dirty = true
			err = g.db.panicked(v, false)
		}
	}()
	return j.fn(g.tx)
}

// again undoes the group's transaction and runs those that were good once more, without the one that was not.
func (g *group) again() {
	g.db.stats.reruns.Add(1)
	for {
		g.rollback()
		if g.err == nil {
			g.begin()
		}
		if g.err != nil {
			return
		}
		i, err := g.runAll()
		if err == nil {
			return
		}
		g.db.stats.failed.Add(1)
		bad := g.ok[i]
		g.ok = append(g.ok[:i], g.ok[i+1:]...)
		bad.done <- err
	}
}

// runAll runs the good ones; it stops at the first that fails now and returns its index.
func (g *group) runAll() (int, error) {
	for i, j := range g.ok {
		if err := g.run(j); err != nil {
			return i, err
		}
	}
	return 0, nil
}

func (g *group) rollback() {
	if g.tx == nil {
		return
	}
	b := g.tx.bolt
	g.tx.end()
	g.tx = nil
	if err := g.db.rollback(b); err != nil {
		g.err = err
	}
}

// rollback undoes a transaction. If that panics, the engine cannot be used any more, nor closed: its lock is held.
func (db *DB) rollback(b *bbolt.Tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = db.panicked(v, false)
			db.stuck = true
			db.setBroken(err)
		}
	}()
	if err := b.Rollback(); err != nil && !errors.Is(err, berrors.ErrTxClosed) {
		return fmt.Errorf("store: rollback: %w", err)
	}
	return nil
}

// finish makes the group durable, calls what waited for that, and lets the callers go.
func (g *group) finish() {
	if len(g.ok) == 0 {
		g.rollback()
		return
	}
	if g.err == nil {
		if g.tx.writes == 0 {
			g.rollback()
		} else {
			g.commit()
		}
	}
	if g.err != nil {
		g.db.stats.failed.Add(uint64(len(g.ok)))
		for _, j := range g.ok {
			j.done <- g.err
		}
		return
	}
	for _, j := range g.ok {
		for _, fn := range j.commits {
			if err := g.db.call(fn); err != nil {
				j.late = err
			}
		}
	}
	g.callHooks()
	for _, j := range g.ok {
		j.done <- j.late
	}
}

func (g *group) commit() {
	b := g.tx.bolt
	id := b.ID()
	g.tx.end()
	g.tx = nil
	start := time.Now()
	g.err = g.db.commit(b)
	if g.err == nil {
		g.db.stats.committed(len(g.ok), time.Since(start))
		return
	}
	g.db.log.Error("commit failed", "err", g.err, "transactions", len(g.ok))
	if g.db.brokenErr() != nil {
		return
	}
	// If the failed transaction can be seen, its last step, the root, was written but perhaps not to disk: what a restart
	// will find is not known.
	if v, err := g.db.bolt.Begin(false); err != nil || v.ID() >= id {
		g.db.setBroken(g.err)
		if err == nil {
			_ = v.Rollback()
		}
	} else {
		_ = v.Rollback()
	}
}

func (db *DB) commit(b *bbolt.Tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = db.panicked(v, false)
			db.setBroken(err)
			_ = db.rollback(b)
		}
	}()
	if err := b.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

// callHooks calls the group functions, each key once, in the order in which they were first named.
func (g *group) callHooks() {
	var called []any
next:
	for _, j := range g.ok {
		for _, h := range j.groups {
			for _, k := range called {
				if k == h.key {
					continue next
				}
			}
			called = append(called, h.key)
			if err := g.db.call(h.fn); err != nil {
				j.late = err
			}
		}
	}
}

func (db *DB) call(fn func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = db.panicked(v, true)
		}
	}()
	fn()
	return nil
}

func (db *DB) panicked(v any, committed bool) error {
	err := &store.PanicError{Value: v, Stack: debug.Stack(), Committed: committed}
	db.stats.panics.Add(1)
	db.log.Error("panic in a transaction", slog.Any("panic", v), "committed", committed, "stack", string(err.Stack))
	return err
}

func (db *DB) brokenErr() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.broken {
		return store.ErrBroken
	}
	return nil
}

func (db *DB) setBroken(cause error) {
	db.mu.Lock()
	db.broken = true
	db.mu.Unlock()
	db.log.Error("the store is out of order until it is opened again", "err", cause)
}
