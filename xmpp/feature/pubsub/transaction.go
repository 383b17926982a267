package pubsub

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/form"
	"confab/xmpp/store"
)

// Transaction is a change of the nodes of one address: several steps that come
// into force together, and of which nobody hears before they are on disk.
type Transaction struct {
	p     *PubSub
	tx    store.Tx
	home  *home
	now   time.Time
	usage map[directory.ID]*counted
	nodes map[string]*touched
	outcome
}

// counted is the usage of a user as a transaction has it.
type counted struct {
	usage
	before usage
}

// touched is a node that a transaction has read.
type touched struct {
	*nodeRecord // nil: there is none
	name        string
	dirty       bool
	configured  bool // anew
	existed     bool
	people      map[string]person // those who have changed
}

// outcome is what a transaction did, for those who are to hear of it.
type outcome struct {
	states []state
	events []Event
	then   []func()
	author xmpp.JID // on whose budget it is; zero: the account's own user, nobody at a service
}

// Tx is the transaction of the store.
func (t *Transaction) Tx() store.Tx { return t.tx }

// Owner is the user whose account it is.
func (t *Transaction) Owner() directory.ID { return t.home.id }

// Then has fn called when everybody was told of what happened, in the order of
// the commits of each address.
func (t *Transaction) Then(fn func()) { t.then = append(t.then, fn) }

// change runs fn in a transaction of the store. When it returns nil, all of it
// is on disk, and everybody has been told.
func (p *PubSub) change(ctx context.Context, h *home, fn func(t *Transaction) error) error {
	err := p.host.State.Update(ctx, func(tx store.Tx) error {
		// Once a user is deleted, nothing is written that nobody would erase.
		if !h.isService() && p.host.Directory.ByID(h.id) == nil {
			return xmpp.NewError(xmpp.ItemNotFound, "")
		}
		t, err := p.begin(tx, h)
		if err != nil {
			return err
		}
		if err := fn(t); err != nil {
			return err
		}
		if err := t.save(); err != nil {
			return err
		}
		out := t.outcome
		tx.OnCommit(func() { h.enqueue(out) })
		return nil
	})
	p.drain(h)
	return err
}

// changeBy is change for somebody who asks for it, and whose budget it is on.
func (p *PubSub) changeBy(who xmpp.JID, h *home, fn func(t *Transaction) error) error {
	return p.change(context.Background(), h, func(t *Transaction) error {
		t.author = who.Bare()
		return fn(t)
	})
}

func (p *PubSub) begin(tx store.Tx, h *home) (*Transaction, error) {
	return &Transaction{p: p, tx: tx, home: h, now: p.host.Now(), usage: map[directory.ID]*counted{}, nodes: map[string]*touched{}}, nil
}

// usageOf reads what a user has here.
func (t *Transaction) usageOf(user directory.ID) (*counted, error) {
	if c := t.usage[user]; c != nil {
		return c, nil
	}
	u, err := get[usage](t.tx, spaceUsage, usageKey(t.home.id, user))
	if err != nil {
		return nil, err
	}
	c := &counted{u, u}
	t.usage[user] = c
	return c, nil
}

// limits is what the user may have on whose account something is.
func (t *Transaction) limits(creator directory.ID) Limits {
	if !t.home.isService() {
		return Limits{Nodes: MaxNodes, Bytes: MaxBytes}
	}
	u := t.p.host.Directory.ByID(creator)
	if u == nil || t.p.opts.Limits == nil {
		return Limits{}
	}
	return t.p.opts.Limits(u)
}

// weigh counts bytes that came or went.
func (t *Transaction) weigh(n *touched, size int64) error {
	u, err := t.usageOf(n.Creator)
	if err != nil {
		return err
	}
	if size > 0 && u.Bytes+size > t.limits(n.Creator).Bytes {
		return xmpp.NewError(xmpp.ResourceConstraint, "the owner has published as much as he may; something must be retracted first")
	}
	n.Bytes += size
	u.Bytes += size
	n.dirty = true
	return nil
}

