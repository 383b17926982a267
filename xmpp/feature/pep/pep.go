// Package pep is personal eventing (XEP-0163): every account is a small
// publish-subscribe service (XEP-0060). What a user publishes there, those are
// told of who may see the user's presence and whose clients say that they want
// to hear of it (XEP-0115); the last item of each node is told again to whoever
// comes online.
//
// Some nodes have a second face, and all of them are one store: avatars are
// photos in vCards and hashes in presence (XEP-0398), bookmarks are one list
// for old clients (XEP-0402 §5).
//
// # Order
//
// A change is on disk before anybody hears of it. Commits queue what they did
// at the account; it is carried out under the account's deliver lock, so
// nobody gets an older item after a newer one. The locks, which come before
// those of roster and router:
//
//	account.deliver → account.mu
//	account.deliver → registry.mu, audience.mu, book.mu
//	account.deliver → contacts.mu of package roster, router's locks
//
// The store is never written to under any of them.
package pep

import (
	"strings"
	"sync/atomic"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Options are what the feature needs of others.
type Options struct {
	// MaySee reports whether a contact is sent the presence of a user.
	MaySee func(owner directory.ID, contact xmpp.JID) bool
	// Groups returns the groups in which a user has a contact, for nodes of the
	// access model roster; nil: nobody is in any.
	Groups func(owner directory.ID, contact xmpp.JID) []string
	// Rebroadcast has the presence of a session told again to all who see it,
	// changed by fn; nil: nobody is told of a new avatar by presence before the
	// client sends one.
	Rebroadcast func(s *router.Session, fn func(stanza []byte) []byte)
}

// PEP is the nodes of all accounts. Its methods may be called from any goroutine.
type PEP struct {
	host *feature.Host
	opts Options
	book book
	registry

	observers []func(Event)
}

var serial atomic.Uint64 // of notifications

// New makes the PEP of a server.
func New(h *feature.Host, o Options) *PEP {
	p := &PEP{host: h, opts: o}
	p.accounts, p.audiences = map[directory.ID]*account{}, map[string]*audience{}
	p.book = book{p: p, known: map[capsKey]*capabilities{}, asking: map[capsKey]*question{}, answers: map[string]*question{}, busy: map[*client]*question{}}
	h.Directory.OnDelete(func(tx store.Tx, id directory.ID) error { return erase(tx, id) })
	h.Directory.OnChange(p.directoryChanged)
	return p
}

// capabilities of the service (XEP-0060 §10).
var features = []string{
	"access-open", "access-presence", "access-roster", "access-whitelist",
	"auto-create", "auto-subscribe", "config-node", "config-node-max", "create-and-configure", "create-nodes",
	"delete-items", "delete-nodes", "filtered-notifications", "item-ids", "last-published", "member-affiliation",
	"meta-data", "modify-affiliations", "multi-items", "outcast-affiliation", "persistent-items",
	"presence-notifications", "presence-subscribe", "publish", "publish-options", "pubsub-on-a-jid", "purge-nodes",
	"retract-items", "retrieve-affiliations", "retrieve-default", "retrieve-items", "retrieve-subscriptions", "rsm",
	"subscribe",
}

const (
	everywhere = feature.Server | feature.Self | feature.Account
	accounts   = feature.Self | feature.Account
)

// Feature is the PEP as the server's table takes it.
func (p *PEP) Feature() feature.Feature {
	adverts := []feature.Advert{
		{Var: xmpp.NSPubSub, Where: everywhere},
		{Var: xmpp.NSPubSubOwn, Where: accounts},
		{Var: xmpp.NSBookmark2 + "#compat", Where: feature.Self},
		{Var: xmpp.NSBookmark2 + "#compat-pep", Where: feature.Self},
		{Var: nsConversion, Where: feature.Self},
		{Var: xmpp.NSVCard, Where: everywhere},
	}
	for _, f := range features {
		adverts = append(adverts, feature.Advert{Var: xmpp.NSPubSub + "#" + f, Where: everywhere})
	}
	hidden := accounts | feature.Nobody
	return feature.Feature{
		Name:       "pep",
		Portables:  p.portables(),
		Implements: implements,
		Advertise:  adverts,
		Identities: []feature.Identity{{Category: "pubsub", Type: "pep", Where: everywhere}},
		Items:      p.discoItems,
		Nodes:      p.discoNode,
		IQ: []feature.IQ{
			feature.Get(xmpp.NSPubSub, "pubsub", hidden, p.get),
			feature.Set(xmpp.NSPubSub, "pubsub", hidden, p.set),
			feature.Get(xmpp.NSPubSubOwn, "pubsub", hidden, p.ownerGet),
			feature.Set(xmpp.NSPubSubOwn, "pubsub", hidden, p.ownerSet),
			feature.Get(xmpp.NSVCard, "vCard", hidden, p.getVCard),
			feature.Set(xmpp.NSVCard, "vCard", hidden, p.setVCard),
		},
		Accept:  p.accept,
		Resumed: func(s *router.Session) { p.audience(s.JID().Domain()).pace.resume(s) },
		Ended:   func(s *router.Session, _ router.Unacknowledged) { p.left(s) },
		Start:   func(*feature.Host) error { return p.load() },
	}
}

var implements = []feature.XEP{
	feature.Implements(48, "1.2", feature.Complete, "converted from and to XEP-0402; addresses of web pages are not kept"),
	feature.Implements(54, "1.3.0", feature.Complete, ""),
	feature.Implements(60, "1.30.0", feature.Partial, "on accounts, as XEP-0163 and its users need it"),
	feature.Implements(84, "1.1.4", feature.Complete, ""),
	feature.Implements(153, "1.1.1", feature.Complete, ""),
	feature.Implements(163, "1.2.2", feature.Complete, ""),
	feature.Implements(172, "1.1", feature.Complete, "published by PEP"),
	feature.Implements(222, "1.0", feature.Complete, ""),
	feature.Implements(223, "1.1.1", feature.Complete, ""),
	feature.Implements(292, "0.12.0", feature.Complete, "what both forms of a vCard can say is converted"),
	feature.Implements(384, "0.9.1", feature.Complete, "the server's part: device lists that everybody may read"),
	feature.Implements(398, "1.0.0", feature.Complete, ""),
	feature.Implements(402, "1.2.0", feature.Complete, "with #compat and #compat-pep"),
	feature.Implements(490, "1.0.1", feature.Partial, "without server assist"),
}

// accept watches over what passes by: presence, which tells who is there and
// what their clients want, and clients' answers to what they were asked.
func (p *PEP) accept(d *feature.Dispatch) error {
	st := d.Stanza
	switch {
	case d.Session == nil:
	case st.Kind == xmpp.KindIQ && d.Where == feature.Server:
		if (st.Type == xmpp.TypeResult || st.Type == xmpp.TypeError) && strings.HasPrefix(string(st.ID), "caps-") {
			p.book.answered(d)
		}
	case st.Kind != xmpp.KindPresence:
	case st.Type == xmpp.TypeSubscribed:
		p.befriended(d)
	case st.Type == xmpp.TypeUnavailable && st.To.IsZero():
		d.Then(func() { p.left(d.Session) })
	case st.Type == xmpp.TypeNone:
		if st.To.IsZero() {
			k, says := capsOf(d.Session, st)
			d.Then(func() { p.came(d.Session, k, says) })
		}
		p.dress(d)
	}
	return nil
}

// came takes note of an available presence of a session. What it says of its
// capabilities holds until it says something else.
func (p *PEP) came(s *router.Session, k capsKey, says bool) {
	if !s.Presence().Available {
		return // it was refused
	}
	x := p.audience(s.JID().Domain())
	if !says {
		x.mu.RLock()
		cl := x.clients[s]
		x.mu.RUnlock()
		if cl == nil {
			x.enter(s, k)
		}
		return
	}
	cl, old := x.enter(s, k)
	if old {
		return
	}
	if c := p.book.find(k, cl); c != nil {
		p.learned(cl, k, c)
	}
}

// learned takes note of what a client wants to be told of, and tells it.
func (p *PEP) learned(cl *client, k capsKey, c *capabilities) {
	p.lasts(cl, p.audience(cl.jid.Domain()).learn(cl, k, c))
}

// left takes note that a session is not available any more.
func (p *PEP) left(s *router.Session) {
	p.audience(s.JID().Domain()).leave(s)
	p.book.gone(s)
}

// befriended tells somebody who from now on sees a user's presence what the user
// has published (XEP-0060 §6.1.7).
func (p *PEP) befriended(d *feature.Dispatch) {
	owner, contact := d.UserOf(), d.To.Bare()
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
