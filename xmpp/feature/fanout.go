package feature

import (
	"bytes"

	"confab/xmpp"
	"confab/xmpp/router"
)

// DeliverCopies hands a stored message to the owners of all copies that were
// sent to them, and returns how many these are. What a message to many costs
// for each of them is little more than the bytes. It is for Target.Deliver.
func (d *Dispatch) DeliverCopies(out *router.Batch) (n int) {
	one, m := new(Dispatch), new(mold)
	for i := range d.Copies {
		if c := &d.Copies[i]; c.Incoming {
			one.mold = m.of(d, c)
			d.deliverCopy(one, c, out)
			n++
		}
	}
	return n
}

// DeliverCopy hands a stored message to the owner of one of several copies, as
// if it were a message to that account alone: held back if older ones wait,
// followed by what follows a delivery. It is for Target.Deliver.
func (d *Dispatch) DeliverCopy(c *Copy, out *router.Batch) { d.deliverCopy(new(Dispatch), c, out) }

// deliverCopy is DeliverCopy with one, and its mold, as the message to the account.
func (d *Dispatch) deliverCopy(one *Dispatch, c *Copy, out *router.Batch) {
	t := d.host.Table
	user := d.host.Directory.ByID(c.Owner)
	if user == nil || user.Disabled {
		return
	}
	*one = Dispatch{
		Stanza: d.Stanza, From: d.From, To: user.JID, Where: Account, User: user,
		Edit: d.Edit, Private: d.Private, Copies: append(one.Copies[:0], *c), Got: one.Got[:0], ID: d.ID,
		host: d.host, scratch: one.scratch[:0], mold: one.mold,
	}
	t.deliverToAccount(one, out)
	t.follow(one, out)
}

// mold is what copies of one edit have in common: all but for whom they are. To
// label and to strip a message for each of hundreds would cost more than the rest.
type mold struct {
	edit     *xmpp.Edit
	bytes    []byte
	to, tail int // where the address goes, and the id
}

// of returns the mold of a copy, m if there is one.
func (m *mold) of(d *Dispatch, c *Copy) *mold {
	if c.Edit == nil || c.To.IsZero() {
		return nil
	}
	if m.edit != c.Edit {
		edit := d.editOf(c)
		edit.To, edit.NoTo = xmpp.JID{}, true
		m.edit = c.Edit
		m.bytes = xmpp.Apply(m.bytes[:0], d.Stanza, &edit)
		m.to, m.tail = bytes.IndexAny(m.bytes, " \t\r\n/>"), bytes.LastIndex(m.bytes, []byte("</"))
	}
	if m.to < 0 || m.tail < m.to { // an empty element
		return nil
	}
	return m
}

// append appends the one copy that d has.
func (m *mold) append(dst []byte, d *Dispatch) []byte {
	c := &d.Copies[0]
	dst = append(dst, m.bytes[:m.to]...)
	dst = xmpp.AppendAttr(dst, "to", c.To.String())
	dst = append(dst, m.bytes[m.to:m.tail]...)
	dst = d.host.Table.AppendStanzaID(dst, c.OwnerJID, d.ID)
	return append(dst, m.bytes[m.tail:]...)
}
