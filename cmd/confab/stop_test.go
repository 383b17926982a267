package main

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/dialogue"
	"confab/xmpp/store"
)

// lastly is a store that says when it is about to be closed.
type lastly struct {
	store.DB
	do func()
}

func (l *lastly) Close() error {
	l.do()
	return l.DB.Close()
}

// Between the laying down of the sessions and the end, nothing comes into the history: who resumes would not hear of it.
func TestNothingIsSaidWhenTheSessionsAreLaidDown(t *testing.T) {
	db := &lastly{do: func() {}}
	w := promised(t, func(inner store.DB) store.DB { db.DB = inner; return db })
	juliet := mustOnline(t, w.Addr(dialogue.DirectTLS), "juliet")
	juliet.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
	enabled, err := juliet.await("enabled")
	if err != nil {
		t.Fatal(err)
	}
	a := w.server.Admin()
	if n, err := a.Notices.Announce("example.com", "in time"); n != 1 || err != nil {
		t.Fatalf("an announcement reached %d, %v", n, err)
	}
	juliet.conn.Close() // she would not close her stream
	tried := false
	db.do = func() {
		tried = true
		if n, err := a.Notices.Announce("example.com", "too late"); n != 0 || err == nil {
			t.Errorf("an announcement that came too late was taken for %d, %v", n, err)
		}
		for _, op := range []string{"status", "announce"} {
			if _, err := a.Do(context.Background(), admin.Request{Operation: op}, admin.Output{}); admin.CodeOf(err) != admin.NotRunning {
				t.Errorf("%s when the server stops: %v", op, err)
			}
		}
	}
	if err := w.Stop(dialogue.Orderly); err != nil {
		t.Fatal(err)
	}
	if !tried {
		t.Fatal("the history was not closed")
	}
	db.do = func() {}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	if _, texts := w.kept(t, "juliet"); len(texts) != 1 || texts[0] != "in time" {
		t.Errorf("the history has %q", texts)
	}
	back, err := login(w.Addr(dialogue.DirectTLS), "example.com", "juliet", "pw-juliet")
	if err != nil {
		t.Fatal(err)
	}
	defer back.conn.Close()
	back.send("<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + enabled.attr("id") + "'/>")
	if _, err := back.await("resumed"); err != nil {
		t.Fatal(err)
	}
	back.hears(t, "in time")
}

// A restart is over when the server is back, and fails if it does not come.
func TestRestartWaitsForTheServer(t *testing.T) {
	p := newProcess(t, nil)
	p.start(t)
	c := &cli{T: t, dir: p.settings.Data, env: p.env}
	started := func() time.Time { return lines[admin.Status](t, c.ok("", "status", "--json"))[0].Started }
	before := started()
	if got := c.ok("", "restart"); got != "restarted\n" || !started().After(before) {
		t.Errorf("got %q, started %v, before that %v", got, started(), before)
	}
	if err := os.WriteFile(p.settings.Path(p.settings.TLS.Certificate[0]), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.fails(exitFailed, "the server did not come back", "restart")
	<-p.ended
}

// working is a store on which an update, once it is asked to, takes until somebody ends it.
type working struct {
	store.DB
	slow          atomic.Bool
	begun, closed chan struct{}
}

func (w *working) Update(ctx context.Context, fn func(store.Tx) error) error {
	if w.slow.CompareAndSwap(true, false) {
		close(w.begun)
		select {
		case <-ctx.Done():
		case <-w.closed:
		}
	}
	return w.DB.Update(ctx, fn)
}

func (w *working) Close() error {
	defer close(w.closed)
	return w.DB.Close()
}

// A server that ends while it removes what is old leaves the rest for the next time, and complains of nothing.
func TestStopWhileCleaning(t *testing.T) {
	db := &working{begun: make(chan struct{}), closed: make(chan struct{})}
	w := promised(t, func(inner store.DB) store.DB { db.DB = inner; return db })
	db.slow.Store(true)
	cleaned := make(chan struct{})
	go func() { w.clock.Pass(time.Minute); close(cleaned) }()
	<-db.begun
	before := w.logged.Load()
	if err := w.Stop(dialogue.Orderly); err != nil {
		t.Fatal(err)
	}
	<-cleaned
	if n := w.logged.Load() - before; n != 0 {
		t.Errorf("%d lines in the log", n)
	}
	db.begun, db.closed = make(chan struct{}), make(chan struct{})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
}
