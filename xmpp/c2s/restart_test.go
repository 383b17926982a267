package c2s

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/xmpptest"
)

// rests makes sessions that wait for their clients, each with something unacknowledged.
func rests(t testing.TB, d *door, n, size int) {
	t.Helper()
	user := d.Directory.User(xmpp.MustJID("romeo@example.com"))
	body := strings.Repeat("x", size)
	for i := range n {
		u := directory.User{ID: user.ID, Domain: user.Domain, Local: fmt.Sprintf("romeo%d", i)}
		u.JID = xmpp.MustJID(u.Local + "@example.com")
		full, err := u.JID.WithResource("x")
		if err != nil {
			t.Fatal(err)
		}
		c := new(xmpptest.Conn)
		s, _, err := d.Router.Bind(&u, full, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.EnableManagement(10*time.Minute, func(string) []byte { return nil }); err != nil {
			t.Fatal(err)
		}
		s.Send(nil, []byte("<message><body>"+body+"</body></message>"))
		if waits, _ := s.Hibernate(c, func() { d.Table.End(s) }); !waits {
			t.Fatal("a session does not wait")
		}
	}
}

func records(t testing.TB, d *door) (n, bytes int) {
	t.Helper()
	err := d.State.View(context.Background(), func(tx store.Tx) error {
		for _, v := range tx.Scan(space, store.Range{}) {
			n++
			bytes += len(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, bytes
}

// Ten thousand sessions are laid down and rise again: in a few transactions, in
// bounded space, and only once.
func TestManySessionsRest(t *testing.T) {
	const many = 10_000
	d := open(t)
	rests(t, d, many, 300)
	d.layDown()
	n, bytes := records(t, d)
	if n != many || bytes > many*1000 {
		t.Errorf("%d records, %d bytes", n, bytes)
	}

	// Another server on the same data. Its users are not those of the
	// directory, so all sessions end: that is what has to be side by side.
	next := New(d.opts)
	next.opts.Router = router.New(router.Options{Clock: d.Clock})
	if err := next.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := next.opts.Router.Stats.Hibernating.Load(); got != many {
		t.Errorf("%d sessions are back", got)
	}
	if n, _ := records(t, d); n != many {
		t.Errorf("before the server serves %d records are left", n)
	}
	if err := next.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _ := records(t, d); n != 0 {
		t.Errorf("when the server serves %d records are left", n)
	}
	if got := next.opts.Router.Stats.Sessions.Load(); got != 0 {
		t.Errorf("%d sessions of users who are no more are left", got)
	}
}

func TestRestIsBounded(t *testing.T) {
	d := open(t)
	rests(t, d, 100, 1<<20-100)
	d.layDown()
	n, bytes := records(t, d)
	if n == 0 || n > restTotal>>20 || bytes > restTotal+restTotal/10 {
		t.Errorf("%d records, %d bytes", n, bytes)
	}
	if left := d.Router.Stats.Sessions.Load(); left != int64(n) {
		t.Errorf("%d sessions did not end, and %d are kept", left, n)
	}
}

func TestUnknownLayout(t *testing.T) {
	d := open(t)
	rests(t, d, 2, 10)
	d.layDown()
	err := d.State.Update(t.Context(), func(tx store.Tx) error {
		for k, v := range tx.Scan(space, store.Range{Limit: 1}) {
			return tx.Put(space, k, append([]byte{layout + 1}, v[1:]...))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	next := New(d.opts)
	next.opts.Router = router.New(router.Options{Clock: d.Clock})
	if err := next.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := next.opts.Router.Stats.Sessions.Load(); got != 1 {
		t.Errorf("%d sessions are back", got)
	}
}
