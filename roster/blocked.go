package roster

import (
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// blocks reports whether a user has blocked an address.
func (r *Roster) blocks(owner directory.ID, j xmpp.JID) bool {
	return r.opts.Blocks != nil && r.opts.Blocks(owner, j)
}

// parted reports whether blocking keeps two sessions apart. It takes no lock:
// both are online.
func (r *Roster) parted(x, y *router.Session) bool {
	if r.opts.Blocks == nil || x == nil || x.User() == y.User() {
		return false
	}
	return r.opts.Blocks(x.User(), y.JID()) || r.opts.Blocks(y.User(), x.JID())
}

// blockedFrom reports whether blocking keeps a contact from a user's presence.
func (r *Roster) blockedFrom(u *directory.User, contact xmpp.JID) bool {
	if r.blocks(u.ID, contact) {
		return true
	}
	other := r.dir.User(contact)
	return other != nil && r.blocks(other.ID, u.JID)
}

// deaf is who of the two sides of a subscription does not hear of what the
// owner does to it: a contact who has blocked the owner (XEP-0191 §3.3). The
// state of both lists changes all the same, but for requests, which are lost.
func (r *Roster) deaf(owner, contact *directory.User) directory.ID {
	if contact == nil || !r.blocks(contact.ID, owner.JID) {
		return 0
	}
	return contact.ID
}

// flow is the presence of a session that another one gets.
type flow struct {
	from, to *router.Session
	stanza   []byte // what the other one has to know
	attr     []byte
	was      bool // blocked by the owner
}

// peer is the address that the owner's list decides by.
func (f *flow) peer(owner directory.ID) xmpp.JID {
	if f.from.User() == owner {
		return f.to.JID()
	}
	return f.from.JID()
}

// Reblock puts a change of what a user blocks into force, and lets presence
// follow it both ways (XEP-0191 §3.3, §3.4): who is blocked sees the user go and
// is seen to go, and who no longer is comes back. change is quick and takes no
// lock; after it, Options.Blocks tells the new state. Reblock may be called on
// the store's committer.
func (r *Roster) Reblock(out *router.Batch, owner *directory.User, change func()) {
	a := r.host.Router.Account(owner.JID)
	if a == nil {
		change()
		return
	}
	for _, j := range r.reblock(out, owner, a, change) {
		// Under the order lock of whom they see; two are never held at once.
		for _, s := range a.Available(nil) {
			r.showOnly(out, j, s, nil, toAttr(owner.JID))
		}
		r.ask(out, owner, j)
	}
}

// reblock returns those whom the owner sees by subscription and who come back.
func (r *Roster) reblock(out *router.Batch, owner *directory.User, a *router.Account, change func()) (back []xmpp.JID) {
	order := r.orderOf(owner.ID)
	order.Lock()
	defer order.Unlock()
	b := r.boards[owner.Domain]
	b.mu.Lock()
	defer b.mu.Unlock()
	flows := r.boardFlows(b, owner)
	flows = r.listFlows(flows, owner, a)
	seen := r.seenBySubscription(owner)
	was := make([]bool, len(seen))
	for i := range flows {
		flows[i].was = r.blocks(owner.ID, flows[i].peer(owner.ID))
	}
	for i, j := range seen {
		was[i] = r.blocks(owner.ID, j)
	}
	var after []func(*router.Batch)
	for _, src := range r.opts.Sources {
		after = append(after, src.Reblock(owner))
	}
	after = append(after, r.reblockElsewhere(owner, a))
	// Who delivers to the owner looks whether it is blocked with the account
	// locked: nothing older comes behind the farewell.
	done := false
	a.Each(func(*router.Session) {
		if done {
			return
		}
		done = true
		change()
		for i := range flows {
			r.turn(out, owner.ID, &flows[i])
		}
	})
	if !done {
		change()
	}
	for _, fn := range after {
		fn(out)
	}
	for i, j := range seen {
		if was[i] && !r.blocks(owner.ID, j) {
			back = append(back, j)
		}
	}
	return back
}

// turn starts or ends one flow, if it does.
func (r *Roster) turn(out *router.Batch, owner directory.ID, f *flow) {
	now := r.blocks(owner, f.peer(owner))
	other := f.from
	if other.User() == owner {
		other = f.to
	}
	mine := f.to
	if other == f.to {
		mine = f.from
	}
	if now == f.was || r.blocks(other.User(), mine.JID()) {
		return
	}
	stanza := f.stanza
	if now {
		stanza = unavailable(f.from.JID())
	}
	if stanza != nil {
		f.to.Send(out, appendTo(nil, stanza, f.attr))
		r.Stats.Presences.Add(1)
	}
}

// boardFlows returns what flows between a user and colleagues. Call with the
// board locked.
func (r *Roster) boardFlows(b *board, owner *directory.User) (flows []flow) {
	for _, w := range b.rows {
		if w.user.ID != owner.ID {
			continue
		}
		for _, v := range b.rows {
			if v.user.ID == owner.ID {
				continue
			}
			if v.sees(&w.stand) {
				flows = append(flows, flow{from: w.session, to: v.session, stanza: w.stanza, attr: v.to})
			}
			if w.sees(&v.stand) {
				flows = append(flows, flow{from: v.session, to: w.session, stanza: v.stanza, attr: w.to})
			}
		}
	}
	return flows
}

// listFlows adds what flows by the owner's own list: to subscribers, to those
// who were sent presence directly, and, only for its end, from those whom the
// owner is subscribed to.
func (r *Roster) listFlows(flows []flow, owner *directory.User, a *router.Account) []flow {
	c := r.known(owner)
	if c == nil {
		return flows
	}
	own := a.Available(nil)
	add := func(contact xmpp.JID, s *router.Session, stanza []byte) {
		for _, other := range r.available(contact) {
			flows = append(flows, flow{from: s, to: other, stanza: stanza, attr: toAttr(contact)})
		}
	}
	for _, j := range c.subscribers() {
		if _, from := r.covered(owner, j); from {
			continue
		}
		for _, s := range own {
			add(j, s, s.Presence().Stanza)
		}
	}
	for _, j := range r.seenBySubscription(owner) {
		for _, other := range r.available(j) {
			for _, s := range own {
				flows = append(flows, flow{from: other, to: s, attr: toAttr(owner.JID)})
			}
		}
	}
	for _, s := range a.Sessions(nil) {
		for _, j := range c.directedBy(s) {
			if !slices.Contains(c.subscribers(), j.Bare()) && r.dir.Domain(j.Domain()) != nil {
				add(j, s, nil)
			}
		}
	}
	return flows
}

// available returns the available sessions of an address.
func (r *Roster) available(j xmpp.JID) []*router.Session {
	a := r.host.Router.Account(j)
	if a == nil {
		return nil
	}
	all := a.Available(nil)
	if j.IsFull() {
		all = slices.DeleteFunc(all, func(s *router.Session) bool { return s.JID() != j })
	}
	return all
}

// seenBySubscription returns those whose presence a user gets because of the
// user's own list.
func (r *Roster) seenBySubscription(owner *directory.User) (seen []xmpp.JID) {
	c := r.known(owner)
	if c == nil {
		return nil
	}
	for _, j := range c.subscriptions() {
		if to, _ := r.covered(owner, j); !to {
			seen = append(seen, j)
		}
	}
	return seen
}
