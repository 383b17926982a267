package roster

import (
	"strconv"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// appendPush appends a roster push (RFC 6121 §2.1.6) of one item.
func (r *Roster) appendPush(dst []byte, to xmpp.JID, v *version, item []byte) []byte {
	dst = append(dst, "<iq type='set' id='push"...)
	dst = strconv.AppendUint(dst, r.pushes.Add(1), 36)
	dst = append(dst, '\'')
	dst = xmpp.AppendAttr(dst, "to", to.String())
	dst = append(dst, "><query xmlns='jabber:iq:roster' ver='"...)
	dst = v.append(dst)
	dst = append(dst, "'>"...)
	dst = append(dst, item...)
	return append(dst, "</query></iq>"...)
}

// push sends the item of a contact, or that there is none, to a user's
// interested sessions. c is the user's list, locked by the caller, so that what
// a session hears has the order of the revisions.
func (r *Roster) push(out *router.Batch, a *router.Account, v *version, item []byte) (n int) {
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	a.Each(func(s *router.Session) {
		if s.Has(Interested) {
			*buf = r.appendPush((*buf)[:0], s.JID(), v, item)
			s.Send(out, *buf)
			n++
		}
	})
	r.Stats.Pushes.Add(int64(n))
	return n
}

// tell tells a user's interested sessions how a contact looks in the list, if
// its own item there is it, at revision rev of the list.
func (r *Roster) tell(out *router.Batch, owner *directory.User, contact xmpp.JID, it *Item, rev uint64) {
	a := r.host.Router.Account(owner.JID)
	if a == nil {
		return
	}
	c, ok := slot.Peek(a)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded {
		return
	}
	v := r.announced(owner.Domain)
	v.personal = rev
	r.push(out, a, &v, r.appendContact(nil, owner, contact, it))
}

// appendContact appends a contact as the owner's list shows it; it is the item
// in the own list, nil if there is none.
func (r *Roster) appendContact(dst []byte, owner *directory.User, contact xmpp.JID, it *Item) []byte {
	var source *Contact
	if f, ok := r.foreign(owner, contact); ok {
		source = &f
	}
	if it != nil && it.Removed {
		it = nil
	}
	s, ok := merge(source, it)
	if !ok {
		return appendRemoved(dst, contact)
	}
	return s.append(dst)
}
