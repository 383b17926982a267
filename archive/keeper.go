package archive

import (
	"context"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Keeper makes the archive the place where the feature table stores messages.
func (a *Archive) Keeper() feature.Keeper {
	k := &keeper{archive: a}
	k.flush = k.out.Flush
	return k
}

type keeper struct {
	archive *Archive
	out     router.Batch // of the committer's goroutine
	flush   func()
}

func (k *keeper) AppendID(dst []byte, id uint64) []byte { return AppendID(dst, id) }

// Keep stores every message with its sender stamped and forged ids taken out; the copies' edits come on top of that.
func (k *keeper) Keep(batch []*feature.Dispatch, c feature.Count, deliver func(*feature.Dispatch, *router.Batch)) error {
	messages := make([]*Message, len(batch))
	retractions := false
	for i, d := range batch {
		m := &Message{Stanza: xmpp.Apply(nil, d.Stanza, &d.Edit), Type: d.Stanza.MessageType(), Rows: make([]Row, len(d.Copies))}
		_, m.Flags = Worth(d.Stanza)
		for j, c := range d.Copies {
			m.Rows[j] = Row{Owner: c.Owner, With: c.With, Incoming: c.Incoming, Edit: c.Edit, To: c.To}
		}
		messages[i] = m
		retractions = retractions || d.Stanza.Child(xmpp.NSRetract, "retract") != nil
	}
	next := 0
	err := k.archive.Keep(context.Background(), messages, Also{
		Count: Count{Key: c.Token, Handled: c.Handled},
		Deliver: func(m *Message) {
			d := batch[next]
			next++
			d.ID = m.ID
			deliver(d, &k.out)
		},
		Flush: k.flush,
	})
	if err == nil && retractions {
		for i, d := range batch {
			k.archive.retract(d, messages[i].ID)
		}
	}
	return err
}

// maxRetractWalk is how far back in a conversation the message is looked for that a retraction names.
const maxRetractWalk = 500

// retract has clients see a tombstone in place of the message that d retracts (XEP-0424 §6). The message is looked for in
// the archive of d's sender, so it is that person's own, or in the room's. A retraction that finds none is kept like any
// message, and clients may make of it what they like.
func (a *Archive) retract(d *feature.Dispatch, id uint64) {
	e := d.Stanza.Child(xmpp.NSRetract, "retract")
	if e == nil {
		return
	}
	target, _ := e.Attr("id")
	room := roomCopy(d)
	var of uint64
	var before, within []byte
	var err error
	switch ctx := context.Background(); {
	case target == "":
	case room != nil:
		of, before, err = a.findSaid(ctx, d, room, target)
		if d.From == room.OwnerJID { // XEP-0425 §4: it says who had it taken away, and why
			within = e.Inner
		}
	case d.Session != nil && d.Stanza.MessageType() != xmpp.TypeGroupchat:
		of, err = a.findSent(ctx, d, target, id)
	}
	if err == nil && of != 0 {
		inside := append(before, "<retracted xmlns='urn:xmpp:message-retract:1' stamp='"...)
		inside = append(AppendStamp(inside, IDTime(id)), '\'')
		if len(d.Stanza.ID) > 0 {
			inside = xmpp.AppendAttrBytes(inside, "id", d.Stanza.ID)
		}
		inside = append(append(append(inside, '>'), within...), "</retracted>"...)
		_, err = a.SetTombstone(context.Background(), of, Tombstone{ID: id, By: d.From.Bare(), Inside: inside})
	}
	if err != nil {
		a.opts.Log.Error("a retraction was kept but not carried out", "err", err, "id", FormatID(id))
	}
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
	err = a.db.View(ctx, func(tx store.Tx) error {
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

// findSent returns the id under which the newest message before an id is kept that d's sender sent to the same address
// with the attribute 'id' (XEP-0424 §5), 0 if it is not found.
func (a *Archive) findSent(ctx context.Context, d *feature.Dispatch, attr string, before uint64) (found uint64, err error) {
	o := d.Session.User()
	self := d.From.Bare() == d.To.Bare()
	err = a.db.View(ctx, func(tx store.Tx) error {
		x := indexOf(o, d.Host().Directory.Conversation(d.To.Bare()))
		r := x.in(0, before)
		r.Reverse, r.Limit = true, maxRetractWalk
		for k := range tx.Scan(spaceRow, r) {
			var it Item
			ok, err := it.read(tx, o, idOf(k))
			if err != nil {
				return err
			}
			if !ok || it.Incoming && !self {
				continue
			}
			if st, err := xmpp.Parse(it.Stanza); err == nil && string(st.ID) == attr {
				found = it.ID
				return nil
			}
		}
		return nil
	})
	return found, err
}
