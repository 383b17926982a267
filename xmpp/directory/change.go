package directory

import (
	"context"
	"slices"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/store"
)

// NewUser is somebody who is to be added. Local may be given as in the mail
// address (o'brien) or escaped as in the JID (o\27brien).
type NewUser struct {
	Domain, Local           string
	Name                    string
	Groups                  []string
	Hidden, Disabled, Admin bool

	// Kept says that this is who the name is kept for, see KeepNames.
	Kept bool

	// Also, if not nil, runs in the transaction that adds the user, so that
	// what else is kept of it is there at once or not at all. Like any function
	// of a transaction it touches nothing but tx, and may run again.
	Also func(tx store.Tx, id ID) error
}

// Batch says how AddAll goes through a long list.
type Batch struct {
	Size int // users in a transaction, 2,000 if zero

	// Progress is called after each transaction with the number of users done
	// with so far.
	Progress func(done int)

	// Refused is called for a user who cannot be added. If it returns nil the
	// others are added, an error ends it all; so does any refusal without it.
	// What was added before stays.
	Refused func(u NewUser, err error) error
}

// Add adds users in one transaction: all of them or, with an error, none.
func (d *Directory) Add(ctx context.Context, users ...NewUser) error {
	return d.add(ctx, users, func(_ NewUser, err error) error { return err })
}

// AddAll adds a long list of users, in several transactions.
func (d *Directory) AddAll(ctx context.Context, users []NewUser, b Batch) error {
	if b.Size <= 0 {
		b.Size = 2000
	}
	if b.Refused == nil {
		b.Refused = func(_ NewUser, err error) error { return err }
	}
	done := 0
	for chunk := range slices.Chunk(users, b.Size) {
		if err := d.add(ctx, chunk, b.Refused); err != nil {
			return err
		}
		done += len(chunk)
		if b.Progress != nil {
			b.Progress(done)
		}
	}
	return nil
}

func (d *Directory) add(ctx context.Context, users []NewUser, refused func(NewUser, error) error) error {
	return d.make(ctx, func() ([]edit, error) {
		taken := make(map[xmpp.JID]bool, len(users))
		edits := make([]edit, 0, len(users))
		id, now := d.nextID, d.now()
		for _, n := range users {
			u := n.user()
			u.ID, u.Created = id, now
			if err := d.admitOnce(&n, u, taken); err != nil {
				if err := refused(n, err); err != nil {
					return nil, err
				}
				continue
			}
			edits = append(edits, edit{Change: Change{New: u}, record: u, also: n.Also})
			id++
		}
		return edits, nil
	})
}

// Check tells what Add would refuse, without adding anybody: refused is called
// with the place in the list and the reason.
func (d *Directory) Check(users []NewUser, refused func(i int, err error)) {
	taken := make(map[xmpp.JID]bool, len(users))
	for i := range users {
		u := users[i].user()
		if err := d.admitOnce(&users[i], u, taken); err != nil {
			refused(i, err)
		}
	}
}

func (n *NewUser) user() *User {
	return &User{
		Domain: n.Domain, Local: n.Local, Name: n.Name, Groups: n.Groups,
		Hidden: n.Hidden, Disabled: n.Disabled, Admin: n.Admin,
	}
}

// UserUpdate is a change of one user.
type UserUpdate struct {
	ID  ID
	Set func(*User) // changes the copy that it is given
}

// Update changes what fn changes in the copy that it is given. A new Local
// changes the name: the address is another one, the user stays the same.
func (d *Directory) Update(ctx context.Context, id ID, fn func(*User)) error {
	return d.UpdateAll(ctx, UserUpdate{id, fn})
}

// UpdateAll changes users, each of them once, in one transaction: all of them
// or, with an error, none. Who is changed into what he is costs nothing.
func (d *Directory) UpdateAll(ctx context.Context, list ...UserUpdate) error {
	return d.make(ctx, func() ([]edit, error) {
		var edits []edit
		taken := make(map[xmpp.JID]bool)
		for i := range list {
			e, err := d.revise(&list[i], taken)
			if err != nil {
				return nil, err
			}
			if e.visible() || e.Old.Admin != e.New.Admin {
				edits = append(edits, e)
			}
		}
		return edits, nil
	})
}

// CheckUpdates tells what UpdateAll would refuse, without changing anybody:
// refused is called with the place in the list and the reason.
func (d *Directory) CheckUpdates(list []UserUpdate, refused func(i int, err error)) {
	taken := make(map[xmpp.JID]bool)
	for i := range list {
		if _, err := d.revise(&list[i], taken); err != nil {
			refused(i, err)
		}
	}
}

