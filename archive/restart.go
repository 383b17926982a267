package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// What the offline feature saves of a session that rests while the server is
// down: whether its owner is live, the owner's marker, since when the session
// gets messages (0: it does not), and the messages that it, and the owner's
// sessions by copies, got out of turn.
//
// On disk the marker is put back to what the client has acknowledged, since
// after a crash the session will not be there. In memory it goes on from where
// it was once the client is back.

// save returns that (feature.Restart).
func (o *offline) save(s *router.Session) []byte {
	o.rest.Wait()
	marker, err := o.archive.Marker(context.Background(), s.User())
	if err != nil {
		o.host.Log.Error("what somebody got could not be read", "error", err, "user", s.JID().Bare().String())
		return nil
	}
	first, p := s.FirstUnacknowledged(), s.Presence()
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.owners[s.User()]
	if w == nil {
		w = &awaited{}
	}
	if w.live && p.Available && p.Priority >= 0 {
		// Whatever one of an owner's sessions has is got.
		if least, ok := o.least[s.User()]; !ok || least != 0 && (first == 0 || first > least) {
			o.least[s.User()] = first
		}
	}
	live := uint64(0)
	if w.live {
		live = 1
	}
	var direct, copied []uint64
	for id, got := range w.direct {
		if got == s {
			direct = append(direct, id)
		}
	}
	for id := range w.copied {
		copied = append(copied, id)
	}
	var b []byte
	for _, n := range slices.Concat([]uint64{live, marker, w.since[s], uint64(len(direct))}, direct, copied) {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

var errSaved = errors.New("archive: what was saved of a session is damaged")

func (o *offline) restore(s *router.Session, saved []byte) error {
	var n []uint64
	for len(saved) > 0 {
		v, size := binary.Uvarint(saved)
		if size <= 0 {
			return errSaved
		}
		n, saved = append(n, v), saved[size:]
	}
	if len(n) < 4 || n[3] > uint64(len(n)-4) {
		return errSaved
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.of(s.User())
	w.live = w.live || n[0] == 1
	o.returned[s] = n[1]
	if n[2] != 0 {
		if w.since == nil {
			w.since = map[*router.Session]uint64{}
		}
		w.since[s] = n[2]
	}
	for _, id := range n[4 : 4+n[3]] {
		add(&w.direct, id, s)
	}
	for _, id := range n[4+n[3]:] {
		add(&w.copied, id, nil)
	}
	o.tidy(s.User(), w)
	return nil
}

// resumed follows a client that is back after a restart.
func (o *offline) resumed(s *router.Session) {
	o.mu.Lock()
	marker, ok := o.returned[s]
	delete(o.returned, s)
	w := o.owners[s.User()]
	live := w != nil && w.live
	if ok && live && marker != 0 {
		o.archive.Advance(s.User(), marker)
	}
	o.mu.Unlock()
	if ok && !live {
		o.next(s) // it was being sent what waits when the server stopped
	}
}

// stop writes down what nobody has acknowledged.
func (o *offline) stop() {
	o.mu.Lock()
	least := o.least
	o.least = map[directory.ID]uint64{}
	o.mu.Unlock()
	err := o.archive.db.Update(context.Background(), func(tx store.Tx) error {
		for owner, first := range least {
			if first == 0 || readMarker(tx, owner) < first {
				continue
			}
			if err := tx.Put(spaceMarker, appendOwner(nil, owner), appendID(nil, first-1)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		o.host.Log.Error("what was not got could not be written down", "error", err)
	}
}
