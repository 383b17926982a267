package directory

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/store"
)

// edit is a change that is being made.
type edit struct {
	Change
	record *User // what will be on disk: New, or a tombstone
	also   func(store.Tx, ID) error
	logged bool // others can see it, so it has a revision of its own
}

// visible says if others can see the change.
func (c *Change) visible() bool {
	a, b := c.Old, c.New
	return a == nil || b == nil || a.Local != b.Local || a.Name != b.Name ||
		a.Hidden != b.Hidden || a.Disabled != b.Disabled || !slices.Equal(a.Groups, b.Groups)
}

// make makes the changes that plan asks for: durable, then visible, then known
// to the listeners. plan runs while nobody else makes a change.
func (d *Directory) make(ctx context.Context, plan func() ([]edit, error)) error {
	select {
	case d.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	edits, err := d.commit(ctx, plan)
	before, told := d.told, make(chan struct{})
	d.told = told
	<-d.changing

	defer close(told)
	<-before
	d.hooks.Lock()
	listeners := slices.Clone(d.listeners)
	d.hooks.Unlock()
	for i := range edits {
		for _, fn := range listeners {
			fn(edits[i].Change)
		}
	}
	return err
}

// commit writes what plan asks for and puts it in force. The edits that it
// returns have happened even if there is an error.
func (d *Directory) commit(ctx context.Context, plan func() ([]edit, error)) ([]edit, error) {
	edits, err := plan()
	if err != nil || len(edits) == 0 {
		return nil, err
	}
	d.number(edits)
	next := make(map[*Domain]*Snapshot)
	for i := range edits {
		m := d.domains[edits[i].record.Domain]
		if next[m] == nil {
			next[m] = m.state.Load().with(edits, m.Name(), d.options.ChangeLog)
		}
	}
	committed, err := d.write(ctx, edits, next)
	if !committed {
		return nil, err
	}
	touched := touches{}
	for i := range edits {
		d.index(edits[i].Old, edits[i].record)
		d.nextID = max(d.nextID, edits[i].record.ID+1)
		touched.user(edits[i].Old, edits[i].record)
	}
	for m, s := range next {
		m.state.Store(s)
	}
	d.outdate(&touched)
	return edits, err
}

// number gives the changes their revisions. These are times, in microseconds,
// so that a store which went back to a backup does not come again to those that
// it gave out in between; see Changes.
func (d *Directory) number(edits []edit) {
	last := make(map[string]uint64)
	now := uint64(max(d.now().UnixMicro(), 1))
	for i := range edits {
		e := &edits[i]
		revision, ok := last[e.record.Domain]
		if !ok {
			revision = d.domains[e.record.Domain].Revision()
		}
		if e.logged = e.visible(); e.logged {
			revision = max(now, revision+1)
		}
		last[e.record.Domain], e.Revision = revision, revision
	}
}

// write writes edits in one transaction, and what changes in the logs when next
// comes into force.
func (d *Directory) write(ctx context.Context, edits []edit, next map[*Domain]*Snapshot) (committed bool, err error) {
	type pair struct{ key, value []byte }
	var puts []pair
	var drop [][]byte
	id := d.nextID
	for i := range edits {
		u := edits[i].record
		id = max(id, u.ID+1)
		puts = append(puts, pair{keyUser(u.ID), appendUser(nil, u)})
	}
	puts = append(puts, pair{keyNext, binary.BigEndian.AppendUint64(nil, uint64(id))})
	for m, s := range next {
		now := m.state.Load()
		for _, c := range now.log {
			if len(s.log) == 0 || c.Revision >= s.log[0].Revision {
				break
			}
			drop = append(drop, keyChange(m.Name(), c.Revision))
		}
		for _, c := range slices.Backward(s.log) {
			if c.Revision <= now.Revision {
				break
			}
			puts = append(puts, pair{keyChange(m.Name(), c.Revision), appendChange(nil, c)})
		}
	}
	err = d.db.Update(ctx, func(tx store.Tx) error {
		committed = false
		tx.OnCommit(func() { committed = true })
		for _, p := range puts {
			if err := tx.Put(space, p.key, p.value); err != nil {
				return err
			}
		}
		for _, key := range drop {
			if err := tx.Delete(space, key); err != nil {
				return err
			}
		}
		for i := range edits {
			if also := edits[i].also; also != nil {
				if err := also(tx, edits[i].record.ID); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return committed, err
}

// index makes u findable in the place of old, which may be nil.
func (d *Directory) index(old, u *User) {
	d.byID.Store(u.ID, u)
	if u.Deleted.IsZero() {
		d.byJID.Store(u.JID, u)
		d.taken(u.JID)
	}
	if old != nil && (old.JID != u.JID || !u.Deleted.IsZero()) {
		d.byJID.Delete(old.JID)
	}
	if old != nil && old.JID != u.JID {
		d.former.Store(old.JID, u.ID)
	}
}

// taken ends what led from an address to whoever had it before.
func (d *Directory) taken(j xmpp.JID) {
	d.former.Delete(j)
	d.aliases.former.Delete(j)
}

// loadFormer finds out where former addresses lead: to the last who left them,
// unless somebody else had them after that.
func (d *Directory) loadFormer() {
	type leaving struct {
		id    ID
		at    time.Time
		table *sync.Map
	}
	last := make(map[xmpp.JID]leaving)
	left := func(former, domain string, l leaving) {
		if j, err := xmpp.NewJID(former, domain, ""); err == nil && former != "" && l.at.After(last[j].at) {
			last[j] = l
		}
	}
	came := func(j xmpp.JID, id ID, times ...time.Time) {
		if l, ok := last[j]; ok && l.id != id && slices.MaxFunc(times, time.Time.Compare).After(l.at) {
			delete(last, j)
		}
	}
	each(&d.byID, func(u *User) { left(u.Former, u.Domain, leaving{u.ID, u.Renamed, &d.former}) })
	each(&d.aliases.byID, func(a *Alias) { left(a.Former, a.Domain, leaving{a.ID, a.Renamed, &d.aliases.former}) })
	if len(last) == 0 {
		return
	}
	each(&d.byID, func(u *User) { came(u.JID, u.ID, u.Created, u.Renamed, u.Deleted) })
	each(&d.aliases.byID, func(a *Alias) { came(a.JID, a.ID, a.Created, a.Renamed, a.Deleted) })
	for j, l := range last {
		l.table.Store(j, l.id)
	}
}

func each[T any](m *sync.Map, fn func(*T)) {
	m.Range(func(_, v any) bool {
		fn(v.(*T))
		return true
	})
}
