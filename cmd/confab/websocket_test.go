package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	ws "github.com/coder/websocket"
	"mellium.im/sasl"
	"mellium.im/xmlstream"
	mxmpp "mellium.im/xmpp"
	mjid "mellium.im/xmpp/jid"
	mstanza "mellium.im/xmpp/stanza"
	"mellium.im/xmpp/websocket"

	"confab/cmd/internal/dialogue"
)

// TestIndependentWebSocketClient lets mellium's client find the server by its
// host-meta, log in over WebSocket and chat with itself.
func TestIndependentWebSocketClient(t *testing.T) {
	w := startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{{Name: "localhost", Users: []dialogue.User{{Local: "romeo", Password: "pw-romeo"}}}}}).(*world)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	config := &tls.Config{RootCAs: w.Roots(), ServerName: "localhost"}
	web := w.Addr(dialogue.WebSocket)
	dialer := websocket.Dialer{Origin: "https://chat.example", TLSConfig: config, Client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, web)
		},
	}}}
	romeo := mjid.MustParse("romeo@localhost")
	c, err := dialer.Dial(ctx, romeo)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// websocket.NewSession takes the connection for one without TLS if the origin is not wss.
	s, err := mxmpp.NewSession(ctx, romeo.Domain(), romeo, c, mxmpp.Secure, websocket.Negotiator(func(*mxmpp.Session, *mxmpp.StreamConfig) mxmpp.StreamConfig {
		return mxmpp.StreamConfig{Features: []mxmpp.StreamFeature{mxmpp.SASL("", "pw-romeo", sasl.ScramSha256), mxmpp.BindResource()}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(mxmpp.HandlerFunc(func(r xmlstream.TokenReadEncoder, start *xml.StartElement) error {
			if start.Name.Local != "message" {
				return nil
			}
			var m struct {
				Body string `xml:"body"`
			}
			err := xml.NewTokenDecoder(xmlstream.Wrap(r, *start)).Decode(&m)
			if err == nil || err == io.EOF {
				text <- m.Body
				return nil
			}
			return err
		}))
	}()
	message := mstanza.Message{To: s.LocalAddr(), Type: mstanza.ChatMessage}
	body := xmlstream.Wrap(xmlstream.Token(xml.CharData("hi")), xml.StartElement{Name: xml.Name{Local: "body"}})
	if err := s.Send(ctx, message.Wrap(body)); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-text:
		if got != "hi" {
			t.Error(got)
		}
	case err := <-ended:
		t.Fatal(err)
	case <-ctx.Done():
		t.Fatal("nothing came")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Behind a proxy there is no channel to bind to, and wrong passwords are counted
// by who is behind the proxy. Without a proxy there is nothing without TLS.
func TestLoginsBehindProxy(t *testing.T) {
	w := startWorld(t, dialogue.Scene{
		Domains: []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{{Local: "romeo", Password: "pw-romeo"}}}},
		Settings: []dialogue.Setting{{Key: "listen.http", Value: "127.0.0.1:0"}, {Key: "limits.login_failures", Value: "2"},
			{Key: "web.url", Value: "https://chat.example.com"}, {Key: "web.proxies", Value: "127.0.0.1"}},
	}).(*world)
	url := "ws://" + w.server.Listening()["http"][0] + "/xmpp-websocket"
	login := func(from, password string) (features, answer string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, _, err := ws.Dial(ctx, url, &ws.DialOptions{Subprotocols: []string{"xmpp"}, HTTPHeader: http.Header{"X-Forwarded-For": {from}, "X-Forwarded-Proto": {"https"}}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		auth := base64.StdEncoding.EncodeToString([]byte("\x00romeo\x00" + password))
		for _, text := range []string{
			"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>",
			"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + auth + "</auth>",
		} {
			if err := c.Write(ctx, ws.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		var heard []string
		for range 3 {
			_, b, err := c.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			heard = append(heard, string(b))
		}
		return heard[1], heard[2]
	}
	for _, test := range []struct{ from, password, want string }{
		{"198.51.100.7", "wrong", "<not-authorized/>"},
		{"198.51.100.7", "wrong", "<not-authorized/>"},
		{"198.51.100.7", "pw-romeo", "<temporary-auth-failure/>"},
		{"10.0.0.1, 198.51.100.7", "pw-romeo", "<temporary-auth-failure/>"},
		{"198.51.100.8", "pw-romeo", "<success "},
	} {
		features, answer := login(test.from, test.password)
		if strings.Contains(features, "-PLUS") || strings.Contains(features, "channel-binding") || !strings.Contains(features, "<mechanism>SCRAM-SHA-256</mechanism>") {
			t.Errorf("%s was offered %s", test.from, features)
		}
		if !strings.Contains(answer, test.want) {
			t.Errorf("%s heard %s", test.from, answer)
		}
	}
	w.settings.Flags["web-proxies"] = "192.0.2.1"
	if _, err := w.server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, answer, err := ws.Dial(t.Context(), url, &ws.DialOptions{Subprotocols: []string{"xmpp"}, HTTPHeader: http.Header{"X-Forwarded-Proto": {"https"}}})
	if err == nil || answer.StatusCode != http.StatusForbidden {
		t.Error("somebody who is no proxy was let in")
	}
}

// Pages in browsers have nothing to bind a login to, other programs may.
func TestBindingIsOfferedToProgramsOnly(t *testing.T) {
	w := startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{{Local: "romeo", Password: "pw-romeo"}}}}}).(*world)
	client := w.files()
	for _, origin := range []string{"", "https://chat.example.com"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		head := http.Header{}
		if origin != "" {
			head.Set("Origin", origin)
		}
		c, _, err := ws.Dial(ctx, "wss://example.com/xmpp-websocket", &ws.DialOptions{Subprotocols: []string{"xmpp"}, HTTPHeader: head, HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		if err := c.Write(ctx, ws.MessageText, []byte("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>")); err != nil {
			t.Fatal(err)
		}
		var got string
		for !strings.Contains(got, "features") {
			_, b, err := c.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			got = string(b)
		}
		if offered := strings.Contains(got, "-PLUS"); offered != (origin == "") || !strings.Contains(got, "SCRAM-SHA-256<") {
			t.Errorf("with the origin %q there is on offer: %s", origin, got)
		}
	}
}

// Each domain has its own host-meta, by the name that the DNS and web clients know it by.
func TestHostMetaOfEachDomain(t *testing.T) {
	w := startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{{Name: "example.com"}, {Name: "bücher.example"}}}).(*world)
	for host, want := range map[string]string{
		"example.com": "example.com", "xn--bcher-kva.example": "xn--bcher-kva.example", "XN--Bcher-KVA.Example.": "xn--bcher-kva.example",
		"xn--bcher-kva.example:5443": "xn--bcher-kva.example", "elsewhere.example": "example.com",
	} {
		if got := w.hostMeta(host); !strings.Contains(got, "href='wss://"+want+":") {
			t.Errorf("%s: %s", host, got)
		}
	}
}

// hostMeta is what is told to who asks for it at a host.
func (w *world) hostMeta(host string) string {
	w.t.Helper()
	r, err := http.NewRequest("GET", "https://example.com/.well-known/host-meta", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = host
	a, err := w.files().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// What only a start changes is not changed by a reload, in no part; and settings that name no domain are no good.
func TestReloadOfDomains(t *testing.T) {
	w := startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{{Local: "romeo", Password: "pw-romeo"}}}}}).(*world)
	w.settings.Flags["domains"] = "off"
	if _, err := w.server.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "no mail domain is named") {
		t.Errorf("without domains: %v", err)
	}
	mustOnline(t, w.Addr(dialogue.DirectTLS), "romeo") // names no server in TLS
	w.settings.Flags["domains"] = "example.org,example.com"
	r, err := w.server.Reload(t.Context())
	if err != nil || len(r.Changed) > 0 || len(r.Restart) != 1 || r.Restart[0] != "domains" {
		t.Errorf("with another: %+v, %v", r, err)
	}
	if got := w.hostMeta("elsewhere.example"); !strings.Contains(got, "wss://example.com:") {
		t.Errorf("host-meta: %s", got)
	}
}
