package pubsub

import (
	"context"
	"encoding/json"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// userDeleted removes, in the transaction in which a user is deleted, what he had
// published, and himself from all nodes: who gets his name later inherits nothing.
func (p *PubSub) userDeleted(tx store.Tx, id directory.ID) error {
	if err := erase(tx, id); err != nil {
		return err
	}
	u := p.host.Directory.ByID(id)
	if u == nil {
		return nil
	}
	if h := p.service(u.Domain); h != nil {
		if err := forgetMoved(tx, h.id, id); err != nil {
			return err
		}
	}
	byHome := map[*home][]string{}
	for _, at := range p.people.of(u.JID) {
		if at.home.id != id {
			byHome[at.home] = append(byHome[at.home], at.node)
		}
	}
	for h, names := range byHome {
		t, err := p.begin(tx, h)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := t.forgetUser(name, u); err != nil {
				return err
			}
		}
		if err := t.save(); err != nil {
			return err
		}
		out := t.outcome
		tx.OnCommit(func() { h.enqueue(out) })
	}
	return nil
}

// forgetMoved removes what a user has said of where nodes of the service are now.
func forgetMoved(tx store.Tx, service, user directory.ID) error {
	u, err := get[usage](tx, spaceUsage, usageKey(service, user))
	if err != nil || u.Moved == 0 {
		return err
	}
	for k, v := range tx.Scan(spaceMoved, store.Range{Prefix: homeKey(service)}) {
		var m moved
		if err := json.Unmarshal(v, &m); err != nil {
			return err
		}
		if m.Creator == user {
			if err := tx.Delete(spaceMoved, k); err != nil {
				return err
			}
		}
	}
	if u.Moved = 0; u == (usage{}) {
		return tx.Delete(spaceUsage, usageKey(service, user))
	}
	return put(tx, spaceUsage, usageKey(service, user), &u)
}

// forgetUser removes a user from a node. A node that has no other owner is deleted;
// one that he created is on the account of another owner from now on.
func (t *Transaction) forgetUser(name string, u *directory.User) error {
	n, err := t.node(name)
	if err != nil || n.nodeRecord == nil {
		return err
	}
	if err := t.rewrite(n, u.JID, func(string) string { return "" }); err != nil {
		return err
	}
	if t.home.isService() && n.Owners == 0 {
		return t.remove(name, "")
	}
	if n.Creator != u.ID {
		return nil
	}
	heir, err := t.heir(n)
	switch {
	case err != nil:
		return err
	case heir == 0:
		return t.remove(name, "")
	}
	return t.hand(n, heir)
}

// heir returns an owner of a node on whose account it could be, 0 if there is none.
func (t *Transaction) heir(n *touched) (directory.ID, error) {
	for k, v := range t.tx.Scan(spacePeople, store.Range{Prefix: numberKey(t.home.id, n.Num)}) {
		is, err := decodePerson(v)
		if err != nil {
			return 0, err
		}
		j, err := xmpp.ParseJID(string(k[12:]))
		if err != nil || is.affiliation != Owner {
			continue
		}
		if u := t.p.host.Directory.User(j); u != nil && u.ID != n.Creator {
			return u.ID, nil
		}
	}
	return 0, nil
}

// hand puts a node on the account of somebody else.
func (t *Transaction) hand(n *touched, to directory.ID) error {
	from, err := t.usageOf(n.Creator)
	if err != nil {
		return err
	}
	other, err := t.usageOf(to)
	if err != nil {
		return err
	}
	from.Nodes--
	from.Bytes -= n.Bytes
	other.Nodes++
	other.Bytes += n.Bytes
	n.Creator, n.dirty = to, true
	return nil
}

// rewrite gives all addresses of an account that are on a node's roll another
// name; none takes them off.
func (t *Transaction) rewrite(n *touched, bare xmpp.JID, name func(jid string) string) error {
	prefix := personKey(t.home.id, n.Num, bare.String())
	type entry struct {
		jid string
		person
	}
	var all []entry
	for k, v := range t.tx.Scan(spacePeople, store.Range{Prefix: prefix}) {
		jid := string(k[12:])
		if jid != bare.String() && !strings.HasPrefix(jid, bare.String()+"/") {
			continue
		}
		is, err := decodePerson(v)
		if err != nil {
			return err
		}
		all = append(all, entry{jid, is})
	}
	for _, e := range all {
		if err := t.setPerson(n, e.jid, person{}); err != nil {
			return err
		}
		if now := name(e.jid); now != "" {
			if err := t.setPerson(n, now, e.person); err != nil {
				return err
			}
		}
	}
	return nil
}

// directoryChanged forgets who was deleted, and how who was renamed is written.
func (p *PubSub) directoryChanged(c directory.Change) {
	switch {
	case c.New == nil && c.Old != nil:
		p.audience(c.Old.Domain).drop(c.Old.ID)
		gone := p.known(c.Old.ID)
		for _, at := range p.people.of(c.Old.JID) {
			p.drain(at.home)
		}
		if gone != nil {
			p.forget(gone)
		}
	case c.Old != nil && c.New != nil && c.Old.JID != c.New.JID:
		if h := p.known(c.New.ID); h != nil {
			h.mu.Lock()
			for _, n := range h.nodes {
				if n.last != nil {
					n.last = &lastItem{Item: n.last.Item, large: n.last.large}
				}
			}
			h.mu.Unlock()
		}
		p.renamed(c.Old.JID, c.New.JID)
	}
}

// Sighted sends somebody the last items of those whose presence he has not seen
// before (XEP-0060 §6.1.7).
func (p *PubSub) Sighted(viewer *router.Account, subjects []directory.ID) {
	var news []place
	for _, id := range subjects {
		if h := p.known(id); h != nil {
			news = append(news, h.places()...)
		}
	}
	if len(news) == 0 {
		return
	}
	x := p.audience(viewer.JID.Domain())
	for _, s := range viewer.Available(nil) {
		cl := x.client(s)
		if cl == nil {
			continue
		}
		j := &job{client: cl, since: p.turn.Load()}
		for _, at := range news {
			if x.hears(cl, at.node) {
				j.add(at.node, []*home{at.home})
			}
		}
		x.pace.add(j)
	}
}

// forget takes a home out of memory.
func (p *PubSub) forget(h *home) {
	p.mu.Lock()
	delete(p.homes, h.id)
	p.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, n := range h.nodes {
		p.unmeet(n.shape.people, place{h, name})
	}
}

// renamed writes somebody's new address where the old one was.
func (p *PubSub) renamed(old, now xmpp.JID) {
	for _, at := range p.people.of(old) {
		err := p.change(context.Background(), at.home, func(t *Transaction) error {
			n, err := t.node(at.node)
			if err != nil || n.nodeRecord == nil {
				return err
			}
			return t.rewrite(n, old, func(jid string) string { return now.String() + strings.TrimPrefix(jid, old.String()) })
		})
		if err != nil {
			p.host.Log.Error("a new address was not written to the nodes that know the old one", "old", old.String(), "new", now.String(), "node", at.node, "error", err)
		}
	}
}
