package router

import (
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/xmpptest"
)

// The counts go over at 2³² (XEP-0198 §4).
func TestCountsGoOver(t *testing.T) {
	r := New(Options{Clock: new(xmpptest.Clock)})
	j := xmpp.MustJID("romeo@example.com/orchard")
	s, _, err := r.Bind(&directory.User{ID: 1, JID: j.Bare()}, j, new(xmpptest.Conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	s.sm.acked, s.sm.total = ^uint32(0)-1, uint64(^uint32(0)-1) // 2³² - 2
	for range 5 {
		s.Send(nil, []byte("<a/>"))
	}
	if n := s.SentCount(); n != 3 {
		t.Errorf("%d were sent, not 3", n)
	}
	for _, test := range []struct {
		h    uint32
		want error
		left int
	}{
		{^uint32(0), nil, 4},
		{4, ErrAcknowledged, 4},
		{1, nil, 2},
		{^uint32(0), nil, 2}, // back, over the edge
		{3, nil, 0},
		{4, ErrAcknowledged, 0},
	} {
		if err := s.Acknowledge(test.h); err != test.want || s.sm.unacked() != test.left {
			t.Errorf("h=%d: %v, and %d are left, not %d", test.h, err, s.sm.unacked(), test.left)
		}
	}
}
