package archive

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"confab/xmpp"
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
	k := keepings.Get().(*keeping)
	defer k.release()
	k.prepare(a, batch, also)
	err := a.db.Update(ctx, k.writes)
	if err != nil {
		a.stats.failed.Add(uint64(len(batch)))
	}
	return err
}

// keeping is a batch while it is being kept. What can be encoded before the ids are known is, off the committer's
// goroutine.
type keeping struct {
	a      *Archive
	batch  []*Message
	also   Also
	bodies [][]byte
	rows   []newRow // in the order of their keys
	owned  int      // of them are those of archives
	links  []newLink

	refs   []rowRef
	owners []byte
	key    []byte
	buf    []byte // what bodies and rows are made of

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
	clear(k.rows)
	clear(k.links)
	k.a, k.batch, k.also = nil, nil, Also{}
	keepings.Put(k)
}

// newLink says that a message links something.
type newLink struct {
	message int // in the batch
	link    string
}

// newRow is a row to be written: of an archive, or of a conversation.
type newRow struct {
	message int    // in the batch
	key     []byte // the id is yet to be put at its end
	value   []byte // the ordinal is yet to be put before what follows ordinalRoom
}

const (
	idLen       = 8
	ordinalRoom = binary.MaxVarintLen64
)

// rowRef is a row of a message.
type rowRef struct {
	owner      directory.ID
	message, i int // in the batch, in the message
}

func (k *keeping) row(r rowRef) *Row { return &k.batch[r.message].Rows[r.i] }

func byOwner(x, y rowRef) int {
	switch {
	case x.owner != y.owner:
		return cmp.Compare(x.owner, y.owner)
	case x.message != y.message:
		return x.message - y.message
	}
	return x.i - y.i
}

func (k *keeping) prepare(a *Archive, batch []*Message, also Also) {
	k.a, k.batch, k.also = a, batch, also
	k.bodies, k.rows, k.links, k.refs, k.buf = k.bodies[:0], k.rows[:0], k.links[:0], k.refs[:0], k.buf[:0]
	for i, m := range batch {
		k.prepareBody(i, m)
		for _, link := range a.linksOf(m.Stanza) {
			k.links = append(k.links, newLink{i, link})
		}
	}
	if len(batch) > 1 {
		slices.SortFunc(k.refs, byOwner)
	}
	k.owned = len(k.refs)
	for rest := k.refs; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].owner == rest[0].owner {
			n++
		}
		k.prepareRows(rest[:n])
		rest = rest[n:]
	}
}

// prepareBody encodes a message, and notes its rows in the order of their owners.
func (k *keeping) prepareBody(i int, m *Message) {
	from := len(k.refs)
	for j := range m.Rows {
		k.refs = append(k.refs, rowRef{m.Rows[j].Owner, i, j})
	}
	mine := k.refs[from:]
	slices.SortFunc(mine, byOwner)
	mine = slices.CompactFunc(mine, func(x, y rowRef) bool { return x.owner == y.owner })
	k.refs = k.refs[:from+len(mine)]
	k.owners = k.owners[:0]
	for _, r := range mine {
		k.owners = binary.AppendUvarint(k.owners, uint64(r.owner))
	}
	b := body{typ: m.Type, flags: m.Flags, owners: k.owners, stanza: m.Stanza}
	if e := m.sharedEdit(); e != nil {
		b.edit = e.AppendBinary(nil)
	}
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

// prepareRows encodes the rows of one owner: those of the archive, then those of the conversations, which is the order of
// their keys.
func (k *keeping) prepareRows(refs []rowRef) {
	for _, r := range refs {
		key := k.prepareKey(r.owner, "")
		at := len(k.buf)
		k.buf = append(k.buf, noOrdinal[:]...)
		k.buf = appendRow(k.buf, k.row(r), k.batch[r.message].sharedEdit())
		k.rows = append(k.rows, newRow{r.message, key, k.buf[at:len(k.buf):len(k.buf)]})
	}
	if len(refs) > 1 {
		slices.SortStableFunc(refs, func(x, y rowRef) int {
			return strings.Compare(k.row(x).With.Bare().String(), k.row(y).With.Bare().String())
		})
	}
	for _, r := range refs {
		bare := k.row(r).With.Bare().String()
		if bare == "" {
			continue
		}
		key := k.prepareKey(r.owner, bare)
		at := len(k.buf)
		k.buf = append(k.buf, noOrdinal[:]...)
		k.rows = append(k.rows, newRow{r.message, key, k.buf[at:len(k.buf):len(k.buf)]})
	}
}

var noOrdinal [ordinalRoom]byte

func (k *keeping) prepareKey(o directory.ID, bare string) []byte {
	at := len(k.buf)
	k.buf = appendID(appendConversation(k.buf, o, bare), 0)
	return k.buf[at:len(k.buf):len(k.buf)]
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
	for i, m := range k.batch {
		m.ID = k.a.nextID()
		k.key = appendID(k.key[:0], m.ID)
		if err := tx.Put(spaceBody, k.key, k.bodies[i]); err != nil {
			return err
		}
	}
	if err := k.writeRows(tx); err != nil {
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
	if k.also.Write != nil {
		if err := k.also.Write(tx); err != nil {
			return err
		}
	}
	tx.OnCommit(k.commits)
	if k.also.Flush != nil {
		tx.OnGroup(k.a, k.also.Flush)
	}
	tx.OnGroup(o, k.a.settle)
	done = true
	return nil
}

func (k *keeping) writeRows(tx store.Tx) error {
	var ordinal [ordinalRoom]byte
	for i := range k.rows {
		r := &k.rows[i]
		prefix := r.key[:len(r.key)-idLen]
		n := binary.PutUvarint(ordinal[:], k.a.ordinals.next(tx, prefix))
		copy(r.value[ordinalRoom-n:], ordinal[:n])
		if err := tx.Put(spaceRow, appendID(prefix, k.batch[r.message].ID), r.value[ordinalRoom-n:]); err != nil {
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
		k.a.stats.rows.Add(uint64(k.owned))
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
