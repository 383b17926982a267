// Package muc holds rooms: conversations that people enter and leave (XEP-0045). Each domain has its service,
// conference.<domain>.
//
// There are rooms that people make, with owners and a configuration, and rooms that a [Source] gives. Both are the same
// inside. What is said in a room is in the archive of the room before anybody hears it, once for all, under an id that no
// other room ever has.
//
// # Locks
//
// A room's mu comes before those of package router, and Rooms.mu is a leaf: nothing is locked while it is held. Nothing
// is locked across the store. What changes a record on disk takes room.changing first, which the committer's goroutine
// never does: see room.change.
//
// Nobody waits for anybody in a room: fan-out appends bytes to the out buffers of the occupants' sessions. A newcomer
// gets the presence of the others and his own under the lock, reads history without it, and what happens meanwhile waits
// with his seat: see room.enter and Rooms.welcome.
package muc

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"confab/archive"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// label is the first label of the service's domain.
const label = "conference"

// The namespaces and features that only rooms have.
const (
	nsStableID  = "http://jabber.org/protocol/muc#stable_id"              // XEP-0045 §7.4
	nsSelfPing  = "http://jabber.org/protocol/muc#self-ping-optimization" // XEP-0410
	nsRequest   = "http://jabber.org/protocol/muc#request"                // XEP-0045 §8.6
	nsRegister  = "http://jabber.org/protocol/muc#register"               // XEP-0045 §7.10
	nsRoomInfo  = "http://jabber.org/protocol/muc#roominfo"               // XEP-0045 §6.4
	nsTraffic   = "http://jabber.org/protocol/muc#traffic"                // XEP-0045 §18.1.1
	nsTombstone = "urn:xmpp:message-retract:1#tombstone"                  // XEP-0424 §6
	nodeNick    = "x-roomuser-item"                                       // XEP-0045 §7.12
)

// Options are the settings of Rooms. The zero value will do.
type Options struct {
	// MayCreate says who may make rooms; nil: the administrators of the domain.
	MayCreate func(*directory.User) bool
	// Blocks reports whether a user has blocked an address; for users who are online it takes no lock. nil: nobody blocks.
	Blocks func(user directory.ID, j xmpp.JID) bool

	MaxOccupants    int           // clients in a room, whatever its owners say; 0: 5,000
	MaxAffiliations int           // people with an affiliation in a room; 0: 10,000
	MaxRooms        int           // rooms that people made on a service; 0: 20,000
	MaxRoomsEach    int           // that a user made who is no administrator; 0: 200
	MaxItems        int           // in one request about affiliations or roles; 0: 1,000
	Rate            feature.Rate  // of each sender, in copies; zero: a million at once and 100,000 a second
	Idle            time.Duration // how long an empty room stays in memory; 0: 10 min
}

