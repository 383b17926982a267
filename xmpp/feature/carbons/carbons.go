// Package carbons keeps all devices of somebody in a conversation: what one of
// them sends or is sent, the others get a copy of (XEP-0280).
//
// A copy is made when the message has gone its way, so it carries the id that
// the message has in the history of whoever gets the copy, and nothing is
// copied that was not delivered or kept.
package carbons

import (
	"slices"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// nsRules announces all of the rules of §6.1.
const nsRules = "urn:xmpp:carbons:rules:0"

// New returns the feature.
func New() feature.Feature {
	const where = feature.Server | feature.Self
	return feature.Feature{
		Name:       "carbons",
		Implements: []feature.XEP{feature.Implements(280, "1.0.1", feature.Complete, "")},
		Advertise:  []feature.Advert{{Var: xmpp.NSCarbons, Where: where}, {Var: nsRules, Where: where}},
		IQ: []feature.IQ{
			feature.Set(xmpp.NSCarbons, "enable", feature.Self, enable),
			feature.Set(xmpp.NSCarbons, "disable", feature.Self, disable),
		},
		Inline: []feature.Inline{{Var: xmpp.NSCarbons, Space: xmpp.NSCarbons, Turn: turn}},
		Amend:  amend,
		After:  after,
	}
}

// on is the flag of sessions that want copies.
var on = router.NewFlag("carbons: on")

// enable and disable may be asked for again and again (§10.1).
func enable(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil { // §4.1
		return nil, xmpp.NewError(xmpp.NotAllowed, "")
	}
	q.Session.Set(on)
	return dst, nil
}

func disable(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil { // §5.1
		return nil, xmpp.NewError(xmpp.NotAllowed, "")
	}
	q.Session.Clear(on)
	return dst, nil
}

// turn is enable in the request for an address (XEP-0386 §3.2).
func turn(s *router.Session, request *xmpp.Node, dst []byte) []byte {
	if request.Local == "enable" {
		s.Set(on)
	}
	return dst
}

// forged is what only a server may put into a message. Some clients have
// believed it whoever it came from (CVE-2017-5589 and its successors).
var forged = []xmpp.Match{{Space: xmpp.NSCarbons, Local: "received"}, {Space: xmpp.NSCarbons, Local: "sent"}}

// amend notes that a message is not to be copied (§9) and takes forged copies
// out of it (§11); what held one is not copied either. The mark stays: the
// receiver may know that there are no copies.
func amend(d *feature.Dispatch) {
	strip := false
	for i := range d.Stanza.Children {
		e := &d.Stanza.Children[i]
		switch {
		case e.Is(xmpp.NSCarbons, "private"), e.Is(xmpp.NSHints, "no-copy"): // XEP-0334 §4.3
			d.Private = true
		case e.Is(xmpp.NSCarbons, "received"), e.Is(xmpp.NSCarbons, "sent"):
			strip = true
		}
	}
	if strip {
		d.Private = true
		d.Edit.Strip = append(d.Edit.Strip, forged...)
	}
}

// direction is that of a message, seen from the account whose devices get copies.
type direction bool

const (
	received direction = false
	sent     direction = true
)

func (dir direction) String() string {
	if dir == sent {
		return "sent"
	}
	return "received"
}

// after makes the copies.
func after(d *feature.Dispatch, out *router.Batch) {
	if d.Private {
		return
	}
	if d.Session != nil {
		share(d, out, sent, d.Session.Account())
	}
	if d.User != nil && !toSelf(d) {
		if a := d.Host().Router.Account(d.To); a != nil {
			share(d, out, received, a)
		}
	}
}

// toSelf reports whether the message is one to oneself. One's other devices get
// the message itself; those that it was not for get one copy, not two.
func toSelf(d *feature.Dispatch) bool { return d.From.Bare() == d.To.Bare() }

// share sends an account's devices their copies of a message. All but the
// address is the same for all of them.
func share(d *feature.Dispatch, out *router.Batch, dir direction, a *router.Account) {
	if !wanted(d, dir, a) || !eligible(d, dir, a) {
		return
	}
	head, tail := xmpp.GetBuffer(), xmpp.GetBuffer()
	*head = append(*head, "<message"...)
	*head = xmpp.AppendAttr(*head, "from", a.JID.String())
	if t := d.Stanza.Type; t != xmpp.TypeError && t.String() != "" {
		// What has the type error would have to hold an <error/> (RFC 6120 §8.3.1).
		*head = xmpp.AppendAttr(*head, "type", t.String())
	}
	*tail = appendContent(*tail, d, dir, a)
	whole := xmpp.GetBuffer()
	a.Each(func(s *router.Session) {
		if !wants(d, dir, s) {
			return
		}
		*whole = append((*whole)[:0], *head...)
		*whole = xmpp.AppendAttr(*whole, "to", s.JID().String())
		*whole = append(*whole, *tail...)
		s.Send(out, *whole)
		d.Copied = d.Copied || dir == received
	})
	xmpp.PutBuffer(head)
	xmpp.PutBuffer(tail)
	xmpp.PutBuffer(whole)
	remember(d, dir, a)
}

// appendContent appends what comes behind the attributes: the message as the
// account has it in its history (§7, §8).
func appendContent(dst []byte, d *feature.Dispatch, dir direction, a *router.Account) []byte {
	var scratch [192]byte
	edit := d.EditFor(a.User, scratch[:0])
	edit.Declare = xmpp.NSClient
	dst = append(append(append(dst, "><"...), dir.String()...), " xmlns='"+xmpp.NSCarbons+"'><forwarded xmlns='"+xmpp.NSForward+"'>"...)
	dst = xmpp.Apply(dst, d.Stanza, &edit)
	return append(append(append(dst, "</forwarded></"...), dir.String()...), "></message>"...)
}

// wanted reports whether any device is to get a copy.
func wanted(d *feature.Dispatch, dir direction, a *router.Account) (yes bool) {
	a.Each(func(s *router.Session) { yes = yes || wants(d, dir, s) })
	return yes
}

// wants reports whether a device is to get a copy. Call it inside of Account.Each.
func wants(d *feature.Dispatch, dir direction, s *router.Session) bool {
	if !s.Has(on) || s == d.Session {
		return false
	}
	if dir == sent && !toSelf(d) {
		return true
	}
	if len(d.Got) == 0 {
		// Nobody has the message yet. If it is held back, those who are
		// there get it later, and no copy.
		p := s.PresenceLocked()
		return !p.Available || p.Priority < 0
	}
	return !slices.Contains(d.Got, s)
}
