// Package component lets other programs speak for domains of their own: bridges
// to other networks, push services, bots (XEP-0114, jabber:component:accept).
//
// A component belongs to one mail domain and exists for no other. It writes for
// every address at its own domain and for nothing else: it never speaks as a
// user or as a service of ours. Stanzas go both ways by the same table of
// features as those of clients, so what passes between a user and a component is
// in the user's history before anybody gets it.
//
// Whoever comes with the secret is the component: an older connection is closed
// with <conflict/>, since it is most likely one that died without a word. When a
// component goes, who waits for an answer of it gets an error, and who was shown
// presence by it sees that go.
package component

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/accept"
	"confab/xmpp/feature"
	"confab/xmpp/stream"
)

// Component is a program that may connect.
type Component struct {
	Name   string // its domain, normalized
	Home   string // the mail domain that it belongs to
	Secret string
}

// Options are the settings of a Server.
type Options struct {
	Components []Component
	Stream     *stream.Options // prepared; its Rate is what one component may send. SetStream replaces it.
	Clock      xmpp.Clock
	Log        *slog.Logger

	LoginTimeout time.Duration // from accept to a good handshake; 0: 10 s
	Waiting      int           // connections without one, at a time, of one address a quarter; 0: 64, or eight for each component
}

// Stats counts what happens; every field may be read at any time.
type Stats struct {
	Connected  atomic.Int64
	Handshakes atomic.Int64
	Refused    atomic.Int64 // wrong secret, or no such component
	Sent       atomic.Int64 // stanzas to components
	Received   atomic.Int64 // stanzas of components
}

// Server takes the connections of components.
type Server struct {
	host   *feature.Host
	opts   Options
	stream atomic.Pointer[stream.Options]
	Stats  Stats

	outlets map[string]*outlet // by name
	order   []*outlet          // the same, sorted

	door    accept.Door[*link]
	waiting accept.Waiting // connections that have not shown who they are
}

// New makes the Server of a host. Its Feature has to be in the host's table.
func New(h *feature.Host, o Options) *Server {
	if o.LoginTimeout == 0 {
		o.LoginTimeout = 10 * time.Second
	}
	if o.Waiting == 0 {
		o.Waiting = max(64, 8*len(o.Components)) // all may come from one machine, and again before they have left
	}
	s := &Server{host: h, opts: o, outlets: map[string]*outlet{}}
	s.SetStream(o.Stream)
	for _, c := range o.Components {
		x := &outlet{Component: c, srv: s, place: make(chan struct{}, 1)}
		s.outlets[c.Name] = x
		s.order = append(s.order, x)
	}
	slices.SortFunc(s.order, func(a, b *outlet) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// SetStream replaces the bounds for connections to come.
func (s *Server) SetStream(o *stream.Options) { s.stream.Store(o) }

// Feature is the Server as the table takes it.
func (s *Server) Feature() feature.Feature {
	return feature.Feature{
		Name:       "component",
		Implements: []feature.XEP{feature.Implements(114, "1.6", feature.Complete, "jabber:component:accept")},
		Items:      s.items,
		Peer: func(domain string) feature.Peer {
			if o := s.outlets[domain]; o != nil {
				return o
			}
			return nil
		},
	}
}

// items names the components that are there (XEP-0030 §4).
func (s *Server) items(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Where != feature.Server {
		return dst, nil
	}
	for _, o := range s.order {
		if o.Home() == q.To.Domain() && o.Connected() {
			dst = append(xmpp.AppendAttr(append(dst, "<item"...), "jid", o.Name), "/>"...)
		}
	}
	return dst, nil
}

// Connected lists the components that are there, by name.
func (s *Server) Connected() []string {
	var names []string
	for _, o := range s.order {
		if o.Connected() {
			names = append(names, o.Name)
		}
	}
	return names
}

// Serve accepts connections until the listener is closed.
func (s *Server) Serve(l net.Listener) error {
	return s.door.Serve(l, s.opts.Log, s.take)
}

func (s *Server) take(nc net.Conn) {
	who := accept.SubscriberOf(nc.RemoteAddr())
	if !s.waiting.Enter(who, s.opts.Waiting) {
		nc.Close()
		return
	}
	if tc, ok := nc.(*net.TCPConn); ok {
		tc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4})
	}
	l := &link{Conn: stream.New(nc, s.stream.Load()), srv: s}
	// known ends the counting among those that have not shown who they are.
	known := sync.OnceFunc(func() { s.waiting.Leave(who) })
	if !s.door.Enter(l) {
		known()
		l.Abort()
		return
	}
	go l.run(known)
}

// Shutdown stops taking connections and closes the streams with
// <system-shutdown/>. It returns when all have ended, or ctx is done.
func (s *Server) Shutdown(ctx context.Context) {
	s.door.Shutdown(ctx, func(l *link) {
		l.Close(&xmpp.StreamError{Condition: xmpp.StreamSystemShutdown})
		l.Interrupt()
	}, (*link).Abort)
}
