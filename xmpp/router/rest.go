package router

import (
	"errors"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store/record"
)

// Rest is a hibernating session at rest: what is to be kept of it over a restart
// of the server, apart from what features hold.
type Rest struct {
	Token  string
	User   directory.ID
	JID    xmpp.JID
	Bound  time.Time
	LostAt time.Time     // when its connection was lost
	Max    time.Duration // how long it waits from then on

	handled                uint32
	acked                  uint32
	total                  uint64
	keptStanzas, keptBytes int
	queue                  queue
	presence               Presence
	info                   Info
	flags                  []string
}

// Left is how long the session still waits for its client, at a time.
func (r *Rest) Left(now time.Time) time.Duration { return min(r.Max, r.Max-now.Sub(r.LostAt)) }

// CanResume reports whether the session could be resumed if it lost its connection now.
func (s *Session) CanResume() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sm.token != "" && !s.sm.full && !s.ended
}

// Weight is how much the session keeps of what is unacknowledged, in bytes.
func (s *Session) Weight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sm.weight()
}

// Rest lays a hibernating session down: it does not expire any more, and cannot
// be resumed until it was restored. It is not ok if the session is not
// hibernating, or cannot be resumed. What is sent to it from now on is lost.
func (s *Session) Rest() (r *Rest, ok bool) {
	presence := s.Presence()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.conn != nil || s.sm.full || s.sm.expired == nil {
		return nil, false
	}
	s.sm.expiry.Stop()
	s.sm.expired = nil
	r = &Rest{
		Token: s.sm.token, User: s.user, JID: s.jid, Bound: s.bound, LostAt: s.sm.lostAt, Max: s.sm.max,
		handled: s.sm.handled, acked: s.sm.acked, total: s.sm.total, keptStanzas: s.sm.keptStanzas, keptBytes: s.sm.keptBytes,
		presence: presence, info: s.Info(),
	}
	if s.sm.queue != nil {
		r.queue = *s.sm.queue
	}
	for i, name := range flags {
		if s.Has(1 << i) {
			r.flags = append(r.flags, name)
		}
	}
	return r, true
}

// Restore makes a session of one that was at rest, hibernating and silent. Until
// AwaitClient is called it cannot be resumed.
func (r *Router) Restore(rest *Rest, user *directory.User) *Session {
	s := &Session{jid: rest.JID, user: user.ID, router: r, bound: rest.Bound, presence: rest.presence}
	s.SetInfo(rest.info)
	for _, name := range rest.flags {
		for i, have := range flags {
			if have == name {
				s.Set(1 << i)
			}
		}
	}
	s.sm = management{
		on: true, token: rest.Token, max: rest.Max, handled: rest.handled, acked: rest.acked, total: rest.total,
		keptStanzas: rest.keptStanzas, keptBytes: rest.keptBytes, lostAt: rest.LostAt, naps: 1,
	}
	if len(rest.queue.sent) > 0 {
		s.sm.queue = &queue{rest.queue.data, rest.queue.sent}
	}
	stanzas := rest.queue.data
	for i, sent := range rest.queue.sent {
		if i >= rest.keptStanzas && isPresence(stanzas) {
			s.sm.seen++
		}
		stanzas = stanzas[sent.size:]
	}
	r.Stats.Queued.Add(int64(s.sm.weight()))
	d := r.Domain(rest.JID.Domain())
	for {
		a := d.join(user, rest.JID)
		a.mu.Lock()
		if !a.gone {
			s.account = a
			a.sessions = append(a.sessions, s)
			a.mu.Unlock()
			break
		}
		a.mu.Unlock()
	}
	r.resumable.Store(rest.Token, s)
	r.Stats.Sessions.Add(1)
	r.Stats.Hibernating.Add(1)
	return s
}

// AwaitClient lets a restored session be resumed for as long as it still waits;
// expired is as in Hibernate.
func (s *Session) AwaitClient(expired func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.conn != nil || s.sm.expired != nil {
		return
	}
	s.sm.expired = expired
	left := s.sm.max - s.router.opts.Clock.Now().Sub(s.sm.lostAt)
	s.armExpiry(max(0, min(left, s.sm.max)))
}

// Append appends the record of a session at rest.
func (r *Rest) Append(dst []byte) []byte {
	for _, text := range []string{r.Token, r.JID.String(), r.presence.Show, string(r.presence.Stanza), r.info.Remote, r.info.Transport,
		r.info.TLS, r.info.Mechanism, r.info.Agent, r.info.Software, r.info.Device} {
		dst = record.AppendString(dst, text)
	}
	available := uint64(0)
	if r.presence.Available {
		available = 1
	}
	for _, n := range []uint64{uint64(r.User), uint64(r.Bound.UnixMicro()), uint64(r.LostAt.UnixMicro()), uint64(r.Max),
		uint64(r.handled), uint64(r.acked), r.total, uint64(r.keptStanzas), uint64(r.keptBytes),
		available, uint64(uint8(r.presence.Priority)), uint64(r.presence.Since.UnixMicro())} {
		dst = record.AppendUint(dst, n)
	}
	dst = record.AppendStrings(dst, r.flags)
	dst = record.AppendUint(dst, uint64(len(r.queue.sent)))
	for _, sent := range r.queue.sent {
		dst = record.AppendUint(record.AppendUint(dst, uint64(sent.size)), sent.id)
	}
	return append(dst, r.queue.data...)
}

var errRest = errors.New("router: the record of a session is damaged")

// ParseRest reads what Append wrote, all of b.
func ParseRest(b []byte) (*Rest, error) {
	// How much of it is stanzas, which have no length of their own, is what stands before them.
	p := record.Read(b)
	_, stanzas := readRest(&p)
	if p.Failed() || stanzas > uint64(len(b)) {
		return nil, errRest
	}
	head := len(b) - int(stanzas)
	p = record.Read(b[:head])
	r, _ := readRest(&p)
	if !p.Done() || r.Token == "" || !r.JID.IsFull() {
		return nil, errRest
	}
	r.queue.data = append([]byte(nil), b[head:]...)
	return r, nil
}

// readRest reads all but the stanzas, and says how many bytes they have.
func readRest(p *record.Reader) (r *Rest, stanzas uint64) {
	moment := func() time.Time { return time.UnixMicro(int64(p.Uint())) }
	r = &Rest{Token: p.String()}
	r.JID, _ = xmpp.ParseJID(p.String()) // none is not a full one
	r.presence.Show = p.String()
	if stanza := p.String(); stanza != "" {
		r.presence.Stanza = []byte(stanza)
	}
	for _, text := range []*string{&r.info.Remote, &r.info.Transport, &r.info.TLS, &r.info.Mechanism, &r.info.Agent, &r.info.Software, &r.info.Device} {
		*text = p.String()
	}
	r.User = directory.ID(p.Uint())
	r.Bound, r.LostAt, r.Max = moment(), moment(), time.Duration(p.Uint())
	r.handled, r.acked, r.total = uint32(p.Uint()), uint32(p.Uint()), p.Uint()
	r.keptStanzas, r.keptBytes = int(p.Uint()), int(p.Uint())
	r.presence.Available = p.Uint() == 1
	r.presence.Priority = int8(uint8(p.Uint()))
	r.presence.Since = moment()
	r.flags = p.Strings()
	for n := p.Uint(); n > 0 && !p.Failed(); n-- {
		sent := sentStanza{size: int32(p.Uint()), id: p.Uint()}
		r.queue.sent = append(r.queue.sent, sent)
		stanzas += uint64(uint32(sent.size))
	}
	return r, stanzas
}
