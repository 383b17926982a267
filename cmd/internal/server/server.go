// Package server puts a confab server together: settings become stores, a
// router, features and listeners. features.go is the list of what it can do.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"confab/aliasbridge"
	"confab/archive"
	"confab/archive/search"
	"confab/cmd/internal/admin"
	"confab/cmd/internal/api"
	"confab/cmd/internal/config"
	"confab/cmd/internal/logs"
	"confab/cmd/internal/metrics"
	"confab/muc"
	"confab/roster"
	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/c2s"
	"confab/xmpp/component"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/blocking"
	"confab/xmpp/feature/bytestreams"
	"confab/xmpp/feature/invite"
	"confab/xmpp/feature/notices"
	"confab/xmpp/feature/push"
	"confab/xmpp/feature/upload"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/stream"
	"confab/xmpp/web"
)

// Options are what a server needs besides its settings. The zero value will do.
type Options struct {
	Log     *slog.Logger
	Level   *slog.LevelVar // of Log, followed by a reload; may be nil
	Clock   xmpp.Clock
	Version string

	// Restarts says that the caller starts a server again whose Run has ended,
	// if Restarting reports so.
	Restarts bool

	// Reload reads the settings again, for Server.Reload.
	Reload func() (*config.Loaded, error)

	// Wrap, in tests, puts an engine around the archive's store, WrapState one around that of everything else.
	Wrap, WrapState func(store.DB) store.DB
}

// Server is a running confab.
type Server struct {
	opts     Options
	log      *logs.Bounded // behind opts.Log; nil for Offline
	settings atomic.Pointer[config.Loaded]
	certs    atomic.Pointer[config.Certificates]

	reloading sync.Mutex

	state, history store.DB
	directory      *directory.Directory
	auth           *auth.Auth
	archive        *archive.Archive
	index          *search.Index
	router         *router.Router
	aliases        *aliasbridge.Bridge
	rooms          *muc.Rooms
	roster         *roster.Roster
	notices        *notices.Notices
	table          *feature.Table
	host           *feature.Host
	streams        stream.Stats
	c2s            *c2s.Server
	components     *component.Server
	proxy          *bytestreams.Proxy
	web            *web.Server
	uploads        *upload.Uploads
	invites        *invite.Invites
	blocks         *blocking.Blocking
	push           *push.Push
	metrics        *http.Server
	api            api.Stats
	commits        *commits
	admin          *admin.Admin

	started time.Time
	stop    chan struct{}
	once    sync.Once
	crashed atomic.Bool
	restart atomic.Bool
	chores  feature.Gate // what housekeeping does

	listeners map[string][]net.Listener
	control   *admin.Socket
}

// New opens the data and the listeners of a server; nobody is served until Run.
func New(ctx context.Context, settings *config.Loaded, o Options) (s *Server, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = xmpp.SystemClock
	}
	bounded := logs.Bound(o.Log.Handler(), o.Clock)
	o.Log = slog.New(bounded)
	made := &Server{opts: o, log: bounded, started: o.Clock.Now(), stop: make(chan struct{}), listeners: map[string][]net.Listener{}}
	s = made
	s.settings.Store(settings)
	defer func() {
		if err != nil {
			made.close()
		}
	}()
	if err := s.loadCertificates(settings); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if err := s.assemble(); err != nil {
		return nil, err
	}
	if err := s.c2s.Restore(ctx); err != nil {
		return nil, err
	}
	return s, s.listen()
}

func (s *Server) loadCertificates(settings *config.Loaded) error {
	certs, err := config.LoadCertificates(settings.Settings)
	if err != nil {
		return err
	}
	s.certs.Store(certs)
	return nil
}

