package roster

import (
	"context"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// AppendList appends the items of a user's list, as the user's clients get them,
// for the administrator.
func (r *Roster) AppendList(ctx context.Context, owner *directory.User, dst []byte) ([]byte, error) {
	c := new(contacts)
	var err error
	if a := r.host.Router.Account(owner.JID); a != nil {
		c, err = r.contacts(a)
	} else {
		err = r.db.View(ctx, func(tx store.Tx) (err error) {
			c.meta, c.items, err = readBook(tx, owner.ID)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.appendItems(dst, r.dir.Domain(owner.Domain).Snapshot(), owner, c), nil
}

// Parted reports whether a domain of this many users shows people their own
// groups only, although nobody asked for that: Auto found it too large.
func (r *Roster) Parted(domain string) bool {
	m := r.dir.Domain(domain)
	return m != nil && r.opts.Mode == Auto && r.reach(m.Snapshot()) == departments
}
