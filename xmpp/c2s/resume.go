package c2s

import (
	"strconv"
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// resumeOrFail handles stream management before an address is bound. done says
// that an old session goes on here.
func (c *client) resumeOrFail(st *xmpp.Stanza) (done bool, err error) {
	n := st.Node()
	if n.Local != "resume" { // XEP-0198 §3: enable comes after binding
		c.Answer(smFailed("unexpected-request", ""))
		return false, nil
	}
	failed, err := c.resume(n, func(_ *router.Session, resumed []byte) []byte { return resumed })
	if failed != nil {
		c.Answer(failed)
	}
	return failed == nil && err == nil, err
}

// resume goes on with an old session, if that can be: then the client is sent
// what header makes of <resumed/>, and all that it has not acknowledged. Else
// resume returns the <failed/> element.
func (c *client) resume(n *xmpp.Node, header func(s *router.Session, resumed []byte) []byte) (failed []byte, err error) {
	h, err := strconv.ParseUint(n.Attr("h"), 10, 32)
	token := n.Attr("previd")
	if err != nil || token == "" {
		return smFailed("bad-request", ""), nil
	}
	var s *router.Session
	for again := true; again; again = err == router.ErrNotResumable && s.Conn() != nil { // somebody else was quicker
		if !c.await(token) {
			// Whatever was told the client now would be wrong in a moment. The session goes on waiting for it.
			return nil, &xmpp.StreamError{Condition: xmpp.StreamInternalServerError, Text: "what you sent last is still being stored; try again later"}
		}
		if s = c.srv.opts.Router.Resumable(token); s == nil || s.User() != c.user.ID {
			return smFailed("item-not-found", c.handledBefore(token)), nil
		}
		err = s.Resume(c, uint32(h), func(handled uint32) []byte {
			c.begin(s)
			b := append([]byte(nil), "<resumed xmlns='"+xmpp.NSSM+"' h='"...)
			b = append(strconv.AppendUint(b, uint64(handled), 10), '\'')
			b = xmpp.AppendAttr(b, "previd", token)
			return header(s, append(b, "/>"...))
		})
	}
	switch err {
	case nil:
	case router.ErrAcknowledged:
		return nil, tooHigh(uint32(h), s)
	default:
		return smFailed("item-not-found", c.handledBefore(token)), nil
	}
	c.srv.opts.Table.Resumed(s)
	return nil, nil
}

// handledBefore is the h of a session that cannot be resumed any more, "" if
// nothing is known of it (XEP-0198 §5).
func (c *client) handledBefore(token string) string {
	h, user, ok := c.srv.ended.find(token)
	if ok && user != c.user.ID {
		return ""
	}
	// Of a reader that has panicked more may be stored than was noted.
	if stored, is := c.srv.opts.Handled(token); is && (!ok || int32(stored-h) > 0) { // modulo 2³²
		h, ok = stored, true
	}
	if !ok {
		return ""
	}
	return strconv.FormatUint(uint64(h), 10)
}

// await gets the reader out of the way that a session of the user has, or had
// until it was ended: its connection may not know yet that it is gone, and before
// it has stored what it has read its count of handled stanzas is not final. It
// reports false if that takes longer than a login may, or than the client waits.
func (c *client) await(token string) bool {
	var old *client
	if x := c.srv.opts.Router.Resumable(token); x != nil {
		old, _ = x.Conn().(*client)
	}
	if old == nil {
		old = c.srv.parting.reader(token)
	}
	if old == nil || old.user.ID != c.user.ID {
		return true
	}
	old.Close(&xmpp.StreamError{Condition: xmpp.StreamConflict, Text: "resumed on another connection"})
	old.Interrupt()
	return c.waits(old.left)
}

// waits reports whether something is done before the login has to be, and while
// the client waits for it.
func (c *client) waits(done <-chan struct{}) bool {
	late := make(chan struct{})
	timer := c.srv.opts.Clock.AfterFunc(c.remaining(), func() { close(late) })
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-late:
	case <-c.Done():
	}
	return false
}

// end ends a session for good and remembers what it has handled. Its client, if
// there is one, hears why.
func (s *Server) end(x *router.Session, why *xmpp.StreamError) {
	if c, ok := x.Conn().(*client); ok {
		s.parting.add(x, c)
	}
	s.ended.note(x)
	s.opts.Table.EndBecause(x, why)
}

// parting are the connections, by token, that part from a session that can be
// resumed, or were parted from it, and whose reader is not done.
type parting struct {
	mu      sync.Mutex
	byToken map[string]*client
}

func (p *parting) add(s *router.Session, c *client) {
	_, token := s.Managed()
	p.mu.Lock()
	defer p.mu.Unlock()
	if token == "" || c.parted {
		return
	}
	if p.byToken == nil {
		p.byToken = map[string]*client{}
	}
	p.byToken[token] = c
	c.parts = token
}

// done says that a connection's reader is.
func (p *parting) done(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.parted = true
	if p.byToken[c.parts] == c {
		delete(p.byToken, c.parts)
	}
}

func (p *parting) reader(token string) *client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byToken[token]
}

// endedSessions remembers how many stanzas the sessions that ended lately had
// handled. What is on disk may be behind by stanzas that needed no commit.
type endedSessions struct {
	mu    sync.Mutex
	byID  map[string]endedSession
	order []string
}

type endedSession struct {
	handled uint32
	user    directory.ID
}

const endedKept = 10_000

func (e *endedSessions) note(s *router.Session) {
	_, token := s.Managed()
	if token == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byID == nil {
		e.byID = map[string]endedSession{}
	}
	if _, again := e.byID[token]; !again {
		if len(e.order) >= endedKept {
			delete(e.byID, e.order[0])
			e.order = e.order[1:]
		}
		e.order = append(e.order, token)
	}
	e.byID[token] = endedSession{s.Handled(0), s.User()}
}

func (e *endedSessions) find(token string) (uint32, directory.ID, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.byID[token]
	return s.handled, s.user, ok
}
