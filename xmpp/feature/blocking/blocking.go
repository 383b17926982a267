// Package blocking lets people have nothing to do with an address: a person, a
// resource, a whole domain (XEP-0191), and tell the administrator why
// (XEP-0377).
//
// What a user blocks is known without asking the store while the user is online,
// and without a lock, since it is asked for each presence. Of those who are
// offline it is known whether they block anybody at all.
//
// One's own devices and one's own server cannot be blocked: to block one's
// domain is to block the people there. Aliases are blocked like anybody else;
// who writes to an alias is not looked at. What it means in rooms, package muc says.
package blocking

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// What one user may block.
const (
	maxItems = 2000
	maxBytes = 256 << 10 // of all addresses
)

// Stats counts what is kept away; every field may be read at any time.
type Stats struct {
	Refused  atomic.Int64 // stanzas of senders who are blocked
	Reported atomic.Int64
}

// Blocking is what everybody blocks.
type Blocking struct {
	host    *feature.Host
	reblock func(out *router.Batch, owner *directory.User, change func())
	Stats   Stats

	mu     sync.Mutex // over changes of owners and of entries; nothing is locked under it
	owners atomic.Pointer[map[directory.ID]*entry]
	out    router.Batch // of the store's committer
	pushes atomic.Uint64

	telling sync.Mutex // over who is told of changes, comes before the router's locks
}

// entry is somebody who blocks somebody.
type entry struct {
	list    atomic.Pointer[list] // nil: on disk only
	changes int                  // under Blocking.mu
}

// New makes the Blocking of a server.
func New(h *feature.Host) *Blocking {
	b := &Blocking{host: h}
	b.owners.Store(&map[directory.ID]*entry{})
	h.Directory.OnDelete(b.forget)
	return b
}

