package feature

import (
	"confab/xmpp"
	"confab/xmpp/router"
)

// Peer is what speaks for a domain that is none of ours: a component (XEP-0114).
// Its methods may be called from any goroutine and wait for nothing.
type Peer interface {
	// Home is the mail domain that deals with the peer. For the others, and what
	// is below them, it does not exist.
	Home() string
	// Connected reports whether somebody is there at this moment.
	Connected() bool
	// Send hands over one whole stanza that names its sender and its receiver. It
	// reports false if nobody is there to take it. With a batch the stanza leaves
	// when that is flushed, with nil at once.
	Send(out *router.Batch, stanza []byte) bool
}

// ErrAway answers what is for a peer that is not connected. It is the one
// condition by which clients neither think the domain gone nor, after a ping to
// a room there, themselves still in it (RFC 6120 §8.3.3.17, XEP-0410 §3.3).
var ErrAway = xmpp.NewError(xmpp.RemoteServerTimeout, "this service is not connected at the moment")

// NewPeerBatch makes the batch of a connection on which a peer speaks. What it
// hands to Table.Handle names its sender, whom the caller has checked, and is in
// jabber:client.
func (t *Table) NewPeerBatch(p Peer, lang string) *Batch { return &Batch{peer: p, lang: lang} }

// peer finds who speaks for a domain, as it is seen from a mail domain; nil: nobody.
func (t *Table) peer(domain, home string) Peer {
	for _, find := range t.peers {
		if p := find(domain); p != nil && p.Home() == home {
			return p
		}
	}
	return nil
}

// Elsewhere finds who speaks for the domain of an address, as it is seen from
// another, which is ours; nil: nobody.
func (t *Table) Elsewhere(to, from xmpp.JID) Peer {
	if t.Home(to.Domain()) != "" {
		return nil
	}
	return t.peer(to.Domain(), t.Home(from.Domain()))
}

// PeerGone tells the features that a peer is not connected any more.
func (t *Table) PeerGone(p Peer, domain string) {
	for i := range t.features {
		if f := t.features[i].PeerGone; f != nil {
			f(p, domain)
		}
	}
}

// forward hands a presence or an IQ to a peer, as it is. The error is for who
// waits for an answer.
func (t *Table) forward(out *router.Batch, d *Dispatch) error {
	edit := d.Edit
	edit.To = d.To
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	*buf = xmpp.Apply((*buf)[:0], d.Stanza, &edit)
	if d.Peer.Send(out, *buf) {
		return nil
	}
	switch d.Stanza.Type {
	case xmpp.TypeNone, xmpp.TypeSubscribe, xmpp.TypeGet, xmpp.TypeSet:
		return ErrAway
	}
	return nil
}

// deliverElsewhere hands a message to a peer. One that nobody takes although it
// is stored goes back to its sender.
func (t *Table) deliverElsewhere(d *Dispatch, out *router.Batch) {
	edit := d.Edit
	edit.To = d.To
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	*buf = xmpp.Apply((*buf)[:0], d.Stanza, &edit)
	if !d.Peer.Send(out, *buf) {
		if *buf = xmpp.AppendError((*buf)[:0], d.Stanza, ErrAway); len(*buf) > 0 {
			d.Reply(out, *buf)
		}
	}
}

// Reply sends the sender of a stanza an answer, which is addressed already. What
// the server itself sent has nobody to hear it.
func (d *Dispatch) Reply(out *router.Batch, answer []byte) {
	switch {
	case d.Session != nil:
		d.Session.Send(out, answer)
	case d.origin != nil:
		d.origin.Send(out, answer)
	}
}

// Origin is the peer that a stanza comes from, nil if it comes from a client of
// ours or from the server itself.
func (d *Dispatch) Origin() Peer { return d.origin }
