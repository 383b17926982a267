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

const ask = "<r xmlns='urn:xmpp:sm:3'/>"

// managed makes a session that can be resumed for a minute, and a clock. A
// queue of 5 stanzas or 100 bytes is kept for it.
func managed(t *testing.T) (*router.Router, *router.Session, *xmpptest.Conn, *xmpptest.Clock) {
	t.Helper()
	clock := new(xmpptest.Clock)
	r := router.New(router.Options{Clock: clock, Queue: router.QueueLimits{Stanzas: 5, Bytes: 100}})
	s, c := bind(t, r, "orchard")
	if err := s.EnableManagement(time.Minute, func(string) []byte { return []byte("<enabled/>") }); err != nil {
		t.Fatal(err)
	}
	left(t, c, "<enabled/>")
	return r, s, c, clock
}

// left checks what has left on a connection since it was looked at last.
func left(t *testing.T, c *xmpptest.Conn, want ...string) {
	t.Helper()
	if got := strings.Join(c.Left(), ""); got != strings.Join(want, "") {
		t.Errorf("%s left, not %s", got, strings.Join(want, ""))
	}
}

func send(s *router.Session, stanzas ...string) {
	for _, stanza := range stanzas {
		s.Send(nil, []byte(stanza))
	}
}

func header(handled uint32) []byte { return fmt.Appendf(nil, "<resumed h='%d'/>", handled) }

// hibernate lets a session lose its connection; the channel says when nobody
// waits for it any more.
func hibernate(t *testing.T, s *router.Session, c router.Conn) <-chan struct{} {
	t.Helper()
	expired := make(chan struct{})
	if waits, mine := s.Hibernate(c, func() { close(expired) }); !waits || !mine {
		t.Fatalf("waits: %v, mine: %v", waits, mine)
	}
	return expired
}

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
}

func closedWith(t *testing.T, c *xmpptest.Conn, want xmpp.StreamCondition) {
	t.Helper()
	if err, closed := c.Closed(); !closed || err == nil || err.Condition != want {
		t.Errorf("closed: %v, with %v, not %s", closed, err, want)
	}
}

func TestEnable(t *testing.T) {
	r, s, c, _ := managed(t)
	on, token := s.Managed()
	if !on || token == "" || r.Resumable(token) != s {
		t.Errorf("on: %v, token: %q", on, token)
	}
	if err := s.EnableManagement(0, nil); err != router.ErrManaged {
		t.Errorf("again: %v", err)
	}
	left(t, c)

	other, _ := bind(t, r, "balcony")
	if n := other.Handled(1); n != 0 {
		t.Errorf("counted before it was asked for: %d", n)
	}
	if err := other.EnableManagement(0, func(token string) []byte { return []byte(token) }); err != nil {
		t.Fatal(err)
	}
	if on, token := other.Managed(); !on || token != "" {
		t.Errorf("without resumption: %v, token %q", on, token)
	}
	if waits, mine := other.Hibernate(other.Conn(), nil); waits || !mine {
		t.Errorf("without resumption it waits: %v, mine: %v", waits, mine)
	}
	other.End(nil)
	if err := other.EnableManagement(0, nil); err != router.ErrManaged {
		t.Errorf("after the end: %v", err)
	}
}

func TestHandled(t *testing.T) {
	_, s, _, _ := managed(t)
	s.Handled(^uint32(0))
	if n := s.Handled(3); n != 2 {
		t.Errorf("the count went on to %d, not over to 2", n)
	}
}

// Acknowledgements are asked for after some stanzas or some time, and never
// twice at once.
func TestAsking(t *testing.T) {
	_, s, c, clock := managed(t)
	send(s, "<a/>")
	left(t, c, "<a/>")
	clock.Pass(3 * time.Second)
	left(t, c, ask)
	clock.Pass(3 * time.Second)
	left(t, c)
	if err := s.Acknowledge(1); err != nil {
		t.Fatal(err)
	}
	clock.Pass(time.Minute)
	left(t, c) // nothing to ask for
	if n := clock.Timers(); n != 0 {
		t.Errorf("%d timers wake a session at rest", n)
	}

	for range 15 {
		send(s, "<b/>")
	}
	left(t, c, strings.Repeat("<b/>", 15))
	send(s, "<b/>", "<b/>")
	left(t, c, "<b/>", ask, "<b/>")
	s.SendNonza([]byte("<n/>"))
	left(t, c, "<n/>")
	if n := s.SentCount(); n != 18 {
		t.Errorf("%d were sent, not 18", n)
	}
}

