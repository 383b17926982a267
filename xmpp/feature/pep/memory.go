package pep

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// account is what is known of a user's nodes without asking the store: how they
// are configured, and the last item of each.
//
// What commits is queued in the order of the commits and carried out under
// the deliver lock: the memory changes, then whoever is to know is told. So
// nobody gets an older item after a newer one.
type account struct {
	id directory.ID

	deliver sync.Mutex // comes before all locks of this package, and of roster and router

	mu     sync.Mutex // guards what follows
	nodes  map[string]*node
	queue  []outcome
	avatar avatar
}

// node is a node in memory. Its fields are under account.mu, and change under
// account.deliver only.
type node struct {
	name    string
	shape   *shape
	last    *lastItem
	changed uint64 // what Registry.turn was when the last item was told of
}

// lastItem is the last item of a node. Large ones stay on disk.
type lastItem struct {
	Item
	large bool

	once  sync.Once
	bytes []byte // the notification, without 'to'
}

// maxRemembered is the largest payload that stays in memory, in bytes.
const maxRemembered = 4 << 10

// state is a node as a transaction left it. shape is nil if it is gone.
type state struct {
	name  string
	shape *shape
	last  *lastItem
}

// readState makes the state of a node on disk.
func readState(tx store.Tx, owner directory.ID, name string, n *nodeRecord) (state, error) {
	st := state{name: name}
	if n == nil {
		return st, nil
	}
	s := n.shape
	st.shape = &s
	if s.Config.Transient || s.Config.Last == lastNever || s.Config.Mute {
		return st, nil
	}
	for it, err := range scanItems(tx, owner, n.Num, store.Range{Reverse: true, Limit: 1}) {
		if err != nil {
			return st, err
		}
		st.last = &lastItem{Item: it, large: len(it.Payload) > maxRemembered}
		if st.last.large {
			st.last.Payload = nil
		} else {
			st.last.Payload = bytes.Clone(it.Payload)
		}
	}
	return st, nil
}

// registry is the accounts that have something, and the clients that are here.
type registry struct {
	mu       sync.RWMutex
	accounts map[directory.ID]*account

	turn      atomic.Uint64 // counts the items that were told of
	audiences map[string]*audience
}

// account returns the account of a user, which is made if need be.
func (p *PEP) account(id directory.ID) *account {
	if a := p.known(id); a != nil {
		return a
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.accounts[id]
	if a == nil {
		a = &account{id: id, nodes: map[string]*node{}}
		p.accounts[id] = a
	}
	return a
}

// known returns the account of a user, nil if it has never had anything.
func (p *PEP) known(id directory.ID) *account {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.accounts[id]
}

func (a *account) enqueue(o outcome) {
	a.mu.Lock()
	a.queue = append(a.queue, o)
	a.mu.Unlock()
}

func (a *account) next() (o outcome, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		a.queue = nil
		return o, false
	}
	o = a.queue[0]
	a.queue = a.queue[1:]
	return o, true
}

// drain carries out what has committed. When it returns, everybody has been
// told of what had committed when it was called.
func (p *PEP) drain(a *account) {
	a.deliver.Lock()
	defer a.deliver.Unlock()
	for {
		o, ok := a.next()
		if !ok {
			return
		}
		before := p.picture(a.id)
		p.apply(a, &o)
		p.tell(a, &o)
		if p.picture(a.id).Hash != before.Hash {
			p.avatarChanged(a.id)
		}
	}
}

// apply puts into memory what is on disk.
func (p *PEP) apply(a *account, o *outcome) {
	turn := p.turn.Add(1)
	a.mu.Lock()
	for _, s := range o.states {
		n := a.nodes[s.name]
		switch {
		case s.shape == nil:
			delete(a.nodes, s.name)
			continue
		case n == nil:
			n = &node{name: s.name}
			a.nodes[s.name] = n
		}
		n.shape, n.last, n.changed = s.shape, s.last, turn
	}
	if o.avatar != nil {
		a.avatar = *o.avatar
	}
	a.mu.Unlock()
	if u := p.host.Directory.ByID(a.id); u != nil {
		p.audience(u.Domain).holds(a, o.states)
	}
}

// node returns how a node is, nil if there is none.
func (a *account) shapeOf(name string) *shape {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.nodes[name]; n != nil {
		return n.shape
	}
	return nil
}

// names returns the nodes that there are, in order.
func (a *account) names() []string {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.nodes))
}

// load reads all accounts, once.
func (p *PEP) load() error {
	var from []byte
	for {
		const step = 500
		n := 0
		err := p.host.State.View(context.Background(), func(tx store.Tx) error {
			for k, v := range tx.Scan(spaceNodes, store.Range{From: from, Limit: step}) {
				from = append(append(from[:0:0], k...), 0)
				n++
				if err := p.loadRecord(tx, k, v); err != nil {
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

func (p *PEP) loadRecord(tx store.Tx, k, v []byte) error {
	id, name, err := splitNodeKey(k)
	if err != nil {
		return err
	}
	a := p.account(id)
	if name == "" {
		var r accountRecord
		err := json.Unmarshal(v, &r)
		a.avatar = r.Avatar
		return err
	}
	r := new(nodeRecord)
	if err := json.Unmarshal(v, r); err != nil {
		return err
	}
	s, err := readState(tx, id, name, r)
	if err != nil {
		return err
	}
	p.apply(a, &outcome{states: []state{s}})
	return nil
}

// directoryChanged forgets who was deleted, and how who was renamed is written.
func (p *PEP) directoryChanged(c directory.Change) {
	switch {
	case c.New == nil && c.Old != nil:
		p.audience(c.Old.Domain).drop(c.Old.ID)
		p.mu.Lock()
		delete(p.accounts, c.Old.ID)
		p.mu.Unlock()
	case c.Old != nil && c.New != nil && c.Old.JID != c.New.JID:
		if a := p.known(c.New.ID); a != nil {
			a.mu.Lock()
			for _, n := range a.nodes {
				if n.last != nil {
					n.last = &lastItem{Item: n.last.Item, large: n.last.large}
				}
			}
			a.mu.Unlock()
		}
	}
}
