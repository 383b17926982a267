package pubsub

import (
	"context"
	"fmt"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/store"
)

// Portables are the nodes of a user (XEP-0227 §4.6).
func (p *PubSub) Portables() []feature.Portable {
	return []feature.Portable{
		{Space: xmpp.NSPubSubOwn, Local: "pubsub", Export: p.exportNodes, Import: p.importNodes},
		{Space: xmpp.NSPubSub, Local: "pubsub", Export: p.exportItems, Import: p.importItems},
	}
}

// eachNode calls fn for the nodes of a user, in the order of their names.
func (p *PubSub) eachNode(ctx context.Context, u *directory.User, fn func(tx store.Tx, name string, n *nodeRecord) error) error {
	for _, name := range p.known(u.ID).names() {
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

func (p *PubSub) exportNodes(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSubOwn+"'>"...)
	empty := len(dst)
	err := p.eachNode(ctx, u, func(tx store.Tx, name string, n *nodeRecord) error {
		dst = append(xmpp.AppendAttr(append(dst, "<configure"...), "node", name), '>')
		dst = append(n.Config.form(form.TypeForm).Append(dst), "</configure>"...)
		var affiliated, listed []byte
		for k, v := range tx.Scan(spacePeople, store.Range{Prefix: numberKey(u.ID, n.Num)}) {
			is, err := decodePerson(v)
			if err != nil {
				return err
			}
			if is.affiliation != None {
				affiliated = appendAffiliation(affiliated, string(k[12:]), is.affiliation)
			}
			if is.subscription == subscribed {
				listed = appendSubscription(listed, "", string(k[12:]), subscribed)
			}
		}
		if len(affiliated) > 0 {
			dst = append(xmpp.AppendAttr(append(dst, "<affiliations"...), "node", name), '>')
			dst = append(append(dst, affiliated...), "</affiliations>"...)
		}
		if len(listed) > 0 {
			dst = append(xmpp.AppendAttr(append(dst, "<subscriptions"...), "node", name), '>')
			dst = append(append(dst, listed...), "</subscriptions>"...)
		}
		return nil
	})
	if len(dst) == empty {
		return dst[:start], err
	}
	return append(dst, "</pubsub>"...), err
}

func (p *PubSub) exportItems(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
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
func (p *PubSub) importNodes(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	for _, about := range n.Children {
		name := about.Attr("node")
		err := p.validNode(name)
		if err == nil {
			err = p.Change(ctx, u.ID, func(t *Transaction) error { return t.importNode(name, about) })
		}
		if err := feature.Leave(&left, fmt.Sprintf("%s of node %s", about.Local, name), err); err != nil {
			return left, err
		}
	}
	return left, nil
}

func (p *PubSub) validNode(name string) error {
	if name == "" || len(name) > maxName || p.hooks.Faces[name] != nil {
		return xmpp.NewError(xmpp.NotAcceptable, "a node has a name that is not too long and of no other meaning")
	}
	return nil
}

func (t *Transaction) importNode(name string, about *xmpp.Node) error {
	n, err := t.prepare(name, nil, t.home.id)
	if err != nil {
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
		return t.importConfig(n, f)
	case "affiliations":
		for _, a := range about.Children {
			who, err := xmpp.ParseJID(a.Attr("jid"))
			what := slices.Index(affiliations[:], a.Attr("affiliation"))
			if err != nil || what <= int(Owner) { // the owner is who it is
				continue
			}
			if err := t.affiliate(n, who.Bare(), Affiliation(what)); err != nil {
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
			if err := t.enlist(n, who, subscribed, false); err != nil {
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
func (t *Transaction) importConfig(n *touched, f *form.Form) error {
	if _, err := n.Config.with(f); err == nil {
		return t.configure(n.name, f)
	}
	access := &form.Form{Type: f.Type}
	if field := f.Field(fieldAccess); field != nil {
		access.Fields = append(access.Fields, *field)
	}
	c, err := n.Config.with(access)
	if err != nil {
		c = n.Config
		c.Access = Whitelist
	}
	if err := t.p.alone(t.home, n.name, &c); err != nil {
		return err
	}
	n.Config, n.dirty, n.configured = c, true, true
	return nil
}

// importItems publishes items, in their order.
func (p *PubSub) importItems(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	for _, items := range n.Children {
		name := items.Attr("node")
		if !items.Is(xmpp.NSPubSub, "items") || p.validNode(name) != nil {
			left = append(left, "items of node "+name)
			continue
		}
		for batch := range slices.Chunk(items.Children, 100) {
			if p.Change(ctx, u.ID, func(t *Transaction) error { return t.importItems(name, batch) }) == nil {
				continue
			}
			// One of them is not good: the others one by one.
			for _, item := range batch {
				err := p.Change(ctx, u.ID, func(t *Transaction) error { return t.importItems(name, []*xmpp.Node{item}) })
				if err := feature.Leave(&left, fmt.Sprintf("item %s of node %s", item.Attr("id"), name), err); err != nil {
					return left, err
				}
			}
		}
	}
	return left, nil
}

func (t *Transaction) importItems(name string, items []*xmpp.Node) error {
	n, err := t.prepare(name, nil, t.home.id)
	if err != nil {
		return err
	}
	for _, item := range items {
		it, _, err := ParseItem(&xmpp.Node{Children: []*xmpp.Node{item}})
		if err != nil {
			return err
		}
		if err := n.Config.fits(it); err != nil {
			return err
		}
		if err := t.add(n, *it); err != nil {
			return err
		}
	}
	return nil
}
