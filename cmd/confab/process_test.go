package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
	"confab/cmd/internal/server"
)

// serveAlone makes the test binary a confab, so that there is a process of its own.
const serveAlone = "TEST_CONFAB_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveAlone) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a server of example.com that runs as a process of its own: it can
// be killed, and what it uses is not mixed with what its clients use.
type process struct {
	addr     string // of direct TLS
	env      []string
	settings *config.Settings
	ended    chan struct{} // closed when the server that was started last has ended
	log      *syncBuffer   // of that server
}

// newProcess prepares the data of a server; flags are settings besides the usual ones.
func newProcess(tb testing.TB, flags map[string]string) *process {
	tb.Helper()
	addr := quietPort(tb)
	all := map[string]string{
		"data": tb.TempDir(), "domains": "example.com", "listen-starttls": "", "listen-tls": addr, "listen-https": "off", "auth-iterations": "4096", "limits-tls-handshake": "2m",
	}
	maps.Copy(all, flags)
	source := config.Source{Flags: all}
	loaded, err := source.Load()
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := loaded.Prepare(time.Now()); err != nil {
		tb.Fatal(err)
	}
	p := &process{addr: addr, settings: loaded.Settings, env: append(os.Environ(), serveAlone+"=1")}
	for name, value := range all {
		p.env = append(p.env, "CONFAB_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+value)
	}
	return p
}

// quietPort finds a port that nobody is given who does not care which: a server that is started again and again has it
// each time.
func quietPort(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		addr := fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(10_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	tb.Fatal("no port is free")
	return ""
}

// offline opens the data while no server runs.
func (p *process) offline(tb testing.TB, fn func(*admin.Admin)) {
	tb.Helper()
	s, err := server.Offline(context.Background(), &config.Loaded{Settings: p.settings})
	if err != nil {
		tb.Fatal(err)
	}
	defer s.Close()
	fn(s.Admin())
}

// start runs the server until the test ends, or somebody kills it.
func (p *process) start(tb testing.TB) *exec.Cmd {
	tb.Helper()
	cmd := p.begin(tb)
	p.answers(tb)
	return cmd
}

// begin is start without waiting for the server.
func (p *process) begin(tb testing.TB) *exec.Cmd {
	tb.Helper()
	cmd := exec.Command(os.Args[0], "serve")
	cmd.Env = p.env
	p.log = new(syncBuffer)
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended = ended
	go func() { cmd.Wait(); close(ended) }()
	tb.Cleanup(func() { cmd.Process.Kill(); <-ended })
	return cmd
}

// answers waits until the server answers.
func (p *process) answers(tb testing.TB) {
	tb.Helper()
	p.await(tb, "the server does not answer", func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// await waits for something while the server runs.
func (p *process) await(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		select {
		case <-p.ended:
			tb.Fatalf("%s: the server ended:\n%s", what, p.log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatal(what)
		}
	}
}

// startAndKill runs the server and kills it after a while, however far it has come.
func (p *process) startAndKill(tb testing.TB, after time.Duration) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "serve")
	cmd.Env = p.env
	if err := cmd.Run(); err == nil {
		tb.Fatal("the server ended by itself")
	}
}
