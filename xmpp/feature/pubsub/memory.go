package pubsub

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// home is an address that has nodes, an account or the service of a domain, and
// what is known of them without asking the store: how they are configured, who
// is what to them, and the last item of each.
//
// What commits is queued in the order of the commits and carried out under
// the deliver lock: the memory changes, then whoever is to know is told. So
// nobody gets an older item after a newer one.
type home struct {
	id     directory.ID // of the user, or of the service
	domain string       // of a service: the mail domain; empty: an account

	deliver sync.Mutex // comes before all locks of this package, and of roster and router

	mu    sync.Mutex // guards what follows
	nodes map[string]*node
	queue []outcome
}

func (h *home) isService() bool { return h.domain != "" }

// node is a node in memory. Its fields are under home.mu, and change under
// home.deliver only.
type node struct {
	name    string
	shape   *shape
	last    *lastItem
	changed uint64 // what registry.turn was when the last item was told of
}

// shape is what decides who sees a node. It is never changed; its roll is the
// node's as long as there is one.
type shape struct {
	Config  Config
	creator directory.ID
	people  *roll
}

// lastItem is the last item of a node. Large ones stay on disk.
type lastItem struct {
	Item
	large bool

	once  sync.Once
	bytes []byte // the notification, without 'to'
}

func (l *lastItem) same(o *lastItem) bool { return l != nil && o != nil && l.seq == o.seq }

// maxRemembered is the largest payload that stays in memory, in bytes.
const maxRemembered = 4 << 10

// state is a node as a transaction left it. record is nil if it is gone.
type state struct {
	name       string
	record     *nodeRecord
	configured bool // anew
	last       *lastItem
	people     map[string]person // those who have changed
}

// readLast reads the last item of a node, nil if it need not be known.
func readLast(tx store.Tx, h directory.ID, n *nodeRecord) (last *lastItem, err error) {
	if n.Config.Transient || n.Config.Last == lastNever || n.Config.Mute {
		return nil, nil
	}
	for it, err := range scanItems(tx, h, n.Num, store.Range{Reverse: true, Limit: 1}) {
		if err != nil {
			return nil, err
		}
		last = &lastItem{Item: it, large: len(it.Payload) > maxRemembered}
		if last.large {
			last.Payload = nil
		} else {
			last.Payload = bytes.Clone(it.Payload)
		}
	}
	return last, nil
}

// registry is the homes that have something, and the clients that are here.
type registry struct {
	mu       sync.RWMutex
	homes    map[directory.ID]*home
	services map[string]*home // by mail domain

	people    acquaintance
	turn      atomic.Uint64 // counts the items that were told of
	audiences map[string]*audience
}

// place is a node at a home.
type place struct {
	home *home
	node string
}

// home returns the home of an account, which is made if need be.
func (p *PubSub) home(id directory.ID) *home {
	if h := p.known(id); h != nil {
		return h
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.homes[id]
	if h == nil {
		h = &home{id: id, nodes: map[string]*node{}}
		p.homes[id] = h
	}
	return h
}

// known returns a home, nil if it has never had anything.
func (p *PubSub) known(id directory.ID) *home {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.homes[id]
}

// service returns the service of a domain.
func (p *PubSub) service(domain string) *home {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.services[domain]
}

// address returns where a home is and the mail domain that it belongs to; ok is
// false for the account of nobody.
func (p *PubSub) address(h *home) (at xmpp.JID, domain string, ok bool) {
	if h.isService() {
		at, err := xmpp.NewJID("", label+"."+h.domain, "")
		return at, h.domain, err == nil
	}
	u := p.host.Directory.ByID(h.id)
	if u == nil {
		return at, "", false
	}
	return u.JID, u.Domain, true
}

func (h *home) enqueue(o outcome) {
	h.mu.Lock()
	h.queue = append(h.queue, o)
	h.mu.Unlock()
}

func (h *home) next() (o outcome, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 {
		h.queue = nil
		return o, false
	}
	o = h.queue[0]
	h.queue = h.queue[1:]
	return o, true
}

// drain carries out what has committed. When it returns, everybody has been
// told of what had committed when it was called.
func (p *PubSub) drain(h *home) {
	h.deliver.Lock()
	defer h.deliver.Unlock()
	for {
		o, ok := h.next()
		if !ok {
			return
		}
		p.apply(h, &o)
		p.tell(h, &o)
		for _, fn := range o.then {
			fn()
		}
	}
}

// apply puts into memory what is on disk, and gives the events the people that
// they concern.
func (p *PubSub) apply(h *home, o *outcome) {
	turn := p.turn.Add(1)
	_, domain, here := p.address(h)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range o.events {
		if n := h.nodes[o.events[i].Node]; n != nil {
			o.events[i].shape.people = n.shape.people
		}
	}
	for _, s := range o.states {
		n := h.nodes[s.name]
		if n == nil {
			n = &node{name: s.name, shape: &shape{}}
		}
		people := n.shape.people
		if people == nil && len(s.people) > 0 {
			people = &roll{}
		}
		for jid, is := range s.people {
			p.meet(people, jid, is, place{h, s.name})
		}
		for i := range o.events {
			if o.events[i].Node == s.name {
				o.events[i].shape.people = people
			}
		}
		if s.record == nil {
			// They are still told that it is gone.
			p.unmeet(people, place{h, s.name})
			delete(h.nodes, s.name)
		} else {
			n.shape = &shape{Config: s.record.Config, creator: s.record.Creator, people: people}
			if s.configured || !n.last.same(s.last) {
				n.last, n.changed = s.last, turn
			}
			h.nodes[s.name] = n
		}
		if here && !h.isService() {
			p.audience(domain).holds(h, s.name, n.last != nil && n.shape.Config.Last == lastPresence && s.record != nil)
		}
	}
}

// meet notes what somebody is to a node.
func (p *PubSub) meet(people *roll, jid string, is person, at place) {
	was := people.get(jid)
	people.set(jid, is)
	nobody := person{}
	switch {
	case was == nobody && is != nobody:
		p.people.note(jid, at, 1)
	case was != nobody && is == nobody:
		p.people.note(jid, at, -1)
	}
}

// unmeet takes note that a node is gone that people were something to.
func (p *PubSub) unmeet(people *roll, at place) {
	for _, jid := range people.list(func(person) bool { return true }) {
		p.people.note(jid, at, -1)
	}
}

// shapeOf returns how a node is, nil if there is none.
func (h *home) shapeOf(name string) *shape {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.nodes[name]; n != nil {
		return n.shape
	}
	return nil
}

// names returns the nodes that there are, in order.
func (h *home) names() []string {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.nodes))
}

