package bosh

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/web"
)

func sha(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// A session from which nothing is heard ends, as a connection does that is lost.
func TestInactivity(t *testing.T) {
	h := open(t)
	c := h.create("")
	h.clock.Pass(inactivity - time.Second)
	waiting := c.start("", "<silence/>")
	h.hears("silence")
	h.clock.Pass(maxWait)
	if got := <-waiting; got != empty {
		t.Error(got)
	}
	h.clock.Pass(inactivity)
	if err := h.ends(); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	if got := c.ask("", ""); got != condition_(itemNotFound) {
		t.Error(got)
	}
}

// A client that is gone while its request waits has its time too, and may come back for the answer.
func TestGone(t *testing.T) {
	for _, origin := range []string{"", overHTTP2} {
		testGone(t, open(t, origin))
	}
}

func testGone(t *testing.T, h *house) {
	c := h.create("")
	c.rid++
	ctx, stop := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", h.http.URL+web.BOSHPath, strings.NewReader(c.body(c.rid, "", "<silence/>")))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := h.user.Do(r)
		failed <- err
	}()
	h.hears("silence")
	stop()
	if <-failed == nil {
		t.Fatal("the request was not given up")
	}
	s := h.door.find(c.sid)
	h.until(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.held) == 1 && s.held[0].gone
	})
	(<-h.conn).Send([]byte("<presence/>"))
	if _, got, _ := h.post(c.body(c.rid, "", "<silence/>")); !strings.Contains(got, "<presence") {
		t.Error(got)
	}
}

func TestPause(t *testing.T) {
	h := open(t)
	c := h.create("")
	waiting := c.start("", "")
	if got := c.ask("pause='120'", ""); got != empty {
		t.Error(got)
	}
	if got := <-waiting; got != empty {
		t.Error(got)
	}
	h.clock.Pass(119 * time.Second)
	(<-h.conn).Send([]byte("<presence/>"))
	if got := c.ask("", ""); !strings.Contains(got, "<presence") {
		t.Error(got)
	}
	h.clock.Pass(inactivity)
	h.ends()

	c = h.create("")
	if got := c.ask("pause='121'", ""); got != condition_(policyViolation) {
		t.Error(got)
	}
	h.ends()
}

func TestPolling(t *testing.T) {
	h := open(t)
	_, text, _ := h.post("<body xmlns='" + NS + "' rid='1000000' to='example.com' wait='60' hold='0'/>")
	b, err := xmpp.ParseNode([]byte(text))
	if err != nil || b.Attr("hold") != "0" || b.Attr("requests") != "1" || b.Child(xmpp.NSStream, "features") == nil {
		t.Fatal(text, err)
	}
	c := &client{h, b.Attr("sid"), firstRID}
	for range 2 {
		if got := c.ask("", ""); got != empty {
			t.Error(got)
		}
		h.clock.Pass(polling)
	}
	if got := c.ask("", "<a/>"); !strings.Contains(got, "<a") {
		t.Error(got)
	}
	if got := c.ask("", ""); got != empty {
		t.Error(got)
	}
	if got := c.ask("", ""); got != condition_(policyViolation) {
		t.Error(got)
	}
	h.ends()
}

func TestTerminate(t *testing.T) {
	h := open(t)
	c := h.create("")
	waiting := c.start("", "")
	last := c.start("type='terminate'", "<silence/>")
	h.hears("silence")
	if err := h.ends(); err != xmpp.ErrStreamEnd {
		t.Error(err)
	}
	answers := []string{<-waiting, <-last}
	if answers[0] != empty && !strings.HasPrefix(answers[0], terminated) || !strings.HasPrefix(answers[0]+answers[1], terminated) && !strings.HasPrefix(answers[1], terminated) {
		t.Error(answers)
	}
	if got := c.ask("", ""); got != condition_(itemNotFound) {
		t.Error(got)
	}
}

func TestStreamErrors(t *testing.T) {
	for why, want := range map[xmpp.StreamCondition]string{
		xmpp.StreamSystemShutdown: condition_(systemShutdown),
		xmpp.StreamHostUnknown:    condition_(hostUnknown),
		xmpp.StreamConflict: "<body xmlns='" + NS + "' type='terminate' condition='remote-stream-error' xmlns:stream='http://etherx.jabber.org/streams'>" +
			"<stream:error xmlns:stream='http://etherx.jabber.org/streams'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></body>",
	} {
		h := open(t)
		c := h.create("")
		if got := c.ask("", "<quit why='"+string(why)+"'/>"); got != want {
			t.Errorf("%s: %s", why, got)
		}
		// Somebody who had logged in may ask again.
		c = h.create("")
		c.ask("", "<in/>")
		c.ask("", "<quit why='"+string(why)+"'/>")
		if _, got, _ := h.post(c.body(c.rid, "", "")); got != want {
			t.Errorf("%s, again: %s", why, got)
		}
		h.clock.Pass(inactivity)
		if len(h.sessions()) > 0 {
			t.Error("sessions are left over")
		}
	}
}

// After a login a request may bring more.
func TestLargeBody(t *testing.T) {
	h := open(t)
	c := h.create("")
	large := "<silence><![CDATA[" + strings.Repeat("x", 4000) + "]]></silence>"
	if _, got, _ := h.post(c.body(c.rid+1, "", large+large)); got != condition_(policyViolation) {
		t.Error(got)
	}
	c.ask("", "<in/>")
	h.hears("in")
	waiting := c.start("", large+large)
	h.hears("silence")
	h.hears("silence")
	next := make(chan string)
	go func() {
		_, got, _ := h.post("<?xml version='1.0' encoding='utf-8'?>\n" + c.body(c.rid+1, "", large+large))
		next <- got
	}()
	h.hears("silence")
	h.hears("silence")
	if got := <-waiting; got != empty {
		t.Error(got)
	}
	if _, got, _ := h.post(c.body(c.rid+2, "", strings.Repeat(large, 10))); got != condition_(policyViolation) {
		t.Error(got)
	}
	h.clock.Pass(maxWait)
	if got := <-next; got != empty {
		t.Error(got)
	}
}

// What a client does not fetch waits, and is counted.
func TestSlowClient(t *testing.T) {
	h := open(t)
	c := h.create("")
	conn := <-h.conn
	stanza := []byte("<message><body>" + strings.Repeat("x", 1000) + "</body></message>")
	for range 10 {
		conn.Send(stanza)
	}
	if n := conn.Waiting(); n != 10*len(stanza) {
		t.Errorf("%d bytes wait", n)
	}
	n := 0
	for n < 10 {
		n += strings.Count(c.ask("", ""), "<message")
	}
	h.until(func() bool { return conn.Waiting() == 0 })
}
