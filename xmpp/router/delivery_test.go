package router_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/xmpptest"
)

var romeo = &directory.User{ID: 1, JID: xmpp.MustJID("romeo@example.com"), Domain: "example.com", Local: "romeo"}

// bind makes a session of romeo.
func bind(t testing.TB, r *router.Router, resource string) (*router.Session, *xmpptest.Conn) {
	t.Helper()
	c := new(xmpptest.Conn)
	return bindTo(t, r, resource, c), c
}

func bindTo(t testing.TB, r *router.Router, resource string, c router.Conn) *router.Session {
	t.Helper()
	full, err := romeo.JID.WithResource(resource)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := r.Bind(romeo, full, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The table of RFC 6121 §8.5.4. Where it leaves a choice: what a chat or normal
// message finds nobody for waits (O), what cannot be delivered is answered with
// an error (E) or, if it is none of anybody's business, dropped (S), and a
// message to the bare address reaches everybody who is there (M, A).
func TestDeliveryRules(t *testing.T) {
	const (
		bare  = "romeo@example.com"
		match = "romeo@example.com/match"
		other = "romeo@example.com/other"
	)
	types := []xmpp.Type{xmpp.TypeNormal, xmpp.TypeChat, xmpp.TypeGroupchat, xmpp.TypeHeadline, xmpp.TypeError}
	sessions := map[string]router.Presence{
		"match":      {}, // connected, and not available
		"negative":   {Available: true, Priority: -1},
		"zero":       {Available: true},
		"high":       {Available: true, Priority: 5},
		"high again": {Available: true, Priority: 5},
	}
	const later, bounce, ignore = "later", "bounce", "ignore"
	all := "high+high again+zero"
	for _, test := range []struct {
		online []string
		to     string
		want   [5]string // by type: who gets it, or its fate
	}{
		{nil, bare, [5]string{later, later, bounce, ignore, ignore}},
		{nil, match, [5]string{bounce, later, bounce, bounce, ignore}},

		{[]string{"match"}, bare, [5]string{later, later, bounce, ignore, ignore}},
		{[]string{"match"}, match, [5]string{"match", "match", "match", "match", "match"}},
		{[]string{"match"}, other, [5]string{bounce, later, bounce, bounce, ignore}},

		{[]string{"match", "negative"}, bare, [5]string{later, later, bounce, ignore, ignore}},
		{[]string{"match", "negative"}, match, [5]string{"match", "match", "match", "match", "match"}},
		{[]string{"match", "negative"}, bare + "/negative", [5]string{"negative", "negative", "negative", "negative", "negative"}},
		{[]string{"match", "negative"}, other, [5]string{bounce, later, bounce, bounce, ignore}},

		{[]string{"match", "negative", "zero"}, bare, [5]string{"zero", "zero", bounce, "zero", ignore}},
		{[]string{"match", "negative", "zero"}, match, [5]string{"match", "match", "match", "match", "match"}},
		{[]string{"match", "negative", "zero"}, other, [5]string{bounce, "zero", bounce, bounce, ignore}},

		{[]string{"match", "negative", "zero", "high", "high again"}, bare, [5]string{all, all, bounce, all, ignore}},
		{[]string{"match", "negative", "zero", "high", "high again"}, match, [5]string{"match", "match", "match", "match", "match"}},
		{[]string{"match", "negative", "zero", "high", "high again"}, other, [5]string{bounce, all, bounce, bounce, ignore}},
	} {
		r := router.New(router.Options{})
		conns := map[string]*xmpptest.Conn{}
		for _, resource := range test.online {
			var s *router.Session
			s, conns[resource] = bind(t, r, resource)
			s.SetPresence(sessions[resource])
		}
		for i, typ := range types {
			to := xmpp.MustJID(test.to)
			got := [...]string{"deliver", later, bounce, ignore}[r.MessageFate(to, typ)]
			if got == "deliver" {
				var out router.Batch
				who := r.DeliverMessage(&out, &router.Message{To: to, Bytes: []byte("<message/>")}, nil)
				out.Flush()
				got = heard(t, conns, who)
			}
			if got != test.want[i] {
				t.Errorf("%q online, a message of type %v to %s: %s, not %s", test.online, typ, test.to, got, test.want[i])
			}
		}
	}
}

// heard names those who heard the message, and checks that these are who.
func heard(t *testing.T, conns map[string]*xmpptest.Conn, who []*router.Session) string {
	t.Helper()
	var names, said []string
	for resource, c := range conns {
		if left := c.Left(); len(left) == 1 {
			names = append(names, resource)
		} else if len(left) != 0 {
			t.Errorf("%s heard %q", resource, left)
		}
	}
	for _, s := range who {
		said = append(said, s.JID().Resource())
	}
	slices.Sort(names)
	slices.Sort(said)
	if !slices.Equal(names, said) {
		t.Errorf("%q heard it, and %q are said to have", names, said)
	}
	return strings.Join(names, "+")
}

func TestDeliverMessageLeavesOut(t *testing.T) {
	r := router.New(router.Options{})
	one, first := bind(t, r, "one")
	two, second := bind(t, r, "two")
	one.SetPresence(router.Presence{Available: true})
	two.SetPresence(router.Presence{Available: true})
	got := r.DeliverMessage(nil, &router.Message{To: romeo.JID, Bytes: []byte("<message/>"), Not: one}, nil)
	if len(got) != 1 || got[0] != two || len(first.Left()) != 0 || len(second.Left()) != 1 {
		t.Errorf("got: %v", got)
	}
	if got := r.DeliverMessage(nil, &router.Message{To: xmpp.MustJID("juliet@example.com"), Bytes: []byte("x")}, nil); got != nil {
		t.Errorf("somebody got juliet's: %v", got)
	}
}

func TestSendIsFlushedOnce(t *testing.T) {
	r := router.New(router.Options{})
	s, c := bind(t, r, "one")
	s.Send(nil, []byte("<a/>"))
	if got := c.Left(); len(got) != 1 {
		t.Errorf("without a batch: %q", got)
	}
	var out router.Batch
	s.Send(&out, []byte("<b/>"))
	s.Send(&out, []byte("<c/>"))
	if got := c.Left(); len(got) != 0 {
		t.Errorf("before the batch was flushed: %q", got)
	}
	out.Flush()
	if got := fmt.Sprint(c.Left()); got != "[<b/> <c/>]" {
		t.Errorf("after it was: %s", got)
	}
	s.End(nil)
	s.Send(nil, []byte("<d/>"))
	if got := c.Left(); len(got) != 0 {
		t.Errorf("after the end: %q", got)
	}
}

// null takes everything and costs nothing.
type null struct{}

func (null) Append([]byte) bool      { return true }
func (null) Flush()                  {}
func (null) Close(*xmpp.StreamError) {}

// Delivery is on the path of every message: it allocates nothing.
func TestAllocations(t *testing.T) {
	r := router.New(router.Options{})
	var sessions []*router.Session
	for _, resource := range []string{"one", "two", "three"} {
		s := bindTo(t, r, resource, null{})
		s.SetPresence(router.Presence{Available: true})
		sessions = append(sessions, s)
	}
	if err := sessions[0].EnableManagement(1e9, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	var out router.Batch
	var got []*router.Session
	h := uint32(0)
	acknowledge := func() {
		h++
		if err := sessions[0].Acknowledge(h); err != nil {
			t.Fatal(err)
		}
	}
	m := router.Message{To: romeo.JID, Bytes: make([]byte, 309), ID: 1}
	for _, pin := range []struct {
		name string
		fn   func()
	}{
		{"DeliverMessage to the bare address", func() {
			got = r.DeliverMessage(&out, &m, got[:0])
			out.Flush()
			acknowledge()
		}},
		{"Send", func() {
			sessions[0].Send(&out, m.Bytes)
			out.Flush()
			acknowledge()
		}},
		{"MessageFate", func() { r.MessageFate(romeo.JID, xmpp.TypeChat) }},
		{"Session", func() { r.Session(sessions[1].JID()) }},
		{"Handled", func() { sessions[0].Handled(1) }},
	} {
		pin.fn() // buffers grow once
		if n := testing.AllocsPerRun(200, pin.fn); n != 0 {
			t.Errorf("%s: %v allocations", pin.name, n)
		}
	}
}

// A message for one client and nobody else goes to nobody if that ends at this moment (RFC 6121 §8.5.3.2.1).
func TestExact(t *testing.T) {
	r := router.New(router.Options{})
	gone, _ := bind(t, r, "gone")
	other, conn := bind(t, r, "other")
	other.SetPresence(router.Presence{Available: true})
	to := gone.JID()
	gone.End(nil)
	var out router.Batch
	for _, exact := range []bool{true, false} {
		got := r.DeliverMessage(&out, &router.Message{To: to, Bytes: []byte("<message/>"), Exact: exact}, nil)
		out.Flush()
		if n := len(conn.Left()); (n == 0) != exact || len(got) != n {
			t.Errorf("exact %v: %d", exact, n)
		}
	}
}
