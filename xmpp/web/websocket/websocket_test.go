package websocket_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	ws "github.com/coder/websocket"

	"confab/xmpp"
	"confab/xmpp/c2s"
	"confab/xmpp/stream"
	"confab/xmpp/web"
	"confab/xmpp/web/websocket"
	"confab/xmpp/xmpptest"
)

// house is a door with somebody behind it who sends back what he gets.
type house struct {
	t     *testing.T
	http  *httptest.Server
	clock xmpptest.Clock
	conn  chan *stream.Conn
	ended chan error
}

func open(t *testing.T, origins ...string) *house {
	t.Helper()
	h := &house{t: t, conn: make(chan *stream.Conn, 10), ended: make(chan error, 10)}
	options := &stream.Options{WriteTimeout: 10 * time.Second}
	options.Prepare()
	mux := http.NewServeMux()
	route := websocket.Route(websocket.Options{
		Take: func(a c2s.Arrival) bool {
			c := stream.New(a.Conn, options)
			h.conn <- c
			go func() { h.ended <- echo(c) }()
			return true
		},
		Origins: func() web.Origins { return origins },
		Clock:   &h.clock,
		Log:     slog.New(slog.DiscardHandler),
	})
	mux.Handle(route.Pattern, route.Handler)
	h.http = httptest.NewServer(mux)
	t.Cleanup(h.http.Close)
	return h
}

func echo(c *stream.Conn) error {
	defer c.Finish()
	err := func() error {
		if _, err := c.ReadHeader(); err != nil {
			return err
		}
		c.Open(nil)
		var st xmpp.Stanza
		for {
			if err := c.Read(&st); err != nil {
				return err
			}
			c.Send(st.Raw)
		}
	}()
	var se *xmpp.StreamError
	if errors.As(err, &se) {
		c.Close(se)
	}
	return err
}

func (h *house) dial() *ws.Conn {
	h.t.Helper()
	c, _, err := ws.Dial(h.t.Context(), h.http.URL+web.WebSocketPath, &ws.DialOptions{Subprotocols: []string{"xmpp"}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.CloseNow() })
	h.say(c, "<open xmlns='"+xmpp.NSFraming+"'/>")
	return c
}

func (h *house) say(c *ws.Conn, text string) {
	h.t.Helper()
	if err := c.Write(h.t.Context(), ws.MessageText, []byte(text)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) hear(c *ws.Conn) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	kind, b, err := c.Read(ctx)
	if err != nil || kind != ws.MessageText {
		h.t.Fatal(kind, err)
	}
	return string(b)
}

func (h *house) end() error {
	h.t.Helper()
	select {
	case err := <-h.ended:
		return err
	case <-time.After(time.Minute):
		h.t.Fatal("the connection did not end")
		return nil
	}
}

