package bosh

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/stream"
)

// session is the connection that requests make up. What they bring is read as
// frames; what is written goes out with their answers.
type session struct {
	door       *door
	sid        string
	peer       netip.Addr
	content    string // type of the answers
	attributes string // of the first answer
	wait       time.Duration
	hold       int
	requests   int // at a time, and answers that are kept
	loggedIn   atomic.Bool

	mu      sync.Mutex
	changed sync.Cond // frames, out, ended, over, a deadline

	frames   []frame   // not read yet
	queued   int       // their bytes
	reading  *request  // whose frame the reader has
	deadline time.Time // of the reader
	ended    error     // why nothing more is to be read

	first   bool                // the first request is not answered yet
	last    uint64              // rid of the last request that was taken
	early   map[uint64]*request // came before those that they follow
	held    []*request          // taken and not answered, by rid
	answers []answered          // the latest, by rid
	key     string              // what the key of the next request must open; "" without keys
	polled  time.Time           // when a request that brought nothing was last taken; zero: the one before brought something, or got something

	out     []byte // elements that wait for a request
	blocked bool   // a Write waits until they have gone
	hurry   bool   // it need not
	over    bool   // the stream is closed: the next answer is the last
	why     condition

	inactive xmpp.Timer
	pause    time.Duration // in place of inactivity, once
}

// frame is an element that a request brought.
type frame struct {
	text []byte
	of   *request
}

// request is one that waits for its answer.
type request struct {
	*body
	answer chan []byte // takes one
	unread int         // frames of it
	gone   bool        // nobody waits for the answer any more
	late   bool        // it has waited long enough
	timer  xmpp.Timer
}

type answered struct {
	rid  uint64
	text []byte
}

var _ stream.Framed = (*session)(nil)

// take takes a request, and returns where its answer comes.
func (s *session) take(b *body) <-chan []byte {
	q := &request{body: b, answer: make(chan []byte, 1)}
	hears := q.answer
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case b.rid <= s.last:
		s.again(q)
	case b.rid > s.last+uint64(s.window(b)): // XEP-0124 §14.2
		s.terminate(q, itemNotFound)
	case b.rid > s.last+1:
		if old := s.early[b.rid]; old != nil {
			old.answer <- recoverable
		}
		s.early[b.rid] = q
		s.respond()
	default:
		s.inOrder(q)
	}
	return hears
}

// window is how far ahead a request may be. One more may pause or end the
// session (§11).
func (s *session) window(b *body) int {
	if b.terminate || b.pause >= 0 {
		return s.requests + 1
	}
	return s.requests
}

// inOrder takes the request that is due, and those that were waiting for it.
func (s *session) inOrder(q *request) {
	for q != nil && s.accept(q) {
		next := s.early[s.last+1]
		delete(s.early, s.last+1)
		q = next
	}
	s.respond()
}

// again answers a request that was there before (§14.3).
func (s *session) again(q *request) {
	if i := slices.IndexFunc(s.held, func(h *request) bool { return h.rid == q.rid }); i >= 0 {
		h := s.held[i]
		if !h.gone {
			h.answer <- recoverable
		}
		h.answer, h.gone = q.answer, false // what it brought has been taken
		s.rest()
		s.respond()
		return
	}
	for _, a := range s.answers {
		if a.rid == q.rid {
			q.answer <- a.text
			return
		}
	}
	s.terminate(q, itemNotFound)
}

// accept takes the request that is due. It reports false if that ended the
// session.
func (s *session) accept(q *request) bool {
	if s.key != "" && !opens(q.key, s.key) { // §15.4
		s.terminate(q, itemNotFound)
		return false
	}
	if q.next != "" {
		s.key = q.next
	} else if s.key != "" {
		s.key = q.key
	}
	if len(s.held) >= s.window(q.body) || s.hold == 0 && s.polls(q) { // §11, §12
		s.terminate(q, policyViolation)
		return false
	}
	if q.pause >= 0 && time.Duration(q.pause)*time.Second > maxPause {
		s.terminate(q, policyViolation)
		return false
	}
	s.last = q.rid
	s.answers = slices.DeleteFunc(s.answers, func(a answered) bool { return a.rid <= q.ack })
	s.pause = 0
	s.held = append(s.held, q)
	switch {
	case s.first:
		s.bring(q, q.opening())
	case q.restart: // XEP-0206 §5: what else is in it is ignored
		s.bring(q, q.opening())
	default:
		for _, p := range q.payloads {
			s.bring(q, p)
		}
	}
	if q.terminate {
		s.bring(q, []byte("<close xmlns='"+xmpp.NSFraming+"'/>"))
	}
	if q.pause >= 0 {
		s.pause = time.Duration(q.pause) * time.Second
	}
	if s.queued > maxQueued {
		s.terminate(nil, policyViolation)
		return false
	}
	switch {
	case s.hold > 0:
		q.timer = s.door.Clock.AfterFunc(s.wait, func() { s.waited(q) })
	case s.wait > 0 && q.unread > 0:
		q.timer = s.door.Clock.AfterFunc(min(s.wait, promptly), func() { s.waited(q) })
	default:
		q.late = true
	}
	s.changed.Broadcast()
	s.rest()
	return true
}

func (s *session) bring(q *request, text []byte) {
	if s.over || s.ended != nil {
		return
	}
	s.frames = append(s.frames, frame{text, q})
	s.queued += len(text)
	q.unread++
}