func TestDeadConnection(t *testing.T) {
	_, s, c, clock := managed(t)
	send(s, "<a/>")
	clock.Pass(3 * time.Second)
	clock.Pass(89 * time.Second)
	var out router.Batch
	s.Send(&out, []byte("<b/>")) // while something waits to be written, the question may wait behind it
	clock.Pass(89 * time.Second)
	out.Flush()
	if _, closed := c.Closed(); closed {
		t.Error("closed too early")
	}
	clock.Pass(4 * time.Second)
	closedWith(t, c, xmpp.StreamConnectionTimeout)
	if !s.Alive() {
		t.Error("the session ended with its connection")
	}
}

func TestAcknowledge(t *testing.T) {
	_, s, c, _ := managed(t)
	send(s, "<a/>", "<b/>", "<c/>")
	for _, test := range []struct {
		h    uint32
		want error
	}{
		{4, router.ErrAcknowledged},
		{^uint32(0), router.ErrAcknowledged},
		{2, nil},
		{2, nil},
		{1, nil}, // COMPAT(@xmpp/client 0.14): it goes back
		{0, nil},
		{4, router.ErrAcknowledged},
		{^uint32(0), router.ErrAcknowledged},
	} {
		if err := s.Acknowledge(test.h); err != test.want {
			t.Errorf("h=%d: %v, not %v", test.h, err, test.want)
		}
	}
	if n := s.SentCount(); n != 3 {
		t.Errorf("%d were sent, not 3", n)
	}
	hibernate(t, s, c)
	c2 := new(xmpptest.Conn)
	if err := s.Resume(c2, 2, header); err != nil {
		t.Fatal(err)
	}
	left(t, c2, "<resumed h='0'/>", "<c/>", ask)
	if err := s.Acknowledge(3); err != nil {
		t.Error(err)
	}
}

func TestResume(t *testing.T) {
	r, s, c, clock := managed(t)
	_, token := s.Managed()
	s.Handled(7)
	send(s, "<a/>", "<b/>")
	hibernate(t, s, c)
	if !s.Alive() || s.Connected() || r.Stats.Hibernating.Load() != 1 || r.Session(s.JID()) != s {
		t.Error("the session does not hibernate")
	}
	c.Left()
	send(s, "<c/>")
	left(t, c)
	clock.Pass(59 * time.Second)

	c2 := new(xmpptest.Conn)
	if err := s.Resume(c2, 4, header); err != router.ErrAcknowledged {
		t.Errorf("with an h too high: %v", err)
	}
	left(t, c2)
	if err := s.Resume(c2, 1, header); err != nil {
		t.Fatal(err)
	}
	left(t, c2, "<resumed h='7'/>", "<b/><c/>", ask)
	if err := s.Resume(new(xmpptest.Conn), 1, header); err != router.ErrNotResumable {
		t.Errorf("while it is connected: %v", err)
	}
	send(s, "<d/>")
	left(t, c2, "<d/>")
	clock.Pass(time.Hour)
	if !s.Alive() || r.Stats.Expired.Load() != 0 || r.Stats.Hibernating.Load() != 0 || r.Stats.Resumed.Load() != 1 {
		t.Error("the old deadline still holds")
	}
	if waits, mine := s.Hibernate(c, nil); waits || mine {
		t.Error("the old connection took the session along")
	}
	if r.Resumable(token) != s {
		t.Error("the token is not good any more")
	}

	// A second time; what is acknowledged by now is not sent again.
	hibernate(t, s, c2)
	c3 := new(xmpptest.Conn)
	if err := s.Resume(c3, 4, header); err != nil {
		t.Fatal(err)
	}
	left(t, c3, "<resumed h='7'/>")
}

