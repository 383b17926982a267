package muc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"golang.org/x/text/secure/precis"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// room is a room in memory.
type room struct {
	m   *Rooms
	jid xmpp.JID
	id  directory.ID // of its archive

	maker directory.ID // who made it by entering it; 0: nobody did
	lent  bool         // given is never nil: it is a room of a source

	// changing holds a value while somebody changes what is on disk of the room. It is taken before mu.
	changing chan struct{}

	mu         sync.Mutex
	given      *Given // nil: people made it
	config     Config
	created    time.Time
	affiliates map[xmpp.JID]affiliate // by bare address; of rooms that people made
	reserved   map[string]xmpp.JID    // whose nicks are whose, by nickKey
	subject    subject
	written    string // the text of the subject that is on disk
	vcard      vcard
	asked      map[xmpp.JID]time.Time // who wishes to be registered, and since when
	voices     map[who]Role           // of who left with another one than he would come with, see remember
	locked     bool                   // nobody but its owner may enter until it is configured (§10.1)
	gone       bool                   // this value is no longer in memory: look the room up again
	resting    bool                   // a timer looks whether it is still needed

	occupants map[string]*occupant // by nickKey
	order     []*occupant          // the same, as they came
	seats     []*seat              // all clients that are in the room
	clients   map[xmpp.JID]*seat   // the same, by full address
	visits    uint64               // how often somebody came
}

// occupant is somebody in a room, under a nick, with one client or several (§7.2.8).
type occupant struct {
	standing
	nick  string
	jid   xmpp.JID // room@service/nick
	user  xmpp.JID // the real bare address
	id    string   // XEP-0421
	mark  []byte   // the id as an element
	seats []*seat  // the first one's presence is what others see, see rank

	wished time.Time // for a voice
}

// seat is a client in a room.
type seat struct {
	jid  xmpp.JID // the real full address
	line receiver
	user directory.ID // 0: not one of ours
	of   *occupant
	to   []byte // " to='…'"
	card card

	questions []question // that it is to answer

	// A newcomer is not live until he has had history and subject. What comes meanwhile waits, and what is in the history
	// up to the id after is not for him.
	live    bool
	after   uint64
	waiting []byte
	ends    []int
}

// who is whose client it is.
func (s *seat) who() who {
	if s.user != 0 {
		return who{user: s.user}
	}
	return who{address: s.jid.Bare()}
}

func (m *Rooms) newRoom(address xmpp.JID, id directory.ID, c Config) *room {
	return &room{
		m: m, jid: address, id: id, config: c, changing: make(chan struct{}, 1),
		affiliates: map[xmpp.JID]affiliate{}, reserved: map[string]xmpp.JID{}, occupants: map[string]*occupant{}, clients: map[xmpp.JID]*seat{},
	}
}

// nickKey is a nick for comparison: what people would take for the same is the same (RFC 8266).
func nickKey(nick string) (string, error) {
	k, err := precis.Nickname.CompareKey(nick)
	if err != nil || k == "" {
		return "", xmpp.NewError(xmpp.JIDMalformed, "this cannot be a nick")
	}
	return k, nil
}

// byNick returns the occupant of a nick, or nil.
func (r *room) byNick(nick string) *occupant {
	k, err := nickKey(nick)
	if err != nil {
		return nil
	}
	return r.occupants[k]
}

// at returns the occupant of an address below the room, or nil.
func (r *room) at(address xmpp.JID) *occupant {
	if o := r.byNick(address.Resource()); o != nil && o.jid == address {
		return o
	}
	return nil
}

// affiliation returns what somebody is in the room, by the bare address or, for those who are banned, by the domain (§9.2).
func (r *room) affiliation(person xmpp.JID) Affiliation {
	if r.given != nil {
		if p, ok := r.m.source.Member(r.id, person); ok {
			return p.Affiliation
		}
		return None
	}
	if a, ok := r.affiliates[person]; ok {
		return a.Affiliation
	}
	if a, ok := r.affiliates[person.DomainJID()]; ok && a.Affiliation == Outcast {
		return Outcast
	}
	return None
}

