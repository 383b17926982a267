package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// recent is what indices have not got on disk. A message says itself who has it, so that is all that has to be written
// before it is delivered; its places in indices are noted here. When there are many they are settled: written into the
// indices on disk, many of one index at once. After a crash, or any other end, Open notes them anew: those of the messages
// behind keySettled, which are few.
type recent struct {
	mu   sync.Mutex
	of   map[place]*[]uint64 // ascending; what is below the length of a slice is not written to again
	n    int                 // ids in all
	upto uint64              // the last message whose places were noted

	settling   sync.Mutex  // held by whoever settles
	background atomic.Bool // somebody does so without being waited for
}

// keySettled holds the id up to which the places of all messages are in the indices on disk. All that remove messages
// settle first: what was noted anew from a message would be back otherwise.
var keySettled = []byte("settled")

const (
	// settleAt is how many ids may be noted before they are settled. Less would write each block more often, more would cost
	// memory (100 B each at worst) and time at Open (half a microsecond each).
	settleAt  = 1 << 16
	maxRecent = 4 * settleAt // beyond that who keeps a message settles first
	// settleBlocks bounds a transaction that settles: others wait for it.
	settleBlocks = 256
	settleRetry  = 10 * time.Second
)

// ids returns the ids of a place.
func (r *recent) ids(p place) []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ids := r.of[p]; ids != nil {
		return *ids
	}
	return nil
}

// note notes where messages are found that are on disk.
func (r *recent) note(places []placed, batch []*Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range places {
		r.add(places[i].place, batch[places[i].message].ID)
	}
	r.upto = batch[len(batch)-1].ID
}

// add is called with mu held.
func (r *recent) add(p place, id uint64) {
	ids := r.of[p]
	if ids == nil {
		if r.of == nil {
			r.of = map[place]*[]uint64{}
		}
		ids = new([]uint64)
		r.of[p] = ids
	}
	*ids = append(*ids, id)
	r.n++
}

func (r *recent) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// places returns all places, in the order of their keys, and the last message that they tell of.
func (r *recent) places() (all []place, upto uint64) {
	r.mu.Lock()
	all, upto = slices.AppendSeq(make([]place, 0, len(r.of)), maps.Keys(r.of)), r.upto
	r.mu.Unlock()
	slices.SortFunc(all, byKey) // who commits does not wait for that
	return all, upto
}

// drop forgets the ids of places up to one.
func (r *recent) drop(places []place, upto uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range places {
		ids := r.of[p]
		n := len(until(*ids, upto))
		r.n -= n
		if n == len(*ids) {
			delete(r.of, p)
			continue
		}
		*ids = slices.Clone((*ids)[n:])
	}
	if len(r.of) == 0 {
		r.of = nil // a map does not shrink
	}
}

// until returns the ids up to one.
func until(ids []uint64, last uint64) []uint64 {
	n, found := slices.BinarySearch(ids, last)
	if found {
		n++
	}
	return ids[:n]
}

// settle puts on disk what is noted, and returns the id up to which it did.
func (a *Archive) settle(ctx context.Context) (upto uint64, err error) {
	a.recent.settling.Lock()
	defer a.recent.settling.Unlock()
	return a.settleAlone(ctx)
}

// makeRoom settles if too much is noted. Who has waited for another to do so need not do it again.
func (a *Archive) makeRoom(ctx context.Context) (err error) {
	r := &a.recent
	if r.size() < maxRecent {
		return nil
	}
	r.settling.Lock()
	defer r.settling.Unlock()
	if r.size() >= maxRecent {
		_, err = a.settleAlone(ctx)
	}
	return err
}

