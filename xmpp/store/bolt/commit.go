package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt/internal/wal"
)

const (
	// A group ends when one of these is reached; who is left makes up the next. They bound how long a commit takes.
	maxGroupJobs  = 4096
	maxGroupBytes = 8 << 20
)

// job is one Update.
type job struct {
	fn    func(store.Tx) error
	taken atomic.Bool // by the committer, or by a caller whose context ended
	done  chan error  // capacity 1

	// Of the last run.
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
			if db.checkpoints.due.Load() {
				db.freeze()
			}
			<-db.wake
			continue
		}
		began := time.Now()
		n := copy(queue, db.commitGroup(queue))
		clear(queue[n:])
		queue = queue[:n]
		if n == 0 && db.crowded {
			time.Sleep(db.opts.Gather - time.Since(began))
		}
	}
}

// busy reports whether Updates have come while a commit was under way. It is asked before those of that commit are let go:
// one caller who comes back at once is no crowd.
func (db *DB) busy() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.pending) > 0 && !db.closed
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
	db.record.Reset()
	if g.err = db.brokenErr(); g.err == nil {
		g.begin()
	}
	n := 0
	for _, j := range jobs {
		if len(g.ok) == maxGroupJobs || db.record.Len() >= maxGroupBytes {
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
			j.done <- err
			continue
		}
		g.ok = append(g.ok, j)
	}
	g.finish()
	return jobs[n:]
}

// begin makes room for what the group will write and opens its transaction.
func (g *group) begin() {
	if g.err = g.db.makeRoom(); g.err != nil {
		g.err = fmt.Errorf("store: %w", g.err)
		return
	}
	// Before the group reads: where no address space is reserved, a B-tree that grows waits for those who read it.
	if g.err = g.db.identify(); g.err != nil {
		g.err = fmt.Errorf("store: commit: %w", g.err)
		return
	}
	b, snap, err := g.db.snapshot()
	if err != nil {
		g.err = err
		return
	}
	g.tx = &tx{db: g.db, bolt: b, snap: snap, seq: snap.seq + 1}
}

// run calls a job's function; a panic becomes its error. What one that failed has written is taken back.
func (g *group) run(j *job) (err error) {
	j.commits, j.groups = nil, nil
	g.tx.job = j
	table, record := g.tx.snap.layers[0].Mark(), g.db.record.Mark()
	defer func() {
		if v := recover(); v != nil {
			err = g.db.panicked(v, false)
		}
		if err != nil {
			g.tx.snap.layers[0].Rollback(table)
			g.db.record.Rollback(record)
			// For those after it, which do not see what it wrote, this is another transaction.
			next := *g.tx
			g.tx.end()
			g.tx = &next
		}
	}()
	return j.fn(g.tx)
}

// end ends the transaction. keep is false to take back all that was written in it.
func (g *group) end(keep bool) {
	if g.tx == nil {
		return
	}
	if table := g.tx.snap.layers[0]; keep {
		table.Keep()
	} else {
		table.Rollback(0)
	}
	b := g.tx.bolt
	g.tx.end()
	g.tx = nil
	_ = b.Rollback()
}

// finish makes the group durable, calls what waited for that, and lets the callers go.
func (g *group) finish() {
	if g.err == nil && len(g.ok) > 0 && g.db.record.Len() > 0 {
		g.commit()
	}
	g.db.crowded = g.db.busy()
	g.end(false)
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
	start := time.Now()
	n, err := g.db.append(g.tx.snap.layers[0], g.tx.seq)
	if err == nil {
		snap := g.tx.snap
		g.end(true)
		g.db.advance(snap)
		took := time.Since(start)
		g.db.stats.committed(len(g.ok), n, took)
		if g.db.opts.Committed != nil {
			g.db.opts.Committed(len(g.ok), took)
		}
		return
	}
	g.err = fmt.Errorf("store: commit: %w", err)
	g.db.log.Error("commit failed", "err", g.err, "transactions", len(g.ok))
	if errors.Is(err, wal.ErrUnknown) {
		g.db.setBroken(g.err)
	}
}

// append writes the group's record to the log, in the segment of its layer.
func (db *DB) append(l *layer, seq uint64) (int, error) {
	if db.wal.Number() != l.segment {
		if err := db.wal.Start(wal.Header{Store: db.id, Number: l.segment, First: seq}); err != nil {
			return 0, err
		}
	}
	return db.wal.Append(seq, &db.record)
}

// advance lets everybody see the commit that followed snap.
func (db *DB) advance(snap *snapshot) {
	db.publish.Lock()
	next := *db.snap.Load()
	next.seq = snap.seq + 1
	db.snap.Store(&next)
	db.publish.Unlock()
	db.stats.overlay.Store(next.size())
	db.checkpoints.began(next.layers[0], db.opts.CheckpointAge)
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
