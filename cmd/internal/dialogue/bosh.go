package dialogue

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	nsBOSH  = "http://jabber.org/protocol/httpbind"
	nsXBOSH = "urn:xmpp:xbosh"
)

// bosh is a session by XEP-0124 and XEP-0206. It always has a request waiting.
type bosh struct {
	client *http.Client
	url    string

	mu       sync.Mutex
	changed  sync.Cond
	sid      string
	rid      uint64            // of the last request
	pending  int               // requests without an answer
	answers  map[uint64]string // that came before those of earlier requests
	heard    uint64            // rid of the last answer that was read
	elements []string          // not heard yet
	silent   bool              // no more requests are made
	end      error
}

func dialBOSH(addr string, config *tls.Config, patience time.Duration) (*bosh, *tls.ConnectionState, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, config)
	if err != nil {
		return nil, nil, err
	}
	state := c.ConnectionState()
	if err := c.Close(); err != nil {
		return nil, nil, err
	}
	b := &bosh{
		client: &http.Client{Transport: &http.Transport{
			TLSClientConfig: config,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, addr)
			},
		}},
		url: "https://" + config.ServerName + "/http-bind", answers: map[uint64]string{},
		rid: 1 + rand.Uint64N(1<<40),
	}
	b.heard = b.rid
	b.changed.L = &b.mu
	return b, &state, nil
}

// send sends elements in one request. Tags of a stream are attributes of the wrapper.
func (b *bosh) send(elements []string, _ time.Duration) error {
	attributes, payloads := "", ""
	for _, e := range elements {
		n, err := readFrame(e)
		switch {
		case err != nil:
			return err
		case n.is(nsStream, "stream"):
			attributes += b.opening(n)
		case n.is(nsStream, streamEnd):
			attributes += " type='terminate'"
		default:
			payloads += e
		}
	}
	return b.raw(attributes+">"+payloads, 0)
}

// opening is what stands for a stream's tag: a new session, or a restart.
func (b *bosh) opening(n *node) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := " xmlns:xmpp='" + nsXBOSH + "' xmpp:restart='true'"
	if b.sid == "" {
		text = " xmlns:xmpp='" + nsXBOSH + "' xmpp:version='" + n.attr("version") + "' ver='1.6' wait='60' hold='1'"
	}
	for _, a := range n.attrs {
		switch {
		case a.space == nsXML && a.local == "lang":
			text += " xml:lang='" + escape(a.value) + "'"
		case a.space == "" && a.local != "version":
			text += " " + a.local + "='" + escape(a.value) + "'"
		}
	}
	return text
}

// raw sends a request: what is behind rid and sid in the wrapper's tag, up to its end tag.
func (b *bosh) raw(rest string, _ time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.pending > 1 && b.end == nil { // two requests at a time
		b.changed.Wait()
	}
	if b.end != nil {
		return b.end
	}
	b.rid++
	text := fmt.Sprintf("<body xmlns='%s' rid='%d'", nsBOSH, b.rid)
	if b.sid != "" {
		text += " sid='" + b.sid + "'"
	}
	b.pending++
	go b.post(b.rid, text+rest+"</body>")
	return nil
}

func (b *bosh) post(rid uint64, text string) {
	answer, err := b.client.Post(b.url, "text/xml; charset=utf-8", strings.NewReader(text))
	var body []byte
	if err == nil {
		body, err = io.ReadAll(answer.Body)
		if answer.Body.Close(); err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", answer.Status, body)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.changed.Broadcast()
	b.pending--
	if err != nil {
		b.fail(err)
		return
	}
	b.answers[rid] = string(body)
	for b.answers[b.heard+1] != "" && b.end == nil {
		b.heard++
		text := b.answers[b.heard]
		delete(b.answers, b.heard)
		if err := b.hear(text); err != nil {
			b.fail(err)
		}
	}
	if b.end == nil && b.pending == 0 && !b.silent {
		b.rid++
		b.pending++
		go b.post(b.rid, fmt.Sprintf("<body xmlns='%s' rid='%d' sid='%s'/>", nsBOSH, b.rid, b.sid))
	}
}

func (b *bosh) fail(err error) {
	if b.end == nil {
		b.end = err
	}
}

// hear takes an answer apart. The answer to the first request is the stream's tag,
// too, and so is the next that brings something after a restart.
func (b *bosh) hear(text string) error {
	r := &reader{dec: xml.NewDecoder(strings.NewReader(text))}
	n, err := r.next()
	if err != nil {
		return fmt.Errorf("the answer %q: %w", text, err)
	}
	if !n.is(nsBOSH, "body") {
		return fmt.Errorf("no body: %s", text)
	}
	if b.sid == "" {
		b.sid = n.attr("sid")
	}
	payloads, err := children(text)
	if err != nil {
		return err
	}
	b.elements = append(b.elements, payloads...)
	if n.attr("type") == "terminate" {
		if c := n.attr("condition"); c != "" && c != "remote-stream-error" {
			b.elements = append(b.elements, "<terminated xmlns='"+nsBOSH+"' condition='"+c+"'/>")
		}
		b.elements = append(b.elements, "<close xmlns='"+nsFraming+"'/>")
		b.fail(io.EOF)
	}
	return nil
}

// children are the elements inside of a wrapper, which must stand alone: they declare their namespaces.
func children(text string) ([]string, error) {
	var all []string
	dec := xml.NewDecoder(strings.NewReader(text))
	var start int64
	for depth := 0; ; {
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
			if depth++; depth == 2 {
				start = from
			}
		case xml.EndElement:
			if depth--; depth == 1 {
				all = append(all, text[start:dec.InputOffset()])
			}
		case xml.CharData:
			if depth < 2 && len(bytes.TrimSpace(tok)) > 0 {
				return nil, fmt.Errorf("text in the wrapper: %q", tok)
			}
		}
	}
}

func (b *bosh) next() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.elements) == 0 && b.end == nil {
		b.changed.Wait()
	}
	if len(b.elements) == 0 {
		return "", b.end
	}
	text := b.elements[0]
	b.elements = b.elements[1:]
	return text, nil
}

// hangUp is silence. The server is told that it may last a second, so that it notices soon (XEP-0124 §10).
func (b *bosh) hangUp() error {
	if err := b.raw(" pause='1'>", 0); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = true
	for b.pending > 0 && b.end == nil {
		b.changed.Wait()
	}
	b.fail(io.EOF)
	b.changed.Broadcast()
	return nil
}

// Close makes no more requests.
func (b *bosh) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail(io.EOF)
	b.changed.Broadcast()
	return nil
}
