package muc

import (
	"context"
	"iter"
	"slices"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/picture"
	"confab/xmpp/router"
)

// Source is rooms that come from elsewhere: who is in them and what they are called is decided there, and nothing of it
// can be changed by clients. They are persistent, members-only, semi-anonymous and unmoderated, without a password, and
// everybody has the nick that the source gives them.
//
// Its methods are called with a room locked, so they answer from memory, take no lock that is held while a method of
// Rooms is called, and give values that do not change. What changes is told by [Rooms.Changed], [Rooms.Moved] and
// [Rooms.Gone] after it is in force in the source.
type Source interface {
	// Room returns the room of a bare address, nil if there is none.
	Room(address xmpp.JID) *Given
	// Rooms yields the rooms of a service (conference.example.com) in the order of their addresses.
	Rooms(service string) iter.Seq[*Given]
	// Member returns what somebody, by the bare address, is in a room; not ok: nothing.
	Member(room directory.ID, person xmpp.JID) (m Person, ok bool)
	// Members yields all of them.
	Members(room directory.ID) iter.Seq[Person]
	// Shown reports whether somebody finds the room in the list of rooms.
	Shown(room directory.ID, person xmpp.JID) bool
	// Picture returns the avatar of a room, without data if there is none any more. It is called without a lock, and may
	// read the store.
	Picture(room directory.ID) (picture.Picture, error)
}

// Given is a room of a Source at one moment.
type Given struct {
	// ID is the owner of the room's archive and of all that is kept of it. It stays when the address changes, and no other
	// room ever has it: what was said is not inherited with a name.
	ID          directory.ID
	JID         xmpp.JID
	Name        string
	Description string
	AnySubject  bool   // members may change the subject, not moderators only
	Avatar      string // the hash of its picture, empty: it has none
}

// Person is a member of a Given room.
type Person struct {
	JID         xmpp.JID // bare
	Nick        string   // no two in a room have the same
	Affiliation Affiliation
	Since       time.Time // not zero: the history before is not for this member
}

// SetSource names where given rooms come from. Call it before the server runs.
func (m *Rooms) SetSource(s Source) { m.source = s }

func (m *Rooms) given(address xmpp.JID) *Given {
	if m.source == nil {
		return nil
	}
	return m.source.Room(address)
}

// Changed brings a given room up to date with its source: its name and rights, and who may be in it. Whoever may not any
// more leaves it (XEP-0045 §9.4).
func (m *Rooms) Changed(address xmpp.JID) {
	g := m.given(address)
	r := m.peek(address)
	if r == nil {
		return
	}
	out := newBatch()
	defer flush(out)
	defer r.mu.Unlock()
	if r.given == nil || g == nil || g.ID != r.id {
		return
	}
	renamed := *g != *r.given
	r.given, r.config = g, givenConfig(g)
	r.reconsider(out)
	if renamed {
		r.notify(out, 104)
	}
}

// reconsider gives the occupants of a given room the affiliations and the nicks that the source has for them now. A nick
// is taken when whoever had it has given it up.
func (r *room) reconsider(out *router.Batch) {
	type renamed struct {
		*occupant
		nick string
	}
	var all []renamed
	for _, o := range slices.Clone(r.order) {
		p, ok := r.m.source.Member(r.id, o.user)
		switch {
		case !ok || p.Affiliation < Member:
			r.remove(out, o, removal{affiliation: None, codes: []int{321}})
			continue
		case p.Affiliation != o.affiliation:
			r.assign(out, o, standing{p.Affiliation, roleFor(p.Affiliation, false)}, note{})
		}
		if p.Nick != o.nick {
			all = append(all, renamed{o, p.Nick})
			r.dropNick(out, o, p.Nick)
		}
	}
	for _, x := range all {
		r.takeNick(out, x.occupant, x.nick, 210) // §7.6: the service has changed it
	}
}

// Moved ends a given room at its old address. Who is in it is told the new one (XEP-0045 §10.9), where the history goes on.
func (m *Rooms) Moved(old, now xmpp.JID) {
	m.dissolve(old, destruction{alternate: now, reason: "this room has a new address"})
}

// Gone ends a given room for good.
func (m *Rooms) Gone(address xmpp.JID) {
	m.dissolve(address, destruction{reason: "this room was closed"})
}

func (m *Rooms) dissolve(address xmpp.JID, d destruction) {
	r := m.peek(address)
	if r == nil {
		return
	}
	out := newBatch()
	defer flush(out)
	defer r.mu.Unlock()
	if r.given != nil {
		r.destroy(out, d)
	}
}

// Erase forgets what is kept of a given room that is gone, but not its history, which is the archive's.
func (m *Rooms) Erase(ctx context.Context, id directory.ID) error { return m.store.erase(ctx, id) }
