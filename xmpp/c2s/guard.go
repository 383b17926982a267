package c2s

import (
	"net/netip"
	"sync"
	"time"

	"confab/xmpp"
)

// Guard bounds guessing: an address that failed to log in Failures times
// within Window is refused until the window has passed.
type Guard struct {
	Failures int           // 0: 50, since a whole office may share an address
	Window   time.Duration // 0: 10 min
}

type guard struct {
	Guard
	clock xmpp.Clock

	mu    sync.Mutex
	peers map[netip.Addr]failures
}

type failures struct {
	count int
	since time.Time
}

// guardPeers bounds the memory that strangers can take.
const guardPeers = 100_000

func (g *guard) init(o Guard, clock xmpp.Clock) {
	if o.Failures == 0 {
		o.Failures = 50
	}
	if o.Window == 0 {
		o.Window = 10 * time.Minute
	}
	g.Guard, g.clock, g.peers = o, clock, map[netip.Addr]failures{}
}

func (g *guard) allow(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, ok := g.peers[a]
	if ok && g.clock.Now().Sub(f.since) > g.Window {
		delete(g.peers, a)
		return true
	}
	return f.count < g.Failures
}

func (g *guard) failed(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	f, ok := g.peers[a]
	if !ok || now.Sub(f.since) > g.Window {
		f = failures{since: now}
		if len(g.peers) >= guardPeers {
			for old := range g.peers {
				delete(g.peers, old)
				break
			}
		}
	}
	f.count++
	g.peers[a] = f
}

// patience bounds the time that a connection may take until it has logged in.
type patience struct {
	mu    sync.Mutex
	timer xmpp.Timer
	until time.Time
	over  bool
}

// allow gives the login more time: d from now on, if that is later.
func (c *client) allow(d time.Duration) {
	clock := c.srv.opts.Clock
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if until := clock.Now().Add(d); until.After(c.door.until) && !c.door.over {
		if c.door.timer != nil {
			c.door.timer.Stop()
		}
		c.door.until = until
		c.door.timer = clock.AfterFunc(d, c.late)
	}
}

// remaining is how much time is left for the login.
func (c *client) remaining() time.Duration {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	return c.door.until.Sub(c.srv.opts.Clock.Now())
}

// late ends the wait for a login. A timer that came too late to be stopped ends
// nothing.
func (c *client) late() {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if !c.door.over && !c.srv.opts.Clock.Now().Before(c.door.until) {
		c.Interrupt()
	}
}

// loggedIn ends the counting of the connection among those at the door. Behind
// it, no timer of the login touches the connection.
func (c *client) loggedIn() {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if !c.door.over {
		c.door.over = true
		c.door.timer.Stop()
		c.srv.waiting.Leave(c.peer)
	}
}
