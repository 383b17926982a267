package roster

import (
	"context"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// portables are the list and the requests that wait (XEP-0227 §4.4, §4.9).
func (r *Roster) portables() []feature.Portable {
	return []feature.Portable{
		{Space: xmpp.NSRoster, Local: "query", Export: r.exportList, Import: r.importList},
		{Space: xmpp.NSClient, Local: "presence", Export: r.exportRequests, Import: r.importRequest},
	}
}

// read reads a list whether its owner is online or not.
func (r *Roster) read(ctx context.Context, u *directory.User) (c *contacts, err error) {
	c = new(contacts)
	err = r.db.View(ctx, func(tx store.Tx) error {
		c.meta, c.items, err = readBook(tx, u.ID)
		return err
	})
	return c, err
}

// exportList exports the list as its owner sees it, colleagues included: the
// next server may not list them by itself.
func (r *Roster) exportList(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	c, err := r.read(ctx, u)
	if err != nil {
		return dst, err
	}
	dst = append(dst, "<query xmlns='"+xmpp.NSRoster+"'>"...)
	dst = r.appendItems(dst, r.dir.Domain(u.Domain).Snapshot(), u, c)
	return append(dst, "</query>"...), nil
}

func (r *Roster) exportRequests(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	c, err := r.read(ctx, u)
	if err != nil {
		return dst, err
	}
	for _, it := range c.items {
		if !it.Removed && it.State.PendingIn() && len(it.Request) > 0 {
			n, err := xmpp.ParseNode(it.Request)
			if err != nil {
				continue
			}
			dst = n.Append(dst)
		}
	}
	return dst, nil
}

// importList takes contacts and where they stand. Of those who are contacts
// anyway only the owner's words for them are taken.
func (r *Roster) importList(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	for _, item := range n.Children {
		if !item.Is(xmpp.NSRoster, "item") || item.Attr("jid") == "" {
			continue
		}
		one := &xmpp.Node{Space: n.Space, Local: n.Local, Children: []*xmpp.Node{item}}
		req, err := parseSet(one, &r.opts.Limits)
		if err == nil && !req.remove && req.jid != u.JID {
			err = r.importItem(ctx, u, &req, item)
		}
		if err := feature.Leave(&left, "contact "+item.Attr("jid"), err); err != nil {
			return left, err
		}
	}
	return left, nil
}

func (r *Roster) importItem(ctx context.Context, u *directory.User, req *wish, item *xmpp.Node) error {
	source, covered := r.foreign(u, req.jid)
	if covered && len(req.groups) == 0 {
		req.groups = source.Groups
	}
	return r.deal(ctx, func(d *deal) error {
		if covered {
			return d.set(u, req, &source, covered)
		}
		b, before, err := d.open(u, req.jid)
		if err != nil {
			return err
		}
		next := before
		next.Listed, next.Name, next.Groups = true, req.name, req.groups
		next.State = imported(item.Attr("subscription"), item.Attr("ask") == "subscribe")
		next.Approved = item.Attr("approved") == "true" || item.Attr("approved") == "1"
		if before.State.PendingIn() { // the request may have come first
			next.State = Inbound(next.State, Subscribe).Next
		}
		e, err := d.put(b, &before, &next)
		if err != nil {
			return err
		}
		d.apply(u, e)
		d.push(u, e)
		return nil
	})
}

func imported(subscription string, ask bool) State {
	switch {
	case subscription == "both":
		return Both
	case subscription == "to":
		return To
	case subscription == "from" && ask:
		return FromPendingOut
	case subscription == "from":
		return From
	case ask:
		return NonePendingOut
	}
	return None
}

// importRequest takes a request that waits for an answer.
func (r *Roster) importRequest(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	from, err := xmpp.ParseJID(n.Attr("from"))
	switch {
	case n.Attr("type") != "subscribe":
		return []string{"presence that is no request"}, nil
	case err != nil || from.Bare() == u.JID:
		return []string{"a request of " + n.Attr("from")}, nil
	}
	if _, covered := r.foreign(u, from.Bare()); covered {
		return nil, nil
	}
	n.SetAttr("to", u.JID.String())
	request := n.Append(nil)
	if len(request) > r.opts.Limits.Request {
		request = subscription(from.Bare(), u.JID, Subscribe)
	}
	err = r.deal(ctx, func(d *deal) error {
		b, before, err := d.open(u, from.Bare())
		if err != nil {
			return err
		}
		next := before
		next.State, next.Request = Inbound(before.State, Subscribe).Next, request
		if !next.State.PendingIn() {
			return nil
		}
		e, err := d.put(b, &before, &next)
		if err != nil {
			return err
		}
		d.apply(u, e)
		return nil
	})
	err = feature.Leave(&left, "a request of "+from.String(), err)
	return left, err
}
