package admin

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// spacePurge names those who were deleted and whose history and files are being removed, by id: nobody can ask for it again.
const spacePurge store.Space = "purge"

func keyPurge(id directory.ID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// notePurge goes with the deletion: however that ends, the purge is done sooner or later.
func notePurge(tx store.Tx, id directory.ID) error { return tx.Put(spacePurge, keyPurge(id), nil) }

// purge removes the history of somebody who was deleted, and the files that nobody else's history links.
func (a *Admin) purge(ctx context.Context, id directory.ID) (messages, files int, err error) {
	if messages, err = a.Archive.Purge(ctx, id); err != nil {
		return messages, 0, err
	}
	if files, err = a.Uploads.Purge(ctx, id); err != nil {
		return messages, files, err
	}
	return messages, files, a.State.Update(ctx, func(tx store.Tx) error { return tx.Delete(spacePurge, keyPurge(id)) })
}

// GoOn ends the purges that were interrupted. It returns how many it ended.
func (a *Admin) GoOn(ctx context.Context) (ended int, err error) {
	var left []directory.ID
	err = a.State.View(ctx, func(tx store.Tx) error {
		for k := range tx.Scan(spacePurge, store.Range{}) {
			left = append(left, directory.ID(binary.BigEndian.Uint64(k)))
		}
		return nil
	})
	for _, id := range left {
		if _, _, failed := a.purge(ctx, id); failed != nil {
			err = errors.Join(err, fmt.Errorf("user %d: %w", id, failed))
		} else {
			ended++
		}
	}
	return ended, err
}