// setAffiliate makes somebody something in a room that people made, in memory.
func (r *room) setAffiliate(person xmpp.JID, a affiliate) {
	if before := r.affiliates[person].nick; before != "" {
		if k, err := nickKey(before); err == nil && r.reserved[k] == person {
			delete(r.reserved, k)
		}
	}
	delete(r.voices, r.m.whoIs(person))
	if a == (affiliate{}) {
		delete(r.affiliates, person)
		return
	}
	r.affiliates[person] = a
	if k, err := nickKey(a.nick); err == nil {
		r.reserved[k] = person
	}
}

// isReserved reports whether a nick is kept for somebody other than person (§7.10).
func (r *room) isReserved(key string, person xmpp.JID) bool {
	j, ok := r.reserved[key]
	return ok && j != person
}

// standingOf returns what the sender of a request is. Somebody who is not in the room has no role.
func (r *room) standingOf(full xmpp.JID) standing {
	if s := r.clients[full]; s != nil {
		return s.of.standing
	}
	return standing{affiliation: r.affiliation(full.Bare())}
}

// closedTo reports whether a room is none yet for somebody: until it is configured it is there for its owner only (§7.2.10).
func (r *room) closedTo(person xmpp.JID) bool {
	return r.locked && r.affiliation(person.Bare()) != Owner
}

// mayEnter reports whether somebody could enter by what is known of him: who may not read the room's history either.
func (r *room) mayEnter(person xmpp.JID) error {
	a := r.affiliation(person)
	switch {
	case r.closedTo(person):
		return xmpp.NewError(xmpp.ItemNotFound, "this room is not open yet")
	case a == Outcast: // §7.2.7
		return xmpp.NewError(xmpp.Forbidden, "you are banned from this room")
	case r.config.MembersOnly && a < Member: // §7.2.6
		return xmpp.NewError(xmpp.RegistrationRequired, "this room is for its members")
	}
	return nil
}