func (o Options) orDefault() Options {
	if o.MayCreate == nil {
		o.MayCreate = func(u *directory.User) bool { return u.Admin }
	}
	if o.Blocks == nil {
		o.Blocks = func(directory.ID, xmpp.JID) bool { return false }
	}
	for _, d := range []struct {
		value *int
		def   int
	}{{&o.MaxOccupants, 5000}, {&o.MaxAffiliations, 10_000}, {&o.MaxRooms, 20_000}, {&o.MaxRoomsEach, 200}, {&o.MaxItems, 1000}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if o.Rate.Burst <= 0 {
		o.Rate.Burst = 1_000_000
	}
	if o.Rate.PerSecond <= 0 {
		o.Rate.PerSecond = 100_000
	}
	if o.Idle == 0 {
		o.Idle = 10 * time.Minute
	}
	return o
}

// Stats counts what goes on; every field may be read at any time.
type Stats struct {
	Loaded    atomic.Int64 // rooms in memory
	Occupants atomic.Int64 // clients in rooms
	Messages  atomic.Int64 // said in rooms
	Private   atomic.Int64 // messages from occupant to occupant
	Sent      atomic.Int64 // stanzas sent to occupants
}

// Rooms is the rooms of all domains. Its methods may be called from any goroutine.
type Rooms struct {
	host    *feature.Host
	archive *archive.Archive
	opts    Options
	source  Source
	store   shelf
	secret  []byte       // of the occupant ids
	held    atomic.Int64 // bytes of the vCards of temporary rooms
	budgets feature.Budgets
	Stats   Stats
	stray   []question // while sessions are restored: whom they were put to is in no room any more

	mu     sync.RWMutex
	loaded map[xmpp.JID]*room
	kept   map[xmpp.JID]*stored // persistent rooms that people made
	joined map[xmpp.JID][]*room // by the full address of whoever is in them
}

// New makes the rooms of a server.
func New(host *feature.Host, a *archive.Archive, o Options) *Rooms {
	return &Rooms{
		host: host, archive: a, opts: o.orDefault(), store: shelf{host.State},
		loaded: map[xmpp.JID]*room{}, kept: map[xmpp.JID]*stored{}, joined: map[xmpp.JID][]*room{},
	}
}

// Feature is the rooms as the server's table takes them.
func (m *Rooms) Feature() feature.Feature {
	const service = feature.Service
	return feature.Feature{
		Name: "muc",
		Implements: []feature.XEP{
			feature.Implements(45, "1.35.5", feature.Complete, ""),
			feature.Implements(410, "1.1.0", feature.Complete, "answered by the service"),
			feature.Implements(421, "1.0.1", feature.Complete, ""),
			feature.Implements(425, "0.3.0", feature.Complete, "the auditor still finds what was said"),
			feature.Implements(486, "0.1.0", feature.Complete, ""),
		},
		Identities: []feature.Identity{{Category: "conference", Type: "text", Name: "Rooms", Where: service}},
		Advertise: []feature.Advert{
			{Var: xmpp.NSMUC, Where: service}, {Var: nsStableID, Where: service}, {Var: xmpp.NSOccupant, Where: service},
			{Var: xmpp.NSPing, Where: service}, {Var: xmpp.NSRSM, Where: service}, {Var: xmpp.NSVCard, Where: service},
		},
		Info:  m.info,
		Items: m.items,
		Nodes: m.nodes,
		Targets: []feature.Target{{
			Where: service, Label: label, Name: "Rooms",
			Message: m.message, Deliver: m.deliver, Presence: m.presence, IQ: m.iq,
		}},
		Ended: m.ended, PeerGone: m.peerGone,
		Restart: feature.Restart{Save: m.save, Restore: m.restore, Restored: m.restored},
		Stop:    m.layDown,
		Start: func(*feature.Host) error {
			m.host.Directory.OnChange(m.directoryChanged)
			return m.Open(context.Background())
		},
	}
}

// Open reads which rooms there are. A server does it when it starts; whoever works on the data without one calls it.
func (m *Rooms) Open(ctx context.Context) (err error) {
	if m.secret, err = m.store.secret(ctx); err != nil {
		return err
	}
	if err := m.store.dropTraces(ctx); err != nil {
		return err
	}
	return m.store.rooms(ctx, func(j xmpp.JID, r *stored) { m.kept[j] = r })
}

// Service returns the address of a domain's rooms.
func Service(domain string) string { return label + "." + domain }

// domainOf returns the mail domain that a room belongs to.
func domainOf(room xmpp.JID) string {
	_, domain, _ := strings.Cut(room.Domain(), ".")
	return domain
}

// hold returns a room, locked; nil if there is none. What is not in memory is read from the store, without a lock.
func (m *Rooms) hold(address xmpp.JID) (*room, error) {
	for {
		if r := m.peek(address); r != nil {
			return r, nil
		}
		r, rec, err := m.load(address)
		if r == nil || err != nil {
			return nil, err
		}
		if !m.place(r, rec) {
			continue
		}
		m.settle(r)
	}
}

// find is hold for somebody who may be told that there is no such room.
func (m *Rooms) find(address, asker xmpp.JID) (*room, error) {
	r, err := m.hold(address.Bare())
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, errNoRoom
	case r.closedTo(asker):
		r.mu.Unlock()
		return nil, errNoRoom
	}
	return r, nil
}

// settle looks after a room that was just read.
func (m *Rooms) settle(r *room) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.rest(r)
	if r.given == nil {
		return
	}
	// What the source changed while the room was being read, it told nobody.
	g := m.given(r.jid)
	if g == nil || g.ID != r.id {
		m.forget(r)
		return
	}
	r.given, r.config = g, givenConfig(g)
}

// peek returns a room that is in memory, locked, or nil.
func (m *Rooms) peek(address xmpp.JID) *room {
	for {
		m.mu.RLock()
		r := m.loaded[address]
		m.mu.RUnlock()
		if r == nil {
			return nil
		}
		r.mu.Lock()
		if !r.gone {
			return r
		}
		r.mu.Unlock()
	}
}

// place puts a room into memory, and reports whether it did: there may be one at its address already, or the record that
// it was made of is not the room's any more.
func (m *Rooms) place(r *room, rec *stored) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded[r.jid] != nil || m.kept[r.jid] != rec {
		return false
	}
	m.loaded[r.jid] = r
	m.Stats.Loaded.Add(1)
	return true
}

// load makes a room of what its source or the store has; nil if neither has any.
func (m *Rooms) load(address xmpp.JID) (r *room, rec *stored, err error) {
	ctx := context.Background()
	m.mu.RLock()
	rec = m.kept[address]
	m.mu.RUnlock()
	if g := m.given(address); g != nil {
		r = m.newRoom(address, g.ID, givenConfig(g))
		r.given, r.lent = g, true
	} else {
		if rec == nil {
			return nil, nil, nil
		}
		r = m.newRoom(address, rec.id, rec.config)
		r.created, r.maker = rec.created, rec.maker
		err = m.store.affiliates(ctx, rec.id, func(w who, a affiliate) {
			if j, ok := m.addressOf(w); ok {
				r.setAffiliate(j, a)
			}
		})
		if err != nil {
			return nil, nil, err
		}
	}
	if r.subject, err = m.store.subject(ctx, r.id); err != nil {
		return nil, nil, err
	}
	r.written = r.subject.text
	if rec != nil && !r.lent {
		card, err := m.store.vcard(ctx, r)
		if err != nil {
			return nil, nil, err
		}
		r.setVCard(card)
	}
	return r, rec, nil
}

