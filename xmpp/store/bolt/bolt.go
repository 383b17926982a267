// Package bolt keeps a store in a B-tree in a file, by go.etcd.io/bbolt, with a log in front of it.
//
// Transactions are committed in groups by one goroutine: while one group is being synced to disk, everybody who comes waits
// and makes up the next. Nobody waits for a timer, so a lone Update costs one commit, and a thousand at once cost one too.
//
// A commit is one record appended to the log and one fdatasync. What it wrote is then in memory (internal/memtable) and in
// the log (internal/wal), not in the B-tree; a transaction reads the two as one. When there is enough of it, or it is old, or
// at Close, a checkpoint takes it into the B-tree: the table in memory is frozen, another begun with a segment of the log of its
// own, and a goroutine writes the frozen one into the B-tree in order of the keys, a part at a time. The last part notes
// which segment is now contained, and the segment's file may be written over. So each commit is in the log or in the
// B-tree or in both, and what is in both is the same. Open reads what the log has and the B-tree has not.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt/internal/memtable"
	"confab/xmpp/store/bolt/internal/wal"
)

const (
	defaultMmapSize = 64 << 30
	defaultGather   = 2 * time.Millisecond
	defaultTimeout  = time.Second
	slowView        = 50 * time.Millisecond

	defaultCheckpointBytes = 16 << 20
	defaultCheckpointAge   = 5 * time.Minute
)

// Options say how a file is opened. The zero value is right for small data.
type Options struct {
	// InitialMmapSize is the address space (not memory) set aside for the file, 64 GiB by default. As long as the file fits,
	// a growing file need not wait for the Views that are open, nor they for it. Negative: as much as the file is long.
	InitialMmapSize int

	// Timeout is how long to wait for another process to let go of the file; 1 s by default.
	Timeout time.Duration

	// Readers is how many Views run at once. A View that reads cold pages blocks its thread where the scheduler cannot see
	// it, so the default is one less than GOMAXPROCS, but at least one.
	Readers int

	// Append names spaces whose new keys come behind all others: their pages are filled instead of half filled.
	Append []store.Space

	// CheckpointBytes is how much memory may hold what is not yet in the B-tree before a checkpoint begins; 16 MiB by default.
	// While one runs as much again may be written, then Updates wait for it: four times this is the most that is held.
	CheckpointBytes int64

	// CheckpointAge is how long something is in the log at most before a checkpoint begins, however little there is; 5 min
	// by default. Negative: as long as it may be.
	CheckpointAge time.Duration

	// Gather is the time between the beginnings of two commits while Updates come faster than the disk takes them, 2 ms by
	// default; negative: none. A commit costs the processor the same for one as for many, so a little patience saves much. An
	// Update that finds nobody else waiting does not wait.
	Gather time.Duration

	// Committed is told of each commit: how many Updates shared it and how long it took. It must be quick.
	Committed func(updates int, took time.Duration)

	// NoSync leaves out the fsync. For tests and throw-away data only.
	NoSync bool

	Log *slog.Logger

	sync func(*os.File) error // puts the log on disk
}

// DB is a store in a file.
type DB struct {
	bolt    *bbolt.DB
	log     *slog.Logger
	opts    Options
	appends map[store.Space]bool
	readers chan struct{}
	stats   counters

	snap    atomic.Pointer[snapshot]
	publish sync.Mutex // held to replace snap

	mu      sync.Mutex
	pending []*job
	closed  bool
	broken  bool
	wake    chan struct{} // capacity 1
	crowded bool          // the committer's: Updates came during the last commit
	done    chan struct{} // closed when the committer has ended
	stuck   atomic.Bool   // a transaction of the B-tree could not be ended

	// Of the committer.
	wal        *wal.Log
	record     wal.Record
	id         [16]byte // by which a log knows its store
	identified bool     // the B-tree has it

	checkpoints checkpoints
}

var _ store.DB = (*DB)(nil)

// Open opens the file at path, which is made if there is none.
func Open(path string, o Options) (*DB, error) {
	o = o.withDefaults()
	b, err := open(path, o)
	if err != nil {
		return nil, err
	}
	db := &DB{
		bolt:    b,
		log:     o.Log,
		opts:    o,
		appends: make(map[store.Space]bool),
		readers: make(chan struct{}, o.Readers),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	for _, s := range o.Append {
		db.appends[s] = true
	}
	if err := db.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), b.Close())
	}
	db.startCheckpoints()
	go db.commitLoop()
	return db, nil
}

