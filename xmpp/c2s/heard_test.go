package c2s

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/xmpptest"
)

// frames is a framed connection whose client looks at the server when it hears something.
type frames struct {
	net.Conn // nil: not needed
	in       chan string
	heard    func(frame string)
	ended    chan struct{}
	loggedIn atomic.Bool
}

func (f *frames) NextFrame() (io.Reader, error) {
	select {
	case frame := <-f.in:
		return strings.NewReader(frame), nil
	case <-f.ended:
		return nil, io.EOF
	}
}

func (f *frames) Write(b []byte) (int, error)      { f.heard(string(b)); return len(b), nil }
func (f *frames) Read([]byte) (int, error)         { return 0, io.EOF }
func (f *frames) Close() error                     { return nil }
func (f *frames) Ready() int                       { return 0 }
func (f *frames) LoggedIn()                        { f.loggedIn.Store(true) }
func (f *frames) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (f *frames) SetReadDeadline(time.Time) error  { return nil }
func (f *frames) SetWriteDeadline(time.Time) error { return nil }

// What a client can hear is so already: it may ask about it, or rely on it, at once and elsewhere.
func TestHeardIsSo(t *testing.T) {
	romeo := xmpp.MustJID("romeo@example.com")
	plain := base64.StdEncoding.EncodeToString([]byte("\x00romeo\x00pw"))
	const opening = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>"
	sasl2 := func(more string) []string {
		return []string{opening, "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>" + plain + "</initial-response>" + more + "</authenticate>"}
	}
	for name, test := range map[string]struct {
		says  func(token string) []string
		hears string
	}{
		"bind": {func(string) []string {
			return []string{opening, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + plain + "</auth>", opening,
				"<iq xmlns='jabber:client' type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"}
		}, "<jid>"},
		"bind 2": {func(string) []string { return sasl2("<bind xmlns='urn:xmpp:bind:0'/>") }, "<bound"},
		"resuming": {func(token string) []string {
			return sasl2("<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + token + "'/>")
		}, "<resumed"},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			g := d.login(t, bindManaged)
			defer g.Close()
			g.hear("<enabled")
			says := test.says(between(g.hear("/>"), " id='", "'"))
			logins, sessions := d.Stats.Logins.Load(), d.Router.Stats.Sessions.Load()
			if test.hears != "<resumed" {
				sessions++
			}
			heard := make(chan bool, 1)
			f := &frames{in: make(chan string, len(says)), ended: make(chan struct{})}
			f.heard = func(frame string) {
				if !strings.Contains(frame, test.hears) {
					return
				}
				if !f.loggedIn.Load() {
					t.Error("the bounds are those before login")
				}
				if n := d.Stats.Logins.Load(); n != logins+1 {
					t.Errorf("%d logins are counted", n)
				}
				if n := d.Router.Stats.Sessions.Load(); n != sessions {
					t.Errorf("%d sessions are counted", n)
				}
				known := false
				for _, s := range d.Router.Account(romeo).Sessions(nil) {
					known = known || s.Info().Transport == "frames"
				}
				if !known {
					t.Error("it is not known how the session is connected")
				}
				heard <- true
			}
			for _, s := range says {
				f.in <- s
			}
			if !d.Take(Arrival{Conn: f, Peer: netip.MustParseAddr("192.0.2.1"), Transport: "frames"}) {
				t.Fatal("there is no place")
			}
			<-heard
			close(f.ended)
		})
	}
}

// farewell is a connection whose client looks at the server when it hears the end.
type farewell struct {
	xmpptest.Conn
	heard func(*xmpp.StreamError)
}

func (f *farewell) Close(why *xmpp.StreamError) { f.heard(why) }

// Who hears that his session is ended may rely on it, too: nobody goes on with it.
func TestKickedIsSo(t *testing.T) {
	d := open(t)
	romeo := d.Directory.User(xmpp.MustJID("romeo@example.com"))
	f := new(farewell)
	s, _, err := d.Router.Bind(romeo, xmpp.MustJID("romeo@example.com/orchard"), f, nil)
	if err != nil {
		t.Fatal(err)
	}
	var token string
	if err := s.EnableManagement(time.Minute, func(id string) []byte { token = id; return nil }); err != nil {
		t.Fatal(err)
	}
	heard := 0
	f.heard = func(why *xmpp.StreamError) {
		if heard++; why == nil || why.Condition != xmpp.StreamPolicyViolation {
			t.Errorf("heard %v", why)
		}
		if s.Alive() || d.Router.Resumable(token) != nil {
			t.Error("the session goes on")
		}
	}
	if d.Kick(romeo.JID, xmpp.NewStreamError(xmpp.StreamPolicyViolation, "")); heard != 1 {
		t.Errorf("the end was heard %d times", heard)
	}
}

