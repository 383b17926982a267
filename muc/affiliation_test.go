package muc

import (
	"testing"

	"confab/xmpp"
)

const forbidden, notAllowed = xmpp.Forbidden, xmpp.NotAllowed

// TestMayAffiliate goes through all of XEP-0045 §5.2.2: who may make whom what.
func TestMayAffiliate(t *testing.T) {
	all := []Affiliation{Outcast, None, Member, Admin, Owner}
	for _, from := range all {
		for _, to := range all {
			if v := mayAffiliate(Owner, from, to); v != may {
				t.Errorf("an owner, %v to %v: %q", from, to, v)
			}
			for _, actor := range []Affiliation{Outcast, None, Member} {
				if v := mayAffiliate(actor, from, to); v != forbidden {
					t.Errorf("%v, %v to %v: %q", actor, from, to, v)
				}
			}
			want := may
			switch {
			case from == to && from >= Admin: // nothing changes
			case from >= Admin && to == Outcast:
				want = notAllowed // §9.1
			case from >= Admin || to >= Admin:
				want = forbidden // §10.5, §10.8
			}
			if v := mayAffiliate(Admin, from, to); v != want {
				t.Errorf("an admin, %v to %v: %q, not %q", from, to, v, want)
			}
		}
	}
}

// TestMayAssign goes through XEP-0045 §5.1.3, §8 and §9: who may give whom which role.
func TestMayAssign(t *testing.T) {
	owner, admin := standing{Owner, Moderator}, standing{Admin, Moderator}
	member, nobody := standing{Member, Participant}, standing{None, Participant}
	visitor := standing{None, Visitor}
	deputy, helper := standing{Member, Moderator}, standing{None, Moderator} // moderators by role alone
	away := standing{Admin, NoRole}                                          // an admin who is not in the room
	tests := []struct {
		name          string
		actor, target standing
		to            Role
		want          verdict
	}{
		{"§8.2 a moderator kicks a participant", helper, nobody, NoRole, may},
		{"§5.1.3 a moderator kicks a moderator", helper, helper, NoRole, notAllowed},
		{"§5.1.3 a moderator takes a moderator's voice", helper, helper, Visitor, notAllowed},
		{"§5.1.3 an admin kicks a moderator", admin, helper, NoRole, may},
		{"§5.1.3 an admin takes a moderator's voice", admin, deputy, Visitor, may},
		{"§8.2 a participant kicks", member, nobody, NoRole, forbidden},
		{"§8.2 a visitor kicks", visitor, nobody, NoRole, forbidden},
		{"§8.2 a moderator without affiliation kicks a member", helper, member, NoRole, notAllowed},
		{"§8.2 a moderator kicks an admin", deputy, admin, NoRole, notAllowed},
		{"§8.2 an admin kicks an owner", admin, owner, NoRole, notAllowed},
		{"§8.2 an owner kicks an admin", owner, admin, NoRole, may},
		{"§8.2 an admin kicks from outside", away, nobody, NoRole, may},
		{"§8.3 a moderator gives a voice", helper, visitor, Participant, may},
		{"§8.3 a participant gives a voice", member, visitor, Participant, forbidden},
		{"§8.4 a moderator takes a voice", helper, nobody, Visitor, may},
		{"§8.4 a participant takes a voice", member, nobody, Visitor, forbidden},
		{"§8.4 a moderator takes a member's voice", helper, member, Visitor, notAllowed},
		{"§8.4 a member takes a member's voice", deputy, member, Visitor, notAllowed},
		{"§8.4 an admin takes a member's voice", admin, member, Visitor, may},
		{"§8.4 an owner takes an admin's voice", owner, admin, Visitor, notAllowed},
		{"§8.4 an owner takes an owner's voice", owner, owner, Visitor, notAllowed},
		{"§9.6 an admin makes a moderator", admin, nobody, Moderator, may},
		{"§9.6 a moderator makes a moderator", deputy, nobody, Moderator, forbidden},
		{"§9.7 an admin takes a moderator's role", admin, helper, Participant, may},
		{"§9.7 a moderator takes a moderator's role", helper, helper, Participant, forbidden},
		{"§9.7 an admin takes an admin's role", admin, admin, Participant, notAllowed},
		{"§9.7 an owner takes an admin's role", owner, admin, Participant, notAllowed},
	}
	for _, x := range tests {
		if v := mayAssign(x.actor, x.target, x.to); v != x.want {
			t.Errorf("%s: %q, not %q", x.name, v, x.want)
		}
	}
}

// TestEntryRole is the table of XEP-0045 §5.1.2.
func TestEntryRole(t *testing.T) {
	tests := []struct {
		a                    Affiliation
		unmoderated, talking Role
	}{
		{None, Participant, Visitor}, {Member, Participant, Participant}, {Admin, Moderator, Moderator}, {Owner, Moderator, Moderator},
	}
	for _, x := range tests {
		if r := roleFor(x.a, false); r != x.unmoderated {
			t.Errorf("%v enters an unmoderated room as %v", x.a, r)
		}
		if r := roleFor(x.a, true); r != x.talking {
			t.Errorf("%v enters a moderated room as %v", x.a, r)
		}
	}
}

func TestNames(t *testing.T) {
	for a := Outcast; a <= Owner; a++ {
		if b, ok := ParseAffiliation(a.String()); !ok || a != b {
			t.Errorf("%v is read as %v", a, b)
		}
	}
	for r := NoRole; r <= Moderator; r++ {
		if b, ok := ParseRole(r.String()); !ok || r != b {
			t.Errorf("%v is read as %v", r, b)
		}
	}
	for _, s := range []string{"", "Owner", "moderator "} {
		if _, ok := ParseAffiliation(s); ok {
			t.Errorf("%q is an affiliation", s)
		}
	}
}
