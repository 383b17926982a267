package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Keep stores a batch of messages in one transaction, which shares its commit with everybody else's, and returns when
// the messages are on disk and delivered. If it returns an error that is no store.PanicError with Committed set, nothing
// was stored and nothing delivered.
func (a *Archive) Keep(ctx context.Context, batch []*Message, also Also) error {
	if len(batch) == 0 && also.Count.Key == "" {
		return nil
	}
	k := newKeeping(a, batch, also)
	err := a.db.Update(ctx, k.write)
	if err != nil {
		a.stats.failed.Add(uint64(len(batch)))
	}
	return err
}

// keeping is a batch while it is being kept. What can be encoded before the ids are known is, off the committer's
// goroutine; buf holds it and is not touched again until the commit.
type keeping struct {
	a       *Archive
	batch   []*Message
	also    Also
	bodies  [][]byte
	rows    []newRow // by owner, then in the order of the batch
	links   []newLink
	scratch []byte
}

// newLink says that a message links something.
type newLink struct {
	message int // in the batch
	link    string
}

// newRow is a row to be written.
type newRow struct {
	message int // in the batch
	*Row
	bare    string
	encoded []byte // the record without its ordinal
}

func newKeeping(a *Archive, batch []*Message, also Also) *keeping {
	k := &keeping{a: a, batch: batch, also: also, bodies: make([][]byte, len(batch))}
	size, rows := 0, 0
	for _, m := range batch {
		size += len(m.Stanza) + 32
		rows += len(m.Rows)
		for i := range m.Rows {
			size += len(m.Rows[i].With.String()) + 16
		}
	}
	buf := make([]byte, 0, size)
	k.rows = make([]newRow, 0, rows)
	var owners []byte
	seen := map[directory.ID]int{} // in which message an owner was last seen
	for i, m := range batch {
		owners = owners[:0]
		for j := range m.Rows {
			r := &m.Rows[j]
			if seen[r.Owner] == i+1 {
				continue
			}
			seen[r.Owner] = i + 1
			owners = binary.AppendUvarint(owners, uint64(r.Owner))
			from := len(buf)
			buf = appendRow(buf, r)
			k.rows = append(k.rows, newRow{i, r, r.With.Bare().String(), buf[from:len(buf):len(buf)]})
		}
		for _, link := range a.linksOf(m.Stanza) {
			k.links = append(k.links, newLink{i, link})
		}
		b := body{typ: m.Type, flags: m.Flags, owners: owners, stanza: m.Stanza}
		from := len(buf)
		buf = b.append(buf)
		k.bodies[i] = buf[from:len(buf):len(buf)]
	}
	slices.SortFunc(k.rows, func(x, y newRow) int {
		return cmp.Or(cmp.Compare(x.Owner, y.Owner), cmp.Compare(x.message, y.message))
	})
	return k
}

// write is the transaction. It may run again.
func (k *keeping) write(tx store.Tx) error {
	o := &k.a.ordinals
	mark, done := o.begin(tx), false
	defer func() {
		if !done {
			o.undo(mark)
		}
	}()
	key := k.scratch[:0]
	for i, m := range k.batch {
		m.ID = k.a.nextID()
		key = appendID(key[:0], m.ID)
		if err := tx.Put(spaceBody, key, k.bodies[i]); err != nil {
			return err
		}
	}
	if err := k.writeRows(tx); err != nil {
		return err
	}
	if err := k.writePeers(tx); err != nil {
		return err
	}
	for _, l := range k.links {
		if err := tx.Put(spaceLink, linkKey(l.link, k.batch[l.message].ID), nil); err != nil {
			return err
		}
	}
	if c := k.also.Count; c.Key != "" {
		v := binary.BigEndian.AppendUint32(nil, c.Handled)
		v = appendID(v, TimeID(k.a.opts.Clock.Now()))
		if err := tx.Put(spaceCount, []byte(c.Key), v); err != nil {
			return err
		}
	}
	if k.a.markersDue() {
		if err := k.a.writeMarkers(tx); err != nil {
			return err
		}
	}
	k.scratch = key
	tx.OnCommit(k.committed)
	if k.also.Flush != nil {
		tx.OnGroup(k.a, k.also.Flush)
	}
	tx.OnGroup(o, o.settled)
	done = true
	return nil
}

