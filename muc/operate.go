package muc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// What the operator's commands need. They work with a server and without one; then Open comes first.

// Info is a room as a list of rooms has it.
type Info struct {
	JID       xmpp.JID
	ID        directory.ID // of its archive
	Config    Config
	Given     bool      // by a Source, which says when it was made
	Created   time.Time // zero: given
	Loaded    bool      // in memory
	Occupants int
	Clients   int
}

// Detail is all that can be said of a room.
type Detail struct {
	Info
	Subject    string
	SubjectBy  string // the nick
	SubjectAt  time.Time
	Affiliated []Affiliated
	Present    []Present
}

// Affiliated is somebody with an affiliation.
type Affiliated struct {
	JID         xmpp.JID // bare, or a domain that is banned
	Affiliation Affiliation
	Nick        string // that is kept for him
	Reason      string
}

// Present is an occupant.
type Present struct {
	JID         xmpp.JID // bare
	Nick        string
	Affiliation Affiliation
	Role        Role
	Clients     []xmpp.JID // full addresses
}

// List returns the rooms of a domain, in the order of their addresses.
func (m *Rooms) List(domain string) []Info {
	service := Service(domain)
	all := map[xmpp.JID]Info{}
	if m.source != nil {
		for g := range m.source.Rooms(service) {
			all[g.JID] = Info{JID: g.JID, ID: g.ID, Config: givenConfig(g), Given: true}
		}
	}
	m.mu.RLock()
	loaded := make([]*room, 0, len(m.loaded))
	for j, r := range m.loaded {
		if j.Domain() == service {
			loaded = append(loaded, r)
		}
	}
	for j, rec := range m.kept {
		if _, given := all[j]; j.Domain() == service && !given {
			all[j] = Info{JID: j, ID: rec.id, Config: rec.config, Created: rec.created}
		}
	}
	m.mu.RUnlock()
	for _, r := range loaded {
		r.mu.Lock()
		if !r.gone {
			all[r.jid] = r.info()
		}
		r.mu.Unlock()
	}
	list := make([]Info, 0, len(all))
	for _, i := range all {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.JID.String(), b.JID.String()) })
	return list
}

func (r *room) info() Info {
	return Info{
		JID: r.jid, ID: r.id, Config: r.config, Given: r.given != nil, Created: r.created,
		Loaded: true, Occupants: len(r.order), Clients: len(r.seats),
	}
}

// Show returns all about a room; not ok: there is none.
func (m *Rooms) Show(address xmpp.JID) (d Detail, ok bool, err error) {
	r, err := m.hold(address.Bare())
	if r == nil || err != nil {
		return d, false, err
	}
	defer r.mu.Unlock()
	d = Detail{Info: r.info(), Subject: r.subject.text, SubjectBy: r.subject.nick, SubjectAt: r.subject.at}
	for a := Owner; a >= Outcast; a-- {
		if a == None {
			continue
		}
		for _, h := range r.holders(a) {
			d.Affiliated = append(d.Affiliated, Affiliated{h.person, a, h.to.nick, h.to.reason})
		}
	}
	for _, o := range r.order {
		p := Present{JID: o.user, Nick: o.nick, Affiliation: o.affiliation, Role: o.role}
		for _, s := range o.seats {
			p.Clients = append(p.Clients, s.jid)
		}
		d.Present = append(d.Present, p)
	}
	return d, true, nil
}

// Errors of the operator's commands; the errors that are returned say more.
var (
	ErrExists   = errors.New("there is such a room already")
	ErrNotFound = errors.New("there is no such room")
	ErrGiven    = errors.New("this room is not changed here")
	ErrRefused  = errors.New("this cannot be")
)

// Taken reports whether there is a room at an address that people made. Sources ask before they give one.
func (m *Rooms) Taken(address xmpp.JID) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := m.loaded[address]
	return m.kept[address] != nil || r != nil && !r.lent
}

// Create makes a persistent room with an owner.
func (m *Rooms) Create(ctx context.Context, address, owner xmpp.JID, c Config) error {
	address, owner = address.Bare(), owner.Bare()
	switch {
	case address.Local() == "" || m.host.Directory.Domain(domainOf(address)) == nil || address.Domain() != Service(domainOf(address)):
		return fmt.Errorf("%w: %s is no address of a room, which would be name@%s.<domain>", ErrRefused, address, label)
	case m.host.Directory.User(owner) == nil || owner.Domain() != domainOf(address):
		return fmt.Errorf("%w: there is no user %s on that domain", ErrRefused, owner)
	case m.Taken(address) || m.given(address) != nil:
		return fmt.Errorf("%w: %s", ErrExists, address)
	}
	c.Persistent = true
	r, err := m.found(ctx, address, DefaultConfig())
	if err != nil {
		return err
	}
	r.locked = true
	r.setAffiliate(owner, affiliate{Affiliation: Owner})
	if !m.place(r, nil) {
		return fmt.Errorf("%w: %s", ErrExists, address)
	}
	_, err = m.changeIn(r, func(r *room) (act, error) {
		return r.reconfigure(c, nil, nil, func(*router.Batch) {}), nil
	})
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		m.forget(r)
	}
	return err
}

// Destroy closes a room that people made, and sends everybody away.
func (m *Rooms) Destroy(address, alternate xmpp.JID, reason string) error {
	return operated(m.change(address.Bare(), func(r *room) (act, error) {
		if r.given != nil {
			return act{}, ErrGiven
		}
		return r.end(destruction{alternate: alternate, reason: reason}, func(*router.Batch) {}), nil
	}))
}

// SetAffiliation makes somebody something in a room that people made.
func (m *Rooms) SetAffiliation(address, person xmpp.JID, to Affiliation, reason string) error {
	person = person.Bare()
	return operated(m.change(address.Bare(), func(r *room) (act, error) {
		switch {
		case r.given != nil:
			return act{}, ErrGiven
		case to != None && !m.exists(r.jid, person):
			return act{}, fmt.Errorf("%w: there is nobody of the address %s", ErrRefused, person)
		}
		c := affiliationChange{person: person, to: affiliate{Affiliation: to}, reason: reason}
		if to >= Member {
			c.to.nick = r.affiliates[person].nick
		} else if to == Outcast {
			c.to.reason = reason
		}
		changes := []affiliationChange{c}
		if err := r.ownersRemain(changes); err != nil {
			return act{}, fmt.Errorf("%w: a room has an owner at all times", ErrRefused)
		}
		return r.affiliate(changes, "")
	}))
}

// operated is an error in the operator's words.
func operated(err error) error {
	var e *xmpp.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Condition == xmpp.ItemNotFound {
		return ErrNotFound
	}
	return fmt.Errorf("%w: %s", ErrRefused, e.Text)
}
