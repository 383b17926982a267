// Package featuretest is a server without sockets, for tests of features: a
// directory, a router, a history and a feature table that are real, and people
// whose connections remember what they hear.
package featuretest

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
	"confab/xmpp/xmpptest"
)

// House is the server. The domain example.com has the users romeo, juliet,
// alice, bob and carol, who is disabled; capulet.example has another juliet.
type House struct {
	*feature.Host
	Clock   *xmpptest.Clock
	Failing *storetest.Failing // the history, to make it fail
	Held    *storetest.Held    // the same, to hold its commits
	log     Log
}

// New makes a house with the features that list returns.
func New(t testing.TB, list func(h *feature.Host) []feature.Feature) *House {
	t.Helper()
	return Open(t, t.TempDir(), list)
}

// Open is New with the stores of an earlier house, if there are some in folder.
func Open(t testing.TB, folder string, list func(h *feature.Host) []feature.Feature) *House {
	t.Helper()
	open := func(name string) *bolt.DB {
		db, err := bolt.Open(filepath.Join(folder, name), bolt.Options{NoSync: true, InitialMmapSize: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	h := &House{Clock: new(xmpptest.Clock), Failing: storetest.Fail(open("archive.db"))}
	h.Held = storetest.Hold(h.Failing)
	state := open("state.db")
	d, err := directory.Open(context.Background(), state, directory.Options{Domains: []string{"example.com", "capulet.example"}, Clock: h.Clock})
	if err != nil {
		t.Fatal(err)
	}
	if d.Domain("example.com").Len() == 0 {
		users := []directory.NewUser{{Domain: "capulet.example", Local: "juliet"}, {Domain: "example.com", Local: "carol", Disabled: true}}
		for _, name := range []string{"romeo", "juliet", "alice", "bob"} {
			users = append(users, directory.NewUser{Domain: "example.com", Local: name})
		}
		if err := d.Add(context.Background(), users...); err != nil {
			t.Fatal(err)
		}
	}
	h.Host = &feature.Host{
		Clock: h.Clock, Directory: d, State: state,
		Router: router.New(router.Options{Clock: h.Clock}),
		Log:    slog.New(slog.NewTextHandler(&h.log, nil)),
		Keeper: &history{db: h.Held},
	}
	if _, err := feature.NewTable(h.Host, list(h.Host)...); err != nil {
		t.Fatal(err)
	}
	return h
}

// Logged returns what was logged.
func (h *House) Logged() string { return h.log.String() }

// Count returns the XEP-0198 count that is on disk for a session's token.
func (h *House) Count(t testing.TB, token string) string {
	t.Helper()
	var count string
	err := h.Held.View(context.Background(), func(tx store.Tx) error {
		count = string(tx.Get(spaceCount, []byte(token)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// ID returns the id of a user.
func (h *House) ID(bare string) directory.ID {
	u := h.Directory.User(xmpp.MustJID(bare))
	if u == nil {
		panic("featuretest: nobody is called " + bare)
	}
	return u.ID
}

// Log is a buffer that any goroutine may write to.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Person is a session of a user.
type Person struct {
	*router.Session
	Conn  *xmpptest.Conn
	house *House
	batch *feature.Batch
	test  testing.TB
}

// Connect binds a session.
func (h *House) Connect(t testing.TB, full string) *Person {
	t.Helper()
	j := xmpp.MustJID(full)
	p := &Person{Conn: new(xmpptest.Conn), house: h, test: t}
	var replaced *router.Session
	var err error
	if p.Session, replaced, err = h.Router.Bind(h.Directory.User(j), j, p.Conn, nil); err != nil {
		t.Fatal(err)
	}
	if replaced != nil {
		h.Table.End(replaced)
	}
	p.batch = h.Table.NewBatch(p.Session, "")
	h.Table.Bound(p.Session)
	return p
}

// Online is Connect, and the session is available.
func (h *House) Online(t testing.TB, full string) *Person {
	t.Helper()
	p := h.Connect(t, full)
	p.SetPresence(router.Presence{Available: true, Since: h.Now()})
	return p
}

// Sends takes stanzas as one read of the connection brings them.
func (p *Person) Sends(stanzas ...string) {
	p.test.Helper()
	for _, s := range stanzas {
		st, err := xmpp.Parse([]byte(s))
		if err != nil {
			p.test.Fatalf("%s: %v", s, err)
		}
		p.house.Table.Handle(p.batch, st)
	}
	p.house.Table.Commit(p.batch)
}

// Hears checks what the person has heard since the last call, in this order.
// How an element is written makes no difference.
func (p *Person) Hears(want ...string) {
	p.test.Helper()
	got := p.Conn.Left()
	if n := p.Conn.Waiting(); n != 0 {
		p.test.Errorf("%s: %d elements were never flushed", p.JID(), n)
	}
	if slices.Equal(canonical(p.test, got), canonical(p.test, want)) {
		return
	}
	p.test.Errorf("%s heard\n\t%q\nand should have heard\n\t%q", p.JID(), got, want)
}

func canonical(t testing.TB, stanzas []string) []string {
	t.Helper()
	out := make([]string, len(stanzas))
	for i, s := range stanzas {
		c, err := xmpptest.Canonical(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		out[i] = c
	}
	return out
}

// Eventually waits until a condition holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
