package aliasbridge

import (
	"bytes"
	"context"
	"slices"

	"confab/archive"
	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// writer is whoever writes to an alias.
type writer struct {
	user   *directory.User // nil: of another server
	jid    xmpp.JID        // bare
	name   string
	member bool
	admin  bool // of the domain, or a moderator of the alias
}

// writer finds who the sender of a stanza is to an alias.
func (b *Bridge) writer(d *feature.Dispatch, r *directory.Reach) writer {
	w := writer{jid: d.From.Bare()}
	if w.user = b.dir.User(d.From); w.user != nil && w.user.Domain == r.Alias.Domain {
		m, ok := r.Member(w.user.ID)
		w.member, w.admin = ok, w.user.Admin || m.Moderator
		w.name = w.user.Name
	} else {
		w.user = nil
		for _, f := range r.Foreign {
			if f.JID == w.jid {
				w.member, w.admin = true, f.Moderator
			}
		}
	}
	if w.name == "" {
		w.name = directory.Clean(xmpp.UnescapeLocal(w.jid.Local()))
	}
	return w
}

// mayPost reports whether somebody may write to the alias. Of other servers only members may.
func (b *Bridge) mayPost(r *directory.Reach, w writer) bool {
	switch r.Alias.Settings.Get("post") {
	case directory.PostAdmins:
		return w.admin
	case directory.PostMembers:
		return w.member
	}
	return w.user != nil || w.member
}

// The stages of a message, in the order in which it can be refused.

// stripped is what means something between two clients only, what many behind one address would make nonsense of, and
// what only we say.
var stripped = []xmpp.Match{
	{Space: xmpp.NSReceipts}, {Space: xmpp.NSMarkers}, {Space: xmpp.NSStates}, {Space: xmpp.NSNick, Local: "nick"},
	{Space: xmpp.NSAddress, Local: "addresses"},
}

// message decides on a message to an alias.
func (b *Bridge) message(d *feature.Dispatch) error {
	d.Fate = router.Ignore
	switch d.Stanza.MessageType() {
	case xmpp.TypeError: // a member's client has no use for what others sent
		d.Private = true
		return nil
	case xmpp.TypeGroupchat, xmpp.TypeHeadline:
		return xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	if d.Alias.Kind == directory.RoomAlias {
		return b.enter(d)
	}
	r := b.dir.Reach(d.Alias.ID)
	if r == nil {
		return xmpp.NewError(xmpp.ItemNotFound, "")
	}
	w := b.writer(d, r)
	if !b.mayPost(r, w) {
		b.Stats.Refused.Add(1)
		return xmpp.NewError(xmpp.Forbidden, "not everybody may write to "+d.Alias.Shown())
	}
	worth, flags := archive.Worth(d.Stanza)
	if flags&archive.Encrypted != 0 {
		return xmpp.NewError(xmpp.NotAcceptable, "what is written to "+d.Alias.Shown()+" reaches several people and cannot be encrypted: turn encryption off for this conversation")
	}
	d.Edit.Strip = append(d.Edit.Strip, stripped...)
	if !worth || onlySignals(d.Stanza) {
		d.Private = true
		return nil
	}
	if d.Stanza.Child(xmpp.NSJingleMsg, "propose") != nil {
		return xmpp.NewError(xmpp.ServiceUnavailable, "an alias cannot be called")
	}
	if err := b.references(d); err != nil {
		return err
	}
	return b.spread(d, r, w)
}

// onlySignals reports whether nothing is left of a message that is for people.
func onlySignals(st *xmpp.Stanza) bool {
	for i := range st.Children {
		switch string(st.Children[i].Space) {
		case xmpp.NSReceipts, xmpp.NSMarkers, xmpp.NSStates, xmpp.NSHints, xmpp.NSSID, xmpp.NSNick, xmpp.NSAddress:
		default:
			if string(st.Children[i].Local) != "thread" {
				return false
			}
		}
	}
	return true
}

// enter hands a message to a room's alias to the room (§2.3 of the room's rules: its members are heard, others refused).
func (b *Bridge) enter(d *feature.Dispatch) error {
	room, ok := roomOf(d.Alias)
	if !ok || b.rooms == nil {
		return xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	d.Redirect(room)
	if d.Target == nil || d.Where != feature.Service {
		return xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	return d.Target.Message(d)
}

func roomOf(a *directory.Alias) (xmpp.JID, bool) {
	j, err := xmpp.NewJID(a.Local, muc.Service(a.Domain), "")
	return j, err == nil
}

// references lets a correction (XEP-0308) or retraction (XEP-0424) pass only for a message of the same person: to its
// members' clients everybody under an alias looks like one.
func (b *Bridge) references(d *feature.Dispatch) error {
	left := d.Stanza.Child("", "body") != nil
	for _, ref := range []xmpp.Match{{Space: xmpp.NSCorrect, Local: "replace"}, {Space: xmpp.NSRetract, Local: "retract"}} {
		e := d.Stanza.Child(ref.Space, ref.Local)
		if e == nil {
			continue
		}
		id, _ := e.Attr("id")
		own, err := b.wrote(d, id)
		if err != nil {
			return err
		}
		if own {
			left = true
			continue
		}
		if !left {
			return xmpp.NewError(xmpp.Forbidden, "this message is not yours")
		}
		d.Edit.Strip = append(d.Edit.Strip, ref)
	}
	b.sent.note(d)
	return nil
}

// wrote reports whether the sender wrote a message with an id to the alias.
func (b *Bridge) wrote(d *feature.Dispatch, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	if b.sent.has(d.From.Bare(), d.Alias.ID, id) {
		return true, nil
	}
	return b.archive.Sent(context.Background(), d, id)
}

// spread names all who get the message and how they see it.
func (b *Bridge) spread(d *feature.Dispatch, r *directory.Reach, w writer) error {
	a := r.Alias
	from := a.JID
	if w.user != nil {
		if j, err := a.JID.WithResource(w.user.Local); err == nil {
			from = j
		}
	}
	e := &xmpp.Edit{From: from, Add: appendOrigin(nil, w.jid)} // but for the address it is the same for all
	if b.labels(r) {
		if e.Label = w.name; !w.member {
			e.Label += " (guest)"
		}
	}
	if w.user != nil {
		d.Copies = append(d.Copies, feature.Copy{Owner: w.user.ID, OwnerJID: w.jid, With: b.dir.Conversation(d.To)})
	}
	with := a.Conversation()
	if from.IsFull() {
		if j, err := with.WithResource(from.Resource()); err == nil {
			with = j
		}
	}
	n := 0
	d.Copies = slices.Grow(d.Copies, len(r.Users)+1)
	to := func(u *directory.User) {
		if w.user != nil && u.ID == w.user.ID || b.opts.Blocks(u.ID, a.JID) {
			return
		}
		d.Copies = append(d.Copies, feature.Copy{Owner: u.ID, OwnerJID: u.JID, With: with, Incoming: true, Edit: e, To: u.JID})
		n++
	}
	skip := b.skipAway(r, w)
	for i := range r.Users {
		if u := r.Users[i].User; !skip || b.there(u) {
			to(u)
		}
	}
	if w.member || w.admin {
		for _, g := range b.addressed(d, r) {
			to(g)
		}
	}
	if n == 0 {
		d.Copies = d.Copies[:0]
		return xmpp.NewError(xmpp.ServiceUnavailable, "there is nobody behind "+a.Shown()+" whom this would reach")
	}
	if !b.budgets.Take(w.jid, n, b.opts.Rate, b.host.Now()) {
		d.Copies = d.Copies[:0]
		b.Stats.Refused.Add(1)
		return feature.ErrTooMuch
	}
	d.Fate = router.Deliver
	return nil
}

// appendOrigin appends who wrote (XEP-0033 §4.4).
func appendOrigin(dst []byte, who xmpp.JID) []byte {
	dst = append(dst, "<addresses xmlns='"+xmpp.NSAddress+"'><address type='ofrom'"...)
	return append(xmpp.AppendAttr(dst, "jid", who.String()), "/></addresses>"...)
}

// labels reports whether the writers are named in the text: if it could be three or more.
func (b *Bridge) labels(r *directory.Reach) bool {
	switch r.Alias.Settings.Get("label") {
	case directory.LabelAlways:
		return true
	case directory.LabelNever:
		return false
	}
	n := 0
	switch r.Alias.Settings.Get("post") {
	case directory.PostMembers:
		n = r.Len()
	case directory.PostAdmins:
		for _, u := range b.dir.Domain(r.Alias.Domain).Snapshot().Users {
			if m, _ := r.Member(u.ID); !u.Disabled && (u.Admin || m.Moderator) {
				n++
			}
			if n >= manyWriters {
				break
			}
		}
	default:
		for _, u := range b.dir.Domain(r.Alias.Domain).Snapshot().Users {
			if !u.Disabled {
				n++
			}
			if n >= manyWriters {
				break
			}
		}
	}
	return n >= manyWriters
}

const manyWriters = 3

// there reports whether somebody gets messages at once.
func (b *Bridge) there(u *directory.User) bool {
	return b.host.Router.MessageFate(u.JID, xmpp.TypeChat) == router.Deliver
}

// skipAway reports whether members who are away are left out: if the alias says so, and somebody is there.
func (b *Bridge) skipAway(r *directory.Reach, w writer) bool {
	if r.Alias.Settings.Get("offline") != directory.OfflineSkip {
		return false
	}
	for i := range r.Users {
		if u := r.Users[i].User; (w.user == nil || u.ID != w.user.ID) && b.there(u) && !b.opts.Blocks(u.ID, r.Alias.JID) {
			return true
		}
	}
	return false
}

// hasGuests reports whether people who are no members can be in the conversation.
func hasGuests(a *directory.Alias) bool {
	return a.Settings.Get("guests") == directory.On && a.Settings.Get("post") == directory.PostDomain
}

// addressed returns the guests whom a message of a member is for: the one that it is sent to or answers, or the only one
// there is. No guest ever sees another.
func (b *Bridge) addressed(d *feature.Dispatch, r *directory.Reach) []*directory.User {
	if !hasGuests(r.Alias) {
		return nil
	}
	active := b.guests.active(r.Alias.ID, b.host.Now(), func(id directory.ID) *directory.User {
		if _, member := r.Member(id); member {
			return nil
		}
		if u := b.dir.ByID(id); u != nil && !u.Disabled {
			return u
		}
		return nil
	})
	named := func(j xmpp.JID) *directory.User {
		if a := b.dir.ResolveAlias(j); a == nil || a.ID != r.Alias.ID || !j.IsFull() {
			return nil
		}
		for _, u := range active {
			if u.Local == j.Resource() {
				return u
			}
		}
		return nil
	}
	if u := named(d.To); u != nil {
		return []*directory.User{u}
	}
	if e := d.Stanza.Child(xmpp.NSReply, "reply"); e != nil { // XEP-0461 §3
		text, _ := e.Attr("to")
		id, _ := e.Attr("id")
		j, _ := xmpp.ParseJID(text)
		answered := named(j)
		for i := 0; answered == nil && i < len(active); i++ { // a client may leave the resource out
			if b.sent.has(active[i].JID, r.Alias.ID, id) {
				answered = active[i]
			}
		}
		if answered != nil {
			return []*directory.User{answered}
		}
	}
	if len(active) == 1 {
		return active
	}
	return nil
}

// deliver hands out a message once it is in the history.
func (b *Bridge) deliver(d *feature.Dispatch, out *router.Batch) {
	if d.Fate == router.Ignore || d.Alias == nil {
		return
	}
	b.Stats.Messages.Add(1)
	b.Stats.Copies.Add(int64(d.DeliverCopies(out)))
	if u := b.dir.User(d.From); u != nil && hasGuests(d.Alias) {
		if r := b.dir.Reach(d.Alias.ID); r != nil {
			if _, member := r.Member(u.ID); !member {
				b.guests.wrote(b.host, d.Alias.ID, u.ID)
			}
		}
	}
}

// withTo appends a stanza that has from and no to, with one.
func withTo(dst, stanza []byte, to xmpp.JID) []byte {
	i := bytes.IndexAny(stanza, " />")
	dst = append(dst, stanza[:i]...)
	dst = xmpp.AppendAttr(dst, "to", to.String())
	return append(dst, stanza[i:]...)
}
