package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
)

func TestFirstRun(t *testing.T) {
	c := newCLI(t)
	r := c.run("", "config", "init")
	for _, want := range []string{"made the data folder " + c.dir, "self-signed", "admin@example.com", "password: ", "confab user add", "confab config dns"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("no %q in\n%s", want, r.err)
		}
	}
	if r := c.run("", "config", "init"); r.code != exitOK || r.err != "there is data in "+c.dir+" already: no account was added\n" {
		t.Errorf("the second time: %+v", r)
	}
	c.ok("", "config", "check")
	c.env = []string{"CONFAB_DATA=" + c.dir} // what the first start was told is in the file
	if got := c.ok("", "user", "list", "--json"); !strings.Contains(got, "admin@example.com") {
		t.Errorf("got %s", got)
	}
}

// A first start that finds its port taken has made the account, and says how to
// have another port; there is no second first start.
func TestFirstStartOnATakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, setting := range []string{"starttls", "metrics"} {
		c := newCLI(t)
		flag := []string{"--listen-" + setting, taken.Addr().String()}
		r := c.run("", append([]string{"serve"}, flag...)...)
		if r.code != exitFailed || !strings.Contains(r.err, "password: ") || !strings.Contains(r.err, "or set listen."+setting+" to another") {
			t.Errorf("exit code %d\n%s", r.code, r.err)
		}
		if got := c.ok("", "user", "list", "--json"); !strings.Contains(got, "admin@example.com") {
			t.Errorf("users: %s", got)
		}
		c.fails(exitUsage, "or set listen."+setting+" to another", append([]string{"config", "check"}, flag...)...)
	}
}

// A first start that fails before there is an account is no start: the next one is the first.
func TestFirstStartThatFails(t *testing.T) {
	c := newCLI(t)
	inTheWay := filepath.Join(c.dir, "archive.db")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	c.fails(exitFailed, "archive.db", "config", "init")
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	c.ok("", "config", "init")
	if got := c.ok("", "user", "list", "--json"); !strings.Contains(got, "admin@example.com") {
		t.Errorf("users: %s", got)
	}
}

func TestCommandsBeforeTheFirstRun(t *testing.T) {
	c := newCLI(t)
	c.fails(exitNotFound, "confab config init", "user", "list")
	c.fails(exitNotRunning, "confab serve", "status")
	if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
		t.Errorf("the data folder was made: %v", err)
	}
	c.env = c.env[:1]
	c.fails(exitUsage, "--domains example.com", "serve")
}

func TestStatusReloadStop(t *testing.T) {
	c := initialized(t)
	c.serve()
	c.await("a warning in the log", func() bool { return strings.Contains(c.log.String(), "self-signed") })
	s := lines[admin.Status](t, c.ok("", "status", "--json"))[0]
	if s.PID != os.Getpid() || len(s.Domains) != 1 || s.Domains[0].Users != 1 || len(s.Listening["tls"]) != 1 {
		t.Errorf("status: %+v", s)
	}
	if got := c.ok("", "status"); !strings.Contains(got, "1 users, 0 online") || !strings.Contains(got, "self-signed") {
		t.Errorf("status: %s", got)
	}

	file := filepath.Join(c.dir, config.FileName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	changed := strings.Replace(string(text), `#level = "info"`, `level = "debug"`, 1)
	changed = strings.Replace(changed, `#format = "text"`, `format = "json"`, 1)
	write(changed)
	r := lines[admin.Reloaded](t, c.ok("", "reload", "--json"))[0]
	if strings.Join(r.Changed, " ") != "log.level" || strings.Join(r.Restart, " ") != "log.format" {
		t.Errorf("reload: %+v", r)
	}
	write("nonsense = 1\n")
	c.fails(exitUsage, "confab.toml:1:1: there is no setting nonsense", "status")
	write(changed)
	if err := os.Truncate(filepath.Join(c.dir, "tls", "cert.pem"), 0); err != nil {
		t.Fatal(err)
	}
	c.fails(exitFailed, "cert.pem", "reload")
	c.ok("", "status")

	if got := c.ok("", "stop"); got != "stopped\n" {
		t.Errorf("stop: %q", got)
	}
	c.fails(exitNotRunning, "no server runs", "status")
}

// A socket that a crash left behind stands in nobody's way.
func TestStaleSocket(t *testing.T) {
	c := initialized(t)
	path := filepath.Join(c.dir, "control.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	c.ok("", "user", "list")
	c.serve()
	c.ok("", "status")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Somebody holds the data but does not answer.
func TestDataHeldByAnother(t *testing.T) {
	c := initialized(t)
	l, err := config.Source{Env: c.env}.Load()
	if err != nil {
		t.Fatal(err)
	}
	stores, err := admin.OpenStores(l.Settings, admin.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	c.fails(exitConflict, "state.db is held by ", "user", "list")
}

func TestSecondServer(t *testing.T) {
	c := initialized(t)
	c.serve()
	c.fails(exitConflict, "is held by ", "serve")
	c.ok("", "status") // the first has its socket still
}

func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out, errOut syncBuffer
	done := make(chan int, 1)
	go func() {
		a := &app{in: strings.NewReader(""), out: &out, err: &errOut, env: []string{"CONFAB_DOMAINS=example.com"}}
		done <- a.run(ctx, []string{"serve", "--demo", "--listen-starttls", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--listen-https", "127.0.0.1:0", "--auth-iterations", "4096"})
	}()
	c := &cli{T: t}
	c.await("the demo's words", func() bool { return strings.Contains(out.String(), "user add dave") || len(done) > 0 })
	for _, want := range []string{"alice@localhost", "bob@localhost", "carol@localhost", "Profanity", "Gajim", "tls trust"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s%s", want, out.String(), errOut.String())
		}
	}
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), "confab-demo-*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("folders %q, %v", folders, err)
	}
	there := []string{"--data", folders[0], "--config", filepath.Join(folders[0], "confab.toml")}
	c.ok("", append(there, "status")...)
	c.ok("", append(there, "stop")...)
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d\n%s", code, errOut.String())
	}
	if _, err := os.Stat(folders[0]); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}