func TestExpiry(t *testing.T) {
	r, s, c, clock := managed(t)
	send(s, "<a/>")
	expired := hibernate(t, s, c)
	clock.Pass(time.Minute)
	within(t, "the expiry", expired)
	if err := s.Resume(new(xmpptest.Conn), 0, header); err != router.ErrNotResumable {
		t.Errorf("too late: %v", err)
	}
	_, token := s.Managed()
	lost, first := s.End(nil)
	if !first || len(lost.Stanzas) != 1 || string(lost.Stanzas[0]) != "<a/>" {
		t.Errorf("lost: %q", lost.Stanzas)
	}
	if r.Resumable(token) != nil || r.Stats.Hibernating.Load() != 0 || r.Stats.Expired.Load() != 1 {
		t.Error("something is left of it")
	}
}

func TestWhatWasNeverAcknowledged(t *testing.T) {
	_, s, _, _ := managed(t)
	s.SendKept(nil, []byte("<a/>"), 10)
	s.Send(nil, []byte("<b/>"))
	s.SendKept(nil, []byte("<c/>"), 12)
	s.SendKept(nil, []byte("<d/>"), 11)
	s.SendKept(nil, []byte("<e/>"), 13)
	if err := s.Acknowledge(1); err != nil {
		t.Fatal(err)
	}
	lost, first := s.End(nil)
	if got := fmt.Sprintf("%s %d %v", lost.Stanzas, lost.FirstID, first); got != "[<b/> <c/> <d/> <e/>] 11 true" {
		t.Error(got)
	}
	if lost, first := s.End(nil); first || len(lost.Stanzas) != 0 {
		t.Errorf("the second end: %v, %q", first, lost.Stanzas)
	}
}

// A connected session may have ten times the stanzas unacknowledged, and four
// times the bytes. With more it goes on, and can be resumed again when all of that is acknowledged.
func TestOverflowOfAConnectedSession(t *testing.T) {
	for _, test := range []struct {
		name, stanza string
		fit          int
	}{{"stanzas", "<a/>", 50}, {"bytes", "<message>" + strings.Repeat("x", 31), 10}} {
		r, s, c, _ := managed(t)
		for i := range test.fit {
			s.SendKept(nil, []byte(test.stanza), uint64(i+1))
		}
		if !s.CanResume() {
			t.Errorf("%s: cannot be resumed too early", test.name)
		}
		for id := range uint64(1000) {
			s.SendKept(nil, []byte(test.stanza), 100+id)
		}
		if _, closed := c.Closed(); closed || s.CanResume() {
			t.Errorf("%s: closed: %v, can be resumed: %v", test.name, closed, s.CanResume())
		}
		if n := r.Stats.Overflowed.Load(); n != 1 {
			t.Errorf("%s: %d overflows were counted", test.name, n)
		}
		if n := r.Stats.Queued.Load(); n > 20*int64(test.fit+1000) {
			t.Errorf("%s: %d bytes are kept", test.name, n)
		}
		if err := s.Acknowledge(uint32(test.fit + 1)); err != nil || s.FirstUnacknowledged() != 101 || s.CanResume() {
			t.Errorf("%s: %v, %d is the first that is unacknowledged, can be resumed: %v", test.name, err, s.FirstUnacknowledged(), s.CanResume())
		}
		s.EachUnacknowledged(func(stanza []byte) bool { t.Errorf("%s is kept", stanza); return false })
		if err := s.Acknowledge(uint32(test.fit + 1000)); err != nil || !s.CanResume() || r.Stats.Queued.Load() != 0 {
			t.Errorf("%s: %v, can be resumed: %v, %d bytes are kept", test.name, err, s.CanResume(), r.Stats.Queued.Load())
		}
		for id := range uint64(test.fit + 1) {
			s.SendKept(nil, []byte(test.stanza), 2000+id)
		}
		if waits, mine := s.Hibernate(c, nil); waits || !mine {
			t.Errorf("%s: what cannot be resumed waits: %v, mine: %v", test.name, waits, mine)
		}
		if lost, _ := s.End(nil); len(lost.Stanzas) != 0 || lost.FirstID != 2000 {
			t.Errorf("%s: lost %q from %d on", test.name, lost.Stanzas, lost.FirstID)
		}
	}
}