// open opens the stores and what lives in them.
func (s *Server) open(ctx context.Context) error {
	set := s.settings.Load()
	s.commits = newCommits()
	stores, err := admin.OpenStores(set.Settings, admin.StoreOptions{Committed: s.commits.note, Log: s.opts.Log})
	if err != nil {
		return err
	}
	s.state, s.history = stores.State, stores.History
	if s.opts.Wrap != nil {
		s.history = s.opts.Wrap(s.history)
	}
	if s.opts.WrapState != nil {
		s.state = s.opts.WrapState(s.state)
	}
	if s.directory, err = directory.Open(ctx, s.state, directory.Options{Domains: set.Domains, Clock: s.opts.Clock}); err != nil {
		return err
	}
	if s.auth, err = auth.Open(ctx, auth.Options{Store: s.state, Directory: s.directory, Iterations: set.Auth.Iterations, TokenLifetime: set.Auth.Tokens.Duration, TokenRotation: set.Auth.Rotation.Duration, Clock: s.opts.Clock}); err != nil {
		return err
	}
	s.index = s.newIndex()
	s.archive, err = archive.Open(ctx, s.history, archive.Options{Clock: s.opts.Clock, Log: s.opts.Log, Links: upload.Links, Index: s.index})
	return err
}

// assemble makes the way of the stanzas, from the streams to the store.
func (s *Server) assemble() error {
	set := s.settings.Load()
	s.router = router.New(router.Options{Clock: s.opts.Clock, MaxResources: set.Limits.Sessions, Queue: router.QueueLimits{Stanzas: set.Limits.ResumeStanzas, Total: int64(set.Limits.OutBuffers)}})
	s.host = &feature.Host{
		Clock: s.opts.Clock, Directory: s.directory, Router: s.router, State: s.state, Log: s.opts.Log,
		Keeper: s.archive.Keeper(),
	}
	var err error
	if s.table, err = feature.NewTable(s.host, s.features()...); err != nil {
		return err
	}
	if err := CheckComponents(set); err != nil {
		return err
	}
	s.c2s = c2s.New(c2s.Options{
		Directory: s.directory, Auth: s.auth, Router: s.router, Table: s.table, State: s.state,
		Stream: s.streamOptions(set), TLS: s.tlsConfig(),
		Clock: s.opts.Clock, Log: s.opts.Log,
		Handled:      s.handled,
		LoginTimeout: set.Limits.Login.Duration,
		Attempts:     set.Limits.LoginTries,
		Resume:       set.Session.Resume.Duration,
		Guard:        c2s.Guard{Failures: set.Limits.LoginFailures, Window: time.Minute},
	})
	if s.web, err = web.New(web.Options{Routes: s.routes(), TLS: s.tlsConfig(), Proxies: s.proxies, Log: s.opts.Log}); err != nil {
		return err
	}
	s.metrics = s.newMetrics()
	s.admin = &admin.Admin{
		Data: set.Data, Directory: s.directory, Auth: s.auth, Archive: s.archive, Rooms: s.rooms, Uploads: s.uploads, Invites: s.invites, Clock: s.opts.Clock,
		Portables: s.table.Portables(), Roster: s.roster, Notices: s.notices, State: s.state,
		Audit: &admin.Audit{Path: set.AuditLog()},
		Live: &admin.Live{
			Router: s.router, Started: s.started, Version: s.opts.Version,
			Kick: func(session *router.Session, text string) {
				s.c2s.Kick(session.JID(), &xmpp.StreamError{Condition: xmpp.StreamPolicyViolation, Text: text})
			},
			Listening: s.Listening, Counters: func() map[string]int64 { return metrics.Values(s.figures()) }, Commits: s.commits.status, Warnings: s.warnings, Reload: s.Reload, Stop: s.Stop,
		},
	}
	if s.opts.Restarts {
		s.admin.Live.Restart = func() { s.restart.Store(true); s.Stop() }
	}
	return nil
}

func (s *Server) streamOptions(set *config.Loaded) *stream.Options {
	o := &stream.Options{
		BeforeLogin: xmpp.Limits{Bytes: int(set.Limits.StanzaBeforeLogin)},
		AfterLogin:  xmpp.Limits{Bytes: int(set.Limits.Stanza)},
		OutLimit:    int(set.Limits.OutBuffer),
		OutTotal:    int64(set.Limits.OutBuffers),
		TLSTimeout:  set.Limits.TLSHandshake.Duration,
		Rate:        stream.Rate{Bytes: int(set.Limits.ByteRate), Stanzas: set.Limits.StanzaRate},
		Log:         s.opts.Log,
		Stats:       &s.streams,
	}
	o.Prepare()
	return o
}

func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 7590 §3.2 with RFC 8996
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := hello.ServerName
			if name == "" {
				name = s.settings.Load().Domains[0]
			}
			c := s.certs.Load().For(name)
			if c == nil {
				return nil, errors.New("no certificate")
			}
			stream.Certificate(hello, c)
			return c, nil
		},
	}
}

