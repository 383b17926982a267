package muc

import (
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// Audience returns the users of ours for whom what is said in a room is meant: its members, whether a client of theirs
// is in the room or not, and whoever else is in it; but nobody who has blocked it. It may read the store.
func (m *Rooms) Audience(address xmpp.JID) (all []directory.ID, err error) {
	all, err = m.people(address)
	return slices.DeleteFunc(all, func(id directory.ID) bool { return m.opts.Blocks(id, address) }), err
}

func (m *Rooms) people(address xmpp.JID) (all []directory.ID, err error) {
	r, err := m.hold(address)
	if r == nil || err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	seen := map[directory.ID]bool{}
	add := func(id directory.ID) {
		if !seen[id] {
			seen[id] = true
			all = append(all, id)
		}
	}
	member := func(j xmpp.JID) {
		if u := m.host.Directory.User(j); u != nil {
			add(u.ID)
		}
	}
	if r.given != nil {
		for p := range m.source.Members(r.id) {
			member(p.JID)
		}
	}
	for j, a := range r.affiliates {
		if a.Affiliation >= Member {
			member(j)
		}
	}
	for _, s := range r.seats {
		if s.user != 0 {
			add(s.user)
		}
	}
	return all, nil
}