// polls reports whether a request asks for news too soon after another.
func (s *session) polls(q *request) bool {
	now := s.door.Clock.Now()
	soon := q.empty() && !s.polled.IsZero() && now.Sub(s.polled) < polling
	s.polled = time.Time{}
	if q.empty() {
		s.polled = now
	}
	return soon
}

// respond answers the requests whose time has come, in their order.
func (s *session) respond() {
	if s.over && (len(s.frames) == 0 || s.ended != nil) {
		s.farewell()
		return
	}
	for len(s.held) > 0 {
		q := s.held[0]
		ready := len(s.out) > 0 && !q.gone && s.pause == 0 // the answer to a pause has no payloads
		switch {
		case ready:
		case q.unread > 0: // the client is not to send more than is read
			return
		case q.late, s.pause > 0, len(s.held) > max(s.hold, 1):
		default:
			return
		}
		s.reply(q, ready)
	}
}

// reply answers the oldest request, with what waits or with nothing.
func (s *session) reply(q *request, payloads bool) {
	var text []byte
	attributes := ""
	if s.first {
		attributes, s.first = s.attributes, false
	}
	if payloads && len(s.out) > 0 {
		text, s.out, s.polled = s.out, nil, time.Time{}
		s.changed.Broadcast()
	}
	s.finish(q, answer(attributes, text))
}

// finish hands an answer out, and keeps it.
func (s *session) finish(q *request, text []byte) {
	s.held = s.held[1:]
	if q.timer != nil {
		q.timer.Stop()
	}
	if len(s.answers) >= s.requests {
		s.answers = slices.Delete(s.answers, 0, len(s.answers)-s.requests+1)
	}
	s.answers = append(s.answers, answered{q.rid, text})
	q.answer <- text
	s.rest()
}

// farewell answers all requests when the session is over: the oldest hears why.
// It is kept for those who did not get that, if they had logged in.
func (s *session) farewell() {
	if len(s.held)+len(s.early) == 0 {
		return
	}
	text := terminal(s.why, s.out)
	s.out = nil
	for len(s.held) > 0 {
		s.finish(s.held[0], text)
		text = answer("", nil)
	}
	for rid, q := range s.early {
		q.answer <- text
		delete(s.early, rid)
	}
	if !s.loggedIn.Load() {
		s.stop()
	}
	s.changed.Broadcast()
}

// terminate ends the session because of a request, which hears why; nil: the one
// that was taken last.
func (s *session) terminate(q *request, why condition) {
	if s.ended == nil {
		s.ended = errBroken
	}
	s.over, s.why, s.out, s.frames = true, why, nil, nil
	if q != nil {
		q.answer <- terminal(why, nil)
	}
	s.respond()
	s.stop()
}

// stop forgets the session.
func (s *session) stop() {
	if s.inactive != nil {
		s.inactive.Stop()
		s.inactive = nil
	}
	s.door.forget(s)
	s.changed.Broadcast()
}

// rest counts the time while no request waits (§10).
func (s *session) rest() {
	if s.inactive != nil {
		s.inactive.Stop()
		s.inactive = nil
	}
	if slices.ContainsFunc(s.held, func(q *request) bool { return !q.gone }) {
		return
	}
	after := inactivity
	if s.pause > 0 {
		after = s.pause
	}
	s.inactive = s.door.Clock.AfterFunc(after, s.lost)
}

// lost ends a session from which nothing is heard any more.
func (s *session) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.held, func(q *request) bool { return !q.gone }) {
		return // one came just now
	}
	if s.ended == nil {
		s.ended = io.ErrUnexpectedEOF
	}
	s.over = true
	s.stop()
}

// waited has a request answered that has waited long enough, and those before it.
func (s *session) waited(q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		h.late = h.late || h.rid <= q.rid
	}
	s.respond()
}

// gone notes that nobody waits for an answer any more. It may be asked for again.
func (s *session) gone(answer <-chan []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		if h.answer == answer {
			h.gone = true
			s.rest()
		}
	}
}

// Write takes elements for the client and waits until they are on their way, so
// that what is behind them waits, and is counted, in package stream.
func (s *session) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.ended != nil {
		return 0, net.ErrClosed
	}
	for rest := b; len(rest) > 0; {
		n := xmpp.FirstElement(rest)
		s.put(rest[:n])
		rest = rest[n:]
	}
	s.respond()
	s.blocked = true
	for len(s.out) > 0 && !s.over && !s.hurry && s.ended == nil {
		s.changed.Wait()
	}
	s.blocked = false
	return len(b), nil
}

// put notes what an element says of the session, and lets it go out.
func (s *session) put(element []byte) {
	switch {
	case bytes.HasPrefix(element, []byte("<open ")):
		if n, err := xmpp.ParseNode(element); s.first && err == nil {
			s.attributes += string(xmpp.AppendAttr(nil, "from", n.Attr("from")))
		}
		return
	case bytes.HasPrefix(element, []byte("<close ")):
		s.over = true
		return
	case bytes.HasPrefix(element, []byte("<stream:error")):
		if s.why = conditionOf(element); s.why != remoteStreamError {
			return
		}
	}
	s.out = xmpp.AppendFramed(s.out, element)
}

// conditionOf is the terminal condition for a stream error: one of BOSH's own, or
// that which encloses it (XEP-0206 §6).
func conditionOf(element []byte) condition {
	n, err := xmpp.ParseNode(element)
	if err != nil || len(n.Children) == 0 {
		return remoteStreamError
	}
	switch c := xmpp.StreamCondition(n.Children[0].Local); c {
	case xmpp.StreamHostGone, xmpp.StreamHostUnknown, xmpp.StreamSystemShutdown:
		return condition(c)
	}
	return remoteStreamError
}
