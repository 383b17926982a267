// Package c2s drives the sessions of clients: stream negotiation (RFC 6120
// §4-§7), SASL, resource binding and stream management (XEP-0198), and hands
// the stanzas of bound sessions to the feature table.
//
// Each connection has one goroutine, which reads, runs every stanza to
// completion, and waits only for the commit of its own messages.
package c2s

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/accept"
	"confab/xmpp/auth"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/stream"
)

// Options are the settings of a Server. All but the numbers are required.
type Options struct {
	Directory *directory.Directory
	Auth      *auth.Auth
	Router    *router.Router
	Table     *feature.Table
	State     store.DB        // state.db
	Stream    *stream.Options // prepared
	TLS       *tls.Config     // certificates by name; ALPN is set here
	Clock     xmpp.Clock
	Log       *slog.Logger

	// Handled returns the XEP-0198 count that is on disk for the token of a
	// session that a crash has ended.
	Handled func(token string) (h uint32, ok bool)

	LoginTimeout time.Duration // from accept to a bound session; 0: 30 s
	Attempts     int           // failed logins on a stream; 0: 8
	Resume       time.Duration // how long a lost session can be resumed; 0: 10 min
	Waiting      int           // connections that have not logged in, at a time; 0: 4096, of one address a quarter
	Guard        Guard
}

// Stats counts what happens at the door.
type Stats struct {
	Logins         atomic.Int64
	RefusedLogins  atomic.Int64 // wrong password, no such user, disabled
	Throttled      atomic.Int64 // attempts from addresses that failed too often
	RefusedStreams atomic.Int64 // connections beyond Options.Waiting
	StreamErrors   atomic.Int64
}

// Server takes connections and makes them sessions.
type Server struct {
	opts  Options
	Stats Stats

	tlsDirect, tlsUpgrade atomic.Pointer[tls.Config]
	stream                atomic.Pointer[stream.Options]
	guard                 guard
	ended                 endedSessions
	parting               parting
	waiting               accept.Waiting
	read                  []readRecord // while Restore works
	resting               []resting    // until Begin

	door    accept.Door[*client]
	crashed atomic.Bool
}

// New makes a server. It follows the directory: people who are disabled or
// deleted lose their sessions at once.
func New(o Options) *Server {
	if o.LoginTimeout == 0 {
		o.LoginTimeout = 30 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 8
	}
	if o.Resume == 0 {
		o.Resume = 10 * time.Minute
	}
	if o.Waiting == 0 {
		o.Waiting = 4096
	}
	s := &Server{opts: o}
	s.guard.init(o.Guard, o.Clock)
	s.SetTLS(o.TLS)
	s.SetStream(o.Stream)
	o.Directory.OnChange(s.changed)
	return s
}

// SetTLS replaces the TLS settings for connections to come.
func (s *Server) SetTLS(config *tls.Config) {
	direct, upgrade := config.Clone(), config.Clone()
	// crypto/tls cuts what it writes first into records of one packet each, with a write for each, so that a browser can
	// begin with the first. Nobody begins with half of an element.
	direct.DynamicRecordSizingDisabled, upgrade.DynamicRecordSizingDisabled = true, true
	direct.NextProtos = []string{"xmpp-client"} // XEP-0368 §3
	upgrade.NextProtos = nil
	s.tlsDirect.Store(direct)
	s.tlsUpgrade.Store(upgrade)
}

// Serve accepts connections until the listener is closed. With direct they
// begin with TLS (XEP-0368), else with STARTTLS.
func (s *Server) Serve(l net.Listener, direct bool) error {
	return s.door.Serve(l, s.opts.Log, func(nc net.Conn) { s.take(nc, direct) })
}

func (s *Server) take(nc net.Conn, direct bool) {
	if tc, ok := nc.(*net.TCPConn); ok {
		tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 5 * time.Minute, Interval: time.Minute, Count: 4})
	}
	begin := (*client).upgrade
	if direct {
		begin = (*client).direct
	}
	c := &client{srv: s, peer: accept.SubscriberOf(nc.RemoteAddr())}
	c.info.Transport = "tcp"
	s.admit(c, nc, begin)
}

// admit starts a client on a connection, up to the first stream that it can log
// in on by begin, unless there is no place for it.
func (s *Server) admit(c *client, nc net.Conn, begin func(*client) error) bool {
	if !s.waiting.Enter(c.peer, s.opts.Waiting) {
		s.Stats.RefusedStreams.Add(1)
		nc.Close()
		return false
	}
	c.info.Remote = nc.RemoteAddr().String()
	c.Conn, c.left = stream.New(nc, s.stream.Load()), make(chan struct{})
	if !s.door.Enter(c) {
		s.waiting.Leave(c.peer)
		c.Abort()
		return false
	}
	go c.run(begin)
	return true
}

