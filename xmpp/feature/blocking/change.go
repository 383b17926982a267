package blocking

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// interested is set on sessions that have asked for the list: they are told of changes.
var interested = router.NewFlag("blocking: interested")

// get answers with the list (§3.2).
func (b *Blocking) get(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	told, err := b.read(q.Session.User())
	if err != nil {
		return nil, err
	}
	q.Then(func() { b.follow(q.Session, told) })
	dst = append(dst, "<blocklist xmlns='"+xmpp.NSBlocking+"'>"...)
	return append(appendItems(dst, told.all()), "</blocklist>"...), nil
}

func (b *Blocking) read(owner directory.ID) (l *list, err error) {
	if e := (*b.owners.Load())[owner]; e == nil {
		return newList(), nil
	} else if l = e.list.Load(); l != nil {
		return l, nil
	}
	err = b.host.State.View(context.Background(), func(tx store.Tx) error {
		l, err = readList(tx, owner)
		return err
	})
	return l, err
}

// follow has a session told of changes from now on, and of those that came
// between the list that it was told and now.
func (b *Blocking) follow(s *router.Session, told *list) {
	b.telling.Lock()
	defer b.telling.Unlock()
	s.Set(interested)
	now := newList()
	if e := (*b.owners.Load())[s.User()]; e != nil {
		if now = e.list.Load(); now == nil {
			return
		}
	}
	if came := now.minus(told); len(came) > 0 {
		s.Send(nil, b.appendPush(nil, s.JID(), "block", slices.Values(came)))
	}
	if went := told.minus(now); len(went) > 0 {
		s.Send(nil, b.appendPush(nil, s.JID(), "unblock", slices.Values(went)))
	}
}

// appendPush appends the push of a change; no items stand for all (§3.5).
func (b *Blocking) appendPush(dst []byte, to xmpp.JID, what string, items iter.Seq[xmpp.JID]) []byte {
	dst = append(dst, "<iq type='set' id='block"...)
	dst = strconv.AppendUint(dst, b.pushes.Add(1), 36)
	dst = append(dst, '\'')
	dst = xmpp.AppendAttr(dst, "to", to.String())
	dst = append(append(append(dst, "><"...), what...), " xmlns='"+xmpp.NSBlocking+"'>"...)
	dst = appendItems(dst, items)
	return append(append(append(dst, "</"...), what...), "></iq>"...)
}

// items reads the addresses of a request, each once, and the reports about them.
func items(payload *xmpp.Node) (jids []xmpp.JID, reports []report, err error) {
	seen := map[xmpp.JID]bool{}
	for _, n := range payload.Children {
		if !n.Is(xmpp.NSBlocking, "item") {
			continue
		}
		text, ok := n.Lookup("jid")
		if !ok {
			return nil, nil, xmpp.NewError(xmpp.BadRequest, "an <item/> has a 'jid'")
		}
		j, err := xmpp.ParseJID(text)
		if err != nil {
			return nil, nil, xmpp.NewError(xmpp.JIDMalformed, fmt.Sprintf("%q is no address", shorten(text, 100)))
		}
		if !seen[j] {
			seen[j] = true
			jids = append(jids, j)
		}
		if reports, err = appendReport(reports, j, n); err != nil {
			return nil, nil, err
		}
	}
	return jids, reports, nil
}

// block blocks addresses (§3.3).
func (b *Blocking) block(q *feature.Query, dst []byte) ([]byte, error) {
	owner := q.UserOf()
	if owner == nil {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	jids, reports, err := items(q.Payload.Node())
	switch {
	case err != nil:
		return nil, err
	case len(jids) == 0:
		return nil, xmpp.NewError(xmpp.BadRequest, "there is no <item/> to block")
	}
	for _, j := range jids {
		if j.Bare() == owner.JID { // §4, of one's own resources
			return nil, xmpp.NewError(xmpp.NotAllowed, "nobody can block themselves")
		}
	}
	if err := b.add(owner, jids); err != nil {
		return nil, err
	}
	b.log(owner, reports)
	return dst, nil
}

// add blocks addresses, none of which is the owner's.
func (b *Blocking) add(owner *directory.User, jids []xmpp.JID) error {
	if len(jids) == 0 {
		return nil
	}
	return b.update(owner, func(tx store.Tx, now *list) (next *list, err error) {
		next = now.with(jids)
		if len(next.items) > maxItems || next.length() > maxBytes {
			return nil, xmpp.NewError(xmpp.ResourceConstraint, fmt.Sprintf("no more than %d addresses can be blocked, nor more than %d bytes of them; a domain can be blocked as a whole", maxItems, maxBytes))
		}
		for _, j := range jids {
			if err := tx.Put(space, key(owner.ID, j), nil); err != nil {
				return nil, err
			}
		}
		return next, nil
	}, pushOf{"block", jids})
}

// unblock unblocks addresses (§3.4), or all of them (§3.5).
func (b *Blocking) unblock(q *feature.Query, dst []byte) ([]byte, error) {
	owner := q.UserOf()
	if owner == nil {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	payload := q.Payload.Node()
	jids, _, err := items(payload)
	switch {
	case err != nil:
		return nil, err
	case len(jids) == 0 && len(payload.Children) > 0: // far from "all"
		return nil, xmpp.NewError(xmpp.BadRequest, "there is no <item/> to unblock")
	}
	err = b.update(owner, func(tx store.Tx, now *list) (*list, error) {
		if len(jids) == 0 {
			return newList(), erase(tx, owner.ID)
		}
		for _, j := range jids {
			if err := tx.Delete(space, key(owner.ID, j)); err != nil {
				return nil, err
			}
		}
		return now.without(jids), nil
	}, pushOf{"unblock", jids})
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// pushOf is what interested sessions hear of a change.
type pushOf struct {
	what  string
	items []xmpp.JID
}

// update changes what a user blocks. Once it is on disk it is in force,
// presence follows it, and it is pushed.
func (b *Blocking) update(owner *directory.User, fn func(tx store.Tx, now *list) (*list, error), p pushOf) error {
	return b.host.State.Update(context.Background(), func(tx store.Tx) error {
		// Not what is in force, which is behind what was done in this group.
		now, err := readList(tx, owner.ID)
		if err != nil {
			return err
		}
		next, err := fn(tx, now)
		if err != nil {
			return err
		}
		tx.OnCommit(func() {
			b.reblock(&b.out, owner, func() { b.put(owner.ID, next) })
			b.push(owner, p)
		})
		tx.OnGroup(b, b.out.Flush)
		return nil
	})
}

// push tells the user's sessions that have asked for the list. It is locked
// against follow, so that none hears of a change too late or never.
func (b *Blocking) push(owner *directory.User, p pushOf) {
	b.telling.Lock()
	defer b.telling.Unlock()
	a := b.host.Router.Account(owner.JID)
	if a == nil {
		return
	}
	a.Each(func(s *router.Session) {
		if s.Has(interested) {
			s.Send(&b.out, b.appendPush(nil, s.JID(), p.what, slices.Values(p.items)))
		}
	})
}