// That goes on for so long only.
func TestMuchIsNeverAcknowledged(t *testing.T) {
	r, s, c, _ := managed(t)
	for id := range uint64(1<<18 + 10) {
		s.SendKept(nil, []byte("<a/>"), 1+id)
		if id%100 == 0 {
			c.Left()
		}
	}
	closedWith(t, c, xmpp.StreamResourceConstraint)
	if lost, _ := s.End(nil); lost.FirstID != 1 || r.Stats.Queued.Load() != 0 || r.Stats.Overflowed.Load() != 1 {
		t.Errorf("lost from %d on, %d bytes are kept, %d overflows", lost.FirstID, r.Stats.Queued.Load(), r.Stats.Overflowed.Load())
	}
}

// A hibernating one keeps what it had, and so much more.
func TestOverflowOfAHibernatingSession(t *testing.T) {
	for _, test := range []struct {
		name, stanza string
		fit          int
	}{{"stanzas", "<a/>", 5}, {"bytes", "<message>" + strings.Repeat("x", 31), 2}} {
		r, s, c, _ := managed(t)
		for range 9 {
			send(s, test.stanza)
		}
		expired := hibernate(t, s, c)
		for range test.fit {
			send(s, test.stanza)
		}
		if n := r.Stats.Overflowed.Load(); n != 0 {
			t.Fatalf("%s: overflowed too early", test.name)
		}
		s.SendKept(nil, []byte(test.stanza), 100)
		s.SendKept(nil, []byte(test.stanza), 101)
		if err := s.Resume(new(xmpptest.Conn), 0, header); err != router.ErrNotResumable {
			t.Errorf("%s: resumed at once: %v", test.name, err)
		}
		within(t, "the expiry", expired)
		if err := s.Resume(new(xmpptest.Conn), 0, header); err != router.ErrNotResumable {
			t.Errorf("%s: resumed: %v", test.name, err)
		}
		if lost, _ := s.End(nil); len(lost.Stanzas) != 9+test.fit || lost.FirstID != 100 {
			t.Errorf("%s: lost %d from %d on", test.name, len(lost.Stanzas), lost.FirstID)
		}
		if n := r.Stats.Overflowed.Load(); n != 1 {
			t.Errorf("%s: %d overflows were counted", test.name, n)
		}
	}
}

// A whole domain that comes while somebody is away does not end the session.
func TestPresencesWhileHibernating(t *testing.T) {
	clock := new(xmpptest.Clock)
	r := router.New(router.Options{Clock: clock, Queue: router.QueueLimits{Stanzas: 5, Bytes: 10_000}})
	ended := make(chan struct{})
	s := hibernatingUntil(t, r, "romeo@example.com/orchard", ended, "<a/>")
	for range 25 {
		send(s, "<presence/>")
	}
	send(s, "<m/>", "<m/>")
	rest, ok := s.Rest()
	if !ok {
		t.Fatal("the session does not rest")
	}
	r = router.New(router.Options{Clock: clock, Queue: router.QueueLimits{Stanzas: 5, Bytes: 10_000}})
	s = r.Restore(rest, &directory.User{ID: 7, JID: xmpp.MustJID("romeo@example.com"), Domain: "example.com", Local: "romeo"})
	s.AwaitClient(func() { s.End(nil); close(ended) })
	for range 25 {
		send(s, "<presence/>")
	}
	send(s, "<m/>", "<m/>", "<m/>")
	if n := r.Stats.Overflowed.Load(); n != 0 {
		t.Fatal("overflowed too early")
	}
	send(s, "<presence/>", "<presence/>")
	if n := r.Stats.Overflowed.Load(); n != 1 {
		t.Errorf("%d overflows", n)
	}
	within(t, "the end", ended)
}

// What is acknowledged makes room again.
func TestAcknowledgedStanzasMakeRoom(t *testing.T) {
	_, s, _, _ := managed(t)
	for i := range uint32(1000) {
		send(s, "<a/>")
		if err := s.Acknowledge(i + 1); err != nil {
			t.Fatal(err)
		}
	}
	if lost, _ := s.End(nil); len(lost.Stanzas) != 0 || lost.FirstID != 0 {
		t.Errorf("lost %d", len(lost.Stanzas))
	}
}
