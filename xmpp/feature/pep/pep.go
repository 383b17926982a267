// Package pep is personal eventing (XEP-0163): what package pubsub makes of
// accounts, every one of which is a small publish-subscribe service, and what is
// special about some of its nodes.
//
// These have a second face, and all of them are one store: avatars are photos in
// vCards and hashes in presence (XEP-0398), bookmarks are one list for old clients
// (XEP-0402 §5), and what was displayed may be said in a message (XEP-0490 §4.4).
package pep

import (
	"context"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Options are what the feature needs of others.
type Options struct {
	// Rebroadcast has the presence of a session told again to all who see it,
	// changed by fn; nil: nobody is told of a new avatar by presence before the
	// client sends one.
	Rebroadcast func(s *router.Session, fn func(stanza []byte) []byte)
}

// PEP is the nodes of all accounts. Its methods may be called from any goroutine.
type PEP struct {
	*pubsub.PubSub
	host     *feature.Host
	opts     Options
	pictures pictures
}

// New makes the PEP of a server out of its nodes.
func New(h *feature.Host, nodes *pubsub.PubSub, o Options) *PEP {
	p := &PEP{PubSub: nodes, host: h, opts: o}
	p.pictures.known = map[directory.ID]avatar{}
	nodes.SetHooks(pubsub.Hooks{
		Faces:   map[string]pubsub.Face{nodeLegacy: p.legacy},
		Initial: initial,
		Alone:   func(node string) bool { return node == nodeBookmarks || node == xmpp.NSMDS },
		Check:   check,
		Touched: p.touched,
		Told:    p.told,
		Wanted:  p.wanted,
	})
	h.Directory.OnDelete(func(tx store.Tx, id directory.ID) error {
		if err := tx.Delete(spaceAvatars, idKey(id)); err != nil {
			return err
		}
		return tx.Delete(spaceVCards, idKey(id))
	})
	h.Directory.OnChange(func(c directory.Change) {
		if c.New == nil && c.Old != nil {
			p.pictures.forget(c.Old.ID)
		}
	})
	return p
}

// capabilities of accounts besides those of all nodes (XEP-0060 §11).
var features = []string{
	"auto-subscribe", "filtered-notifications", "presence-notifications", "presence-subscribe", "pubsub-on-a-jid",
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
		{Var: nsAssist, Where: feature.Self},
		{Var: xmpp.NSVCard, Where: everywhere},
	}
	for _, list := range [][]string{pubsub.Features, features} {
		for _, f := range list {
			adverts = append(adverts, feature.Advert{Var: xmpp.NSPubSub + "#" + f, Where: everywhere})
		}
	}
	hidden := accounts | feature.Nobody
	return feature.Feature{
		Name:       "pep",
		Portables:  p.portables(),
		Implements: implements,
		Advertise:  adverts,
		Identities: []feature.Identity{{Category: "pubsub", Type: "pep", Where: everywhere}},
		Items:      p.items,
		Nodes:      p.nodes,
		IQ: append(p.IQ(hidden),
			feature.Get(xmpp.NSVCard, "vCard", hidden, p.getVCard),
			feature.Set(xmpp.NSVCard, "vCard", hidden, p.setVCard),
		),
		Accept: p.accept,
		Amend:  p.amend,
		Start:  func(*feature.Host) error { return p.pictures.load(p.host) },
	}
}

var implements = []feature.XEP{
	feature.Implements(48, "1.2", feature.Complete, "converted from and to XEP-0402; addresses of web pages are not kept"),
	feature.Implements(54, "1.3.0", feature.Complete, ""),
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
	feature.Implements(490, "1.0.1", feature.Complete, "with server assist"),
}

// The nodes that are known here by name.
const (
	nodeBookmarks = xmpp.NSBookmark2
	nodeLegacy    = xmpp.NSBookmarks
	nodeAvatar    = xmpp.NSAvatar
	nodeMetadata  = xmpp.NSAvatarMD
	nodeVCard4    = "urn:xmpp:vcard4"
)

