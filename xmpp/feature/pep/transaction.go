package pep

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/form"
	"confab/xmpp/store"
)

// transaction is a change of what an account has published: several steps that
// come into force together, and of which nobody hears before they are on disk.
type transaction struct {
	tx      store.Tx
	owner   directory.ID
	now     time.Time
	account accountRecord
	changed bool // the account record
	nodes   map[string]*touched
	outcome
}

// touched is a node that a transaction has read.
type touched struct {
	*nodeRecord // nil: there is none
	dirty       bool
	before      *shape // nil: there was none
}

// outcome is what a transaction did, for those who are to hear of it.
type outcome struct {
	states []state
	events []Event
	avatar *avatar
}

// change runs fn in a transaction of the store. When it returns nil, all of it
// is on disk, and everybody has been told.
func (p *PEP) change(ctx context.Context, owner directory.ID, fn func(t *transaction) error) error {
	a := p.account(owner)
	err := p.host.State.Update(ctx, func(tx store.Tx) error {
		// Once a user is deleted, nothing is written that nobody would erase.
		if p.host.Directory.ByID(owner) == nil {
			return xmpp.NewError(xmpp.ItemNotFound, "")
		}
		t := &transaction{tx: tx, owner: owner, now: p.host.Now(), nodes: map[string]*touched{}}
		var err error
		if t.account, err = getAccount(tx, owner); err != nil {
			return err
		}
		if err := fn(t); err != nil {
			return err
		}
		if err := t.save(); err != nil {
			return err
		}
		out := t.outcome
		tx.OnCommit(func() { a.enqueue(out) })
		return nil
	})
	p.drain(a)
	return err
}

// node reads a node; the record in it is nil if there is none.
func (t *transaction) node(name string) (*touched, error) {
	if n := t.nodes[name]; n != nil {
		return n, nil
	}
	r, err := getNode(t.tx, t.owner, name)
	if err != nil {
		return nil, err
	}
	n := &touched{nodeRecord: r}
	if r != nil {
		s := r.shape
		n.before = &s
	}
	t.nodes[name] = n
	return n, nil
}

// existing is node for one that must be there.
func (t *transaction) existing(name string) (*touched, error) {
	n, err := t.node(name)
	if err == nil && n.nodeRecord == nil {
		err = xmpp.NewError(xmpp.ItemNotFound, "")
	}
	return n, err
}

// create makes a node.
func (t *transaction) create(name string, c Config) error {
	n, err := t.node(name)
	switch {
	case err != nil:
		return err
	case n.nodeRecord != nil: // XEP-0060 §8.1.2
		return xmpp.NewError(xmpp.Conflict, "")
	case t.account.Nodes >= MaxNodes:
		return xmpp.NewError(xmpp.ResourceConstraint, "this account has "+strconv.Itoa(MaxNodes)+" nodes, and no more are allowed")
	}
	t.account.Nodes++
	t.account.Next++
	t.changed = true
	n.nodeRecord = &nodeRecord{Num: t.account.Next, Created: t.now.Unix(), shape: shape{Config: c}}
	n.dirty = true
	return nil
}

// prepare finds the node to publish to, or makes it: as initial says, but for
// what the options ask (XEP-0060 §7.1.4, §7.1.5).
func (t *transaction) prepare(name string, options *form.Form) (*touched, error) {
	n, err := t.node(name)
	if err != nil {
		return nil, err
	}
	if n.nodeRecord == nil {
		c := initial(name)
		if options != nil {
			if c, err = c.with(options); err != nil {
				return nil, err
			}
		}
		return n, t.create(name, c)
	}
	if options != nil {
		field, err := n.Config.differs(options)
		if err != nil {
			return nil, err
		}
		if field != "" {
			return nil, refusal(xmpp.Conflict, "precondition-not-met", "the node is not configured so: "+field)
		}
	}
	return n, nil
}

// publish adds an item to a node that prepare has found, or replaces the one of
// the same id. An item of a transient node is told of, and forgotten.
func (t *transaction) publish(name string, it Item) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	if len(it.Payload) > n.Config.maxPayload() { // XEP-0060 §7.1.3.4
		return refusal(xmpp.NotAcceptable, "payload-too-big", "an item has at most "+strconv.Itoa(n.Config.maxPayload())+" bytes")
	}
	it.Published = t.now.UTC().Truncate(time.Microsecond)
	ev := Event{Kind: Published, Node: name, Item: it}
	if !n.Config.Transient {
		if err := t.store(name, n, &it); err != nil {
			return err
		}
	}
	t.say(n, ev)
	return nil
}

func (t *transaction) store(name string, n *touched, it *Item) error {
	old, had, err := getItem(t.tx, t.owner, n.Num, it.ID)
	if err != nil {
		return err
	}
	if had {
		if err := t.forget(n, &old); err != nil {
			return err
		}
	}
	for n.Items >= n.Config.limit() {
		if n.Config.MaxItems == 0 {
			// What was to be kept as long as possible is not thrown away unasked.
			return refusal(xmpp.Conflict, "node-full", "a node has at most "+strconv.Itoa(MaxItems)+" items")
		}
		if err := t.dropOldest(n); err != nil {
			return err
		}
	}
	if t.account.Bytes+it.size() > MaxBytes {
		return xmpp.NewError(xmpp.ResourceConstraint, "this account has published as much as it may; something must be retracted first")
	}
	n.Next++
	it.seq = n.Next
	if err := t.tx.Put(spaceItems, itemKey(t.owner, n.Num, it.seq), it.encode()); err != nil {
		return err
	}
	if err := t.tx.Put(spaceIDs, idKey(t.owner, n.Num, it.ID), binary.BigEndian.AppendUint64(nil, it.seq)); err != nil {
		return err
	}
	t.weigh(n, it, 1)
	return nil
}

