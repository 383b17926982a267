package pep

import (
	"context"
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
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
		if len(dst) > maxAnswer {
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
		return refusal(xmpp.BadRequest, "invalid-payload", "bookmarks are <storage xmlns='"+nodeLegacy+"'/>")
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
	if len(ids) > MaxItems {
		return refusal(xmpp.Conflict, "node-full", "there are too many bookmarks")
	}
	return p.change(ctx, owner, func(t *transaction) error { return t.setBookmarks(ids, listed) })
}

func (t *transaction) setBookmarks(ids []string, listed map[string]bookmark) error {
	n, err := t.node(nodeBookmarks)
	if err != nil {
		return err
	}
	before := map[string]*xmpp.Node{}
	if n.nodeRecord == nil {
		if len(ids) == 0 {
			return nil
		}
		if _, err := t.prepare(nodeBookmarks, nil); err != nil {
			return err
		}
	}
	items, err := readItems(t.tx, t.owner, nodeBookmarks)
	if err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		if _, kept := listed[it.ID]; !kept {
			if err := t.retract(nodeBookmarks, it.ID, true); err != nil {
				return err
			}
			continue
		}
		if before[it.ID], err = xmpp.ParseNode(it.Payload); err != nil {
			return err
		}
	}
	for _, id := range ids {
		b, had := listed[id], before[id]
		if had != nil {
			if old := readBookmark(had); old.same(&b) {
				continue
			}
		}
		if err := t.publish(nodeBookmarks, Item{ID: id, Payload: b.write(had).Append(nil)}); err != nil {
			return err
		}
	}
	return nil
}

// publishLegacy takes the old list from a client (XEP-0048 §3.1). It is nobody's
// but its owner's, whatever is asked for.
func (p *PEP) publishLegacy(ctx context.Context, owner directory.ID, it *Item, options *form.Form) error {
	if options != nil {
		if v, ok, err := options.Text("pubsub#access_model"); err != nil || ok && v != string(Whitelist) {
			return refusal(xmpp.Conflict, "precondition-not-met", "bookmarks are their owner's alone")
		}
	}
	n, err := xmpp.ParseNode(it.Payload)
	if err != nil {
		return refusal(xmpp.BadRequest, "invalid-payload", "")
	}
	return p.SetBookmarks(ctx, owner, n)
}

// configureLegacy lets a client have the node as it is already.
func (p *PEP) configureLegacy(about *xmpp.Node) error {
	if about.Local != "configure" {
		return xmpp.NewError(xmpp.NotAllowed, "an empty list is published to this node instead")
	}
	f, _, err := parseForm(about, formConfig)
	if err != nil || f == nil {
		return err
	}
	if v, ok, err := f.Text("pubsub#access_model"); err != nil || ok && v != string(Whitelist) {
		return unacceptable("this node is its owner's alone")
	}
	return nil
}

// legacyItems answers a request for the old list.
func (p *PEP) legacyItems(ctx context.Context, owner directory.ID, dst []byte) ([]byte, error) {
	if p.known(owner).shapeOf(nodeBookmarks) == nil {
		return nil, xmpp.NewError(xmpp.ItemNotFound, "")
	}
	list, err := p.Bookmarks(ctx, owner)
	if err != nil {
		return nil, err
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><items node='"+nodeLegacy+"'>"...)
	dst = appendItem(dst, &Item{ID: current, Payload: list}, true)
	return append(dst, "</items></pubsub>"...), nil
}

// tellLegacy tells a user's own clients that know the old list only of a new one.
func (p *PEP) tellLegacy(out *router.Batch, owner *directory.User) {
	var own []*client
	for _, cl := range p.audience(owner.Domain).interested(nil, nodeLegacy) {
		if cl.user == owner.ID {
			own = append(own, cl)
		}
	}
	p.sendLegacy(out, owner, own)
}

// sendLegacyLast is what sendLast does, for the old list.
func (p *PEP) sendLegacyLast(out *router.Batch, cl *client, nodes []string) {
	owner := p.host.Directory.ByID(cl.user)
	if owner != nil && slices.Contains(nodes, nodeLegacy) && p.known(owner.ID).shapeOf(nodeBookmarks) != nil {
		p.sendLegacy(out, owner, []*client{cl})
	}
}

func (p *PEP) sendLegacy(out *router.Batch, owner *directory.User, clients []*client) {
	if len(clients) == 0 {
		return
	}
	list, err := p.Bookmarks(context.Background(), owner.ID)
	if err != nil {
		p.host.Log.Debug("old bookmarks were not told of", "owner", owner.JID.String(), "error", err)
		return
	}
	s := shape{Config: private()}
	message := appendEvent(nil, owner.JID, &Event{Kind: Published, Node: nodeLegacy, Item: Item{ID: current, Payload: list}, shape: &s})
	for _, cl := range clients {
		cl.session.Send(out, appendTo(nil, message, cl.to))
	}
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
