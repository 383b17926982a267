package roster

import (
	"context"
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// contacts is the own list of an account that is online, and what its sessions
// have told to whom: read once from the store, then kept up by every commit.
type contacts struct {
	mu     sync.Mutex
	loaded bool
	missed int // commits that came before it was loaded
	meta   meta
	items  map[xmpp.JID]*Item // marks of removals too
	to     []xmpp.JID         // whose presence the owner gets by subscription; replaced, not changed
	from   []xmpp.JID         // who gets the owner's

	// directed is to whom each session sent its presence directly (RFC 6121 §4.6).
	directed map[*router.Session][]xmpp.JID
}

var slot = router.NewSlot[*contacts]()

// contacts returns the list of an account. It is read from the store the first
// time only.
func (r *Roster) contacts(a *router.Account) (*contacts, error) {
	// The place is taken before the list is read, so that a commit in between
	// finds it and says so.
	c, err := slot.Get(a, func() (*contacts, error) { return new(contacts), nil })
	if err != nil {
		return nil, err
	}
	for {
		c.mu.Lock()
		loaded, missed := c.loaded, c.missed
		c.mu.Unlock()
		if loaded {
			return c, nil
		}
		var m meta
		var items map[xmpp.JID]*Item
		err := r.db.View(context.Background(), func(tx store.Tx) (err error) {
			m, items, err = readBook(tx, a.User)
			return err
		})
		if err != nil {
			return nil, err
		}
		r.Stats.Loads.Add(1)
		c.mu.Lock()
		if !c.loaded && c.missed == missed {
			c.loaded, c.meta, c.items = true, m, items
			c.index()
		}
		c.mu.Unlock()
	}
}

// known returns the list of a user if it is in memory.
func (r *Roster) known(user *directory.User) *contacts {
	a := r.host.Router.Account(user.JID)
	if a == nil {
		return nil
	}
	c, _ := slot.Peek(a)
	return c
}

// item returns the item of a contact, nil if there is none or only the mark of
// one. Call with c.mu held.
func (c *contacts) item(contact xmpp.JID) *Item {
	if it := c.items[contact]; it != nil && !it.Removed {
		return it
	}
	return nil
}

func (c *contacts) index() {
	c.to, c.from = nil, nil
	for j, it := range c.items {
		if it.State.HasTo() {
			c.to = append(c.to, j)
		}
		if it.State.HasFrom() {
			c.from = append(c.from, j)
		}
	}
}

// take puts into force what is on disk now. Commits come in order.
func (c *contacts) take(e edit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded {
		c.missed++
		return
	}
	var before, after State
	if it := c.items[e.jid]; it != nil {
		before = it.State
	}
	if e.item == nil {
		delete(c.items, e.jid)
	} else {
		c.items[e.jid] = e.item
		after = e.item.State
	}
	c.meta = e.meta
	if before.bits() != after.bits() {
		c.index()
	}
}

// subscribers returns who gets the owner's presence by subscription.
func (c *contacts) subscribers() []xmpp.JID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.from
}

// subscriptions returns whose presence the owner gets by subscription.
func (c *contacts) subscriptions() []xmpp.JID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.to
}

// requests returns those whose subscription requests wait for an answer.
func (c *contacts) requests() (waiting []*Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range c.items {
		if it.State.PendingIn() && it.Request != nil {
			waiting = append(waiting, it)
		}
	}
	return waiting
}

// direct notes that a session sent its presence directly to somebody; it is
// not ok if it did so to too many already.
func (c *contacts) direct(s *router.Session, to xmpp.JID, limit int) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.directed[s]
	if slices.Contains(told, to) {
		return true
	}
	length := len(to.String())
	for _, j := range told {
		length += len(j.String())
	}
	if len(told) >= limit || length > 100*limit {
		return false
	}
	if c.directed == nil {
		c.directed = make(map[*router.Session][]xmpp.JID)
	}
	c.directed[s] = append(told, to)
	return true
}

// undirect forgets that a session sent its presence directly to somebody.
func (c *contacts) undirect(s *router.Session, to xmpp.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.directed[s]
	if i := slices.Index(told, to); i >= 0 {
		c.directed[s] = slices.Delete(told, i, i+1)
	}
}

// isDirected reports whether a session sent its presence directly to an
// address, or to the bare one of it.
func (c *contacts) isDirected(s *router.Session, to xmpp.JID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.directed[s], to) || slices.Contains(c.directed[s], to.Bare())
}

// takeDirected forgets and returns to whom a session sent its presence directly.
func (c *contacts) takeDirected(s *router.Session) []xmpp.JID {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.directed[s]
	delete(c.directed, s)
	return told
}

// directedBy returns to whom a session sent its presence directly.
func (c *contacts) directedBy(s *router.Session) []xmpp.JID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.directed[s])
}

func (r *Roster) directedBy(s *router.Session) []xmpp.JID {
	if c, ok := slot.Peek(s.Account()); ok {
		return c.directedBy(s)
	}
	return nil
}
