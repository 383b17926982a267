package roster

import (
	"confab/xmpp"
	"confab/xmpp/directory"
)

// Seen returns the users of the domain whose presence a user gets, or more of
// them: MaySee knows. everyone says that it may be all of the domain; they are
// not listed then.
func (r *Roster) Seen(viewer *directory.User) (seen []directory.ID, everyone bool) {
	snapshot := r.dir.Domain(viewer.Domain).Snapshot()
	reach := r.reach(snapshot)
	if reach == everybody {
		return nil, true
	}
	if reach == departments {
		for _, local := range r.boards[viewer.Domain].commons.list(r, snapshot, viewer).locals {
			j, err := xmpp.NewJID(local, viewer.Domain, "")
			if u := r.dir.User(j); err == nil && u != nil {
				seen = append(seen, u.ID)
			}
		}
	}
	for _, j := range r.seenBySubscription(viewer) {
		if u := r.dir.User(j); u != nil && u.Domain == viewer.Domain {
			seen = append(seen, u.ID)
		}
	}
	return seen, false
}
