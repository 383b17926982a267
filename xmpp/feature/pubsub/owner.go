package pubsub

import (
	"slices"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

var ownerGetActions = map[string]action{
	"default":       (*PubSub).defaults,
	"configure":     (*PubSub).configuration,
	"affiliations":  (*PubSub).affiliations,
	"subscriptions": (*PubSub).subscribers,
}

var ownerSetActions = map[string]action{
	"configure":     (*PubSub).configure,
	"delete":        (*PubSub).delete,
	"purge":         (*PubSub).purge,
	"affiliations":  (*PubSub).changeAffiliations,
	"subscriptions": (*PubSub).changeSubscriptions,
}

// defaults tells how a node is that nobody has configured (XEP-0060 §8.3).
func (p *PubSub) defaults(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	if _, err := p.mayCreate(&r.at, q); err != nil {
		return nil, err
	}
	c := Standard()
	if r.at.user == nil {
		c = shared()
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSubOwn+"'><default>"...)
	return append(c.form(form.TypeForm).Append(dst), "</default></pubsub>"...), nil
}

// own returns the node that an owner wants something of.
func (p *PubSub) own(q *feature.Query, r *Request) (name string, s *shape, err error) {
	if name, err = nodeOf(r.About); err != nil {
		return "", nil, err
	}
	if r.at.user != nil && !r.Owned(q) {
		return "", nil, xmpp.NewError(xmpp.Forbidden, "") // whether there is such a node or not
	}
	if s, err = p.there(&r.at, name); err != nil {
		return "", nil, err
	}
	return name, s, r.at.owned(s, q.From)
}

// configuration tells how a node is configured (XEP-0060 §8.2).
func (p *PubSub) configuration(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	_, s, err := p.own(q, r)
	if err != nil {
		return nil, err
	}
	return shutList(s.Config.form(form.TypeForm).Append(openList(dst, r)), r), nil
}

// affiliations lists what people are to a node (XEP-0060 §8.9.1).
func (p *PubSub) affiliations(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	_, s, err := p.own(q, r)
	if err != nil {
		return nil, err
	}
	dst = openList(dst, r)
	if r.at.user != nil {
		dst = appendAffiliation(dst, r.at.jid.String(), Owner)
	}
	for _, who := range s.people.find(func(q person) bool { return q.affiliation != None }) {
		dst = appendAffiliation(dst, who, s.people.get(who).affiliation)
	}
	return shutList(dst, r), nil
}

func appendAffiliation(dst []byte, jid string, what Affiliation) []byte {
	dst = xmpp.AppendAttr(append(dst, "<affiliation"...), "jid", jid)
	return append(xmpp.AppendAttr(dst, "affiliation", what.String()), "/>"...)
}

// maxPage is how many subscribers one answer has.
const maxPage = 5000

// subscribers lists who has subscribed to a node (XEP-0060 §8.8.1), page by page
// if there are very many.
func (p *PubSub) subscribers(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	_, s, err := p.own(q, r)
	if err != nil {
		return nil, err
	}
	set := r.PubSub.Child(xmpp.NSRSM, "set")
	all := s.people.find(isSubscribed)
	item := func(dst []byte, who string) []byte { return appendSubscription(dst, "", who, subscribed) }
	page, result, err := pages(all, set, maxPage, item)
	if err != nil {
		return nil, err
	}
	dst = openList(dst, r)
	for _, who := range page {
		dst = item(dst, who)
	}
	dst = append(dst, "</subscriptions>"...)
	if set != nil || len(page) < len(all) {
		dst = result.Append(dst)
	}
	return append(dst, "</pubsub>"...), nil
}

// configure changes how a node is configured (XEP-0060 §8.2.5).
func (p *PubSub) configure(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, _, err := p.own(q, r)
	if err != nil {
		return nil, err
	}
	f, cancelled, err := parseForm(r.About, formConfig)
	switch {
	case err != nil || cancelled:
		return dst, err
	case f == nil:
		return nil, xmpp.NewError(xmpp.BadRequest, "a form was expected")
	}
	return dst, p.changeBy(q.From, r.at.home, func(t *Transaction) error {
		if err := t.configure(name, f); err != nil {
			return err
		}
		return t.touched(name, nil)
	})
}

// delete deletes a node (XEP-0060 §8.4).
func (p *PubSub) delete(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, _, err := p.own(q, r)
	if err != nil {
		return nil, err
	}
	uri := ""
	if to := r.About.Child("", "redirect"); to != nil {
		if uri = to.Attr("uri"); uri == "" || len(uri) > maxText {
			return nil, xmpp.NewError(xmpp.BadRequest, "a node that has moved has an address")
		}
	}
	return dst, p.changeBy(q.From, r.at.home, func(t *Transaction) error {
		if err := t.remove(name, uri); err != nil {
			return err
		}
		return t.touched(name, nil)
	})
}

// purge removes all items of a node (XEP-0060 §8.5).
func (p *PubSub) purge(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, _, err := p.own(q, r)
	if err != nil {
		return nil, err
	}
	return dst, p.changeBy(q.From, r.at.home, func(t *Transaction) error { return t.purge(name) })
}

// wish is one entry of a list of changes.
type wish struct {
	text        string // the address as it was given
	jid         xmpp.JID
	affiliation Affiliation
	is          subscription
	broken      bool // it cannot be
}

// wishes reads a list of changes: of elements with a name, whose attribute of the
// same name has one of some values. Entries that say nothing are left out.
func wishes(about *xmpp.Node, name string, values []string) (all []wish, err error) {
	seen := map[string]bool{}
	for _, c := range about.Children {
		if !c.Is(xmpp.NSPubSubOwn, name) {
			continue
		}
		value, ok := c.Lookup(name)
		if !ok { // XEP-0060 §8.8.2.1, §8.9.2.1
			continue
		}
		w := wish{text: c.Attr("jid")}
		w.jid, err = xmpp.ParseJID(w.text)
		if i := slices.Index(values, value); err != nil || i < 0 || w.jid.Local() == "" {
			w.broken = true
		} else {
			w.text, w.affiliation, w.is = w.jid.String(), Affiliation(i), subscription(i)
		}
		if seen[w.text] { // §8.9.2.4
			return nil, xmpp.NewError(xmpp.BadRequest, "an address is there twice")
		}
		seen[w.text] = true
		all = append(all, w)
	}
	return all, nil
}

// undone is the error when some of several changes cannot be made: none is, and it
// lists how things were and stay (XEP-0060 §8.8.2.4, §8.9.2.4).
func undone(r *Request, all []wish, was func(dst []byte, w *wish) []byte) error {
	e := xmpp.NewError(xmpp.NotAcceptable, "")
	dst := openList(nil, r)
	for i := range all {
		dst = was(dst, &all[i])
	}
	e.Payload = shutList(dst, r)
	return e
}

// changeAffiliations makes people something to a node (XEP-0060 §8.9.2).
func (p *PubSub) changeAffiliations(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, s, err := p.own(q, r)
	if err != nil {
		return nil, err
	}
	all, err := wishes(r.About, "affiliation", affiliations[:])
	if err != nil {
		return nil, err
	}
	alone := r.at.user != nil && p.hooks.Alone != nil && p.hooks.Alone(name)
	bad := false
	for i := range all {
		w := &all[i]
		switch {
		case w.broken || w.jid.IsFull():
			w.broken = true
		case r.at.user != nil && (w.jid == r.at.jid || w.affiliation == Owner):
			w.broken = true // the owner of an account stays its only owner
		case w.affiliation == Owner && p.host.Directory.User(w.jid) == nil:
			w.broken = true
		case alone && w.affiliation != None && w.affiliation != Outcast:
			w.broken = true // XEP-0402 §4, XEP-0490 §8
		}
		bad = bad || w.broken
	}
	was := func(dst []byte, w *wish) []byte {
		what := None
		if !w.jid.IsZero() {
			what = r.at.affiliation(s, w.jid)
		}
		return appendAffiliation(dst, w.text, what)
	}
	if bad {
		return nil, undone(r, all, was)
	}
	return dst, p.changeBy(q.From, r.at.home, func(t *Transaction) error {
		n, err := t.existing(name)
		if err != nil {
			return err
		}
		for i := range all {
			if err := t.affiliate(n, all[i].jid, all[i].affiliation); err != nil {
				return err
			}
		}
		if r.at.user != nil {
			return nil
		}
		fine, err := t.resigned(n)
		if err == nil && !fine {
			err = undone(r, all, was)
		}
		return err
	})
}

// resigned sees to it that a node of the service is on the account of one of its
// owners. It reports false if there is none, or none who has room for it.
func (t *Transaction) resigned(n *touched) (fine bool, err error) {
	if u := t.p.host.Directory.ByID(n.Creator); u != nil {
		is, err := t.person(n, u.JID.String())
		if err != nil || is.affiliation == Owner {
			return true, err
		}
	}
	heir, err := t.heir(n)
	if err != nil || heir == 0 {
		return false, err
	}
	u, err := t.usageOf(heir)
	if err != nil {
		return false, err
	}
	if most := t.limits(heir); u.Nodes >= most.Nodes || u.Bytes+n.Bytes > most.Bytes {
		return false, nil
	}
	return true, t.hand(n, heir)
}

// affiliate makes somebody something to a node. Outcasts are not subscribed.
func (t *Transaction) affiliate(n *touched, who xmpp.JID, what Affiliation) error {
	is, err := t.person(n, who.String())
	if err != nil {
		return err
	}
	is.affiliation = what
	if err := t.setPerson(n, who.String(), is); err != nil || what != Outcast {
		return err
	}
	s := t.home.shapeOf(n.name)
	if s == nil {
		return nil
	}
	for _, jid := range s.people.addresses(who, func(q person) bool { return q.subscription != unsubscribed }) {
		j, err := xmpp.ParseJID(jid)
		if err != nil {
			return err
		}
		if err := t.enlist(n, j, unsubscribed, true); err != nil {
			return err
		}
	}
	return nil
}

// changeSubscriptions subscribes people, or ends that (XEP-0060 §8.8.2).
func (p *PubSub) changeSubscriptions(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, s, err := p.own(q, r)
	if err != nil {
		return nil, err
	}
	all, err := wishes(r.About, "subscription", subscriptions[:])
	if err != nil {
		return nil, err
	}
	bad := false
	for i := range all {
		w := &all[i]
		switch {
		case w.broken || w.is == pending:
			w.broken = true
		case w.is == unsubscribed || s.people.get(w.text).subscription != unsubscribed:
		case w.jid.IsFull() || p.host.Directory.User(w.jid) == nil || w.jid.Domain() != r.at.domain:
			w.broken = true // whoever has not asked is subscribed as a person, and is one
		case p.subscribable(&r.at, s, w.jid) != nil:
			w.broken = true
		}
		bad = bad || w.broken
	}
	if bad {
		return nil, undone(r, all, func(dst []byte, w *wish) []byte {
			return appendSubscription(dst, "", w.text, s.people.get(w.text).subscription)
		})
	}
	return dst, p.changeBy(q.From, r.at.home, func(t *Transaction) error {
		n, err := t.existing(name)
		if err != nil {
			return err
		}
		for i := range all {
			if err := t.enlist(n, all[i].jid, all[i].is, true); err != nil {
				return err
			}
		}
		return nil
	})
}
