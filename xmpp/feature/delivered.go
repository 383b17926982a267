package feature

import "confab/xmpp/router"

// Delivered tells the features that a Target has itself handed a stored message
// to the owner of one of its copies, and which of the owner's sessions got it;
// there is at least one. What follows a delivery to an account follows, but for
// copies to the owner's other devices.
func (d *Dispatch) Delivered(c *Copy, got []*router.Session, out *router.Batch) {
	user := d.host.Directory.ByID(c.Owner)
	if user == nil {
		return
	}
	one := Dispatch{
		Stanza: d.Stanza, From: d.From, To: user.JID, Where: Account, User: user,
		Edit: d.Edit, Private: true, Copies: []Copy{*c}, ID: d.ID, Got: got, host: d.host,
	}
	d.host.Table.follow(&one, out)
}
