package pep

import (
	"context"
	"errors"
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
func (p *PEP) Hears(s *router.Session, node string) bool {
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

// Edit changes items of a user's node in the light of what is in them: fn reads
// items, nil if they are not there, and returns what is to become of which, nil
// to have it retracted. Nothing comes between. What fn does with tx, which may
// be to keep something of its own, happens with it or not at all. Like every
// transaction fn may run again.
func (p *PEP) Edit(ctx context.Context, owner directory.ID, node string, fn func(tx store.Tx, item func(id string) ([]byte, error)) (map[string][]byte, error)) error {
	return p.change(ctx, owner, func(t *transaction) error {
		n, err := t.node(node)
		if err != nil {
			return err
		}
		payloads, err := fn(t.tx, func(id string) ([]byte, error) {
			if n.nodeRecord == nil {
				return nil, nil
			}
			it, ok, err := getItem(t.tx, owner, n.Num, id)
			if err != nil || !ok {
				return nil, err
			}
			return slices.Clone(it.Payload), nil
		})
		if err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(payloads)) {
			if payloads[id] != nil || n.nodeRecord == nil {
				continue
			}
			var gone *xmpp.Error
			if err := t.retract(node, id, true); err != nil && !(errors.As(err, &gone) && gone.Condition == xmpp.ItemNotFound) {
				return err
			}
		}
		for _, id := range slices.Sorted(maps.Keys(payloads)) {
			if payloads[id] == nil {
				continue
			}
			if err := t.add(node, nil, Item{ID: id, Payload: payloads[id]}); err != nil {
				return err
			}
		}
		return t.avatarTouched(node)
	})
}
