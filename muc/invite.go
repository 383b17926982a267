package muc

import (
	"slices"
	"time"

	"confab/archive"
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
)

// maxInvites bounds how many people one message may invite.
const maxInvites = 20

// invitation handles mediated invitations and refusals of them (§7.8.2): the room passes them on.
func (m *Rooms) invitation(d *feature.Dispatch, x *xmpp.Node) (handled bool, err error) {
	var invites []*xmpp.Node
	for _, c := range x.Children {
		if c.Is(xmpp.NSMUCUser, "invite") {
			invites = append(invites, c)
		}
	}
	decline := x.Child("", "decline")
	if len(invites) == 0 && decline == nil || d.Stanza.Type == xmpp.TypeGroupchat {
		return false, nil
	}
	if worth, _ := archive.Worth(d.Stanza); worth && d.Session != nil {
		d.Copies = append(d.Copies, feature.Copy{Owner: d.Session.User(), OwnerJID: d.From.Bare(), With: d.To})
	}
	if decline != nil {
		return true, m.decline(d, decline)
	}
	if len(invites) > maxInvites {
		return true, xmpp.NewError(xmpp.PolicyViolation, "too many people are invited at once")
	}
	var all []invite
	for _, n := range invites {
		to, err := xmpp.ParseJID(n.Attr("to"))
		if err != nil {
			return true, err
		}
		if err := m.reachable(d, to); err != nil {
			return true, err
		}
		i := invite{to: to, from: d.From.Bare(), reason: n.ChildText("", "reason")}
		if c := n.Child("", "continue"); c != nil { // §7.9
			i.goesOn, i.thread = true, c.Attr("thread")
		}
		if len(i.reason) > maxText || len(i.thread) > maxText {
			return true, unacceptable("the reason is too long")
		}
		all = append(all, i)
	}
	return true, m.invite(d, all)
}

// reachable checks that there is somebody at an address that a room is to write to.
func (m *Rooms) reachable(d *feature.Dispatch, to xmpp.JID) error {
	switch {
	case m.host.Table.Elsewhere(to, d.To) != nil: // behind a component
		return nil
	case m.host.Directory.Domain(to.Domain()) == nil:
		return xmpp.NewError(xmpp.RemoteServerNotFound, "")
	case to.Domain() != domainOf(d.To), m.host.Directory.User(to) == nil:
		return xmpp.NewError(xmpp.ItemNotFound, "there is nobody of that address")
	}
	return nil
}

// invite is an invitation on its way.
type invite struct {
	to, from xmpp.JID
	reason   string
	password string
	goesOn   bool
	thread   string
}

// invite passes invitations on. In members-only rooms whoever is invited becomes a member, and who may not edit the list of
// members invites nobody: not even somebody who is on it, which he would learn by that (§7.8.2).
func (m *Rooms) invite(d *feature.Dispatch, all []invite) error {
	return m.changeFor(d, func(r *room, q request) (act, error) {
		switch {
		case q.by.role == NoRole && q.by.affiliation < Member:
			return act{}, errNotIn
		case r.locked:
			return act{}, errNoRoom
		case r.config.MembersOnly && r.given == nil && q.by.affiliation < Admin && (!r.config.MembersInvite || q.by.affiliation < Member):
			return act{}, xmpp.NewError(xmpp.Forbidden, "you may not invite anybody into this room")
		}
		var fresh []affiliationChange
		var sent []invite
		for _, i := range all {
			to := i.to.Bare()
			a := r.affiliation(to)
			switch {
			case a == Outcast && q.by.affiliation >= Admin:
				return act{}, xmpp.NewError(xmpp.Forbidden, "who is banned cannot be invited")
			case a == Outcast: // §9.2: who is banned is not for everybody to know
				continue
			case r.config.MembersOnly && a < Member:
				if r.given != nil {
					return act{}, xmpp.NewError(xmpp.Forbidden, "the members of this room are not chosen here")
				}
				fresh = append(fresh, affiliationChange{person: to, to: affiliate{Affiliation: Member}})
			}
			i.password = r.config.Password
			sent = append(sent, i)
		}
		a, err := r.affiliate(fresh, "")
		a.after = func() { m.sendInvites(r.jid, sent) }
		return a, err
	})
}

func (m *Rooms) sendInvites(room xmpp.JID, all []invite) {
	for i := range all {
		if err := m.inject(room, all[i].append(nil)); err != nil {
			m.host.Log.Warn("an invitation was not passed on", "room", room.String(), "to", all[i].to.String(), "err", err)
		}
	}
}

func (i *invite) append(b []byte) []byte {
	b = xmpp.AppendAttr(append(b, "<message"...), "to", i.to.String())
	b = append(b, "><x xmlns='"+xmpp.NSMUCUser+"'><invite"...)
	b = append(xmpp.AppendAttr(b, "from", i.from.String()), '>')
	if i.reason != "" {
		b = append(xmpp.AppendText(append(b, "<reason>"...), i.reason), "</reason>"...)
	}
	if i.goesOn {
		b = append(b, "<continue"...)
		if i.thread != "" {
			b = xmpp.AppendAttr(b, "thread", i.thread)
		}
		b = append(b, "/>"...)
	}
	b = append(b, "</invite>"...)
	if i.password != "" {
		b = append(xmpp.AppendText(append(b, "<password>"...), i.password), "</password>"...)
	}
	return append(b, "</x></message>"...)
}

