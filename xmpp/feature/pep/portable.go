package pep

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/store"
)

// portables are the nodes and the vCard of a user (XEP-0227 §4.6, §4.10). The
// nodes come first, so that a picture in the vCard is there already, and is not
// published anew.
func (p *PEP) portables() []feature.Portable {
	return []feature.Portable{
		{Space: xmpp.NSPubSubOwn, Local: "pubsub", Export: p.exportNodes, Import: p.importNodes},
		{Space: xmpp.NSPubSub, Local: "pubsub", Export: p.exportItems, Import: p.importItems},
		{Space: xmpp.NSVCard, Local: "vCard", Export: p.exportVCard, Import: p.importVCard},
	}
}

// eachNode calls fn for the nodes of a user, in the order of their names.
func (p *PEP) eachNode(ctx context.Context, u *directory.User, fn func(tx store.Tx, name string, n *nodeRecord) error) error {
	for _, name := range p.account(u.ID).names() {
		err := p.host.State.View(ctx, func(tx store.Tx) error {
			n, err := getNode(tx, u.ID, name)
			if err != nil || n == nil {
				return err
			}
			return fn(tx, name, n)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *PEP) exportNodes(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSubOwn+"'>"...)
	empty := len(dst)
	err := p.eachNode(ctx, u, func(_ store.Tx, name string, n *nodeRecord) error {
		dst = append(xmpp.AppendAttr(append(dst, "<configure"...), "node", name), '>')
		dst = append(n.Config.form(form.TypeForm).Append(dst), "</configure>"...)
		if len(n.Affiliations) > 0 {
			dst = append(xmpp.AppendAttr(append(dst, "<affiliations"...), "node", name), '>')
			for _, who := range slices.Sorted(maps.Keys(n.Affiliations)) {
				dst = appendAffiliation(dst, who, string(n.Affiliations[who]))
			}
			dst = append(dst, "</affiliations>"...)
		}
		if len(n.Subscriptions) > 0 {
			dst = append(xmpp.AppendAttr(append(dst, "<subscriptions"...), "node", name), '>')
			for _, who := range n.Subscriptions {
				dst = appendSubscription(dst, "", who)
			}
			dst = append(dst, "</subscriptions>"...)
		}
		return nil
	})
	if len(dst) == empty {
		return dst[:start], err
	}
	return append(dst, "</pubsub>"...), err
}

func (p *PEP) exportItems(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'>"...)
	empty := len(dst)
	err := p.eachNode(ctx, u, func(tx store.Tx, name string, n *nodeRecord) error {
		dst = append(xmpp.AppendAttr(append(dst, "<items"...), "node", name), '>')
		for it, err := range scanItems(tx, u.ID, n.Num, store.Range{}) {
			if err != nil {
				return err
			}
			dst = appendItem(dst, &it, true)
		}
		dst = append(dst, "</items>"...)
		return nil
	})
	if len(dst) == empty {
		return dst[:start], err
	}
	return append(dst, "</pubsub>"...), err
}

// importNodes makes nodes, and configures those that are there.
func (p *PEP) importNodes(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	for _, about := range n.Children {
		name := about.Attr("node")
		err := validNode(name)
		if err == nil {
			err = p.change(ctx, u.ID, func(t *transaction) error { return t.importNode(name, about) })
		}
		if err := feature.Leave(&left, fmt.Sprintf("%s of node %s", about.Local, name), err); err != nil {
			return left, err
		}
	}
	return left, nil
}

func validNode(name string) error {
	if name == "" || len(name) > maxName {
		return xmpp.NewError(xmpp.NotAcceptable, "a node has a name that is not too long")
	}
	return nil
}

func (t *transaction) importNode(name string, about *xmpp.Node) error {
	if _, err := t.prepare(name, nil); err != nil {
		return err
	}
	switch about.Local {
	case "configure":
		x := about.Child(xmpp.NSDataForms, "x")
		if x == nil {
			return nil
		}
		f, err := form.Parse(x)
		if err != nil {
			return err
		}
		return t.importConfig(name, f)
	case "affiliations":
		for _, a := range about.Children {
			who, err := xmpp.ParseJID(a.Attr("jid"))
			what := Affiliation(a.Attr("affiliation"))
			if err != nil || what != Member && what != Outcast { // the owner is who it is
				continue
			}
			if err := t.affiliate(name, who.Bare(), what); err != nil {
				return err
			}
		}
	case "subscriptions":
		for _, s := range about.Children {
			who, err := xmpp.ParseJID(s.Attr("jid"))
			// COMPAT(Prosody 13): it has the state in another attribute.
			if err != nil || s.Attr("subscription") != "subscribed" && s.Attr("subscribed") != "subscribed" {
				continue
			}
			if err := t.subscribe(name, who, true); err != nil {
				return err
			}
		}
	default:
		return xmpp.NewError(xmpp.FeatureNotImplemented, "")
	}
	return nil
}

// importConfig configures a node like it was elsewhere. If that is not possible
// here, nobody sees more of the node than before.
func (t *transaction) importConfig(name string, f *form.Form) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	if _, err := n.Config.with(f); err == nil {
		return t.configure(name, f)
	}
	access := &form.Form{Type: f.Type}
	if field := f.Field("pubsub#access_model"); field != nil {
		access.Fields = append(access.Fields, *field)
	}
	c, err := n.Config.with(access)
	if err != nil {
		c = n.Config
		c.Access = Whitelist
	}
	n.Config, n.dirty = c, true
	return nil
}

// importItems publishes items, in their order.
func (p *PEP) importItems(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	for _, items := range n.Children {
		name := items.Attr("node")
		if !items.Is(xmpp.NSPubSub, "items") || validNode(name) != nil {
			left = append(left, "items of node "+name)
			continue
		}
		for batch := range slices.Chunk(items.Children, 100) {
			if p.change(ctx, u.ID, func(t *transaction) error { return t.importItems(name, batch) }) == nil {
				continue
			}
			// One of them is not good: the others one by one.
			for _, item := range batch {
				err := p.change(ctx, u.ID, func(t *transaction) error { return t.importItems(name, []*xmpp.Node{item}) })
				if err := feature.Leave(&left, fmt.Sprintf("item %s of node %s", item.Attr("id"), name), err); err != nil {
					return left, err
				}
			}
		}
	}
	return left, nil
}

// TakeBookmarks makes the old list of another server a user's bookmarks, unless
// there are some.
func (p *PEP) TakeBookmarks(ctx context.Context, owner directory.ID, storage *xmpp.Node) error {
	if items, err := p.Items(ctx, owner, nodeBookmarks); err != nil || len(items) > 0 {
		return err
	}
	return p.SetBookmarks(ctx, owner, storage)
}

func (t *transaction) importItems(name string, items []*xmpp.Node) error {
	for _, n := range items {
		it, _, err := parseItem(&xmpp.Node{Children: []*xmpp.Node{n}})
		if err != nil {
			return err
		}
		if err := t.add(name, nil, *it); err != nil {
			return err
		}
	}
	return nil
}

// exportVCard exports the vCard as its owner sees it.
func (p *PEP) exportVCard(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	p.account(u.ID)
	card, err := p.vcard(ctx, u, u.JID)
	if err != nil || card == nil {
		return dst, err
	}
	return card.Append(dst), nil
}

func (p *PEP) importVCard(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	picture, kind, err := takePicture(n)
	if err != nil {
		left = append(left, "the picture of the vCard")
		picture = nil
	}
	n = withChildren(n, slices.DeleteFunc(slices.Clone(n.Children), isPhoto))
	if pic := p.picture(u.ID); picture == nil || pic.Hash == hashOf(picture) {
		// There is none, or it is there with more said of it: it stays.
		err = p.setCard(ctx, u, n, nil)
	} else {
		err = p.setCard(ctx, u, n, func(t *transaction) error { return t.setPicture(picture, kind) })
	}
	err = feature.Leave(&left, "the vCard", err)
	return left, err
}
