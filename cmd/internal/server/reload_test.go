package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/cmd/internal/config"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/xmpptest"
)

// reloadable is a server with settings that a test changes before a reload.
func reloadable(t *testing.T, flags map[string]string) (s *Server, change func(name, value string)) {
	t.Helper()
	var src config.Source
	s = newServer(t, Options{Reload: func() (*config.Loaded, error) { return src.Load() }}, flags)
	src.Flags = map[string]string{"data": s.settings.Load().Data}
	for _, f := range config.Fields(s.settings.Load().Settings) {
		if text := f.Text(); text != "" {
			src.Flags[f.Flag()] = text
		}
	}
	return s, func(name, value string) { src.Flags[name] = value }
}

// Of reloads at the same time the one that read its settings last decides.
func TestReloadsTakeTurns(t *testing.T) {
	var inside, read atomic.Int64
	var s *Server
	s = newServer(t, Options{Reload: func() (*config.Loaded, error) {
		defer inside.Add(-1)
		if inside.Add(1) > 1 {
			t.Error("two at once")
		}
		fresh := *s.settings.Load().Settings
		fresh.PubSub.Nodes = int(read.Add(1))
		return &config.Loaded{Settings: &fresh}, nil
	}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := s.Reload(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := s.settings.Load().PubSub.Nodes; int64(n) != read.Load() {
		t.Errorf("the settings in force are those of read %d, not %d", n, read.Load())
	}
}

// The limits that a reload changes are those of components, and of sessions that wait, too.
func TestReloadOfLimits(t *testing.T) {
	s, change := reloadable(t, map[string]string{
		"listen-component": "127.0.0.1:0", "components-accept": `[{name = "irc.example.com", secret = "0123456789abc"}]`,
	})
	change("limits-stanza-before-login", "1KiB")
	change("limits-out-buffer", "1MiB")
	change("limits-out-buffers", "1MiB")
	r, err := s.Reload(t.Context())
	if err != nil || len(r.Changed) != 2 || len(r.Restart) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}

	l := s.listeners["component"][0]
	go s.components.Serve(l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='irc.example.com'><handshake>%s</handshake>", strings.Repeat("0", 5000))
	if b, _ := io.ReadAll(bufio.NewReader(c)); !strings.Contains(string(b), "<policy-violation") { // it may be reset
		t.Errorf("a component heard %s", b)
	}

	j := xmpp.MustJID("juliet@example.com/balcony")
	session, _, err := s.router.Bind(&directory.User{ID: 8, JID: j.Bare(), Domain: j.Domain(), Local: j.Local()}, j, new(xmpptest.Conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := session.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		session.Send(nil, []byte("<message>"+strings.Repeat("x", 200<<10)+"</message>"))
	}
	tick, late := time.NewTicker(time.Millisecond), time.After(2*time.Minute)
	defer tick.Stop()
	for s.router.Stats.Overflowed.Load() == 0 {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("more is kept than limits.out_buffers")
		}
	}
}

// Who moves from a reverse proxy to listen.https needs web.url until the restart that opens it.
func TestReloadKeepsTheWebReachable(t *testing.T) {
	s, change := reloadable(t, map[string]string{"listen-https": "off", "listen-http": "127.0.0.1:0", "web-url": "https://chat.example.com"})
	change("listen-http", "off")
	change("listen-https", "127.0.0.1:0")
	change("web-url", "")
	r, err := s.Reload(t.Context())
	if err != nil || strings.Join(r.Changed, " ") != "" || strings.Join(r.Restart, " ") != "listen.https listen.http web.url" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := s.webURL("example.com"); got != "https://chat.example.com" {
		t.Errorf("the web side is at %q", got)
	}
}
