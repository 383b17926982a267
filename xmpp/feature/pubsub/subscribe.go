package pubsub

import (
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// subscriberOf returns the address that a request to subscribe or unsubscribe is for.
func subscriberOf(about *xmpp.Node) (xmpp.JID, error) {
	j, err := xmpp.ParseJID(about.Attr("jid"))
	if err != nil || j.Local() == "" {
		return j, Refusal(xmpp.BadRequest, "invalid-jid", "")
	}
	return j, nil
}

// subscribe lets somebody be told of a node (XEP-0060 §6.1).
func (p *PubSub) subscribe(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, err := nodeOf(r.About)
	if err != nil {
		return nil, err
	}
	j, err := subscriberOf(r.About)
	switch {
	case err != nil:
		return nil, err
	case j.Bare() != q.From.Bare(): // §6.1.3.1
		return nil, Refusal(xmpp.BadRequest, "invalid-jid", "one subscribes oneself only")
	case r.PubSub.Child("", "options") != nil: // §6.3.7
		return nil, unsupported("subscription-options")
	}
	s, err := p.there(&r.at, name)
	if err != nil {
		return nil, err
	}
	if err := p.subscribable(&r.at, s, j); err != nil {
		return nil, err
	}
	is := subscribed
	if s.Config.Access == Authorize && p.mayRead(&r.at, s, j) != nil { // §6.1.4
		is = pending
	}
	err = p.changeBy(q.From, r.at.home, func(t *Transaction) error {
		n, err := t.existing(name)
		if err != nil {
			return err
		}
		return t.enlist(n, j, is, false)
	})
	if err != nil {
		return nil, err
	}
	if is == subscribed {
		q.Then(func() { p.greet(&r.at, name, j) })
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'>"...)
	return append(appendSubscription(dst, name, j.String(), is), "</pubsub>"...), nil
}

// subscribable reports, as an error, why somebody may not subscribe.
func (p *PubSub) subscribable(at *site, s *shape, j xmpp.JID) error {
	if err := p.mayFind(at, s, j.Bare()); err != nil {
		return err
	}
	if s.Config.NoSubscribing {
		return unsupported("subscribe")
	}
	switch s.people.get(j.String()).subscription {
	case subscribed:
		return nil
	case pending:
		if s.Config.Access == Authorize { // §6.1.3.7
			return Refusal(xmpp.NotAuthorized, "pending-subscription", "")
		}
		return nil
	}
	has := func(q person) bool { return q.subscription != unsubscribed }
	known, total := p.people.of(j.Bare()), 0
	if len(known) >= MaxSubscribed { // or he cannot have subscribed to so many
		for _, where := range known {
			if other := where.home.shapeOf(where.node); other != nil && len(other.people.addresses(j.Bare(), has)) > 0 {
				total++
			}
		}
	}
	if total >= MaxSubscribed || len(s.people.addresses(j.Bare(), has)) >= maxResources { // §6.1.3.9
		return Refusal(xmpp.PolicyViolation, "too-many-subscriptions", "").WithType(xmpp.ErrorWait)
	}
	return nil
}

// enlist changes somebody's subscription. tell says that it was not his own doing.
func (t *Transaction) enlist(n *touched, j xmpp.JID, is subscription, tell bool) error {
	who, err := t.person(n, j.String())
	if err != nil || who.subscription == is || is == pending && who.subscription == subscribed {
		return err
	}
	who.subscription = is
	if err := t.setPerson(n, j.String(), who); err != nil {
		return err
	}
	t.say(n, Event{Kind: Changed, Node: n.name, who: j.String(), is: is, quiet: !tell})
	return nil
}

// greet sends the last item to somebody who has just subscribed (XEP-0060 §6.1.7).
func (p *PubSub) greet(at *site, name string, j xmpp.JID) {
	at.deliver.Lock()
	defer at.deliver.Unlock()
	n, s, last, _ := at.lastOf(name, p.host.Now())
	if n == nil || p.mayRead(at, s, j) != nil {
		return
	}
	message := p.notification(at, n, s, last)
	if message == nil {
		return
	}
	for _, cl := range p.audience(at.domain).of(nil, p.host.Router, j) {
		cl.session.Send(nil, appendTo(nil, message, at.addressTo(j.String(), cl)))
	}
}

// unsubscribe is the end of it (XEP-0060 §6.2).
func (p *PubSub) unsubscribe(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, err := nodeOf(r.About)
	if err != nil {
		return nil, err
	}
	j, err := subscriberOf(r.About)
	switch {
	case err != nil:
		return nil, err
	case j.Bare() != q.From.Bare(): // §6.2.3.3
		return nil, xmpp.NewError(xmpp.Forbidden, "")
	}
	s, err := p.there(&r.at, name)
	if err != nil {
		return nil, err
	}
	if s.people.get(j.String()).subscription == unsubscribed { // §6.2.3.2
		return nil, Refusal(xmpp.UnexpectedRequest, "not-subscribed", "").WithType(xmpp.ErrorCancel)
	}
	return dst, p.changeBy(q.From, r.at.home, func(t *Transaction) error {
		n, err := t.existing(name)
		if err != nil {
			return err
		}
		return t.enlist(n, j, unsubscribed, false)
	})
}

func appendSubscription(dst []byte, node, jid string, is subscription) []byte {
	dst = append(dst, "<subscription"...)
	if node != "" {
		dst = xmpp.AppendAttr(dst, "node", node)
	}
	dst = xmpp.AppendAttr(dst, "jid", jid)
	return append(xmpp.AppendAttr(dst, "subscription", is.String()), "/>"...)
}

// listed calls fn for the nodes of a home that somebody is something to, or for
// the one that is asked for.
func (p *PubSub) listed(q *feature.Query, r *Request, fn func(name string, s *shape)) {
	only, ok := r.About.Lookup("node")
	for name := range p.people.at(q.From.Bare(), r.at.home) {
		if s := r.at.shapeOf(name); s != nil && (!ok || only == name) {
			fn(name, s)
		}
	}
}

// openList begins an answer that may be about one node only.
func openList(dst []byte, r *Request) []byte {
	dst = append(append(dst, "<pubsub xmlns='"+r.PubSub.Space+"'><"...), r.About.Local...)
	if node, ok := r.About.Lookup("node"); ok {
		dst = xmpp.AppendAttr(dst, "node", node)
	}
	return append(dst, '>')
}

func shutList(dst []byte, r *Request) []byte {
	return append(append(append(dst, "</"...), r.About.Local...), "></pubsub>"...)
}

// ownSubscriptions tells somebody where he has subscribed (XEP-0060 §5.6).
func (p *PubSub) ownSubscriptions(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	dst = openList(dst, r)
	p.listed(q, r, func(name string, s *shape) {
		for _, jid := range s.people.addresses(q.From.Bare(), func(q person) bool { return q.subscription != unsubscribed }) {
			dst = appendSubscription(dst, name, jid, s.people.get(jid).subscription)
		}
	})
	return shutList(dst, r), nil
}

// ownAffiliations tells somebody what he is to the nodes (XEP-0060 §5.7).
func (p *PubSub) ownAffiliations(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	dst = openList(dst, r)
	one := func(name string, what Affiliation) {
		dst = xmpp.AppendAttr(append(dst, "<affiliation"...), "node", name)
		dst = append(xmpp.AppendAttr(dst, "affiliation", what.String()), "/>"...)
	}
	if only, ok := r.About.Lookup("node"); r.Owned(q) {
		for _, name := range r.at.names() {
			if !ok || name == only {
				one(name, Owner)
			}
		}
		return shutList(dst, r), nil
	}
	p.listed(q, r, func(name string, s *shape) {
		if what := s.people.get(q.From.Bare().String()).affiliation; what != None {
			one(name, what)
		}
	})
	return shutList(dst, r), nil
}

// pages cuts one page out of a list of things that have names (XEP-0059), of at
// most so many of them, which item writes into no more bytes than MaxAnswer.
func pages(names []string, set *xmpp.Node, most int, item func(dst []byte, name string) []byte) (page []string, result form.RSMResult, err error) {
	r, err := form.ParseRSM(set)
	if err != nil {
		return nil, result, err
	}
	place := func(name string) (int, error) {
		for i := range names {
			if names[i] == name {
				return i, nil
			}
		}
		return 0, xmpp.NewError(xmpp.ItemNotFound, "")
	}
	from, to := 0, len(names)
	switch {
	case r.HasAfter:
		if from, err = place(r.After); err != nil {
			return nil, result, err
		}
		from++
	case r.HasBefore && r.Before != "":
		if to, err = place(r.Before); err != nil {
			return nil, result, err
		}
	case r.Index >= 0:
		from = min(r.Index, len(names))
	}
	n := min(most, to-from)
	if r.Max >= 0 {
		n = min(n, r.Max)
	}
	if r.HasBefore {
		from = to - n
	}
	page = fitting(names[from:from+n], r.HasBefore, item)
	if r.HasBefore {
		from = to - len(page)
	}
	n = len(page)
	result = form.RSMResult{Index: from, Count: len(names)}
	if n == 0 {
		result.Index = -1
		return page, result, nil
	}
	result.First, result.Last = page[0], page[n-1]
	return page, result, nil
}

// fitting returns as many of the names, from their beginning or their end, as fit
// into one answer.
func fitting(names []string, fromEnd bool, item func(dst []byte, name string) []byte) []string {
	left, scratch := MaxAnswer, []byte(nil)
	for i := range names {
		at := i
		if fromEnd {
			at = len(names) - 1 - i
		}
		scratch = item(scratch[:0], names[at])
		if left -= len(scratch); left >= 0 || i == 0 {
			continue
		}
		if fromEnd {
			return names[at+1:]
		}
		return names[:at]
	}
	return names
}
