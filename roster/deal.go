package roster

import (
	"context"
	"fmt"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// deal is what one request does to the lists of both sides, in one transaction:
// computed from what is on disk, in force and known to clients once it is on
// disk itself.
type deal struct {
	r     *Roster
	tx    store.Tx
	steps []func(out *router.Batch) // after the commit, in order
	deaf  directory.ID              // who has blocked the other side, and does not hear of it; 0: nobody
}

// deal runs fn in a transaction. fn may run again, with a new deal.
func (r *Roster) deal(ctx context.Context, fn func(*deal) error) error {
	return r.db.Update(ctx, func(tx store.Tx) error { return r.dealIn(tx, fn) })
}

func (r *Roster) dealIn(tx store.Tx, fn func(*deal) error) error {
	d := &deal{r: r, tx: tx}
	if err := fn(d); err != nil {
		return err
	}
	if len(d.steps) > 0 {
		tx.OnCommit(func() {
			for _, step := range d.steps {
				step(&r.out)
			}
		})
		tx.OnGroup(r, r.out.Flush)
	}
	return nil
}

func (d *deal) then(step func(out *router.Batch)) { d.steps = append(d.steps, step) }

// open returns a user's list and the item of a contact, an empty one if there is none.
func (d *deal) open(owner *directory.User, contact xmpp.JID) (*book, Item, error) {
	b, err := openBook(d.tx, owner.ID, d.r.host.Now())
	if err != nil {
		return nil, Item{}, err
	}
	it, err := b.get(contact)
	if it == nil {
		it = &Item{JID: contact}
	}
	return b, *it, err
}

// put stores the next item of a contact and bounds the list.
func (d *deal) put(b *book, before, next *Item) (edit, error) {
	l := &d.r.opts.Limits
	switch {
	case next.Listed && !before.Listed && b.meta.listed >= uint64(l.Contacts):
		return edit{}, xmpp.NewError(xmpp.ResourceConstraint, fmt.Sprintf("the roster is full: it holds %d contacts", l.Contacts))
	case !next.Listed && before.empty() && !next.empty() && b.meta.requests >= uint64(l.Requests):
		return edit{}, xmpp.NewError(xmpp.ResourceConstraint, "too many requests wait for an answer of this contact")
	}
	return b.put(next)
}

// apply puts an edit into force.
func (d *deal) apply(owner *directory.User, e edit) {
	d.then(func(*router.Batch) { d.r.apply(owner, e) })
}

func (r *Roster) apply(owner *directory.User, e edit) {
	if c := r.known(owner); c != nil {
		c.take(e)
	}
}

// push tells the owner's clients of an edit.
func (d *deal) push(owner *directory.User, e edit) {
	d.then(func(out *router.Batch) { d.r.tell(out, owner, e.jid, e.item, e.meta.rev()) })
}

// set makes a contact what a roster set says (RFC 6121 §2.3.2, §2.4.2).
func (d *deal) set(owner *directory.User, req *wish, source *Contact, covered bool) error {
	b, before, err := d.open(owner, req.jid)
	if err != nil {
		return err
	}
	next := before
	next.Listed, next.Name, next.Groups = true, req.name, req.groups
	next.OwnName, next.OwnGroups = false, false
	if covered {
		// What the source says anyway goes on following the source.
		next.OwnName = req.name != "" && req.name != source.Name
		next.OwnGroups = !sameSet(req.groups, source.Groups)
		if !next.OwnName && !next.OwnGroups && next.State == None && !next.Approved {
			next.Listed, next.Name, next.Groups = false, "", nil
		}
	}
	e, err := d.put(b, &before, &next)
	if err != nil {
		return err
	}
	d.apply(owner, e)
	d.push(owner, e)
	return nil
}

func sameSet(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

// remove removes a contact and cancels the subscriptions both ways (RFC 6121 §2.5.2).
func (d *deal) remove(owner *directory.User, contact xmpp.JID) error {
	b, before, err := d.open(owner, contact)
	if err != nil {
		return err
	}
	if !before.Listed { // §2.5.3
		return xmpp.NewError(xmpp.ItemNotFound, "there is no such contact in the roster")
	}
	e, err := d.put(b, &before, &Item{JID: contact})
	if err != nil {
		return err
	}
	if err := d.part(owner, &before, e); err != nil {
		return err
	}
	d.push(owner, e)
	return nil
}

// part ends what was between a user and a contact, whose item goes by edit e.
func (d *deal) part(owner *directory.User, before *Item, e edit) error {
	peer := d.r.peer(owner, e.jid)
	if before.State.HasFrom() {
		d.goodbye(owner, e)
	} else {
		d.apply(owner, e)
	}
	if peer == nil {
		if before.State.HasTo() || before.State.PendingOut() {
			d.send(owner, e.jid, subscription(owner.JID, e.jid, Unsubscribe))
		}
		if before.State.HasFrom() || before.State.PendingIn() {
			d.send(owner, e.jid, subscription(owner.JID, e.jid, Unsubscribed))
		}
		return nil
	}
	if before.State.HasTo() || before.State.PendingOut() {
		if _, err := d.inbound(peer, owner.JID, Unsubscribe, subscription(owner.JID, peer.JID, Unsubscribe)); err != nil {
			return err
		}
	}
	if before.State.HasFrom() || before.State.PendingIn() {
		_, err := d.inbound(peer, owner.JID, Unsubscribed, subscription(owner.JID, peer.JID, Unsubscribed))
		return err
	}
	return nil
}

// peer returns a contact who is a user of ours that the owner may know of, disabled or not, nil if it is none.
func (r *Roster) peer(owner *directory.User, contact xmpp.JID) *directory.User {
	if contact.Domain() != owner.Domain || contact.Local() == "" {
		return nil
	}
	return r.dir.User(contact)
}

// subscription is a subscription stanza that the server sends for a user.
func subscription(from, to xmpp.JID, e Event) []byte {
	b := xmpp.AppendAttr([]byte("<presence"), "from", from.String())
	b = xmpp.AppendAttr(b, "to", to.String())
	b = xmpp.AppendAttr(b, "type", e.String())
	return append(b, "/>"...)
}

// outbound is a subscription stanza of a user of ours (RFC 6121 §A.2). stanza
// is as the contact gets it; peer is the contact if it is a user of ours.
func (d *deal) outbound(owner *directory.User, contact xmpp.JID, peer *directory.User, ev Event, stanza []byte) error {
	b, before, err := d.open(owner, contact)
	if err != nil {
		return err
	}
	t := Outbound(before.State, ev)
	next := before
	next.State = t.Next
	if t.Note&Approve != 0 { // §3.4.2
		next.Approved, next.Listed = true, true
	}
	if t.Note&Withdraw != 0 { // §3.4.3
		next.Approved = false
	}
	if next.State.bits() != 0 || next.State.PendingOut() {
		next.Listed = true
	}
	if !next.State.PendingIn() {
		next.Request = nil
	}
	e, err := d.put(b, &before, &next)
	if err != nil {
		return err
	}
	if before.State.HasFrom() && !next.State.HasFrom() { // §3.2.2: first, while the contact is still subscribed
		d.goodbye(owner, e)
	} else {
		d.apply(owner, e)
	}
	// The contact's server may answer at once: the question is pushed before.
	// Whom the owner no longer wants to see goes offline before the list says so.
	first := ev != Unsubscribe
	if e.show && first {
		d.push(owner, e)
	}
	switch {
	case t.Pass && peer == nil:
		d.send(owner, contact, stanza)
	case t.Pass:
		if _, err := d.inbound(peer, owner.JID, ev, stanza); err != nil {
			return err
		}
	}
	if e.show && !first {
		d.push(owner, e)
	}
	if next.State.HasFrom() && !before.State.HasFrom() { // §3.1.5
		d.hello(owner, contact)
	}
	return nil
}

// inbound is a subscription stanza that a user of ours gets (RFC 6121 §A.3).
// news says that it meant something to the user.
func (d *deal) inbound(owner *directory.User, contact xmpp.JID, ev Event, stanza []byte) (news bool, err error) {
	if owner.ID == d.deaf && ev == Subscribe {
		return false, nil
	}
	b, before, err := d.open(owner, contact)
	if err != nil {
		return false, err
	}
	t := Inbound(before.State, ev)
	next := before
	next.State = t.Next
	answer := t.Note&Answer != 0
	switch {
	case ev == Subscribe && t.Pass && before.Approved: // §3.4.2
		next.State = Outbound(t.Next, Subscribed).Next
		next.Approved, t.Pass, answer = false, false, true
	case ev == Subscribe && t.Pass:
		if len(stanza) > d.r.opts.Limits.Request {
			return false, xmpp.NewError(xmpp.PolicyViolation,
				fmt.Sprintf("a subscription request is longer than %d bytes", d.r.opts.Limits.Request))
		}
		next.Request = slices.Clone(stanza)
	case !next.State.PendingIn():
		next.Request = nil
	}
	e, err := d.put(b, &before, &next)
	if err != nil {
		return false, err
	}
	if t.Pass && owner.ID != d.deaf {
		d.deliver(owner, ev, stanza)
	}
	if before.State.HasFrom() && !next.State.HasFrom() { // §3.3.3
		d.goodbye(owner, e)
	} else {
		d.apply(owner, e)
	}
	if e.show {
		d.push(owner, e)
	}
	if answer {
		err = d.answer(owner, contact)
	}
	return t.Pass, err
}

// answer tells a contact who asks for what it has that it has it (RFC 6121
// §3.1.3). If the contact knew, its state has no use for the answer (§A.3.3).
func (d *deal) answer(owner *directory.User, contact xmpp.JID) error {
	peer := d.r.peer(owner, contact)
	if peer == nil {
		d.send(owner, contact, subscription(owner.JID, contact, Subscribed))
		d.hello(owner, contact)
		return nil
	}
	news, err := d.inbound(peer, owner.JID, Subscribed, subscription(owner.JID, contact, Subscribed))
	if news {
		d.hello(owner, contact)
	}
	return err
}

// deliver hands a subscription stanza to the owner's clients: a request to
// those that are available (RFC 6121 §3.1.3), news of one's own subscription to
// those that know the roster (§3.1.6, §3.2.3, §3.3.3).
func (d *deal) deliver(owner *directory.User, ev Event, stanza []byte) {
	b := slices.Clone(stanza)
	d.then(func(out *router.Batch) {
		a := d.r.host.Router.Account(owner.JID)
		if a == nil {
			return
		}
		a.Each(func(s *router.Session) {
			if ev == Subscribe && s.PresenceLocked().Available || ev != Subscribe && s.Has(Interested) {
				s.Send(out, b)
			}
		})
	})
}

// goodbye puts an edit into force by which a contact stops to see the owner,
// and lets it see that each of the owner's resources goes.
func (d *deal) goodbye(owner *directory.User, e edit) {
	d.then(func(out *router.Batch) {
		order := d.r.orderOf(owner.ID)
		order.Lock()
		defer order.Unlock()
		d.r.apply(owner, e)
		d.r.showTo(out, owner, e.jid, func(s *router.Session) []byte { return unavailable(s.JID()) })
	})
}

// hello shows the owner's resources to a contact who sees them from now on.
func (d *deal) hello(owner *directory.User, contact xmpp.JID) {
	d.then(func(out *router.Batch) {
		order := d.r.orderOf(owner.ID)
		order.Lock()
		defer order.Unlock()
		d.r.showTo(out, owner, contact, func(s *router.Session) []byte { return s.Presence().Stanza })
	})
}

// erase removes all that is kept of a user who is deleted, and ends what was
// between him and others.
func (r *Roster) erase(tx store.Tx, id directory.ID) error {
	owner := r.dir.ByID(id)
	if owner == nil {
		return eraseBook(tx, id)
	}
	_, items, err := readBook(tx, id)
	if err != nil {
		return err
	}
	err = r.dealIn(tx, func(d *deal) error {
		for j, it := range items {
			if it.Removed {
				continue
			}
			if err := d.part(owner, it, edit{jid: j}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return eraseBook(tx, id)
}
