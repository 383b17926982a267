package roster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// presence is the presence stage: everything of type presence comes by here.
func (r *Roster) presence(d *feature.Dispatch) (handled bool, err error) {
	if d.Session != nil && d.Stanza.To.IsZero() {
		return true, r.broadcast(d)
	}
	if ev, ok := eventOf(d.Stanza.Type); ok {
		return r.subscription(d, ev)
	}
	switch d.Stanza.Type {
	case xmpp.TypeNone, xmpp.TypeUnavailable:
		return r.directed(d)
	case xmpp.TypeProbe:
		return r.probe(d)
	case xmpp.TypeError:
		return r.bounced(d)
	}
	return true, xmpp.NewError(xmpp.BadRequest, "a presence has no such type")
}

// broadcast handles a presence without an address: it is for all who may see
// the sender (RFC 6121 §4.2, §4.4, §4.5).
func (r *Roster) broadcast(d *feature.Dispatch) error {
	s := d.Session
	next := router.Presence{Since: r.host.Now()}
	switch d.Stanza.Type {
	case xmpp.TypeNone:
		var err error
		if next.Priority, err = priority(d.Stanza); err != nil {
			return err
		}
		next.Available, next.Show = true, show(d.Stanza)
	case xmpp.TypeUnavailable:
	case xmpp.TypeError:
		return nil
	default:
		return xmpp.NewError(xmpp.BadRequest, "a presence of this type is for somebody: it has a 'to'")
	}
	edit := d.Edit
	edit.To, edit.NoTo = xmpp.JID{}, true
	stanza := xmpp.Apply(nil, d.Stanza, &edit)
	if len(stanza) > r.opts.Limits.Presence {
		if next.Available {
			return xmpp.NewError(xmpp.PolicyViolation, fmt.Sprintf("a presence for all contacts is longer than %d bytes", r.opts.Limits.Presence))
		}
		stanza = unavailable(s.JID())
	}
	if next.Available {
		if !r.budgets.Take(s.JID().Bare(), 1, r.opts.Rate, next.Since) { // one goes to a thousand
			return feature.ErrTooMuch
		}
		next.Stanza = stanza
	}
	c, err := r.contacts(s.Account())
	if err != nil {
		return err
	}
	out := batches.Get().(*router.Batch)
	defer flush(out)
	r.announce(out, s, c, next, stanza)
	return nil
}

// priority reads the priority (RFC 6121 §4.7.2.3).
func priority(st *xmpp.Stanza) (int8, error) {
	e := st.Child("", "priority")
	if e == nil {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(e.Text()), 10, 8)
	if err != nil {
		return 0, xmpp.NewError(xmpp.BadRequest, "a priority is a number from -128 to 127")
	}
	return int8(n), nil
}

// show reads the availability; what RFC 6121 §4.7.2.1 does not name is none.
func show(st *xmpp.Stanza) string {
	e := st.Child("", "show")
	if e == nil {
		return ""
	}
	switch text := e.Text(); text {
	case "away", "chat", "dnd", "xa":
		return text
	}
	return ""
}

// announce makes next the presence of a session and tells all who see it. One
// that comes online hears of them, too.
func (r *Roster) announce(out *router.Batch, s *router.Session, c *contacts, next router.Presence, stanza []byte) {
	user := r.dir.ByID(s.User())
	if user == nil {
		// Deleted, while this session is being ended.
		user = &directory.User{ID: s.User(), JID: s.JID().Bare(), Domain: s.JID().Domain(), Disabled: true}
	}
	a := announcement{r: r, out: out, session: s, contacts: c, stanza: stanza}
	a.now = stand{user, r.reach(r.dir.Domain(user.Domain).Snapshot())}
	a.mark(next)
	if a.initial {
		r.collect(out, s, c, a.row, a.now.user)
	}
	for _, j := range a.services {
		r.inject(s.JID(), j, stanza)
	}
}

