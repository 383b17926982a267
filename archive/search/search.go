// Package search is the full-text index of the history. It holds which words are in which message, and nothing that the
// archive does not have: it can be thrown away and built again at any time, and it is when it is damaged.
//
// A word is what stands between spaces and punctuation, without case and accents ([Fold]): nguyen finds Nguyễn, strasse
// Straße, and Müller is found by muller and mueller. In scripts that have no spaces each letter is a word. What people
// look for is a [Query], which also tells by itself whether a text has it: so what is not indexed yet can be searched, too,
// with the same result. The index leads to the messages that have all the words; where some are to follow one another,
// which [Query.Sure] tells, the caller asks the query for each of them.
//
// The library is bleve's scorch, without bleve's own layer for documents and queries: segments of postings on disk, mapped
// into memory, merged in the background. An index is open while it is used and some time after.
package search

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"confab/xmpp"
)

// format changes when an index that was made before must be made again: with the words that are taken out of a text.
const format = "1"

// idle is how long an index stays open that nobody uses.
const idle = time.Minute

// Options are the settings of an index.
type Options struct {
	Dir   string // the folder, which nothing else uses
	Clock xmpp.Clock
	Log   *slog.Logger

	// Busy tells whether there is more important work: segments are not merged meanwhile. nil: never.
	Busy func() bool

	// Adopt is called for files that were made, so that they can belong to whom the folder belongs. May be nil.
	Adopt func(path string) error
}

// Index is the index of one archive. It is safe for concurrent use.
type Index struct {
	opts  Options
	reads chan struct{} // bounds how many look for something at the same time

	mu      sync.Mutex
	open    *opened
	users   int
	timer   xmpp.Timer
	notTill time.Time // a folder that cannot be used is not tried again before
	closed  bool
}

// maxReads is how many searches run at once: they must leave something of the machine to the messages.
const maxReads = 2

var errClosed = errors.New("search: the index is closed")

// New makes an index. Nothing is opened before it is used.
func New(o Options) *Index {
	if o.Clock == nil {
		o.Clock = xmpp.SystemClock
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Index{opts: o, reads: make(chan struct{}, maxReads)}
}

// Document is a message as the index has it.
type Document struct {
	ID     uint64
	Owners []uint64 // who has it
	Hidden bool     // is shown to none of them any more
	Texts  []string // to be searched; of a message that is encrypted none
	Kind   Kind
}

// Kind is what a message is besides its words.
type Kind uint8

const (
	HasFile Kind = 1 << iota
	Encrypted
)

// Batch is a change of the index, which is done as a whole.
type Batch struct {
	Put     []Document // in place of what there is with the same id
	Delete  []uint64
	Last    uint64 // up to this id the index has all messages
	Archive string // of which archive
}

// Update makes a change and returns when it is on disk.
func (x *Index) Update(ctx context.Context, b *Batch) error {
	o, err := x.acquire()
	if err != nil {
		return err
	}
	defer x.release()
	return x.check(o, o.update(ctx, b))
}

// State is how far an index is.
type State struct {
	Last      uint64 // of Batch
	Archive   string // of Batch; empty: it is a new index
	Documents int
}

// View calls fn with the index as it is now.
func (x *Index) View(ctx context.Context, fn func(*Snapshot) error) error {
	select {
	case x.reads <- struct{}{}:
		defer func() { <-x.reads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	o, err := x.acquire()
	if err != nil {
		return err
	}
	defer x.release()
	s, err := o.snapshot()
	if err != nil {
		return x.check(o, err)
	}
	defer s.close()
	err = fn(s)
	if s.failed != nil {
		x.check(o, s.failed)
	}
	return err
}

// Reset throws the index away.
func (x *Index) Reset() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shut()
	if err := os.RemoveAll(x.opts.Dir); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	x.notTill = time.Time{}
	return nil
}

// Close closes the index for good.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	x.shut()
	return nil
}

// acquire opens the index if it is not. A damaged one is thrown away.
func (x *Index) acquire() (*opened, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.closed:
		return nil, errClosed
	case x.open == nil && x.opts.Clock.Now().Before(x.notTill):
		return nil, errors.New("search: the index cannot be used at the moment")
	case x.open == nil:
		o, err := x.reopen()
		if err != nil {
			x.notTill = x.opts.Clock.Now().Add(idle)
			x.opts.Log.Error("the search index cannot be used; searches read the messages", "error", err)
			return nil, err
		}
		x.open = o
	}
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
	x.users++
	return x.open, nil
}

func (x *Index) reopen() (*opened, error) {
	o, err := x.tryOpen()
	if err == nil || unusable(err) {
		return o, err
	}
	x.opts.Log.Error("the search index is damaged and will be built again", "error", err)
	if err := os.RemoveAll(x.opts.Dir); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return x.tryOpen()
}

// unusable tells errors that say nothing about what is in the files.
func unusable(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, errHeld) || isLacking(err)
}

func (x *Index) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.users--; x.users > 0 || x.open == nil || x.closed {
		return
	}
	x.timer = x.opts.Clock.AfterFunc(idle, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.users == 0 {
			x.shut()
		}
	})
}

// shut closes what is open. Call with x.mu held.
func (x *Index) shut() {
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
	if x.open == nil {
		return
	}
	o := x.open
	x.open = nil
	if err := o.close(); err != nil {
		x.opts.Log.Error("the search index was not closed as it should be", "error", err)
	}
}

// check throws an index away that gave an error which nothing but damage explains.
func (x *Index) check(o *opened, err error) error {
	var peer *xmpp.Error
	if err == nil || errors.As(err, &peer) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errClosed) {
		return err
	}
	x.retire(o, err)
	return err
}

// retire closes an index that does not work.
func (x *Index) retire(o *opened, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open != o || x.closed {
		return
	}
	x.shut()
	x.notTill = x.opts.Clock.Now().Add(idle)
	if unusable(err) {
		x.opts.Log.Error("the search index cannot be written; searches read the messages", "error", err)
		return
	}
	x.opts.Log.Error("the search index is damaged and will be built again", "error", err)
	if err := os.RemoveAll(x.opts.Dir); err != nil {
		x.opts.Log.Error("the search index could not be removed", "error", err)
	}
}

// docID is the name of a document: its id, so that names sort as ids do.
func docID(id uint64) string {
	return string(binary.BigEndian.AppendUint64(nil, id))
}

func idOf(name []byte) (uint64, error) {
	if len(name) != 8 {
		return 0, errors.New("search: a document without an id")
	}
	return binary.BigEndian.Uint64(name), nil
}

// maxID is behind all ids.
const maxID = math.MaxUint64
