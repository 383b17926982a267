package bytestreams

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp/accept"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
)

// bufferSize is what one direction of a stream holds.
const bufferSize = 32 << 10

// Stats counts what happens; every field may be read at any time.
type Stats struct {
	Waiting atomic.Int64 // connections that are not activated
	Streams atomic.Int64 // that are open
	Started atomic.Int64
	Bytes   atomic.Int64 // carried
	Dropped atomic.Int64 // bytes that came before their stream was activated
	Refused atomic.Int64 // connections that were not what they should be, or too many
}

// Proxy carries streams between two connections.
type Proxy struct {
	host  *feature.Host
	opts  Options
	Stats Stats

	door    accept.Door[*end]
	waiting accept.Waiting

	mu      sync.Mutex
	pairs   map[address]*pair  // that are not activated
	streams map[*pair]struct{} // that are
	by      map[directory.ID]int
}

// pair is the two ends of a stream; the second is nil until it comes.
type pair struct {
	ends  [2]*end
	owner directory.ID // who had it activated
	open  int          // directions that still carry something
	last  atomic.Int64 // when something passed, in nanoseconds since 1970
}

// end is one connection.
type end struct {
	net.Conn
	peer  netip.Addr
	pair  *pair // nil: it has not said which stream it is for
	at    address
	given bool          // it is of a stream, and waits no more
	left  bool          // nothing is read from it any more
	ready chan struct{} // closed when nothing that comes is thrown away any more, or the connection has ended
	open  bool          // ready is closed; of the reader
}

var (
	errNobody  = errors.New("nobody is connected")
	errAlone   = errors.New("only one is connected")
	errTooMany = errors.New("too many streams")
	errStuck   = errors.New("a connection does not let go")
)

func newProxy(h *feature.Host, o Options) *Proxy {
	return &Proxy{
		host: h, opts: o, pairs: map[address]*pair{},
		streams: map[*pair]struct{}{}, by: map[directory.ID]int{},
	}
}

// Serve accepts connections until the listener is closed.
func (p *Proxy) Serve(l net.Listener) error {
	return p.door.Serve(l, p.opts.Log, func(c net.Conn) {
		if e := p.take(c); e != nil {
			go p.run(e)
		}
	})
}

// take gives a connection a place among those that wait.
func (p *Proxy) take(c net.Conn) *end {
	e := &end{Conn: c, peer: accept.SubscriberOf(c.RemoteAddr()), ready: make(chan struct{})}
	if !p.waiting.Enter(e.peer, p.opts.Limits().orDefault().Waiting) {
		p.Stats.Refused.Add(1)
		c.Close()
		return nil
	}
	p.Stats.Waiting.Add(1)
	if !p.door.Enter(e) {
		p.mu.Lock()
		p.placed(e)
		p.mu.Unlock()
		c.Close()
		return nil
	}
	return e
}

// placed ends the waiting of a connection. Call with p.mu held.
func (p *Proxy) placed(e *end) {
	if e.given {
		return
	}
	e.given = true
	p.waiting.Leave(e.peer)
	p.Stats.Waiting.Add(-1)
}

func (p *Proxy) run(e *end) {
	defer p.door.Leave(e)
	late := p.host.Clock.AfterFunc(p.opts.Limits().orDefault().Patience, func() { p.late(e) })
	defer late.Stop()
	defer p.leave(e)
	if !p.negotiate(e) {
		p.Stats.Refused.Add(1)
		return
	}
	if p.wait(e) {
		late.Stop()
		p.carry(e)
	}
}

// late ends a connection whose stream nobody has activated.
func (p *Proxy) late(e *end) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !e.given {
		e.Close()
	}
}

// negotiate is SOCKS5 up to the answer to the request.
func (p *Proxy) negotiate(e *end) bool {
	ok, err := greeting(e)
	if err != nil {
		return false
	}
	if !ok {
		e.Write([]byte{version, noneAcceptable})
		return false
	}
	if _, err := e.Write([]byte{version, noAuthentication}); err != nil {
		return false
	}
	a, reply, err := request(e)
	if err != nil {
		return false
	}
	if reply == succeeded {
		reply = p.join(e, a)
	}
	_, err = e.Write(answer(reply, &a))
	return err == nil && reply == succeeded
}

// join makes a connection one of the two of its stream. A third one is refused (§8.1).
func (p *Proxy) join(e *end, a address) (reply byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.pairs[a]
	switch {
	case p.door.Closed():
		return generalFailure
	case x == nil:
		x = &pair{ends: [2]*end{e}}
		p.pairs[a] = x
	case x.ends[1] != nil:
		return notAllowed
	default:
		x.ends[1] = e
	}
	e.pair, e.at = x, a
	return succeeded
}

