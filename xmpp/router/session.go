package router

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// Conn is what a session writes to: a TCP stream, later a WebSocket or a BOSH
// session. Its methods may be called from any goroutine and never wait for the peer.
type Conn interface {
	// Append adds whole elements to the out buffer. idle says that nothing was
	// waiting there, so that Flush must be called for them to leave.
	Append(b []byte) (idle bool)
	// Flush starts the writing of what was appended.
	Flush()
	// Close ends the stream, with an error for the peer unless err is nil.
	// What was appended before is still written.
	Close(err *xmpp.StreamError)
}

// Flag is a bit of a session that belongs to a feature, such as "carbons are on".
type Flag uint32

// flags are the names of all flags, in the order of their bits.
var flags []string

// NewFlag makes a flag. Declare flags as package variables, before anything
// runs. Its name is that of the feature and what it says; by it the flag is
// found again after a restart.
func NewFlag(name string) Flag {
	if len(flags) == 32 || slices.Contains(flags, name) {
		panic("router: more than 32 session flags, or two of the name " + name)
	}
	flags = append(flags, name)
	return 1 << (len(flags) - 1)
}

// Presence is what a session last told the server of its availability
// (RFC 6121 §4).
type Presence struct {
	Available bool
	Priority  int8
	Show      string    // "", away, chat, dnd or xa
	Since     time.Time // of the last change
	// Stanza is the last presence broadcast, as it goes to contacts: stamped
	// with from and without to. It is never changed in place.
	Stanza []byte
}

// Session is a resource bound to an account (RFC 6120 §7). It outlives its
// connection while it can be resumed (XEP-0198).
type Session struct {
	jid     xmpp.JID
	user    directory.ID
	account *Account
	router  *Router
	bound   time.Time

	flags atomic.Uint32

	presence Presence // under account.mu

	mu    sync.Mutex
	conn  Conn // nil: hibernating or ended
	ended bool
	sm    management
	held  *held // nil: nothing is held back

	// Info says how the session is connected, for the administrator. It is
	// replaced, never changed, when the session is resumed.
	info atomic.Pointer[Info]
}

// Info describes a session's connection.
type Info struct {
	Remote    string // address of the peer
	Transport string // tcp, websocket or bosh
	TLS       string // protocol version and cipher suite
	Mechanism string // of SASL

	// What the client says of itself (XEP-0388 §2.3), for the account's owner
	// and the administrator alone: Agent is the id of the installation, a UUID.
	Agent, Software, Device string
}

// JID returns the session's full address.
func (s *Session) JID() xmpp.JID { return s.jid }

// User returns the id of the session's user.
func (s *Session) User() directory.ID { return s.user }

// Account returns the account that the session belongs to.
func (s *Session) Account() *Account { return s.account }

// Since says when the session was bound.
func (s *Session) Since() time.Time { return s.bound }

// Has reports whether a flag is set.
func (s *Session) Has(f Flag) bool { return s.flags.Load()&uint32(f) != 0 }

// Set sets a flag and reports whether it was clear before.
func (s *Session) Set(f Flag) bool { return s.flags.Or(uint32(f))&uint32(f) == 0 }

// Clear clears a flag and reports whether it was set before.
func (s *Session) Clear(f Flag) bool { return s.flags.And(^uint32(f))&uint32(f) != 0 }

// Info returns what is known of the session's connection.
func (s *Session) Info() Info {
	if i := s.info.Load(); i != nil {
		return *i
	}
	return Info{}
}

// SetInfo notes how the session is connected.
func (s *Session) SetInfo(i Info) { s.info.Store(&i) }

// Presence returns the session's presence. Inside Account.Each use PresenceLocked.
func (s *Session) Presence() Presence {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	return s.presence
}

// PresenceLocked returns the session's presence; only inside Account.Each.
func (s *Session) PresenceLocked() *Presence { return &s.presence }

// SetPresence replaces the session's presence and returns the one before.
func (s *Session) SetPresence(p Presence) Presence {
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	old := s.presence
	s.presence = p
	return old
}

// Alive reports whether the session is bound, hibernating or not.
func (s *Session) Alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended
}

// Connected reports whether the session has a connection at this moment.
func (s *Session) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}

// Send sends one whole stanza. With a batch, the stanza leaves when the batch
// is flushed; with nil, at once. A session that has ended drops it.
func (s *Session) Send(out *Batch, stanza []byte) { s.send(out, stanza, 0) }

// SendKept sends a message that is in the history under id, so that the
// session knows from where on its unacknowledged messages are to be found
// there. It reports false if the session has ended: then nobody got it.
func (s *Session) SendKept(out *Batch, stanza []byte, id uint64) bool {
	return s.send(out, stanza, id)
}

func (s *Session) send(out *Batch, stanza []byte, id uint64) bool {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return false
	}
	idle, overflow := false, false
	if s.held != nil {
		if id == 0 && s.hold(stanza) {
			s.mu.Unlock()
			return true
		}
		idle, overflow = s.release()
	}
	i, o := s.put(stanza, id)
	idle, overflow = idle || i, overflow || o
	c := s.conn
	s.mu.Unlock()
	if overflow {
		s.router.overflowed(s)
	}
	s.flush(out, c, idle)
	return true
}

