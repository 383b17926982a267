package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/cmd/internal/admin"
)

// patience is how long a test waits for what has to come. On a machine that does much besides, all takes long.
const patience = 2 * time.Minute

// cli runs command lines on a data folder of its own.
type cli struct {
	*testing.T
	dir string
	env []string
	log *syncBuffer // of the server that was started last
}

func newCLI(t *testing.T) *cli {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	return &cli{T: t, dir: dir, env: []string{
		"CONFAB_DATA=" + dir, "CONFAB_DOMAINS=example.com", "CONFAB_AUTH_ITERATIONS=4096", "CONFAB_LIMITS_TLS_HANDSHAKE=2m",
		"CONFAB_LISTEN_STARTTLS=127.0.0.1:0", "CONFAB_LISTEN_TLS=127.0.0.1:0", "CONFAB_LISTEN_HTTPS=127.0.0.1:0",
	}}
}

// initialized is newCLI after config init.
func initialized(t *testing.T) *cli {
	t.Helper()
	c := newCLI(t)
	c.ok("", "config", "init")
	return c
}

// result is what a command line did.
type result struct {
	out, err string
	code     int
}

func (c *cli) run(in string, args ...string) result {
	c.Helper()
	var out, errOut bytes.Buffer
	a := &app{in: strings.NewReader(in), out: &out, err: &errOut, env: c.env}
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	code := a.run(ctx, args)
	return result{out.String(), errOut.String(), code}
}

// ok runs a command line that has to succeed and returns its output.
func (c *cli) ok(in string, args ...string) string {
	c.Helper()
	r := c.run(in, args...)
	if r.code != exitOK {
		c.Fatalf("confab %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// fails runs a command line that has to fail with a code and words that help.
func (c *cli) fails(code int, words string, args ...string) {
	c.Helper()
	r := c.run("", args...)
	if r.code != code || !strings.Contains(r.err, words) {
		c.Errorf("confab %s: exit code %d, want %d\n%s\nwant %q", strings.Join(args, " "), r.code, code, r.err, words)
	}
}

// serve starts a server on the data folder. It stops when the test ends, or
// when the function that is returned is called.
func (c *cli) serve() (stop func()) {
	c.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := new(syncBuffer)
	c.log = out
	done := make(chan int, 1)
	go func() {
		a := &app{in: strings.NewReader(""), out: out, err: out, env: c.env}
		done <- a.run(ctx, []string{"serve"})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if code := <-done; code != exitOK {
			c.Errorf("serve: exit code %d\n%s", code, out.String())
		}
	})
	c.Cleanup(stop)
	c.await("the server", func() bool {
		client, err := admin.Dial(ctx, filepath.Join(c.dir, "control.sock"))
		if err != nil {
			select {
			case code := <-done:
				done <- code
				c.Fatalf("serve: exit code %d\n%s", code, out.String())
			default:
			}
			return false
		}
		client.Close()
		return true
	})
	return stop
}

// await polls until a condition holds.
func (c *cli) await(what string, condition func() bool) {
	c.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			c.Fatalf("%s: waited in vain", what)
		}
	}
}

// syncBuffer is a buffer that a server writes while a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lines decodes a line of JSON each.
func lines[T any](t *testing.T, text string) []T {
	t.Helper()
	var list []T
	for dec := json.NewDecoder(strings.NewReader(text)); dec.More(); {
		var v T
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		list = append(list, v)
	}
	return list
}

// bothWays runs a test on the data itself, and on a running server.
func bothWays(t *testing.T, fn func(t *testing.T, c *cli)) {
	t.Run("offline", func(t *testing.T) { fn(t, initialized(t)) })
	t.Run("online", func(t *testing.T) {
		c := initialized(t)
		c.serve()
		fn(t, c)
	})
}

func (c *cli) file(name, text string) string {
	c.Helper()
	path := filepath.Join(c.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.Fatal(err)
	}
	return path
}
