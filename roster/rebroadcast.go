package roster

import (
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// Rebroadcast tells all who see a session its presence again, changed by
// change, which gets the stanza without 'to' and returns another one. Nothing
// happens if the session is not available.
func (r *Roster) Rebroadcast(s *router.Session, change func(stanza []byte) []byte) {
	user := r.dir.ByID(s.User())
	c, ok := slot.Peek(s.Account())
	if !ok || user == nil {
		return
	}
	out := batches.Get().(*router.Batch)
	defer flush(out)
	order := r.orderOf(user.ID)
	order.Lock()
	defer order.Unlock()
	old := s.Presence()
	if !old.Available || !s.Alive() {
		return
	}
	now := old
	now.Stanza = change(old.Stanza)
	a := announcement{r: r, out: out, session: s, contacts: c, stanza: now.Stanza}
	a.now = stand{user, r.reach(r.dir.Domain(user.Domain).Snapshot())}
	s.SetPresence(now)
	a.row, a.now = r.boards[user.Domain].set(s, a.now, now.Stanza)
	a.tell()
	for _, fn := range r.observers {
		fn(s, old, now)
	}
}

// Groups returns the groups in which a user has a contact: the user's own, or
// those that the contact's source gives.
func (r *Roster) Groups(owner directory.ID, contact xmpp.JID) []string {
	u := r.dir.ByID(owner)
	if u == nil {
		return nil
	}
	contact = contact.Bare()
	it, err := r.item(u, contact)
	if err != nil {
		r.host.Log.Error("a contact could not be read", "owner", u.JID.String(), "error", err)
		return nil
	}
	if c, ok := r.foreign(u, contact); ok {
		merged, _ := merge(&c, it)
		return merged.groups
	}
	if it == nil || !it.Listed {
		return nil
	}
	return it.Groups
}

// watches reports what an online viewer's own list says of an offline user: with
// people of one server, it is the mirror of the user's.
func (r *Roster) watches(owner *directory.User, viewer xmpp.JID) (sees, known bool) {
	v := r.dir.User(viewer)
	if v == nil || r.host.Router.Account(owner.JID) != nil || r.host.Router.Account(v.JID) == nil {
		return false, false
	}
	it, err := r.item(v, owner.JID)
	return it != nil && it.State.HasTo(), err == nil
}