func TestHandshakes(t *testing.T) {
	h := open(t, "https://chat.example")
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	for _, test := range []struct {
		name   string
		method string
		header []string
		status int
	}{
		{"a page in the browser", "GET", nil, 426},
		{"no subprotocol", "GET", upgrade, 400},
		{"another subprotocol", "GET", append([]string{"Sec-WebSocket-Protocol", "xmpp2, mqtt"}, upgrade...), 400},
		{"one of several", "GET", append([]string{"Sec-WebSocket-Protocol", "mqtt, xmpp"}, upgrade...), 101},
		{"no key", "GET", append([]string{"Sec-WebSocket-Protocol", "xmpp"}, upgrade[:6]...), 400},
		{"an old version", "GET", append([]string{"Sec-WebSocket-Protocol", "xmpp", "Sec-WebSocket-Version", "8"}, append(upgrade[:4:4], upgrade[6:]...)...), 400},
		{"an allowed site", "GET", append([]string{"Sec-WebSocket-Protocol", "xmpp", "Origin", "https://chat.example"}, upgrade...), 101},
		{"another site", "GET", append([]string{"Sec-WebSocket-Protocol", "xmpp", "Origin", "https://evil.example"}, upgrade...), 403},
		{"a POST", "POST", upgrade, 405},
	} {
		r, err := http.NewRequest(test.method, h.http.URL+web.WebSocketPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(test.header); i += 2 {
			r.Header.Set(test.header[i], test.header[i+1])
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(test.name, err)
		}
		a.Body.Close()
		if a.StatusCode != test.status || test.status == 101 && a.Header.Get("Sec-WebSocket-Protocol") != "xmpp" {
			t.Errorf("%s: %s %v", test.name, a.Status, a.Header)
		}
	}
}

// Each element leaves in a frame of its own and stands alone, however many were
// appended at once.
func TestFrames(t *testing.T) {
	h := open(t)
	c := h.dial()
	server := <-h.conn
	server.Send([]byte("<stream:features><a xmlns='b'/></stream:features><message><body>&lt;&gt;</body></message><r xmlns='" + xmpp.NSSM + "'/>"))
	for _, want := range []string{
		"<stream:features xmlns:stream='http://etherx.jabber.org/streams'><a xmlns='b'/></stream:features>",
		"<message xmlns='jabber:client'><body>&lt;&gt;</body></message>",
		"<r xmlns='urn:xmpp:sm:3'/>",
	} {
		if got := h.hear(c); got != want {
			t.Error(got)
		}
	}
	large := "<message xmlns='jabber:client'>" + strings.Repeat("x", 200<<10) + "</message>"
	c.SetReadLimit(1 << 20)
	for range 3 {
		h.say(c, "<a xmlns='b'/>")
	}
	server.Send([]byte(large))
	var got []string
	for range 4 {
		got = append(got, h.hear(c))
	}
	if n := len(strings.Join(got, "")); n != len(large)+3*len("<a xmlns='b'/>") {
		t.Errorf("%d bytes", n)
	}
}

func TestBinaryFrame(t *testing.T) {
	h := open(t)
	c := h.dial()
	if err := c.Write(t.Context(), ws.MessageBinary, []byte("<a xmlns='b'/>")); err != nil {
		t.Fatal(err)
	}
	if got := h.hear(c); !strings.Contains(got, "<bad-format") {
		t.Error(got)
	}
	if got := h.hear(c); got != "<close xmlns='"+xmpp.NSFraming+"'/>" {
		t.Error(got)
	}
	if _, _, err := c.Read(t.Context()); ws.CloseStatus(err) != ws.StatusNormalClosure {
		t.Error(err)
	}
	h.end()
}

// The stream is closed, then the WebSocket (RFC 7395 §3.6).
func TestClosing(t *testing.T) {
	h := open(t)
	c := h.dial()
	h.say(c, "<close xmlns='"+xmpp.NSFraming+"'/>")
	if got := h.hear(c); got != "<close xmlns='"+xmpp.NSFraming+"'/>" {
		t.Error(got)
	}
	if _, _, err := c.Read(t.Context()); ws.CloseStatus(err) != ws.StatusNormalClosure {
		t.Error(err)
	}
	if err := h.end(); err != xmpp.ErrStreamEnd {
		t.Error(err)
	}

	// Without <close/>, the connection was lost.
	c = h.dial()
	if err := c.Close(ws.StatusGoingAway, ""); err != nil {
		t.Error(err)
	}
	if err := h.end(); err == nil || err == xmpp.ErrStreamEnd {
		t.Error(err)
	}
}

// Clients at rest are pinged, and those that answer stay.
func TestPing(t *testing.T) {
	h := open(t)
	pings := make(chan bool, 1)
	c, _, err := ws.Dial(t.Context(), h.http.URL+web.WebSocketPath, &ws.DialOptions{
		Subprotocols:   []string{"xmpp"},
		OnPingReceived: func(context.Context, []byte) bool { pings <- true; return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	h.say(c, "<open xmlns='"+xmpp.NSFraming+"'/>")
	h.say(c, "<a xmlns='b'/>")
	h.hear(c)
	go c.Read(t.Context()) // takes control frames
	for range 3 {
		h.clock.Pass(time.Minute)
		<-pings
		for h.clock.Timers() == 0 {
			select {
			case err := <-h.ended:
				t.Fatal(err)
			default:
				runtime.Gosched()
			}
		}
	}
}

// Many connections in a row leave nothing behind.
func TestAbort(t *testing.T) {
	h := open(t)
	for range 10 {
		c := h.dial()
		(<-h.conn).Abort()
		if _, _, err := c.Read(t.Context()); err == nil || errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := h.end(); err == nil || err == io.EOF && h.clock.Timers() > 0 {
			t.Error(err)
		}
	}
	if n := h.clock.Timers(); n > 0 {
		t.Errorf("%d timers", n)
	}
}
