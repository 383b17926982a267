package bosh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/web"
	"confab/xmpp/xmpptest"
)

func TestSessionCreation(t *testing.T) {
	h := open(t)
	_, text, head := h.post(fmt.Sprintf("<?xml version='1.0'?>\n<body xmlns='%s' rid='%d' to='example.com' wait='90' hold='5' ver='1.6' xml:lang='de'/>", NS, firstRID))
	b, err := xmpp.ParseNode([]byte(text))
	if err != nil {
		t.Fatal(text, err)
	}
	for name, want := range map[string]string{
		"wait": "60", "hold": "2", "requests": "3", "inactivity": "60", "polling": "5", "maxpause": "120", "ver": "1.6", "from": "example.com",
	} {
		if got := b.Attr(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if v, _ := b.LookupNS(NSXMPP, "restartlogic"); v != "true" || len(b.Attr("sid")) < 20 || b.Child(xmpp.NSStream, "features") == nil {
		t.Error(text)
	}
	if head.Get("Content-Type") != "text/xml; charset=utf-8" || head.Get("Cache-Control") != "no-store" || head.Get("Content-Length") != fmt.Sprint(len(text)) {
		t.Error(head)
	}
	_, _, head = h.post(fmt.Sprintf("<body xmlns='%s' rid='1' to='example.com' content='text/html'/>", NS))
	if head.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Error(head)
	}
}

func TestRefusedBodies(t *testing.T) {
	h := open(t)
	body := func(rest string) string { return "<body xmlns='" + NS + "' " + rest }
	for text, why := range map[string]condition{
		"":                                     badRequest,
		"hello":                                badRequest,
		"<body>":                               badRequest,
		"<body/>":                              badRequest,
		"<?xml version='1.0'":                  badRequest,
		body("rid='1' to='example.com'/><x/>"): badRequest,
		body("to='example.com'/>"):             badRequest,
		body("rid='x' to='example.com'/>"):     badRequest,
		body("rid='-1' to='example.com'/>"):    badRequest,
		body("rid='0' to='example.com'/>"):     badRequest,
		body("rid='9007199254740992' to='example.com'/>"):                     badRequest,
		body("rid='1' to='example.com' wait='soon'/>"):                        badRequest,
		body("rid='1' to='example.com' hold='-1'/>"):                          badRequest,
		body("rid='1' to='example.com' content='image/png'/>"):                badRequest,
		body("rid='1' to='example.com' content='text/xml; charset=utf-16'/>"): badRequest,
		body("rid='1' to='example.com' type='terminate'/>"):                   badRequest,
		body("rid='1' to='example.com' type='what'/>"):                        badRequest,
		body("rid='1' sid='x' pause='-1'/>"):                                  badRequest,
		body("rid='1' sid='x' ack='no'/>"):                                    badRequest,
		body("rid='1' to='example.com'><!-- --></body>"):                      badRequest,
		body("rid='1' to='example.com'><a:b/></body>"):                        badRequest,
		body("rid='1'/>"):              improperAddressing,
		body("rid='1' to=''/>"):        improperAddressing,
		body("rid='1' sid='nobody'/>"): itemNotFound,
		body("rid='1' sid=''/>"):       itemNotFound,
		body("rid='1' to='example.com'>" + strings.Repeat("x", 10_000) + "</body>"): policyViolation,
	} {
		status, answer, head := h.post(text)
		if status != 200 || answer != condition_(why) || head.Get("Content-Type") != "text/xml; charset=utf-8" {
			t.Errorf("%.100s: %d %s", text, status, answer)
		}
	}
}

func TestHTTP(t *testing.T) {
	h := open(t, "https://chat.example")
	do := func(method, body string, header ...string) *http.Response {
		r, err := http.NewRequest(method, h.http.URL+web.BOSHPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a
	}
	good := fmt.Sprintf("<body xmlns='%s' rid='%d' to='example.com'/>", NS, firstRID)
	for _, test := range []struct {
		method string
		header []string
		status int
	}{
		{"POST", nil, 200},
		{"POST", []string{"Content-Type", "text/plain"}, 200},
		{"POST", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"POST", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		{"POST", []string{"Content-Type", "text/xml; charset=utf-16"}, 415},
		{"POST", []string{"Content-Type", ";"}, 415},
		{"POST", []string{"Content-Encoding", "gzip"}, 415},
		{"POST", []string{"Origin", "https://chat.example"}, 200},
		{"POST", []string{"Origin", "https://evil.example"}, 403},
		{"OPTIONS", []string{"Origin", "https://evil.example"}, 403},
		{"OPTIONS", []string{"Origin", "https://chat.example"}, 204},
		{"GET", nil, 405},
		{"PUT", nil, 405},
	} {
		a := do(test.method, good, test.header...)
		if a.StatusCode != test.status {
			t.Errorf("%s %v: %s", test.method, test.header, a.Status)
		}
		allowed := a.Header.Get("Access-Control-Allow-Origin")
		if want := len(test.header) > 1 && test.header[1] == "https://chat.example"; (allowed == "https://chat.example") != want || a.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %v: %v", test.method, test.header, a.Header)
		}
	}
	a := do("OPTIONS", "", "Origin", "https://chat.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	if !strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "POST") || a.Header.Get("Access-Control-Allow-Headers") != "Content-Type" || a.Header.Get("Vary") != "Origin" {
		t.Error(a.Header)
	}
}

// A request whose body comes drop by drop is not waited for.
func TestSlowBody(t *testing.T) {
	h := open(t)
	h.door.BodyTimeout = 100 * time.Millisecond
	c, err := net.Dial("tcp", h.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /http-bind HTTP/1.1\r\nHost: example.com\r\nContent-Length: 100\r\n\r\n<body"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c) // ends: the server closes the connection
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("%s %v", answer, err)
	}
}

func TestBothWays(t *testing.T) {
	for _, origin := range []string{"", overHTTP2} {
		testBothWays(t, open(t, origin))
	}
}

func testBothWays(t *testing.T, h *house) {
	c := h.create("")
	got := c.ask("xmlns:p='urn:example:p'", "<message to='a'><body>1</body></message>\n<message xmlns='jabber:client' id='2'><p:x/></message>")
	want := "<message xmlns='jabber:client' to='a'><body>1</body></message>"
	if got != "<body xmlns='"+NS+"'>"+want+"</body>" { // the second is on its way
		if !strings.Contains(got, want) {
			t.Error(got)
		}
	}
	h.hears("message")
	h.hears("message")
	if !strings.Contains(got, "urn:example:p") {
		if got = c.ask("", ""); !strings.Contains(got, "<message xmlns:p='urn:example:p' xmlns='jabber:client' id='2'><p:x/></message>") {
			t.Error(got)
		}
	}
	// What the server has to say of its own accord goes out with the request that waits.
	waiting := c.start("", "")
	(<-h.conn).Send([]byte("<presence/>"))
	if got := <-waiting; got != "<body xmlns='"+NS+"'><presence xmlns='jabber:client'/></body>" {
		t.Error(got)
	}
}

// A new request sends the one home that waits; one is held.
func TestHold(t *testing.T) {
	h := open(t)
	c := h.create("")
	first := c.start("", "")
	second := c.start("", "<silence/>")
	if got := <-first; got != empty {
		t.Error(got)
	}
	h.clock.Pass(maxWait)
	if got := <-second; got != empty {
		t.Error(got)
	}
}

// An answer that was lost comes again, byte for byte (XEP-0124 §14.3).
func TestLostAnswer(t *testing.T) {
	h := open(t)
	c := h.create("")
	first := c.ask("", "<presence id='1'/>")
	second := c.ask("", "<presence id='2'/>")
	for rid, want := range map[uint64]string{c.rid: second, c.rid - 1: first} {
		if _, got, _ := h.post(c.body(rid, "", "<presence id='1'/>")); got != want {
			t.Errorf("%d: %s, not %s", rid, got, want)
		}
	}
	h.hears("presence")
	h.hears("presence") // and no third
	if got := c.ask("", "<end/>"); !strings.Contains(got, "<end") {
		t.Error(got)
	}
	h.hears("end")
	// What is no longer kept ends the session.
	if _, got, _ := h.post(c.body(firstRID+1, "", "")); got != condition_(itemNotFound) {
		t.Error(got)
	}
	if got := c.ask("", ""); got != condition_(itemNotFound) {
		t.Error(got)
	}
	if err := h.ends(); err == nil || errors.Is(err, xmpp.ErrStreamEnd) {
		t.Errorf("it was taken for a farewell: %v", err)
	}
}

// The copy of a request that waits takes its place (§14.3).
func TestCopyOfAWaitingRequest(t *testing.T) {
	h := open(t)
	c := h.create("")
	original := c.start("", "<silence/>")
	h.hears("silence")
	copied := c.startAs(c.rid, "", "<silence/>")
	if got := <-original; got != "<body xmlns='"+NS+"' type='error'/>" {
		t.Error(got)
	}
	(<-h.conn).Send([]byte("<presence/>"))
	if got := <-copied; !strings.Contains(got, "<presence") {
		t.Error(got)
	}
	if len(h.heard) > 0 {
		t.Error("what it brought was taken twice")
	}
}

func TestRequestsOutOfOrder(t *testing.T) {
	h := open(t)
	c := h.create("")
	later := c.startAs(firstRID+2, "", "<b/>")
	select {
	case got := <-h.heard:
		t.Errorf("%s came before its time", got)
	default:
	}
	earlier := c.startAs(firstRID+1, "", "<a/>")
	h.hears("a")
	h.hears("b")
	got := <-earlier
	got += <-later
	for c.rid = firstRID + 2; !strings.Contains(got, "<b "); {
		got += c.ask("", "")
	}
	if a, b := strings.Index(got, "<a"), strings.Index(got, "<b "); a < 0 || b < a {
		t.Error(got)
	}
}

func TestBeyondTheWindow(t *testing.T) {
	h := open(t)
	c := h.create("")
	waiting := c.start("", "")
	if got := <-c.startAs(c.rid+3, "", ""); got != condition_(itemNotFound) {
		t.Error(got)
	}
	if got := <-waiting; got != condition_(itemNotFound) {
		t.Error(got)
	}
	h.ends()
	if len(h.sessions()) > 0 {
		t.Error("the session is still there")
	}
}

// Keys as in XEP-0124 §15.
func TestKeys(t *testing.T) {
	h := open(t)
	chain := []string{"seed"}
	for range 4 {
		chain = append(chain, sha(chain[len(chain)-1]))
	}
	c := h.create("newkey='" + strings.ToUpper(chain[4]) + "'")
	if got := c.ask("key='"+chain[3]+"'", "<a/>"); !strings.Contains(got, "<a") {
		t.Error(got)
	}
	if got := c.ask("key='"+chain[3]+"'", "<a/>"); got != condition_(itemNotFound) {
		t.Error(got)
	}
	c = h.create("newkey='" + chain[2] + "'")
	if got := c.ask("key='"+chain[1]+"' newkey='"+chain[4]+"'", "<a/>"); !strings.Contains(got, "<a") {
		t.Error(got)
	}
	if got := c.ask("key='"+chain[3]+"'", "<b/>"); !strings.Contains(got, "<b") {
		t.Error(got)
	}
	if got := c.ask("", "<c/>"); got != condition_(itemNotFound) {
		t.Error(got)
	}
	for _, name := range []string{"a", "a", "b"} {
		h.hears(name)
	}
	if len(h.heard) > 0 {
		t.Errorf("%s came without its key", <-h.heard)
	}
}

// What one request brings is handled together; the next request's is not before that.
func TestOneBodyIsReadTogether(t *testing.T) {
	s := &session{door: &door{}, requests: 3, hold: 2}
	s.changed.L = &s.mu
	s.door.Clock = new(xmpptest.Clock)
	first, second := &request{body: &body{rid: 1}, answer: make(chan []byte, 1)}, &request{body: &body{rid: 2}, answer: make(chan []byte, 1)}
	for _, f := range []struct {
		q    *request
		text string
	}{{first, "<a/>"}, {first, "<b1/>"}, {second, "<c/>"}} {
		s.bring(f.q, []byte(f.text))
	}
	for _, ready := range []int{5, 0, 0} {
		if _, err := s.NextFrame(); err != nil {
			t.Fatal(err)
		}
		if n := s.Ready(); n != ready {
			t.Errorf("%d bytes are ready, not %d", n, ready)
		}
	}
	s.bring(second, []byte("<d/>"))
	s.Close()
	if n := s.Ready(); n != 0 {
		t.Errorf("%d bytes are ready behind the end", n)
	}
}