// All who are to go go at once, though what the end of one has others hear takes its time.
func TestKickWhileTheStoreHangs(t *testing.T) {
	end := make(chan bool)
	d := open(t, feature.Feature{Name: "slow", Ended: func(*router.Session, router.Unacknowledged) { <-end }})
	var all []*guest
	for i := range 3 {
		g := d.authenticated(t)
		defer g.Close()
		g.say(fmt.Sprintf("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>%d</resource></bind></iq>", i))
		g.hear("</iq>")
		all = append(all, g)
	}
	kicked := make(chan int)
	go func() {
		kicked <- d.Kick(xmpp.MustJID("romeo@example.com"), xmpp.NewStreamError(xmpp.StreamPolicyViolation, ""))
	}()
	for _, g := range all {
		if answer := g.hear("</stream:stream>"); !strings.Contains(answer, "<policy-violation ") {
			t.Errorf("heard %s", answer)
		}
	}
	close(end)
	if n := <-kicked; n != 3 {
		t.Errorf("%d sessions were ended", n)
	}
}

// Of several sessions the one goes whose address it is.
func TestKickOne(t *testing.T) {
	d := open(t)
	one, two := d.Connect(t, "romeo@example.com/one"), d.Connect(t, "romeo@example.com/two")
	if n := d.Kick(two.Session.JID(), xmpp.NewStreamError(xmpp.StreamPolicyViolation, "")); n != 1 || !one.Session.Alive() || two.Session.Alive() {
		t.Errorf("%d sessions were ended; alive: %v, %v", n, one.Session.Alive(), two.Session.Alive())
	}
}

// Who is renamed between the login and an address gets none: it would be at a name that is not, or will not be, his.
func TestRenamedWhileBinding(t *testing.T) {
	rename := func(d *door, user directory.ID) {
		if err := d.Directory.Update(context.Background(), user, func(u *directory.User) { u.Local = "tybalt" }); err != nil {
			t.Error(err)
		}
	}
	var d *door
	late := feature.Feature{Name: "late", Catchup: func(u *directory.User, bind func([]byte)) error {
		rename(d, u.ID)
		bind(nil)
		return nil
	}}
	for name, renamed := range map[string]func(t *testing.T) *guest{
		"before": func(t *testing.T) *guest {
			d = open(t)
			g := d.authenticated(t)
			rename(d, d.ID("romeo@example.com"))
			g.say("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
			return g
		},
		"meanwhile": func(t *testing.T) *guest {
			d = open(t, late)
			return d.login(t, bindManaged)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := renamed(t)
			defer g.Close()
			if answer := g.hear("</stream:stream>"); !strings.Contains(answer, "<not-authorized ") {
				t.Errorf("heard %s", answer)
			}
			if n := d.Router.Stats.Sessions.Load(); n != 0 {
				t.Errorf("there are %d sessions", n)
			}
		})
	}
}

// stranger is a connection that waits for the end of its peer for as long as it takes.
type stranger struct{ net.Conn }

func (stranger) SetReadDeadline(time.Time) error { return nil }

// Who was told to go and does not still counts: what strangers cost is bounded.
func TestLingering(t *testing.T) {
	d := open(t)
	here, there := net.Pipe()
	defer there.Close()
	c := &client{srv: d.Server}
	c.info.Transport = "tcp"
	if !d.admit(c, stranger{here}, (*client).arrived) {
		t.Fatal("there is no place")
	}
	go io.WriteString(there, "<stream:stream xmlns='x' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='example.com'>")
	var all bytes.Buffer
	for !strings.HasSuffix(all.String(), "</stream:stream>") {
		if _, err := io.CopyN(&all, there, 1); err != nil {
			t.Fatal(err)
		}
	}
	<-c.left // the reader has done its work
	if d.waiting.Enter(c.peer, 1) {
		t.Fatal("it does not count any more")
	}
	there.Close()
	featuretest.Eventually(t, "the end", func() bool { return d.waiting.Enter(c.peer, 1) })
}

// A feature that panics while somebody binds an address costs that stream, and keeps nobody from the account.
func TestPanicWhileBinding(t *testing.T) {
	frail := feature.Feature{Name: "frail", Inline: []feature.Inline{{
		Var: "urn:example:frail", Space: "urn:example:frail",
		Turn: func(*router.Session, *xmpp.Node, []byte) []byte { panic("frail") },
	}}}
	stored := frail
	stored.Catchup = func(_ *directory.User, bind func([]byte)) (err error) { // as the store does it
		defer func() {
			if p := recover(); p != nil {
				err = &store.PanicError{Value: p}
			}
		}()
		bind(nil)
		return nil
	}
	for name, f := range map[string]feature.Feature{"by the reader": frail, "by the store": stored} {
		t.Run(name, func(t *testing.T) {
			d := open(t, f)
			g := d.login(t, "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/><x xmlns='urn:example:frail'/></bind>")
			defer g.Close()
			if answer := g.hear("</stream:stream>"); !strings.Contains(answer, "<internal-server-error ") || strings.Contains(answer, "<success") {
				t.Errorf("heard %s", answer)
			}
			next := d.login(t, bindManaged)
			defer next.Close()
			next.hear("<bound")
			if n := d.Router.Stats.Sessions.Load(); n != 1 {
				t.Errorf("there are %d sessions", n)
			}
		})
	}
}