// wait throws away what comes before the stream is activated (§8.1), and reports
// whether it was.
func (p *Proxy) wait(e *end) bool {
	var scrap [512]byte
	for {
		n, err := e.Read(scrap[:])
		p.Stats.Dropped.Add(int64(n))
		if err == nil {
			continue
		}
		p.mu.Lock()
		given := e.given
		p.mu.Unlock()
		var timeout net.Error
		if !given || !errors.As(err, &timeout) || !timeout.Timeout() {
			return false
		}
		e.isReady()
		return true
	}
}

func (e *end) isReady() {
	if !e.open {
		e.open = true
		close(e.ready)
	}
}

// start activates the stream of an address for a user.
func (p *Proxy) start(a address, owner directory.ID) error {
	x, err := p.claim(a, owner)
	if err != nil {
		return err
	}
	// From its answer on the requester may send: by then nothing must be thrown away.
	stuck := time.NewTimer(5 * time.Second)
	defer stuck.Stop()
	for _, e := range x.ends {
		e.SetReadDeadline(time.Unix(1, 0))
		select {
		case <-e.ready:
		case <-stuck.C:
			x.close()
			return errStuck
		}
	}
	return nil
}

// claim takes a pair out of those that wait.
func (p *Proxy) claim(a address, owner directory.ID) (*pair, error) {
	limits := p.opts.Limits().orDefault()
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.pairs[a]
	switch {
	case x == nil:
		return nil, errNobody
	case x.ends[1] == nil:
		return nil, errAlone
	case p.by[owner] >= limits.Streams, len(p.streams) >= limits.All:
		return nil, errTooMany
	}
	delete(p.pairs, a)
	x.owner, x.open = owner, 2
	x.last.Store(time.Now().UnixNano())
	p.streams[x] = struct{}{}
	p.by[owner]++
	p.Stats.Streams.Add(1)
	p.Stats.Started.Add(1)
	for _, e := range x.ends {
		p.placed(e)
	}
	return x, nil
}

// carry passes on what comes from one end until it ends, or both are silent.
func (p *Proxy) carry(e *end) {
	x := e.pair
	to := x.ends[0]
	if to == e {
		to = x.ends[1]
	}
	<-to.ready
	limits := p.opts.Limits().orDefault()
	pace := pacer{rate: limits.Rate, hurry: p.door.Done()}
	buf := make([]byte, bufferSize)
	for {
		e.SetReadDeadline(time.Now().Add(limits.Idle))
		n, err := e.Read(buf)
		if n > 0 {
			x.last.Store(time.Now().UnixNano())
			pace.spend(n)
			to.SetWriteDeadline(time.Now().Add(limits.Idle))
			if _, err := to.Write(buf[:n]); err != nil {
				x.close()
				return
			}
			p.Stats.Bytes.Add(int64(n))
			x.last.Store(time.Now().UnixNano())
		}
		var timeout net.Error
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			// The other direction may have something left.
			if w, ok := to.Conn.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil && p.halved(x) {
				return
			}
			x.close()
			return
		case errors.As(err, &timeout) && timeout.Timeout() && time.Since(time.Unix(0, x.last.Load())) < limits.Idle:
		default:
			x.close()
			return
		}
	}
}

// halved notes that a direction has ended and reports whether the other goes on.
func (p *Proxy) halved(x *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x.open--
	return x.open > 0
}

func (x *pair) close() {
	for _, e := range x.ends {
		if e != nil {
			e.Close()
		}
	}
}

// leave forgets a connection whose reader has ended. The other end of a stream
// that carries nothing any more goes with it.
func (p *Proxy) leave(e *end) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.left = true
	p.placed(e)
	x := e.pair
	if !e.open && x != nil {
		x.close() // the other one would wait for it
	}
	e.isReady()
	if x == nil {
		e.Close()
		return
	}
	if p.pairs[e.at] == x {
		delete(p.pairs, e.at)
		x.close()
		return
	}
	if _, ok := p.streams[x]; !ok {
		e.Close()
		return
	}
	for _, o := range x.ends {
		if !o.left {
			return // it still sends to this one
		}
	}
	x.close()
	delete(p.streams, x)
	p.Stats.Streams.Add(-1)
	if p.by[x.owner]--; p.by[x.owner] <= 0 {
		delete(p.by, x.owner)
	}
}

// cut ends the streams of a user.
func (p *Proxy) cut(owner directory.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for x := range p.streams {
		if x.owner == owner {
			x.close()
		}
	}
}

// Shutdown stops taking connections and closes all. It returns when they have
// ended.
func (p *Proxy) Shutdown(ctx context.Context) {
	end := func(e *end) { e.Close() }
	p.door.Shutdown(ctx, end, end)
}

// pacer bounds how fast one direction goes, with a second's worth in one burst.
type pacer struct {
	rate  int // bytes a second; 0: not bounded
	hurry <-chan struct{}
	full  time.Time
}

// spend waits until n bytes may pass, or nobody has the time any more.
func (p *pacer) spend(n int) {
	if p.rate <= 0 {
		return
	}
	now := time.Now()
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	over := p.full.Sub(now) - time.Second
	if over <= 0 {
		return
	}
	t := time.NewTimer(over)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.hurry:
	}
}