// node reads a node; the record in it is nil if there is none.
func (t *Transaction) node(name string) (*touched, error) {
	if n := t.nodes[name]; n != nil {
		return n, nil
	}
	r, err := getNode(t.tx, t.home.id, name)
	if err != nil {
		return nil, err
	}
	n := &touched{nodeRecord: r, name: name, existed: r != nil, people: map[string]person{}}
	t.nodes[name] = n
	return n, nil
}

// existing is node for one that must be there.
func (t *Transaction) existing(name string) (*touched, error) {
	n, err := t.node(name)
	if err == nil && n.nodeRecord == nil {
		err = t.missing(name)
	}
	return n, err
}

// missing is the error for a node that is not there (XEP-0060 §6.1.3.11).
func (t *Transaction) missing(name string) error { return missing(t.tx, t.home, name) }

func missing(tx store.Tx, h *home, name string) error {
	m, err := get[moved](tx, spaceMoved, nodeKey(h.id, name))
	switch {
	case err != nil:
		return err
	case m.URI == "":
		return xmpp.NewError(xmpp.ItemNotFound, "")
	}
	e := xmpp.NewError(xmpp.Gone, "").WithType(xmpp.ErrorModify)
	e.Address = m.URI
	return e
}

// Has reports whether a node is there.
func (t *Transaction) Has(name string) (bool, error) {
	n, err := t.node(name)
	return err == nil && n.nodeRecord != nil, err
}

// Config returns the configuration of a node; ok is false if there is none.
func (t *Transaction) Config(name string) (c Config, ok bool, err error) {
	n, err := t.node(name)
	if err != nil || n.nodeRecord == nil {
		return c, false, err
	}
	return n.Config, true, nil
}

// Create makes a node of an account.
func (t *Transaction) Create(name string, c Config) error {
	_, err := t.create(name, c, t.home.id)
	return err
}

// create makes a node on somebody's account.
func (t *Transaction) create(name string, c Config, creator directory.ID) (*touched, error) {
	n, err := t.node(name)
	if err != nil {
		return nil, err
	}
	if n.nodeRecord != nil { // XEP-0060 §8.1.1
		return nil, xmpp.NewError(xmpp.Conflict, "")
	}
	u, err := t.usageOf(creator)
	if err != nil {
		return nil, err
	}
	if most := t.limits(creator).Nodes; u.Nodes >= most {
		return nil, xmpp.NewError(xmpp.ResourceConstraint, "there are "+strconv.Itoa(most)+" nodes already, and no more are allowed")
	}
	h, err := get[homeRecord](t.tx, spaceNodes, homeKey(t.home.id))
	if err != nil {
		return nil, err
	}
	u.Nodes++
	h.Next++
	if err := put(t.tx, spaceNodes, homeKey(t.home.id), &h); err != nil {
		return nil, err
	}
	if err := t.back(name); err != nil {
		return nil, err
	}
	n.nodeRecord = &nodeRecord{Num: h.Next, Creator: creator, Created: t.now.Unix(), Config: c}
	n.dirty, n.configured = true, true
	if t.home.isService() {
		owner := t.p.host.Directory.ByID(creator)
		if owner == nil {
			return nil, xmpp.NewError(xmpp.Forbidden, "")
		}
		return n, t.setPerson(n, owner.JID.String(), person{affiliation: Owner})
	}
	return n, nil
}

// prepare finds the node to publish to, or makes it: as it begins of itself, but
// for what the options ask (XEP-0060 §7.1.4, §7.1.5).
func (t *Transaction) prepare(name string, options *form.Form, creator directory.ID) (*touched, error) {
	n, err := t.node(name)
	if err != nil {
		return nil, err
	}
	if n.nodeRecord == nil {
		c := t.p.initial(t.home, name)
		if options != nil {
			if c, err = c.with(options); err != nil {
				return nil, err
			}
		}
		if err := t.p.alone(t.home, name, &c); err != nil {
			return nil, err
		}
		return t.create(name, c, creator)
	}
	if options != nil {
		field, err := n.Config.differs(options)
		if err != nil {
			return nil, err
		}
		if field != "" {
			return nil, Refusal(xmpp.Conflict, "precondition-not-met", "the node is not configured so: "+field)
		}
	}
	return n, nil
}

