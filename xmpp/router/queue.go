package router

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
)

// queue is unacknowledged stanzas, oldest first: their bytes one after the other
// in data, what is known of each in sent.
type queue struct {
	data []byte
	sent []sentStanza
}

type sentStanza struct {
	size int32  // 0: its bytes were not kept
	id   uint64 // in the history, 0: none
}

// sentSize is what a sentStanza costs.
const sentSize = 16

// queues holds those that nothing is in: a session at rest keeps none, and a
// busy one takes one again for its next stanza.
var queues = sync.Pool{New: func() any { return new(queue) }}

// Those that were larger are not kept.
const (
	maxSpareBytes   = 64 << 10
	maxSpareStanzas = 1024
)

// unacked is how many stanzas are unacknowledged.
func (m *management) unacked() int {
	if m.queue == nil {
		return 0
	}
	return len(m.queue.sent)
}

// bytes is how many bytes these have.
func (m *management) bytes() int {
	if m.queue == nil {
		return 0
	}
	return len(m.queue.data)
}

// weight is what counts for the sum of all sessions.
func (m *management) weight() int { return m.bytes() + sentSize*m.unacked() }

// push keeps a stanza until it is acknowledged. It reports false the first time
// that the session has to end for it. Call with s.mu held.
func (s *Session) push(stanza []byte, id uint64) bool {
	m, limit := &s.sm, &s.router.opts.Queue
	if !m.on {
		return true
	}
	if m.over {
		m.lose(id)
		return true
	}
	count, stanzas, size := m.unacked(), 10*limit.Stanzas, 4*limit.Bytes
	if s.conn == nil {
		if stanzas, size = m.keptStanzas+limit.Stanzas, m.keptBytes+limit.Bytes; isPresence(stanza) {
			count, stanzas = m.seen, m.keptStanzas+10*limit.Stanzas
			m.seen++
		} else {
			count -= m.seen
		}
	}
	if !m.full && (count >= stanzas || m.bytes()+len(stanza) > size) {
		s.outgrown()
	}
	if m.full {
		if s.conn == nil || m.unacked() >= maxForgotten {
			m.over = true
			m.lose(id)
			return false
		}
		stanza = nil
	}
	if m.queue == nil {
		m.queue = queues.Get().(*queue)
	}
	m.queue.data = append(m.queue.data, stanza...)
	m.queue.sent = append(m.queue.sent, sentStanza{int32(len(stanza)), id})
	if s.router.Stats.Queued.Add(int64(len(stanza)+sentSize)) > s.router.total.Load() {
		s.router.lighten()
	}
	return true
}

// isPresence tells what a whole domain may send to one session, and is counted apart.
func isPresence(stanza []byte) bool { return bytes.HasPrefix(stanza, []byte("<presence")) }

// maxForgotten is how many stanzas may be unacknowledged that are not kept any more.
const maxForgotten = 1 << 18

// outgrown notes that more is unacknowledged than may be kept. The client may still be there and take it all: while a
// server sends what waited for somebody, it does not hear what is acknowledged of it. So a connected session goes on, and
// keeps no more than the ids; until all of that is acknowledged it cannot be resumed. Call with s.mu held.
func (s *Session) outgrown() {
	m := &s.sm
	m.full = true
	s.router.Stats.Overflowed.Add(1)
	if s.conn == nil || m.queue == nil {
		return
	}
	s.router.Stats.Queued.Add(-int64(len(m.queue.data)))
	m.queue.data = nil
	for i := range m.queue.sent {
		m.queue.sent[i].size = 0
	}
}

func (m *management) lose(id uint64) {
	if m.lost == 0 {
		m.lost = id
	}
}

// drop forgets the n oldest stanzas and returns how much they weighed.
func (m *management) drop(n int) (weight int) {
	if n == 0 {
		return 0
	}
	q := m.queue
	if n == len(q.sent) {
		weight = m.weight()
		m.queue, m.full = nil, m.over
		q.data, q.sent = q.data[:0], q.sent[:0]
		if cap(q.data) <= maxSpareBytes && cap(q.sent) <= maxSpareStanzas {
			queues.Put(q)
		}
		return weight
	}
	size := 0
	for _, s := range q.sent[:n] {
		size += int(s.size)
	}
	q.sent = append(q.sent[:0], q.sent[n:]...)
	q.data = append(q.data[:0], q.data[size:]...)
	return size + sentSize*n
}

// Unacknowledged is what a client never acknowledged.
type Unacknowledged struct {
	Stanzas [][]byte
	FirstID uint64 // the oldest id of the history among them, 0: none
}

func (m *management) unacknowledged() Unacknowledged {
	u := Unacknowledged{FirstID: m.lost}
	if m.queue == nil {
		return u
	}
	rest := m.queue.data
	for _, s := range m.queue.sent {
		if s.size > 0 {
			u.Stanzas = append(u.Stanzas, rest[:s.size:s.size])
			rest = rest[s.size:]
		}
		if s.id != 0 && (u.FirstID == 0 || s.id < u.FirstID) {
			u.FirstID = s.id
		}
	}
	return u
}

// EachUnacknowledged calls fn for what was sent to the session and is not
// acknowledged, as far as it is kept, oldest first, as long as fn returns true. The session is locked
// meanwhile: fn reads the bytes and returns.
func (s *Session) EachUnacknowledged(fn func(stanza []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sm.queue == nil {
		return
	}
	rest := s.sm.queue.data
	for _, sent := range s.sm.queue.sent {
		if sent.size > 0 && !fn(rest[:sent.size:sent.size]) {
			return
		}
		rest = rest[sent.size:]
	}
}

// FirstUnacknowledged is the oldest id of the history among what the client has
// not acknowledged, 0 if there is none.
func (s *Session) FirstUnacknowledged() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.sm.lost
	if s.sm.queue != nil {
		for _, sent := range s.sm.queue.sent {
			if sent.id != 0 && (first == 0 || sent.id < first) {
				first = sent.id
			}
		}
	}
	return first
}

// lighten has what all sessions keep together brought under its limit, on a
// goroutine of its own: whoever calls it holds locks.
func (r *Router) lighten() {
	if r.lightening.CompareAndSwap(false, true) {
		go func() {
			defer r.lightening.Store(false)
			r.dropLargest()
		}()
	}
}

// dropLargest gives up the sessions that keep the most until a quarter of the
// limit is free: hibernating ones end, and if that will not do, others cannot be resumed.
func (r *Router) dropLargest() {
	type load struct {
		s         *Session
		connected bool
		weight    int64
	}
	var loads []load
	over := r.Stats.Queued.Load() - r.total.Load()*3/4
	r.Sessions(func(s *Session) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch weight := int64(s.sm.weight()); {
		case weight == 0 || s.ended:
		case s.sm.over:
			over -= weight // it is about to end
		case s.sm.full: // nothing can be had of it
		default:
			loads = append(loads, load{s, s.conn != nil, weight})
		}
	})
	slices.SortFunc(loads, func(a, b load) int {
		if a.connected != b.connected {
			if b.connected {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.weight, a.weight)
	})
	for _, l := range loads {
		if over <= 0 {
			return
		}
		l.s.mu.Lock()
		light := l.s.sm.full || l.s.ended
		ends := !light && l.s.conn == nil
		if !light {
			l.s.outgrown()
			l.s.sm.over = ends
			over -= l.weight
		}
		l.s.mu.Unlock()
		if ends {
			r.overflowed(l.s)
		}
	}
}
