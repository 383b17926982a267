package router

import (
	"crypto/rand"
	"errors"
	"time"

	"confab/xmpp"
)

// QueueLimits bound what a hibernating session keeps of new stanzas for the
// client to come back for (XEP-0198). Beyond them the session ends; its
// messages are in the history. A connected session may have ten times as many
// stanzas and four times as many bytes unacknowledged, since the presence of a
// whole domain arrives in one run. Beyond, it cannot be resumed before all of
// that is acknowledged.
type QueueLimits struct {
	Stanzas int   // 0: 1000; besides, ten times as many presences
	Bytes   int   // 0: 1 MiB
	Total   int64 // bytes of all sessions together; 0: 256 MiB. Beyond, the largest go, hibernating ones first.
}

func (q QueueLimits) orDefault() QueueLimits {
	if q.Stanzas == 0 {
		q.Stanzas = 1000
	}
	if q.Bytes == 0 {
		q.Bytes = 1 << 20
	}
	if q.Total == 0 {
		q.Total = 256 << 20
	}
	return q
}

// Acknowledgements are asked for when this many stanzas are unacknowledged, or
// when the oldest of them has waited for askAfter.
const (
	askEvery = 16
	askAfter = 3 * time.Second
)

var requestAck = []byte("<r xmlns='urn:xmpp:sm:3'/>")

// management is the XEP-0198 state of a session, under Session.mu.
type management struct {
	on    bool
	token string // not empty: can be resumed
	max   time.Duration

	handled uint32 // stanzas of the client that were handled, modulo 2³²

	acked uint32 // the client's last h
	total uint64 // the same, not modulo 2³²
	queue *queue // nil: everything is acknowledged

	asking  bool       // an <r/> is on its way
	askedAt time.Time  // when it left
	pending xmpp.Timer // set only while something is unacknowledged: a session at rest wakes nobody
	asks    uint32     // which timer pending is

	full        bool   // not all that is unacknowledged is kept: the session cannot be resumed
	over        bool   // nothing is noted any more: the session is about to end
	lost        uint64 // the oldest id of the history that was not kept
	keptStanzas int    // what was unacknowledged, or held back, when the connection was lost
	keptBytes   int
	seen        int       // presences that came since
	lostAt      time.Time // when that was
	naps        uint32    // how often it was
	expiry      xmpp.Timer
	expired     func()
}

func (m *management) wantsAck() bool { return m.on && !m.asking && m.unacked() >= askEvery }

func (m *management) asked(now time.Time) { m.asking, m.askedAt = true, now }

func (m *management) stop() {
	if m.pending != nil {
		m.pending.Stop()
	}
	if m.expiry != nil {
		m.expiry.Stop()
	}
	// Its reader may be about to store what it read before it notices, and that is counted.
	*m = management{on: m.on, token: m.token, handled: m.handled}
}

// Errors of stream management.
var (
	ErrManaged = errors.New("stream management is on already")
	// ErrAcknowledged means that the client acknowledged more than was sent (XEP-0198 §4).
	ErrAcknowledged = errors.New("acknowledged more stanzas than were sent")
	// ErrNotResumable means that the session has ended or was never resumable.
	ErrNotResumable = errors.New("no such session to resume")
)

// EnableManagement turns stream management on and sends the element that
// enabled makes, unless that is empty, before anything that counts. With a max above zero the session
// can be resumed, by the token that enabled gets, for that long after its
// connection was lost.
func (s *Session) EnableManagement(max time.Duration, enabled func(token string) []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sm.on || s.ended || s.conn == nil {
		return ErrManaged
	}
	s.sm.on = true
	if max > 0 {
		s.sm.max = max
		s.sm.token = s.router.opts.Node + "-" + rand.Text()
		s.router.resumable.Store(s.sm.token, s)
	}
	if b := enabled(s.sm.token); len(b) > 0 && s.conn.Append(b) {
		defer s.conn.Flush()
	}
	return nil
}

// Conn returns the session's connection, nil if it has none.
func (s *Session) Conn() Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

// Managed reports whether stream management is on, and the token by which the
// session can be resumed, if it can.
func (s *Session) Managed() (on bool, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sm.on, s.sm.token
}

// Handled counts n stanzas of the client as handled and returns the count
// (XEP-0198 h, modulo 2³²).
func (s *Session) Handled(n uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sm.on {
		s.sm.handled += n
	}
	return s.sm.handled
}

// Acknowledge forgets what the client says it has handled (XEP-0198 §4).
func (s *Session) Acknowledge(h uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acknowledge(h)
}

func (s *Session) acknowledge(h uint32) error {
	if s.ended {
		return nil
	}
	n := h - s.sm.acked // modulo 2³²
	if n > uint32(s.sm.unacked()) {
		// COMPAT(@xmpp/client 0.14): it does not count IQs, so its h may go
		// back behind an earlier one; only an h ahead of us is an error.
		if back := s.sm.acked - h; back < 1<<31 && uint64(back) <= s.sm.total {
			return nil
		}
		return ErrAcknowledged
	}
	s.router.Stats.Queued.Add(-int64(s.sm.drop(int(n))))
	s.sm.acked = h
	s.sm.total += uint64(n)
	if s.sm.asking {
		s.sm.asking = false
		s.stopAsk() // it waited for this
		s.armAsk()
	}
	return nil
}

// armAsk makes sure that an acknowledgement of what was just sent is asked for.
// Call with s.mu held.
func (s *Session) armAsk() {
	if s.sm.on && s.sm.pending == nil && s.conn != nil && s.sm.unacked() > 0 {
		s.setAsk(askAfter)
	}
}

