package bosh

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/c2s"
	"confab/xmpp/stream"
	"confab/xmpp/web"
	"confab/xmpp/xmpptest"
)

// overHTTP2 in place of an origin has the house speak HTTP/2, as browsers do.
const overHTTP2 = "https://http2.example"

// patience is how long a test waits for what has to come.
const patience = 2 * time.Minute

// house is a door with somebody behind it who says hello, sends back what he gets,
// and answers <quit/> by an error.
type house struct {
	t     *testing.T
	door  *door
	http  *httptest.Server
	user  *http.Client
	clock xmpptest.Clock
	heard chan string       // the local name of each element that came
	ended chan error        // how a stream ended
	conn  chan *stream.Conn // of each session
}

func open(t *testing.T, origins ...string) *house {
	t.Helper()
	h := &house{t: t, heard: make(chan string, 100), ended: make(chan error, 100), conn: make(chan *stream.Conn, 100)}
	options := &stream.Options{}
	options.Prepare()
	h.door = newDoor(Options{
		Take: func(a c2s.Arrival) bool {
			c := stream.New(a.Conn, options)
			h.conn <- c
			go func() { h.ended <- h.serve(c) }()
			return true
		},
		Origins: func() web.Origins { return origins },
		Limits:  func() (int, int) { return 1000, 5000 },
		Clock:   &h.clock,
	})
	mux := http.NewServeMux()
	for _, r := range h.door.routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	h.http = httptest.NewUnstartedServer(mux)
	if h.http.EnableHTTP2 = len(origins) == 1 && origins[0] == overHTTP2; h.http.EnableHTTP2 {
		h.http.StartTLS()
	} else {
		h.http.Start()
	}
	h.user = h.http.Client()
	t.Cleanup(func() {
		for _, s := range h.sessions() {
			s.Close()
		}
		h.http.Close()
	})
	return h
}

func (h *house) sessions() (all []*session) {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	for _, s := range h.door.sessions {
		all = append(all, s)
	}
	return all
}

func (h *house) serve(c *stream.Conn) error {
	defer c.Finish()
	header, err := c.ReadHeader()
	if err != nil {
		return err
	}
	c.Open([]byte("<open xmlns='" + xmpp.NSFraming + "' from='" + header.To + "'/>"))
	c.Send([]byte("<stream:features/>"))
	var st xmpp.Stanza
	for {
		if err := c.Read(&st); err != nil {
			return err
		}
		h.heard <- string(st.Local)
		switch string(st.Local) {
		case "quit":
			c.Close(&xmpp.StreamError{Condition: xmpp.StreamCondition(st.Node().Attr("why"))})
			return io.EOF
		case "in":
			c.LoggedIn()
			c.Send([]byte("<in/>"))
		case "silence":
		default:
			c.Send(xmpp.AppendFramed(nil, st.Raw))
		}
	}
}

// post sends a body and returns what is answered.
func (h *house) post(text string, header ...string) (status int, answer string, head http.Header) {
	h.t.Helper()
	r, err := http.NewRequest("POST", h.http.URL+web.BOSHPath, strings.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/xml; charset=utf-8")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := h.user.Do(r)
	if err != nil {
		h.t.Error(err)
		return 0, "", nil
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		h.t.Error(err)
	}
	return a.StatusCode, string(b), a.Header
}

// client is a session's other end.
type client struct {
	*house
	sid string
	rid uint64
}

const firstRID = 1_000_000

// create makes a session whose first answer brought the features.
func (h *house) create(attributes string) *client {
	h.t.Helper()
	_, text, _ := h.post(fmt.Sprintf("<body xmlns='%s' rid='%d' to='example.com' wait='60' hold='1' ver='1.6' %s/>", NS, firstRID, attributes))
	b, err := xmpp.ParseNode([]byte(text))
	if err != nil || b.Attr("sid") == "" {
		h.t.Fatalf("%s: %v", text, err)
	}
	return &client{h, b.Attr("sid"), firstRID}
}

func (c *client) body(rid uint64, attributes, payloads string) string {
	return fmt.Sprintf("<body xmlns='%s' sid='%s' rid='%d' %s>%s</body>", NS, c.sid, rid, attributes, payloads)
}

// ask sends the next request and waits for its answer.
func (c *client) ask(attributes, payloads string) string {
	c.t.Helper()
	return <-c.start(attributes, payloads)
}

// start sends the next request and returns when the server has it.
func (c *client) start(attributes, payloads string) <-chan string {
	c.t.Helper()
	c.rid++
	return c.startAs(c.rid, attributes, payloads)
}

func (c *client) startAs(rid uint64, attributes, payloads string) <-chan string {
	c.t.Helper()
	answer := make(chan string, 1)
	go func() {
		_, text, _ := c.post(c.body(rid, attributes, payloads))
		answer <- text
	}()
	c.until(func() bool {
		s := c.door.find(c.sid)
		if s == nil || len(answer) > 0 {
			return true
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.last >= rid || s.early[rid] != nil
	})
	return answer
}

// until waits for what other goroutines are about to do.
func (h *house) until(done func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			h.t.Fatal("it did not happen")
		}
	}
}

// hears checks the next element that came in.
func (h *house) hears(name string) {
	h.t.Helper()
	select {
	case got := <-h.heard:
		if got != name {
			h.t.Errorf("%s was heard, not %s", got, name)
		}
	case <-time.After(patience):
		h.t.Fatalf("%s was not heard", name)
	}
}

// ends waits for the end of a stream.
func (h *house) ends() error {
	h.t.Helper()
	select {
	case err := <-h.ended:
		return err
	case <-time.After(patience):
		h.t.Fatal("the stream did not end")
		return nil
	}
}

const (
	empty      = "<body xmlns='" + NS + "'/>"
	terminated = "<body xmlns='" + NS + "' type='terminate'"
)

func condition_(c condition) string { return terminated + " condition='" + string(c) + "'/>" }
