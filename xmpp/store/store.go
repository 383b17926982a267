// Package store is the seam between the server and the engine that keeps its data: ordered bytes in named spaces, read in
// snapshots, written in transactions that share their commits.
//
// Keys and records belong to the package that owns a space; an engine gives them no meaning. Engines live below this
// package (store/bolt); store/storetest holds what every engine must pass.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
)

// Space names an ordered set of keys. The package that owns the records declares it; it comes to be when first written.
type Space string

var (
	// ErrClosed is returned by a DB that was closed.
	ErrClosed = errors.New("store: closed")
	// ErrReadOnly is returned by Put and Delete in a View.
	ErrReadOnly = errors.New("store: write in a read-only transaction")
	// ErrBroken is returned for every Update once the engine can no longer say what is on disk, as after a failed fsync: only
	// opening the data again, which reads what really is there, helps.
	ErrBroken = errors.New("store: a commit failed half way, the data must be opened again")
	// ErrInUse is returned at open when another process holds the data.
	ErrInUse = errors.New("store: in use by another process")
)

// DB is an open store.
type DB interface {
	// View runs fn on a consistent snapshot. It must be short (50 ms): long walks go in ranges, a View each, and fn does not
	// wait for anything but the disk. A View is not called within a View or an Update: engines limit how many run at once.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn in a transaction that is committed together with everybody else's who waits, and returns when it is on
	// disk. When fn returns an error, that error is returned and nothing that fn wrote remains.
	//
	// fn runs on the engine's only committer goroutine: it neither waits nor calls View or Update. It may run again when
	// another function of its group failed, so it touches only tx and what it sets afresh on each run.
	//
	// ctx is heeded until fn is taken into a group; from then on Update waits for the outcome, since what is on disk cannot be
	// cancelled.
	Update(ctx context.Context, fn func(Tx) error) error

	// Close waits for the Updates that have been called and closes the store.
	Close() error
}

// Tx is a transaction. It is used only by the fn it was given to.
type Tx interface {
	// Get returns the value of key, nil when there is none. It may be read until fn returns and is never written to.
	Get(s Space, key []byte) []byte

	// Put sets the value of key. The key is copied; the value is not changed by the caller until Update returned. An empty
	// key is an error; an empty value is kept and read as empty, not nil.
	Put(s Space, key, value []byte) error

	// Delete removes key; it is no error if there is none.
	Delete(s Space, key []byte) error

	// Scan yields keys and values of a range in key order, valid as those of Get. The loop may Put and Delete: it goes on
	// with the next key of the range as it then is.
	Scan(s Space, r Range) iter.Seq2[[]byte, []byte]

	// OnCommit adds a function that is called when the transaction is on disk: on the committer goroutine, in the order of
	// the commits, before Update returns. It must be quick and must not call View or Update. In a View it does nothing.
	OnCommit(fn func())

	// OnGroup adds a function that is called once for all transactions that were committed together, after the OnCommit
	// functions of all of them: a place to flush what these have gathered. Of several with the same key only one is called.
	OnGroup(key any, fn func())
}

// Range selects keys: those with Prefix that are not before From and that are before To (nil: no bound). From and To are
// full keys.
type Range struct {
	Prefix   []byte
	From, To []byte
	Reverse  bool
	Limit    int // 0: all
}

// Bounds returns the range as one half-open interval; a nil hi means that there is no upper bound. The interval is empty
// if hi is not nil and not after lo.
func (r Range) Bounds() (lo, hi []byte) {
	lo, hi = r.Prefix, after(r.Prefix)
	if bytes.Compare(r.From, lo) > 0 {
		lo = r.From
	}
	if r.To != nil && (hi == nil || bytes.Compare(r.To, hi) < 0) {
		hi = r.To
	}
	return lo, hi
}

// after returns the first key behind all that begin with prefix, nil if there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			p := bytes.Clone(prefix[:i+1])
			p[i]++
			return p
		}
	}
	return nil
}

// PanicError is what the caller of an Update gets when a function of his panicked on the committer goroutine.
type PanicError struct {
	Value any
	Stack []byte
	// Committed is true if it was an OnCommit function: the data is on disk nevertheless.
	Committed bool
}

func (e *PanicError) Error() string {
	if e.Committed {
		return fmt.Sprintf("store: panic after the commit: %v", e.Value)
	}
	return fmt.Sprintf("store: panic in a transaction: %v", e.Value)
}

// Unwrap returns the panic's value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
