package muc

import (
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// affiliationChange is what somebody is to be from now on.
type affiliationChange struct {
	person xmpp.JID // bare, or a domain
	to     affiliate
	reason string
}

// affiliate plans changes of affiliations that have been judged already. by is the nick of whoever makes them.
func (r *room) affiliate(changes []affiliationChange, by string) (act, error) {
	if len(changes) == 0 {
		return act{}, nil
	}
	n := len(r.affiliates)
	for _, c := range changes {
		if _, there := r.affiliates[c.person]; !there && c.to != (affiliate{}) {
			n++
		}
	}
	if n > r.m.opts.MaxAffiliations {
		return act{}, xmpp.NewError(xmpp.ResourceConstraint, "too many people have an affiliation in this room")
	}
	a := act{apply: func(out *router.Batch) {
		for _, c := range changes {
			r.affiliated(out, c, by)
		}
	}}
	if r.config.Persistent {
		a.write = r.writeAffiliations(changes)
	}
	return a, nil
}

func (r *room) writeAffiliations(changes []affiliationChange) func(store.Tx) error {
	keys := make([][]byte, len(changes))
	for i, c := range changes {
		keys[i] = keyAffiliation(r.id, r.m.whoIs(c.person))
	}
	return func(tx store.Tx) error {
		for i, c := range changes {
			var err error
			if c.to == (affiliate{}) {
				err = tx.Delete(space, keys[i])
			} else {
				err = tx.Put(space, keys[i], c.to.append(nil))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// affiliated puts the change of an affiliation in force and lets everybody see it (§9).
func (r *room) affiliated(out *router.Batch, c affiliationChange, by string) {
	r.setAffiliate(c.person, c.to)
	for _, o := range slices.Clone(r.order) {
		if o.user != c.person && (c.person.Local() != "" || o.user.DomainJID() != c.person) {
			continue
		}
		now := r.affiliation(o.user)
		switch {
		case now == Outcast: // §9.1
			r.remove(out, o, removal{now, []int{301}, by, c.reason})
		case r.config.MembersOnly && now < Member: // §9.4
			r.remove(out, o, removal{now, []int{321}, by, c.reason})
		case now != o.affiliation:
			r.assign(out, o, standing{now, r.roleAfter(o, now)}, note{actor: by, reason: c.reason})
		}
	}
}

// roleAfter is an occupant's role when his affiliation becomes another one (§5.1.3): what it brings with it he has, what
// he was besides he stays, unless the affiliation that made him a moderator is gone.
func (r *room) roleAfter(o *occupant, now Affiliation) Role {
	role := roleFor(now, r.config.Moderated)
	if role > o.role || o.affiliation >= Admin {
		return role
	}
	return o.role
}

// The requests of moderators and admins (§8, §9, §10.3-§10.8).

// item is one <item/> of such a request.
type item struct {
	person xmpp.JID // bare; zero: the nick says who
	nick   string
	named  bool // it has a nick, an empty one takes a reservation back
	role   Role
	aff    Affiliation
	isRole bool
	reason string
}

func badRequest(text string) *xmpp.Error { return xmpp.NewError(xmpp.BadRequest, text) }

// parseItems reads the items of a request. set says that they are changes.
func (m *Rooms) parseItems(q *xmpp.Node, set bool) (all []item, err error) {
	for _, n := range q.Children {
		if !n.Is(xmpp.NSMUCAdmin, "item") {
			continue
		}
		if len(all) == m.opts.MaxItems {
			return nil, xmpp.NewError(xmpp.PolicyViolation, "too many items in one request")
		}
		i, err := parseItem(n)
		if err != nil {
			return nil, err
		}
		if set && i.isRole && i.nick == "" {
			return nil, badRequest("whose role is to change is said by the nick") // §17.4
		}
		if set && !i.isRole && i.person.IsZero() && i.nick == "" {
			return nil, badRequest("whose affiliation is to change is said by the address")
		}
		same := func(x item) bool { return x.isRole == i.isRole && x.role == i.role && x.aff == i.aff }
		if set || !slices.ContainsFunc(all, same) { // a list may be long, and is told once
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return nil, badRequest("there is no item in the request")
	}
	return all, nil
}

func parseItem(n *xmpp.Node) (i item, err error) {
	role, hasRole := n.Lookup("role")
	aff, hasAff := n.Lookup("affiliation")
	if hasRole == hasAff { // §17.4
		return i, badRequest("an item has either a role or an affiliation")
	}
	i.isRole = hasRole
	ok := false
	if hasRole {
		i.role, ok = ParseRole(role)
	} else {
		i.aff, ok = ParseAffiliation(aff)
	}
	if !ok {
		return i, badRequest("there is no such role or affiliation")
	}
	if j := n.Attr("jid"); j != "" {
		if i.person, err = xmpp.ParseJID(j); err != nil {
			return i, err
		}
		i.person = i.person.Bare() // §10.3
	}
	i.nick, i.named = n.Lookup("nick")
	if i.reason = n.ChildText("", "reason"); len(i.reason) > maxText {
		return i, xmpp.NewError(xmpp.NotAcceptable, "the reason is too long")
	}
	return i, nil
}

// adminGet answers with a list of people (§8.5, §9.2, §9.5, §9.8, §10.5, §10.8).
func (m *Rooms) adminGet(d *feature.Dispatch, q *xmpp.Node) ([]byte, error) {
	items, err := m.parseItems(q, false)
	if err != nil {
		return nil, err
	}
	r, err := m.find(d.To, d.From)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	by := r.standingOf(d.From)
	dst := []byte("<query xmlns='" + xmpp.NSMUCAdmin + "'>")
	for _, i := range items {
		if !r.mayList(by, i) {
			return nil, xmpp.NewError(xmpp.Forbidden, "this list is not for you")
		}
		if i.isRole {
			dst = r.appendRoleList(dst, i.role)
		} else {
			dst = r.appendAffiliationList(dst, i.aff)
		}
	}
	return append(dst, "</query>"...), nil
}

// mayList says who may read which list.
func (r *room) mayList(by standing, i item) bool {
	open := r.config.NonAnonymous && by.affiliation >= Member
	switch {
	case i.isRole && i.role == Moderator: // §9.8
		return by.affiliation >= Admin
	case i.isRole: // §8.5
		return by.role == Moderator
	case i.aff >= Admin: // §10.5, §10.8
		return by.affiliation == Owner || open
	case i.aff == Member: // §9.5
		return by.affiliation >= Admin || open || r.config.Lists.has(by.role) && by.role != NoRole
	}
	return by.affiliation >= Admin // §9.2
}

func (r *room) appendRoleList(dst []byte, role Role) []byte {
	for _, o := range r.order {
		if o.role == role {
			dst = appendItem(dst, o.affiliation.String(), o.seats[0].jid, o.nick, role.String())
			dst = append(dst, "/>"...)
		}
	}
	return dst
}

func appendItem(dst []byte, affiliation string, j xmpp.JID, nick, role string) []byte {
	dst = append(dst, "<item"...)
	for _, a := range []struct{ name, value string }{{"affiliation", affiliation}, {"jid", j.String()}, {"nick", nick}, {"role", role}} {
		if a.value != "" {
			dst = xmpp.AppendAttr(dst, a.name, a.value)
		}
	}
	return dst
}

func (r *room) appendAffiliationList(dst []byte, a Affiliation) []byte {
	for _, p := range r.holders(a) {
		dst = appendItem(dst, a.String(), p.person, p.to.nick, "")
		if p.to.reason == "" {
			dst = append(dst, "/>"...)
			continue
		}
		dst = append(xmpp.AppendText(append(dst, "><reason>"...), p.to.reason), "</reason></item>"...)
	}
	return dst
}

// holders returns who has an affiliation, in the order of the addresses.
func (r *room) holders(a Affiliation) []affiliationChange {
	var all []affiliationChange
	if r.given != nil {
		for p := range r.m.source.Members(r.id) {
			if p.Affiliation == a {
				all = append(all, affiliationChange{person: p.JID, to: affiliate{Affiliation: a, nick: p.Nick}})
			}
		}
	}
	for j, x := range r.affiliates {
		if x.Affiliation == a {
			all = append(all, affiliationChange{person: j, to: x})
		}
	}
	slices.SortFunc(all, byAddress)
	return all
}

func byAddress(x, y affiliationChange) int {
	return strings.Compare(x.person.String(), y.person.String())
}

// roleChange is what an occupant is to be from now on.
type roleChange struct {
	of     *occupant
	to     Role
	reason string
}

// request is a request about a room and whoever makes it.
type request struct {
	d    *feature.Dispatch
	by   standing
	nick string // empty: not in the room
}

func (r *room) request(d *feature.Dispatch) request {
	q := request{d: d, by: r.standingOf(d.From)}
	if s := r.clients[d.From]; s != nil {
		q.nick = s.of.nick
	}
	return q
}

// succeed answers a request. It is sent before what others are told, so that the sender hears it first (§8.2).
func (q *request) succeed(out *router.Batch) {
	q.d.Reply(out, xmpp.AppendResult(nil, q.d.Stanza, nil))
}

// adminSet makes changes of roles and affiliations: all that the request has, or none (§9.2).
func (m *Rooms) adminSet(d *feature.Dispatch, n *xmpp.Node) error {
	items, err := m.parseItems(n, true)
	if err != nil {
		return err
	}
	return m.changeFor(d, func(r *room, q request) (act, error) {
		var roles []roleChange
		var changes []affiliationChange
		for _, i := range items {
			if i.isRole {
				c, err := r.judgeRole(&q, i)
				if err != nil {
					return act{}, err
				}
				roles = append(roles, c)
				continue
			}
			c, err := r.judgeAffiliation(&q, i)
			if err != nil {
				return act{}, err
			}
			changes = append(changes, c)
		}
		if err := r.ownersRemain(changes); err != nil {
			return act{}, err
		}
		if err := r.spend(d.From, len(roles)+r.countPresent(changes)); err != nil {
			return act{}, err
		}
		invites := r.invitesFor(d.From.Bare(), changes)
		a, err := r.affiliate(changes, q.nick)
		affiliated := a.apply
		a.apply = func(out *router.Batch) {
			q.succeed(out)
			r.assignAll(out, roles, q.nick)
			if affiliated != nil {
				affiliated(out)
			}
		}
		a.after = func() { m.sendInvites(r.jid, invites) }
		return a, err
	})
}

// countPresent is how many occupants are among those whose affiliation changes.
func (r *room) countPresent(changes []affiliationChange) (n int) {
	people := make(map[xmpp.JID]bool, len(changes))
	for _, c := range changes {
		people[c.person] = true
	}
	for _, o := range r.order {
		if people[o.user] || people[o.user.DomainJID()] {
			n++
		}
	}
	return n
}

func (r *room) judgeRole(q *request, i item) (c roleChange, err error) {
	if q.by.role < Moderator && q.by.affiliation < Admin { // §8
		return c, xmpp.NewError(xmpp.Forbidden, "you are no moderator of this room")
	}
	o := r.byNick(i.nick)
	if o == nil {
		return c, xmpp.NewError(xmpp.ItemNotFound, "there is nobody of that nick")
	}
	if v := mayAssign(q.by, o.standing, i.role); v != may {
		return c, xmpp.NewError(v, "you may not change the role of "+o.nick)
	}
	return roleChange{o, i.role, i.reason}, nil
}

func (r *room) assignAll(out *router.Batch, all []roleChange, by string) {
	for _, c := range all {
		switch {
		case len(c.of.seats) == 0: // gone meanwhile
		case c.to == NoRole: // §8.2
			r.remove(out, c.of, removal{c.of.affiliation, []int{307}, by, c.reason})
		case c.to != c.of.role:
			r.assign(out, c.of, standing{c.of.affiliation, c.to}, note{actor: by, reason: c.reason})
		}
	}
}

func (r *room) judgeAffiliation(q *request, i item) (c affiliationChange, err error) {
	if r.given != nil || q.by.affiliation < Admin { // §9
		return c, xmpp.NewError(xmpp.Forbidden, "the affiliations of this room are not yours to change")
	}
	person := i.person
	if person.IsZero() {
		o := r.byNick(i.nick)
		if o == nil {
			return c, xmpp.NewError(xmpp.ItemNotFound, "there is nobody of that nick")
		}
		person = o.user
		i.named = false
	}
	before := r.affiliates[person]
	switch v := mayAffiliate(q.by.affiliation, r.affiliation(person), i.aff); {
	case i.aff == Outcast && person == q.d.From.Bare(): // §9.1
		return c, xmpp.NewError(xmpp.Conflict, "you cannot ban yourself")
	case v != may:
		return c, xmpp.NewError(v, "you may not change the affiliation of "+person.String())
	case person.Local() == "" && i.aff != Outcast && i.aff != None:
		return c, xmpp.NewError(xmpp.NotAllowed, "a domain can be banned and nothing else")
	case before == (affiliate{}) && i.aff != None && !r.m.exists(r.jid, person):
		return c, xmpp.NewError(xmpp.ItemNotFound, "there is nobody of the address "+person.String())
	}
	c = affiliationChange{person: person, to: affiliate{Affiliation: i.aff}, reason: i.reason}
	switch {
	case i.aff == Outcast: // §9.1: without a reserved nick
		c.to.reason = i.reason
	case i.aff == None:
	case !i.named: // §9.5
		c.to.nick = before.nick
	case i.nick != "":
		k, err := nickKey(i.nick)
		if err != nil || len(i.nick) > maxNickSize {
			return c, xmpp.NewError(xmpp.NotAcceptable, "this cannot be a nick")
		}
		if r.isReserved(k, person) {
			return c, errNickTaken
		}
		c.to.nick = i.nick
	}
	return c, nil
}

// exists reports whether there is somebody at an address that a room is to know. The domains of one server never see one
// another, and who is elsewhere is not known here.
func (m *Rooms) exists(room, person xmpp.JID) bool {
	if m.host.Directory.Domain(person.Domain()) == nil {
		return true
	}
	return person.Domain() == domainOf(room) && (person.Local() == "" || m.host.Directory.User(person) != nil)
}

// ownersRemain refuses changes after which nobody owns the room (§10.4).
func (r *room) ownersRemain(changes []affiliationChange) error {
	if r.given != nil || len(changes) == 0 {
		return nil
	}
	next := map[xmpp.JID]bool{}
	for j, a := range r.affiliates {
		if a.Affiliation == Owner {
			next[j] = true
		}
	}
	had := len(next)
	for _, c := range changes {
		if c.to.Affiliation == Owner {
			next[c.person] = true
		} else {
			delete(next, c.person)
		}
	}
	if len(next) == 0 && had > 0 {
		return xmpp.NewError(xmpp.Conflict, "a room has an owner at all times")
	}
	return nil
}

// invitesFor are the invitations for those who become members of a members-only room (§9.5).
func (r *room) invitesFor(by xmpp.JID, changes []affiliationChange) (all []invite) {
	if !r.config.MembersOnly {
		return nil
	}
	for _, c := range changes {
		if c.to.Affiliation >= Member && r.affiliation(c.person) == None && r.m.host.Directory.User(c.person) != nil {
			all = append(all, invite{to: c.person, from: by, password: r.config.Password})
		}
	}
	return all
}
