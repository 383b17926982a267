// Package router knows who is online: the sessions of every account, bound or
// hibernating, and the rules by which a stanza finds them (RFC 6121 §8).
//
// Locks are taken in this order and never the other way round:
//
//	room (package muc) → Domain.mu → Account.mu → Session.mu → a connection's out buffer
//
// Nothing here does I/O. A session's connection only has bytes appended to it.
package router

import (
	"sync"
	"sync/atomic"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// Options are a Router's settings.
type Options struct {
	Clock xmpp.Clock // nil: the system's

	// Node names this server in resumption tokens, so that a token tells
	// where its session lives once there are several nodes.
	Node string

	MaxResources int // sessions of one account at a time; 0: 32

	Queue QueueLimits // what a session keeps of unacknowledged stanzas
}

// Stats counts what the router does; every field may be read at any time.
type Stats struct {
	Sessions    atomic.Int64 // bound sessions, hibernating ones included
	Hibernating atomic.Int64
	Resumed     atomic.Int64
	Expired     atomic.Int64 // hibernating sessions that nobody came back for
	Overflowed  atomic.Int64 // sessions whose unacknowledged stanzas outgrew their bounds
	Sent        atomic.Int64 // stanzas sent to sessions
	Held        atomic.Int64 // bytes that wait for sessions whose clients are not looked at
	Queued      atomic.Int64 // bytes of what is unacknowledged
}

// Router is the table of all sessions. All its methods may be called from any goroutine.
type Router struct {
	opts  Options
	Stats Stats

	mu      sync.RWMutex
	domains map[string]*Domain

	resumable sync.Map // token → *Session

	total      atomic.Int64 // Options.Queue.Total, or what SetTotal made of it
	lightening atomic.Bool  // somebody brings what all sessions keep under its limit
}

// Domain is the presence table of one domain: its accounts with at least one session.
type Domain struct {
	Name string

	mu       sync.RWMutex
	accounts map[string]*Account // by localpart
	order    []*Account          // the same, for walks without hashing
}

// Account is a user with at least one session.
type Account struct {
	User   directory.ID
	JID    xmpp.JID // bare
	Domain *Domain

	at int // in Domain.order, under Domain.mu

	mu       sync.Mutex
	gone     bool // the last session has ended: this value is no longer in the table
	sessions []*Session
	slots    []any
}

// New returns an empty table.
func New(o Options) *Router {
	if o.Clock == nil {
		o.Clock = xmpp.SystemClock
	}
	if o.Node == "" {
		o.Node = "1"
	}
	if o.MaxResources == 0 {
		o.MaxResources = 32
	}
	o.Queue = o.Queue.orDefault()
	r := &Router{opts: o, domains: map[string]*Domain{}}
	r.total.Store(o.Queue.Total)
	return r
}

// Clock is the clock that the router was made with.
func (r *Router) Clock() xmpp.Clock { return r.opts.Clock }

// SetTotal changes QueueLimits.Total, in bytes. What is above it goes with the next stanza that is kept.
func (r *Router) SetTotal(n int64) { r.total.Store(n) }

// Domain returns the presence table of a domain, which is made at the first call.
func (r *Router) Domain(name string) *Domain {
	r.mu.RLock()
	d := r.domains[name]
	r.mu.RUnlock()
	if d != nil {
		return d
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if d = r.domains[name]; d == nil {
		d = &Domain{Name: name, accounts: map[string]*Account{}}
		r.domains[name] = d
	}
	return d
}

// Account returns the account of an address, bare or full, or nil if it has no session.
func (r *Router) Account(j xmpp.JID) *Account {
	r.mu.RLock()
	d := r.domains[j.Domain()]
	r.mu.RUnlock()
	if d == nil {
		return nil
	}
	return d.Account(j.Local())
}

// Session returns the session bound to a full address, or nil.
func (r *Router) Session(full xmpp.JID) *Session {
	a := r.Account(full)
	if a == nil {
		return nil
	}
	return a.Session(full.Resource())
}

// Account returns the account of a localpart, or nil if it has no session.
func (d *Domain) Account(local string) *Account {
	d.mu.RLock()
	a := d.accounts[local]
	d.mu.RUnlock()
	return a
}

// Online calls fn for every account with a session. The table is locked for
// reading meanwhile: fn must not bind or end sessions.
func (d *Domain) Online(fn func(*Account)) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, a := range d.order {
		fn(a)
	}
}

// Accounts returns the accounts with a session at this moment.
func (d *Domain) Accounts() []*Account {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return append([]*Account(nil), d.order...)
}

// Sessions calls fn for every session at this moment, without a lock held.
func (r *Router) Sessions(fn func(*Session)) {
	r.mu.RLock()
	domains := make([]*Domain, 0, len(r.domains))
	for _, d := range r.domains {
		domains = append(domains, d)
	}
	r.mu.RUnlock()
	for _, d := range domains {
		for _, a := range d.Accounts() {
			for _, s := range a.Sessions(nil) {
				fn(s)
			}
		}
	}
}

// Session returns the account's session of that resource, or nil.
func (a *Account) Session(resource string) *Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.find(resource)
}

func (a *Account) find(resource string) *Session {
	for _, s := range a.sessions {
		if s.jid.Resource() == resource {
			return s
		}
	}
	return nil
}

// Sessions appends the account's sessions to dst.
func (a *Account) Sessions(dst []*Session) []*Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append(dst, a.sessions...)
}

// Available appends the sessions that have sent available presence to dst.
func (a *Account) Available(dst []*Session) []*Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		if s.presence.Available {
			dst = append(dst, s)
		}
	}
	return dst
}

// Each calls fn for every session with the account locked: fn may read
// Presence and send, and must not call the account's methods.
func (a *Account) Each(fn func(*Session)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		fn(s)
	}
}

// Slot is a piece of per-account data that belongs to a feature: loaded once
// when first asked for, kept while the account has a session. Declare slots as
// package variables.
type Slot[T any] struct{ index int }

var slots atomic.Int32

// NewSlot makes a place for a T in every Account.
func NewSlot[T any]() Slot[T] { return Slot[T]{int(slots.Add(1)) - 1} }

// Get returns the account's value, calling load for it the first time. load
// runs without the account's lock; if two calls race, one value wins.
func (s Slot[T]) Get(a *Account, load func() (T, error)) (T, error) {
	if v, ok := s.Peek(a); ok {
		return v, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.grow(s.index)
	if have, ok := a.slots[s.index].(T); ok {
		return have, nil
	}
	a.slots[s.index] = v
	return v, nil
}

// Peek returns the account's value if it has been loaded.
func (s Slot[T]) Peek(a *Account) (T, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.index >= len(a.slots) {
		var none T
		return none, false
	}
	v, ok := a.slots[s.index].(T)
	return v, ok
}

// Put replaces the account's value.
func (s Slot[T]) Put(a *Account, v T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.grow(s.index)
	a.slots[s.index] = v
}

func (a *Account) grow(i int) {
	if i >= len(a.slots) {
		a.slots = append(a.slots, make([]any, int(slots.Load())-len(a.slots))...)
	}
}