// occupantID is a pseudonym that is the same whenever somebody is in the room (XEP-0421 §3.4).
func (r *room) occupantID(person xmpp.JID) string {
	h := hmac.New(sha256.New, r.m.secret)
	b := binary.BigEndian.AppendUint64(nil, uint64(r.id))
	if w := r.m.whoIs(person); w.user != 0 {
		b = binary.BigEndian.AppendUint64(append(b, 'u'), uint64(w.user))
	} else {
		b = append(append(b, 'j'), w.address.String()...)
	}
	h.Write(b)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// sees reports whether an occupant may know the real addresses of others (§7.2.3, §7.2.4).
func (r *room) sees(o *occupant) bool { return r.config.NonAnonymous || o.role == Moderator }

// maxWaiting bounds the bytes that come for a newcomer who is slow to take what he gets first. Then he has no history.
const maxWaiting = 1 << 20

// send sends a seat a stanza in its turn.
func (s *seat) send(out *router.Batch, stanza []byte) {
	if !s.live && len(s.waiting)+len(stanza) > maxWaiting {
		s.line.SendRun(out, s.waiting, s.ends)
		s.live, s.waiting, s.ends = true, nil, nil
	}
	if s.live {
		s.line.Send(out, stanza)
		return
	}
	s.waiting = append(s.waiting, stanza...)
	s.ends = append(s.ends, len(s.waiting))
}

// admit gives a new occupant a place under his nick.
func (r *room) admit(o *occupant) error {
	k, err := nickKey(o.nick)
	if err != nil {
		return err
	}
	r.occupants[k] = o
	r.order = append(r.order, o)
	return nil
}

// seatAt gives a client a seat with an occupant.
func (r *room) seatAt(o *occupant, s *seat) {
	s.of = o
	o.seats = append(o.seats, s)
	r.seats = append(r.seats, s)
	r.clients[s.jid] = s
	r.visits++
}

// vacate takes a seat away; a newcomer gets what has come for him instead of the welcome. last reports that its occupant
// has none any more, and is no occupant.
func (r *room) vacate(out *router.Batch, s *seat) (last bool) {
	if !s.live {
		s.line.SendRun(out, s.waiting, s.ends)
	}
	r.seats = slices.DeleteFunc(r.seats, func(x *seat) bool { return x == s })
	delete(r.clients, s.jid)
	r.m.unanswered(out, s.questions)
	s.questions = nil
	o := s.of
	o.seats = slices.DeleteFunc(o.seats, func(x *seat) bool { return x == s })
	r.m.leaves(s, r)
	if len(o.seats) > 0 {
		return false
	}
	r.remember(s)
	r.dismiss(o)
	return true
}

// maxVoices bounds whose role a room remembers.
const maxVoices = 1000

// remember has somebody come back with the voice that he leaves with, or without the one that was taken from him, as long as
// the room is in memory (§5.1). Whoever was made a moderator for this visit has been one.
func (r *room) remember(s *seat) {
	usual, role := roleFor(s.of.affiliation, r.config.Moderated), min(s.of.role, Participant)
	if _, known := r.voices[s.who()]; role == usual || usual == Moderator || !known && len(r.voices) >= maxVoices {
		delete(r.voices, s.who())
		return
	}
	if r.voices == nil {
		r.voices = map[who]Role{}
	}
	r.voices[s.who()] = role
}

// roleOf is the role that a client enters with.
func (r *room) roleOf(s *seat, a Affiliation) Role {
	role := roleFor(a, r.config.Moderated)
	if voice := r.voices[s.who()]; voice != NoRole && role != Moderator {
		return voice
	}
	return role
}

// dismiss takes an occupant away who has no seat any more.
func (r *room) dismiss(o *occupant) {
	r.order = slices.DeleteFunc(r.order, func(x *occupant) bool { return x == o })
	if k, err := nickKey(o.nick); err == nil && r.occupants[k] == o {
		delete(r.occupants, k)
	}
}

// emptied does what is to be done when somebody has left.
func (r *room) emptied(out *router.Batch) {
	switch {
	case len(r.seats) > 0 || r.gone:
	case !r.config.Persistent || r.locked: // §7.14, §10.1.3
		r.destroy(out, destruction{})
	default:
		r.m.rest(r)
	}
}

// act says what a change does: write puts it on disk, nil if there is nothing to write, and apply puts it in force once
// it is there.
type act struct {
	write func(tx store.Tx) error
	apply func(out *router.Batch)
	after func() // without a lock
}

// change makes one change of what is kept of a room. plan looks at the room as it is, locked, and says what to do. Nobody
// else changes the room in between, but occupants come and go.
func (m *Rooms) change(address xmpp.JID, plan func(r *room) (act, error)) error {
	for {
		r, err := m.hold(address)
		if err != nil {
			return err
		}
		if r == nil {
			return errNoRoom
		}
		r.mu.Unlock()
		if done, err := m.changeIn(r, plan); done || err != nil {
			return err
		}
	}
}

// changeFor is change as somebody asks for it.
func (m *Rooms) changeFor(d *feature.Dispatch, plan func(r *room, q request) (act, error)) error {
	return m.change(d.To.Bare(), func(r *room) (act, error) {
		if r.closedTo(d.From) {
			return act{}, errNoRoom
		}
		return plan(r, r.request(d))
	})
}

var errNoRoom = xmpp.NewError(xmpp.ItemNotFound, "there is no such room")

// changeIn is change in a room that is in memory; not done: it is not any more.
func (m *Rooms) changeIn(r *room, plan func(r *room) (act, error)) (done bool, err error) {
	r.changing <- struct{}{}
	defer func() { <-r.changing }()
	a, done, err := r.plan(plan)
	if !done || err != nil {
		return done, err
	}
	if a.write != nil {
		if err := m.host.State.Update(context.Background(), a.write); err != nil {
			return true, err
		}
	}
	r.apply(a)
	if a.after != nil {
		a.after()
	}
	return true, nil
}

func (r *room) plan(fn func(r *room) (act, error)) (a act, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return act{}, false, nil
	}
	a, err = fn(r)
	return a, true, err
}

func (r *room) apply(a act) {
	out := newBatch()
	defer flush(out)
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.apply != nil {
		a.apply(out)
	}
}
