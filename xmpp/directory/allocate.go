package directory

import (
	"context"
	"encoding/binary"

	"confab/xmpp/store"
)

// Allocate gives away an ID for what is no user but has an archive of its own, such as a room: like a user's it is never
// used again. also, if not nil, runs in the same transaction, like NewUser.Also.
func (d *Directory) Allocate(ctx context.Context, also func(tx store.Tx, id ID) error) (ID, error) {
	select {
	case d.changing <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-d.changing }()
	id, committed := d.nextID, false
	err := d.db.Update(ctx, func(tx store.Tx) error {
		committed = false
		tx.OnCommit(func() { committed = true })
		if err := tx.Put(space, keyNext, binary.BigEndian.AppendUint64(nil, uint64(id)+1)); err != nil {
			return err
		}
		if also == nil {
			return nil
		}
		return also(tx, id)
	})
	if committed {
		d.nextID = id + 1
	}
	return id, err
}
