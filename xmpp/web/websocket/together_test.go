package websocket_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	ws "github.com/coder/websocket"

	"confab/xmpp"
	"confab/xmpp/c2s"
	"confab/xmpp/feature"
	"confab/xmpp/stream"
	"confab/xmpp/web"
	"confab/xmpp/web/websocket"
	"confab/xmpp/xmpptest"
)

// corked is a connection that can keep what is written, to send it in one piece.
type corked struct {
	net.Conn
	cork bool
	kept bytes.Buffer
}

func (c *corked) Write(b []byte) (int, error) {
	if c.cork {
		return c.kept.Write(b)
	}
	return c.Conn.Write(b)
}

// Frames that have come together, each in a record of TLS of its own, are read together.
func TestFramesOfSeveralRecords(t *testing.T) {
	options := &stream.Options{}
	options.Prepare()
	conns := make(chan *stream.Conn, 1)
	route := websocket.Route(websocket.Options{
		Take:    func(a c2s.Arrival) bool { conns <- stream.New(a.Conn, options); return true },
		Origins: func() web.Origins { return nil },
		Clock:   new(xmpptest.Clock),
		Log:     slog.New(slog.DiscardHandler),
	})
	borrowed := httptest.NewTLSServer(nil) // for its certificate
	defer borrowed.Close()
	s, err := web.New(web.Options{Routes: []feature.Route{route}, TLS: &tls.Config{Certificates: borrowed.TLS.Certificates}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	defer s.Shutdown(context.Background())

	line := new(corked)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		if line.Conn, err = net.Dial(network, l.Addr().String()); err != nil {
			return nil, err
		}
		c := tls.Client(line, &tls.Config{InsecureSkipVerify: true}) // the certificate is httptest's
		return c, c.HandshakeContext(ctx)
	}
	c, _, err := ws.Dial(t.Context(), "wss://example.com"+web.WebSocketPath, &ws.DialOptions{
		Subprotocols: []string{"xmpp"}, HTTPClient: &http.Client{Transport: &http.Transport{DialTLSContext: dial}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	say := func(text string) {
		t.Helper()
		if err := c.Write(t.Context(), ws.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say("<open xmlns='" + xmpp.NSFraming + "'/>")
	x := <-conns
	if _, err := x.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	line.cork = true
	for i := range 4 {
		say(fmt.Sprintf("<message xmlns='jabber:client' id='%d'><body>%s</body></message>", i, strings.Repeat("x", 100*i)))
	}
	if _, err := line.Conn.Write(line.kept.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := x.Fill(); err != nil {
		t.Fatal(err)
	}
	var elements [4]xmpp.Stanza
	for i := range elements {
		if i > 0 && !x.More() {
			t.Fatalf("%d of 4 frames were read together", i)
		}
		if ok, err := x.Next(&elements[i]); !ok {
			t.Fatal(err)
		}
	}
	if x.More() {
		t.Error("there is more")
	}
	for i := range elements {
		if string(elements[i].ID) != fmt.Sprint(i) {
			t.Errorf("message %d became %q", i, elements[i].Raw)
		}
	}
	x.Abort()
}
