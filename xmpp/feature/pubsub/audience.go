package pubsub

import (
	"maps"
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// Client is a session that is available and says what it wants to be told of.
type Client struct {
	session *router.Session
	user    directory.ID
	jid     xmpp.JID
	to      []byte // ` to='…'`

	// Under audience.mu.
	key  capsKey
	caps *capabilities // nil: not known yet

	unfinished bool // it was to get last items when the server stopped
}

// User is whose client it is.
func (c *Client) User() directory.ID { return c.user }

// Send sends a message that has no 'to' yet.
func (c *Client) Send(out *router.Batch, message []byte) {
	c.session.Send(out, appendTo(nil, message, c.to))
}

// audience is the clients of a domain, by what they want to be told of, and the
// accounts, by what they have to tell of. Domains never see one another.
type audience struct {
	mu       sync.RWMutex
	clients  map[*router.Session]*Client
	interest map[string]map[*Client]struct{} // by node
	holders  map[string]map[*home]struct{}   // by node: who has a last item there
	lists    map[string][]*home              // the same as lists, as far as they have been asked for

	pace pacer
}

// audience returns that of a domain.
func (p *PubSub) audience(domain string) *audience {
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
			clients:  map[*router.Session]*Client{},
			interest: map[string]map[*Client]struct{}{}, holders: map[string]map[*home]struct{}{}, lists: map[string][]*home{},
		}
		x.pace.p = p
		p.audiences[domain] = x
	}
	return x
}

// enter makes a session one of the audience. key is what it says of itself, if it
// does; fresh says that it was not one before, news that it says something new.
func (x *audience) enter(s *router.Session, key capsKey, says bool) (cl *Client, fresh, news bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	cl = x.clients[s]
	if fresh = cl == nil; fresh {
		j := s.JID()
		cl = &Client{session: s, user: s.User(), jid: j, to: xmpp.AppendAttr(nil, "to", j.String())}
		x.clients[s] = cl
	}
	if news = says && cl.key != key; news {
		cl.key = key
	}
	return cl, fresh, news
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
func (x *audience) learn(cl *Client, key capsKey, c *capabilities) (added []string) {
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

// holds notes whether an account has a last item in a node.
func (x *audience) holds(h *home, name string, has bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, had := x.holders[name][h]; had == has {
		return
	}
	delete(x.lists, name)
	if has {
		insert(x.holders, name, h)
	} else {
		remove(x.holders, name, h)
	}
}

// holding returns the accounts that have a last item in nodes of a name. The list
// is one for all who ask, until it changes.
func (x *audience) holding(name string) []*home {
	x.mu.Lock()
	defer x.mu.Unlock()
	list, ok := x.lists[name]
	if !ok {
		list = slices.Collect(maps.Keys(x.holders[name]))
		x.lists[name] = list
	}
	return list
}

// holdingOf returns those of some accounts that have a last item in nodes of a name.
func (x *audience) holdingOf(some []*home, name string) (list []*home) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, h := range some {
		if _, has := x.holders[name][h]; has {
			list = append(list, h)
		}
	}
	return list
}

// drop forgets an account that is deleted.
func (x *audience) drop(id directory.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, all := range x.holders {
		for h := range all {
			if h.id == id {
				delete(x.lists, name)
				remove(x.holders, name, h)
			}
		}
	}
}

// interested appends the clients that want to be told of a node.
func (x *audience) interested(dst []*Client, node string) []*Client {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for cl := range x.interest[node] {
		dst = append(dst, cl)
	}
	return dst
}

// of appends the clients of an address: of a bare one those that messages to it
// reach (RFC 6121 §8.5.2.1.1).
func (x *audience) of(dst []*Client, r *router.Router, j xmpp.JID) []*Client {
	a := r.Account(j)
	if a == nil {
		return dst
	}
	all := slices.DeleteFunc(a.Available(nil), func(s *router.Session) bool {
		return j != s.JID() && (j.IsFull() || s.Presence().Priority < 0)
	})
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, s := range all {
		if cl := x.clients[s]; cl != nil {
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
func (x *audience) hears(cl *Client, node string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	_, ok := x.interest[node][cl]
	return ok
}