// Prepare makes a node of an account as it begins of itself, if it is not there.
func (t *Transaction) Prepare(name string) error {
	_, err := t.prepare(name, nil, t.home.id)
	return err
}

// remove deletes a node; uri, if not empty, is where it is now (XEP-0060 §8.4).
func (t *Transaction) remove(name, uri string) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	t.say(n, Event{Kind: Deleted, Node: name, Redirect: uri, quiet: n.Config.QuietDelete})
	if err := t.clear(n); err != nil {
		return err
	}
	for k := range t.tx.Scan(spacePeople, store.Range{Prefix: numberKey(t.home.id, n.Num)}) {
		if err := t.tx.Delete(spacePeople, k); err != nil {
			return err
		}
	}
	u, err := t.usageOf(n.Creator)
	if err != nil {
		return err
	}
	u.Nodes--
	u.Bytes -= n.Bytes
	creator := n.Creator
	n.nodeRecord = nil
	if uri == "" {
		return nil
	}
	if u.Moved++; u.Moved > t.limits(creator).Nodes {
		return xmpp.NewError(xmpp.ResourceConstraint, "too many nodes have moved already")
	}
	return put(t.tx, spaceMoved, nodeKey(t.home.id, name), &moved{creator, uri})
}

// back forgets that a node had moved.
func (t *Transaction) back(name string) error {
	key := nodeKey(t.home.id, name)
	m, err := get[moved](t.tx, spaceMoved, key)
	if err != nil || m.URI == "" {
		return err
	}
	u, err := t.usageOf(m.Creator)
	if err != nil {
		return err
	}
	u.Moved--
	return t.tx.Delete(spaceMoved, key)
}

// configure replaces the configuration of a node (XEP-0060 §8.2).
func (t *Transaction) configure(name string, f *form.Form) error {
	n, err := t.existing(name)
	if err != nil {
		return err
	}
	c, err := n.Config.with(f)
	if err != nil {
		return err
	}
	if err := t.p.alone(t.home, name, &c); err != nil {
		return err
	}
	ev := Event{Kind: Configured, Node: name, quiet: !c.NotifyConfig}
	if was := n.Config; was.Access != c.Access || !slices.Equal(was.Groups, c.Groups) {
		ev.was = &was
	}
	n.Config, n.dirty, n.configured = c, true, true
	if c.Transient && n.Items > 0 {
		if err := t.clear(n); err != nil {
			return err
		}
	}
	for n.Items > c.limit() {
		if _, err := t.dropOldest(n); err != nil {
			return err
		}
	}
	if err := t.expire(n); err != nil {
		return err
	}
	t.say(n, ev)
	return nil
}

// person reads what somebody is to a node.
func (t *Transaction) person(n *touched, jid string) (person, error) {
	b := t.tx.Get(spacePeople, personKey(t.home.id, n.Num, jid))
	if b == nil {
		return person{}, nil
	}
	return decodePerson(b)
}

