package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"confab/archive/search"
	"confab/xmpp"
	"confab/xmpp/store"
)

// The index follows the archive by the ids of messages: it says itself up to which it has them. What becomes of messages
// that it has, the archive notes in the transaction in which it happens; the notes are removed when the index has followed.
// A search reads what the index does not have yet, so it finds the same however far behind the index is.

// keyIndex is a text that the index has, too: an index with another one belongs to another archive.
var keyIndex = []byte("index")

const (
	indexBatch   = 512            // messages
	reindexBatch = 4 * indexBatch // when somebody waits for it
	indexBytes   = 1 << 20        // of either
	// indexEvery is how often it is looked whether there is something to index, indexPatience how long it waits for more.
	indexEvery    = 15 * time.Second
	indexPatience = 2 * time.Minute
	indexEnough   = 1000 // messages, for which nothing waits
	// busyRate is how many messages a second leave no time for anything else. Indexing works for a part of the time then.
	busyRate = 200
	calmRest = 2  // rests between two batches, in the time that a batch took
	busyRest = 30 // a batch takes longer, too, when it has to wait for the processor
)

// follower has the index follow the archive.
type follower struct {
	a *Archive

	work sync.Mutex // held by whoever changes the index

	mu      sync.Mutex
	timer   xmpp.Timer // nil: not started, or stopped
	ctx     context.Context
	cancel  context.CancelFunc
	last    uint64    // the index has all up to here; 0: not known
	dirty   bool      // there are changes to follow, or that is not known
	waiting time.Time // since when there is something to do
	sample  sample    // for waiting
	rate    rate
}

// sample is how many messages there were at a time.
type sample struct {
	at time.Time
	n  uint64
}

// rate measures how many messages come in a second.
type rate struct {
	sample
	perSecond float64
}

func (r *rate) measure(now time.Time, n uint64) float64 {
	if d := now.Sub(r.at); d >= time.Second {
		r.perSecond = float64(n-r.n) / d.Seconds()
		r.sample = sample{now, n}
	}
	return r.perSecond
}

// Busy reports whether so many messages come that nothing else should take time.
func (a *Archive) Busy() bool {
	f := &a.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rate.measure(a.opts.Clock.Now(), a.stats.messages.Load()) > busyRate
}

// Follow has the index follow the archive from now on.
func (a *Archive) Follow() {
	f := &a.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.opts.Index != nil && f.timer == nil {
		f.dirty = true
		f.ctx, f.cancel = context.WithCancel(context.Background())
		f.timer = a.opts.Clock.AfterFunc(indexEvery, f.tick)
	}
}

// Unfollow ends that, and waits for what is going on.
func (a *Archive) Unfollow() {
	f := &a.follower
	f.mu.Lock()
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
		f.cancel()
	}
	f.mu.Unlock()
	f.work.Lock() // until the last batch is done
	defer f.work.Unlock()
}

func (f *follower) again(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		f.timer = f.a.opts.Clock.AfterFunc(d, f.tick)
	}
}

// due reports whether there is enough to do, or has been something for long enough.
func (f *follower) due() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, n := f.a.opts.Clock.Now(), f.a.stats.messages.Load()
	switch {
	case f.timer == nil:
		return false
	case f.last >= f.a.Last() && !f.dirty:
		f.waiting = time.Time{}
		return false
	case f.waiting.IsZero():
		f.waiting, f.sample = now, sample{now, n}
	}
	return now.Sub(f.waiting) >= indexPatience || n-f.sample.n >= indexEnough
}

// tick is called by the timer.
func (f *follower) tick() {
	if !f.due() {
		f.again(indexEvery)
		return
	}
	busy := f.a.Busy()
	began := time.Now()
	done, err := f.step(f.ctx, indexBatch)
	if errors.Is(err, context.Canceled) {
		return
	}
	if err != nil {
		f.a.opts.Log.Error("messages could not be indexed; searches read them", "error", err)
		f.again(time.Minute)
		return
	}
	if !done.more {
		f.again(indexEvery)
		return
	}
	rest := calmRest * time.Since(began)
	if busy {
		rest = busyRest * time.Since(began)
	}
	f.again(max(rest, 10*time.Millisecond))
}

