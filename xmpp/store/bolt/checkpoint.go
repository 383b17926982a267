package bolt

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt/internal/memtable"
)

const (
	// partBytes is how much of keys and values a checkpoint takes into the B-tree at once: more dirties fewer pages twice,
	// less lets commits come in between.
	partBytes = 2 << 20

	retryCheckpoint = time.Second
)

// checkpoints is what the committer and the goroutine that writes checkpoints tell each other.
type checkpoints struct {
	due    atomic.Bool   // the layer that is written to is old
	age    *time.Timer   // sets due
	of     *layer        // of the committer: what the timer was set for
	frozen chan struct{} // capacity 1: there is a frozen layer
	tried  chan struct{} // capacity 1: a checkpoint ended, well or not
	retry  chan struct{} // capacity 1: somebody waits for a checkpoint that failed
	begun  atomic.Uint64 // attempts
	ended  atomic.Uint64 // the last attempt that ended
	failed atomic.Pointer[error]
	hurry  chan struct{} // closed by Close
	done   chan struct{} // closed when the goroutine has ended
}

func (db *DB) startCheckpoints() {
	c := &db.checkpoints
	c.frozen, c.tried, c.retry = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	c.hurry, c.done = make(chan struct{}), make(chan struct{})
	if age := db.opts.CheckpointAge; age > 0 {
		c.age = time.AfterFunc(age, func() {
			c.due.Store(true)
			db.signal()
		})
		if db.snap.Load().layers[0].Empty() {
			c.age.Stop()
		}
	}
	if db.snap.Load().layers[1] != nil {
		c.frozen <- struct{}{}
	}
	go db.checkpointLoop()
}

// began starts the time for a layer when something is written to it. It is called by the committer.
func (c *checkpoints) began(l *layer, age time.Duration) {
	if c.age != nil && c.of != l {
		c.of = l
		c.due.Store(false)
		c.age.Reset(age)
	}
}

