package main

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"mellium.im/sasl"
	mxmpp "mellium.im/xmpp"
	mjid "mellium.im/xmpp/jid"
	mstanza "mellium.im/xmpp/stanza"
	"mellium.im/xmpp/websocket"
	"mellium.im/xmlstream"

	"confab/cmd/internal/dialogue"
)

// TestIndependentWebSocketClient lets mellium's client find the server by its
// host-meta, log in over WebSocket and chat with itself.
func TestIndependentWebSocketClient(t *testing.T) {
	w := startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{{Name: "localhost", Users: []dialogue.User{{Local: "romeo", Password: "pw-romeo"}}}}}).(*world)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
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