func (s *Session) setAsk(d time.Duration) {
	s.sm.asks++
	which := s.sm.asks
	s.sm.pending = s.router.opts.Clock.AfterFunc(d, func() { s.ask(which) })
}

func (s *Session) stopAsk() {
	if s.sm.pending != nil {
		s.sm.pending.Stop()
		s.sm.pending = nil
	}
}

// deadAfter is how long an <r/> may stay unanswered before the connection is
// held to be gone.
const deadAfter = 90 * time.Second

// ask asks for an acknowledgement that is due, or notices that none came. A timer
// that came too late to be stopped does nothing.
func (s *Session) ask(which uint32) {
	s.mu.Lock()
	if s.ended || s.sm.pending == nil || s.sm.asks != which {
		s.mu.Unlock()
		return
	}
	s.sm.pending = nil
	c := s.conn
	now := s.router.opts.Clock.Now()
	dead := false
	if c != nil && s.sm.unacked() > 0 {
		if !s.sm.asking {
			s.sm.asked(now)
			if c.Append(requestAck) {
				defer c.Flush()
			}
		}
		if w, ok := c.(interface{ Waiting() int }); ok && w.Waiting() > 0 {
			s.sm.askedAt = now // the question may not have left yet; whether the peer takes anything is seen where that is written
		}
		left := deadAfter - now.Sub(s.sm.askedAt)
		if dead = left <= 0; !dead {
			s.setAsk(left)
		}
	}
	s.mu.Unlock()
	if dead {
		c.Close(&xmpp.StreamError{Condition: xmpp.StreamConnectionTimeout, Text: "an acknowledgement request stayed unanswered"})
	}
}

// Hibernate parts the session from connection c, which has ended. waits is
// false if the session cannot wait for a resumption, mine is false if it has
// another connection by now or has ended. expired is called once, on a
// goroutine of its own, when nobody resumed the session in time or more was
// sent to it than may be kept.
func (s *Session) Hibernate(c Conn, expired func()) (waits, mine bool) {
	overflow := false
	defer func() {
		if overflow {
			s.router.overflowed(s)
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.conn != c {
		return false, false
	}
	if s.sm.token == "" || s.sm.full {
		return false, true
	}
	s.conn = nil
	s.sm.asking = false
	s.stopAsk()
	s.sm.keptStanzas, s.sm.keptBytes = s.sm.unacked(), s.sm.bytes()
	s.sm.seen = 0
	if h := s.held; h != nil { // it waited while there was a connection, and its bounds are its own
		s.sm.keptStanzas, s.sm.keptBytes = s.sm.keptStanzas+h.live, s.sm.keptBytes+h.bytes
	}
	s.sm.lostAt = s.router.opts.Clock.Now()
	s.sm.naps++
	s.sm.expired = expired
	s.router.Stats.Hibernating.Add(1)
	s.armExpiry(s.sm.max)
	// A resumed stream begins anew (XEP-0352 §5.2).
	_, overflow = s.release()
	s.held = nil
	return true, true
}

// armExpiry sets the end of this one wait: a timer that came too late to be
// stopped does not end the next. Call with s.mu held.
func (s *Session) armExpiry(d time.Duration) {
	nap := s.sm.naps
	s.sm.expiry = s.router.opts.Clock.AfterFunc(d, func() {
		s.mu.Lock()
		due := !s.ended && s.conn == nil && s.sm.expired != nil && s.sm.naps == nap
		expired := s.sm.expired
		if due {
			s.sm.expired = nil
		}
		s.mu.Unlock()
		if due {
			s.router.Stats.Expired.Add(1)
			expired()
		}
	})
}

// Resumable finds the session of a resumption token.
func (r *Router) Resumable(token string) *Session {
	if s, ok := r.resumable.Load(token); ok {
		return s.(*Session)
	}
	return nil
}

// Resume gives a hibernating session connection c: header is written first
// (with the count of handled stanzas, by which it is made), then everything
// that the client has not acknowledged, once. That may be more than may wait for
// a slow peer, so it waits until c has nothing to write, and is one piece. Only
// c's own reader may call it.
func (s *Session) Resume(c Conn, h uint32, header func(handled uint32) []byte) error {
	drain(c, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.conn != nil || s.sm.full || s.sm.expired == nil {
		return ErrNotResumable
	}
	if err := s.acknowledge(h); err != nil {
		return err
	}
	s.conn = c
	s.router.Stats.Hibernating.Add(-1)
	s.router.Stats.Resumed.Add(1)
	s.sm.expiry.Stop()
	s.sm.expiry, s.sm.expired = nil, nil
	b := header(s.sm.handled)
	if s.sm.queue != nil {
		b = append(append(b, s.sm.queue.data...), requestAck...)
		s.sm.asked(s.router.opts.Clock.Now())
	}
	c.Append(b)
	s.armAsk()
	c.Flush()
	return nil
}

// SentCount returns how many stanzas were sent since stream management was
// turned on, modulo 2³².
func (s *Session) SentCount() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sm.acked + uint32(s.sm.unacked())
}

// overflowed ends a session of which nothing is noted any more: a connected one
// is closed, so that its client reconnects and reads the history; a hibernating
// one expires.
func (r *Router) overflowed(s *Session) {
	s.mu.Lock()
	c := s.conn
	if c == nil && s.sm.expiry != nil && s.sm.expiry.Stop() {
		s.armExpiry(0)
	}
	s.mu.Unlock()
	if c != nil {
		c.Close(&xmpp.StreamError{Condition: xmpp.StreamResourceConstraint, Text: "too many stanzas without an acknowledgement"})
	}
}
