package c2s

import (
	"bytes"
	"encoding/base64"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
)

// login logs romeo in by SASL2; what asks for more is part of the request.
func (d *door) login(t testing.TB, more string) *guest {
	t.Helper()
	g := d.knock(t)
	g.say(header + "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>" +
		base64.StdEncoding.EncodeToString([]byte("\x00romeo\x00pw")) + "</initial-response>" + agentElement + more + "</authenticate>")
	return g
}

const bindManaged = "<bind xmlns='urn:xmpp:bind:0'><tag>x</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>"

// storing logs a client in that says something, which is being stored until d.Held is released, and returns what its session
// is resumed by.
func storing(t *testing.T, d *door, stanzas string) (token string) {
	t.Helper()
	g := d.login(t, bindManaged)
	t.Cleanup(func() { g.Close() })
	g.hear("<enabled")
	token = between(g.hear("/>"), " id='", "'")
	d.Held.Hold()
	g.say(stanzas)
	if !d.Held.Await(1) {
		t.Fatal("nothing is being stored")
	}
	return token
}

// waiting is how many logins wait for what an earlier session leaves to be done.
func waiting() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("c2s.(*client).waits("))
}

// A client whose session was ended while its last stanzas were being stored is
// told how many were handled in the end, and not before: else it would send some
// of them again (XEP-0198 §5).
func TestResumeBeforeTheLastCommitReturns(t *testing.T) {
	romeo := xmpp.MustJID("romeo@example.com")
	for name, end := range map[string]func(d *door){
		"kicked": func(d *door) {
			if n := d.Kick(romeo, &xmpp.StreamError{Condition: xmpp.StreamPolicyViolation}); n != 1 {
				t.Errorf("%d sessions were ended", n)
			}
		},
		"replaced": func(d *door) {
			g := d.login(t, bindManaged) // by the same client, so it has the same resource
			t.Cleanup(func() { g.Close() })
			g.hear("<bound")
		},
		"connected": func(*door) {},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			token := storing(t, d, "<message to='juliet@example.com' type='chat'><body>1</body></message><iq type='get' id='2' to='example.com'><query xmlns='x'/></iq>")
			end(d)
			next := d.login(t, "<resume xmlns='urn:xmpp:sm:3' h='0' previd='"+token+"'/>")
			defer next.Close()
			featuretest.Eventually(t, "the client to wait for the reader", func() bool { return waiting() == 1 })
			d.Held.Release()
			next.hear("</authorization-identifier>")
			answer := next.hear("</success>")
			if !strings.Contains(answer, " h='2'") || strings.Contains(answer, "<failed") != (name != "connected") {
				t.Errorf("heard %s", answer)
			}
			if n := len(d.Server.parting.byToken); name != "replaced" && n != 0 {
				t.Errorf("%d connections that have gone are remembered", n)
			}
		})
	}
}

// Of two connections that resume the same session at once, the one that comes later goes on with it, and neither is told
// that there is none.
func TestTwoResumeAtOnce(t *testing.T) {
	d := open(t)
	token := storing(t, d, "<message to='juliet@example.com' type='chat'><body>1</body></message>")
	var both []*guest
	for range 2 {
		g := d.login(t, "<resume xmlns='urn:xmpp:sm:3' h='0' previd='"+token+"'/>")
		defer g.Close()
		both = append(both, g)
	}
	featuretest.Eventually(t, "both to wait for the reader", func() bool { return waiting() == 2 })
	d.Held.Release()
	for _, g := range both {
		g.hear("</authorization-identifier>")
		if answer := g.hear("</success>"); !strings.HasPrefix(answer, "<resumed ") {
			t.Errorf("heard %s", answer)
		}
	}
}

