package muc

import (
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
)

// Registration (§7.10): somebody becomes a member and has a nick for himself.

const fieldNick = "muc#register_roomnick"

// mayRegister reports whether somebody may register. In a room that is moderated or for members only the admins are asked
// first.
func (r *room) mayRegister(a Affiliation) error {
	switch {
	case a == Outcast:
		return xmpp.NewError(xmpp.Forbidden, "you are banned from this room")
	case r.given != nil:
		return xmpp.NewError(xmpp.NotAllowed, "in this room people do not register themselves")
	}
	return nil
}

// reservedNick is the nick that is kept for somebody, "" if none is.
func (r *room) reservedNick(person xmpp.JID) string {
	if r.given != nil {
		if p, ok := r.m.source.Member(r.id, person); ok {
			return p.Nick
		}
		return ""
	}
	return r.affiliates[person].nick
}

// registerGet answers with what somebody is registered as, or with the form.
func (m *Rooms) registerGet(d *feature.Dispatch) ([]byte, error) {
	r, err := m.find(d.To, d.From)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	person := d.From.Bare()
	dst := []byte("<query xmlns='" + xmpp.NSRegister + "'>")
	if nick := r.reservedNick(person); nick != "" {
		dst = append(dst, "<registered/><username>"...)
		return append(xmpp.AppendText(dst, nick), "</username></query>"...), nil
	}
	if err := r.mayRegister(r.affiliation(person)); err != nil {
		return nil, err
	}
	const hint = "Choose the nick that nobody else shall have in this room."
	f := form.New(form.TypeForm, nsRegister, form.Field{Var: fieldNick, Type: form.TextSingle, Label: "Nick", Required: true})
	f.Title, f.Instructions = "Registration with "+r.jid.String(), []string{hint}
	dst = append(xmpp.AppendText(append(dst, "<instructions>"...), hint), "</instructions>"...)
	return append(f.Append(dst), "</query>"...), nil
}

// registerSet registers the sender, or takes that back (XEP-0077 §3.2).
func (m *Rooms) registerSet(d *feature.Dispatch, n *xmpp.Node) error {
	remove := n.Child("", "remove") != nil
	nick := ""
	if !remove {
		x := n.Child(xmpp.NSDataForms, "x")
		if x == nil {
			return badRequest("the form is missing")
		}
		f, err := form.Parse(x)
		if err != nil {
			return err
		}
		if nick, _, err = f.Text(fieldNick); err != nil || nick == "" || f.Type != form.TypeSubmit || f.FormType() != nsRegister {
			return badRequest("the form needs a nick")
		}
	}
	return m.changeFor(d, func(r *room, q request) (act, error) {
		person := d.From.Bare()
		now := affiliate{Affiliation: r.affiliation(person)}
		if err := r.mayRegister(now.Affiliation); err != nil {
			return act{}, err
		}
		switch {
		case remove && now.Affiliation == Member:
			now.Affiliation = None
		case !remove:
			before := now.Affiliation
			var err error
			if now, err = r.registered(person, now, nick); err != nil {
				return act{}, err
			}
			if r.asks(before) {
				return m.apply(d, r, nick)
			}
		}
		a, err := r.affiliate([]affiliationChange{{person: person, to: now}}, "")
		affiliated := a.apply
		a.apply = func(out *router.Batch) {
			q.succeed(out)
			affiliated(out)
		}
		return a, err
	})
}