func (h *home) places() (all []place) {
	for _, name := range h.names() {
		all = append(all, place{h, name})
	}
	return all
}

// lastOf returns the last item of a node, nil if it is not known or has expired.
func (h *home) lastOf(name string, now time.Time) (n *node, s *shape, last *lastItem, changed uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n = h.nodes[name]; n == nil || n.last == nil || n.shape.Config.expired(n.last.Published, now) {
		return nil, nil, nil, 0
	}
	return n, n.shape, n.last, n.changed
}

// step is how many records are read in one View.
const step = 500

// load reads all homes, once.
func (p *PubSub) load(ctx context.Context) error {
	if err := p.loadServices(ctx); err != nil {
		return err
	}
	numbers := map[numbered]place{}
	err := p.walk(ctx, spaceNodes, func(tx store.Tx, k, v []byte) error {
		return p.loadNode(tx, k, numbers)
	})
	if err != nil {
		return err
	}
	err = p.walk(ctx, spacePeople, func(_ store.Tx, k, v []byte) error {
		if len(k) < 12 {
			return errBroken
		}
		at, ok := numbers[numbered{directory.ID(binary.BigEndian.Uint64(k)), binary.BigEndian.Uint32(k[8:])}]
		is, err := decodePerson(v)
		if !ok || err != nil {
			return errBroken
		}
		n := at.home.nodes[at.node]
		if n.shape.people == nil {
			n.shape.people = &roll{}
		}
		p.meet(n.shape.people, string(k[12:]), is, at)
		return nil
	})
	if err != nil {
		return err
	}
	// Who was renamed when the process ended may still be written as before.
	for _, j := range p.people.all() {
		if u := p.host.Directory.Resolve(j); u != nil && u.JID != j {
			p.renamed(j, u.JID)
		}
	}
	return nil
}

// numbered is a node as keys have it.
type numbered struct {
	home directory.ID
	num  uint32
}

func (p *PubSub) walk(ctx context.Context, s store.Space, fn func(tx store.Tx, k, v []byte) error) error {
	var from []byte
	for {
		n := 0
		err := p.host.State.View(ctx, func(tx store.Tx) error {
			for k, v := range tx.Scan(s, store.Range{From: from, Limit: step}) {
				from = append(append(from[:0:0], k...), 0)
				n++
				if err := fn(tx, k, v); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || n < step {
			return err
		}
	}
}

func (p *PubSub) loadNode(tx store.Tx, k []byte, numbers map[numbered]place) error {
	id, name, err := splitNodeKey(k)
	if err != nil || name == "" {
		return err
	}
	h := p.home(id)
	n, err := getNode(tx, id, name)
	if err != nil {
		return err
	}
	last, err := readLast(tx, id, n)
	if err != nil {
		return err
	}
	numbers[numbered{id, n.Num}] = place{h, name}
	p.apply(h, &outcome{states: []state{{name: name, record: n, last: last}}})
	return nil
}

// loadServices gives every domain its service.
func (p *PubSub) loadServices(ctx context.Context) error {
	for _, d := range p.host.Directory.Domains() {
		var id directory.ID
		key := []byte(d.Name())
		err := p.host.State.View(ctx, func(tx store.Tx) error {
			if b := tx.Get(spaceServices, key); len(b) == 8 {
				id = directory.ID(binary.BigEndian.Uint64(b))
			}
			return nil
		})
		if err == nil && id == 0 {
			id, err = p.host.Directory.Allocate(ctx, func(tx store.Tx, id directory.ID) error {
				return tx.Put(spaceServices, key, binary.BigEndian.AppendUint64(nil, uint64(id)))
			})
		}
		if err != nil {
			return err
		}
		h := p.home(id)
		h.domain = d.Name()
		p.services[h.domain] = h
	}
	return nil
}
