package pubsub

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"confab/xmpp"
)

// Affiliation is what somebody is to a node (XEP-0060 §4.1).
type Affiliation uint8

const (
	None Affiliation = iota
	Owner
	Publisher
	PublishOnly
	Member
	Outcast
)

var affiliations = [...]string{"none", "owner", "publisher", "publish-only", "member", "outcast"}

func (a Affiliation) String() string { return affiliations[a] }

// subscription is a state of a subscription (XEP-0060 §4.2).
type subscription uint8

const (
	unsubscribed subscription = iota
	pending
	subscribed
)

var subscriptions = [...]string{"none", "pending", "subscribed"}

func (s subscription) String() string { return subscriptions[s] }

// person is what somebody is to a node. Affiliations are those of bare
// addresses, subscriptions may be those of full ones.
type person struct {
	affiliation  Affiliation
	subscription subscription
}

func (p person) encode() []byte { return []byte{byte(p.affiliation), byte(p.subscription)} }

func decodePerson(b []byte) (p person, err error) {
	if len(b) != 2 || int(b[0]) >= len(affiliations) || int(b[1]) >= len(subscriptions) {
		return p, errBroken
	}
	return person{Affiliation(b[0]), subscription(b[1])}, nil
}

// roll is the people of a node in memory. It changes with what commits, so who
// has a node in hand sees those of this moment. It may be nil: there are none.
type roll struct {
	mu      sync.RWMutex
	people  map[string]person // by address
	pending int
	listed  int // subscribed
}

func (r *roll) get(jid string) person {
	if r == nil {
		return person{}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.people[jid]
}

// set changes what somebody is; nothing is nobody.
func (r *roll) set(jid string, p person) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(r.people[jid], -1)
	r.count(p, 1)
	if p == (person{}) {
		delete(r.people, jid)
		return
	}
	if r.people == nil {
		r.people = map[string]person{}
	}
	r.people[jid] = p
}

func (r *roll) count(p person, n int) {
	switch p.subscription {
	case pending:
		r.pending += n
	case subscribed:
		r.listed += n
	}
}

// counts returns how many have subscribed, and how many wait to be let in.
func (r *roll) counts() (listed, waiting int) {
	if r == nil {
		return 0, 0
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.listed, r.pending
}

// find returns the addresses of those of whom what holds, in order.
func (r *roll) find(what func(person) bool) []string {
	found := r.list(what)
	slices.Sort(found)
	return found
}

// list is find without the order.
func (r *roll) list(what func(person) bool) (found []string) {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for jid, p := range r.people {
		if what(p) {
			found = append(found, jid)
		}
	}
	return found
}

// addresses returns those of one account of whom what holds, in order.
func (r *roll) addresses(bare xmpp.JID, what func(person) bool) (found []string) {
	if r == nil {
		return nil
	}
	text := bare.String()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for jid, p := range r.people {
		if rest, ok := strings.CutPrefix(jid, text); ok && (rest == "" || rest[0] == '/') && what(p) {
			found = append(found, jid)
		}
	}
	slices.Sort(found)
	return found
}

func isOwner(p person) bool      { return p.affiliation == Owner }
func isSubscribed(p person) bool { return p.subscription == subscribed }
func isPending(p person) bool    { return p.subscription == pending }

// acquaintance is where people are something to a node: by their bare address.
type acquaintance struct {
	mu    sync.RWMutex
	nodes map[string]map[place]int // how many of their addresses are
}

func bareOf(jid string) string {
	j, err := xmpp.ParseJID(jid)
	if err != nil {
		return jid
	}
	return j.Bare().String()
}

func (x *acquaintance) note(jid string, at place, n int) {
	bare := bareOf(jid)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.nodes[bare] == nil {
		x.nodes[bare] = map[place]int{}
	}
	if x.nodes[bare][at] += n; x.nodes[bare][at] > 0 {
		return
	}
	delete(x.nodes[bare], at)
	if len(x.nodes[bare]) == 0 {
		delete(x.nodes, bare)
	}
}

// of returns the nodes that somebody is something to.
func (x *acquaintance) of(bare xmpp.JID) []place {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Keys(x.nodes[bare.String()]))
}

// all returns everybody who is something to a node.
func (x *acquaintance) all() (all []xmpp.JID) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for text := range x.nodes {
		if j, err := xmpp.ParseJID(text); err == nil {
			all = append(all, j)
		}
	}
	return all
}

// at is of for the nodes of one address, in the order of their names.
func (x *acquaintance) at(bare xmpp.JID, h *home) iter.Seq[string] {
	var names []string
	for _, at := range x.of(bare) {
		if at.home == h {
			names = append(names, at.node)
		}
	}
	slices.Sort(names)
	return slices.Values(names)
}
