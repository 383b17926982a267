package pep

import (
	"context"
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/router"
)

// Bookmarks are one store with three faces: items of the node of XEP-0402, which
// is what is kept, the one item of XEP-0048, and the private data of XEP-0049.
// The two old ones are the list in one piece: reading makes it of the items,
// writing changes those items that differ, and leaves in them what the old list
// has no place for.

// current is the id of the only item of the old list (XEP-0048 §3).
const current = "current"

// bookmark is what both kinds of bookmarks have.
type bookmark struct {
	name, nick, password *string
	autojoin             bool
}

func readBookmark(n *xmpp.Node) (b bookmark) {
	if v, ok := n.Lookup("name"); ok {
		b.name = &v
	}
	text := func(name string) *string {
		if c := n.Child("", name); c != nil {
			return &c.Text
		}
		return nil
	}
	b.nick, b.password = text("nick"), text("password")
	v := strings.TrimSpace(n.Attr("autojoin"))
	b.autojoin = v == "true" || v == "1"
	return b
}

func (b *bookmark) same(o *bookmark) bool {
	same := func(x, y *string) bool { return (x == nil) == (y == nil) && (x == nil || *x == *y) }
	return b.autojoin == o.autojoin && same(b.name, o.name) && same(b.nick, o.nick) && same(b.password, o.password)
}

// write returns a bookmark of XEP-0402 that says this; what else was in the one
// before, its extensions above all, stays.
func (b *bookmark) write(before *xmpp.Node) *xmpp.Node {
	n := &xmpp.Node{Space: nodeBookmarks, Local: "conference"}
	if before != nil {
		for _, a := range before.Attrs {
			if a.Space != "" || a.Local != "name" && a.Local != "autojoin" {
				n.Attrs = append(n.Attrs, a)
			}
		}
	}
	b.fill(n)
	if before != nil {
		for _, c := range before.Children {
			if !c.Is(nodeBookmarks, "nick") && !c.Is(nodeBookmarks, "password") {
				n.Children = append(n.Children, c)
			}
		}
	}
	return n
}

// fill writes the bookmark into an element, in its namespace.
func (b *bookmark) fill(n *xmpp.Node) {
	if b.name != nil {
		n.SetAttr("name", *b.name)
	}
	if b.autojoin {
		n.SetAttr("autojoin", "true")
	}
	if b.nick != nil {
		n.Children = append(n.Children, &xmpp.Node{Space: n.Space, Local: "nick", Text: *b.nick})
	}
	if b.password != nil {
		n.Children = append(n.Children, &xmpp.Node{Space: n.Space, Local: "password", Text: *b.password})
	}
}

// Bookmarks returns a user's bookmarks as the old list, <storage
// xmlns='storage:bookmarks'/> (XEP-0048 §2).
func (p *PEP) Bookmarks(ctx context.Context, owner directory.ID) ([]byte, error) {
	items, err := p.Items(ctx, owner, nodeBookmarks)
	if err != nil {
		return nil, err
	}
	dst := []byte("<storage xmlns='" + nodeLegacy + "'>")
	for i := range items {
		n, err := xmpp.ParseNode(items[i].Payload)
		if err != nil || !n.Is(nodeBookmarks, "conference") {
			continue
		}
		b := readBookmark(n)
		dst = appendLegacy(dst, items[i].ID, &b)
		if len(dst) > pubsub.MaxAnswer {
			return nil, xmpp.NewError(xmpp.ResourceConstraint, "there are too many bookmarks for one list; XEP-0402 reads them page by page")
		}
	}
	return append(dst, "</storage>"...), nil
}

func appendLegacy(dst []byte, jid string, b *bookmark) []byte {
	dst = xmpp.AppendAttr(append(dst, "<conference"...), "jid", jid)
	if b.name != nil {
		dst = xmpp.AppendAttr(dst, "name", *b.name)
	}
	if b.autojoin {
		dst = append(dst, " autojoin='true'"...)
	}
	dst = append(dst, '>')
	if b.nick != nil {
		dst = append(xmpp.AppendText(append(dst, "<nick>"...), *b.nick), "</nick>"...)
	}
	if b.password != nil {
		dst = append(xmpp.AppendText(append(dst, "<password>"...), *b.password), "</password>"...)
	}
	return append(dst, "</conference>"...)
}

