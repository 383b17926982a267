package feature

import "confab/xmpp/router"

// DeliverCopies hands a stored message to the owners of all copies that were
// sent to them, and returns how many these are. What a message to many costs
// for each of them is little more than the bytes. It is for Target.Deliver.
func (d *Dispatch) DeliverCopies(out *router.Batch) (n int) {
	one := new(Dispatch)
	for i := range d.Copies {
		if c := &d.Copies[i]; c.Incoming {
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

// deliverCopy is DeliverCopy with one as the message to the account.
func (d *Dispatch) deliverCopy(one *Dispatch, c *Copy, out *router.Batch) {
	t := d.host.Table
	user := d.host.Directory.ByID(c.Owner)
	if user == nil || user.Disabled {
		return
	}
	*one = Dispatch{
		Stanza: d.Stanza, From: d.From, To: user.JID, Where: Account, User: user,
		Edit: d.Edit, Private: d.Private, Copies: append(one.Copies[:0], *c), Got: one.Got[:0], ID: d.ID,
		host: d.host, scratch: one.scratch[:0],
	}
	t.deliverToAccount(one, out)
	t.follow(one, out)
}