// revise finds what becomes of a user; taken are the addresses that those before
// him get.
func (d *Directory) revise(up *UserUpdate, taken map[xmpp.JID]bool) (edit, error) {
	old := d.ByID(up.ID)
	if old == nil {
		return edit{}, refuse(ErrNotFound, "there is no user with the id %d", up.ID)
	}
	u := *old
	u.Groups = slices.Clone(u.Groups)
	up.Set(&u)
	u.ID, u.Domain, u.Created, u.Deleted = old.ID, old.Domain, old.Created, old.Deleted
	u.Former, u.Renamed = old.Former, old.Renamed
	if err := d.admit(&u); err != nil {
		return edit{}, err
	}
	if u.Local != old.Local {
		if err := d.kept(u.JID); err != nil {
			return edit{}, err
		}
		if taken[u.JID] {
			return edit{}, refuse(ErrExists, "%s is in the list twice", u.JID)
		}
		u.Former, u.Renamed, taken[u.JID] = old.Local, d.now(), true
	}
	return edit{Change: Change{Old: old, New: &u}, record: &u}, nil
}

// Delete deletes a user. A tombstone stays, see Tombstone; the name is free.
// also is run as OnDelete has it.
func (d *Directory) Delete(ctx context.Context, id ID, also ...func(tx store.Tx, id ID) error) error {
	d.hooks.Lock()
	hooks := slices.Concat(d.onDelete, also)
	d.hooks.Unlock()
	return d.make(ctx, func() ([]edit, error) {
		old := d.ByID(id)
		if old == nil {
			return nil, refuse(ErrNotFound, "there is no user with the id %d", id)
		}
		stone := &User{
			ID: id, JID: old.JID, Domain: old.Domain, Local: old.Local, Name: old.Name,
			Created: old.Created, Deleted: d.now(),
		}
		also := func(tx store.Tx, id ID) error {
			for _, fn := range hooks {
				if err := fn(tx, id); err != nil {
					return err
				}
			}
			return nil
		}
		return []edit{{Change: Change{Old: old}, record: stone, also: also}}, nil
	})
}

// OnChange has fn called after each change, once it is durable and can be seen,
// in the order of the changes. It is called by the goroutine that made the
// change, with nothing locked, before that call returns. So fn must not itself
// make a change: it would wait for its own end.
func (d *Directory) OnChange(fn func(Change)) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	d.listeners = append(d.listeners, fn)
}

// OnDelete has fn run in each transaction that deletes a user, so that what a
// package keeps of the user goes with it. It touches nothing but tx, and may
// run again.
func (d *Directory) OnDelete(fn func(tx store.Tx, id ID) error) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	d.onDelete = append(d.onDelete, fn)
}

// admit tidies u and finds what speaks against it.
func (d *Directory) admit(u *User) error {
	if err := d.served(u.Domain); err != nil {
		return err
	}
	if err := u.tidy(); err != nil {
		return err
	}
	if other := d.User(u.JID); other != nil && other.ID != u.ID {
		return refuse(ErrExists, "there is a user %s already", u.JID)
	}
	if d.Alias(u.JID) != nil {
		return refuse(ErrExists, "there is an alias %s: a name is a user's or an alias's", u.JID)
	}
	return nil
}

// served reports whether a domain is one of ours.
func (d *Directory) served(domain string) error {
	if j, err := xmpp.NewJID("", domain, ""); err == nil && d.domains[j.Domain()] != nil {
		return nil
	}
	var names []string
	for _, m := range d.Domains() {
		names = append(names, m.Name())
	}
	return refuse(ErrDomain, "the domain %q is not served here, only %s", domain, strings.Join(names, ", "))
}

// admitOnce is admit for one of several who are added together; taken are the
// addresses of those before.
func (d *Directory) admitOnce(n *NewUser, u *User, taken map[xmpp.JID]bool) error {
	if err := d.admit(u); err != nil {
		return err
	}
	if !n.Kept {
		if err := d.kept(u.JID); err != nil {
			return err
		}
	}
	if taken[u.JID] {
		return refuse(ErrExists, "%s is in the list twice", u.JID)
	}
	taken[u.JID] = true
	return nil
}

// now is the time as a record can hold it.
func (d *Directory) now() time.Time {
	return d.options.Clock.Now().UTC().Truncate(time.Microsecond)
}
