package pep

import (
	"context"
	"crypto/rand"
	"strconv"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// open reads a request: the element that says what it is about, and the one
// around it. An address that belongs to nobody looks like one without nodes.
func open(q *feature.Query) (pubsub, about *xmpp.Node, err error) {
	if q.Where == feature.Nobody {
		return nil, nil, xmpp.NewError(xmpp.ItemNotFound, "")
	}
	pubsub = q.Payload.Node()
	for _, c := range pubsub.Children {
		if c.Space == pubsub.Space {
			return pubsub, c, nil
		}
	}
	return nil, nil, xmpp.NewError(xmpp.BadRequest, "nothing is asked for")
}

// get answers requests for what is there (XEP-0060 §5.6, §5.7, §6.5).
func (p *PEP) get(q *feature.Query, dst []byte) ([]byte, error) {
	pubsub, about, err := open(q)
	if err != nil {
		return nil, err
	}
	switch about.Local {
	case "items":
		return p.items(q, pubsub, about, dst)
	case "subscriptions":
		return p.subscriptions(q, about, dst)
	case "affiliations":
		return p.affiliations(q, about, dst)
	case "default":
		return nil, unsupported("retrieve-default-sub")
	case "options":
		return nil, unsupported("subscription-options")
	}
	return nil, xmpp.NewError(xmpp.FeatureNotImplemented, "")
}

// set carries out requests to change something.
func (p *PEP) set(q *feature.Query, dst []byte) ([]byte, error) {
	pubsub, about, err := open(q)
	if err != nil {
		return nil, err
	}
	switch about.Local {
	case "publish":
		return p.publish(q, pubsub, about, dst)
	case "retract":
		return dst, p.retract(q, about)
	case "create":
		return p.create(q, pubsub, about, dst)
	case "subscribe", "unsubscribe":
		return p.subscribe(q, about, dst)
	case "options":
		return nil, unsupported("subscription-options")
	}
	return nil, xmpp.NewError(xmpp.FeatureNotImplemented, "")
}

// publish adds an item (XEP-0060 §7.1).
func (p *PEP) publish(q *feature.Query, pubsub, about *xmpp.Node, dst []byte) ([]byte, error) {
	name, err := nodeOf(about)
	if err != nil {
		return nil, err
	}
	if err := owned(q); err != nil {
		return nil, err
	}
	it, named, err := parseItem(about)
	if err != nil {
		return nil, err
	}
	options, err := parseOptions(pubsub)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if name == nodeLegacy {
		return dst, p.publishLegacy(ctx, q.User.ID, it, options)
	}
	if err := p.change(ctx, q.User.ID, func(t *transaction) error { return t.add(name, options, *it) }); err != nil || named {
		return dst, err
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><publish"...)
	dst = append(xmpp.AppendAttr(dst, "node", name), "><item"...)
	return append(xmpp.AppendAttr(dst, "id", it.ID), "/></publish></pubsub>"...), nil
}

// parseItem reads the item of a request to publish; named says that it has an id.
func parseItem(publish *xmpp.Node) (it *Item, named bool, err error) {
	for _, c := range publish.Children {
		switch {
		case !c.Is(xmpp.NSPubSub, "item"):
		case it != nil: // §7.1.1: one at a time
			return nil, false, refusal(xmpp.NotAllowed, "max-items-exceeded", "one item at a time can be published")
		default:
			it = &Item{ID: c.Attr("id")}
			if len(c.Children) > 1 {
				return nil, false, refusal(xmpp.BadRequest, "invalid-payload", "an item has one payload")
			}
			if len(c.Children) == 1 {
				it.Payload = c.Children[0].Append(nil)
			}
		}
	}
	switch {
	case it == nil: // §7.1.3.6
		return nil, false, refusal(xmpp.BadRequest, "item-required", "")
	case len(it.Payload) == 0:
		return nil, false, refusal(xmpp.BadRequest, "payload-required", "")
	case len(it.ID) > maxID:
		return nil, false, unacceptable("the id of an item has at most %d bytes", maxID)
	}
	named = it.ID != ""
	if !named {
		it.ID = rand.Text()
	}
	return it, named, nil
}

// add publishes an item, with what goes with it for nodes that are known.
func (t *transaction) add(name string, options *form.Form, it Item) error {
	if err := check(name, &it); err != nil {
		return err
	}
	if _, err := t.prepare(name, options); err != nil {
		return err
	}
	if err := t.publish(name, it); err != nil {
		return err
	}
	if name == nodeVCard4 {
		return t.carryToTemp(&it)
	}
	return t.avatarTouched(name)
}

// check refuses items that could not be converted.
func check(name string, it *Item) error {
	space, local := "", ""
	switch name {
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
	if err != nil || !n.Is(space, local) { // XEP-0060 §7.1.3.5
		return refusal(xmpp.BadRequest, "invalid-payload", "items of this node are <"+local+" xmlns='"+space+"'/>")
	}
	return nil
}

// retract removes an item (XEP-0060 §7.2).
func (p *PEP) retract(q *feature.Query, about *xmpp.Node) error {
	name, err := nodeOf(about)
	if err != nil {
		return err
	}
	if err := owned(q); err != nil {
		return err
	}
	item := about.Child("", "item")
	if item == nil || item.Attr("id") == "" {
		return refusal(xmpp.BadRequest, "item-required", "")
	}
	if name == nodeLegacy {
		return xmpp.NewError(xmpp.NotAllowed, "an empty list is published to this node instead")
	}
	notify := about.Attr("notify") == "true" || about.Attr("notify") == "1"
	return p.change(context.Background(), q.User.ID, func(t *transaction) error {
		n, err := t.existing(name)
		if err != nil {
			return err
		}
		if n.Config.Transient { // §7.2.3.5
			return unsupported("persistent-items")
		}
		if err := t.retract(name, item.Attr("id"), notify); err != nil {
			return err
		}
		return t.avatarTouched(name)
	})
}

// create makes a node (XEP-0060 §8.1).
func (p *PEP) create(q *feature.Query, pubsub, about *xmpp.Node, dst []byte) ([]byte, error) {
	if err := owned(q); err != nil {
		return nil, err
	}
	instant := about.Attr("node") == ""
	if instant { // §8.1.4
		about.SetAttr("node", rand.Text())
	}
	name, err := nodeOf(about)
	if err != nil {
		return nil, err
	}
	if name == nodeLegacy {
		return nil, xmpp.NewError(xmpp.Conflict, "")
	}
	c := initial(name)
	if in := pubsub.Child("", "configure"); in != nil {
		f, _, err := parseForm(in, formConfig)
		if err != nil {
			return nil, err
		}
		if f != nil {
			if c, err = c.with(f); err != nil {
				return nil, err
			}
		}
	}
	err = p.change(context.Background(), q.User.ID, func(t *transaction) error { return t.create(name, c) })
	if err != nil || !instant {
		return dst, err
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><create"...)
	return append(xmpp.AppendAttr(dst, "node", name), "/></pubsub>"...), nil
}

// subscribe lets somebody be told of a node who would not be without asking, or
// no more (XEP-0060 §6.1, §6.2).
func (p *PEP) subscribe(q *feature.Query, about *xmpp.Node, dst []byte) ([]byte, error) {
	name, err := nodeOf(about)
	if err != nil {
		return nil, err
	}
	j, err := xmpp.ParseJID(about.Attr("jid"))
	if err != nil || j.Bare() != q.From.Bare() { // §6.1.3.1
		return nil, refusal(xmpp.BadRequest, "invalid-jid", "one subscribes oneself only")
	}
	on := about.Local == "subscribe"
	if err := p.subscribable(q, name, j, on); err != nil {
		return nil, err
	}
	owner := q.User
	err = p.change(context.Background(), owner.ID, func(t *transaction) error { return t.subscribe(name, j, on) })
	if err != nil || !on {
		return dst, err
	}
	q.Then(func() { p.welcome(owner, name, j) })
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'>"...)
	return append(appendSubscription(dst, name, j.String()), "</pubsub>"...), nil
}

// subscribable reports, as an error, why somebody may not subscribe or unsubscribe.
func (p *PEP) subscribable(q *feature.Query, name string, j xmpp.JID, on bool) error {
	s := p.known(q.User.ID).shapeOf(name)
	if s == nil {
		return xmpp.NewError(xmpp.ItemNotFound, "")
	}
	if !on {
		for _, have := range s.Subscriptions {
			if have == j.String() {
				return nil
			}
		}
		return refusal(xmpp.UnexpectedRequest, "not-subscribed", "").WithType(xmpp.ErrorCancel)
	}
	if err := p.may(q.User, s, j); err != nil {
		return err
	}
	if s.Config.NoSubscribing {
		return unsupported("subscribe")
	}
	return nil
}

// welcome sends the last item to somebody who has just subscribed (XEP-0060 §6.1.7).
func (p *PEP) welcome(owner *directory.User, name string, j xmpp.JID) {
	a := p.known(owner.ID)
	if a == nil {
		return
	}
	a.deliver.Lock()
	defer a.deliver.Unlock()
	a.mu.Lock()
	n := a.nodes[name]
	if n == nil || n.last == nil {
		a.mu.Unlock()
		return
	}
	s, last := n.shape, n.last
	a.mu.Unlock()
	message := p.notification(owner, n, s, last)
	if message == nil {
		return
	}
	for _, cl := range p.audience(owner.Domain).of(nil, p.host.Router, j) {
		cl.session.Send(nil, appendTo(nil, message, cl.to))
	}
}

func appendSubscription(dst []byte, node, jid string) []byte {
	dst = append(dst, "<subscription"...)
	if node != "" {
		dst = xmpp.AppendAttr(dst, "node", node)
	}
	dst = xmpp.AppendAttr(dst, "jid", jid)
	return append(dst, " subscription='subscribed'/>"...)
}

// subscriptions tells somebody where he has subscribed (XEP-0060 §5.6).
func (p *PEP) subscriptions(q *feature.Query, about *xmpp.Node, dst []byte) ([]byte, error) {
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><subscriptions>"...)
	only, a := about.Attr("node"), p.known(q.User.ID)
	for _, name := range a.names() {
		s := a.shapeOf(name)
		if s == nil || only != "" && only != name {
			continue
		}
		for _, text := range s.Subscriptions {
			if j, err := xmpp.ParseJID(text); err == nil && j.Bare() == q.From.Bare() {
				dst = appendSubscription(dst, name, text)
			}
		}
	}
	return append(dst, "</subscriptions></pubsub>"...), nil
}

// affiliations tells somebody what he is to the nodes (XEP-0060 §5.7).
func (p *PEP) affiliations(q *feature.Query, about *xmpp.Node, dst []byte) ([]byte, error) {
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><affiliations>"...)
	only, a := about.Attr("node"), p.known(q.User.ID)
	for _, name := range a.names() {
		s := a.shapeOf(name)
		if s == nil || only != "" && only != name {
			continue
		}
		what := string(s.Affiliations[q.From.Bare().String()])
		if q.Where == feature.Self {
			what = "owner"
		}
		if what != "" {
			dst = xmpp.AppendAttr(append(dst, "<affiliation"...), "node", name)
			dst = append(xmpp.AppendAttr(dst, "affiliation", what), "/>"...)
		}
	}
	return append(dst, "</affiliations></pubsub>"...), nil
}

// count reads a number out of an attribute, -1 if there is none.
func count(n *xmpp.Node, name string) (int, error) {
	s, ok := n.Lookup(name)
	if !ok {
		return -1, nil
	}
	v, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, xmpp.NewError(xmpp.BadRequest, name+" must be a number")
	}
	return int(v), nil
}
