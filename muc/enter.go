package muc

import (
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// presence handles everything of type presence that comes to the service.
func (m *Rooms) presence(d *feature.Dispatch) error {
	if d.To.Local() == "" {
		return nil
	}
	switch d.Stanza.Type {
	case xmpp.TypeNone:
		return m.by(d.To, m.arrive(d))
	case xmpp.TypeUnavailable:
		m.depart(d)
	case xmpp.TypeError: // §18.1.2
		m.failed(d)
	case xmpp.TypeProbe:
		m.probed(d)
	}
	// Nobody subscribes to a room: the presence of those who are in is shown to those who are.
	return nil
}

// by says in an error that the room found it (the attribute 'by' of the examples of XEP-0045).
func (m *Rooms) by(address xmpp.JID, err error) error {
	if e, ok := err.(*xmpp.Error); ok && e.By.IsZero() {
		c := *e
		c.By = address.Bare()
		return &c
	}
	return err
}

// entry is a request to enter a room (§7.2).
type entry struct {
	client   xmpp.JID
	line     receiver // nil: nobody knows
	nick     string
	card     card
	muc      bool // it has <x/>: it means to enter
	password string
	history  history
}

func newEntry(d *feature.Dispatch) *entry {
	e := &entry{client: d.From, line: lineTo(d), nick: d.To.Resource(), card: newCard(d.Stanza), history: wholeHistory}
	if x := d.Stanza.Child(xmpp.NSMUC, "x"); x != nil {
		n := x.Node()
		e.muc, e.password = true, n.ChildText("", "password")
		if h := n.Child("", "history"); h != nil {
			e.history.read(h, d.Host().Now())
		}
	}
	return e
}

// arrive handles an available presence: somebody enters, comes back to a room that he is in already, changes the nick,
// or only his presence.
func (m *Rooms) arrive(d *feature.Dispatch) error {
	e := newEntry(d)
	if e.line == nil {
		return xmpp.NewError(xmpp.RemoteServerNotFound, "")
	}
	if len(e.card.middle) > maxPresence {
		return xmpp.NewError(xmpp.PolicyViolation, "the presence is too long for a room")
	}
	if e.muc {
		drain(d, 0) // the presence of many comes in one piece, which may be large only where nothing waits
	}
	address := d.To.Bare()
	for {
		r, err := m.hold(address)
		if err != nil {
			return err
		}
		if r == nil {
			switch {
			case !e.muc:
				m.notIn(e, d.To)
				return nil
			case e.nick == "":
				return errNoNick
			}
			// Who else makes the room at this moment is found next time.
			if err := m.create(d.UserOf(), address, e); err != nil {
				return err
			}
			continue
		}
		if s := r.clients[e.client]; s != nil && !s.line.Alive() {
			r.mu.Unlock()
			r.bury(s)
			continue
		}
		s, err := m.admit(r, e, d.To)
		if s != nil && err == nil {
			drain(d, 64<<10) // the history has to fit in, and what is said meanwhile
			m.welcome(r, s, &e.history)
		}
		return err
	}
}

// drain waits until no more than some bytes wait for the sender of a stanza. A client may be slow and ask for much.
func drain(d *feature.Dispatch, bytes int) {
	if d.Session != nil {
		d.Session.Drain(bytes)
	}
}

// bury takes out a client whose session has ended, which is about to leave itself: another one has its address already.
func (r *room) bury(s *seat) {
	out := newBatch()
	defer flush(out)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[s.jid] == s {
		r.leave(out, s, goodbye, nil)
	}
}

var errNoNick = xmpp.NewError(xmpp.JIDMalformed, "a nick is missing behind the address of the room") // §7.2.1

// admit handles a presence in a room that is there, and lets go of it. A seat that it returns is still to be welcomed.
func (m *Rooms) admit(r *room, e *entry, to xmpp.JID) (*seat, error) {
	out := newBatch()
	defer flush(out)
	defer r.mu.Unlock()
	defer func() {
		if r.locked && r.affiliation(e.client.Bare()) == Owner {
			r.emptied(out) // it was made for this visitor, who cannot enter
		}
	}()
	s := r.clients[e.client]
	switch {
	case s == nil && e.nick == "":
		return nil, errNoNick
	case s == nil && !e.muc:
		m.notIn(e, to)
		return nil, nil
	case r.spend(e.client, 1) != nil:
		return nil, feature.ErrTooMuch
	case s == nil:
		return r.enter(out, e)
	}
	if e.nick != "" && e.nick != s.of.nick {
		// COMPAT: who was given another nick than the one asked for may go on asking for it when he comes back.
		if !e.muc || r.given == nil {
			if err := r.changeNick(out, s, e); err != nil {
				return nil, err
			}
			if !e.muc {
				return nil, nil
			}
		}
	}
	if e.muc {
		r.again(out, s, e)
		return s, nil
	}
	r.update(out, s, e.card, nil)
	return nil, nil
}

// notIn tells a client that believes to be in a room that it is not (§7.2.17).
func (m *Rooms) notIn(e *entry, occupant xmpp.JID) {
	b := xmpp.AppendAttr([]byte("<presence"), "from", occupant.String())
	b = xmpp.AppendAttr(b, "to", e.client.String())
	b = append(b, " type='unavailable'><x xmlns='"+xmpp.NSMUCUser+"'><item affiliation='none' role='none'>"+
		"<reason>You are not in the room.</reason></item>"...)
	b = append(appendCodes(b, []int{110, 307, 333}, nil), "</x></presence>"...)
	e.line.Send(nil, b)
}

// enter lets somebody in who is not there yet. The seat that it returns has the presence of the others and its own, and
// waits for history and subject (§7.1).
func (r *room) enter(out *router.Batch, e *entry) (*seat, error) {
	user := e.client.Bare()
	if err := r.mayEnter(user); err != nil {
		return nil, err
	}
	a := r.affiliation(user)
	if r.config.Password != "" && e.password != r.config.Password { // §7.2.5
		return nil, xmpp.NewError(xmpp.NotAuthorized, "this room asks for a password")
	}
	var codes []int
	nick := e.nick
	if r.given != nil {
		if p, ok := r.m.source.Member(r.id, user); ok && p.Nick != nick {
			nick = p.Nick
			codes = append(codes, 210)
		}
	}
	o, err := r.claim(nick, user)
	if err != nil {
		return nil, err
	}
	if o != nil && o.nick != nick {
		codes = append(codes, 210)
	}
	if err := r.hasRoom(a); err != nil {
		return nil, err
	}
	s := &seat{jid: e.client, line: e.line, to: toAttr(e.client), card: e.card}
	if session, ok := e.line.(*router.Session); ok {
		s.user = session.User()
	}
	if !r.m.enters(s, r) {
		r.m.leaves(s, r)
		return nil, nil
	}
	fresh := o == nil
	if fresh {
		o = &occupant{nick: nick, user: user, id: r.occupantID(user)}
		o.mark = appendOccupantID(nil, o.id)
		o.standing = standing{a, r.roleOf(s, a)}
		if o.jid, err = r.jid.WithResource(nick); err == nil {
			err = r.admit(o)
		}
		if err != nil {
			r.m.leaves(s, r)
			return nil, err
		}
	}
	r.seatAt(o, s)
	r.callRoll(out, s)
	switch {
	case fresh:
		if r.config.Broadcast.has(o.role) {
			r.present(out, o.sight(), r.others(o))
		}
	case r.lead(o):
		r.presentLead(out, o, s)
	}
	r.greet(out, s, codes...)
	return s, nil
}

// claim checks that somebody may have a nick. It returns the occupant that is there under it, or under another spelling of
// it, who is the same person.
func (r *room) claim(nick string, user xmpp.JID) (*occupant, error) {
	k, err := nickKey(nick)
	if err != nil {
		return nil, err
	}
	if len(nick) > maxNickSize {
		return nil, xmpp.NewError(xmpp.NotAcceptable, "the nick is too long")
	}
	if o := r.occupants[k]; o != nil {
		if o.user != user {
			return nil, errNickTaken
		}
		return o, nil
	}
	if r.isReserved(k, user) {
		return nil, errNickTaken
	}
	return nil, nil
}

var errNickTaken = xmpp.NewError(xmpp.Conflict, "this nick belongs to somebody else") // §7.2.8

// hasRoom checks that one more client may come. Admins and owners have some places of their own (§7.2.9).
func (r *room) hasRoom(a Affiliation) error {
	limit := r.m.opts.MaxOccupants
	if n := r.config.MaxOccupants; n > 0 {
		limit = min(limit, n)
	}
	if a >= Admin {
		limit += 20
	}
	if len(r.seats) >= limit {
		return xmpp.NewError(xmpp.ServiceUnavailable, "the room is full").WithType(xmpp.ErrorWait)
	}
	return nil
}

// rolls are kept from one newcomer to the next: that of a thousand is half a megabyte.
var rolls = sync.Pool{New: func() any { return new(run) }}

// callRoll sends a newcomer the presence of all others in one run.
func (r *room) callRoll(out *router.Batch, s *seat) {
	all := rolls.Get().(*run)
	defer rolls.Put(all)
	all.bytes, all.ends = all.bytes[:0], all.ends[:0]
	for _, o := range r.order {
		if o == s.of || !r.config.Broadcast.has(o.role) && o.user != s.of.user || r.blocks(s, o.jid) {
			continue
		}
		v, jid := o.sight(), xmpp.JID{}
		if r.sees(s.of) || o.user == s.of.user {
			jid = v.jid
		}
		all.bytes = append(append(all.bytes, "<presence"...), s.to...)
		all.bytes = v.append(all.bytes, jid)
		all.ends = append(all.ends, len(all.bytes))
	}
	s.line.SendRun(out, all.bytes, all.ends)
	r.m.Stats.Sent.Add(int64(len(all.ends)))
}

// greet sends a seat its own presence, which ends the roll (§7.2.2). From here on it waits for the welcome.
func (r *room) greet(out *router.Batch, s *seat, codes ...int) {
	codes = append(codes, 170) // §7.2.12: history is always kept
	if r.config.NonAnonymous {
		codes = append(codes, 100)
	}
	if r.locked {
		codes = append(codes, 201)
	}
	s.live = true
	r.tell(out, s, &s.card, note{}, codes...)
	s.live, s.after = false, r.m.archive.Last()
	s.waiting, s.ends = nil, nil
}

// again sends a client that is in the room already what it would get if it entered now (§7.2.1).
func (r *room) again(out *router.Batch, s *seat, e *entry) {
	r.update(out, s, e.card, s)
	s.live = true
	r.callRoll(out, s)
	var codes []int
	if e.nick != "" && e.nick != s.of.nick {
		codes = append(codes, 210)
	}
	r.greet(out, s, codes...)
}

// lead puts that of an occupant's seats first that is the most available, and reports whether it is another one now.
func (r *room) lead(o *occupant) bool {
	best := 0
	for i, s := range o.seats {
		if s.card.rank > o.seats[best].card.rank {
			best = i
		}
	}
	if best == 0 {
		return false
	}
	s := o.seats[best]
	o.seats = slices.Insert(slices.Delete(o.seats, best, best+1), 0, s)
	return true
}

// presentLead shows everybody but one seat the presence of an occupant whose leading seat has changed.
func (r *room) presentLead(out *router.Batch, o *occupant, but *seat) {
	if r.config.Broadcast.has(o.role) {
		r.present(out, o.sight(), r.others(o))
	}
	for _, s := range o.seats {
		if s != but {
			r.tell(out, s, &o.seats[0].card, note{})
		}
	}
}

// update takes over a client's new presence (§7.7). The seat but is not told, because it is told otherwise.
func (r *room) update(out *router.Batch, s *seat, c card, but *seat) {
	same := string(s.card.middle) == string(c.middle)
	s.card = c
	o := s.of
	led := o.seats[0] == s
	if changed := r.lead(o); changed || led && !same {
		r.presentLead(out, o, but)
	} else if s != but {
		r.tell(out, s, &s.card, note{})
	}
}
