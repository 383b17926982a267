package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"confab/cmd/internal/config"
	"confab/cmd/internal/dialogue"
	"confab/cmd/internal/server"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/xmpptest"
)

// TestDialogues plays every script of cmd/internal/server/testdata against a
// server of its own, on real sockets, with the whole command line.
func TestDialogues(t *testing.T) {
	dialogue.Run(t, "../internal/server/testdata", startWorld)
}

// overOthers are the dialogues that are played over other transports than TCP
// too: those in which much depends on it.
var overOthers = []string{"carbons", "csi", "delivery", "history", "presence", "resumption", "rooms"}

func TestDialoguesOverBOSH(t *testing.T) { playOver(t, dialogue.BOSH, overOthers...) }

// With the logins: what they can be bound to is as on TCP.
func TestDialoguesOverWebSocket(t *testing.T) {
	playOver(t, dialogue.WebSocket, append(overOthers, "invitations", "login", "sasl2")...)
}

func playOver(t *testing.T, port dialogue.Port, dirs ...string) {
	for _, dir := range dirs {
		t.Run(dir, func(t *testing.T) { dialogue.RunOver(t, "../internal/server/testdata/"+dir, port, startWorld) })
	}
}

// world is a server for a script.
type world struct {
	t         testing.TB
	settings  config.Source
	clock     *xmpptest.Clock
	server    *server.Server
	ended     chan error
	loaded    *config.Loaded
	wrap      func(store.DB) store.DB // around the history; may be nil
	wrapState func(store.DB) store.DB // around everything else; may be nil
	logged    atomic.Int64            // lines of the log
}

func startWorld(t testing.TB, s dialogue.Scene) dialogue.Server {
	w := &world{t: t, clock: new(xmpptest.Clock)}
	w.settings = config.Source{Flags: map[string]string{
		"data":                 t.TempDir(),
		"listen-starttls":      "127.0.0.1:0",
		"listen-tls":           "127.0.0.1:0",
		"listen-https":         "127.0.0.1:0",
		"auth-iterations":      "4096",
		"limits-tls-handshake": "2m",
	}}
	var domains []string
	for _, d := range s.Domains {
		domains = append(domains, d.Name)
	}
	w.settings.Flags["domains"] = strings.Join(domains, ",")
	var components []string
	for _, c := range s.Components {
		components = append(components, fmt.Sprintf("{name=%q, secret=%q, domain=%q}", c.Name, c.Secret, c.Home))
	}
	if len(components) > 0 {
		w.settings.Flags["listen-component"] = "127.0.0.1:0"
		w.settings.Flags["components-accept"] = "[" + strings.Join(components, ", ") + "]"
	}
	for _, set := range s.Settings {
		w.settings.Flags[strings.NewReplacer(".", "-", "_", "-").Replace(set.Key)] = set.Value
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.server != nil {
			if err := w.Stop(dialogue.Orderly); err != nil {
				t.Error(err)
			}
		}
	})
	w.populate(s)
	return w
}

func (w *world) populate(s dialogue.Scene) {
	w.t.Helper()
	a := w.server.Admin()
	for _, d := range s.Domains {
		for _, u := range d.Users {
			err := a.Directory.Add(context.Background(), directory.NewUser{
				Domain: d.Name, Local: u.Local, Name: u.Name, Groups: u.Groups, Hidden: u.Hidden, Admin: u.Admin,
			})
			if err != nil {
				w.t.Fatal(err)
			}
			user := a.Directory.Login(d.Name, u.Local)
			if err := a.Auth.SetPassword(context.Background(), user.ID, u.Password); err != nil {
				w.t.Fatal(err)
			}
			if u.Disabled {
				if err := a.Directory.Update(context.Background(), user.ID, func(u *directory.User) { u.Disabled = true }); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
}

func (w *world) Start() error {
	l, err := w.settings.Load()
	if err != nil {
		return err
	}
	if _, err := l.Prepare(time.Now()); err != nil {
		return err
	}
	w.loaded = l
	log := slog.New(slog.NewTextHandler(testLog{w}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := server.New(context.Background(), l, server.Options{Log: log, Clock: w.clock, Version: "test", Reload: w.settings.Load, Wrap: w.wrap, WrapState: w.wrapState, Restarts: true})
	if err != nil {
		return err
	}
	w.server, w.ended = s, make(chan error, 1)
	go func() { w.ended <- s.Run(context.Background()) }()
	return nil
}

func (w *world) Stop(how dialogue.How) error {
	if how == dialogue.Crash {
		w.server.Crash()
	} else {
		w.server.Stop()
	}
	w.server = nil
	select {
	case err := <-w.ended:
		return err
	case <-time.After(patience):
		return errors.New("the server did not stop")
	}
}

func (w *world) Addr(p dialogue.Port) string {
	name := map[dialogue.Port]string{dialogue.STARTTLS: "starttls", dialogue.DirectTLS: "tls", dialogue.Accept: "component",
		dialogue.WebSocket: "https", dialogue.BOSH: "https"}[p]
	return w.server.Listening()[name][0]
}

func (w *world) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(w.loaded.Data, "tls", "cert.pem"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		w.t.Fatalf("no certificate: %v", err)
	}
	return pool
}

func (w *world) Now() time.Time { return w.clock.Now() }

func (w *world) Advance(d time.Duration) { w.clock.Pass(d) }

func (w *world) Operate(stdin string, args ...string) (string, error) {
	var out, errOut bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &errOut, env: []string{"CONFAB_DATA=" + w.loaded.Data, "CONFAB_DOMAINS=" + w.settings.Flags["domains"]}}
	if code := a.run(context.Background(), args); code != exitOK {
		return out.String(), errors.New(strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// testLog is where the server's log goes.
type testLog struct{ *world }

func (l testLog) Write(b []byte) (int, error) {
	l.logged.Add(1)
	l.t.Logf("log: %s", bytes.TrimSpace(b))
	return len(b), nil
}

var _ dialogue.Server = (*world)(nil)
