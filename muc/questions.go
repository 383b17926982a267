package muc

import (
	"crypto/rand"
	"slices"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store/record"
)

// Requests from occupant to occupant (§17.4). Each is answered once (RFC 6120 §8.2.3): by the client that got it, or by the
// room when that client has left without a word.

// question is a request that a client in a room is to answer.
type question struct {
	id    string   // by which that client knows it; it tells nobody who asks
	asker xmpp.JID // the real full address
	line  receiver // to the asker; nil: find the session
	asked xmpp.JID // the occupant, as the asker named him
	own   string   // the id that the asker gave it
}

// maxQuestions bounds what a client may leave unanswered. It would lose that many stanzas while it is not connected.
const maxQuestions = 500

// ask passes a request from one occupant on to a client of another (§17.4). A ping to oneself is answered here: it asks
// whether one is still in the room (XEP-0410).
func (m *Rooms) ask(d *feature.Dispatch) error {
	r, err := m.hold(d.To.Bare())
	if err != nil {
		return err
	}
	if r == nil {
		return errNotIn // XEP-0410 §3.3
	}
	whose, err := m.pass(d, r)
	r.mu.Unlock()
	if err != nil || whose.IsZero() {
		return err
	}
	payload, err := m.host.Table.AnswerFor(whose, d.Stanza)
	if err != nil {
		return err
	}
	m.reply(d, payload)
	return nil
}

// ofAccounts are the requests that accounts answer, not clients: who somebody is and how he looks. An occupant is asked for
// that, too (XEP-0398 §4).
var ofAccounts = []xmpp.Match{
	{Space: xmpp.NSVCard, Local: "vCard"}, {Space: xmpp.NSPubSub, Local: "pubsub"},
}

// pass passes a request on to a client of an occupant. What is a matter of accounts is not passed on: then whose account it
// is about is returned.
func (m *Rooms) pass(d *feature.Dispatch, r *room) (whose xmpp.JID, err error) {
	s, o := r.clients[d.From], r.at(d.To)
	p := d.Stanza.Payload()
	switch {
	case s == nil && (p.Is(xmpp.NSDiscoInfo, "query") || p.Is(xmpp.NSDiscoItems, "query")): // §6.6
		return whose, badRequest("who is not in the room does not ask who is")
	case s == nil:
		return whose, errNotIn
	case o == nil:
		return whose, xmpp.NewError(xmpp.ItemNotFound, "there is nobody of that nick")
	case o != s.of && r.blocks(o.seats[0], s.of.jid): // XEP-0191 §3.3
		return whose, errUnavailable
	case o == s.of && d.Stanza.Type == xmpp.TypeGet && p.Is(xmpp.NSPing, "ping"):
		m.reply(d, nil)
		return whose, nil
	case o.seats[0].user != 0 && d.Stanza.Type == xmpp.TypeGet && slices.ContainsFunc(ofAccounts, func(x xmpp.Match) bool { return p.Is(x.Space, x.Local) }):
		return o.user, nil
	}
	to := o.seats[0]
	if to == s && len(o.seats) > 1 {
		to = o.seats[1]
	}
	if len(d.Stanza.ID) > maxText {
		return whose, xmpp.NewError(xmpp.PolicyViolation, "the id of the request is too long")
	}
	q := question{rand.Text(), s.jid, s.line, d.To, string(d.Stanza.ID)}
	if len(to.questions) == maxQuestions {
		to.questions[0].fail(m, nil, xmpp.NewError(xmpp.ResourceConstraint, "nobody has answered, and there are too many questions"))
		to.questions = slices.Delete(to.questions, 0, 1)
	}
	to.questions = append(to.questions, q)
	n := d.Stanza.Node()
	n.SetAttr("id", q.id)
	n.SetAttr("from", s.of.jid.String())
	n.SetAttr("to", to.jid.String())
	to.line.Send(nil, n.Append(nil))
	return whose, nil
}

// answered passes the answer to such a request back. It comes from where the asker has sent his request, whatever either of
// them is called by now.
func (m *Rooms) answered(d *feature.Dispatch) {
	r := m.peek(d.To.Bare())
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	s := r.clients[d.From]
	if s == nil {
		return
	}
	i := slices.IndexFunc(s.questions, func(q question) bool { return q.id == string(d.Stanza.ID) })
	if i < 0 {
		return
	}
	q := s.questions[i]
	s.questions = slices.Delete(s.questions, i, i+1)
	n := d.Stanza.Node()
	n.SetAttr("id", q.own)
	n.SetAttr("from", q.asked.String())
	n.SetAttr("to", q.asker.String())
	q.send(m, nil, n.Append(nil))
}

// send sends the asker an answer.
func (q *question) send(m *Rooms, out *router.Batch, stanza []byte) {
	if q.line != nil {
		q.line.Send(out, stanza)
	} else if s := m.host.Router.Session(q.asker); s != nil {
		s.Send(out, stanza)
	}
}

// fail answers in the name of a client that does not.
func (q *question) fail(m *Rooms, out *router.Batch, e *xmpp.Error) {
	e.By = q.asked.Bare()
	b := xmpp.AppendAttr([]byte("<iq type='error'"), "id", q.own)
	b = xmpp.AppendAttr(xmpp.AppendAttr(b, "from", q.asked.String()), "to", q.asker.String())
	q.send(m, out, append(e.Append(append(b, '>')), "</iq>"...))
}

// unanswered lets everybody know who has asked a client that leaves.
func (m *Rooms) unanswered(out *router.Batch, all []question) {
	for i := range all {
		all[i].fail(m, out, xmpp.NewError(xmpp.ItemNotFound, "who was asked is not there any more"))
	}
}

// ofSessions are the questions whose askers stay over a restart.
func ofSessions(all []question) (kept []question) {
	for _, q := range all {
		if s, ok := q.line.(*router.Session); q.line == nil || ok && s.CanResume() {
			kept = append(kept, q)
		}
	}
	return kept
}

func appendQuestions(dst []byte, all []question) []byte {
	dst = record.AppendUint(dst, uint64(len(all)))
	for _, q := range all {
		for _, text := range []string{q.id, q.asker.String(), q.asked.String(), q.own} {
			dst = record.AppendString(dst, text)
		}
	}
	return dst
}

func readQuestions(d *record.Reader) (all []question) {
	for n := d.Uint(); n > 0 && !d.Failed(); n-- {
		q := question{id: d.String()}
		var err, err2 error
		q.asker, err = xmpp.ParseJID(d.String())
		q.asked, err2 = xmpp.ParseJID(d.String())
		q.own = d.String()
		if err != nil || err2 != nil {
			d.Fail()
		}
		all = append(all, q)
	}
	return all
}
