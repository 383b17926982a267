package pubsub

import (
	"context"
	"maps"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Hears reports whether a session is told of a node: whether its client has
// said so in its presence (XEP-0163 §4.2.1). Of a client that has not answered
// yet what it can do, it is not known.
func (p *PubSub) Hears(s *router.Session, node string) bool {
	x := p.audience(s.JID().Domain())
	x.mu.RLock()
	defer x.mu.RUnlock()
	cl := x.clients[s]
	if cl == nil || cl.caps == nil {
		return false
	}
	_, found := slices.BinarySearch(cl.caps.notify, node)
	return found
}

// Clients calls fn for the clients of a user that want to hear of a node.
func (p *PubSub) Clients(u *directory.User, node string, fn func(*Client)) {
	for _, cl := range p.audience(u.Domain).interested(nil, node) {
		if cl.user == u.ID {
			fn(cl)
		}
	}
}

// Has reports whether a user has a node.
func (p *PubSub) Has(owner directory.ID, node string) bool {
	return p.known(owner).shapeOf(node) != nil
}

// MayRead reports whether somebody may read a node of a user, which must be there.
func (p *PubSub) MayRead(owner *directory.User, node string, who xmpp.JID) bool {
	at := p.account(owner)
	s := at.shapeOf(node)
	return s != nil && p.mayRead(&at, s, who) == nil
}

// Item returns an item of a user's node, nil if it is not there.
func (p *PubSub) Item(ctx context.Context, owner directory.ID, node, id string) (it *Item, err error) {
	err = p.host.State.View(ctx, func(tx store.Tx) error {
		n, err := getNode(tx, owner, node)
		if err != nil || n == nil {
			return err
		}
		found, ok, err := getItem(tx, owner, n.Num, id)
		if err != nil || !ok {
			return err
		}
		found.Payload = slices.Clone(found.Payload)
		it = &found
		return nil
	})
	return it, err
}

// Items returns all items of a user's node, the oldest first.
func (p *PubSub) Items(ctx context.Context, owner directory.ID, node string) (items []Item, err error) {
	err = p.host.State.View(ctx, func(tx store.Tx) error {
		items, err = readItems(tx, owner, node)
		return err
	})
	return items, err
}

// Change changes nodes of a user: the steps of fn come into force together, or
// not at all. Like every transaction fn may run again.
func (p *PubSub) Change(ctx context.Context, owner directory.ID, fn func(t *Transaction) error) error {
	return p.change(ctx, p.home(owner), fn)
}

// Publish publishes items of a user as his client would: the node is made if
// there is none, whoever is to be told is told when it is on disk.
func (p *PubSub) Publish(ctx context.Context, owner directory.ID, node string, items ...Item) error {
	return p.Change(ctx, owner, func(t *Transaction) error {
		for _, it := range items {
			if err := t.Prepare(node); err != nil {
				return err
			}
			if err := t.Add(node, it); err != nil {
				return err
			}
		}
		return nil
	})
}

// Retract removes items of a user, and whoever is to be told is told. What is not
// there is not missed.
func (p *PubSub) Retract(ctx context.Context, owner directory.ID, node string, ids ...string) error {
	return p.Change(ctx, owner, func(t *Transaction) error {
		for _, id := range ids {
			if err := t.Retract(node, id); err != nil {
				return err
			}
		}
		return t.touched(node, nil)
	})
}

// Edit changes items of a user's node in the light of what is in them: fn reads
// items, nil if they are not there, and returns what is to become of which, nil
// to have it retracted. Nothing comes between. What fn does with tx, which may
// be to keep something of its own, happens with it or not at all. Like every
// transaction fn may run again.
func (p *PubSub) Edit(ctx context.Context, owner directory.ID, node string, fn func(tx store.Tx, item func(id string) ([]byte, error)) (map[string][]byte, error)) error {
	return p.Change(ctx, owner, func(t *Transaction) error {
		payloads, err := fn(t.tx, func(id string) ([]byte, error) {
			it, err := t.Item(node, id)
			if err != nil || it == nil {
				return nil, err
			}
			return it.Payload, nil
		})
		if err != nil {
			return err
		}
		ids := slices.Sorted(maps.Keys(payloads))
		for _, id := range ids {
			if payloads[id] != nil {
				continue
			}
			if err := t.Retract(node, id); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if payloads[id] == nil {
				continue
			}
			if err := t.Prepare(node); err != nil {
				return err
			}
			if err := t.Add(node, Item{ID: id, Payload: payloads[id]}); err != nil {
				return err
			}
		}
		return t.touched(node, nil)
	})
}