// SetBookmarks makes the old list a user's bookmarks. Others are told of those
// that have changed, and of no others (XEP-0402 §5).
func (p *PEP) SetBookmarks(ctx context.Context, owner directory.ID, storage *xmpp.Node) error {
	if !storage.Is(nodeLegacy, "storage") {
		return pubsub.Refusal(xmpp.BadRequest, "invalid-payload", "bookmarks are <storage xmlns='"+nodeLegacy+"'/>")
	}
	var ids []string
	listed := map[string]bookmark{}
	for _, c := range storage.Children {
		if !c.Is(nodeLegacy, "conference") {
			continue
		}
		j, err := xmpp.ParseJID(strings.TrimSpace(c.Attr("jid")))
		if err != nil {
			return xmpp.NewError(xmpp.BadRequest, "a bookmark has the address of a room")
		}
		id := j.Bare().String()
		if _, twice := listed[id]; !twice {
			ids = append(ids, id)
		}
		listed[id] = readBookmark(c)
	}
	if len(ids) > pubsub.MaxItems {
		return pubsub.Refusal(xmpp.Conflict, "node-full", "there are too many bookmarks")
	}
	return p.Change(ctx, owner, func(t *pubsub.Transaction) error { return setBookmarks(t, ids, listed) })
}

func setBookmarks(t *pubsub.Transaction, ids []string, listed map[string]bookmark) error {
	has, err := t.Has(nodeBookmarks)
	if err != nil {
		return err
	}
	if !has {
		if len(ids) == 0 {
			return nil
		}
		if err := t.Prepare(nodeBookmarks); err != nil {
			return err
		}
	}
	items, err := t.Items(nodeBookmarks)
	if err != nil {
		return err
	}
	type kept struct {
		id   string // as it was published: not every client spells it as it should be
		node *xmpp.Node
	}
	before := map[string]kept{}
	for i := range items {
		it := &items[i]
		room := roomOf(it.ID)
		if _, still := listed[room]; !still {
			if err := t.Retract(nodeBookmarks, it.ID); err != nil {
				return err
			}
			continue
		}
		n, err := xmpp.ParseNode(it.Payload)
		if err != nil {
			return err
		}
		before[room] = kept{it.ID, n}
	}
	for _, id := range ids {
		b, had := listed[id], before[id]
		if had.node != nil {
			if old := readBookmark(had.node); old.same(&b) {
				continue
			}
			id = had.id
		}
		if err := t.Put(nodeBookmarks, pubsub.Item{ID: id, Payload: b.write(had.node).Append(nil)}); err != nil {
			return err
		}
	}
	return nil
}

// roomOf is the room that a bookmark is of.
func roomOf(id string) string {
	j, err := xmpp.ParseJID(id)
	if err != nil {
		return id
	}
	return j.Bare().String()
}

// legacy answers requests about the old list, which looks like a node. It is its
// owner's alone.
func (p *PEP) legacy(q *feature.Query, r *pubsub.Request, dst []byte) ([]byte, error) {
	set, owner := q.Stanza.Type == xmpp.TypeSet, r.PubSub.Space == xmpp.NSPubSubOwn
	if !r.Owned(q) {
		if set || owner {
			return nil, xmpp.NewError(xmpp.Forbidden, "")
		}
		return nil, pubsub.Refusal(xmpp.NotAllowed, "closed-node", "")
	}
	ctx := context.Background()
	switch {
	case owner && set && r.About.Local == "configure":
		return dst, configureLegacy(r.About)
	case owner && !set && r.About.Local == "configure" && p.Has(q.User.ID, nodeBookmarks):
		return pubsub.AppendConfiguration(dst, nodeLegacy, pubsub.Private()), nil
	case !owner && set && r.About.Local == "publish":
		return dst, p.publishLegacy(ctx, q.User.ID, r)
	case !owner && set && r.About.Local == "create":
		return nil, xmpp.NewError(xmpp.Conflict, "")
	case !owner && !set && r.About.Local == "items":
		return p.legacyItems(ctx, q.User.ID, dst)
	case set:
		return nil, xmpp.NewError(xmpp.NotAllowed, "an empty list is published to this node instead")
	}
	return nil, xmpp.NewError(xmpp.ItemNotFound, "")
}

