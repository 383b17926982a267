package router_test

import (
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/router"
	"confab/xmpp/xmpptest"
)

// closing is a connection that does something while it is closed.
type closing struct {
	xmpptest.Conn
	meanwhile func()
}

func (c *closing) Close(err *xmpp.StreamError) {
	c.Conn.Close(err)
	if c.meanwhile != nil {
		c.meanwhile()
	}
}

// A session that has ended and is still in the table gets nothing, and nobody
// may think that it did: what came then would be lost.
func TestDeliveryWhileASessionEnds(t *testing.T) {
	for _, to := range []string{"romeo@example.com", "romeo@example.com/orchard"} {
		r := router.New(router.Options{})
		c := new(closing)
		s := bindTo(t, r, "orchard", c)
		s.SetPresence(router.Presence{Available: true})
		tried := false
		c.meanwhile = func() {
			tried = r.Session(s.JID()) == s
			if got := r.DeliverMessage(nil, &router.Message{To: xmpp.MustJID(to), Bytes: []byte("<a/>"), ID: 1}, nil); len(got) != 0 {
				t.Errorf("a message to %s was got by %d sessions", to, len(got))
			}
		}
		s.End(nil)
		if !tried {
			t.Fatal("there was no such moment")
		}
		left(t, &c.Conn)
	}
}

// Who ends a session ends its connection: that may have been taken up by a
// client who came back just now, and must not go on without a session.
func TestEndClosesTheConnection(t *testing.T) {
	_, s, c, _ := managed(t)
	hibernate(t, s, c)
	c2 := new(xmpptest.Conn)
	if err := s.Resume(c2, 0, header); err != nil {
		t.Fatal(err)
	}
	s.End(nil)
	if _, closed := c2.Closed(); !closed {
		t.Error("the connection of the ended session is still open")
	}
}

// A client whose sessions are lost and not resumed can come back: those that
// nobody is connected to make room, the longest lost first.
func TestLostSessionsMakeRoom(t *testing.T) {
	clock := new(xmpptest.Clock)
	r := router.New(router.Options{Clock: clock, MaxResources: 3})
	lost := map[string]*router.Session{}
	for _, resource := range []string{"one", "two", "three"} {
		s, c := bind(t, r, resource)
		if err := s.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
			t.Fatal(err)
		}
		lost[resource] = s
		if resource != "one" {
			hibernate(t, s, c)
			clock.Pass(time.Second)
		}
	}
	for _, want := range []string{"two", "three"} {
		_, replaced, err := r.Bind(romeo, xmpp.MustJID("romeo@example.com/new-"+want), new(xmpptest.Conn), nil)
		if err != nil || replaced != lost[want] {
			t.Fatalf("%v instead of %s made room: %v", replaced, want, err)
		}
		replaced.End(nil)
	}
	if _, _, err := r.Bind(romeo, xmpp.MustJID("romeo@example.com/new"), new(xmpptest.Conn), nil); err == nil {
		t.Error("somebody who is connected made room")
	}
	if n := r.Stats.Sessions.Load(); n != 3 {
		t.Errorf("%d sessions", n)
	}
}

// What waits for a client that comes back may be more than what may wait for a
// slow one: it goes out in one piece, on a connection where nothing waits.
func TestResumptionIsOnePiece(t *testing.T) {
	_, s, c, _ := managed(t)
	send(s, "<a/>", "<b/>")
	hibernate(t, s, c)
	c2 := new(xmpptest.Conn)
	if err := s.Resume(c2, 0, header); err != nil {
		t.Fatal(err)
	}
	if got := c2.Left(); len(got) != 1 || got[0] != "<resumed h='0'/><a/><b/>"+ask {
		t.Errorf("it left as %q", strings.Join(got, " | "))
	}
}
