package muc

import "confab/xmpp"

// Affiliation is the lasting standing of a person in a room (XEP-0045 §5.2). Higher ones can do what lower ones can.
type Affiliation int8

// The affiliations. None is the zero value.
const (
	Outcast Affiliation = iota - 1
	None
	Member
	Admin
	Owner
)

var affiliationNames = [...]string{"outcast", "none", "member", "admin", "owner"}

func (a Affiliation) String() string { return affiliationNames[a-Outcast] }

// ParseAffiliation reads the name of an affiliation.
func ParseAffiliation(s string) (a Affiliation, ok bool) {
	for i, name := range affiliationNames {
		if s == name {
			return Outcast + Affiliation(i), true
		}
	}
	return None, false
}

// Role is what an occupant may do during a visit (XEP-0045 §5.1).
type Role uint8

// The roles. NoRole is that of somebody who is not in the room.
const (
	NoRole Role = iota
	Visitor
	Participant
	Moderator
)

var roleNames = [...]string{"none", "visitor", "participant", "moderator"}

func (r Role) String() string { return roleNames[r] }

// ParseRole reads the name of a role.
func ParseRole(s string) (r Role, ok bool) {
	for i, name := range roleNames {
		if s == name {
			return Role(i), true
		}
	}
	return NoRole, false
}

// roleSet is a set of roles.
type roleSet uint8

func (s roleSet) has(r Role) bool { return s&(1<<r) != 0 }

const allRoles roleSet = 1<<Visitor | 1<<Participant | 1<<Moderator

// entryRole is the role that an affiliation enters with (§5.1.2): unmoderated rooms in the first row, moderated ones in
// the second. An outcast does not enter; whether somebody without an affiliation does is decided elsewhere.
var entryRole = [2][5]Role{
	{NoRole, Participant, Participant, Moderator, Moderator},
	{NoRole, Visitor, Participant, Moderator, Moderator},
}

func roleFor(a Affiliation, moderated bool) Role {
	row := 0
	if moderated {
		row = 1
	}
	return entryRole[row][a-Outcast]
}

// Who may change what. A verdict is the condition of the error that XEP-0045 names for the case, "" if the change may be
// made.
type verdict = xmpp.Condition

const may verdict = ""

// adminChanges says what an admin may make of whom: rows are what somebody is, columns what they are to be (§5.2.2). An
// owner may do anything, others nothing.
//
//	§9.1: banning somebody higher is not-allowed. §10.5, §10.6, §10.8: the lists of admins and owners are the owners', and
//	whoever else touches them is forbidden to.
var adminChanges = [5][5]verdict{
	//           outcast          none            member          admin           owner
	{ /*outcast*/ may, may, may, xmpp.Forbidden, xmpp.Forbidden},
	{ /*none   */ may, may, may, xmpp.Forbidden, xmpp.Forbidden},
	{ /*member */ may, may, may, xmpp.Forbidden, xmpp.Forbidden},
	{ /*admin  */ xmpp.NotAllowed, xmpp.Forbidden, xmpp.Forbidden, may, xmpp.Forbidden},
	{ /*owner  */ xmpp.NotAllowed, xmpp.Forbidden, xmpp.Forbidden, xmpp.Forbidden, may},
}

// mayAffiliate judges the change of somebody's affiliation.
func mayAffiliate(actor, from, to Affiliation) verdict {
	switch {
	case actor == Owner:
		return may
	case actor == Admin:
		return adminChanges[from-Outcast][to-Outcast]
	}
	return xmpp.Forbidden
}

// standing is what somebody is in a room.
type standing struct {
	affiliation Affiliation
	role        Role
}

// mayAssign judges the change of an occupant's role (§5.1.3).
func mayAssign(actor, target standing, to Role) verdict {
	moderates, administers := actor.role == Moderator, actor.affiliation >= Admin
	demotes := to == Participant && target.role == Moderator
	switch {
	case (to == Moderator || demotes) && !administers: // §9.6, §9.7
		return xmpp.Forbidden
	case !moderates && !administers:
		return xmpp.Forbidden
	case to == NoRole && target.affiliation > actor.affiliation: // §8.2
		return xmpp.NotAllowed
	case to < Participant && target.role == Moderator && !administers: // §5.1.3
		return xmpp.NotAllowed
	case to == Visitor && outranks(target.affiliation, actor.affiliation): // §8.4
		return xmpp.NotAllowed
	case (to == Visitor || demotes) && target.affiliation >= Admin: // §8.4, §9.7
		return xmpp.NotAllowed
	}
	return may
}

// outranks reports whether somebody is at the level of an actor or above it. Without an affiliation nobody has a level.
func outranks(target, actor Affiliation) bool {
	return target > actor || target == actor && target > None
}
