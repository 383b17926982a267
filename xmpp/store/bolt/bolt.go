// Package bolt keeps a store in one file, by go.etcd.io/bbolt.
//
// Transactions are committed in groups by one goroutine: while one group is being synced to disk, everybody who comes waits
// and makes up the next. Nobody waits for a timer, so a lone Update costs one commit, and a thousand at once cost one too.
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
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"confab/xmpp/store"
)

const (
	defaultMmapSize = 64 << 30
	defaultTimeout  = time.Second
	slowView        = 50 * time.Millisecond
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

	// NoSync leaves out the fsync. For tests and throw-away data only.
	NoSync bool

	Log *slog.Logger
}

// DB is a store in a file.
type DB struct {
	bolt    *bbolt.DB
	log     *slog.Logger
	appends map[store.Space]bool
	readers chan struct{}
	stats   counters

	mu      sync.Mutex
	pending []*job
	closed  bool
	broken  bool
	wake    chan struct{} // capacity 1
	done    chan struct{} // closed when the committer has ended
	stuck   bool          // of the committer: a transaction could not be ended
}

var _ store.DB = (*DB)(nil)

// Open opens the file at path, which is made if there is none.
func Open(path string, o Options) (*DB, error) {
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
	if o.Log == nil {
		o.Log = slog.Default()
	}
	b, err := open(path, o)
	if err != nil {
		return nil, err
	}
	db := &DB{
		bolt:    b,
		log:     o.Log,
		appends: make(map[store.Space]bool),
		readers: make(chan struct{}, o.Readers),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	for _, s := range o.Append {
		db.appends[s] = true
	}
	go db.commitLoop()
	return db, nil
}

// open opens the file. The list of free pages is written with each commit: it is short in a file that mostly grows, what
// leaving it out saved could not be measured, and without it opening has to read the whole file.
func open(path string, o Options) (*bbolt.DB, error) {
	bo := &bbolt.Options{
		Timeout:         o.Timeout,
		InitialMmapSize: o.InitialMmapSize,
		FreelistType:    bbolt.FreelistMapType,
		NoSync:          o.NoSync,
		NoStatistics:    true,
	}
	b, err := bbolt.Open(path, 0o600, bo)
	if err != nil && bo.InitialMmapSize != 0 && !errors.Is(err, berrors.ErrTimeout) && !errors.Is(err, os.ErrPermission) {
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

	// A disk that cannot be read shows itself as a memory fault in the mapped file: an error for the caller, not the end of
	// the process.
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
	err = db.bolt.View(func(b *bbolt.Tx) error {
		t := tx{db: db, bolt: b}
		defer t.end()
		return fn(&t)
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
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
	if db.stuck {
		return store.ErrBroken
	}
	return db.bolt.Close()
}

// Size returns the length of the file in bytes.
func (db *DB) Size() int64 {
	fi, err := os.Stat(db.bolt.Path())
	if err != nil {
		return 0
	}
	return fi.Size()
}