func (k *keeping) writeRows(tx store.Tx) error {
	key := k.scratch[:0]
	size := 0
	for i := range k.rows {
		size += len(k.rows[i].encoded) + binary.MaxVarintLen64
	}
	arena := make([]byte, 0, size)
	for i := range k.rows {
		r := &k.rows[i]
		key = appendConversation(key[:0], r.Owner, "")
		from := len(arena)
		arena = binary.AppendUvarint(arena, k.a.ordinals.next(tx, key))
		arena = append(arena, r.encoded...)
		key = appendID(key, k.batch[r.message].ID)
		if err := tx.Put(spaceRow, key, arena[from:len(arena):len(arena)]); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeping) writePeers(tx store.Tx) error {
	order := make([]*newRow, 0, len(k.rows))
	for i := range k.rows {
		if k.rows[i].bare != "" {
			order = append(order, &k.rows[i])
		}
	}
	slices.SortFunc(order, func(x, y *newRow) int {
		return cmp.Or(cmp.Compare(x.Owner, y.Owner), strings.Compare(x.bare, y.bare), cmp.Compare(x.message, y.message))
	})
	key := k.scratch[:0]
	arena := make([]byte, 0, len(order)*4)
	for _, r := range order {
		key = appendConversation(key[:0], r.Owner, r.bare)
		from := len(arena)
		arena = binary.AppendUvarint(arena, k.a.ordinals.next(tx, key))
		key = appendID(key, k.batch[r.message].ID)
		if err := tx.Put(spaceRow, key, arena[from:len(arena):len(arena)]); err != nil {
			return err
		}
	}
	return nil
}

// nextID gives away an id. It runs on the committer's goroutine; an id whose transaction fails is not used again.
func (a *Archive) nextID() uint64 {
	a.next = max(TimeID(a.opts.Clock.Now()), a.next+1)
	return a.next
}

func (k *keeping) committed() {
	if n := len(k.batch); n > 0 {
		k.a.last.Store(k.batch[n-1].ID)
		k.a.stats.messages.Add(uint64(n))
		k.a.stats.rows.Add(uint64(len(k.rows)))
	}
	if k.also.Deliver == nil {
		return
	}
	for _, m := range k.batch {
		k.also.Deliver(m)
	}
}

// Count returns what was kept of a session's stream management.
func (a *Archive) Count(ctx context.Context, key string) (handled uint32, ok bool, err error) {
	err = a.db.View(ctx, func(tx store.Tx) error {
		if v := tx.Get(spaceCount, []byte(key)); len(v) == 12 {
			handled, ok = binary.BigEndian.Uint32(v), true
		}
		return nil
	})
	return handled, ok, err
}

// DropCounts forgets counts: those of the keys named.
func (a *Archive) DropCounts(ctx context.Context, keys ...string) error {
	return a.db.Update(ctx, func(tx store.Tx) error {
		for _, k := range keys {
			if err := tx.Delete(spaceCount, []byte(k)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DropCountsBefore forgets the counts that were last kept before t: nobody comes back for them.
func (a *Archive) DropCountsBefore(ctx context.Context, t time.Time) error {
	cut := TimeID(t)
	old := func(v []byte) bool { return len(v) != 12 || idOf(v) < cut }
	for next := []byte(nil); ; {
		var found []string
		n := 0
		err := a.db.View(ctx, func(tx store.Tx) error {
			for k, v := range tx.Scan(spaceCount, store.Range{From: next, Limit: viewRows}) {
				n++
				if old(v) {
					found = append(found, string(k))
				}
				next = append(append(next[:0], k...), 0)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(found) > 0 {
			err = a.db.Update(ctx, func(tx store.Tx) error {
				for _, k := range found {
					if !old(tx.Get(spaceCount, []byte(k))) {
						continue // kept again meanwhile
					}
					if err := tx.Delete(spaceCount, []byte(k)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil || n < viewRows {
			return err
		}
	}
}