// setPerson changes what somebody is to a node.
func (t *Transaction) setPerson(n *touched, jid string, now person) error {
	was, err := t.person(n, jid)
	if err != nil || was == now {
		return err
	}
	key, nobody := personKey(t.home.id, n.Num, jid), person{}
	if now == nobody {
		if err := t.tx.Delete(spacePeople, key); err != nil {
			return err
		}
		if err := t.weigh(n, -personSize); err != nil {
			return err
		}
	} else {
		if err := t.tx.Put(spacePeople, key, now.encode()); err != nil {
			return err
		}
		if was == nobody {
			if err := t.weigh(n, personSize); err != nil {
				return err
			}
		}
	}
	count(&n.People, was != nobody, now != nobody)
	n.dirty = true
	count(&n.Owners, was.affiliation == Owner, now.affiliation == Owner)
	count(&n.Affiliated, was.affiliation != None, now.affiliation != None)
	count(&n.Subscribers, was.subscription != unsubscribed, now.subscription != unsubscribed)
	switch {
	case n.Affiliated > MaxAffiliations && was.affiliation == None:
		return xmpp.NewError(xmpp.ResourceConstraint, "a node has at most "+strconv.Itoa(MaxAffiliations)+" affiliations")
	case n.Subscribers > MaxSubscribers && was.subscription == unsubscribed:
		return xmpp.NewError(xmpp.ResourceConstraint, "a node has at most "+strconv.Itoa(MaxSubscribers)+" subscriptions")
	}
	n.people[jid] = now
	return nil
}

func count(at *int, was, now bool) {
	if was {
		*at--
	}
	if now {
		*at++
	}
}

// say adds an event, as the node is at this moment.
func (t *Transaction) say(n *touched, ev Event) {
	ev.Owner, ev.At, ev.shape = t.home.id, t.now, &shape{Config: n.Config, creator: n.Creator}
	t.events = append(t.events, ev)
}

// save writes the records, and notes what is to be known in memory.
func (t *Transaction) save() error {
	for name, n := range t.nodes {
		st := state{name: name, record: n.nodeRecord, configured: n.configured}
		switch {
		case n.nodeRecord != nil && n.dirty:
			if err := put(t.tx, spaceNodes, nodeKey(t.home.id, name), n.nodeRecord); err != nil {
				return err
			}
			var err error
			if st.last, err = readLast(t.tx, t.home.id, n.nodeRecord); err != nil {
				return err
			}
		case n.nodeRecord == nil && n.existed:
			if err := t.tx.Delete(spaceNodes, nodeKey(t.home.id, name)); err != nil {
				return err
			}
		default:
			continue
		}
		st.people = maps.Clone(n.people)
		t.states = append(t.states, st)
	}
	for user, u := range t.usage {
		if u.usage == u.before {
			continue
		}
		key := usageKey(t.home.id, user)
		if u.usage == (usage{}) {
			if err := t.tx.Delete(spaceUsage, key); err != nil {
				return err
			}
			continue
		}
		if err := put(t.tx, spaceUsage, key, &u.usage); err != nil {
			return err
		}
	}
	return nil
}

// Retract removes an item of a node of an account, and others are told. What is
// not there is not missed.
func (t *Transaction) Retract(name, id string) error {
	n, err := t.node(name)
	if err != nil || n.nodeRecord == nil {
		return err
	}
	if _, ok, err := getItem(t.tx, t.home.id, n.Num, id); err != nil || !ok {
		return err
	}
	return t.retract(name, id, true)
}

// Item returns an item of a node, nil if it is not there.
func (t *Transaction) Item(name, id string) (*Item, error) {
	n, err := t.node(name)
	if err != nil || n.nodeRecord == nil {
		return nil, err
	}
	it, ok, err := getItem(t.tx, t.home.id, n.Num, id)
	if err != nil || !ok {
		return nil, err
	}
	it.Payload = bytes.Clone(it.Payload)
	return &it, nil
}

// Last returns the last item of a node, nil if there is none.
func (t *Transaction) Last(name string) (*Item, error) {
	n, err := t.node(name)
	if err != nil || n.nodeRecord == nil {
		return nil, err
	}
	for it, err := range scanItems(t.tx, t.home.id, n.Num, store.Range{Reverse: true, Limit: 1}) {
		if err != nil {
			return nil, err
		}
		it.Payload = bytes.Clone(it.Payload)
		return &it, nil
	}
	return nil, nil
}

// Items returns all items of a node, the oldest first.
func (t *Transaction) Items(name string) ([]Item, error) { return readItems(t.tx, t.home.id, name) }