// publishLegacy takes the old list from a client (XEP-0048 §3.1). It is nobody's
// but its owner's, whatever is asked for.
func (p *PEP) publishLegacy(ctx context.Context, owner directory.ID, r *pubsub.Request) error {
	it, _, err := pubsub.ParseItem(r.About)
	if err != nil {
		return err
	}
	options, err := pubsub.ParseOptions(r.PubSub)
	switch {
	case err != nil:
		return err
	case it == nil:
		return pubsub.Refusal(xmpp.BadRequest, "item-required", "")
	case len(it.Payload) == 0:
		return pubsub.Refusal(xmpp.BadRequest, "payload-required", "")
	}
	if options != nil {
		if v, ok, err := options.Text("pubsub#access_model"); err != nil || ok && v != string(pubsub.Whitelist) {
			return pubsub.Refusal(xmpp.Conflict, "precondition-not-met", "bookmarks are their owner's alone")
		}
	}
	n, err := xmpp.ParseNode(it.Payload)
	if err != nil {
		return pubsub.Refusal(xmpp.BadRequest, "invalid-payload", "")
	}
	return p.SetBookmarks(ctx, owner, n)
}

// configureLegacy lets a client have the node as it is already.
func configureLegacy(about *xmpp.Node) error {
	f, err := pubsub.ParseConfig(about)
	if err != nil || f == nil {
		return err
	}
	if v, ok, err := f.Text("pubsub#access_model"); err != nil || ok && v != string(pubsub.Whitelist) {
		return xmpp.NewError(xmpp.NotAcceptable, "this node is its owner's alone")
	}
	return nil
}

// legacyItems answers a request for the old list.
func (p *PEP) legacyItems(ctx context.Context, owner directory.ID, dst []byte) ([]byte, error) {
	if !p.Has(owner, nodeBookmarks) {
		return nil, xmpp.NewError(xmpp.ItemNotFound, "")
	}
	list, err := p.Bookmarks(ctx, owner)
	if err != nil {
		return nil, err
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><items node='"+nodeLegacy+"'>"...)
	dst = pubsub.AppendItem(dst, &pubsub.Item{ID: current, Payload: list})
	return append(dst, "</items></pubsub>"...), nil
}

// tellLegacy tells a user's own clients that know the old list only of a new one.
func (p *PEP) tellLegacy(out *router.Batch, owner *directory.User) {
	var message []byte
	p.Clients(owner, nodeLegacy, func(c *pubsub.Client) {
		if message == nil {
			message = p.legacyMessage(owner)
		}
		if len(message) > 0 {
			c.Send(out, message)
		}
	})
}

// wanted sends a client the old list, as others are sent the last item of a node.
func (p *PEP) wanted(out *router.Batch, c *pubsub.Client, nodes []string) {
	owner := p.host.Directory.ByID(c.User())
	if owner == nil || !slices.Contains(nodes, nodeLegacy) || !p.Has(owner.ID, nodeBookmarks) {
		return
	}
	if message := p.legacyMessage(owner); len(message) > 0 {
		c.Send(out, message)
	}
}

// legacyMessage tells of the old list, without 'to'; it is empty if that is too long.
func (p *PEP) legacyMessage(owner *directory.User) []byte {
	list, err := p.Bookmarks(context.Background(), owner.ID)
	if err != nil {
		p.host.Log.Debug("old bookmarks were not told of", "owner", owner.JID.String(), "error", err)
		return []byte{}
	}
	return pubsub.AppendPublished(nil, owner.JID, nodeLegacy, &pubsub.Item{ID: current, Payload: list})
}

// StorageGet and StorageSet are the bookmarks as private data has them
// (XEP-0049), in the form in which package private takes them.
func (p *PEP) StorageGet(q *feature.Query) (*xmpp.Node, error) {
	list, err := p.Bookmarks(context.Background(), q.Session.User())
	if err != nil {
		return nil, err
	}
	return xmpp.ParseNode(list)
}

// StorageSet is the other half of StorageGet.
func (p *PEP) StorageSet(q *feature.Query, storage *xmpp.Node) error {
	return p.SetBookmarks(context.Background(), q.Session.User(), storage)
}
