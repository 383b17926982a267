package archive

import (
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/router"
	"confab/xmpp/store/storetest"
	"confab/xmpp/xmpptest"
)

// An address is bound between two deliveries: what the history is said to hold is not delivered, and all else is.
func TestBoundBetweenDeliveries(t *testing.T) {
	w := newAway(t)
	juliet, nurse := w.Online(t, "juliet@example.com/balcony"), w.Online(t, "alice@example.com/hall")
	w.says(juliet, "romeo@example.com", "0")
	w.held.Hold()
	done := make(chan error, 3)
	go func() { w.says(juliet, "romeo@example.com", "1"); done <- nil }()
	w.held.Await(1)
	var history string
	c, j := new(xmpptest.Conn), xmpp.MustJID("romeo@example.com/orchard")
	var s *router.Session
	go func() {
		done <- w.Table.Catchup(w.Directory.User(j), func(bound []byte) {
			history = string(bound)
			var err error
			if s, _, err = w.Router.Bind(w.Directory.User(j), j, c, nil); err != nil {
				t.Error(err)
				return
			}
			s.SetPresence(router.Presence{Available: true})
		})
	}()
	w.held.Await(2)
	go func() { w.says(nurse, "romeo@example.com", "2"); done <- nil }()
	w.held.Await(3)
	w.held.Release()
	for range 3 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	want := string(AppendMetadata(nil, TimeID(w.Now()), TimeID(w.Now())+1))
	if history != want {
		t.Errorf("the history is said to be %s, not %s", history, want)
	}
	hears(t, c, "2 ")

	// Nothing waits, neither for this session nor for the next.
	w.Table.End(s)
	next := w.Connect(t, "romeo@example.com/desk")
	next.Sends("<presence/>")
	w.says(juliet, "romeo@example.com", "3")
	hears(t, next.Conn, "3 ")
}

// A disk that is full does not keep people from logging in and reading.
func TestBoundWithAFullDisk(t *testing.T) {
	s := serve(t)
	juliet := s.Online(t, "juliet@example.com/balcony")
	juliet.Sends("<message to='romeo@example.com' type='chat'><body>1</body></message>")
	offline := NewOffline(s.Host, s.Archive)
	s.failing.Fail(storetest.ErrFull)
	var bound []string
	err := offline.Catchup(s.Directory.User(xmpp.MustJID("romeo@example.com")), func(b []byte) { bound = append(bound, string(b)) })
	if err != nil || len(bound) != 1 || !strings.Contains(bound[0], s.id(0)) {
		t.Errorf("%v, bound with %q", err, bound)
	}
	if !strings.Contains(s.Logged(), "not written down") {
		t.Error("nobody is told")
	}
}