func (s *Server) handled(token string) (uint32, bool) {
	h, ok, err := s.archive.Count(context.Background(), token)
	if err != nil {
		s.opts.Log.Error("the count of a session could not be read", "error", err)
	}
	return h, ok
}

// Listener is a setting that names addresses to listen on.
type Listener struct {
	Setting   string
	Addresses []string
}

// Listeners are what settings have a server listen on.
func Listeners(set *config.Loaded) []Listener {
	return []Listener{
		{"listen.starttls", set.Listen.StartTLS}, {"listen.tls", set.Listen.TLS},
		{"listen.https", set.Listen.HTTPS}, {"listen.http", set.Listen.HTTP}, {"listen.component", set.ComponentListen()},
		{"listen.proxy", set.Listen.Proxy}, {"listen.metrics", set.Listen.Metrics},
	}
}

// listen opens all listeners, so that a port that is taken is told at once.
func (s *Server) listen() error {
	set := s.settings.Load()
	for _, l := range Listeners(set) {
		name := strings.TrimPrefix(l.Setting, "listen.")
		for _, a := range l.Addresses {
			n, err := net.Listen("tcp", a)
			if err != nil {
				return ListenError(l.Setting, err)
			}
			s.listeners[name] = append(s.listeners[name], n)
		}
	}
	var err error
	s.control, err = admin.Listen(set.ControlSocket())
	return err
}

// ListenError says what to do about a port that cannot be had.
func ListenError(setting string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %w: end the program that has the port ('ss -ltnp' tells which), or set %s to another", setting, err, setting)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %w: this machine does not have the address", setting, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: %w: ports below 1024 are for root; with systemd, AmbientCapabilities=CAP_NET_BIND_SERVICE lets confab have them", setting, err)
	}
	return fmt.Errorf("%s: %w", setting, err)
}

// Listening tells the addresses that are listened on, by the name of their setting.
func (s *Server) Listening() map[string][]string {
	m := map[string][]string{}
	for name, list := range s.listeners {
		for _, l := range list {
			m[name] = append(m[name], l.Addr().String())
		}
	}
	return m
}

// Admin is the table of operations on this server.
func (s *Server) Admin() *admin.Admin { return s.admin }

