package muc

import (
	"context"
	"slices"

	"confab/archive"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
)

// message decides on a message to the service. What is to be handed out afterwards is left to deliver.
func (m *Rooms) message(d *feature.Dispatch) error {
	d.Fate = router.Ignore
	st := d.Stanza
	switch {
	case st.Type == xmpp.TypeError:
		if !m.failed(d) && d.To.IsFull() {
			m.refusedPrivately(d)
		}
		return nil
	case d.To.Local() == "":
		return xmpp.NewError(xmpp.ServiceUnavailable, "")
	case d.To.IsFull():
		return m.by(d.To, m.privately(d))
	case st.Type == xmpp.TypeGroupchat:
		return m.by(d.To, m.publicly(d))
	}
	if x := st.Child(xmpp.NSMUCUser, "x"); x != nil {
		if handled, err := m.invitation(d, x.Node()); handled {
			return m.by(d.To, err)
		}
	}
	if x := st.Child(xmpp.NSDataForms, "x"); x != nil {
		if f, err := form.Parse(x.Node()); err == nil {
			switch f.FormType() {
			case nsRequest:
				return m.by(d.To, m.voice(d, f))
			case nsRegister:
				return m.by(d.To, m.approve(d, f))
			}
		}
	}
	return m.by(d.To, m.publicly(d))
}

// isSubject reports whether a message changes the subject (§8.1).
func isSubject(st *xmpp.Stanza) bool {
	return st.Child("", "subject") != nil && st.Child("", "body") == nil && st.Child("", "thread") == nil
}

// publicly decides on what is said to all.
func (m *Rooms) publicly(d *feature.Dispatch) error {
	r, err := m.find(d.To, d.From)
	if err != nil {
		return err
	}
	sub, err := r.say(d)
	if err != nil || sub == nil {
		return err
	}
	// The subject is on disk before anybody hears of it, as everything in the room is.
	return m.keepSubject(r, sub)
}

func (m *Rooms) keepSubject(r *room, sub *subject) error {
	r.changing <- struct{}{}
	defer func() { <-r.changing }()
	r.mu.Lock()
	ended, temporary := r.gone && !r.lent, !r.config.Persistent
	r.mu.Unlock()
	switch {
	case ended:
		return errNoRoom
	case temporary:
		return nil
	}
	if err := m.store.putSubject(context.Background(), r.id, sub); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = sub.text
	return nil
}

// heard puts a subject in force that everybody gets now. If two were set at once, the one that is on disk may be the other.
func (r *room) heard(sub subject) {
	r.subject = sub
	if !r.config.Persistent || r.written == sub.text {
		return
	}
	r.m.host.Clock.AfterFunc(0, func() {
		r.mu.Lock()
		sub := r.subject
		r.mu.Unlock()
		if err := r.m.keepSubject(r, &sub); err != nil {
			r.m.host.Log.Error("the subject of a room was not written down", "room", r.jid.String(), "err", err)
		}
	})
}

// speaker is whoever says something in a room.
type speaker struct {
	role Role
	jid  xmpp.JID // room@service/nick
	id   string
	mark []byte // the id as an element
}

var errNotIn = xmpp.NewError(xmpp.NotAcceptable, "you are not in this room") // §7.4, §7.5

// speakerOf finds who the sender of a message is in the room. Members of a given room are heard when they write to it as
// to a person, too.
func (r *room) speakerOf(d *feature.Dispatch) (speaker, error) {
	groupchat := d.Stanza.Type == xmpp.TypeGroupchat
	s := r.clients[d.From]
	switch {
	case d.Session == nil && d.From == r.jid: // the room itself
		return speaker{role: Moderator, jid: r.jid}, nil
	case s != nil && (groupchat || r.given != nil):
		return speaker{s.of.role, s.of.jid, s.of.id, s.of.mark}, nil
	case s != nil: // §17.2
		return speaker{}, xmpp.NewError(xmpp.BadRequest, "what is said to a room has the type groupchat")
	case groupchat || r.given == nil:
		return speaker{}, errNotIn
	}
	user := d.From.Bare()
	p, ok := r.m.source.Member(r.id, user)
	if !ok || p.Affiliation < Member {
		return speaker{}, errNotIn
	}
	j, err := r.jid.WithResource(p.Nick)
	id := r.occupantID(user)
	return speaker{roleFor(p.Affiliation, false), j, id, appendOccupantID(nil, id)}, err
}

