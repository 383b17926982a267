package pep

import (
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
)

// may reports, as an error, why somebody may not read a node (XEP-0060 §6.5.9).
func (p *PEP) may(owner *directory.User, s *shape, who xmpp.JID) error {
	bare := who.Bare()
	if bare == owner.JID {
		return nil
	}
	if bare.Domain() != owner.Domain {
		return xmpp.NewError(xmpp.ItemNotFound, "")
	}
	switch s.Affiliations[bare.String()] {
	case Outcast:
		return xmpp.NewError(xmpp.Forbidden, "")
	case Member:
		return nil
	}
	switch s.Config.Access {
	case Open:
		return nil
	case Presence, Roster:
		if !p.opts.MaySee(owner.ID, bare) {
			return refusal(xmpp.NotAuthorized, "presence-subscription-required", "")
		}
		if s.Config.Access == Roster && !p.inGroup(owner.ID, s, bare) {
			return refusal(xmpp.NotAuthorized, "not-in-roster-group", "")
		}
		return nil
	}
	return refusal(xmpp.NotAllowed, "closed-node", "")
}

func (p *PEP) inGroup(owner directory.ID, s *shape, who xmpp.JID) bool {
	return p.opts.Groups != nil && slices.ContainsFunc(p.opts.Groups(owner, who), func(g string) bool {
		return slices.Contains(s.Config.Groups, g)
	})
}

// owned reports, as an error, that a request is not the sender's to make.
func owned(q *feature.Query) error {
	if q.Where != feature.Self || q.User == nil {
		return xmpp.NewError(xmpp.Forbidden, "")
	}
	return nil
}

// nodeOf returns the node that a request is about.
func nodeOf(n *xmpp.Node) (string, error) {
	name := n.Attr("node")
	switch {
	case name == "":
		return "", refusal(xmpp.BadRequest, "nodeid-required", "")
	case len(name) > maxName:
		return "", unacceptable("the name of a node has at most %d bytes", maxName)
	}
	return name, nil
}
