package router_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/xmpptest"
)

var restFlag = router.NewFlag("test: rest")

// hibernating binds a session that can be resumed, sends it stanzas and loses its connection.
func hibernating(t *testing.T, r *router.Router, full string, stanzas ...string) *router.Session {
	t.Helper()
	return hibernatingUntil(t, r, full, nil, stanzas...)
}

// hibernatingUntil is hibernating; ended is closed when the session has expired.
func hibernatingUntil(t *testing.T, r *router.Router, full string, ended chan struct{}, stanzas ...string) *router.Session {
	t.Helper()
	j := xmpp.MustJID(full)
	c := new(xmpptest.Conn)
	s, _, err := r.Bind(&directory.User{ID: 7, JID: j.Bare(), Domain: j.Domain(), Local: j.Local()}, j, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnableManagement(10*time.Minute, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	for i, stanza := range stanzas {
		s.SendKept(nil, []byte(stanza), uint64(100+i))
	}
	expired := func() {
		s.End(nil)
		if ended != nil {
			close(ended)
		}
	}
	if waits, _ := s.Hibernate(c, expired); !waits {
		t.Fatal("the session does not wait")
	}
	return s
}

func TestSessionAtRest(t *testing.T) {
	clock := new(xmpptest.Clock)
	r := router.New(router.Options{Clock: clock})
	s := hibernating(t, r, "romeo@example.com/orchard", "<message/>", "<message id='2'/>")
	s.Set(restFlag)
	s.SetInfo(router.Info{Remote: "192.0.2.1:5", Software: "Gajim", Agent: "a"})
	s.SetPresence(router.Presence{Available: true, Priority: -3, Show: "dnd", Since: clock.Now().Truncate(time.Microsecond), Stanza: []byte("<presence/>")})
	s.Handled(5)
	_, token := s.Managed()
	rest, ok := s.Rest()
	if !ok {
		t.Fatal("the session does not rest")
	}
	if _, again := s.Rest(); again {
		t.Error("it rests twice")
	}
	record := rest.Append(nil)
	for n := range record {
		if _, err := router.ParseRest(record[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes pass for a record", n, len(record))
		}
	}
	read, err := router.ParseRest(record)
	if err != nil {
		t.Fatal(err)
	}

	clock.Pass(4 * time.Minute)
	next := router.New(router.Options{Clock: clock})
	user := &directory.User{ID: 7, JID: xmpp.MustJID("romeo@example.com"), Domain: "example.com", Local: "romeo"}
	back := next.Restore(read, user)
	if next.Resumable(token) != back || back.JID() != s.JID() || back.User() != 7 || !back.Has(restFlag) || back.Info() != s.Info() || !back.Since().Equal(s.Since().Truncate(time.Microsecond)) {
		t.Errorf("another session came back: %+v", back.Info())
	}
	if got, want := fmt.Sprintf("%v", back.Presence()), fmt.Sprintf("%v", s.Presence()); !back.Presence().Since.Equal(s.Presence().Since) || back.Presence().Priority != -3 || string(back.Presence().Stanza) != "<presence/>" {
		t.Errorf("its presence is %s, not %s", got, want)
	}
	if back.FirstUnacknowledged() != 100 || back.Weight() != s.Weight() || next.Stats.Queued.Load() != int64(s.Weight()) {
		t.Errorf("%d bytes from %d on are unacknowledged", back.Weight(), back.FirstUnacknowledged())
	}
	c := new(xmpptest.Conn)
	header := func(h uint32) []byte { return fmt.Appendf(nil, "<resumed h='%d'/>", h) }
	if err := back.Resume(c, 1, header); err != router.ErrNotResumable {
		t.Errorf("before it awaits its client: %v", err)
	}
	back.AwaitClient(func() { back.End(nil) })
	back.Send(nil, []byte("<presence id='later'/>"))
	if err := back.Resume(c, 1, header); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Left(), ""); !strings.HasPrefix(got, "<resumed h='5'/><message id='2'/><presence id='later'/>") {
		t.Errorf("heard %s", got)
	}
	clock.Pass(time.Hour)
	if !back.Alive() {
		t.Error("a session that was resumed has expired")
	}
}

func TestRestoredSessionExpires(t *testing.T) {
	clock := new(xmpptest.Clock)
	r := router.New(router.Options{Clock: clock})
	rest, _ := hibernating(t, r, "romeo@example.com/orchard").Rest()
	clock.Pass(9 * time.Minute)
	if left := rest.Left(clock.Now()); left != time.Minute {
		t.Errorf("%v are left, not a minute", left)
	}
	next := router.New(router.Options{Clock: clock})
	back := next.Restore(rest, &directory.User{ID: 7, JID: xmpp.MustJID("romeo@example.com"), Domain: "example.com", Local: "romeo"})
	ended := make(chan struct{})
	back.AwaitClient(func() { back.End(nil); close(ended) })
	clock.Pass(59 * time.Second)
	if !back.Alive() {
		t.Fatal("it expired too early")
	}
	clock.Pass(2 * time.Second)
	<-ended
	if n := next.Stats.Sessions.Load() + next.Stats.Hibernating.Load(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// What all sessions keep is bounded: the largest that hibernates goes first.
func TestLargestGoesFirst(t *testing.T) {
	clock := new(xmpptest.Clock)
	r := router.New(router.Options{Clock: clock, Queue: router.QueueLimits{Total: 100_000}})
	large := strings.Repeat("x", 20_000)
	small := hibernating(t, r, "romeo@example.com/small", large)
	gone := make(chan struct{})
	big := hibernatingUntil(t, r, "romeo@example.com/big", gone, large, large)
	c := new(xmpptest.Conn)
	j := xmpp.MustJID("juliet@example.com/connected")
	connected, _, err := r.Bind(&directory.User{ID: 8, JID: j.Bare(), Domain: j.Domain(), Local: j.Local()}, j, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := connected.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	connected.Send(nil, []byte(large))
	if !small.Alive() || !big.Alive() {
		t.Fatal("a session ended before the limit was passed")
	}
	connected.Send(nil, []byte(large))
	<-gone
	if !small.Alive() || !connected.Alive() || r.Stats.Overflowed.Load() != 1 {
		t.Errorf("small lives: %v, connected lives: %v, %d overflowed", small.Alive(), connected.Alive(), r.Stats.Overflowed.Load())
	}
	small.End(nil)
	if err := connected.Acknowledge(2); err != nil {
		t.Fatal(err)
	}
	if n := r.Stats.Queued.Load(); n != 0 {
		t.Errorf("%d bytes count as unacknowledged when nothing is", n)
	}
}

// A session in busy chat makes no garbage by keeping what is acknowledged soon.
func TestAcknowledgedLeavesNothing(t *testing.T) {
	r := router.New(router.Options{Clock: new(xmpptest.Clock)})
	s := hibernating(t, r, "romeo@example.com/orchard")
	stanza := []byte(strings.Repeat("x", 500))
	h := uint32(0)
	n := testing.AllocsPerRun(1000, func() {
		s.Send(nil, stanza)
		h++
		if err := s.Acknowledge(h); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0.5 { // the pool may be emptied meanwhile
		t.Errorf("%v allocations a stanza", n)
	}
}