// say prepares a message of an occupant for all (§7.4), and lets go of the room. A subject that it returns is to be
// written down.
func (r *room) say(d *feature.Dispatch) (*subject, error) {
	defer r.mu.Unlock()
	who, err := r.speakerOf(d)
	if err != nil {
		return nil, err
	}
	var sub *subject
	worth, _ := archive.Worth(d.Stanza)
	switch {
	case d.Stanza.Type != xmpp.TypeGroupchat:
		if d.Stanza.Type == xmpp.TypeHeadline || d.Stanza.Child("", "body") == nil {
			return nil, nil // what is between two people's clients, such as chat states
		}
		worth = true
		d.Private = true // the sender's other devices hear it in the room
		d.Edit.Type = xmpp.TypeGroupchat
		d.Edit.Strip = append(d.Edit.Strip, xmpp.Match{Space: xmpp.NSReceipts, Local: "request"}, xmpp.Match{Space: xmpp.NSMarkers, Local: "markable"})
	case isSubject(d.Stanza):
		if who.role != Moderator && (who.role != Participant || !r.config.AnySubject) { // §8.1
			return nil, xmpp.NewError(xmpp.Forbidden, "the subject is not yours to change")
		}
		if sub, err = r.newSubject(d, who); err != nil {
			return nil, err
		}
		worth = true
	}
	if who.role < Participant { // §7.4
		return nil, xmpp.NewError(xmpp.Forbidden, "you have no voice in this room")
	}
	if d.From != r.jid {
		if err := r.spend(d.From, 1); err != nil {
			return nil, err
		}
	}
	d.Edit.From, d.Edit.To, d.Edit.NoTo = who.jid, xmpp.JID{}, true
	r.clean(d)
	add(&d.Edit, who.mark)
	if worth {
		d.Copies = append(d.Copies, feature.Copy{Owner: r.id, OwnerJID: r.jid, With: d.From, Incoming: true})
	}
	d.Reach = len(r.seats)
	d.Fate = router.Deliver
	return sub, nil
}

// newSubject reads the subject that a message sets.
func (r *room) newSubject(d *feature.Dispatch, who speaker) (*subject, error) {
	text := d.Stanza.Child("", "subject").Text()
	if len(text) > maxSubject {
		return nil, xmpp.NewError(xmpp.NotAcceptable, "the subject is too long")
	}
	return &subject{text: text, nick: who.jid.Resource(), id: who.id, at: r.m.host.Now().UTC()}, nil
}

// clean takes out what only the room says: who somebody is, which id a message has and that it is an old one.
func (r *room) clean(d *feature.Dispatch) {
	strip := func(m xmpp.Match) {
		if !slices.Contains(d.Edit.Strip, m) {
			d.Edit.Strip = append(d.Edit.Strip, m)
		}
	}
	for i := range d.Stanza.Children {
		e := &d.Stanza.Children[i]
		for _, m := range stripped {
			if e.Is(m.Space, m.Local) {
				strip(m)
			}
		}
		switch {
		case e.Is(xmpp.NSSID, "stanza-id"):
			strip(xmpp.Match{Space: xmpp.NSSID, Local: "stanza-id", By: r.jid.String()})
		case e.Is(xmpp.NSDelay, "delay"), e.Is(nsOldDelay, "x"):
			from, _ := e.Attr("from")
			if j, err := xmpp.ParseJID(from); err != nil || j.Domain() == r.jid.Domain() {
				strip(xmpp.Match{Space: string(e.Space)})
			}
		}
	}
}

// nsOldDelay is XEP-0091, which some clients still believe in.
const nsOldDelay = "jabber:x:delay"

// add has every copy of a message carry one more element.
func add(e *xmpp.Edit, xml []byte) {
	if len(e.Add) == 0 {
		e.Add = xml
		return
	}
	e.Add = append(slices.Clip(e.Add), xml...)
}

// deliver hands out a message that was let pass.
func (m *Rooms) deliver(d *feature.Dispatch, out *router.Batch) {
	if d.Fate == router.Ignore {
		return
	}
	r := m.peek(d.To.Bare())
	if r == nil { // nobody is in it
		for i := range d.Copies {
			if c := &d.Copies[i]; d.To.IsFull() && c.Incoming {
				d.DeliverCopy(c, out)
			}
		}
		return
	}
	defer r.mu.Unlock()
	if d.To.IsFull() {
		r.whisper(d, out)
		return
	}
	// Another room may have the address by now.
	if i := slices.IndexFunc(d.Copies, func(c feature.Copy) bool { return c.OwnerJID == r.jid }); i >= 0 && d.Copies[i].Owner != r.id {
		return
	}
	if d.Stanza.Type == xmpp.TypeGroupchat && isSubject(d.Stanza) {
		r.heard(subject{
			text: d.Stanza.Child("", "subject").Text(), nick: d.Edit.From.Resource(),
			id: r.occupantID(d.From.Bare()), at: archive.IDTime(d.ID),
		})
	}
	m.Stats.Messages.Add(1)
	r.fanOut(d, out)
}

