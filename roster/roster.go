// Package roster holds people's contact lists, the subscriptions between them
// and the rules of presence (RFC 6121 §2, §3, §4).
//
// A list has two layers. Contacts that come from elsewhere, such as everybody
// on the domain, are merged in when the list is read and never copied into it;
// the owner's own items lie over them. What a user sees and whose presence goes
// where follows from both.
//
// # Presence in order
//
// Whoever may see a user gets every presence of theirs, and never an older one
// after a newer one. Four rules give that:
//
//   - Everything that tells others of a user's presence happens under that
//     user's order lock: marking a session and telling the subscribers is one
//     step, and so is answering somebody who just came online.
//   - A session is marked available before the others' presences are collected
//     for it. Two who come online at once: the later mark is made after the
//     earlier one was there to be collected.
//   - Colleagues tell one another through the board of their domain, where the
//     mark is made under its write lock and read while the bytes are appended.
//   - What a change of a subscription does to the presence that flows is done
//     under the same lock, after the change is on disk.
//
// The locks come before those of package router:
//
//	order lock of one user → board.mu → contacts.mu → router's locks
//	contacts.mu → live.mu
//
// Two order locks are never held at once, and nothing is locked across the store.
package roster

import (
	"context"
	"sync"
	"sync/atomic"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Options are the settings of a Roster. The zero value will do.
type Options struct {
	Mode      Mode   // who is in people's lists by being on the same domain; "": Auto
	AutoLimit int    // how many listed users a domain may have before Auto is Groups; 0: 1,000
	Group     string // where colleagues stand who are in no group of the directory; "": Colleagues
	Limits    Limits
	Rate      feature.Rate // of presences that one account sends to all who see it; zero: 100 at once, 5 a second
	Sources   []Source     // besides the domain

	// Blocks reports whether a user has blocked an address, bare or full
	// (XEP-0191); nil: nobody has. For users who are online it is called with
	// locks held, and asks no store.
	Blocks func(owner directory.ID, j xmpp.JID) bool
}

// Stats counts what goes on; every field may be read at any time.
type Stats struct {
	Presences atomic.Int64 // sent to sessions
	Pushes    atomic.Int64 // roster pushes sent
	Results   atomic.Int64 // whole rosters sent
	Deltas    atomic.Int64 // logins that needed changes only
	Loads     atomic.Int64 // lists read from the store
	Waiting   atomic.Int64 // changes of the directory that are not pushed yet
}

// Roster is the lists of all users. Its methods may be called from any goroutine.
type Roster struct {
	host  *feature.Host
	opts  Options
	db    store.DB
	dir   *directory.Directory
	Stats Stats

	order     [64]sync.Mutex // of users, by id
	budgets   feature.Budgets
	boards    map[string]*board
	live      map[string]*live
	out       router.Batch // of the store's committer
	pushes    atomic.Uint64
	observers []func(s *router.Session, old, now router.Presence)
	sight     []func(viewer *router.Account, subjects []directory.ID)
}

// Interested is set on sessions that asked for the roster: they get pushes (RFC 6121 §2.2).
var Interested = router.NewFlag("roster: interested")

// New makes the Roster of a server. It follows the host's directory from now on.
func New(h *feature.Host, o Options) *Roster {
	if o.Mode == "" {
		o.Mode = Auto
	}
	if o.AutoLimit == 0 {
		o.AutoLimit = 1000
	}
	if o.Group == "" {
		o.Group = "Colleagues"
	}
	o.Limits = o.Limits.orDefault()
	if o.Rate == (feature.Rate{}) {
		o.Rate = feature.Rate{Burst: 100, PerSecond: 5} // all 32 devices of somebody may come at once, each with what it says in its first second
	}
	r := &Roster{
		host: h, opts: o, db: h.State, dir: h.Directory,
		boards: map[string]*board{}, live: map[string]*live{},
	}
	for _, m := range r.dir.Domains() {
		r.boards[m.Name()] = newBoard(r.parted)
		r.live[m.Name()] = newLive(r, m)
	}
	r.dir.OnChange(r.directoryChanged)
	r.dir.OnDelete(r.erase)
	return r
}

// Feature is the Roster as the server's table takes it.
func (r *Roster) Feature() feature.Feature {
	return feature.Feature{
		Name:      "roster",
		Portables: r.portables(),
		Advertise: []feature.Advert{{Var: xmpp.NSRoster, Where: feature.Server}},
		IQ: []feature.IQ{
			request(xmpp.TypeGet, feature.Self, r.get),
			request(xmpp.TypeSet, feature.Self, r.set),
			// RFC 6121 §2.1.5, §2.3.3: a list is its owner's.
			request(xmpp.TypeGet, feature.Account, refuse),
			request(xmpp.TypeSet, feature.Account, refuse),
		},
		Presence: r.presence,
		Ended:    r.ended,
		Restart:  feature.Restart{Save: r.save, Restore: r.restore},
		StreamFeatures: func(_ string, dst []byte) []byte {
			return append(dst, "<ver xmlns='"+xmpp.NSRosterVer+"'/><sub xmlns='"+xmpp.NSPreAppr+"'/>"...)
		},
	}
}

// request is a handler of the one element there is. Servers announce that they
// keep rosters, accounts do not announce that they have one.
func request(t xmpp.Type, where feature.Where, h feature.Handler) feature.IQ {
	return feature.IQ{Space: xmpp.NSRoster, Local: "query", Type: t, Where: where, Handle: h, Silent: true}
}

func refuse(*feature.Query, []byte) ([]byte, error) {
	return nil, xmpp.NewError(xmpp.Forbidden, "a roster is its owner's")
}

// OnPresence has fn called whenever the presence that a session broadcasts has
// changed, also when the session ends, and once others were told. It is called
// in the order of each user's changes and must be quick. Call it before the
// server runs.
func (r *Roster) OnPresence(fn func(s *router.Session, old, now router.Presence)) {
	r.observers = append(r.observers, fn)
}

// OnSight has fn called when colleagues come into the sight of somebody who is
// online, once they are in the list and their presence was told: for what else
// goes to who sees somebody's presence. It is not when so many do that a domain
// changes its mode. Call it before the server runs.
func (r *Roster) OnSight(fn func(viewer *router.Account, subjects []directory.ID)) {
	r.sight = append(r.sight, fn)
}

// MaySee reports whether a contact, bare or full, gets the presence of a user
// of ours: as a colleague, as a subscriber, or because they are the same person,
// and neither has blocked the other. The store is asked only if no Source
// decides it and both are offline.
func (r *Roster) MaySee(owner directory.ID, contact xmpp.JID) bool {
	u := r.dir.ByID(owner)
	if u == nil {
		return false
	}
	contact = contact.Bare()
	if contact == u.JID {
		return true
	}
	if r.blockedFrom(u, contact) {
		return false
	}
	if _, from := r.covered(u, contact); from {
		return true
	}
	if sees, known := r.watches(u, contact); known {
		return sees
	}
	it, err := r.item(u, contact)
	if err != nil {
		r.host.Log.Error("a subscription could not be read", "owner", u.JID.String(), "error", err)
		return false
	}
	return it != nil && it.State.HasFrom()
}

// item returns what a user's own list says of a contact, nil if nothing.
func (r *Roster) item(owner *directory.User, contact xmpp.JID) (it *Item, err error) {
	if a := r.host.Router.Account(owner.JID); a != nil {
		c, err := r.contacts(a)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.item(contact), nil
	}
	err = r.db.View(context.Background(), func(tx store.Tx) error {
		b := book{tx: tx, owner: owner.ID}
		it, err = b.get(contact)
		return err
	})
	return it, err
}

// orderOf is the lock under which others are told of a user's presence.
func (r *Roster) orderOf(user directory.ID) *sync.Mutex {
	return &r.order[uint64(user)%uint64(len(r.order))]
}

// batches saves each presence from growing a list of connections anew.
var batches = sync.Pool{New: func() any { return new(router.Batch) }}

// flush lets everything leave that was sent with a batch from the pool.
func flush(out *router.Batch) {
	out.Flush()
	batches.Put(out)
}
