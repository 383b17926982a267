package muc

import (
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// Blocking (XEP-0191) looks at the address that a stanza comes from, and in a room that is the room's or an occupant's:
//
//   - Whoever blocks an occupant's address hears and sees nothing of that occupant, and the others go on as if nothing were.
//   - Whoever blocks the room, or the service, leaves it, and gets nothing from it.
//   - Whoever blocks a real address blocks nobody in a room. In a semi-anonymous one it would tell who is behind which nick.

// blocks reports whether a client does not want what comes from an address.
func (r *room) blocks(s *seat, from xmpp.JID) bool {
	return s.user != 0 && r.m.opts.Blocks(s.user, from)
}

// Reblock puts a change of what a user blocks into force; what comes of it for rooms follows. change is quick. It may run on
// the store's committer.
func (m *Rooms) Reblock(out *router.Batch, owner *directory.User, change func()) {
	account := m.host.Router.Account(owner.JID)
	if account == nil {
		change()
		return
	}
	type place struct {
		client xmpp.JID
		room   *room
	}
	var places []place
	sessions := account.Sessions(nil)
	m.mu.RLock()
	for _, s := range sessions {
		for _, r := range m.joined[s.JID()] {
			places = append(places, place{s.JID(), r})
		}
	}
	m.mu.RUnlock()
	before := make([]map[*occupant]bool, len(places))
	for i, p := range places {
		before[i] = p.room.blockedBy(p.client)
	}
	change()
	for i, p := range places {
		p.room.reblock(out, p.client, before[i])
	}
}

// blockedBy returns the occupants that a client has blocked.
func (r *room) blockedBy(client xmpp.JID) map[*occupant]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.clients[client]
	if s == nil {
		return nil
	}
	var all map[*occupant]bool
	for _, o := range r.order {
		if r.blocks(s, o.jid) {
			if all == nil {
				all = map[*occupant]bool{}
			}
			all[o] = true
		}
	}
	return all
}

// reblock has a client see those go whom it has just blocked, and come whom it blocks no longer. A room that is blocked
// sees the client go (XEP-0191 §3.3).
func (r *room) reblock(out *router.Batch, client xmpp.JID, before map[*occupant]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.clients[client]
	if s == nil {
		return
	}
	if r.blocks(s, r.jid) || r.blocks(s, s.of.jid) {
		r.leave(out, s, goodbye, nil)
		return
	}
	for _, o := range slices.Clone(r.order) {
		now := r.blocks(s, o.jid)
		if o == s.of || now == before[o] || !r.config.Broadcast.has(o.role) {
			continue
		}
		v := o.sight()
		if now {
			v = sight{o, &goodbye, o.seats[0].jid, note{gone: true}}
		}
		r.show1(out, v, s)
	}
}