// initial is how a node begins that is made by publishing to it, as far as the
// publisher says nothing else.
func initial(node string) pubsub.Config {
	c := pubsub.Standard()
	switch {
	case node == nodeBookmarks, node == xmpp.NSMDS: // XEP-0402 §3.3, XEP-0490 §4.1
		return pubsub.Private()
	case node == nodeAvatar: // XEP-0084 §3.4: data is fetched, not sent
		return c.Quiet()
	case node == xmpp.NSOMEMO+".devicelist", node == xmpp.NSOMEMO2+":devices", node == nodeVCard4:
		// XEP-0384 §5.1: who is no contact yet writes encrypted, too.
		c.Access = pubsub.Open
	case strings.HasPrefix(node, xmpp.NSOMEMO+".bundles:"):
		c.Access = pubsub.Open
		return c.Quiet()
	case node == xmpp.NSOMEMO2+":bundles":
		c.Access, c.MaxItems = pubsub.Open, 0
		return c.Quiet()
	}
	return c
}

// check refuses items that could not be converted.
func check(node string, it *pubsub.Item) error {
	space, local := "", ""
	switch node {
	case nodeBookmarks:
		space, local = xmpp.NSBookmark2, "conference"
	case nodeMetadata:
		space, local = xmpp.NSAvatarMD, "metadata"
	case nodeAvatar:
		space, local = xmpp.NSAvatar, "data"
	case nodeVCard4:
		space, local = xmpp.NSVCard4, "vcard"
	default:
		return nil
	}
	n, err := xmpp.ParseNode(it.Payload)
	if err != nil || !n.Is(space, local) { // XEP-0060 §7.1.3.6
		return pubsub.Refusal(xmpp.BadRequest, "invalid-payload", "items of this node are <"+local+" xmlns='"+space+"'/>")
	}
	return nil
}

// touched carries on what has changed in a node that is known.
func (p *PEP) touched(t *pubsub.Transaction, node string, it *pubsub.Item) error {
	switch {
	case node == nodeVCard4 && it != nil:
		return carryToTemp(t, it)
	case node == nodeAvatar || node == nodeMetadata:
		return p.avatarTouched(t, node)
	}
	return nil
}

func (p *PEP) told(out *router.Batch, owner *directory.User, events []pubsub.Event) {
	for i := range events {
		if events[i].Node == nodeBookmarks {
			p.tellLegacy(out, owner)
			return
		}
	}
}

// items and nodes answer for accounts; the service answers for itself.

func (p *PEP) items(q *feature.Query, dst []byte) ([]byte, error) {
	if q.User == nil || q.Where&accounts == 0 {
		return dst, nil
	}
	return p.DiscoItems(q, dst)
}

func (p *PEP) nodes(q *feature.Query, node string, items bool, dst []byte) ([]byte, bool, error) {
	if q.User == nil || q.Where&accounts == 0 {
		return dst, false, nil
	}
	return p.DiscoNode(q, node, items, dst)
}

// accept puts avatars into presence on its way.
func (p *PEP) accept(d *feature.Dispatch) error {
	if d.Session != nil && d.Stanza.Kind == xmpp.KindPresence && d.Stanza.Type == xmpp.TypeNone {
		p.dress(d)
	}
	return nil
}

// nsAssist announces that what was displayed may be said in a message (XEP-0490 §4.4).
const nsAssist = "urn:xmpp:mds:server-assist:0"

// amend takes what a client says it has displayed out of a message, and publishes
// it for the user's other clients (XEP-0490 §4.4.3).
func (p *PEP) amend(d *feature.Dispatch) {
	u := d.UserOf()
	if u == nil {
		return
	}
	e := d.Stanza.Child(xmpp.NSMDS, "displayed")
	if e == nil {
		return
	}
	d.Edit.Strip = append(d.Edit.Strip, xmpp.Match{Space: xmpp.NSMDS, Local: "displayed"})
	it := pubsub.Item{ID: d.To.String(), Payload: e.Node().Append(nil)}
	if err := p.Publish(context.Background(), u.ID, xmpp.NSMDS, it); err != nil {
		p.host.Log.Warn("what was displayed is not noted", "user", u.JID.String(), "error", err)
	}
}