// start reads who blocks anybody.
func (b *Blocking) start(h *feature.Host) error {
	owners := map[directory.ID]*entry{}
	for next := directory.ID(1); next != 0; {
		err := h.State.View(context.Background(), func(tx store.Tx) error {
			next = readOwners(tx, next, 1000, func(id directory.ID) { owners[id] = new(entry) })
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading who blocks whom: %w", err)
		}
	}
	b.owners.Store(&owners)
	return nil
}

// Feature is the Blocking as the server's table takes it. reblock puts a change
// into force and lets presence follow it, see roster.Roster.Reblock.
func (b *Blocking) Feature(reblock func(out *router.Batch, owner *directory.User, change func())) feature.Feature {
	b.reblock = reblock
	const where = feature.Server | feature.Self
	return feature.Feature{
		Name:      "blocking",
		Portables: b.portables(),
		Implements: []feature.XEP{
			feature.Implements(191, "1.3", feature.Complete, ""),
			feature.Implements(377, "0.4.1", feature.Complete, "reports go to the log of the server"),
		},
		Advertise: []feature.Advert{{Var: xmpp.NSBlocking, Where: where}, {Var: nsReporting, Where: where}},
		IQ: []feature.IQ{
			feature.Get(xmpp.NSBlocking, "blocklist", feature.Self, b.get),
			feature.Set(xmpp.NSBlocking, "block", feature.Self, b.block),
			feature.Set(xmpp.NSBlocking, "unblock", feature.Self, b.unblock),
		},
		Accept:  b.accept,
		Bound:   b.bound,
		Ended:   b.ended,
		Restart: feature.Restart{Restore: func(s *router.Session, _ []byte) error { b.bound(s); return nil }},
		Start:   b.start,
	}
}

// Blocks reports whether a user has blocked an address, bare or full. It takes
// no lock; the store is asked only if the user is offline and blocks somebody.
func (b *Blocking) Blocks(owner directory.ID, j xmpp.JID) bool {
	e := (*b.owners.Load())[owner]
	if e == nil {
		return false
	}
	if l := e.list.Load(); l != nil {
		return l.covers(j)
	}
	found := false
	err := b.host.State.View(context.Background(), func(tx store.Tx) error {
		found = find(tx, owner, j)
		return nil
	})
	if err != nil {
		b.host.Log.Error("what somebody blocks could not be read", "error", err, "user", uint64(owner))
	}
	return found
}

// bound reads what somebody blocks who comes online.
func (b *Blocking) bound(s *router.Session) {
	e := (*b.owners.Load())[s.User()]
	if e == nil || e.list.Load() != nil {
		return
	}
	for {
		b.mu.Lock()
		changes := e.changes
		b.mu.Unlock()
		var l *list
		err := b.host.State.View(context.Background(), func(tx store.Tx) (err error) {
			l, err = readList(tx, s.User())
			return err
		})
		if err != nil {
			b.host.Log.Error("what somebody blocks could not be read", "error", err, "user", s.JID().Bare().String())
			return
		}
		b.mu.Lock()
		same := e.changes == changes
		if same && e.list.Load() == nil {
			e.list.Store(l)
		}
		b.mu.Unlock()
		if same {
			return
		}
	}
}

// ended forgets the list of somebody who has gone.
func (b *Blocking) ended(s *router.Session, _ router.Unacknowledged) {
	if b.host.Router.Account(s.JID()) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := (*b.owners.Load())[s.User()]; e != nil {
		e.list.Store(nil)
	}
}

// forget goes with the deletion of a user.
func (b *Blocking) forget(tx store.Tx, id directory.ID) error {
	tx.OnCommit(func() { b.put(id, newList()) })
	return erase(tx, id)
}

// put makes l what a user blocks. Commits come in order.
func (b *Blocking) put(owner directory.ID, l *list) {
	b.mu.Lock()
	defer b.mu.Unlock()
	owners := *b.owners.Load()
	e := owners[owner]
	if e != nil {
		e.changes++
	}
	switch {
	case len(l.items) == 0 && e != nil:
		e.list.Store(l) // for who has found the entry already
		owners = maps.Clone(owners)
		delete(owners, owner)
		b.owners.Store(&owners)
	case len(l.items) > 0 && e == nil:
		e = new(entry)
		e.list.Store(l)
		owners = maps.Clone(owners)
		owners[owner] = e
		b.owners.Store(&owners)
	case e != nil:
		e.list.Store(l)
	}
}

var errBlocked = xmpp.NewError(xmpp.NotAcceptable, "you have blocked this address").
	WithType(xmpp.ErrorCancel).WithApp("<blocked xmlns='" + xmpp.NSBlockErr + "'/>")

// accept keeps stanzas from crossing a block (§3.3).
func (b *Blocking) accept(d *feature.Dispatch) error {
	if len(*b.owners.Load()) == 0 {
		return nil
	}
	st := d.Stanza
	request := st.Kind == xmpp.KindIQ && (st.Type == xmpp.TypeGet || st.Type == xmpp.TypeSet)
	answer := st.Type == xmpp.TypeError || st.Kind == xmpp.KindIQ && !request
	if d.Session != nil && b.kept(d.Session.User(), d.From, d.To) {
		if answer {
			return feature.ErrDropped
		}
		return errBlocked
	}
	if d.User == nil || !b.kept(d.User.ID, d.To, d.From) {
		return nil
	}
	switch {
	case st.Kind == xmpp.KindPresence && subscribes(st.Type):
		return nil // what it does to the sender's own list is the roster's
	case st.Kind == xmpp.KindPresence, answer:
		b.Stats.Refused.Add(1)
		return feature.ErrDropped
	}
	b.Stats.Refused.Add(1)
	return xmpp.NewError(xmpp.ServiceUnavailable, "")
}

func subscribes(t xmpp.Type) bool {
	switch t {
	case xmpp.TypeSubscribe, xmpp.TypeSubscribed, xmpp.TypeUnsubscribe, xmpp.TypeUnsubscribed:
		return true
	}
	return false
}

// kept reports whether a user, whose address is own, has blocked another one
// that can be blocked.
func (b *Blocking) kept(owner directory.ID, own, other xmpp.JID) bool {
	if other.Domain() == own.Domain() && (other.Local() == own.Local() || other.IsDomain()) {
		return false
	}
	return b.Blocks(owner, other)
}