// decline tells whoever invited somebody that he does not come. Nobody else can be written to in this way, and who is in the
// room is told to nobody.
func (m *Rooms) decline(d *feature.Dispatch, n *xmpp.Node) error {
	to, err := xmpp.ParseJID(n.Attr("to"))
	if err != nil {
		return err
	}
	reason := n.ChildText("", "reason")
	if len(reason) > maxText {
		return unacceptable("the reason is too long")
	}
	r, err := m.find(d.To, d.From)
	if err != nil {
		return err
	}
	if o := r.at(to); o != nil {
		to = o.user
	}
	err = r.mayEnter(d.From.Bare())
	belongs := r.affiliation(to.Bare()) >= Member ||
		slices.ContainsFunc(r.order, func(o *occupant) bool { return o.user == to.Bare() })
	r.mu.Unlock()
	if err != nil || !belongs {
		return err
	}
	b := xmpp.AppendAttr([]byte("<message"), "to", to.String())
	b = append(b, "><x xmlns='"+xmpp.NSMUCUser+"'><decline"...)
	b = append(xmpp.AppendAttr(b, "from", d.From.Bare().String()), '>')
	if reason != "" {
		b = append(xmpp.AppendText(append(b, "<reason>"...), reason), "</reason>"...)
	}
	return m.inject(d.To.Bare(), append(b, "</decline></x></message>"...))
}

// voice handles the form by which a visitor asks for a voice (§7.13), and the one by which a moderator gives it (§8.6).
func (m *Rooms) voice(d *feature.Dispatch, f *form.Form) error {
	r, err := m.find(d.To, d.From)
	if err != nil {
		return err
	}
	out := newBatch()
	defer flush(out)
	defer r.mu.Unlock()
	s := r.clients[d.From]
	if s == nil {
		return errNotIn
	}
	if f.Type == form.TypeCancel {
		return nil
	}
	if allow, ok, err := f.Bool("muc#request_allow"); ok || err != nil {
		if err != nil || !allow {
			return err
		}
		return r.giveVoice(out, s, f)
	}
	if role, _, _ := f.Text("muc#role"); role != Participant.String() {
		return xmpp.NewError(xmpp.BadRequest, "only a participant's voice can be asked for")
	}
	if s.of.role != Visitor {
		return nil
	}
	now := r.m.host.Now()
	if now.Before(s.of.wished.Add(wishAgain)) {
		return xmpp.NewError(xmpp.ResourceConstraint, "the moderators have been asked already").WithType(xmpp.ErrorWait)
	}
	s.of.wished = now
	r.askForVoice(out, s)
	return nil
}

// wishAgain is how long a visitor waits before the moderators are asked for a voice another time.
const wishAgain = time.Minute

// askForVoice puts a visitor's wish before the moderators (§8.6).
func (r *room) askForVoice(out *router.Batch, s *seat) {
	field := func(name, kind, label, value string) form.Field {
		return form.Field{Var: name, Type: kind, Label: label, Values: []string{value}}
	}
	q := form.New(form.TypeForm, nsRequest,
		field("muc#role", form.ListSingle, "Requested role", Participant.String()),
		field("muc#jid", form.JIDSingle, "User ID", s.jid.String()),
		field("muc#roomnick", form.TextSingle, "Room nickname", s.of.nick),
		field("muc#request_allow", form.Boolean, "Give this person a voice?", "false"))
	q.Title = "Voice request"
	q.Instructions = []string{"Somebody in the room asks to be allowed to speak."}
	var f frame
	f.open("message")
	defer f.close()
	*f.buf = xmpp.AppendAttr(*f.buf, "from", r.jid.String())
	*f.buf = append(q.Append(append(*f.buf, '>')), "</message>"...)
	for _, x := range r.seats {
		if x.of.role == Moderator {
			x.send(out, f.addressed(x.to))
		}
	}
}

func (r *room) giveVoice(out *router.Batch, by *seat, f *form.Form) error {
	nick, _, err := f.Text("muc#roomnick")
	if err != nil {
		return err
	}
	o := r.byNick(nick)
	if client, _, _ := f.Text("muc#jid"); o != nil && client != "" {
		// Somebody else may have the nick by now.
		if j, err := xmpp.ParseJID(client); err != nil || j.Bare() != o.user {
			o = nil
		}
	}
	if o == nil {
		return xmpp.NewError(xmpp.ItemNotFound, "there is nobody of that nick")
	}
	if v := mayAssign(by.of.standing, o.standing, Participant); v != may {
		return xmpp.NewError(v, "")
	}
	if o.role == Visitor {
		r.assign(out, o, standing{o.affiliation, Participant}, note{})
	}
	return nil
}
