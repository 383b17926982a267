package pep

import (
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// client is a session that is available and says what it wants to be told of.
type client struct {
	session *router.Session
	user    directory.ID
	jid     xmpp.JID
	to      []byte // ` to='…'`

	// Under audience.mu.
	key  capsKey
	caps *capabilities // nil: not known yet
}

// audience is the clients of a domain, by what they want to be told of, and the
// accounts, by what they have to tell of. Domains never see one another.
type audience struct {
	mu       sync.RWMutex
	clients  map[*router.Session]*client
	interest map[string]map[*client]struct{}  // by node
	holders  map[string]map[*account]struct{} // by node: who has a last item there

	pace pacer
}

// audience returns that of a domain.
func (p *PEP) audience(domain string) *audience {
	p.mu.RLock()
	x := p.audiences[domain]
	p.mu.RUnlock()
	if x != nil {
		return x
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if x = p.audiences[domain]; x == nil {
		x = &audience{
			clients:  map[*router.Session]*client{},
			interest: map[string]map[*client]struct{}{}, holders: map[string]map[*account]struct{}{},
		}
		x.pace.p = p
		p.audiences[domain] = x
	}
	return x
}

// enter makes a session one of the audience. key is what it said of itself; old
// says that nothing has changed.
func (x *audience) enter(s *router.Session, key capsKey) (cl *client, old bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	cl = x.clients[s]
	if cl == nil {
		j := s.JID()
		cl = &client{session: s, user: s.User(), jid: j, to: xmpp.AppendAttr(nil, "to", j.String()), key: key}
		x.clients[s] = cl
		return cl, false
	}
	old = cl.key == key
	cl.key = key
	return cl, old
}

// leave takes a session out of the audience.
func (x *audience) leave(s *router.Session) {
	x.mu.Lock()
	cl := x.clients[s]
	if cl != nil {
		delete(x.clients, s)
		if cl.caps != nil {
			for _, name := range cl.caps.notify {
				remove(x.interest, name, cl)
			}
		}
	}
	x.mu.Unlock()
	if cl != nil {
		x.pace.drop(cl)
	}
}

// learn notes what a client can do, unless it has said something else since, and
// returns what it wants to be told of that it did not want before.
func (x *audience) learn(cl *client, key capsKey, c *capabilities) (added []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.clients[cl.session] != cl || cl.key != key {
		return nil
	}
	var before []string
	if cl.caps != nil {
		before = cl.caps.notify
	}
	cl.caps = c
	for _, name := range before {
		if _, still := slices.BinarySearch(c.notify, name); !still {
			remove(x.interest, name, cl)
		}
	}
	for _, name := range c.notify {
		if _, had := slices.BinarySearch(before, name); !had {
			insert(x.interest, name, cl)
			added = append(added, name)
		}
	}
	return added
}

// holds notes who has a last item where.
func (x *audience) holds(a *account, states []state) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range states {
		if s.last != nil && s.shape.Config.Last == lastPresence {
			insert(x.holders, s.name, a)
		} else {
			remove(x.holders, s.name, a)
		}
	}
}

// drop forgets an account that is deleted.
func (x *audience) drop(id directory.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, all := range x.holders {
		for a := range all {
			if a.id == id {
				remove(x.holders, name, a)
			}
		}
	}
}

// interested appends the clients that want to be told of a node.
func (x *audience) interested(dst []*client, node string) []*client {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for cl := range x.interest[node] {
		dst = append(dst, cl)
	}
	return dst
}

// of appends the clients of an address, bare or full.
func (x *audience) of(dst []*client, r *router.Router, j xmpp.JID) []*client {
	a := r.Account(j)
	if a == nil {
		return dst
	}
	all := a.Available(nil)
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, s := range all {
		if cl := x.clients[s]; cl != nil && (j.IsBare() || j == cl.jid) {
			dst = append(dst, cl)
		}
	}
	return dst
}

func insert[K comparable](m map[string]map[K]struct{}, name string, v K) {
	if m[name] == nil {
		m[name] = map[K]struct{}{}
	}
	m[name][v] = struct{}{}
}

func remove[K comparable](m map[string]map[K]struct{}, name string, v K) {
	delete(m[name], v)
	if len(m[name]) == 0 {
		delete(m, name)
	}
}

// hears reports whether a client wants to be told of a node.
func (x *audience) hears(cl *client, node string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	_, ok := x.interest[node][cl]
	return ok
}
