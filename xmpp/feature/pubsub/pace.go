package pubsub

import (
	"slices"
	"sync"
	"time"

	"confab/xmpp/router"
)

// A domain of a thousand people who all have avatars and device lists has
// thousands of last items for everybody who logs in. They go out in turns, a
// bounded number of them in a while, and to nobody faster than he reads.
const (
	pause      = 20 * time.Millisecond
	perTurn    = 256      // items sent in a turn, to all clients of a domain together
	perClient  = 32       // items sent to one of them
	looksTurn  = 4096     // items looked at: most may be for others
	maxWaiting = 64 << 10 // bytes that wait for a client who gets no more for now
)

// job is the last items that a client is still to get.
type job struct {
	client *Client
	nodes  []place
	since  uint64 // registry.turn when it began: newer items are told of anyway
}

// pacer sends the last items of a domain.
type pacer struct {
	p *PubSub

	mu     sync.Mutex
	busy   bool // somebody works, or will when the timer fires
	jobs   []*job
	parked []*job // of sessions without a connection
}

// lasts sends a client the last items of the nodes that it wants to hear of: its
// own account's at once, all others in turns (XEP-0163 §4.3, XEP-0060 §6.1.7).
func (p *PubSub) lasts(cl *Client, nodes []string) {
	if len(nodes) == 0 {
		return
	}
	own := p.known(cl.user)
	j := &job{client: cl, since: p.turn.Load()}
	var out router.Batch
	if own != nil {
		for _, name := range nodes {
			p.sendLast(&out, j, place{own, name})
		}
	}
	if p.hooks.Wanted != nil {
		p.hooks.Wanted(&out, cl, nodes)
	}
	out.Flush()
	x := p.audience(cl.jid.Domain())
	for _, name := range nodes {
		j.nodes = x.holding(j.nodes, name)
	}
	j.nodes = slices.DeleteFunc(j.nodes, func(at place) bool { return at.home == own })
	if len(j.nodes) > 0 {
		x.pace.add(j)
	}
}

func (c *pacer) add(j *job) {
	c.mu.Lock()
	c.jobs = append(c.jobs, j)
	work := !c.busy
	c.busy = true
	c.mu.Unlock()
	if work {
		c.work()
	}
}

// drop forgets what a client was to get.
func (c *pacer) drop(cl *Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	others := func(j *job) bool { return j.client == cl }
	c.jobs, c.parked = slices.DeleteFunc(c.jobs, others), slices.DeleteFunc(c.parked, others)
}

// resume goes on with what a client was to get when its connection was lost.
func (c *pacer) resume(s *router.Session) {
	c.mu.Lock()
	var mine []*job
	c.parked = slices.DeleteFunc(c.parked, func(j *job) bool {
		if j.client.session == s {
			mine = append(mine, j)
		}
		return j.client.session == s
	})
	c.mu.Unlock()
	for _, j := range mine {
		c.add(j)
	}
}

// take returns the next job, which is put back behind the others by give.
func (c *pacer) take() *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.jobs) == 0 {
		return nil
	}
	j := c.jobs[0]
	c.jobs = slices.Delete(c.jobs, 0, 1)
	return j
}

func (c *pacer) give(j *job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(j.nodes) == 0 || !j.client.session.Alive():
	case !j.client.session.Connected():
		c.parked = append(c.parked, j)
	default:
		c.jobs = append(c.jobs, j)
	}
}

// work is one turn. Only one goroutine at a time does it.
func (c *pacer) work() {
	c.mu.Lock()
	round := len(c.jobs)
	c.mu.Unlock()
	sent, looks := 0, 0
	for ; round > 0 && sent < perTurn && looks < looksTurn; round-- {
		j := c.take()
		if j == nil {
			break
		}
		n, seen := c.serve(j, min(perClient, perTurn-sent), looksTurn-looks)
		sent += n
		looks += seen
		c.give(j)
	}
	c.mu.Lock()
	c.busy = len(c.jobs) > 0
	again := c.busy
	c.mu.Unlock()
	if again {
		c.p.host.Clock.AfterFunc(pause, c.work)
	}
}

// serve sends a client some of its last items.
func (c *pacer) serve(j *job, most, looks int) (sent, seen int) {
	s := j.client.session
	if !s.Connected() || s.Waiting() > maxWaiting {
		return 0, 0
	}
	var out router.Batch
	for len(j.nodes) > 0 && sent < most && seen < looks {
		at := j.nodes[0]
		j.nodes = j.nodes[1:]
		seen++
		if c.p.sendLast(&out, j, at) {
			sent++
		}
	}
	out.Flush()
	return sent, seen
}

// sendLast sends a client the last item of a node, if it is to see it and has
// not been told of a newer one.
func (p *PubSub) sendLast(out *router.Batch, j *job, where place) bool {
	at, ok := p.siteOf(where.home)
	if !ok || at.user != nil && at.user.Disabled {
		return false
	}
	at.deliver.Lock()
	defer at.deliver.Unlock()
	n, s, last, changed := at.lastOf(where.node, p.host.Now())
	if n == nil || s.Config.Last != lastPresence || changed > j.since {
		return false
	}
	to := j.client.to
	if at.user == nil {
		if to = p.addressed(&at, s, j.client); to == nil {
			return false
		}
	} else if !p.listens(&at, s, j.client) {
		return false
	}
	message := p.notification(&at, n, s, last)
	if message == nil {
		return false
	}
	j.client.session.Send(out, appendTo(nil, message, to))
	return true
}