// fanOut sends a message to all who are in the room. It is written once, and once for each only the address.
func (r *room) fanOut(d *feature.Dispatch, out *router.Batch) {
	var scratch [512]byte
	edit := d.EditFor(r.id, scratch[:0])
	var f frame
	f.message(d, &edit)
	defer f.close()
	n := 0
	for _, s := range r.seats {
		if d.ID != 0 && d.ID <= s.after || r.blocks(s, edit.From) {
			continue // it has come with the history, or is not wanted
		}
		s.send(out, f.addressed(s.to))
		n++
	}
	r.m.Stats.Sent.Add(int64(n))
}

// message makes the frame of a message as an edit changes it. A stanza has no prefix, so its tag is known.
func (f *frame) message(d *feature.Dispatch, e *xmpp.Edit) {
	f.open("message")
	*f.buf = xmpp.Apply((*f.buf)[:headroom-len("<message")], d.Stanza, e)
}

// Private messages (§7.5).

// privately decides on a message from one occupant to another. It is in the archives of both, not in the room's.
func (m *Rooms) privately(d *feature.Dispatch) error {
	r, err := m.find(d.To, d.From)
	if err != nil {
		return err
	}
	defer r.mu.Unlock()
	s, o := r.clients[d.From], r.at(d.To)
	switch {
	case d.Stanza.Type == xmpp.TypeGroupchat:
		return xmpp.NewError(xmpp.BadRequest, "a message of type groupchat is for the room")
	case s == nil:
		return errNotIn
	case o == nil:
		return xmpp.NewError(xmpp.ItemNotFound, "there is nobody of that nick")
	case r.blocks(o.seats[0], s.of.jid): // XEP-0191 §3.3
		return errUnavailable
	case !r.config.Private.admits(s.of.role):
		return xmpp.NewError(xmpp.Forbidden, "private messages are not allowed in this room")
	}
	to := m.host.Directory.User(o.user)
	r.clean(d)
	if to != nil {
		d.Edit.Strip = append(d.Edit.Strip, xmpp.Match{Space: xmpp.NSSID, Local: "stanza-id", By: to.JID.String()})
	}
	const mark = "<x xmlns='" + xmpp.NSMUCUser + "'/>"
	own := &xmpp.Edit{From: d.From, To: d.To, Strip: d.Edit.Strip, Add: []byte(mark)}
	d.Edit.From, d.Edit.To = s.of.jid, o.user
	add(&d.Edit, append([]byte(mark), s.of.mark...))
	d.Fate = router.Deliver
	if worth, _ := archive.Worth(d.Stanza); !worth {
		return nil
	}
	if d.Session != nil && s.of.user != o.user {
		d.Copies = append(d.Copies, feature.Copy{Owner: d.Session.User(), OwnerJID: s.of.user, With: d.To, Edit: own})
	}
	if to != nil {
		d.Copies = append(d.Copies, feature.Copy{Owner: to.ID, OwnerJID: to.JID, With: s.of.jid, Incoming: true})
	}
	return nil
}

// whisper hands a private message to all clients of the occupant that it is for. If there is none any more, it goes the
// way of a message to his account: it is in the history already.
func (r *room) whisper(d *feature.Dispatch, out *router.Batch) {
	r.m.Stats.Private.Add(1)
	o := r.at(d.To)
	if o != nil && o.user != d.Edit.To {
		o = nil
	}
	i := slices.IndexFunc(d.Copies, func(c feature.Copy) bool { return c.Incoming })
	var owner directory.ID
	if i >= 0 {
		if owner = d.Copies[i].Owner; o == nil {
			d.DeliverCopy(&d.Copies[i], out)
			return
		}
	}
	if o == nil {
		return
	}
	var scratch [512]byte
	edit := d.EditFor(owner, scratch[:0])
	edit.To, edit.NoTo = xmpp.JID{}, true
	var f frame
	f.message(d, &edit)
	defer f.close()
	got := make([]*router.Session, 0, len(o.seats))
	for _, s := range o.seats {
		s.send(out, f.addressed(s.to))
		if session, ok := s.line.(*router.Session); ok {
			got = append(got, session)
		}
	}
	if i >= 0 && len(got) > 0 {
		d.Delivered(&d.Copies[i], got, out)
	}
}

// refusedPrivately lets the error pass that comes back for a private message.
func (m *Rooms) refusedPrivately(d *feature.Dispatch) {
	r := m.peek(d.To.Bare())
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	s, o := r.clients[d.From], r.at(d.To)
	if s == nil || o == nil {
		return
	}
	r.clean(d)
	d.Edit.From, d.Edit.To = s.of.jid, o.user
	add(&d.Edit, s.of.mark)
	d.Fate = router.Deliver
}
