package pubsub

import (
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
)

// maxReminders is how many requests an owner who comes online is shown.
const maxReminders = 100

// tellOfSubscription tells of a change of somebody's subscription: the owners of
// a request (XEP-0060 §8.6), or of the rest if they want to hear of it; and who
// has subscribed, if somebody else did it (§13.14). It returns how many KiB that was.
func (p *PubSub) tellOfSubscription(out *router.Batch, at *site, ev *Event) (told int) {
	var owners []byte
	switch {
	case ev.is == pending:
		owners = at.appendApproval(nil, ev.Node, ev.who)
	case ev.shape.Config.NotifySub:
		owners = at.appendEvent(nil, ev)
	}
	if owners != nil {
		for _, j := range at.owners(ev.shape) {
			told += p.sendTo(out, at, j, owners)
		}
	}
	if j, err := xmpp.ParseJID(ev.who); err == nil && !ev.quiet {
		told += p.sendTo(out, at, j, at.appendEvent(nil, ev))
	}
	return told
}

// sendTo sends a message that has no 'to' to an address, and returns how many KiB
// that was.
func (p *PubSub) sendTo(out *router.Batch, at *site, j xmpp.JID, message []byte) (told int) {
	to := xmpp.AppendAttr(nil, "to", j.String())
	for _, cl := range p.audience(at.domain).of(nil, p.host.Router, j) {
		if cl.user == at.id || !p.blocked(cl.user, at) {
			cl.session.Send(out, appendTo(nil, message, to))
			told += weightOf(message)
		}
	}
	return told
}

// appendApproval appends the question whether somebody may subscribe, without 'to'.
func (at *site) appendApproval(dst []byte, node, jid string) []byte {
	f := form.New(form.TypeForm, formApproval,
		form.Field{Var: "pubsub#node", Type: form.TextSingle, Label: "Node ID", Values: []string{node}},
		form.Field{Var: "pubsub#subscriber_jid", Type: form.JIDSingle, Label: "Subscriber Address", Values: []string{jid}},
		form.Field{Var: "pubsub#allow", Type: form.Boolean, Label: "Allow this JID to subscribe to this pubsub node?", Values: []string{"false"}},
	)
	f.Title = "PubSub subscriber request"
	f.Instructions = []string{"Somebody wants to subscribe. Submit the form with the answer, or cancel it to decide later."}
	dst = append(at.appendStart(dst), '>')
	return append(f.Append(dst), "</message>"...)
}

// remind sends an owner who has come online the requests that wait at some nodes.
func (p *PubSub) remind(out *router.Batch, cl *Client, where []place) {
	left := maxReminders
	for _, w := range where {
		s := w.home.shapeOf(w.node)
		if s == nil {
			continue
		}
		if _, waiting := s.people.counts(); waiting == 0 {
			continue
		}
		at, ok := p.siteOf(w.home)
		if !ok || at.owned(s, cl.jid) != nil {
			continue
		}
		to := xmpp.AppendAttr(nil, "to", cl.jid.Bare().String())
		for _, jid := range s.people.find(isPending) {
			if left--; left < 0 {
				return
			}
			cl.session.Send(out, appendTo(nil, at.appendApproval(nil, w.node, jid), to))
		}
	}
}

// answerIn reads the answer to a request out of a message, nil if there is none.
func answerIn(st *xmpp.Stanza) (*form.Form, error) {
	e := st.Child(xmpp.NSDataForms, "x")
	if e == nil || st.Type == xmpp.TypeError {
		return nil, nil
	}
	f, err := form.Parse(e.Node())
	if err != nil || f.FormType() != formApproval {
		return nil, nil // it is something else
	}
	return f, nil
}

// ownAnswer takes a user's answer to who wants to subscribe to a node of his
// account.
func (p *PubSub) ownAnswer(d *feature.Dispatch) error {
	f, err := answerIn(d.Stanza)
	if err != nil || f == nil {
		return err
	}
	at := p.account(d.User)
	if err := p.approve(&at, d.From, f); err != nil {
		return err
	}
	return feature.ErrDropped
}

// message takes an owner's answer to who wants to subscribe to a node of the service.
func (p *PubSub) message(d *feature.Dispatch) error {
	f, err := answerIn(d.Stanza)
	if err != nil {
		return err
	}
	h := p.service(d.Domain())
	if f == nil || h == nil || !d.To.IsDomain() {
		return xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	at, _ := p.siteOf(h)
	return p.approve(&at, d.From, f)
}

// approve lets somebody in, or not (XEP-0060 §8.6).
func (p *PubSub) approve(at *site, from xmpp.JID, f *form.Form) error {
	switch f.Type {
	case form.TypeCancel: // it stays as it is
		return nil
	case form.TypeSubmit:
	default:
		return xmpp.NewError(xmpp.BadRequest, "a form of the type submit was expected")
	}
	name, _, err := f.Text("pubsub#node")
	if err != nil {
		return err
	}
	j, ok, err := f.JID("pubsub#subscriber_jid")
	if err != nil {
		return err
	}
	allow, said, err := f.Bool("pubsub#allow")
	switch {
	case err != nil:
		return err
	case name == "" || !ok || !said:
		return xmpp.NewError(xmpp.BadRequest, "the form says who may subscribe to what, or may not")
	}
	s, err := p.there(at, name)
	if err != nil {
		return err
	}
	if err := at.owned(s, from); err != nil {
		return err
	}
	is := unsubscribed
	if allow {
		is = subscribed
	}
	err = p.changeBy(from, at.home, func(t *Transaction) error {
		n, err := t.existing(name)
		if err != nil {
			return err
		}
		who, err := t.person(n, j.String())
		if err != nil {
			return err
		}
		if who.subscription != pending { // another owner was faster, or it was taken back
			return xmpp.NewError(xmpp.ItemNotFound, "")
		}
		return t.enlist(n, j, is, true)
	})
	if err == nil && allow {
		p.greet(at, name, j)
	}
	return err
}
