package router

import (
	"runtime"
	"sync"
)

// Batch collects connections that got something, so that each is flushed once
// after many stanzas. The zero value is ready; it belongs to one goroutine.
type Batch struct {
	conns []Conn
	many  *[]Conn // those beyond a portion, if there are any: memory that no session keeps
}

var lists = sync.Pool{New: func() any { return new([]Conn) }}

func (b *Batch) add(c Conn) {
	if len(b.conns) < portion {
		b.conns = append(b.conns, c)
		return
	}
	if b.many == nil {
		b.many = lists.Get().(*[]Conn)
	}
	*b.many = append(*b.many, c)
}

// Append appends a whole stanza to a connection that is no session's. It leaves
// when the batch is flushed; with a nil batch, at once.
func (b *Batch) Append(c Conn, stanza []byte) {
	switch idle := c.Append(stanza); {
	case !idle:
	case b == nil:
		c.Flush()
	default:
		b.add(c)
	}
}

// portion is how many connections start to write at a time.
const portion = 64

// Flush lets everything leave that was sent with this batch: at once, unless it
// goes to very many. See crowd.
func (b *Batch) Flush() {
	if b.many != nil {
		everybody.flush(b.conns)
		everybody.flush(*b.many)
		clear(*b.many)
		*b.many = (*b.many)[:0]
		lists.Put(b.many)
		b.many = nil
	} else {
		for _, c := range b.conns {
			c.Flush()
		}
	}
	clear(b.conns)
	b.conns = b.conns[:0]
}

// crowd is connections that are to be flushed, by one goroutine, some at a time,
// between which all others have their turn: a thousand that write at once would
// stand in line before whatever anybody else waits for. What comes for a
// connection meanwhile leaves with what it has already, in one write.
type crowd struct {
	mu      sync.Mutex
	queue   []Conn
	queued  map[Conn]struct{} // those in queue
	working bool
}

// everybody is one for all routers, as they share the processors.
var everybody = crowd{queued: map[Conn]struct{}{}}

func (w *crowd) flush(conns []Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if _, ok := w.queued[c]; !ok {
			w.queued[c] = struct{}{}
			w.queue = append(w.queue, c)
		}
	}
	if !w.working {
		w.working = true
		go w.work()
	}
}

func (w *crowd) work() {
	var some [portion]Conn
	for {
		n := w.take(&some)
		if n == 0 {
			return
		}
		for _, c := range some[:n] {
			c.Flush()
		}
		runtime.Gosched()
	}
}

// take takes the next connections out of the queue; none ends the work.
func (w *crowd) take(some *[portion]Conn) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := copy(some[:], w.queue)
	for _, c := range some[:n] {
		delete(w.queued, c)
	}
	clear(w.queue[:n])
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue, w.working = nil, n > 0
	}
	return n
}