// put appends a stanza to the connection and to what is unacknowledged. Call
// with s.mu held.
func (s *Session) put(stanza []byte, id uint64) (idle, overflow bool) {
	s.router.Stats.Sent.Add(1)
	overflow = !s.push(stanza, id)
	if c := s.conn; c != nil {
		idle = c.Append(stanza)
		if s.sm.wantsAck() {
			c.Append(requestAck)
			s.sm.asked(s.router.opts.Clock.Now())
		}
		s.armAsk()
	}
	return idle, overflow
}

// SendNonza sends an element that XEP-0198 does not count.
func (s *Session) SendNonza(b []byte) {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c != nil && c.Append(b) {
		c.Flush()
	}
}

// Close ends the session's stream with an error (nil: none). The reader of the
// connection then ends the session, or lets it hibernate.
func (s *Session) Close(err *xmpp.StreamError) {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		c.Close(err)
	}
}

// Bind makes a session (RFC 6120 §7). A session of the same resource, or one that
// nobody is connected to if there is no room, is handed back as replaced: it has left the table already, and the caller ends its
// stream with <conflict/> (§7.7.2.2). The client hears what greet returns, which
// tells it its address, before anything that is sent there, and when the session is
// in the table. greet gets the session before anybody else knows it, with the
// account locked; it may be nil.
func (r *Router) Bind(user *directory.User, full xmpp.JID, c Conn, greet func(*Session) []byte) (s, replaced *Session, err error) {
	d := r.Domain(full.Domain())
	s = &Session{jid: full, user: user.ID, router: r, conn: c, bound: r.opts.Clock.Now()}
	for again := true; again; {
		replaced, again, err = d.join(user, full).enter(s, greet)
	}
	if err != nil {
		return nil, nil, err
	}
	return s, replaced, nil
}

// enter makes s a session of the account, unless that has gone meanwhile.
func (a *Account) enter(s *Session, greet func(*Session) []byte) (replaced *Session, gone bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return nil, true, nil
	}
	if replaced, err = a.room(s.jid, s.router.opts.MaxResources); err != nil {
		return nil, false, err
	}
	s.account = a
	var hello []byte
	if greet != nil {
		hello = greet(s)
	}
	if replaced == nil || !a.remove(replaced) {
		s.router.Stats.Sessions.Add(1)
	}
	a.sessions = append(a.sessions, s)
	if greet != nil && s.conn.Append(hello) {
		s.conn.Flush()
	}
	return replaced, false, nil
}

// MayBind says what Bind would refuse at this moment.
func (r *Router) MayBind(full xmpp.JID) error {
	a := r.Account(full)
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.room(full, r.opts.MaxResources)
	return err
}

// room finds the session that has to leave for one more, if any has. Call with
// a.mu held.
func (a *Account) room(full xmpp.JID, max int) (replaced *Session, err error) {
	if replaced = a.find(full.Resource()); replaced != nil || len(a.sessions) < max {
		return replaced, nil
	}
	if replaced = a.longestLost(); replaced == nil {
		return nil, xmpp.NewError(xmpp.ResourceConstraint,
			fmt.Sprintf("this account has %d resources bound already, and no more are allowed", max))
	}
	return replaced, nil
}

func (d *Domain) join(user *directory.User, full xmpp.JID) *Account {
	local := full.Local()
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.accounts[local]
	if a == nil || a.User != user.ID { // who had the name before was deleted, and those sessions are about to end
		a = &Account{User: user.ID, JID: full.Bare(), Domain: d, at: len(d.order)}
		d.accounts[local] = a
		d.order = append(d.order, a)
	}
	return a
}

// longestLost returns the session that has waited longest for its client to come
// back, nil if none does. Call with a.mu held.
func (a *Account) longestLost() (lost *Session) {
	var since time.Time
	for _, s := range a.sessions {
		s.mu.Lock()
		if s.conn == nil && !s.ended && (lost == nil || s.sm.lostAt.Before(since)) {
			lost, since = s, s.sm.lostAt
		}
		s.mu.Unlock()
	}
	return lost
}

func (a *Account) remove(s *Session) bool {
	for i, have := range a.sessions {
		if have == s {
			a.sessions = append(a.sessions[:i:i], a.sessions[i+1:]...)
			return true
		}
	}
	return false
}

// End takes the session out of the table for good and returns what was sent to
// it and not acknowledged. Only the first call reports true. If the session has
// a connection still, or again, that is closed then, with an error for the peer
// unless why is nil: its client is no longer heard.
func (s *Session) End(why *xmpp.StreamError) (lost Unacknowledged, first bool) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return Unacknowledged{}, false
	}
	s.ended = true
	if s.conn == nil {
		s.router.Stats.Hibernating.Add(-1)
	}
	c := s.conn
	s.conn = nil
	s.forget()
	s.held = nil
	lost = s.sm.unacknowledged()
	s.router.Stats.Queued.Add(-int64(s.sm.weight()))
	token := s.sm.token
	s.sm.stop()
	s.mu.Unlock()
	if token != "" {
		s.router.resumable.Delete(token)
	}
	if c != nil {
		c.Close(why)
	}

	a, d := s.account, s.account.Domain
	d.mu.Lock()
	defer d.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.remove(s) {
		s.router.Stats.Sessions.Add(-1)
	}
	if len(a.sessions) == 0 && !a.gone {
		a.gone = true
		if d.accounts[a.JID.Local()] == a {
			delete(d.accounts, a.JID.Local())
		}
		last := len(d.order) - 1
		d.order[a.at] = d.order[last]
		d.order[a.at].at = a.at
		d.order[last] = nil
		d.order = d.order[:last]
	}
	return lost, true
}
