package pubsub

import (
	"slices"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/router"
)

// A domain of a thousand people who all have avatars and device lists has
// thousands of last items for everybody who logs in, and two million if all of
// them come at once. They go out in turns, between which is as much time as a
// turn took, so that they never keep more than half of a processor from others,
// and to nobody faster than he reads.
const (
	perTurn    = 1024                  // items sent in a turn, to all clients of a domain together
	perClient  = 32                    // items sent to one of them: together about as much as a TLS record
	looksTurn  = 4096                  // items looked at: most may be for others
	maxWaiting = 32 << 10              // bytes that wait for a client who gets no more for now
	minPause   = time.Millisecond      // between turns
	maxPause   = 20 * time.Millisecond // the same, also if nobody could be sent anything
)

// job is the last items that a client is still to get.
type job struct {
	client *Client
	parts  []part
	since  uint64 // registry.turn when it began: newer items are told of anyway
}

// part is the nodes of one name at some homes. The list may be others', too.
type part struct {
	node  string
	homes []*home
}

func (j *job) add(node string, homes []*home) {
	if len(homes) > 0 {
		j.parts = append(j.parts, part{node, homes})
	}
}

// next takes the next node.
func (j *job) next() (at place, ok bool) {
	if len(j.parts) == 0 {
		return at, false
	}
	p := &j.parts[0]
	at = place{p.homes[0], p.node}
	if p.homes = p.homes[1:]; len(p.homes) == 0 {
		j.parts = j.parts[1:]
	}
	return at, true
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
	x, some := p.audience(cl.jid.Domain()), p.seen(cl)
	for _, name := range nodes {
		if some == nil {
			j.add(name, x.holding(name))
		} else {
			j.add(name, x.holdingOf(some, name))
		}
	}
	x.pace.add(j)
}

// seen returns the accounts that a client may see more of than others, nil if
// that may be all.
func (p *PubSub) seen(cl *Client) []*home {
	u := p.host.Directory.ByID(cl.user)
	if u == nil || p.opts.Seen == nil {
		return nil
	}
	ids, everyone := p.opts.Seen(u)
	if everyone {
		return nil
	}
	some := make([]*home, 0, len(ids))
	for _, id := range ids {
		if h := p.known(id); h != nil {
			some = append(some, h)
		}
	}
	return some
}

func (c *pacer) add(j *job) {
	if len(j.parts) == 0 {
		return
	}
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
	case len(j.parts) == 0 || !j.client.session.Alive():
	case !j.client.session.Connected():
		c.parked = append(c.parked, j)
	default:
		c.jobs = append(c.jobs, j)
	}
}

// work is one turn. Only one goroutine at a time does it.
func (c *pacer) work() {
	began := c.p.host.Clock.Now()
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
	if !again {
		return
	}
	pause := maxPause
	if looks > 0 {
		pause = min(max(c.p.host.Clock.Now().Sub(began), minPause), maxPause)
	}
	c.p.host.Clock.AfterFunc(pause, c.work)
}

// serve sends a client some of its last items.
func (c *pacer) serve(j *job, most, looks int) (sent, seen int) {
	s := j.client.session
	if !s.Connected() || s.Waiting() > maxWaiting {
		return 0, 0
	}
	var out router.Batch
	for sent < most && seen < looks {
		at, ok := j.next()
		if !ok {
			break
		}
		seen++
		if at.home.id != j.client.user && c.p.sendLast(&out, j, at) { // his own he has
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
	return p.sendLastOf(out, j, &at, where.node) > 0
}

// sendLastOf is sendLast with home.deliver held. It returns how many KiB were sent.
func (p *PubSub) sendLastOf(out *router.Batch, j *job, at *site, node string) int {
	n, s, last, changed := at.lastOf(node, p.host.Now())
	if n == nil || s.Config.Last != lastPresence || changed > j.since {
		return 0
	}
	to := j.client.to
	if at.user == nil {
		if to = p.addressed(at, s, j.client); to == nil {
			return 0
		}
	} else if !p.listens(at, s, j.client) {
		return 0
	}
	message := p.notification(at, n, s, last)
	if message == nil {
		return 0
	}
	buf := xmpp.GetBuffer()
	*buf = appendTo((*buf)[:0], message, to)
	j.client.session.Send(out, *buf)
	xmpp.PutBuffer(buf)
	return weightOf(message)
}