// freeze begins a new layer, and the checkpoint of the one that was written to, unless one is under way. It is called by the
// committer, between groups.
func (db *DB) freeze() {
	db.publish.Lock()
	defer db.publish.Unlock()
	next := *db.snap.Load()
	if next.layers[1] != nil || next.layers[0].Empty() {
		return
	}
	if next.layers[0].segment != db.wal.Number() {
		// All that was ever written to it was taken back: its segment was not begun.
		next.layers[0] = newLayer(next.layers[0].segment)
		db.snap.Store(&next)
		return
	}
	next.layers[1] = next.layers[0]
	next.layers[1].last = next.seq
	next.layers[0] = newLayer(next.layers[1].segment + 1)
	db.snap.Store(&next)
	notify(db.checkpoints.frozen)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// makeRoom begins a checkpoint if there is enough to write, and waits for one if there is too much. It is called by the
// committer, between groups.
func (db *DB) makeRoom() error {
	c := &db.checkpoints
	limit := db.opts.CheckpointBytes
	size := db.snap.Load().layers[0].Size()
	if size >= limit || c.due.Load() {
		db.freeze()
	}
	if size < 2*limit || db.snap.Load().layers[0].Size() < 2*limit {
		return nil
	}
	start := time.Now()
	db.stats.stalls.Add(1)
	defer func() { db.stats.stallTime.Add(int64(time.Since(start))) }()
	for need := uint64(0); ; { // the attempt that tells
		db.freeze()
		if db.snap.Load().layers[0].Size() < 2*limit {
			return nil
		}
		if err := c.failed.Load(); err != nil {
			if need > 0 && c.ended.Load() >= need {
				return fmt.Errorf("what was committed cannot be moved from the log into the file: %w", *err)
			}
			if need == 0 {
				need = c.begun.Load() + 1
				notify(c.retry)
			}
		}
		<-c.tried
	}
}

// checkpointLoop is the goroutine that writes to the B-tree.
func (db *DB) checkpointLoop() {
	c := &db.checkpoints
	defer close(c.done)
	debug.SetPanicOnFault(true)
	for {
		select {
		case <-c.frozen:
		case <-c.hurry:
			return
		}
		for db.checkpointFrozen() != nil {
			select {
			case <-c.hurry:
				return
			case <-c.retry:
			case <-time.After(retryCheckpoint):
			}
		}
		db.signal() // the layer that is written to may be due
	}
}

// endCheckpoints takes what is left into the B-tree, after the committer ended. It reports whether all is in it; if not, the
// log has it.
func (db *DB) endCheckpoints() bool {
	c := &db.checkpoints
	if c.age != nil {
		c.age.Stop()
	}
	close(c.hurry)
	<-c.done
	if db.brokenErr() != nil {
		return false
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for {
		if err := db.checkpointFrozen(); err != nil {
			return false
		}
		db.freeze()
		if db.snap.Load().layers[1] == nil {
			return true
		}
	}
}

// checkpointFrozen takes the frozen layer, if there is one, into the B-tree.
func (db *DB) checkpointFrozen() error {
	snap := db.snap.Load()
	l := snap.layers[1]
	if l == nil {
		return nil
	}
	c := &db.checkpoints
	attempt := c.begun.Add(1)
	defer func() {
		c.ended.Store(attempt)
		notify(c.tried)
	}()
	start := time.Now()
	base, err := 0, db.brokenErr()
	if err == nil {
		base, err = db.checkpoint(l)
	}
	db.stats.checkpointTime.Add(int64(time.Since(start)))
	if err != nil {
		db.stats.failedCheckpoints.Add(1)
		if c.failed.Swap(&err) == nil {
			db.log.Error("a checkpoint failed, the log keeps what it should have written until one succeeds", "err", err)
		}
		return err
	}
	db.stats.checkpoints.Add(1)
	c.failed.Store(nil)
	db.publish.Lock()
	next := *db.snap.Load()
	next.layers[1], next.base = nil, base
	db.snap.Store(&next)
	db.publish.Unlock()
	db.stats.overlay.Store(next.size())
	return nil
}

// checkpoint writes a layer to the B-tree, in parts, and returns the number of the transaction from which on it is all there.
// If one fails, those before it did no harm: the layer lies over them until all is there.
func (db *DB) checkpoint(l *layer) (base int, err error) {
	p := part{db: db, l: l, spaces: l.Spaces()}
	for !p.last {
		start := time.Now()
		if err := db.write(p.write); err != nil {
			return 0, err
		}
		if !p.last {
			db.pause(time.Since(start))
		}
	}
	return p.id, nil
}

// pause leaves the processor and the disk to the commits, unless these wait for the checkpoint or will soon.
func (db *DB) pause(d time.Duration) {
	if db.snap.Load().layers[0].Size() >= db.opts.CheckpointBytes {
		return
	}
	select {
	case <-time.After(d):
	case <-db.checkpoints.hurry:
	}
}

// part is a part of a checkpoint.
type part struct {
	db     *DB
	l      *layer
	spaces []string // that are left
	space  string
	bucket *bbolt.Bucket
	at     memtable.Cursor
	last   bool
	id     int // of the transaction
}

func (p *part) write(b *bbolt.Tx) error {
	p.id, p.bucket = b.ID(), nil
	for n := 0; n < partBytes; {
		if p.at.Key() == nil {
			if len(p.spaces) == 0 {
				p.last = true
				return noteContained(b, p.l.segment, p.l.last)
			}
			p.space, p.spaces, p.bucket = p.spaces[0], p.spaces[1:], nil
			p.at = p.l.Space(p.space).Cursor(math.MaxUint64)
			p.at.Seek(nil)
			continue
		}
		k, v := p.at.Key(), p.at.Value()
		if err := p.put(b, k, v); err != nil {
			return fmt.Errorf("%s: %w", p.space, err)
		}
		n += len(k) + len(v)
		p.db.stats.checkpointBytes.Add(uint64(len(k) + len(v)))
		p.at.Next()
	}
	return nil
}

// put sets the value of a key, or deletes it if the value is nil.
func (p *part) put(b *bbolt.Tx, k, v []byte) (err error) {
	if p.bucket == nil {
		if p.bucket = b.Bucket([]byte(p.space)); p.bucket == nil && v == nil {
			return nil
		}
		if p.bucket == nil {
			if p.bucket, err = b.CreateBucket([]byte(p.space)); err != nil {
				return err
			}
		}
		p.bucket.FillPercent = fill
		if p.db.appends[store.Space(p.space)] {
			p.bucket.FillPercent = fillAppend
		}
	}
	if v == nil {
		return p.bucket.Delete(k)
	}
	return p.bucket.Put(k, v)
}

const (
	// fillAppend is how full pages of a space become whose keys only ascend.
	fillAppend = 0.95

	// fill is how full they become elsewhere when they are split. Most keys ascend among those that begin alike, so that what
	// comes before the split stays as it is: half full, as is usual, archives were an eighth longer.
	fill = 0.7
)

// write runs fn in a transaction of the B-tree. If it fails, nothing of it is there.
func (db *DB) write(fn func(*bbolt.Tx) error) (err error) {
	b, err := db.bolt.Begin(true)
	if err != nil {
		return err
	}
	id, committing := b.ID(), false
	defer func() {
		if v := recover(); v != nil {
			err = db.panicked(v, false)
			if committing {
				db.setBroken(err)
			}
			_ = db.rollback(b)
		}
	}()
	if err := fn(b); err != nil {
		return errors.Join(err, db.rollback(b))
	}
	committing = true
	if err := b.Commit(); err != nil {
		// If the failed transaction can be seen, its last step, the root, was written but perhaps not to disk: what a
		// restart will find is not known.
		if v, begin := db.bolt.Begin(false); begin != nil || v.ID() >= id {
			db.setBroken(err)
			if begin == nil {
				_ = v.Rollback()
			}
		} else {
			_ = v.Rollback()
		}
		return err
	}
	return nil
}

// rollback undoes a transaction. If that panics, the B-tree cannot be written to any more, nor closed: its lock is held.
func (db *DB) rollback(b *bbolt.Tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = db.panicked(v, false)
			db.stuck.Store(true)
			db.setBroken(err)
		}
	}()
	if err := b.Rollback(); err != nil && !errors.Is(err, berrors.ErrTxClosed) {
		return err
	}
	return nil
}
