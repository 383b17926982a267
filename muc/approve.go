package muc

import (
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
)

// Approval of registrations (§9.9): where people do not become members by themselves, the admins are asked. The request is
// a message in their history, the answer the form in it: the room itself remembers only whom it has asked about lately.

const (
	fieldAllow  = "muc#register_allow"
	fieldPerson = "x-person" // who it is: the form of the specification has the nick alone

	maxAsked  = 100            // requests of a room that are remembered
	askAgain  = 24 * time.Hour // and for how long
	maxJudges = 20             // admins who are asked
)

// asks reports whether somebody registers only if the admins say so.
func (r *room) asks(a Affiliation) bool {
	return a < Member && (r.config.MembersOnly || r.config.Moderated)
}

// apply puts a wish to be registered before the admins.
func (m *Rooms) apply(d *feature.Dispatch, r *room, nick string) (act, error) {
	person, now := d.From.Bare(), m.host.Now()
	for j, at := range r.asked {
		if now.Sub(at) >= askAgain {
			delete(r.asked, j)
		}
	}
	_, again := r.asked[person]
	if !again && len(r.asked) >= maxAsked {
		return act{}, xmpp.NewError(xmpp.ResourceConstraint, "too many people wait to be let into this room").WithType(xmpp.ErrorWait)
	}
	q := r.request(d)
	judges := r.judges()
	return act{
		apply: func(out *router.Batch) {
			if r.asked == nil {
				r.asked = map[xmpp.JID]time.Time{}
			}
			r.asked[person] = now
			q.succeed(out)
		},
		after: func() {
			if again {
				return
			}
			for _, j := range judges {
				if err := m.inject(r.jid, appendApplication(nil, j, r.jid, person, nick)); err != nil {
					m.host.Log.Warn("an admin of a room was not asked", "room", r.jid.String(), "admin", j.String(), "err", err)
				}
			}
		},
	}, nil
}

// judges are those who are asked, owners first.
func (r *room) judges() []xmpp.JID {
	all := append(r.holders(Owner), r.holders(Admin)...)
	return addressesOf(all[:min(len(all), maxJudges)])
}

func appendApplication(b []byte, to, room, person xmpp.JID, nick string) []byte {
	field := func(name, kind, label, value string) form.Field {
		return form.Field{Var: name, Type: kind, Label: label, Values: []string{value}}
	}
	q := form.New(form.TypeForm, nsRegister,
		field(fieldNick, form.TextSingle, "Desired nickname", nick),
		field(fieldPerson, form.JIDSingle, "User", person.String()),
		field(fieldAllow, form.Boolean, "Allow this person to register with the room?", "0"))
	q.Title, q.Instructions = "Registration request", []string{"Somebody wants to become a member of the room."}
	b = xmpp.AppendAttr(append(b, "<message"...), "to", to.String())
	b = append(b, "><body>"...)
	b = xmpp.AppendText(b, person.String()+" wants to become a member of the room "+room.String()+" as "+nick+".")
	return append(q.Append(append(b, "</body>"...)), "</message>"...)
}

// approve takes an admin's answer. Whoever is let in becomes a member and has the nick.
func (m *Rooms) approve(d *feature.Dispatch, f *form.Form) error {
	if f.Type == form.TypeCancel { // §9.9: the request is skipped
		return nil
	}
	allow, _, err := f.Bool(fieldAllow)
	if err != nil {
		return err
	}
	text, _, err := f.Text(fieldPerson)
	if err != nil {
		return err
	}
	person, err := xmpp.ParseJID(text)
	if err != nil || person.Local() == "" || f.Type != form.TypeSubmit {
		return badRequest("the form does not say who is to be a member")
	}
	person = person.Bare()
	nick, _, err := f.Text(fieldNick)
	if err != nil {
		return err
	}
	return m.changeFor(d, func(r *room, q request) (act, error) {
		now := r.affiliates[person]
		switch {
		case r.given != nil, q.by.affiliation < Admin:
			return act{}, xmpp.NewError(xmpp.Forbidden, "only admins say who is a member of this room")
		case !allow:
			return act{apply: func(*router.Batch) { delete(r.asked, person) }}, nil
		case !m.exists(r.jid, person):
			return act{}, xmpp.NewError(xmpp.ItemNotFound, "there is nobody of the address "+person.String())
		}
		now, err := r.registered(person, now, nick)
		if err != nil {
			return act{}, err
		}
		changes := []affiliationChange{{person: person, to: now}}
		invites := r.invitesFor(d.From.Bare(), changes)
		a, err := r.affiliate(changes, q.nick)
		affiliated := a.apply
		a.apply = func(out *router.Batch) {
			delete(r.asked, person)
			affiliated(out)
		}
		a.after = func() { m.sendInvites(r.jid, invites) }
		return a, err
	})
}

// registered is what somebody is once a nick is his.
func (r *room) registered(person xmpp.JID, now affiliate, nick string) (affiliate, error) {
	k, err := nickKey(nick)
	if err != nil || len(nick) > maxNickSize {
		return now, unacceptable("this cannot be a nick")
	}
	if o := r.occupants[k]; r.isReserved(k, person) || o != nil && o.user != person {
		return now, errNickTaken
	}
	return affiliate{Affiliation: max(now.Affiliation, Member), nick: nick}, nil
}