// Run serves until ctx is done or Stop is called, and closes everything.
func (s *Server) Run(ctx context.Context) error {
	if err := s.c2s.Begin(ctx); err != nil {
		return errors.Join(err, s.close())
	}
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	serve := func(what string, fn func() error) {
		wg.Go(func() {
			if err := fn(); err != nil && !errors.Is(err, net.ErrClosed) {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	for name, list := range s.listeners {
		for _, l := range list {
			serve("listen."+name, func() error { return s.serve(name, l) })
		}
	}
	serve("control socket", func() error { return s.control.Serve(s.admin) })
	work, rest := context.WithCancel(context.Background())
	defer rest()
	s.housekeeping(work)
	s.archive.Follow()

	var err error
	select {
	case <-ctx.Done():
	case <-s.stop:
	case err = <-failed:
	}
	s.opts.Log.Info("stopping")
	rest()
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// Whoever else makes this server speak ends first: what it says is to reach the sessions, which are laid down after that.
	s.closeDoors(grace)
	wg.Go(func() { s.web.Shutdown(grace) })
	wg.Go(func() { s.metrics.Shutdown(grace) })
	s.proxy.Shutdown(grace)
	s.c2s.Shutdown(grace)
	if !s.crashed.Load() {
		s.table.Stop()
	}
	s.control.Close(grace)
	s.chores.Close(grace)
	wg.Wait()
	return errors.Join(err, s.close())
}

// closeDoors ends the operations of administrators and the components. An operation that takes long, an export most likely,
// goes on for as long as there is something to read; should it still have anything to say, it is told that it comes too late.
func (s *Server) closeDoors(grace context.Context) {
	if !s.crashed.Load() {
		soon, cancel := context.WithTimeout(grace, 3*time.Second)
		defer cancel()
		s.admin.Live.Close(soon)
		s.rooms.Shutdown()
	}
	s.components.Shutdown(grace)
}

// serve serves on a listener, by the name of its setting.
func (s *Server) serve(name string, l net.Listener) error {
	switch name {
	case "https":
		return s.web.Serve(l)
	case "http":
		return s.web.ServePlain(l)
	case "metrics":
		return s.serveMetrics(l)
	case "component":
		return s.components.Serve(l)
	case "proxy":
		return s.proxy.Serve(l)
	}
	return s.c2s.Serve(l, name == "tls")
}

// Restarting reports whether Run ended in order to be started again.
func (s *Server) Restarting() bool { return s.restart.Load() }

// Stop ends Run.
func (s *Server) Stop() { s.once.Do(func() { close(s.stop) }) }

// Close ends a server that was never run.
func (s *Server) Close() error { return s.close() }

func (s *Server) close() error {
	var errs []error
	for _, list := range s.listeners {
		for _, l := range list {
			l.Close()
		}
	}
	if s.control != nil {
		s.control.Close(context.Background())
		s.control = nil
	}
	if s.archive != nil {
		s.archive.Unfollow()
	}
	if s.index != nil {
		errs = append(errs, s.index.Close())
		s.index = nil
	}
	if s.history != nil {
		errs = append(errs, s.history.Close())
		s.history = nil
	}
	if s.state != nil {
		errs = append(errs, s.state.Close())
		s.state = nil
	}
	if s.log != nil {
		s.log.Flush()
	}
	return errors.Join(errs...)
}

// housekeeping does once a day what need not be done sooner, until ctx is done.
func (s *Server) housekeeping(ctx context.Context) {
	const every = 24 * time.Hour
	s.opts.Clock.AfterFunc(time.Minute, func() { s.clean(ctx, every) })
	s.opts.Clock.AfterFunc(every, func() { s.remind(every) })
}

// remind tells the log what the administrator should know, as a start and a reload do: a certificate ends while all runs.
func (s *Server) remind(every time.Duration) {
	select {
	case <-s.stop:
		return
	default:
	}
	for _, text := range s.warnings() {
		s.opts.Log.Warn(text)
	}
	s.opts.Clock.AfterFunc(every, func() { s.remind(every) })
}

func (s *Server) clean(ctx context.Context, every time.Duration) {
	if ctx.Err() != nil || !s.chores.Enter() {
		return
	}
	defer s.chores.Leave()
	failed := func(text string, err error) {
		if ctx.Err() == nil { // else it goes on after the next start
			s.opts.Log.Error(text, "error", err)
		}
	}
	if err := s.archive.DropCountsBefore(ctx, s.opts.Clock.Now().Add(-7*24*time.Hour)); err != nil {
		failed("old counts could not be dropped", err)
	}
	if n, err := s.admin.GoOn(ctx); err != nil {
		failed("the history of somebody who was deleted could not be removed", err)
	} else if n > 0 {
		s.opts.Log.Info("removed the history of those who were deleted, which was interrupted", "users", n)
	}
	s.removeOld(ctx, failed)
	s.invites.Sweep(ctx)
	s.opts.Clock.AfterFunc(every, func() { s.clean(ctx, every) })
}

// removeOld removes the messages and the files that are older than archive.retention.
func (s *Server) removeOld(ctx context.Context, failed func(text string, err error)) {
	age := s.settings.Load().Archive.Retention.Duration
	if ok, err := s.archive.ClockHolds(ctx); err != nil {
		failed("how the clock goes could not be noted", err)
		age = 0
	} else if !ok && age > 0 {
		s.opts.Log.Warn("the clock has leapt by more than a week, or no server ran for so long: before it has gone on evenly for a week, no old messages and files are removed", "clock", s.opts.Clock.Now())
		age = 0
	}
	if age > 0 {
		if n, err := s.archive.Retain(ctx, age); err != nil {
			failed("old messages could not be removed", err)
		} else if n > 0 {
			s.opts.Log.Info("removed messages older than archive.retention", "messages", n)
		}
	}
	if n, err := s.uploads.Sweep(ctx, age); err != nil {
		failed("old files could not be removed", err)
	} else if n > 0 {
		s.opts.Log.Info("removed files that no message links any more", "files", n)
	}
}

// Crash ends a server as the end of its process would: nobody is told, nothing
// is written, and what the stores have is what there is. It is for tests.
func (s *Server) Crash() {
	s.crashed.Store(true)
	s.c2s.Crash()
	s.Stop()
}
