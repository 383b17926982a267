// Package web is the server's side towards browsers: HTTP/1.1 and HTTP/2 over
// TLS, or plain HTTP behind a reverse proxy that brings TLS. It knows nothing of
// XMPP; what there is to be had is routes of features.
//
// A plain request is answered only if it comes from a trusted proxy: nothing is
// served to people without TLS.
package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"confab/xmpp/accept"
	"confab/xmpp/feature"
)

// Bounds of what a client may cost.
const (
	// Timeout is how long reading a request, and how long writing its answer,
	// may take unless the handler gives itself more time.
	Timeout = 60 * time.Second

	headerTimeout  = 10 * time.Second // of the TLS handshake, too
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	maxStreams     = 32 // requests at a time on one HTTP/2 connection
)

// Options are what a server needs.
type Options struct {
	Routes []feature.Route
	TLS    *tls.Config
	// Proxies are the networks of reverse proxies that are believed; it is
	// asked at each request.
	Proxies    func() []netip.Prefix
	Handshakes int // of TLS at a time, of one subscriber a quarter; 0: 4096
	Log        *slog.Logger
}

// Stats counts what happens; every field may be read at any time.
type Stats struct {
	TLSFailures atomic.Int64
}

// Server serves HTTP. Its methods may be called at any time.
type Server struct {
	Stats Stats

	opts    Options
	waiting accept.Waiting // connections that are not secured
	mux     *http.ServeMux
	tls     *tls.Config
	http    *http.Server
}

// New makes a server. An error names the route that another one contradicts.
func New(o Options) (s *Server, err error) {
	if o.Handshakes == 0 {
		o.Handshakes = 4096
	}
	s = &Server{opts: o, mux: http.NewServeMux()}
	for _, r := range o.Routes {
		if err := s.handle(r); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	config.NextProtos = []string{"h2", "http/1.1"}
	s.tls = config.Clone() // net/http writes to its own
	s.http = &http.Server{
		Handler:           s,
		TLSConfig:         config,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       Timeout,
		WriteTimeout:      Timeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// What is said here is said of peers: scanners, most of them.
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// handle adds a route. http.ServeMux panics on patterns that are wrong or
// contradict each other.
func (s *Server) handle(r feature.Route) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("route %s: %v", r.Pattern, p)
		}
	}()
	s.mux.Handle(r.Pattern, r.Handler)
	return nil
}

// Serve serves HTTPS on a listener until Shutdown.
func (s *Server) Serve(l net.Listener) error { return ended(s.http.Serve(s.secure(l))) }

// ServePlain serves reverse proxies on a listener until Shutdown.
func (s *Server) ServePlain(l net.Listener) error { return ended(s.http.Serve(l)) }

func ended(err error) error {
	if err == http.ErrServerClosed {
		return nil
	}
	return err
}

// Shutdown closes the listeners and waits for the requests that are being
// answered, as long as ctx lets it. Connections that a handler has taken over
// are the handler's.
func (s *Server) Shutdown(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}

// ServeHTTP finds out who asks, and hands the request to its route.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	safe(w.Header())
	peer, refused := s.peer(r)
	if refused != "" {
		http.Error(w, refused, http.StatusForbidden)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), peerKey{}, peer))
	r.RemoteAddr = peer.Addr.String()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			s.opts.Log.Error("a handler panicked", "panic", p, "from", r.RemoteAddr, "method", r.Method, "route", r.Pattern, "stack", string(debug.Stack()))
			panic(http.ErrAbortHandler) // the connection ends, the process does not
		} else if p != nil {
			panic(p)
		}
	}()
	s.mux.ServeHTTP(w, r)
}

// safe sets headers by which a browser does nothing with an answer but show it.
// There is no Strict-Transport-Security: it would be true of all ports of the
// host, and the host is often the mail domain, whose web site is not ours.
func safe(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}
