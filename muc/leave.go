package muc

import (
	"slices"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// depart handles unavailable presence (§7.14). Who is not in the room is not answered (§17.3).
func (m *Rooms) depart(d *feature.Dispatch) {
	r := m.peek(d.To.Bare())
	if r == nil {
		return
	}
	out := newBatch()
	defer flush(out)
	defer r.mu.Unlock()
	if s := r.clients[d.From]; s != nil {
		last := newCard(d.Stanza)
		if len(last.middle) > maxPresence {
			last = goodbye
		}
		r.leave(out, s, last, nil)
	}
}

// lost takes out a client whose session has ended.
func (r *room) lost(out *router.Batch, session *router.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.clients[session.JID()]; s != nil && s.line == receiver(session) {
		r.leave(out, s, goodbye, nil)
	}
}

// leave lets a client go, with the card of its last presence. Others see an occupant go with his last client only.
func (r *room) leave(out *router.Batch, s *seat, c card, codes []int) {
	if r.locked && len(r.seats) == 1 { // §10.1.3
		r.destroy(out, destruction{})
		return
	}
	o := s.of
	led := o.seats[0] == s
	n := note{codes: codes, gone: true}
	r.tell(out, s, &c, n)
	if !r.vacate(out, s) {
		if led {
			r.lead(o)
			r.presentLead(out, o, nil)
		}
		return
	}
	if r.config.Broadcast.has(o.role) {
		r.present(out, sight{o, &c, s.jid, n}, r.seats)
	}
	r.emptied(out)
}

// broken are the conditions of errors that tell that somebody is not there any more (§18.1.2).
var broken = []string{
	string(xmpp.Gone), string(xmpp.ItemNotFound), string(xmpp.RecipientUnavailable), string(xmpp.Redirect),
	string(xmpp.RemoteServerNotFound), string(xmpp.RemoteServerTimeout),
}

// failed takes out a client for which an error came back, of a presence or a message (§11.1). It reports whether it did.
func (m *Rooms) failed(d *feature.Dispatch) bool {
	e := d.Stanza.Child("", "error")
	if e == nil {
		return false
	}
	isBroken := func(n *xmpp.Node) bool { return n.Space == xmpp.NSStanzas && slices.Contains(broken, n.Local) }
	if !slices.ContainsFunc(e.Node().Children, isBroken) {
		return false
	}
	r := m.peek(d.To.Bare())
	if r == nil {
		return false
	}
	out := newBatch()
	defer flush(out)
	defer r.mu.Unlock()
	s := r.clients[d.From]
	if s != nil {
		r.leave(out, s, goodbye, []int{333})
	}
	return s != nil
}

// probed answers an occupant who wants to know how another one is (§17.3).
func (m *Rooms) probed(d *feature.Dispatch) {
	r := m.peek(d.To.Bare())
	if r == nil {
		return
	}
	out := newBatch()
	defer flush(out)
	defer r.mu.Unlock()
	s, o := r.clients[d.From], r.at(d.To)
	switch {
	case s == nil || o == nil:
	case o == s.of:
		r.tell(out, s, &s.card, note{})
	case r.config.Broadcast.has(o.role):
		r.present(out, o.sight(), []*seat{s})
	}
}

// changeNick gives an occupant the nick that his client asks for (§7.6).
func (r *room) changeNick(out *router.Batch, s *seat, e *entry) error {
	if r.given != nil {
		return xmpp.NewError(xmpp.NotAcceptable, "in this room everybody has the name of his account").WithType(xmpp.ErrorCancel)
	}
	o := s.of
	there, err := r.claim(e.nick, o.user)
	if err != nil {
		return err
	}
	nick := e.nick
	if there == o { // another spelling
		there = nil
	} else if there != nil {
		nick = there.nick
	}
	s.card = e.card
	r.lead(o)
	r.rename(out, o, nick, there)
	return nil
}

// rename moves an occupant with all his clients to another nick, or to the occupant there under that nick, who is the
// same person.
func (r *room) rename(out *router.Batch, o *occupant, nick string, there *occupant) {
	r.dropNick(out, o, nick)
	if there != nil {
		moved := o.seats
		for _, s := range moved {
			s.of = there
		}
		there.seats = append(there.seats, moved...)
		if r.lead(there) && r.config.Broadcast.has(there.role) {
			r.present(out, there.sight(), r.others(there))
		}
		for _, s := range moved {
			r.tell(out, s, &s.card, note{})
		}
		if o.role != Moderator {
			r.introduce(out, there, moved)
		}
		return
	}
	r.takeNick(out, o, nick)
}

// dropNick lets everybody see an occupant give up his nick for another one.
func (r *room) dropNick(out *router.Batch, o *occupant, nick string) {
	n := note{codes: []int{303}, nick: nick}
	if r.config.Broadcast.has(o.role) {
		r.present(out, sight{o, &goodbye, o.seats[0].jid, n}, r.others(o))
	}
	for _, s := range o.seats {
		r.tell(out, s, &goodbye, n)
	}
	r.dismiss(o)
}

// takeNick lets everybody see him come under that. His own clients are told codes, too.
func (r *room) takeNick(out *router.Batch, o *occupant, nick string, codes ...int) {
	address, err := r.jid.WithResource(nick)
	if err != nil {
		return
	}
	o.nick, o.jid = nick, address
	if r.admit(o) == nil {
		r.show(out, o, note{}, codes...)
	}
}

// destruction says why a room is closed (§10.9).
type destruction struct {
	alternate xmpp.JID
	reason    string
	password  string
	codes     []int
}

// destroy sends everybody away and takes the room out of memory.
func (r *room) destroy(out *router.Batch, why destruction) {
	for _, s := range slices.Clone(r.seats) {
		r.expel(out, s, why)
	}
	r.m.forget(r)
}

// expel takes a client out of a room that ends, for it at least. It reports
// whether it was the last one of its occupant.
func (r *room) expel(out *router.Batch, s *seat, why destruction) (last bool) {
	b := xmpp.AppendAttr([]byte("<presence"), "from", s.of.jid.String())
	b = append(b, s.to...)
	b = append(b, " type='unavailable'><x xmlns='"+xmpp.NSMUCUser+"'><item affiliation='none' role='none'/>"...)
	if len(why.codes) == 0 {
		b = why.append(b)
	}
	b = appendCodes(b, why.codes, []int{110})
	b = append(append(b, "</x>"...), s.of.mark...)
	s.send(out, append(b, "</presence>"...))
	return r.vacate(out, s)
}

func (d *destruction) append(dst []byte) []byte {
	dst = append(dst, "<destroy"...)
	if !d.alternate.IsZero() {
		dst = xmpp.AppendAttr(dst, "jid", d.alternate.String())
	}
	dst = append(dst, '>')
	for _, e := range []struct{ name, text string }{{"reason", d.reason}, {"password", d.password}} {
		if e.text != "" {
			dst = append(append(append(dst, '<'), e.name...), '>')
			dst = xmpp.AppendText(dst, e.text)
			dst = append(append(append(dst, "</"...), e.name...), '>')
		}
	}
	return append(dst, "</destroy>"...)
}