// announcement is a change of a session's presence on its way to the others.
type announcement struct {
	r        *Roster
	out      *router.Batch
	session  *router.Session
	contacts *contacts
	stanza   []byte
	now      stand

	row      *row            // on the board
	initial  bool            // the session was not available before
	told     bool            // subscribers and colleagues were told, or know better
	heir     *router.Session // has the address of one that has ended; nil: nobody has
	services []xmpp.JID      // that are to hear of it, without a lock
}

// mark makes next the session's presence and tells the others, in one step.
func (a *announcement) mark(next router.Presence) {
	r, s := a.r, a.session
	order := r.orderOf(a.now.user.ID)
	order.Lock()
	defer order.Unlock()
	alive := s.Alive()
	if next.Available && !alive {
		return // it has been announced as gone, and stays so
	}
	if !alive {
		a.heir = r.host.Router.Session(s.JID()) // what others know of the address may be newer already
	}
	old := s.SetPresence(next)
	if old.Available || next.Available {
		b := r.boards[a.now.user.Domain]
		if next.Available {
			a.row, a.now = b.set(s, a.now, a.stanza)
		} else if w, was := b.remove(s); w != nil {
			a.row, a.now = w, was
		}
		if a.told = true; a.heir == nil || !a.heir.Presence().Available {
			a.tell()
		}
		a.initial = next.Available && !old.Available
		for _, fn := range r.observers {
			fn(s, old, next)
		}
	}
	if !next.Available {
		a.farewell()
	}
}

// tell sends the presence to the user's own sessions, to colleagues and to subscribers.
func (a *announcement) tell() {
	a.r.tellOwn(a.out, a.session, a.stanza)
	n := 0
	if a.row != nil {
		n = a.r.boards[a.now.user.Domain].tell(a.out, a.row, a.stanza)
	}
	for _, j := range a.contacts.subscribers() {
		if !a.colleague(j) {
			n += a.r.deliver(a.out, a.session, j, a.stanza)
		}
	}
	a.r.Stats.Presences.Add(int64(n))
}

// colleague reports whether a contact gets the presence by the board.
func (a *announcement) colleague(contact xmpp.JID) bool {
	if a.row == nil || contact.Domain() != a.now.user.Domain {
		return false
	}
	u := a.r.dir.User(contact)
	return u != nil && a.now.reach.sees(u, a.now.user)
}

// farewell sends unavailable presence to whom the session sent presence
// directly (RFC 6121 §4.6.3).
func (a *announcement) farewell() {
	for _, j := range a.contacts.takeDirected(a.session) {
		switch {
		case a.heard(j):
		case a.r.dir.Domain(j.Domain()) == nil:
			a.services = append(a.services, j)
		default:
			a.r.deliverDirectly(a.out, a.session, j, a.stanza)
		}
	}
}

// heard reports whether an address was told already, or knows better: also of one that entered a room by another nick.
func (a *announcement) heard(j xmpp.JID) bool {
	if a.heir != nil && slices.ContainsFunc(a.r.directedBy(a.heir), func(k xmpp.JID) bool { return k.Bare() == j.Bare() }) {
		return true
	}
	if !a.told || !a.colleague(j.Bare()) && !slices.Contains(a.contacts.subscribers(), j.Bare()) {
		return false
	}
	if j.IsBare() || a.r.dir.Domain(j.Domain()) == nil {
		return true
	}
	s := a.r.host.Router.Session(j)
	return s != nil && s.Presence().Available
}

// tellOwn sends a session's presence to all available sessions of its account,
// itself too: everybody is subscribed to oneself (RFC 6121 §4.2.2, §4.5.2).
func (r *Roster) tellOwn(out *router.Batch, s *router.Session, stanza []byte) {
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	*buf = appendTo(*buf, stanza, toAttr(s.JID().Bare()))
	s.Account().Each(func(x *router.Session) {
		if x == s || x.PresenceLocked().Available {
			x.Send(out, *buf)
		}
	})
}

