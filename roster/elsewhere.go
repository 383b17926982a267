package roster

import (
	"context"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// Contacts at a domain that is not ours are reached by a peer. What they show of
// themselves is theirs to send; we ask for it with a probe (RFC 6121 §4.3).

// sendElsewhere hands a stanza of a user to a contact at a peer, if there is one.
func (r *Roster) sendElsewhere(out *router.Batch, from, to xmpp.JID, stanza []byte) bool {
	if r.dir.Domain(to.Domain()) != nil {
		return false
	}
	p := r.host.Table.Elsewhere(to, from)
	return p != nil && p.Send(out, stanza)
}

// deliverElsewhere is deliver for contacts at a peer.
func (r *Roster) deliverElsewhere(out *router.Batch, from *router.Session, to xmpp.JID, stanza []byte) int {
	if from == nil || r.blocks(from.User(), to) || !r.sendElsewhere(out, from.JID(), to, appendTo(nil, stanza, toAttr(to))) {
		return 0
	}
	return 1
}

// ask sends a probe to a contact at a peer for a user who comes online (§4.3.1).
func (r *Roster) ask(out *router.Batch, user *directory.User, contact xmpp.JID) {
	if r.dir.Domain(contact.Domain()) != nil || r.blocks(user.ID, contact) {
		return
	}
	b := xmpp.AppendAttr([]byte("<presence type='probe'"), "from", user.JID.String())
	b = xmpp.AppendAttr(b, "to", contact.String())
	r.sendElsewhere(out, user.JID, contact, append(b, "/>"...))
}

// send hands a contact at a peer a stanza once the change is on disk.
func (d *deal) send(owner *directory.User, contact xmpp.JID, stanza []byte) {
	b := slices.Clone(stanza)
	d.then(func(out *router.Batch) { d.r.sendElsewhere(out, owner.JID, contact, b) })
}

// subscriptionFrom handles a subscription stanza that comes from a peer (§3).
func (r *Roster) subscriptionFrom(d *feature.Dispatch, ev Event) (handled bool, err error) {
	owner, contact := r.dir.User(d.To), d.From.Bare() // who is disabled, too
	if d.Where == feature.Service {
		return false, nil
	}
	if owner == nil {
		return true, nil // §8.5.1; aliases are for those who belong to the domain
	}
	edit := d.Edit
	edit.From, edit.To = contact, owner.JID
	stanza := xmpp.Apply(nil, d.Stanza, &edit)
	return true, r.deal(context.Background(), func(dl *deal) error {
		if r.blocks(owner.ID, contact) {
			dl.deaf = owner.ID
		}
		_, err := dl.inbound(owner, contact, ev, stanza)
		return err
	})
}

// probeFrom answers a probe that comes from a peer (§4.3.2).
func (r *Roster) probeFrom(d *feature.Dispatch) {
	owner, to := d.User, toAttr(d.From)
	out := batches.Get().(*router.Batch)
	defer flush(out)
	switch {
	case r.MaySee(owner.ID, d.From):
		order := r.orderOf(owner.ID)
		order.Lock()
		defer order.Unlock()
		n := 0
		if a := r.host.Router.Account(owner.JID); a != nil {
			for _, s := range a.Available(nil) {
				if p := s.Presence(); p.Available {
					d.Reply(out, appendTo(nil, p.Stanza, to))
					n++
				}
			}
		}
		if n == 0 {
			d.Reply(out, appendTo(nil, unavailable(owner.JID), to))
		}
	case r.blocks(owner.ID, d.From):
	default:
		if s := r.host.Router.Session(d.To); s != nil && r.toldDirectly(s, d.From) { // §4.6.6
			here := append(xmpp.AppendAttr([]byte("<presence"), "from", s.JID().String()), "/>"...)
			d.Reply(out, appendTo(nil, here, to))
			return
		}
		d.Reply(out, subscription(owner.JID, d.From.Bare(), Unsubscribed))
	}
}

// reblockElsewhere looks who at a peer sees a user before a change of what the
// user blocks, and returns what shows them the difference (XEP-0191 §3.3, §3.4).
// Call it, and that, with the user's order lock held.
func (r *Roster) reblockElsewhere(owner *directory.User, a *router.Account) func(out *router.Batch) {
	c := r.known(owner)
	if c == nil {
		return func(*router.Batch) {}
	}
	type view struct {
		of     *router.Session
		by     xmpp.JID
		stanza []byte // what is seen again; nil: it was sent directly, and is not sent anew
		was    bool
	}
	var views []view
	for _, s := range a.Available(nil) {
		for _, j := range c.subscribers() {
			if r.dir.Domain(j.Domain()) == nil {
				views = append(views, view{s, j, s.Presence().Stanza, r.blocks(owner.ID, j)})
			}
		}
		for _, j := range c.directedBy(s) {
			if r.dir.Domain(j.Domain()) == nil && !slices.Contains(c.subscribers(), j.Bare()) {
				views = append(views, view{s, j, nil, r.blocks(owner.ID, j)})
			}
		}
	}
	return func(out *router.Batch) {
		for _, v := range views {
			stanza, now := v.stanza, r.blocks(owner.ID, v.by)
			if now {
				stanza = unavailable(v.of.JID())
			}
			if now != v.was && stanza != nil {
				r.sendElsewhere(out, v.of.JID(), v.by, appendTo(nil, stanza, toAttr(v.by)))
			}
		}
	}
}
