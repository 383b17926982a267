package roster

import (
	"context"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// deliverDirectly sends a presence to a full or a bare address of ours
// (RFC 6121 §8.5.2.1.2, §8.5.3.1).
func (r *Roster) deliverDirectly(out *router.Batch, from *router.Session, to xmpp.JID, stanza []byte) {
	if to.IsBare() || r.dir.Domain(to.Domain()) == nil {
		r.deliver(out, from, to, stanza)
		return
	}
	if s := r.host.Router.Session(to); s != nil && !r.parted(from, s) {
		s.Send(out, appendTo(nil, stanza, toAttr(to)))
	}
}

// directed handles a presence that is for one address only (RFC 6121 §4.6).
func (r *Roster) directed(d *feature.Dispatch) (handled bool, err error) {
	switch d.Where {
	case feature.Remote:
		switch {
		case d.Peer != nil:
		case d.Stanza.Type == xmpp.TypeNone:
			return true, xmpp.NewError(xmpp.RemoteServerNotFound, "")
		default:
			return true, nil
		}
	case feature.Alias:
		return false, nil
	case feature.Self, feature.Account, feature.Full, feature.Service:
	default:
		return true, nil // §8.5.1: nothing happens
	}
	out := batches.Get().(*router.Batch)
	defer flush(out)
	if d.Session != nil {
		c, err := r.contacts(d.Session.Account())
		if err != nil {
			return true, err
		}
		order := r.orderOf(d.Session.User())
		order.Lock()
		defer order.Unlock()
		if !d.Session.Alive() {
			return true, nil
		}
		if err := r.note(d, c); err != nil {
			return true, err
		}
	}
	if d.Where == feature.Service || d.Where == feature.Remote {
		return false, nil
	}
	r.pass(out, d)
	return true, nil
}

// note remembers to whom a session sent its presence directly.
func (r *Roster) note(d *feature.Dispatch, c *contacts) error {
	if d.Stanza.Type == xmpp.TypeUnavailable {
		c.undirect(d.Session, d.To)
		return nil
	}
	if d.To.Bare() != d.From.Bare() && !c.direct(d.Session, d.To, r.opts.Limits.Directed) {
		return xmpp.NewError(xmpp.ResourceConstraint,
			"presence was sent directly to too many addresses; send them unavailable presence first")
	}
	return nil
}

// pass sends a presence on to the address that it names.
func (r *Roster) pass(out *router.Batch, d *feature.Dispatch) {
	edit := d.Edit
	edit.To, edit.NoTo = xmpp.JID{}, true
	r.deliverDirectly(out, nil, d.To, xmpp.Apply(nil, d.Stanza, &edit)) // the Accept stage has let it pass
}

// bounced handles a presence error: it is for the client that it names (RFC 6121 §8.5.3.1).
func (r *Roster) bounced(d *feature.Dispatch) (handled bool, err error) {
	switch d.Where {
	case feature.Service, feature.Alias, feature.Remote:
		return false, nil
	case feature.Full:
		out := batches.Get().(*router.Batch)
		defer flush(out)
		r.pass(out, d)
	}
	return true, nil
}

// probe answers the question who of a user's resources is there (RFC 6121 §4.3.2).
func (r *Roster) probe(d *feature.Dispatch) (handled bool, err error) {
	switch d.Where {
	case feature.Service, feature.Alias, feature.Remote:
		return false, nil
	case feature.Self, feature.Account, feature.Full:
	default:
		return true, nil // §8.5.1
	}
	if d.Session == nil {
		if d.Origin() != nil {
			r.probeFrom(d)
		}
		return true, nil
	}
	out := batches.Get().(*router.Batch)
	defer flush(out)
	owner, to := d.User, toAttr(d.From)
	if r.MaySee(owner.ID, d.From) {
		if r.showOnly(out, owner.JID, d.Session, nil, to) == 0 {
			d.Session.Send(out, appendTo(nil, unavailable(owner.JID), to))
		}
		return true, nil
	}
	if s := r.host.Router.Session(d.To); s != nil && r.toldDirectly(s, d.From) {
		// §4.6.6: whether it is still there, and no more than that.
		here := append(xmpp.AppendAttr([]byte("<presence"), "from", s.JID().String()), "/>"...)
		d.Session.Send(out, appendTo(nil, here, to))
		return true, nil
	}
	answer := subscription(owner.JID, d.From.Bare(), Unsubscribed)
	d.Session.Send(out, answer)
	// If the sender thinks to be subscribed, that is cleared up too.
	prober := d.UserOf()
	if it, err := r.item(prober, owner.JID); err != nil || it == nil || !it.State.HasTo() {
		return true, err
	}
	return true, r.deal(context.Background(), func(dl *deal) error {
		_, err := dl.inbound(prober, owner.JID, Unsubscribed, answer)
		return err
	})
}

func (r *Roster) toldDirectly(s *router.Session, viewer xmpp.JID) bool {
	c, ok := slot.Peek(s.Account())
	return ok && c.isDirected(s, viewer)
}

// subscription handles one of the four subscription stanzas (RFC 6121 §3).
func (r *Roster) subscription(d *feature.Dispatch, ev Event) (handled bool, err error) {
	if d.Origin() != nil && d.Where != feature.Remote {
		return r.subscriptionFrom(d, ev)
	}
	switch d.Where {
	case feature.Service:
		return false, nil
	case feature.Self, feature.Server:
		return true, nil
	case feature.Remote:
		if d.Session == nil {
			return false, nil
		}
	}
	owner, contact := d.UserOf(), d.To.Bare()
	if owner == nil || contact == owner.JID {
		return true, nil
	}
	to, from := r.covered(owner, contact)
	switch {
	case ev == Subscribe && to:
		// Nothing is to be asked: the contact is seen anyway.
		d.Session.Send(nil, subscription(contact, owner.JID, Subscribed))
		return true, nil
	case ev == Unsubscribe && to, (ev == Subscribed || ev == Unsubscribed) && from:
		return true, nil // the domain's rule stands
	case d.Where == feature.Alias:
		return false, nil
	case ev != Subscribe || d.Where != feature.Remote:
	case d.Peer == nil: // §3.1.2
		return true, xmpp.NewError(xmpp.RemoteServerNotFound, "")
	case !d.Peer.Connected():
		return true, feature.ErrAway
	}
	edit := d.Edit
	edit.From, edit.To = owner.JID, contact
	stanza := xmpp.Apply(nil, d.Stanza, &edit)
	peer := r.peer(owner, contact) // who is disabled, too: both lists change, or neither
	deaf := r.deaf(owner, peer)
	return true, r.deal(context.Background(), func(dl *deal) error {
		dl.deaf = deaf
		return dl.outbound(owner, contact, peer, ev, stanza)
	})
}