// Shutdown stops taking connections and closes the streams with
// <system-shutdown/>. It returns when all have ended, or ctx is done, and the
// sessions that can be resumed are on disk, for Restore.
func (s *Server) Shutdown(ctx context.Context) {
	s.door.Shutdown(ctx, func(c *client) {
		c.Close(&xmpp.StreamError{Condition: xmpp.StreamSystemShutdown})
		c.Interrupt()
	}, (*client).Abort)
	if s.crashed.Load() {
		return
	}
	s.layDown()
}

// changed ends the sessions of users who may no longer log in.
func (s *Server) changed(c directory.Change) {
	if c.Old == nil || c.New != nil && !c.New.Disabled && c.New.JID == c.Old.JID {
		return
	}
	s.Kick(c.Old.JID, accountGone)
}

// Kick ends sessions for good: of a full address one, of a bare address all of
// the account's. It returns how many.
func (s *Server) Kick(j xmpp.JID, err *xmpp.StreamError) int {
	a := s.opts.Router.Account(j)
	if a == nil {
		return 0
	}
	all := a.Sessions(nil)
	if j.IsFull() {
		all = slices.DeleteFunc(all, func(x *router.Session) bool { return x.JID() != j })
	}
	s.endAll(all, err)
	return len(all)
}

// client is one connection. It is what its session writes to.
type client struct {
	*stream.Conn
	srv     *Server
	domain  *directory.Domain // set by the first stream header
	from    xmpp.JID          // bare; whom the stream says it is from, before login
	strange bool              // the stream says that it is from what is no user's address
	user    *directory.User   // set by SASL
	lang    string            // of the stream, as the client declares it
	session *router.Session   // set by bind or resume
	batch   *feature.Batch
	info    router.Info
	peer    netip.Addr    // who is behind the address
	secured bool          // nobody can listen
	binding auth.Binding  // once secured: what SASL may bind to
	left    chan struct{} // closed when the reader has let go of the session
	parts   string        // token of the session that it is to part from
	parted  bool          // it has let go
	door    patience      // until it has logged in

	visitor *feature.Visitor // set by the first request before login
	visits  int              // how many there were
}

// errDone ends the reader without an error for the peer: everything has been said.
var errDone = errors.New("done")

func (c *client) run(begin func(*client) error) {
	s := c.srv
	defer s.door.Leave(c)
	c.allow(s.opts.LoginTimeout)
	defer c.loggedIn() // who does not log in counts as waiting to the end
	defer c.Finish()
	defer c.letGo()
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("a stream panicked", "panic", p, "stack", string(debug.Stack()))
			c.Close(&xmpp.StreamError{Condition: xmpp.StreamInternalServerError})
			if c.session != nil {
				s.end(c.session, nil)
			}
		}
	}()
	err := c.negotiate(begin)
	if err == nil {
		err = s.opts.Table.Serve(c.batch, c.Conn, c.take)
	}
	var se *xmpp.StreamError
	switch {
	case errors.As(err, &se):
		s.Stats.StreamErrors.Add(1)
		c.Close(se)
	case stream.IsTimeout(err) && c.session == nil && !c.Closing():
		c.Close(&xmpp.StreamError{Condition: xmpp.StreamConnectionTimeout, Text: "log in sooner"})
	}
	if c.session != nil {
		// Behind our own closing tag, the client's is the answer to that and no
		// wish to end the session.
		c.leave(err == xmpp.ErrStreamEnd && !c.Closing())
	}
}

// letGo says that the reader has done all it does for the session.
func (c *client) letGo() {
	c.srv.parting.done(c)
	close(c.left)
}

// leave parts from the session. A closed stream ends it, unless the server is
// stopping; a lost connection lets it wait for a resumption.
func (c *client) leave(closed bool) {
	if c.srv.crashed.Load() {
		return
	}
	if closed && !c.srv.door.Closed() {
		c.srv.end(c.session, nil)
		return
	}
	s := c.session
	c.srv.parting.add(s, c)
	waits, mine := s.Hibernate(c, func() { c.srv.end(s, nil) })
	switch {
	case waits:
		c.srv.opts.Table.Inactive(s)
	case mine:
		c.srv.end(s, nil)
	default: // somebody else has ended it
		c.srv.ended.note(s)
	}
}

// SetStream replaces the bounds for connections to come.
func (s *Server) SetStream(o *stream.Options) { s.stream.Store(o) }

// Crash ends all connections without a word and forgets the sessions, as the
// end of the process would. It is for tests.
func (s *Server) Crash() {
	s.crashed.Store(true)
	s.door.Shutdown(context.Background(), (*client).Abort, (*client).Abort)
}
