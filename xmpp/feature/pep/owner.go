package pep

import (
	"context"
	"maps"
	"slices"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// ownerGet answers the owner's questions about nodes (XEP-0060 §8).
func (p *PEP) ownerGet(q *feature.Query, dst []byte) ([]byte, error) {
	_, about, err := open(q)
	if err != nil {
		return nil, err
	}
	if err := owned(q); err != nil {
		return nil, err
	}
	if about.Local == "default" { // §8.3
		c := standard()
		dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSubOwn+"'><default>"...)
		return append(c.form(form.TypeForm).Append(dst), "</default></pubsub>"...), nil
	}
	name, err := nodeOf(about)
	if err != nil {
		return nil, err
	}
	if name == nodeLegacy {
		name = nodeBookmarks // it is the same to whom it may be shown
	}
	s := p.known(q.User.ID).shapeOf(name)
	if s == nil {
		return nil, xmpp.NewError(xmpp.ItemNotFound, "")
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSubOwn+"'><"...)
	dst = xmpp.AppendAttr(append(dst, about.Local...), "node", about.Attr("node"))
	dst = append(dst, '>')
	switch about.Local {
	case "configure": // §8.2
		dst = s.Config.form(form.TypeForm).Append(dst)
	case "affiliations": // §8.9.1
		dst = appendAffiliation(dst, q.User.JID.String(), "owner")
		for _, who := range slices.Sorted(maps.Keys(s.Affiliations)) {
			dst = appendAffiliation(dst, who, string(s.Affiliations[who]))
		}
	case "subscriptions": // §8.8.1
		for _, who := range s.Subscriptions {
			dst = appendSubscription(dst, "", who)
		}
	default:
		return nil, xmpp.NewError(xmpp.FeatureNotImplemented, "")
	}
	dst = append(append(dst, "</"...), about.Local...)
	return append(dst, "></pubsub>"...), nil
}

func appendAffiliation(dst []byte, jid, what string) []byte {
	dst = xmpp.AppendAttr(append(dst, "<affiliation"...), "jid", jid)
	return append(xmpp.AppendAttr(dst, "affiliation", what), "/>"...)
}

// ownerSet carries out what the owner wants done with a node.
func (p *PEP) ownerSet(q *feature.Query, dst []byte) ([]byte, error) {
	_, about, err := open(q)
	if err != nil {
		return nil, err
	}
	if err := owned(q); err != nil {
		return nil, err
	}
	name, err := nodeOf(about)
	if err != nil {
		return nil, err
	}
	if name == nodeLegacy {
		return dst, p.configureLegacy(about)
	}
	var fn func(t *transaction) error
	switch about.Local {
	case "configure":
		f, cancelled, err := parseForm(about, formConfig)
		if err != nil || cancelled {
			return dst, err
		}
		if f == nil {
			return nil, xmpp.NewError(xmpp.BadRequest, "a form was expected")
		}
		fn = func(t *transaction) error { return t.configure(name, f) }
	case "delete": // §8.4
		fn = func(t *transaction) error {
			if err := t.remove(name); err != nil {
				return err
			}
			return t.avatarTouched(name)
		}
	case "purge": // §8.5
		fn = func(t *transaction) error { return t.purgeAsked(name) }
	case "affiliations":
		if fn, err = changeAffiliations(name, about, q.User.JID); err != nil {
			return nil, err
		}
	case "subscriptions":
		return nil, unsupported("manage-subscriptions")
	default:
		return nil, xmpp.NewError(xmpp.FeatureNotImplemented, "")
	}
	return dst, p.change(context.Background(), q.User.ID, fn)
}

func (t *transaction) purgeAsked(name string) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	if n.Config.Transient { // §8.5.3.4
		return unsupported("persistent-items")
	}
	if err := t.purge(name); err != nil {
		return err
	}
	return t.avatarTouched(name)
}

// changeAffiliations reads a request to make people members or outcasts
// (XEP-0060 §8.9.2).
func changeAffiliations(name string, about *xmpp.Node, owner xmpp.JID) (func(t *transaction) error, error) {
	type change struct {
		who  xmpp.JID
		what Affiliation
	}
	var changes []change
	for _, c := range about.Children {
		if !c.Is(xmpp.NSPubSubOwn, "affiliation") {
			continue
		}
		who, err := xmpp.ParseJID(c.Attr("jid"))
		if err != nil || who.Local() == "" {
			return nil, xmpp.NewError(xmpp.BadRequest, "an affiliation is that of an address")
		}
		if who.Bare() == owner {
			return nil, unacceptable("the owner stays the owner")
		}
		switch what := c.Attr("affiliation"); what {
		case "none":
			changes = append(changes, change{who.Bare(), ""})
		case string(Member), string(Outcast):
			changes = append(changes, change{who.Bare(), Affiliation(what)})
		default:
			return nil, unacceptable("possible are member, outcast and none")
		}
	}
	return func(t *transaction) error {
		if _, err := t.existing(name); err != nil {
			return err
		}
		for _, c := range changes {
			if err := t.affiliate(name, c.who, c.what); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