// settleAlone is settle, with settling held.
func (a *Archive) settleAlone(ctx context.Context) (upto uint64, err error) {
	r := &a.recent
	all, upto := r.places()
	for places := range slices.Chunk(all, settleBlocks) {
		err := a.db.Update(ctx, func(tx store.Tx) error {
			for _, p := range places {
				if err := (index{prefix: appendPlace(nil, p)}).extend(tx, until(r.ids(p), upto)); err != nil {
					return err
				}
			}
			tx.OnCommit(func() { r.drop(places, upto) })
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("archive: settle: %w", err)
		}
	}
	return upto, a.db.Update(ctx, func(tx store.Tx) error { return tx.Put(spaceMeta, keySettled, appendID(nil, upto)) })
}

// settleSoon has what is noted settled if it is much. It does not wait.
func (a *Archive) settleSoon() {
	if a.recent.size() < settleAt || !a.recent.background.CompareAndSwap(false, true) {
		return
	}
	go func() {
		_, err := a.settle(context.Background())
		if err == nil || errors.Is(err, store.ErrClosed) {
			a.recent.background.Store(false)
			return
		}
		a.opts.Log.Error("the indices of the history were not written; they are kept in memory", "err", err)
		a.opts.Clock.AfterFunc(settleRetry, func() { a.recent.background.Store(false) })
	}()
}

// upTo yields the ids of an owner's messages, from lo on, in a transaction that writes: up to its place in the order of all
// messages. What is committed with it is in no index yet and is looked for among these.
func (a *Archive) upTo(tx store.Tx, o directory.ID, lo uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for e := range a.index(o, xmpp.JID{}).in(tx).scan(lo, maxID, false) {
			if !yield(e.id) {
				return
			}
		}
		for k, v := range tx.Scan(spaceBody, store.Range{From: appendID(nil, max(lo, a.Last()+1))}) {
			var b body
			if b.decode(v) != nil {
				continue
			}
			if _, ok, _ := b.rowOf(o); ok && !yield(idOf(k)) {
				return
			}
		}
	}
}

// endsIn is Ends in a transaction that writes.
func (a *Archive) endsIn(tx store.Tx, o directory.ID) (first, last uint64) {
	first, last = a.index(o, xmpp.JID{}).in(tx).ends()
	for id := range a.upTo(tx, o, last+1) {
		if last = id; first == 0 {
			first = id
		}
	}
	return first, last
}

// recall notes the places of the messages that are not settled, when the archive is opened.
func (a *Archive) recall(ctx context.Context) error {
	r := &a.recent
	converted, told := 0, a.opts.Clock.Now()
	for more := true; more; {
		more = false
		old := false
		err := a.db.View(ctx, func(tx store.Tx) error {
			if v := tx.Get(spaceMeta, keySettled); len(v) == 8 {
				r.upto = max(r.upto, idOf(v))
			}
			for k, v := range tx.Scan(spaceBody, store.Range{From: appendID(nil, r.upto+1), Limit: viewRows}) {
				more = true
				if old = isOld(v); old {
					return nil
				}
				r.upto = idOf(k)
				if err := r.recall(r.upto, v); err != nil {
					a.unreadable(r.upto, err)
				}
			}
			return nil
		})
		if err == nil && old {
			n := 0
			n, err = a.convert(ctx, r.upto+1)
			converted += n
			if now := a.opts.Clock.Now(); now.Sub(told) >= tellEvery {
				a.opts.Log.Info("the history is being written anew, as this version of confab keeps it", "messages", converted)
				told = now
			}
		}
		if err == nil && r.n >= settleAt {
			_, err = a.settle(ctx)
		}
		if err != nil {
			return err
		}
	}
	if converted > 0 {
		a.opts.Log.Info("the history was written anew, as this version of confab keeps it", "messages", converted)
	}
	return nil
}

// tellEvery is how often it is told how far long work is.
const tellEvery = 5 * time.Second

// recall notes the places of a message on disk.
func (r *recent) recall(id uint64, v []byte) error {
	var b body
	if err := b.decode(v); err != nil {
		return err
	}
	return b.eachRow(func(w *row) bool {
		r.add(place{owner: w.owner}, id)
		if len(w.with) > 0 {
			r.add(place{w.owner, string(bareOf(w.with))}, id)
		}
		return true
	})
}