func (o Options) withDefaults() Options {
	if o.InitialMmapSize == 0 {
		o.InitialMmapSize = defaultMmapSize
	}
	// On Windows the file becomes as long as its mapping; a 32-bit process has no address space to give away.
	if o.InitialMmapSize < 0 || runtime.GOOS == "windows" || strconv.IntSize == 32 {
		o.InitialMmapSize = 0
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Readers <= 0 {
		o.Readers = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if o.CheckpointBytes <= 0 {
		o.CheckpointBytes = defaultCheckpointBytes
	}
	if o.Gather == 0 {
		o.Gather = defaultGather
	}
	if o.CheckpointAge == 0 {
		o.CheckpointAge = defaultCheckpointAge
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.sync == nil && !o.NoSync {
		o.sync = wal.Datasync
	}
	return o
}

// Free reports whether nobody has the file at path open. It makes none.
func Free(path string) (bool, error) {
	b, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Millisecond})
	if errors.Is(err, berrors.ErrTimeout) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, b.Close()
}

// open opens the file. The list of free pages is written with each commit: it is short in a file that mostly grows, what
// leaving it out saved could not be measured, and without it opening has to read the whole file.
func open(path string, o Options) (*bbolt.DB, error) {
	bo := &bbolt.Options{
		Timeout:         o.Timeout,
		InitialMmapSize: o.InitialMmapSize,
		FreelistType:    bbolt.FreelistMapType,
		NoSync:          o.NoSync,
		NoGrowSync:      o.NoSync,
		NoStatistics:    true,
	}
	b, err := bbolt.Open(path, 0o600, bo)
	if errors.Is(err, syscall.ENOMEM) && bo.InitialMmapSize != 0 {
		// A limit on address space (ulimit -v) is no reason not to start.
		bo.InitialMmapSize = 0
		b, err = bbolt.Open(path, 0o600, bo)
	}
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w (is the server running?)", path, store.ErrInUse)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return b, nil
}

// View implements store.DB.
func (db *DB) View(ctx context.Context, fn func(store.Tx) error) (err error) {
	select {
	case db.readers <- struct{}{}:
	default:
		select {
		case db.readers <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-db.readers }()
	if err := ctx.Err(); err != nil {
		return err
	}
	start := time.Now()
	defer func() { db.stats.viewed(time.Since(start)) }()

	return readable(func() error { return db.view(fn) })
}

// readable runs fn. A disk that cannot be read shows itself as a memory fault in the mapped file: an error for the caller,
// not the end of the process.
func readable(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			fault, ok := v.(interface {
				error
				Addr() uintptr
			})
			if !ok {
				panic(v)
			}
			err = fmt.Errorf("store: the file cannot be read: %w", fault)
		}
	}()
	return fn()
}

func (db *DB) view(fn func(store.Tx) error) error {
	b, snap, err := db.snapshot()
	if err != nil {
		return err
	}
	t := tx{db: db, bolt: b, snap: snap, seq: snap.seq}
	defer func() {
		t.end()
		_ = b.Rollback()
	}()
	return fn(&t)
}

// snapshot is what was committed up to a moment and is not, or not only, in the B-tree.
type snapshot struct {
	seq    uint64    // number of the last commit
	base   int       // number of the transaction of the B-tree from which on a layer is missing here
	layers [2]*layer // the one that is written to, and the one that is frozen, if there is one
}

// layer is a segment of the log in memory.
type layer struct {
	*memtable.Table
	segment uint64
	last    uint64 // number of the last commit in it, once it is frozen
}

func newLayer(segment uint64) *layer { return &layer{Table: memtable.New(), segment: segment} }

// snapshot returns a transaction of the B-tree and the layers to be read over it. The B-tree is opened first: what a
// checkpoint took into it then is in the layers too, which does no harm, as long as it has all that they have not.
func (db *DB) snapshot() (*bbolt.Tx, *snapshot, error) {
	for {
		b, err := db.bolt.Begin(false)
		if errors.Is(err, berrors.ErrDatabaseNotOpen) {
			return nil, nil, store.ErrClosed
		}
		if err != nil {
			return nil, nil, fmt.Errorf("store: begin: %w", err)
		}
		if snap := db.snap.Load(); b.ID() >= snap.base {
			return b, snap, nil
		}
		_ = b.Rollback()
	}
}

// Close implements store.DB.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return store.ErrClosed
	}
	db.closed = true
	db.mu.Unlock()
	db.signal()
	<-db.done
	clean := db.endCheckpoints()
	if db.stuck.Load() {
		return errors.Join(store.ErrBroken, db.wal.Close())
	}
	err := db.bolt.Close()
	if !clean {
		return errors.Join(err, db.wal.Close())
	}
	return errors.Join(err, db.wal.Remove())
}

// Size returns how long the file and its log are together, in bytes.
func (db *DB) Size() int64 {
	n := wal.Size(db.bolt.Path())
	if fi, err := os.Stat(db.bolt.Path()); err == nil {
		n += fi.Size()
	}
	return n
}
