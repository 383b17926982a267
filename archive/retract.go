package archive

import (
	"context"
	"fmt"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// A retraction (XEP-0424) names a message by its attribute 'id', in a room by the room's own id. What it takes back is
// looked for before it is kept, by the reader who brings it, a few rows at a time; the tombstone is set in the transaction
// that keeps the retraction, so that nobody who has heard of it still reads the text.
// retraction is what a message of a batch takes back.
type retraction struct {
	d      *feature.Dispatch
	m      *Message // d as it is kept
	target *Message // of the same batch, which has no id yet; or
	id     uint64   // of an earlier one
	before []byte   // inside the tombstone: the author
	within []byte   // inside <retracted/>
}

// retractions returns what a batch takes back. The messages are looked for in the archive of the sender, so they are that
// person's own, or in the room's. A retraction that finds none is kept like any message, and clients may make of it what
// they like.
func (a *Archive) retractions(batch []*feature.Dispatch, messages []*Message) (all []retraction) {
	for i, d := range batch {
		e := d.Stanza.Child(xmpp.NSRetract, "retract")
		if e == nil {
			continue
		}
		name, _ := e.Attr("id")
		r := retraction{d: d, m: messages[i]}
		room := roomCopy(d)
		var err error
		switch ctx := context.Background(); {
		case name == "":
		case room != nil:
			r.id, r.before, err = a.findSaid(ctx, d, room, name)
			if d.From == room.OwnerJID { // XEP-0425 §4: it says who had it taken away, and why
				r.within = e.Inner
			}
		case d.Session != nil && d.Stanza.MessageType() != xmpp.TypeGroupchat:
			s := sentBy(d, name)
			if j := s.among(batch[:i]); j >= 0 {
				r.target = messages[j]
			} else {
				r.id, err = a.findSent(ctx, s)
			}
		}
		if err != nil {
			a.opts.Log.Error("what a retraction takes back was not found", "err", err)
		}
		if r.id != 0 || r.target != nil {
			all = append(all, r)
		}
	}
	return all
}

// entomb sets the tombstone of a message that is taken back, when the ids are known.
func (r *retraction) entomb(a *Archive, tx store.Tx) error {
	id := r.id
	if r.target != nil {
		id = r.target.ID
	}
	inside := append([]byte(nil), r.before...)
	inside = append(inside, "<retracted xmlns='urn:xmpp:message-retract:1' stamp='"...)
	inside = append(AppendStamp(inside, IDTime(r.m.ID)), '\'')
	name := r.d.Stanza.ID
	if len(name) == 0 { // one there must be (XEP-0424 §6), and by this a retraction can be found, too
		name = AppendID(nil, r.m.ID)
	}
	inside = xmpp.AppendAttrBytes(inside, "id", name)
	inside = append(append(append(inside, '>'), r.within...), "</retracted>"...)
	return a.setTombstone(tx, id, Tombstone{ID: r.m.ID, By: r.d.From.Bare(), Inside: inside})
}

// setTombstone has clients see a tombstone in place of a message, if it is there. One that was set stays: what is taken back
// once more, or by another, was taken back then.
func (a *Archive) setTombstone(tx store.Tx, id uint64, t Tombstone) error {
	key := appendID(nil, id)
	v := tx.Get(spaceBody, key)
	if v == nil {
		return nil
	}
	var b body
	if err := b.decode(v); err != nil {
		return fmt.Errorf("%w: message %s", err, FormatID(id))
	}
	if len(b.tomb) > 0 {
		return nil
	}
	b.tomb = t.append(nil)
	if err := a.noteChange(tx, id); err != nil {
		return err
	}
	return tx.Put(spaceBody, key, b.append(nil))
}

// roomCopy returns the copy of a message that is the history of the room that it was said in, nil if it was none.
func roomCopy(d *feature.Dispatch) *feature.Copy {
	for i := range d.Copies {
		if c := &d.Copies[i]; d.Where == feature.Service && c.OwnerJID == d.To {
			return c
		}
	}
	return nil
}

// findSaid returns the id of a message in the history of a room, if it is the sender's own or the room itself retracts it,
// and what tells its author (XEP-0421). In a room a message is named by the id that the room gave it.
func (a *Archive) findSaid(ctx context.Context, d *feature.Dispatch, room *feature.Copy, name string) (found uint64, author []byte, err error) {
	id, ok := ParseID(name)
	if !ok {
		return 0, nil, nil
	}
	x := a.index(room.Owner, xmpp.JID{})
	err = a.db.View(ctx, func(tx store.Tx) error {
		if !x.has(tx, id) {
			return nil
		}
		var it Item
		ok, err := it.read(tx, room.Owner, id)
		if err != nil || !ok || d.From != room.OwnerJID && it.With.Bare() != d.From.Bare() {
			return err
		}
		st, err := xmpp.Parse(it.Stanza)
		if err != nil {
			return err
		}
		if e := st.Child(xmpp.NSOccupant, "occupant-id"); e != nil {
			author = append(author, e.Raw...)
		}
		found = id
		return nil
	})
	return found, author, err
}
