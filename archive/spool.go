package archive

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Messages that nobody was there to receive are not kept in a place of their own: they are those behind a marker, the id
// up to which some resource of the owner got everything. An owner without a marker never got any.
//
// The marker follows each delivery in memory, and goes to disk with other messages or by SyncMarkers. After a crash it
// is as old as the last message that was kept markerInterval after it moved, and what came since then is offered again,
// under the same stanza-id.

const (
	markerInterval = 10 * time.Second
	maxMarkers     = 1000 // written along with one batch
)

// markers are those that have moved and are not on disk.
type markers struct {
	mu    sync.Mutex
	moved map[directory.ID]uint64
	since time.Time // when the oldest of them moved
}

// Advance moves the marker of an owner forward: some resource got everything up to id. It does not wait.
func (a *Archive) Advance(o directory.ID, id uint64) {
	m := &a.markers
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.moved) == 0 {
		m.moved = map[directory.ID]uint64{}
		m.since = a.opts.Clock.Now()
	}
	m.moved[o] = max(m.moved[o], id)
}

// Marker returns the id up to which some resource of the owner got everything.
func (a *Archive) Marker(ctx context.Context, o directory.ID) (id uint64, err error) {
	moved := a.moved(o)
	err = a.db.View(ctx, func(tx store.Tx) error {
		id = readMarker(tx, o)
		return nil
	})
	return max(id, moved), err
}

func readMarker(tx store.Tx, o directory.ID) uint64 {
	if v := tx.Get(spaceMarker, appendOwner(nil, o)); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// SetMarker sets the marker of an owner, back too: a resource that ended without having acknowledged what it was sent
// got only what comes before. It is on disk when SetMarker returns.
func (a *Archive) SetMarker(ctx context.Context, o directory.ID, id uint64) error {
	a.markers.mu.Lock()
	delete(a.markers.moved, o)
	a.markers.mu.Unlock()
	return a.db.Update(ctx, func(tx store.Tx) error {
		return tx.Put(spaceMarker, appendOwner(nil, o), appendID(nil, id))
	})
}

// SyncMarkers writes the markers that have moved.
func (a *Archive) SyncMarkers(ctx context.Context) error {
	m := &a.markers
	m.mu.Lock()
	left := len(m.moved)
	m.mu.Unlock()
	for ; left > 0; left -= maxMarkers {
		if err := a.db.Update(ctx, a.writeMarkers); err != nil {
			return err
		}
	}
	return nil
}

// markersDue reports whether markers have waited long enough.
func (a *Archive) markersDue() bool {
	m := &a.markers
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.moved) > 0 && a.opts.Clock.Now().Sub(m.since) >= markerInterval
}

// writeMarkers runs on the committer's goroutine.
func (a *Archive) writeMarkers(tx store.Tx) error {
	m := &a.markers
	m.mu.Lock()
	written := make(map[directory.ID]uint64, min(len(m.moved), maxMarkers))
	for o, id := range m.moved {
		if len(written) == maxMarkers {
			break
		}
		written[o] = id
	}
	m.mu.Unlock()
	for o, id := range written {
		if id <= readMarker(tx, o) {
			continue
		}
		if err := tx.Put(spaceMarker, appendOwner(nil, o), appendID(nil, id)); err != nil {
			return err
		}
	}
	tx.OnCommit(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for o, id := range written {
			if m.moved[o] == id {
				delete(m.moved, o)
			}
		}
		m.since = a.opts.Clock.Now()
	})
	return nil
}

// Spool calls fn, outside of any transaction, for the messages behind an id that came to the owner and that somebody who
// was away wants to have: those of type normal and chat (RFC 6121 §8.5.2.2). It returns the id of the last message that
// was looked at, which is where the marker goes once they are delivered.
func (a *Archive) Spool(ctx context.Context, o directory.ID, after uint64, fn func(*Item) error) (last uint64, err error) {
	last = after
	for {
		var items []Item
		read := 0
		x := a.index(o, xmpp.JID{})
		err := a.db.View(ctx, func(tx store.Tx) error {
			for e := range x.in(tx).scan(last+1, maxID, false) {
				read++
				last = e.id
				items = a.appendSpooled(items, tx, o, e.id)
				if len(items) == viewItems || read == viewRows {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			return last, err
		}
		for i := range items {
			if err := fn(&items[i]); err != nil {
				return items[i].ID - 1, err
			}
		}
		if read < viewRows && len(items) < viewItems {
			return last, nil
		}
	}
}

// spoolIn is Spool within a transaction that writes, for the few that came since the last look.
func (a *Archive) spoolIn(tx store.Tx, o directory.ID, after uint64) (items []Item, last uint64) {
	last = after
	for id := range a.upTo(tx, o, after+1) {
		last = id
		items = a.appendSpooled(items, tx, o, id)
	}
	return items, last
}

// appendSpooled appends a message of an owner if it waits for him.
func (a *Archive) appendSpooled(items []Item, tx store.Tx, o directory.ID, id uint64) []Item {
	if it, ok := a.item(tx, o, id); ok && it.Incoming && it.spooled() {
		return append(items, it)
	}
	return items
}

// moved is where the marker went that is not on disk yet, 0 if it did not.
func (a *Archive) moved(o directory.ID) uint64 {
	a.markers.mu.Lock()
	defer a.markers.mu.Unlock()
	return a.markers.moved[o]
}

// lowerMarker takes the marker back to an id, as far as it is not on disk yet.
func (a *Archive) lowerMarker(o directory.ID, id uint64) {
	a.markers.mu.Lock()
	defer a.markers.mu.Unlock()
	if a.markers.moved[o] > id {
		a.markers.moved[o] = id
	}
}

func (it *Item) spooled() bool {
	return it.Type == xmpp.TypeNone || it.Type == xmpp.TypeNormal || it.Type == xmpp.TypeChat
}
