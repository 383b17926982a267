package dialogue

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// framed is a transport that carries elements one by one. A script speaks and hears as on a stream; <open/> and
// <close/> (RFC 7395 §3.3) stand for the stream's tags underneath.
type framed interface {
	// send sends elements, each standing alone, <open/> and <close/> among them.
	send(elements []string, patience time.Duration) error
	// raw sends what may be nothing of the kind, in one frame.
	raw(text string, patience time.Duration) error
	// next waits for an element.
	next() (string, error)
	// hangUp ends the connection without a word.
	hangUp() error
	Close() error
}

const nsFraming = "urn:ietf:params:xml:ns:xmpp-framing"

// frames splits what is said on a stream into elements that stand alone.
func frames(text string) ([]string, error) {
	var all []string
	dec := xml.NewDecoder(strings.NewReader(text))
	start, depth := int64(0), 0
	for {
		from := dec.InputOffset()
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if depth == 0 && tok.Name.Space == "stream" && tok.Name.Local == "stream" {
				all = append(all, opening(tok))
				continue
			}
			if depth++; depth == 1 {
				start = from
			}
		case xml.EndElement:
			if depth == 0 {
				all = append(all, "<close xmlns='"+nsFraming+"'/>")
				continue
			}
			if depth--; depth == 0 {
				all = append(all, standingAlone(text[start:dec.InputOffset()]))
			}
		}
	}
}

// opening is <open/> for the tag of a stream.
func opening(tag xml.StartElement) string {
	b := "<open xmlns='" + nsFraming + "'"
	for _, a := range tag.Attr {
		switch {
		case a.Name.Space == "xml":
			b += " xml:" + a.Name.Local + "='" + escape(a.Value) + "'"
		case a.Name.Space == "" && a.Name.Local != "xmlns":
			b += " " + a.Name.Local + "='" + escape(a.Value) + "'"
		}
	}
	return b + "/>"
}

// standingAlone declares what the stream's tag would have declared.
func standingAlone(element string) string {
	end := strings.IndexAny(element, " \t\r\n/>")
	tag := element[:strings.IndexByte(element, '>')+1]
	switch {
	case strings.HasPrefix(element, "<stream:") && !strings.Contains(tag, "xmlns:stream="):
		return element[:end] + " xmlns:stream='" + nsStream + "'" + element[end:]
	case !strings.Contains(element[:end], ":") && !strings.Contains(tag, "xmlns="):
		return element[:end] + " xmlns='" + nsClient + "'" + element[end:]
	}
	return element
}

// readFrame reads an element that stands alone, as it would be on a stream.
func readFrame(text string) (*node, error) {
	if !strings.HasPrefix(text, "<") {
		return nil, fmt.Errorf("the frame %q does not begin with an element", text)
	}
	r := &reader{dec: xml.NewDecoder(strings.NewReader(text))}
	n, err := r.next()
	if err != nil {
		return nil, fmt.Errorf("the frame %q: %w", text, err)
	}
	if more, err := r.next(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("behind the element of a frame: %v, %w", more, err)
	}
	switch {
	case n.is(nsFraming, "open"):
		n.space, n.local = nsStream, "stream"
	case n.is(nsFraming, "close"):
		return &node{space: nsStream, local: streamEnd}, nil
	}
	return n, nil
}

// webSocket is a connection by RFC 7395.
type webSocket struct {
	ws  *websocket.Conn
	tcp net.Conn
}

func dialWebSocket(addr string, config *tls.Config, patience time.Duration) (*webSocket, *tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w := new(webSocket)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			w.tcp = c
			return c, err
		},
	}}
	ws, answer, err := websocket.Dial(ctx, "wss://"+config.ServerName+"/xmpp-websocket", &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"xmpp"}})
	if err != nil {
		return nil, nil, err
	}
	if ws.Subprotocol() != "xmpp" {
		return nil, nil, fmt.Errorf("the subprotocol is %q", ws.Subprotocol())
	}
	ws.SetReadLimit(-1)
	w.ws = ws
	return w, answer.TLS, nil
}

func (w *webSocket) send(elements []string, patience time.Duration) error {
	for _, e := range elements {
		if err := w.raw(e, patience); err != nil {
			return err
		}
	}
	return nil
}

func (w *webSocket) raw(text string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.ws.Write(ctx, websocket.MessageText, []byte(text))
}

func (w *webSocket) next() (string, error) {
	kind, b, err := w.ws.Read(context.Background())
	if err == nil && kind != websocket.MessageText {
		err = fmt.Errorf("a frame of kind %v", kind)
	}
	return string(b), err
}

func (w *webSocket) hangUp() error {
	if tcp, ok := w.tcp.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return fmt.Errorf("%T cannot be closed half", w.tcp)
}

func (w *webSocket) Close() error { return w.tcp.Close() }

// framedSock is a framed transport where a socket is expected.
type framedSock struct {
	net.Conn // nil: nothing else is called
	framed
	once sync.Once
}

func (s *framedSock) Close() (err error) {
	s.once.Do(func() { err = s.framed.Close() })
	return err
}
