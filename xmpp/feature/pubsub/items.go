package pubsub

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/store"
)

// Add publishes an item of an account's user, with what goes with it for nodes
// that are known. The node must be there, see Prepare.
func (t *Transaction) Add(name string, it Item) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	return t.add(n, it)
}

func (t *Transaction) add(n *touched, it Item) error {
	hooks := &t.p.hooks
	if !t.home.isService() && hooks.Check != nil {
		if err := hooks.Check(n.name, &it); err != nil {
			return err
		}
	}
	if err := t.publish(n, it); err != nil {
		return err
	}
	return t.touched(n.name, &it)
}

// Put is Add without what goes with it.
func (t *Transaction) Put(name string, it Item) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	return t.publish(n, it)
}

// touched tells package pep that the items of a node have changed.
func (t *Transaction) touched(name string, it *Item) error {
	if t.home.isService() || t.p.hooks.Touched == nil {
		return nil
	}
	return t.p.hooks.Touched(t, name, it)
}

// publish adds an item to a node, or replaces the one of the same id. An item of
// a transient node is told of, and forgotten.
func (t *Transaction) publish(n *touched, it Item) error {
	if len(it.Payload) > n.Config.maxPayload() { // XEP-0060 §7.1.3.5
		return Refusal(xmpp.NotAcceptable, "payload-too-big", "an item has at most "+strconv.Itoa(n.Config.maxPayload())+" bytes")
	}
	it.Published = t.now.UTC().Truncate(time.Microsecond)
	if !n.Config.Transient {
		if err := t.store(n, &it); err != nil {
			return err
		}
	}
	t.say(n, Event{Kind: Published, Node: n.name, Item: it})
	return nil
}

func (t *Transaction) store(n *touched, it *Item) error {
	old, had, err := getItem(t.tx, t.home.id, n.Num, it.ID)
	if err != nil {
		return err
	}
	if had {
		if err := t.forget(n, &old); err != nil {
			return err
		}
	}
	if err := t.expire(n); err != nil {
		return err
	}
	for n.Items >= n.Config.limit() {
		id, err := t.dropOldest(n)
		if err != nil {
			return err
		}
		if n.Config.limit() > 1 { // or the new one takes its place (§13.21)
			t.say(n, Event{Kind: Retracted, Node: n.name, Item: Item{ID: id}, quiet: n.Config.QuietRetract})
		}
	}
	if err := t.weigh(n, it.size()); err != nil {
		return err
	}
	n.Items++
	n.Next++
	it.seq = n.Next
	if err := t.tx.Put(spaceItems, itemKey(t.home.id, n.Num, it.seq), it.encode()); err != nil {
		return err
	}
	return t.tx.Put(spaceIDs, idKey(t.home.id, n.Num, it.ID), binary.BigEndian.AppendUint64(nil, it.seq))
}

// forget removes an item from the disk.
func (t *Transaction) forget(n *touched, it *Item) error {
	n.Items--
	if err := t.weigh(n, -it.size()); err != nil {
		return err
	}
	if err := t.tx.Delete(spaceItems, itemKey(t.home.id, n.Num, it.seq)); err != nil {
		return err
	}
	return t.tx.Delete(spaceIDs, idKey(t.home.id, n.Num, it.ID))
}

// dropOldest makes room for a newer item, as retract-oldest of XEP-0060 §7.1.2.5
// does, whether the limit is the node's or, with "max", the server's.
func (t *Transaction) dropOldest(n *touched) (id string, err error) {
	for it, err := range scanItems(t.tx, t.home.id, n.Num, store.Range{Limit: 1}) {
		if err != nil {
			return "", err
		}
		it.Payload = bytes.Clone(it.Payload)
		return it.ID, t.forget(n, &it)
	}
	return "", errBroken
}

// expire removes what is older than the node is to keep (pubsub#item_expire).
func (t *Transaction) expire(n *touched) error {
	if n.Config.Expire == 0 {
		return nil
	}
	var old []Item
	for it, err := range scanItems(t.tx, t.home.id, n.Num, store.Range{}) {
		if err != nil {
			return err
		}
		if !n.Config.expired(it.Published, t.now) {
			break
		}
		it.Payload = bytes.Clone(it.Payload)
		old = append(old, it)
	}
	for i := range old {
		if err := t.forget(n, &old[i]); err != nil {
			return err
		}
	}
	return nil
}

// retract removes an item. Others are told if the node or the publisher wants it.
func (t *Transaction) retract(name, id string, notify bool) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	it, ok, err := getItem(t.tx, t.home.id, n.Num, id)
	switch {
	case err != nil:
		return err
	case !ok: // XEP-0060 §7.2.3.2
		return xmpp.NewError(xmpp.ItemNotFound, "")
	}
	if err := t.forget(n, &it); err != nil {
		return err
	}
	t.say(n, Event{Kind: Retracted, Node: name, Item: Item{ID: id}, quiet: !notify && n.Config.QuietRetract})
	return nil
}

// purge removes all items of a node (XEP-0060 §8.5).
func (t *Transaction) purge(name string) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	if n.Config.Transient { // §8.5.3.3
		return unsupported("persistent-items")
	}
	if err := t.clear(n); err != nil {
		return err
	}
	t.say(n, Event{Kind: Purged, Node: name})
	return t.touched(name, nil)
}

// clear removes all items from the disk.
func (t *Transaction) clear(n *touched) error {
	for _, s := range []store.Space{spaceItems, spaceIDs} {
		for k := range t.tx.Scan(s, store.Range{Prefix: numberKey(t.home.id, n.Num)}) {
			if err := t.tx.Delete(s, k); err != nil {
				return err
			}
		}
	}
	n.Items = 0
	return t.weigh(n, int64(n.People)*personSize-n.Bytes)
}
