package archive

import (
	"context"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// A retraction (XEP-0424) names a message by its attribute 'id', in a room by the room's own id. What it takes back is
// looked for before it is kept, by the reader who brings it, a few rows at a time; the tombstone is set in the transaction
// that keeps the retraction, so that nobody who has heard of it still reads the text.
const (
	maxRetractWalk = 500 // how far back in a conversation a message is looked for
	retractRows    = 64  // in one View
)

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
			if j := sentInBatch(batch[:i], d, name); j >= 0 {
				r.target = messages[j]
			} else {
				r.id, err = a.findSent(ctx, d, name)
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
	if len(r.d.Stanza.ID) > 0 {
		inside = xmpp.AppendAttrBytes(inside, "id", r.d.Stanza.ID)
	}
	inside = append(append(append(inside, '>'), r.within...), "</retracted>"...)
	_, err := a.setTombstone(tx, id, Tombstone{ID: r.m.ID, By: r.d.From.Bare(), Inside: inside})
	return err
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

// sentInBatch returns which of the messages before d its sender sent to the same address with the attribute 'id' (XEP-0424
// §5), the newest if there are several, -1 if there is none.
func sentInBatch(before []*feature.Dispatch, d *feature.Dispatch, attr string) int {
	for j := len(before) - 1; j >= 0; j-- {
		b := before[j]
		mine := func(c feature.Copy) bool {
			return c.Owner == d.Session.User() && (!c.Incoming || d.To.Bare() == d.From.Bare())
		}
		if b.Session == d.Session && b.To.Bare() == d.To.Bare() && string(b.Stanza.ID) == attr && slices.ContainsFunc(b.Copies, mine) {
			return j
		}
	}
	return -1
}

// findSent returns the id under which the newest message is kept that d's sender sent to the same address with the
// attribute 'id', 0 if it is not found.
func (a *Archive) findSent(ctx context.Context, d *feature.Dispatch, attr string) (found uint64, err error) {
	s := sent{owner: d.Session.User(), attr: attr, self: d.From.Bare() == d.To.Bare()}
	x := a.index(s.owner, d.Host().Directory.Conversation(d.To.Bare()))
	before := uint64(maxID)
	for left := maxRetractWalk; left > 0 && found == 0; {
		n := 0
		err = a.db.View(ctx, func(tx store.Tx) error {
			for e := range x.scan(tx, 0, before, true) {
				n++
				before = e.id
				if ok, err := s.is(tx, before); err != nil {
					return err
				} else if ok {
					found = before
					return nil
				}
				if n == min(left, retractRows) {
					return nil
				}
			}
			return nil
		})
		if left -= n; err != nil || n < retractRows {
			break
		}
	}
	return found, err
}

// sent is a message that is looked for.
type sent struct {
	owner directory.ID
	attr  string
	self  bool // sent to oneself
}

// is reports whether it is the one with an id. Of a stanza only the start tag is looked at.
func (s *sent) is(tx store.Tx, id uint64) (bool, error) {
	v := tx.Get(spaceBody, appendID(nil, id))
	if v == nil {
		return false, nil
	}
	var b body
	if err := b.decode(v); err != nil {
		return false, err
	}
	if r, ok, err := b.rowOf(s.owner); err != nil || !ok || r.incoming && !s.self {
		return false, err
	}
	st := xmpp.Stanza{Raw: b.stanza}
	attr, _ := st.Attr("id")
	return attr == s.attr, nil
}
