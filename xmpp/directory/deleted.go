package directory

import (
	"slices"

	"confab/xmpp"
)

// Deleted returns the tombstones of all who had the address j when they were
// deleted, the latest first. It looks at every user there ever was.
func (d *Directory) Deleted(j xmpp.JID) []*User {
	var found []*User
	d.byID.Range(func(_, v any) bool {
		if u := v.(*User); !u.Deleted.IsZero() && u.JID == j.Bare() {
			found = append(found, u)
		}
		return true
	})
	slices.SortFunc(found, func(a, b *User) int { return b.Deleted.Compare(a.Deleted) })
	return found
}
