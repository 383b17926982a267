package muc

import (
	"context"
	"crypto/rand"

	"confab/archive"
	"confab/xmpp"
	"confab/xmpp/feature"
)

// moderate has a message taken away that somebody else wrote (XEP-0425): the room retracts it in its own name.
func (m *Rooms) moderate(d *feature.Dispatch, n *xmpp.Node) error {
	if n.Child(xmpp.NSRetract, "retract") == nil {
		return xmpp.NewError(xmpp.FeatureNotImplemented, "messages can be retracted and nothing else")
	}
	reason := n.ChildText("", "reason")
	if len(reason) > maxText {
		return unacceptable("the reason is too long")
	}
	r, err := m.find(d.To, d.From)
	if err != nil {
		return err
	}
	s := r.clients[d.From]
	var by speaker
	if s != nil {
		by = speaker{role: s.of.role, jid: s.of.jid, mark: s.of.mark}
	}
	r.mu.Unlock()
	if by.role < Moderator {
		return xmpp.NewError(xmpp.Forbidden, "only moderators take away what others say")
	}
	id, ok := archive.ParseID(n.Attr("id"))
	if !ok {
		return errNoMessage
	}
	// An id that is not in the room's archive is an error.
	q := archive.Query{Owner: r.id, IDs: []uint64{id}, Max: 1}
	if _, err := m.archive.Page(context.Background(), q, func(*archive.Item) error { return nil }); err != nil {
		return err
	}
	b := xmpp.AppendAttr([]byte("<message type='groupchat'"), "to", r.jid.String())
	b = append(xmpp.AppendAttr(b, "id", rand.Text()), "><retract xmlns='"+xmpp.NSRetract+"'"...)
	b = append(xmpp.AppendAttr(b, "id", archive.FormatID(id)), "><moderated xmlns='"+xmpp.NSModerate+"'"...)
	b = append(xmpp.AppendAttr(b, "by", by.jid.String()), '>')
	b = append(append(b, by.mark...), "</moderated>"...)
	if reason != "" {
		b = append(xmpp.AppendText(append(b, "<reason>"...), reason), "</reason>"...)
	}
	return m.inject(r.jid, append(b, "</retract></message>"...))
}

var errNoMessage = xmpp.NewError(xmpp.ItemNotFound, "there is no message with that id in this room")
