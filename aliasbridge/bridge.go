// Package aliasbridge makes the aliases of a mail domain people to talk to: a message to sales@example.com reaches all
// who are behind the alias, and each of them can answer.
//
// An alias is either a contact, in rosters like a person (package roster asks Bridge.Contacts), or a group room (package
// muc asks Bridge.Rooms). Who is behind it is the directory's to say; this package carries the conversation.
//
// # A message to a contact
//
// It is stored once, with a row for the sender and for each who is reached, in one commit. Each row has the edit by which
// its owner sees the message: it comes from alias/writer, names the writer in front of the text if several can write, and
// has the writer's address in XEP-0033. So what is live, in a carbon and in the history cannot differ. The sender's row is
// the message as it was written.
//
// # A room
//
// It appears by itself: each member has a bookmark of it, which the Bridge writes, takes along when the room moves, and
// retracts when the membership ends. Whoever is there with a client that does not hear of bookmarks is invited instead.
//
// # Locks
//
// Bridge.mu is taken after the locks of package roster and before those of package router, Bridge.telling before it. Neither
// is held while a method of roster or muc is called. marks.work is held while the store is written to; nothing else is locked then. What Contacts and Rooms answer is read without any lock.
package aliasbridge

import (
	"context"
	"sync"
	"sync/atomic"

	"confab/archive"
	"confab/muc"
	"confab/roster"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// Options are the settings of a Bridge. The zero value will do.
type Options struct {
	Group string       // of the roster, where aliases stand; "": Groups
	Rate  feature.Rate // of each sender, in copies; zero: 20,000 at once and 500 a second

	// Blocks reports whether a user has blocked an address: blocking an alias is opting out of it. nil: nobody blocks.
	Blocks func(user directory.ID, j xmpp.JID) bool
}

// Stats counts what goes on; every field may be read at any time.
type Stats struct {
	Messages  atomic.Int64 // to aliases
	Copies    atomic.Int64 // of them to members and guests
	Refused   atomic.Int64
	Presences atomic.Int64
}

// Bridge is the aliases of all domains as addresses. Its methods may be called from any goroutine.
type Bridge struct {
	host    *feature.Host
	dir     *directory.Directory
	archive *archive.Archive
	opts    Options
	roster  *roster.Roster
	rooms   *muc.Rooms
	Stats   Stats

	bookmarks Bookmarks
	marks     marks

	books map[string]*book // by domain
	guests
	sent
	budgets feature.Budgets

	telling sync.Mutex // held while viewers are told of who came and went

	mu     sync.Mutex
	online map[directory.ID]status
	dirty  map[directory.ID]bool
	timer  bool
	shown  map[directory.ID]*shown
	lists  map[directory.ID]*directory.Reach // of rooms, as they were when their occupants were last told
	listed map[string]uint64                 // the directory's generation then, by domain
}

// New makes the Bridge of a server. Connect makes it follow the directory.
func New(h *feature.Host, a *archive.Archive, o Options) *Bridge {
	if o.Group == "" {
		o.Group = "Groups"
	}
	o.Rate = orDefault(o.Rate)
	if o.Blocks == nil {
		o.Blocks = func(directory.ID, xmpp.JID) bool { return false }
	}
	b := &Bridge{
		host: h, dir: h.Directory, archive: a, opts: o, books: map[string]*book{},
		online: map[directory.ID]status{}, dirty: map[directory.ID]bool{},
		shown: map[directory.ID]*shown{}, lists: map[directory.ID]*directory.Reach{}, listed: map[string]uint64{},
	}
	for _, m := range b.dir.Domains() {
		b.books[m.Name()] = newBook(b, m)
	}
	return b
}

// Connect says where contacts are shown, where rooms are held, and where their members have bookmarks of them; nil:
// nowhere. Call it before the server runs.
func (b *Bridge) Connect(r *roster.Roster, rooms *muc.Rooms, marks Bookmarks) {
	b.roster, b.rooms, b.bookmarks = r, rooms, marks
	for _, m := range b.dir.Domains() {
		all, _ := m.Aliases()
		for _, a := range all {
			if a.Kind == directory.RoomAlias {
				b.lists[a.ID] = b.dir.Reach(a.ID)
			} else {
				b.shown[a.ID] = newShown(b, a)
			}
		}
	}
	r.OnPresence(b.presenceChanged)
	b.dir.OnChange(b.userChanged)
	b.dir.OnAliasChange(b.aliasesChanged)
}

const nsNoReply = "urn:xmpp:noreply:0" // XEP-0506

// Feature is the Bridge as the server's table takes it.
func (b *Bridge) Feature() feature.Feature {
	silent := func(q feature.IQ) feature.IQ { q.Silent = true; return q }
	return feature.Feature{
		Name: "aliases",
		Implements: []feature.XEP{
			feature.Implements(33, "1.2.2", feature.Partial, "who wrote to an alias: ofrom"),
			feature.Implements(249, "1.2", feature.Partial, "the members of a room are invited to it"),
			feature.Implements(506, "0.1.0", feature.Complete, "of the server, and of aliases that are not everybody's to write to"),
		},
		Advertise: []feature.Advert{{Var: xmpp.NSVCard, Where: feature.Alias}},
		Info:      b.info,
		IQ: []feature.IQ{
			feature.Get(xmpp.NSVCard, "vCard", feature.Alias, b.vcard),
			silent(feature.Get(xmpp.NSPubSub, "pubsub", feature.Alias, b.nodes)),
		},
		Targets: []feature.Target{{
			Where: feature.Alias, Message: b.message, Deliver: b.deliver, Presence: b.presence,
			IQ: func(d *feature.Dispatch) error {
				if t := d.Stanza.Type; t == xmpp.TypeGet || t == xmpp.TypeSet {
					return xmpp.NewError(xmpp.ServiceUnavailable, "")
				}
				return nil
			},
		}},
		Restart: feature.Restart{Save: b.save, Restore: b.restore},
		Start:   func(*feature.Host) error { return b.loadGuests(context.Background()) },
	}
}

// MaySee reports whether somebody finds an alias: those who have it in the roster, and its members.
func (b *Bridge) MaySee(a *directory.Alias, viewer xmpp.JID) bool {
	u := b.dir.User(viewer)
	if u == nil || u.Domain != a.Domain {
		return false
	}
	if a.Settings.Get("visible") == directory.VisibleDomain {
		return true
	}
	r := b.dir.Reach(a.ID)
	if r == nil {
		return false
	}
	_, member := r.Member(u.ID)
	return member
}

func (b *Bridge) info(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Where != feature.Alias {
		return dst, nil
	}
	r := b.dir.Reach(q.Alias.ID)
	if r == nil || b.mayPost(r, b.writer(q.Dispatch, r)) {
		return dst, nil
	}
	return append(dst, "<feature var='"+nsNoReply+"'/>"...), nil
}

// presence answers what is asked of an alias by presence. A request for a subscription of somebody who has the alias in
// the roster was answered there; of anybody else it is passed over, as if there were nobody.
func (b *Bridge) presence(d *feature.Dispatch) error {
	u := d.UserOf()
	if d.Stanza.Type != xmpp.TypeProbe || u == nil {
		return nil
	}
	if c, ok := b.Contacts().Contact(u, d.Alias.JID); ok {
		var out router.Batch
		b.Contacts().Presence(u, c.JID, func(stanza []byte) { d.Session.Send(&out, withTo(nil, stanza, u.JID)) })
		out.Flush()
	}
	return nil
}