// deliver sends a presence to the available sessions of a user of ours, or to a
// contact elsewhere. from is
// whose it is, so that nobody gets it whom blocking keeps from it; nil: that was
// seen to.
func (r *Roster) deliver(out *router.Batch, from *router.Session, to xmpp.JID, stanza []byte) (n int) {
	a := r.host.Router.Account(to)
	if a == nil {
		return r.deliverElsewhere(out, from, to, stanza)
	}
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	*buf = appendTo(*buf, stanza, toAttr(to))
	a.Each(func(s *router.Session) {
		if s.PresenceLocked().Available && !r.parted(from, s) {
			s.Send(out, *buf)
			n++
		}
	})
	return n
}

// collect sends a session that has just come online the presences of all whom
// its user may see, and the requests that wait for an answer (RFC 6121 §4.2.2, §3.1.3).
func (r *Roster) collect(out *router.Batch, s *router.Session, c *contacts, w *row, user *directory.User) {
	n := r.boards[user.Domain].show(out, w)
	breathe := func() { // its own reader does this, and may wait for its socket
		if s.Waiting() > runBytes {
			out.Flush()
			s.Drain(runBytes)
		}
	}
	for _, j := range c.subscriptions() {
		if to, _ := r.covered(user, j); !to {
			n += r.showOnly(out, j, s, nil, w.to)
			r.ask(out, user, j)
			breathe()
		}
	}
	n += r.showOnly(out, user.JID, s, s, w.to)
	for _, src := range r.opts.Sources {
		src.Presence(user, xmpp.JID{}, func(stanza []byte) {
			s.Send(out, appendTo(nil, stanza, w.to))
			n++
		})
	}
	r.Stats.Presences.Add(int64(n))
	for _, it := range c.requests() {
		if _, from := r.covered(user, it.JID); !from && !r.blocks(user.ID, it.JID) {
			s.Send(out, it.Request)
			breathe()
		}
	}
}

// showOnly sends one session the presences of a user's available sessions, but for one.
func (r *Roster) showOnly(out *router.Batch, owner xmpp.JID, to, but *router.Session, attr []byte) (n int) {
	a := r.host.Router.Account(owner)
	if a == nil {
		return 0
	}
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	order := r.orderOf(a.User)
	order.Lock()
	defer order.Unlock()
	for _, s := range a.Available(nil) {
		if p := s.Presence(); s != but && p.Available && !r.parted(s, to) {
			*buf = appendTo((*buf)[:0], p.Stanza, attr)
			to.Send(out, *buf)
			n++
		}
	}
	return n
}

// showTo sends a contact a presence of each of the owner's available sessions,
// unless that is not theirs to decide. Call with the owner's order lock held.
func (r *Roster) showTo(out *router.Batch, owner *directory.User, contact xmpp.JID, presence func(*router.Session) []byte) {
	if _, from := r.covered(owner, contact); from {
		return
	}
	a := r.host.Router.Account(owner.JID)
	if a == nil {
		return
	}
	for _, s := range a.Available(nil) {
		if stanza := presence(s); stanza != nil {
			r.Stats.Presences.Add(int64(r.deliver(out, s, contact, stanza)))
		}
	}
}

// unavailable is the presence of a session that is gone, without to.
func unavailable(from xmpp.JID) []byte {
	b := xmpp.AppendAttr([]byte("<presence"), "from", from.String())
	return append(b, " type='unavailable'/>"...)
}

// ended announces a session that left without saying so (RFC 6121 §4.5.2), and
// takes back what it told others directly.
func (r *Roster) ended(s *router.Session, _ router.Unacknowledged) {
	c, ok := slot.Peek(s.Account())
	if !ok {
		return // it never told anybody anything
	}
	out := batches.Get().(*router.Batch)
	defer flush(out)
	r.announce(out, s, c, router.Presence{Since: r.host.Now()}, unavailable(s.JID()))
}

// inject sends a stanza on its way to a service of ours.
func (r *Roster) inject(from, to xmpp.JID, stanza []byte) {
	st, err := xmpp.Parse(appendTo(nil, stanza, toAttr(to)))
	if err == nil {
		err = r.host.Table.Inject(from, st)
	}
	if err != nil {
		r.host.Log.Debug("a presence did not reach a service", "to", to.String(), "error", err)
	}
}
