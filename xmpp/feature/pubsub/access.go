package pubsub

import (
	"context"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// site is a home as those see it who address it.
type site struct {
	*home
	jid    xmpp.JID
	domain string          // the mail domain
	user   *directory.User // of an account; nil: a service
}

// site returns the home that a request is for. An address that belongs to nobody
// looks like one without nodes.
func (p *PubSub) site(q *feature.Query) (site, error) {
	switch {
	case q.Where == feature.Service && q.Target.Label == label && q.To.IsDomain():
		if h := p.service(q.Domain()); h != nil {
			return site{h, q.To, h.domain, nil}, nil
		}
	case q.Where == feature.Service:
		return site{}, xmpp.NewError(xmpp.ServiceUnavailable, "")
	case q.User != nil && q.Where&(feature.Self|feature.Account) != 0:
		return p.account(q.User), nil
	}
	return site{}, xmpp.NewError(xmpp.ItemNotFound, "")
}

// account is the site of a user.
func (p *PubSub) account(u *directory.User) site { return site{p.home(u.ID), u.JID, u.Domain, u} }

// siteOf is the site of a home; ok is false for the account of nobody.
func (p *PubSub) siteOf(h *home) (at site, ok bool) {
	if !h.isService() {
		u := p.host.Directory.ByID(h.id)
		if u == nil {
			return at, false
		}
		return site{h, u.JID, u.Domain, u}, true
	}
	j, domain, ok := p.address(h)
	return site{h, j, domain, nil}, ok
}

// affiliation is what somebody is to a node.
func (at *site) affiliation(s *shape, bare xmpp.JID) Affiliation {
	if at.user != nil && bare == at.jid {
		return Owner
	}
	if s.people == nil {
		return None
	}
	return s.people.get(bare.String()).affiliation
}

// owners are the addresses of those who own a node.
func (at *site) owners(s *shape) []xmpp.JID {
	if at.user != nil {
		return []xmpp.JID{at.jid}
	}
	var all []xmpp.JID
	for _, text := range s.people.find(isOwner) {
		if j, err := xmpp.ParseJID(text); err == nil {
			all = append(all, j)
		}
	}
	return all
}

// mayRead reports, as an error, why somebody may not read a node (XEP-0060 §6.5.9).
func (p *PubSub) mayRead(at *site, s *shape, who xmpp.JID) error {
	bare := who.Bare()
	if err := p.mayFind(at, s, bare); err != nil || s.Config.Access != Authorize {
		return err
	}
	switch at.affiliation(s, bare) {
	case Owner, Publisher, Member:
		return nil
	}
	if isSubscribed(s.people.get(who.String())) || s.subscribes(bare) {
		return nil
	}
	return Refusal(xmpp.NotAuthorized, "not-subscribed", "")
}

// mayFind reports, as an error, why somebody may not know more of a node than
// its name. Those who may find one of the access model authorize may ask to be
// let in.
func (p *PubSub) mayFind(at *site, s *shape, bare xmpp.JID) error {
	if at.user != nil && bare == at.jid {
		return nil
	}
	if bare.Domain() != at.domain {
		return xmpp.NewError(xmpp.ItemNotFound, "")
	}
	switch at.affiliation(s, bare) {
	case Outcast, PublishOnly: // §4.1
		return xmpp.NewError(xmpp.Forbidden, "")
	case Owner, Publisher, Member:
		return nil
	}
	switch s.Config.Access {
	case Open, Authorize:
		return nil
	case Presence, Roster:
		return p.related(at, s, bare)
	}
	return Refusal(xmpp.NotAllowed, "closed-node", "")
}

// related reports, as an error, that somebody is to no owner what the access
// model asks for.
func (p *PubSub) related(at *site, s *shape, bare xmpp.JID) error {
	sees := false
	if at.user != nil {
		if p.isRelated(at.user, s, bare, &sees) {
			return nil
		}
	} else {
		for _, j := range at.owners(s) {
			if u := p.host.Directory.User(j); u != nil && p.isRelated(u, s, bare, &sees) {
				return nil
			}
		}
	}
	if !sees {
		return Refusal(xmpp.NotAuthorized, "presence-subscription-required", "")
	}
	return Refusal(xmpp.NotAuthorized, "not-in-roster-group", "")
}

func (p *PubSub) isRelated(owner *directory.User, s *shape, bare xmpp.JID, sees *bool) bool {
	if !p.opts.MaySee(owner.ID, bare) {
		return false
	}
	*sees = true
	return s.Config.Access == Presence || p.inGroup(owner.ID, s, bare)
}

func (p *PubSub) inGroup(owner directory.ID, s *shape, who xmpp.JID) bool {
	return p.opts.Groups != nil && slices.ContainsFunc(p.opts.Groups(owner, who), func(g string) bool {
		return slices.Contains(s.Config.Groups, g)
	})
}

// mayPublish reports, as an error, that somebody may not publish to a node
// (XEP-0060 §7.1.3.1).
func (p *PubSub) mayPublish(at *site, s *shape, who xmpp.JID) error {
	bare := who.Bare()
	if bare.Domain() != at.domain {
		return xmpp.NewError(xmpp.ItemNotFound, "")
	}
	forbidden := xmpp.NewError(xmpp.Forbidden, "")
	switch at.affiliation(s, bare) {
	case Owner, Publisher, PublishOnly:
		return nil
	case Outcast:
		return forbidden
	}
	switch s.Config.Publishing {
	case ByAll:
		// Who may not read it is nobody to write to it.
		if p.mayFind(at, s, bare) == nil {
			return nil
		}
	case BySubscribers:
		if p.mayRead(at, s, who) == nil && s.subscribes(bare) {
			return nil
		}
	}
	return forbidden
}

// subscribes reports whether an account has subscribed.
func (s *shape) subscribes(bare xmpp.JID) bool {
	return isSubscribed(s.people.get(bare.String())) || len(s.people.addresses(bare, isSubscribed)) > 0
}

// mayRemove reports, as an error, that somebody may not retract an item or put
// another one in its place (XEP-0060 §4.1): who does not own or run the node does
// so with what is his own.
func (p *PubSub) mayRemove(at *site, s *shape, who xmpp.JID, it *Item) error {
	bare := who.Bare()
	switch at.affiliation(s, bare) {
	case Owner, Publisher:
		return nil
	case Outcast:
	default:
		if u := p.host.Directory.User(bare); u != nil && it.by(u) {
			return nil
		}
	}
	return xmpp.NewError(xmpp.Forbidden, "")
}

// by reports whether a user has published an item, under the address that he had
// then: a namesake has not.
func (it *Item) by(u *directory.User) bool {
	if u.Created.After(it.Published) {
		return false
	}
	if it.Published.Before(u.Renamed) {
		former, err := xmpp.NewJID(u.Former, u.Domain, "")
		return err == nil && it.Publisher == former.String()
	}
	return it.Publisher == u.JID.String()
}

// owned reports, as an error, that somebody does not own a node.
func (at *site) owned(s *shape, who xmpp.JID) error {
	if at.affiliation(s, who.Bare()) != Owner {
		return xmpp.NewError(xmpp.Forbidden, "")
	}
	return nil
}

// nodeOf returns the node that a request is about.
func nodeOf(n *xmpp.Node) (string, error) {
	name := n.Attr("node")
	switch {
	case name == "":
		return "", Refusal(xmpp.BadRequest, "nodeid-required", "")
	case len(name) > maxName:
		return "", unacceptable("the name of a node has at most %d bytes", maxName)
	}
	return name, nil
}

// there returns a node that must be there.
func (p *PubSub) there(at *site, name string) (*shape, error) {
	if s := at.shapeOf(name); s != nil {
		return s, nil
	}
	return nil, p.gone(at, name)
}

// gone is the error for a node that is not there.
func (p *PubSub) gone(at *site, name string) (reason error) {
	err := p.host.State.View(context.Background(), func(tx store.Tx) error {
		reason = missing(tx, at.home, name)
		return nil
	})
	if err != nil {
		return err
	}
	return reason
}
