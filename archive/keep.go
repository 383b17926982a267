package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/store"
)

// Keep stores a batch of messages in one transaction, which shares its commit with everybody else's, and returns when
// the messages are on disk and delivered. If it returns an error that is no store.PanicError with Committed set, nothing
// was stored and nothing delivered.
func (a *Archive) Keep(ctx context.Context, batch []*Message, also Also) error {
	if len(batch) == 0 && also.Count.Key == "" {
		return nil
	}
	k := keepings.Get().(*keeping)
	defer k.release()
	k.prepare(a, batch, also)
	err := a.makeRoom(ctx)
	if err == nil {
		err = a.db.Update(ctx, k.writes)
	}
	if err != nil {
		a.stats.failed.Add(uint64(len(batch)))
	}
	return err
}

// keeping is a batch while it is being kept. It is encoded off the committer's goroutine.
type keeping struct {
	a      *Archive
	batch  []*Message
	also   Also
	bodies [][]byte
	places []placed
	rows   int // how many archives have one of the messages, in sum
	links  []newLink

	mine []*Row
	key  []byte
	buf  []byte // what the bodies are made of
	all  []byte // the rows of one

	writes  func(store.Tx) error // write
	commits func()               // committed
}

var keepings = sync.Pool{New: func() any {
	k := new(keeping)
	k.writes, k.commits = k.write, k.committed
	return k
}}

// maxSpareKeeping is how much of a buffer is kept for the next batch.
const maxSpareKeeping = 256 << 10

func (k *keeping) release() {
	if cap(k.buf) > maxSpareKeeping {
		return
	}
	clear(k.bodies)
	clear(k.places)
	clear(k.links)
	clear(k.mine)
	k.a, k.batch, k.also = nil, nil, Also{}
	keepings.Put(k)
}

// newLink says that a message links something.
type newLink struct {
	message int // in the batch
	link    string
}

// placed says where a message is found.
type placed struct {
	place
	message int // in the batch
}

func (k *keeping) prepare(a *Archive, batch []*Message, also Also) {
	k.a, k.batch, k.also = a, batch, also
	k.bodies, k.places, k.links, k.buf, k.rows = k.bodies[:0], k.places[:0], k.links[:0], k.buf[:0], 0
	for i, m := range batch {
		k.prepareBody(i, m)
		for _, link := range a.linksOf(m.Stanza) {
			k.links = append(k.links, newLink{i, link})
		}
	}
}

// prepareBody encodes a message, and says where it will be found.
func (k *keeping) prepareBody(i int, m *Message) {
	k.mine = k.mine[:0]
	for j := range m.Rows {
		k.mine = append(k.mine, &m.Rows[j])
	}
	slices.SortStableFunc(k.mine, func(x, y *Row) int { return cmp.Compare(x.Owner, y.Owner) })
	k.mine = slices.CompactFunc(k.mine, func(x, y *Row) bool { return x.Owner == y.Owner })
	k.rows += len(k.mine)

	b := body{typ: m.Type, flags: m.Flags, stanza: m.Stanza}
	shared := m.sharedEdit()
	if shared != nil {
		b.edit = shared.AppendBinary(nil)
	}
	k.all = appendRows(k.all[:0], k.mine, shared)
	for _, r := range k.mine {
		k.places = append(k.places, placed{place{owner: r.Owner}, i})
		if with := r.With.Bare().String(); with != "" {
			k.places = append(k.places, placed{place{r.Owner, with}, i})
		}
	}
	b.rows = k.all
	at := len(k.buf)
	k.buf = b.append(k.buf)
	k.bodies = append(k.bodies, k.buf[at:len(k.buf):len(k.buf)])
}

// sharedEdit returns the edit that is stored with the body, nil if there is none.
func (m *Message) sharedEdit() *xmpp.Edit {
	for i := range m.Rows {
		if r := &m.Rows[i]; r.Edit != nil && !r.To.IsZero() {
			return r.Edit
		}
	}
	return nil
}

// write is the transaction. It may run again.
func (k *keeping) write(tx store.Tx) error {
	for i, m := range k.batch {
		m.ID = k.a.nextID()
		k.key = appendID(k.key[:0], m.ID)
		if err := tx.Put(spaceBody, k.key, k.bodies[i]); err != nil {
			return err
		}
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
	if k.also.Write != nil {
		if err := k.also.Write(tx); err != nil {
			return err
		}
	}
	tx.OnCommit(k.commits)
	if k.also.Flush != nil {
		tx.OnGroup(k.a, k.also.Flush)
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
		k.a.recent.note(k.places, k.batch)
		k.a.last.Store(k.batch[n-1].ID)
		k.a.stats.messages.Add(uint64(n))
		k.a.stats.rows.Add(uint64(k.rows))
		k.a.settleSoon()
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