// weigh counts an item that came (1) or went (-1).
func (t *transaction) weigh(n *touched, it *Item, sign int) {
	n.Items += sign
	n.Bytes += int64(sign) * it.size()
	t.account.Bytes += int64(sign) * it.size()
	n.dirty, t.changed = true, true
}

// forget removes an item from the disk.
func (t *transaction) forget(n *touched, it *Item) error {
	t.weigh(n, it, -1)
	if err := t.tx.Delete(spaceItems, itemKey(t.owner, n.Num, it.seq)); err != nil {
		return err
	}
	return t.tx.Delete(spaceIDs, idKey(t.owner, n.Num, it.ID))
}

// dropOldest makes room for a newer item (XEP-0060 §7.1.2.6).
func (t *transaction) dropOldest(n *touched) error {
	for it, err := range scanItems(t.tx, t.owner, n.Num, store.Range{Limit: 1}) {
		if err != nil {
			return err
		}
		it.Payload = bytes.Clone(it.Payload)
		return t.forget(n, &it)
	}
	return errBroken
}

// retract removes an item. Others are told if the node or the publisher wants it.
func (t *transaction) retract(name, id string, notify bool) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	it, ok, err := getItem(t.tx, t.owner, n.Num, id)
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

// purge removes all items of a node.
func (t *transaction) purge(name string) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	if err := t.clear(n); err != nil {
		return err
	}
	t.say(n, Event{Kind: Purged, Node: name})
	return nil
}

func (t *transaction) clear(n *touched) error {
	for _, s := range []store.Space{spaceItems, spaceIDs} {
		for k := range t.tx.Scan(s, store.Range{Prefix: itemsKey(t.owner, n.Num)}) {
			if err := t.tx.Delete(s, k); err != nil {
				return err
			}
		}
	}
	t.account.Bytes -= n.Bytes
	n.Items, n.Bytes = 0, 0
	n.dirty, t.changed = true, true
	return nil
}

// remove deletes a node.
func (t *transaction) remove(name string) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	if err := t.clear(n); err != nil {
		return err
	}
	t.say(n, Event{Kind: Deleted, Node: name, quiet: n.Config.QuietDelete})
	t.account.Nodes--
	n.nodeRecord = nil
	return nil
}

// configure replaces the configuration of a node.
func (t *transaction) configure(name string, f *form.Form) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	c, err := n.Config.with(f)
	if err != nil {
		return err
	}
	if (name == nodeBookmarks || name == xmpp.NSMDS) && c.Access != Whitelist {
		// XEP-0402 §4, XEP-0490 §8: such things are nobody else's.
		return unacceptable("this node is its owner's alone")
	}
	n.Config, n.dirty = c, true
	if c.Transient && n.Items > 0 {
		if err := t.clear(n); err != nil {
			return err
		}
	}
	for n.Items > c.limit() {
		if err := t.dropOldest(n); err != nil {
			return err
		}
	}
	t.say(n, Event{Kind: Configured, Node: name, quiet: !c.NotifyConfig})
	return nil
}

// affiliate makes somebody something to a node; the empty affiliation is none.
func (t *transaction) affiliate(name string, who xmpp.JID, what Affiliation) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	all := maps.Clone(n.Affiliations)
	if all == nil {
		all = map[string]Affiliation{}
	}
	if what == "" {
		delete(all, who.String())
	} else {
		all[who.String()] = what
	}
	if len(all) > maxMembers {
		return xmpp.NewError(xmpp.ResourceConstraint, "the node has too many affiliations")
	}
	n.Affiliations, n.dirty = all, true
	return nil
}

// subscribe notes that somebody wants to be told, or no more.
func (t *transaction) subscribe(name string, who xmpp.JID, on bool) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	all := slices.DeleteFunc(slices.Clone(n.Subscriptions), func(s string) bool { return s == who.String() })
	if on {
		all = append(all, who.String())
	}
	if len(all) > maxMembers {
		return xmpp.NewError(xmpp.ResourceConstraint, "the node has too many subscriptions")
	}
	n.Subscriptions, n.dirty = all, true
	return nil
}

// say adds an event, as the node is at this moment.
func (t *transaction) say(n *touched, ev Event) {
	s := n.shape
	ev.Owner, ev.At, ev.shape = t.owner, t.now, &s
	t.events = append(t.events, ev)
}

// save writes the records, and notes what is to be known in memory.
func (t *transaction) save() error {
	for name, n := range t.nodes {
		switch {
		case n.nodeRecord != nil && n.dirty:
			if err := put(t.tx, nodeKey(t.owner, name), n.nodeRecord); err != nil {
				return err
			}
		case n.nodeRecord == nil && n.before != nil:
			if err := t.tx.Delete(spaceNodes, nodeKey(t.owner, name)); err != nil {
				return err
			}
		default:
			continue
		}
		s, err := readState(t.tx, t.owner, name, n.nodeRecord)
		if err != nil {
			return err
		}
		t.states = append(t.states, s)
	}
	if t.avatar != nil {
		t.account.Avatar, t.changed = *t.avatar, true
	}
	if t.changed {
		return put(t.tx, ownerKey(t.owner), &t.account)
	}
	return nil
}