// Who comes back while the store hangs is told to try again, and then goes on with the session.
func TestResumeWhileTheStoreHangs(t *testing.T) {
	d := open(t)
	token := storing(t, d, "<message to='juliet@example.com' type='chat'><body>1</body></message>")
	resume := func() *guest {
		g := d.login(t, "<resume xmlns='urn:xmpp:sm:3' h='0' previd='"+token+"'/>")
		t.Cleanup(func() { g.Close() })
		return g
	}
	early := resume()
	featuretest.Eventually(t, "a client that waits", func() bool { return waiting() == 1 })
	d.Clock.Pass(d.opts.LoginTimeout)
	if answer := early.hear("</stream:stream>"); !strings.Contains(answer, "<internal-server-error ") || strings.Contains(answer, "<success") {
		t.Errorf("heard %s", answer)
	}
	late := resume()
	d.Held.Release()
	if answer := late.hear("</success>"); !strings.Contains(answer, "<resumed ") || !strings.Contains(answer, " h='1'") {
		t.Errorf("heard %s", answer)
	}
	late.say("<iq type='set' id='2'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
	late.hear("id='2'")
}

// Who logs in again while the end of the earlier session is told, and that hangs, is told to try again.
func TestLoginWhileTheStoreHangs(t *testing.T) {
	ending, end := make(chan bool, 2), make(chan bool)
	d := open(t, feature.Feature{Name: "slow", Ended: func(*router.Session, router.Unacknowledged) { ending <- true; <-end }})
	release := sync.OnceFunc(func() { close(end) })
	defer release()
	first := d.login(t, bindManaged)
	defer first.Close()
	first.hear("<bound")
	early := d.login(t, bindManaged)
	defer early.Close()
	<-ending
	if answer := first.hear("</stream:stream>"); !strings.Contains(answer, "<conflict ") {
		t.Errorf("the first one heard %s", answer)
	}
	featuretest.Eventually(t, "a client that waits", func() bool { return waiting() == 1 })
	d.Clock.Pass(d.opts.LoginTimeout)
	if answer := early.hear("</stream:stream>"); !strings.Contains(answer, "<internal-server-error ") || strings.Contains(answer, "<success") {
		t.Errorf("heard %s", answer)
	}
	release()
	late := d.login(t, bindManaged)
	defer late.Close()
	late.hear("<bound")
}

// What somebody says behind the end of the session is not handled, be it on its way already.
func TestNothingIsHandledBehindTheEnd(t *testing.T) {
	d := open(t)
	g := d.login(t, bindManaged)
	defer g.Close()
	g.hear("<enabled")
	d.Kick(xmpp.MustJID("romeo@example.com"), &xmpp.StreamError{Condition: xmpp.StreamNotAuthorized})
	g.hear("</stream:stream>")
	g.say("<presence/>")
	g.Close()
	featuretest.Eventually(t, "the end", func() bool { return len(d.Server.door.Inside()) == 0 })
	if n := d.Table.Stats.Presences.Load(); n != 0 {
		t.Error("the presence was handled")
	}
}

// Of what was noted when a session ended and what is on disk, whichever is further on was handled, modulo 2³²; and that is
// the business of its user.
func TestHandledBefore(t *testing.T) {
	romeo, juliet := xmpp.MustJID("romeo@example.com"), xmpp.MustJID("juliet@example.com")
	const none = ""
	for _, test := range []struct {
		user          xmpp.JID
		noted, stored string
		want          string
	}{
		{romeo, none, none, none},
		{romeo, "3", none, "3"},
		{romeo, none, "2", "2"},
		{romeo, "3", "2", "3"},
		{romeo, "2", "3", "3"},
		{romeo, "4294967295", "1", "1"},
		{romeo, "1", "4294967295", "1"},
		{juliet, "3", "4", none},
	} {
		d := open(t)
		c, token := &client{srv: d.Server, user: d.Directory.User(test.user)}, "nobody's"
		if n, err := strconv.ParseUint(test.noted, 10, 32); err == nil {
			s := d.Connect(t, "romeo@example.com/orchard").Session
			if err := s.EnableManagement(time.Minute, func(id string) []byte { token = id; return nil }); err != nil {
				t.Fatal(err)
			}
			s.Handled(uint32(n))
			d.Server.end(s, nil)
		}
		d.opts.Handled = func(string) (uint32, bool) {
			n, err := strconv.ParseUint(test.stored, 10, 32)
			return uint32(n), err == nil
		}
		if got := c.handledBefore(token); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
