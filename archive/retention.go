package archive

import (
	"context"
	"fmt"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// MinRetention is the shortest time for which messages are kept.
const MinRetention = 30 * 24 * time.Hour

// sweepBodies is how many messages one transaction removes: others wait for it.
const sweepBodies = 200

// Retain removes what is older than age, which is at least MinRetention, from the oldest end of all archives. It works in
// short transactions and goes on where it was if it is interrupted. It returns how many messages it removed.
func (a *Archive) Retain(ctx context.Context, age time.Duration) (removed int, err error) {
	if age < MinRetention {
		return 0, fmt.Errorf("archive: history is kept for at least %d days", MinRetention/(24*time.Hour))
	}
	cut := TimeID(a.opts.Clock.Now().Add(-age))
	for {
		n := 0
		err := a.db.Update(ctx, func(tx store.Tx) (err error) {
			n, err = a.sweep(tx, cut)
			return err
		})
		if err != nil {
			return removed, err
		}
		if removed += n; n < sweepBodies {
			return removed, nil
		}
	}
}

// sweep removes the oldest messages before cut with all their rows.
func (a *Archive) sweep(tx store.Tx, cut uint64) (n int, err error) {
	for k, v := range tx.Scan(spaceBody, store.Range{To: appendID(nil, cut), Limit: sweepBodies}) {
		id := idOf(k)
		var b body
		if err := b.decode(v); err != nil {
			return 0, fmt.Errorf("%w: message %s", err, FormatID(id))
		}
		for o := range b.ownerIDs() {
			if err := a.dropRow(tx, o, id); err != nil {
				return 0, err
			}
		}
		if err := a.dropBody(tx, id, &b); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// dropRow removes a message from the archive of one owner, if it is there.
func (a *Archive) dropRow(tx store.Tx, o directory.ID, id uint64) error {
	key := appendRowKey(nil, o, id)
	v := tx.Get(spaceRow, key)
	if v == nil {
		return nil
	}
	var r row
	if err := r.decode(v); err != nil {
		return fmt.Errorf("%w: row of message %s", err, FormatID(id))
	}
	if len(r.with) > 0 {
		if err := tx.Delete(spaceRow, appendID(appendConversation(nil, o, bareOf(r.with)), id)); err != nil {
			return err
		}
	}
	return tx.Delete(spaceRow, key)
}

// bareOf cuts the resource off the text of an address.
func bareOf(jid []byte) string {
	for i, c := range jid {
		if c == '/' {
			return string(jid[:i])
		}
	}
	return string(jid)
}

// dropBody removes a message that no row refers to. If it is the newest, its id stays known, so that it is not given away
// again.
func (a *Archive) dropBody(tx store.Tx, id uint64, b *body) error {
	for _, link := range a.linksOf(b.stanza) {
		if err := tx.Delete(spaceLink, linkKey(link, id)); err != nil {
			return err
		}
	}
	if err := a.noteChange(tx, id); err != nil {
		return err
	}
	if id >= a.last.Load() {
		if err := tx.Put(spaceMeta, keyLast, appendID(nil, id)); err != nil {
			return err
		}
	}
	return tx.Delete(spaceBody, appendID(nil, id))
}

// Purge removes the archive of an owner. Messages that others have too stay with them. It works in short transactions
// and can be repeated if it is interrupted. It returns how many messages it removed from the archive.
func (a *Archive) Purge(ctx context.Context, o directory.ID) (removed int, err error) {
	for {
		n := 0
		err := a.db.Update(ctx, func(tx store.Tx) error {
			n = 0
			for k := range tx.Scan(spaceRow, store.Range{Prefix: appendConversation(nil, o, ""), Limit: sweepBodies}) {
				if err := a.purge(tx, o, idOf(k)); err != nil {
					return err
				}
				n++
			}
			if n < sweepBodies {
				return tx.Delete(spaceMarker, appendOwner(nil, o))
			}
			return nil
		})
		if err != nil {
			return removed, err
		}
		if removed += n; n < sweepBodies {
			return removed, nil
		}
	}
}

func (a *Archive) purge(tx store.Tx, o directory.ID, id uint64) error {
	if err := a.dropRow(tx, o, id); err != nil {
		return err
	}
	v := tx.Get(spaceBody, appendID(nil, id))
	if v == nil {
		return nil
	}
	var b body
	if err := b.decode(v); err != nil {
		return fmt.Errorf("%w: message %s", err, FormatID(id))
	}
	for other := range b.ownerIDs() {
		if other != o && tx.Get(spaceRow, appendRowKey(nil, other, id)) != nil {
			return nil
		}
	}
	return a.dropBody(tx, id, &b)
}

// SetTombstone has clients see a tombstone in place of a message. What was said stays in the archive for the auditor. ok
// is false if there is no such message.
func (a *Archive) SetTombstone(ctx context.Context, id uint64, t Tombstone) (ok bool, err error) {
	err = a.db.Update(ctx, func(tx store.Tx) (err error) {
		ok, err = a.setTombstone(tx, id, t)
		return err
	})
	return ok, err
}

func (a *Archive) setTombstone(tx store.Tx, id uint64, t Tombstone) (ok bool, err error) {
	key := appendID(nil, id)
	v := tx.Get(spaceBody, key)
	if v == nil {
		return false, nil
	}
	var b body
	if err := b.decode(v); err != nil {
		return false, fmt.Errorf("%w: message %s", err, FormatID(id))
	}
	b.tomb = t.append(nil)
	if err := a.noteChange(tx, id); err != nil {
		return false, err
	}
	return true, tx.Put(spaceBody, key, b.append(nil))
}