// step indexes a batch of up to so many messages.
func (f *follower) step(ctx context.Context, limit int) (s stepped, err error) {
	f.work.Lock()
	defer f.work.Unlock()
	a := f.a
	f.mu.Lock()
	f.dirty = false
	f.mu.Unlock()
	b, err := a.nextBatch(ctx, limit)
	if err == nil && !b.empty() {
		err = a.opts.Index.Update(ctx, &b.Batch)
	}
	if err == nil && len(b.changed) > 0 {
		err = a.db.Update(ctx, func(tx store.Tx) error {
			for _, c := range b.changed {
				// A later change of the same message has another value.
				if bytes.Equal(tx.Get(spaceChange, c.key), c.value) {
					if err := tx.Delete(spaceChange, c.key); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.dirty = true
		return s, err
	}
	if f.last = b.Last; b.more {
		f.dirty = true
	} else {
		f.waiting = time.Time{}
	}
	return b.stepped, nil
}

// stepped is what came of a batch.
type stepped struct {
	messages int // that are new
	more     bool
}

// change is a note that a message is not what it was.
type change struct{ key, value []byte }

// noteChange notes that a message is gone, or shown to nobody any more.
func (a *Archive) noteChange(tx store.Tx, id uint64) error {
	if a.opts.Index == nil {
		return nil
	}
	tx.OnCommit(func() {
		a.follower.mu.Lock()
		defer a.follower.mu.Unlock()
		a.follower.dirty = true
	})
	return tx.Put(spaceChange, appendID(nil, id), appendID(nil, TimeID(a.opts.Clock.Now())))
}

// changes returns the messages that have changed since they were indexed, and to which index the archive belongs.
func (a *Archive) changes(ctx context.Context) (ids []uint64, token string, err error) {
	for next := uint64(0); ; {
		n := 0
		err := a.db.View(ctx, func(tx store.Tx) error {
			token = string(tx.Get(spaceMeta, keyIndex))
			for k := range tx.Scan(spaceChange, store.Range{From: appendID(nil, next), Limit: viewRows}) {
				ids = append(ids, idOf(k))
				n++
			}
			return nil
		})
		if err != nil || n < viewRows {
			return ids, token, err
		}
		next = ids[len(ids)-1] + 1
	}
}

// isOurs reports whether an index is one of this archive, and not ahead of it: as after an older archive was put back.
func (a *Archive) isOurs(s *search.Snapshot, token string) bool {
	return token != "" && s.Archive == token && (s.Last <= a.opened || a.checked.Load())
}

// batch is what the index is to be told next.
type batch struct {
	search.Batch
	stepped
	changed []change
	from    uint64
}

func (b *batch) empty() bool { return b.Last == b.from && len(b.changed) == 0 }

// nextBatch reads what is to be indexed next. An index that does not belong to the archive is thrown away.
func (a *Archive) nextBatch(ctx context.Context, limit int) (b *batch, err error) {
	token, err := a.indexToken(ctx)
	if err != nil {
		return nil, err
	}
	b = &batch{Batch: search.Batch{Archive: token}}
	old := false
	err = a.opts.Index.View(ctx, func(s *search.Snapshot) error {
		if a.isOurs(s, token) {
			b.from = s.Last
		} else {
			old = s.Archive != ""
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if old {
		a.opts.Log.Warn("the search index is not of this archive, or of a later state of it, and will be built again")
		if err := a.opts.Index.Reset(); err != nil {
			return nil, err
		}
	}
	a.checked.Store(true)
	b.Last = b.from
	var entries []*Entry
	upto := a.Last() // what is kept from now on the View may not show
	err = a.db.View(ctx, func(tx store.Tx) error {
		entries = b.read(a, tx, upto, limit)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if d, ok := a.toDocument(e); ok {
			b.Put = append(b.Put, d)
		} else if e.ID <= b.from {
			b.Delete = append(b.Delete, e.ID)
		}
	}
	return b, nil
}

// read reads changed messages, and then new ones up to an id: so many of either.
func (b *batch) read(a *Archive, tx store.Tx, upto uint64, limit int) (entries []*Entry) {
	n, size := 0, 0
	for k, v := range tx.Scan(spaceChange, store.Range{Limit: limit}) {
		n++
		b.changed = append(b.changed, change{bytes.Clone(k), bytes.Clone(v)})
		id := idOf(k)
		if id > b.from {
			continue // it is read as it is now
		}
		body := tx.Get(spaceBody, appendID(nil, id))
		if body == nil {
			b.Delete = append(b.Delete, id)
			continue
		}
		e, err := newEntry(id, body)
		if err != nil {
			a.unreadable(id, err)
			b.Delete = append(b.Delete, id)
			continue
		}
		entries = append(entries, e)
		if size += len(e.Stanza); size > indexBytes {
			b.more = true
			return entries
		}
	}
	if n == limit {
		b.more = true
		return entries
	}
	for k, v := range tx.Scan(spaceBody, store.Range{From: appendID(nil, b.from+1), To: appendID(nil, upto+1), Limit: limit}) {
		b.Last = idOf(k)
		b.messages++
		if e, err := newEntry(b.Last, v); err != nil {
			a.unreadable(b.Last, err)
		} else {
			entries = append(entries, e)
			size += len(e.Stanza)
		}
		if size > indexBytes || b.messages >= limit {
			b.more = true
			return entries
		}
	}
	b.Last = max(b.Last, upto)
	return entries
}

// toDocument makes of a message what the index has of it; false: nothing, as there is nothing to be found in it.
func (a *Archive) toDocument(e *Entry) (d search.Document, ok bool) {
	if err := e.parse(); err != nil {
		a.unreadable(e.ID, err)
		return d, false
	}
	d = search.Document{ID: e.ID, Hidden: e.Retracted != nil}
	for _, o := range e.Owners {
		d.Owners = append(d.Owners, uint64(o))
	}
	if e.Flags&Encrypted != 0 {
		d.Kind |= search.Encrypted
	} else {
		d.Texts = e.texts
	}
	if len(a.files(e)) > 0 {
		d.Kind |= search.HasFile
	}
	return d, len(d.Texts) > 0 || d.Kind != 0
}

// indexToken returns to which index the archive belongs.
func (a *Archive) indexToken(ctx context.Context) (token string, err error) {
	err = a.db.View(ctx, func(tx store.Tx) error {
		token = string(tx.Get(spaceMeta, keyIndex))
		return nil
	})
	if err != nil || token != "" {
		return token, err
	}
	token = rand.Text()
	return token, a.db.Update(ctx, func(tx store.Tx) error { return tx.Put(spaceMeta, keyIndex, []byte(token)) })
}

// ErrNoIndex is returned where an index is needed and there is none.
var ErrNoIndex = errors.New("archive: there is no search index")

// Reindex builds the index anew. It calls progress with how many messages were indexed, of how many.
func (a *Archive) Reindex(ctx context.Context, progress func(done, total int)) (done int, err error) {
	if a.opts.Index == nil {
		return 0, ErrNoIndex
	}
	total, err := a.countAfter(ctx, 0, math.MaxInt)
	if err != nil {
		return 0, err
	}
	f := &a.follower
	f.work.Lock()
	err = a.opts.Index.Reset()
	f.work.Unlock()
	if err != nil {
		return 0, fmt.Errorf("archive: %w", err)
	}
	for {
		s, err := f.step(ctx, reindexBatch)
		if err != nil {
			return done, err
		}
		done += s.messages
		progress(done, max(done, total))
		if !s.more {
			return done, nil
		}
		rest := time.Duration(0)
		if a.Busy() {
			rest = time.Second
		}
		select {
		case <-ctx.Done():
			return done, ctx.Err()
		case <-time.After(rest):
		}
	}
}

// IndexState is how far the search index is.
type IndexState struct {
	Last      time.Time // when the newest message that it has was kept; zero: it has none
	Documents int       // messages in which something can be found
	Behind    int       // messages that it does not have yet, at most MaxBehind
}

// MaxBehind is how many messages are counted that an index does not have.
const MaxBehind = 100_000

// IndexState tells how far the index is.
func (a *Archive) IndexState(ctx context.Context) (st IndexState, err error) {
	if a.opts.Index == nil {
		return st, ErrNoIndex
	}
	last := uint64(0)
	err = a.withIndex(ctx, func(ix indexed) error {
		if ix.snapshot != nil {
			last, st.Documents = ix.upto, ix.snapshot.Documents
		}
		return nil
	})
	if err != nil {
		return st, err
	}
	if last > 0 {
		st.Last = IDTime(last)
	}
	st.Behind, err = a.countAfter(ctx, last, MaxBehind)
	return st, err
}

// countAfter counts the messages behind an id, up to a limit.
func (a *Archive) countAfter(ctx context.Context, id uint64, limit int) (n int, err error) {
	for {
		read := 0
		err := a.db.View(ctx, func(tx store.Tx) error {
			for k := range tx.Scan(spaceBody, store.Range{From: appendID(nil, id+1), Limit: min(viewRows, limit-n)}) {
				id = idOf(k)
				read++
			}
			return nil
		})
		if n += read; err != nil || read < viewRows || n >= limit {
			return n, err
		}
	}
}
