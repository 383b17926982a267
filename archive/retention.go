package archive

import (
	"context"
	"fmt"
	"time"

	"confab/xmpp"
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
	settled, err := a.settle(ctx)
	if err != nil {
		return 0, err
	}
	cut := min(TimeID(a.opts.Clock.Now().Add(-age)), settled+1)
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

// How the clock has gone is noted with each look at it, so that one that is wrong, as of a machine whose battery is empty,
// does not make old what is not.
var keyClock = []byte("clock") // what it showed then, and since when it has not leapt: 8 bytes each

const (
	maxLeap = 7 * 24 * time.Hour // between two looks; longer, and it was set, or nothing ran
	proof   = 7 * 24 * time.Hour // for which it has to go on evenly to be believed again
)

// ClockHolds reports whether the clock may be believed about what is old: since it was seen last, which is what this is
// called for once a day, no more time has passed than may have, or that was a week ago and nobody has set it right.
func (a *Archive) ClockHolds(ctx context.Context) (holds bool, err error) {
	err = a.db.Update(ctx, func(tx store.Tx) error {
		now := TimeID(a.opts.Clock.Now())
		seen, since := a.opened, uint64(0)
		if v := tx.Get(spaceMeta, keyClock); len(v) == 16 {
			seen, since = idOf(v[:8]), idOf(v)
		}
		if seen > 0 && now > seen+uint64(maxLeap/time.Microsecond) {
			since = now
		}
		since = min(since, now) // it was set back
		holds = since == 0 || now >= since+uint64(proof/time.Microsecond)
		return tx.Put(spaceMeta, keyClock, appendID(appendID(nil, now), since))
	})
	return holds, err
}

// sweep removes the oldest messages before cut, and their places.
func (a *Archive) sweep(tx store.Tx, cut uint64) (n int, err error) {
	ends := places{}
	for k, v := range tx.Scan(spaceBody, store.Range{To: appendID(nil, cut), Limit: sweepBodies}) {
		id := idOf(k)
		var b body
		err := b.decode(v)
		if err == nil {
			err = b.eachRow(func(r *row) bool { ends.add(r, id); return true })
		}
		if err != nil { // it goes, and its places when they lose a later one
			a.unreadable(id, err)
		}
		if err := a.dropBody(tx, id, &b); err != nil {
			return 0, err
		}
		n++
	}
	return n, ends.trim(tx)
}

// places are those that lose their oldest messages, up to an id.
type places map[place]uint64

func (p places) add(r *row, id uint64) {
	p[place{owner: r.owner}] = id
	if len(r.with) > 0 {
		p[place{r.owner, string(bareOf(r.with))}] = id
	}
}

func (p places) trim(tx store.Tx) error {
	for at, id := range p {
		if err := (index{prefix: appendPlace(nil, at)}).trim(tx, id+1); err != nil {
			return err
		}
	}
	return nil
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
		settled, err := a.settle(ctx)
		if err != nil {
			return removed, err
		}
		n := 0
		err = a.db.Update(ctx, func(tx store.Tx) (err error) {
			if n, err = a.purge(tx, o, settled); err == nil && n < sweepBodies {
				err = tx.Delete(spaceMarker, appendOwner(nil, o))
			}
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

// purge removes the oldest messages of an owner up to an id, and those that nobody else has altogether.
func (a *Archive) purge(tx store.Tx, o directory.ID, upto uint64) (n int, err error) {
	ends := places{}
	all := index{prefix: appendPlace(nil, place{owner: o})}
	for e := range all.onDisk(tx, 0, upto+1, false) {
		ends[place{owner: o}] = e.id
		var b body
		others := false
		err := b.decode(tx.Get(spaceBody, appendID(nil, e.id)))
		if err == nil {
			err = b.eachRow(func(r *row) bool {
				if r.owner == o {
					ends.add(r, e.id)
				} else {
					others = others || a.index(r.owner, xmpp.JID{}).has(tx, e.id)
				}
				return true
			})
		}
		if err != nil { // it stays until it is old: others may have it
			a.unreadable(e.id, err)
		} else if !others {
			if err := a.dropBody(tx, e.id, &b); err != nil {
				return 0, err
			}
		}
		if n++; n == sweepBodies {
			break
		}
	}
	return n, ends.trim(tx)
}
