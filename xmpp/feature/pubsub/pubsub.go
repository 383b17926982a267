// Package pubsub is publish-subscribe (XEP-0060): nodes to which items are
// published, and those who are told. Nodes are at two kinds of addresses. Every
// account has its own, which is what package pep builds on; and every domain has
// a service, pubsub.example.com, where its users make nodes that they share.
// Both are one engine: a home is an address that has nodes.
//
// Who is told of what happens in a node are its subscribers, and, at accounts,
// those who see the user's presence and whose clients say in theirs that they
// want to hear of nodes of this name (XEP-0115); the last item is told again to
// whoever comes online.
//
// # Order
//
// A change is on disk before anybody hears of it. Commits queue what they did
// at the home; it is carried out under the home's deliver lock, so nobody gets
// an older item after a newer one. The locks, which come before those of roster
// and router:
//
//	home.deliver → home.mu → registry.mu, audience.mu, acquaintance.mu, roll.mu
//	home.deliver → book.mu
//	home.deliver → what package pep locks
//	home.deliver → contacts.mu of package roster, router's locks
//
// The store is never written to under any of them.
package pubsub

import (
	"strings"
	"sync/atomic"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Options are what the nodes need of others.
type Options struct {
	// MaySee reports whether a contact is sent the presence of a user.
	MaySee func(owner directory.ID, contact xmpp.JID) bool
	// Seen returns the users whose presence a user gets, or more of them; everyone
	// says that it may be all of the domain, who are not listed then. It spares
	// looking at all others whenever somebody comes online; nil: it is everyone.
	Seen func(viewer *directory.User) (seen []directory.ID, everyone bool)
	// Groups returns the groups in which a user has a contact, for nodes of the
	// access model roster; nil: nobody is in any.
	Groups func(owner directory.ID, contact xmpp.JID) []string
	// Blocks reports whether a user wants to hear nothing of an address; nil:
	// nobody does.
	Blocks func(user directory.ID, from xmpp.JID) bool
	// Limits says what a user may have at the service; nil: nobody may have nodes there.
	Limits func(u *directory.User) Limits
	// Rate bounds what one sender has many be told of, in KiB of notifications, each
	// of which counts as one at least; zero: 200,000 at once and 5,000 a second.
	Rate feature.Rate
}

// Limits is what a user may have at the service of the domain.
type Limits struct {
	Nodes int   // that he has created; 0: he may not create any
	Bytes int64 // of what is in them
}

// Hooks is what package pep makes of the nodes of accounts. Each may be nil.
type Hooks struct {
	// Faces answer for what looks like a node, by name.
	Faces map[string]Face
	// Initial says how a node of an account begins, as far as who makes it says
	// nothing else.
	Initial func(node string) Config
	// Alone reports that a node is its user's alone, whatever is asked for.
	Alone func(node string) bool
	// Check refuses an item with an *xmpp.Error.
	Check func(node string, it *Item) error
	// Touched is called in the transaction that changed the items of a node; it
	// is the item that was published, if one was.
	Touched func(t *Transaction, node string, it *Item) error
	// Told is called when everybody was told of what happened at an account.
	Told func(out *router.Batch, owner *directory.User, events []Event)
	// Wanted is called when a client wants to hear of nodes that it did not want
	// to hear of before.
	Wanted func(out *router.Batch, c *Client, nodes []string)
}

// PubSub is all nodes. Its methods may be called from any goroutine.
type PubSub struct {
	host *feature.Host
	opts Options
	book book
	registry

	hooks     Hooks
	sweeper   sweeper
	budgets   feature.Budgets
	observers []func(Event)
}

var serial atomic.Uint64 // of notifications

// New makes the nodes of a server.
func New(h *feature.Host, o Options) *PubSub {
	if o.Rate == (feature.Rate{}) {
		o.Rate = feature.Rate{Burst: 200_000, PerSecond: 5000} // fifty things that a thousand people with two devices hear of
	}
	p := &PubSub{host: h, opts: o}
	p.homes, p.services, p.audiences = map[directory.ID]*home{}, map[string]*home{}, map[string]*audience{}
	p.people.nodes = map[string]map[place]int{}
	p.book = book{p: p, known: map[capsKey]*capabilities{}, asking: map[capsKey]*question{}, answers: map[string]*question{}, busy: map[*Client]*question{}}
	h.Directory.OnDelete(func(tx store.Tx, id directory.ID) error { return p.userDeleted(tx, id) })
	h.Directory.OnChange(p.directoryChanged)
	return p
}

// SetHooks is called by package pep, before the server runs.
func (p *PubSub) SetHooks(h Hooks) { p.hooks = h }

// OnEvent has fn called for everything that happens in the nodes of accounts,
// once it is on disk, in the order of each account. It is called under a lock of
// the account: fn does not change the account itself before it returns. Call it
// before the server runs.
func (p *PubSub) OnEvent(fn func(Event)) { p.observers = append(p.observers, fn) }

// accept watches over what passes by: presence, which tells who is there and
// what their clients want, clients' answers to what they were asked, and users'
// answers to who wants to subscribe to their nodes.
func (p *PubSub) accept(d *feature.Dispatch) error {
	st := d.Stanza
	switch {
	case d.Session == nil:
	case st.Kind == xmpp.KindIQ && d.Where == feature.Server:
		if (st.Type == xmpp.TypeResult || st.Type == xmpp.TypeError) && strings.HasPrefix(string(st.ID), "caps-") {
			p.book.answered(d)
		}
	case st.Kind == xmpp.KindMessage:
		if d.Where == feature.Self {
			return p.ownAnswer(d)
		}
	case st.Kind != xmpp.KindPresence:
	case st.Type == xmpp.TypeSubscribed:
		p.befriended(d, d.UserOf(), d.To.Bare())
	case st.Type == xmpp.TypeSubscribe: // he may have been let in beforehand (RFC 6121 §3.4)
		p.befriended(d, d.User, d.From.Bare())
	case st.Type == xmpp.TypeUnavailable && st.To.IsZero():
		d.Then(func() { p.left(d.Session) })
	case st.Type == xmpp.TypeNone && st.To.IsZero():
		k, says := capsOf(d.Session, st)
		d.Then(func() { p.came(d.Session, k, says) })
	}
	return nil
}

// came takes note of an available presence of a session. What it says of its
// capabilities holds until it says something else.
func (p *PubSub) came(s *router.Session, k capsKey, says bool) {
	if !s.Presence().Available {
		return // it was refused
	}
	x := p.audience(s.JID().Domain())
	cl, fresh, news := x.enter(s, k, says)
	if news {
		if c := p.book.find(k, cl); c != nil {
			p.learned(cl, k, c)
		}
	}
	if fresh {
		p.arrived(cl)
	}
}

// arrived sends a client that has come online what waits for it at the nodes that
// its user has to do with: the last items of the service's (XEP-0060 §17.4.4,
// on_sub_and_presence), and the requests of those who want to subscribe.
func (p *PubSub) arrived(cl *Client) {
	bare := cl.jid.Bare()
	j := &job{client: cl, since: p.turn.Load()}
	var shared []place
	for _, at := range p.people.of(bare) {
		if at.home.isService() {
			shared = append(shared, at)
			j.add(at.node, []*home{at.home})
		}
	}
	var out router.Batch
	p.remind(&out, cl, shared)
	if own := p.known(cl.user); own != nil {
		p.remind(&out, cl, own.places())
	}
	out.Flush()
	p.audience(cl.jid.Domain()).pace.add(j)
}

// learned takes note of what a client wants to be told of, and tells it.
func (p *PubSub) learned(cl *Client, k capsKey, c *capabilities) {
	p.lasts(cl, p.audience(cl.jid.Domain()).learn(cl, k, c))
}

// left takes note that a session is not available any more.
func (p *PubSub) left(s *router.Session) {
	p.audience(s.JID().Domain()).leave(s)
	p.book.gone(s)
}

// befriended tells somebody who from now on sees a user's presence what the user
// has published (XEP-0060 §6.1.7).
func (p *PubSub) befriended(d *feature.Dispatch, owner *directory.User, contact xmpp.JID) {
	if owner == nil || d.Where != feature.Account || p.opts.MaySee(owner.ID, contact) {
		return
	}
	d.Then(func() {
		a := p.known(owner.ID)
		if a == nil || !p.opts.MaySee(owner.ID, contact) {
			return
		}
		var out router.Batch
		x := p.audience(owner.Domain)
		for _, cl := range x.of(nil, p.host.Router, contact) {
			j := &job{client: cl, since: p.turn.Load()}
			for _, name := range a.names() {
				if x.hears(cl, name) {
					p.sendLast(&out, j, place{a, name})
				}
			}
		}
		out.Flush()
	})
}