// whoIs names somebody by what lasts: a user of ours by the id.
func (m *Rooms) whoIs(person xmpp.JID) who {
	if u := m.host.Directory.User(person); u != nil {
		return who{user: u.ID}
	}
	return who{address: person}
}

// addressOf is the address that somebody has now; not ok: it was a user who is no more.
func (m *Rooms) addressOf(w who) (xmpp.JID, bool) {
	if w.user == 0 {
		return w.address, true
	}
	if u := m.host.Directory.ByID(w.user); u != nil {
		return u.JID, true
	}
	return xmpp.JID{}, false
}

// forget takes a room out of memory. Call it with the room locked and nobody in it.
func (m *Rooms) forget(r *room) {
	r.gone = true
	r.setVCard(vcard{})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded[r.jid] == r {
		delete(m.loaded, r.jid)
		m.Stats.Loaded.Add(-1)
	}
}

// rest takes a room out of memory once it was empty for a while. Call it with the room locked.
func (m *Rooms) rest(r *room) {
	if r.resting {
		return
	}
	r.resting = true
	visits := r.visits
	m.host.Clock.AfterFunc(m.opts.Idle, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.resting = false
		if r.gone || len(r.seats) > 0 {
			return
		}
		select {
		case r.changing <- struct{}{}:
			defer func() { <-r.changing }()
		default:
			m.rest(r)
			return
		}
		if r.visits != visits {
			m.rest(r)
			return
		}
		m.forget(r)
	})
}

// enters notes that a client is in a room, and reports whether its session, if it is ours, is still there.
func (m *Rooms) enters(s *seat, r *room) bool {
	m.mu.Lock()
	m.joined[s.jid] = append(m.joined[s.jid], r)
	m.mu.Unlock()
	m.Stats.Occupants.Add(1)
	return s.line.Alive()
}

func (m *Rooms) leaves(s *seat, r *room) {
	m.Stats.Occupants.Add(-1)
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.joined[s.jid]
	for i := range all {
		if all[i] == r {
			all[i] = all[len(all)-1]
			all[len(all)-1] = nil
			all = all[:len(all)-1]
			break
		}
	}
	if len(all) == 0 {
		delete(m.joined, s.jid)
	} else {
		m.joined[s.jid] = all
	}
}

// ended takes a session that is gone out of its rooms.
func (m *Rooms) ended(s *router.Session, _ router.Unacknowledged) {
	m.mu.RLock()
	rooms := append([]*room(nil), m.joined[s.JID()]...)
	m.mu.RUnlock()
	if len(rooms) == 0 {
		return
	}
	out := newBatch()
	defer flush(out)
	for _, r := range rooms {
		r.lost(out, s)
	}
}

// directoryChanged takes what users had in rooms away when they are deleted, and lets it follow them to a new name.
func (m *Rooms) directoryChanged(c directory.Change) {
	if c.Old == nil || c.New != nil && c.New.JID == c.Old.JID {
		return
	}
	m.mu.RLock()
	rooms := make([]*room, 0, len(m.loaded))
	for _, r := range m.loaded {
		rooms = append(rooms, r)
	}
	m.mu.RUnlock()
	for _, r := range rooms {
		r.mu.Lock()
		delete(r.asked, c.Old.JID)
		if a, ok := r.affiliates[c.Old.JID]; ok {
			r.setAffiliate(c.Old.JID, affiliate{})
			if c.New != nil {
				r.setAffiliate(c.New.JID, a)
			}
		}
		r.mu.Unlock()
	}
}

// spend takes what a room sends to all who are in it, a number of times, out of the budget of the one who has it sent.
func (r *room) spend(sender xmpp.JID, times int) error {
	if times == 0 || r.m.budgets.Take(sender.Bare(), times*len(r.seats), r.m.opts.Rate, r.m.host.Now()) {
		return nil
	}
	return feature.ErrTooMuch
}

var batches = sync.Pool{New: func() any { return new(router.Batch) }}

func newBatch() *router.Batch { return batches.Get().(*router.Batch) }

// flush lets everything leave that was sent with a batch of newBatch.
func flush(out *router.Batch) {
	out.Flush()
	batches.Put(out)
}

// inject sends a stanza on its way as if somebody had sent it. Call it without a lock: it may wait for the store.
func (m *Rooms) inject(from xmpp.JID, stanza []byte) error {
	st, err := xmpp.Parse(stanza)
	if err != nil {
		return err
	}
	return m.host.Table.Inject(from, st)
}
