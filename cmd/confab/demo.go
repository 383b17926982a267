package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
	"confab/cmd/internal/server"
)

// demoUsers are the people of the demonstration.
var demoUsers = []admin.UserAddParams{
	{Address: "alice@localhost", Name: "Alice Archer", Groups: []string{"Sales"}},
	{Address: "bob@localhost", Name: "Bob Baker", Groups: []string{"Sales"}},
	{Address: "carol@localhost", Name: "Carol Carter", Groups: []string{"Workshop"}},
}

// demoAliases are their aliases.
var demoAliases = []admin.AliasCreateParams{
	{Address: "sales@localhost", Name: "Sales", Members: []string{"alice", "bob"}},
}

// demoSettings are those of the demonstration, as flags that were not given.
var demoSettings = map[string]string{
	"listen-starttls": "127.0.0.1:5222",
	"listen-tls":      "127.0.0.1:5223",
	"listen-https":    "127.0.0.1:5443",
	"log-level":       "warn",
}

// serveDemo runs a server on a folder that is removed at the end. Only flags
// count: the settings of a real server are not touched.
func (a *app) serveDemo(ctx context.Context, src config.Source) (err error) {
	dir, err := os.MkdirTemp("", "confab-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	flags := maps.Clone(demoSettings)
	maps.Copy(flags, src.Flags)
	flags["data"], flags["domains"] = dir, "localhost"
	l, err := config.Source{Flags: flags}.Load()
	if err != nil {
		return err
	}
	if _, err := l.Prepare(time.Now()); err != nil {
		return err
	}
	log, _ := newLog(a.err, l)
	s, err := server.New(ctx, l, server.Options{Log: log, Version: readBuild().Version})
	if err != nil {
		if errors.As(err, new(*net.OpError)) {
			a.note("A port is taken. Other ones: confab serve --demo --listen-starttls 127.0.0.1:15222 --listen-tls 127.0.0.1:15223 --listen-https 127.0.0.1:15443")
		}
		return err
	}
	people := make([]admin.User, len(demoUsers))
	for i, p := range demoUsers {
		p.Generate = true
		if people[i], err = admin.UserAdd.Call(ctx, s.Admin(), "demo", p, admin.Receiver[admin.None]{}); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	for _, p := range demoAliases {
		if _, err := admin.AliasCreate.Call(ctx, s.Admin(), "demo", p, admin.Receiver[admin.None]{}); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	a.explainDemo(l, people, s.Listening())
	return s.Run(ctx)
}

// explainDemo prints how to connect.
func (a *app) explainDemo(l *config.Loaded, people []admin.User, listening map[string][]string) {
	a.printf("A throw-away confab serves the domain localhost. Everything is forgotten when it ends: Ctrl-C.\n\n")
	w := tabwriter.NewWriter(a.out, 0, 0, 3, ' ', 0)
	row(w, "  address", "password", "name")
	for _, u := range people {
		row(w, "  "+u.Address, u.Password, u.Name)
	}
	_ = w.Flush()
	host, port := hostPort(listening["starttls"])
	how, channel := "trust", "STARTTLS"
	if len(listening["starttls"]) == 0 {
		host, port = hostPort(listening["tls"])
		how, channel = "direct", "direct TLS"
	}
	a.printf("\n  STARTTLS %s, direct TLS %s\n", cmp.Or(strings.Join(listening["starttls"], ", "), "off"), cmp.Or(strings.Join(listening["tls"], ", "), "off"))
	a.printf("  certificate (self-signed): %s\n", l.Path(l.TLS.Certificate[0]))
	a.printf(`
How to connect, for instance as alice:
  Profanity   /connect alice@localhost server %[1]s port %[2]s tls %[5]s
  Gajim       Add Account, alice@localhost, Advanced Settings: host %[1]s, port %[2]s, %[6]s;
              accept the certificate when asked
  Dino        have the system trust the certificate first, e.g. on Debian:
              sudo cp %[3]s /usr/local/share/ca-certificates/confab-demo.crt && sudo update-ca-certificates
  Psi, Pidgin connect server %[1]s, port %[2]s; accept the certificate
Everybody is in everybody's contact list already. Log in as bob in another client, and chat.
The alias sales@localhost is a contact, too: what carol writes to it reaches alice and bob.

The command line works on it, too, from another terminal:
  confab --data %[4]s status
  confab --data %[4]s user add dave --generate
  confab --data %[4]s alias add sales carol
  confab --data %[4]s alias create team alice bob carol --room
`, host, port, l.Path(l.TLS.Certificate[0]), l.Data, how, channel)
}

// hostPort is where a client on this machine connects to.
func hostPort(addresses []string) (host, port string) {
	if len(addresses) == 0 {
		return "127.0.0.1", "5222"
	}
	host, port, err := net.SplitHostPort(addresses[0])
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return host, port
}
