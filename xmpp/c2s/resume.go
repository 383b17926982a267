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
	s := c.srv.opts.Router.Resumable(token)
	if s == nil || s.User() != c.user.ID {
		return smFailed("item-not-found", c.handledBefore(token)), nil
	}
	// The old connection may not know yet that it is gone. Its reader must be
	// out of the way before its count of handled stanzas is final.
	if old, ok := s.Conn().(*client); ok {
		old.Close(&xmpp.StreamError{Condition: xmpp.StreamConflict, Text: "resumed on another connection"})
		old.Interrupt()
		<-old.left
	}
	err = s.Resume(c, uint32(h), func(handled uint32) []byte {
		b := append([]byte(nil), "<resumed xmlns='"+xmpp.NSSM+"' h='"...)
		b = append(strconv.AppendUint(b, uint64(handled), 10), '\'')
		b = xmpp.AppendAttr(b, "previd", token)
		return header(s, append(b, "/>"...))
	})
	switch err {
	case nil:
	case router.ErrAcknowledged:
		return nil, tooHigh(uint32(h), s)
	default:
		return smFailed("item-not-found", c.handledBefore(token)), nil
	}
	c.begin(s)
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
	// A session that another one replaced may have stored what it had read after it was noted.
	if stored, is := c.srv.opts.Handled(token); is && (!ok || int32(stored-h) > 0) { // modulo 2³²
		h, ok = stored, true
	}
	if !ok {
		return ""
	}
	return strconv.FormatUint(uint64(h), 10)
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
	if len(e.order) >= endedKept {
		delete(e.byID, e.order[0])
		e.order = e.order[1:]
	}
	e.byID[token] = endedSession{s.Handled(0), s.User()}
	e.order = append(e.order, token)
}

func (e *endedSessions) find(token string) (uint32, directory.ID, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.byID[token]
	return s.handled, s.user, ok
}
