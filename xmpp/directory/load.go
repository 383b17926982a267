package directory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"

	"confab/xmpp/store"
)

// readAtOnce bounds how many records one View reads.
const readAtOnce = 4096

// load reads everything and makes the epoch of a new store.
func (d *Directory) load(ctx context.Context) error {
	err := d.db.View(ctx, func(tx store.Tx) error {
		d.epoch = string(tx.Get(space, keyEpoch))
		d.nextID = 1
		if b := tx.Get(space, keyNext); len(b) == 8 {
			d.nextID = ID(binary.BigEndian.Uint64(b))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d.epoch == "" {
		d.epoch = rand.Text()
		err := d.db.Update(ctx, func(tx store.Tx) error {
			return tx.Put(space, keyEpoch, []byte(d.epoch))
		})
		if err != nil {
			return err
		}
	}
	users := make(map[*Domain][]*User)
	err = d.walk(ctx, []byte("u"), func(_, value []byte) error {
		u, err := parseUser(value)
		if err != nil {
			return err
		}
		m := d.domains[u.Domain]
		switch {
		case m == nil && u.Deleted.IsZero():
			d.absent[u.Domain]++
		case m != nil:
			d.index(nil, u)
			if u.Deleted.IsZero() {
				users[m] = append(users[m], u)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range d.domains {
		s := &Snapshot{Users: users[m]}
		slices.SortFunc(s.Users, byLocal)
		s.count()
		prefix := prefixChanges(m.Name())
		err := d.walk(ctx, prefix, func(key, value []byte) error {
			c, err := parseChange(binary.BigEndian.Uint64(key[len(prefix):]), value)
			s.log = append(s.log, c)
			s.Revision = c.Revision
			return err
		})
		if err != nil {
			return err
		}
		m.state.Store(s)
	}
	return nil
}

// walk calls fn for each key that begins with prefix, some in one View.
func (d *Directory) walk(ctx context.Context, prefix []byte, fn func(key, value []byte) error) error {
	r := store.Range{Prefix: prefix, Limit: readAtOnce}
	for n := readAtOnce; n == readAtOnce; {
		n = 0
		err := d.db.View(ctx, func(tx store.Tx) error {
			for key, value := range tx.Scan(space, r) {
				if err := fn(key, value); err != nil {
					return err
				}
				n++
				r.From = append(append(r.From[:0:0], key...), 0)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
