package web

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"

	"confab/xmpp/accept"
	"confab/xmpp/stream"
)

// secured is a listener that makes the handshakes of TLS itself, so that they take their turns like those of streams: left
// to net/http they would all want the processor at once.
type secured struct {
	net.Listener
	srv   *Server
	door  accept.Door[net.Conn] // of those whose handshake is under way
	ready chan net.Conn
	ended chan error
}

func (s *Server) secure(l net.Listener) net.Listener {
	x := &secured{Listener: l, srv: s, ready: make(chan net.Conn), ended: make(chan error, 1)}
	go func() { x.ended <- x.door.Serve(l, s.opts.Log, x.take) }()
	return x
}

func (x *secured) take(c net.Conn) {
	who := accept.SubscriberOf(c.RemoteAddr())
	if !x.srv.waiting.Enter(who, x.srv.opts.Handshakes) {
		x.srv.Stats.TLSFailures.Add(1)
		c.Close()
		return
	}
	if !x.door.Enter(c) {
		x.srv.waiting.Leave(who)
		c.Close()
		return
	}
	go func() {
		t, err := stream.Handshake(c, x.srv.tls, headerTimeout)
		x.srv.waiting.Leave(who)
		x.door.Leave(c) // Close closes none that net/http has
		if err != nil {
			x.srv.Stats.TLSFailures.Add(1)
			level := slog.LevelDebug
			if p := new(stream.PanicError); errors.As(err, &p) {
				level = slog.LevelError
			}
			x.srv.opts.Log.Log(context.Background(), level, "no handshake", "error", err, "from", c.RemoteAddr().String())
			refuse(c, err)
			return
		}
		select {
		case x.ready <- t:
		case <-x.door.Done():
			c.Close()
		}
	}()
}

// refuse closes a connection. Who forgot the s of https is told.
func refuse(c net.Conn, err error) {
	defer c.Close()
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || header.Conn == nil {
		return
	}
	switch string(header.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\nuse https\n") // or not
	}
}

// Accept returns the next connection that is secured.
func (x *secured) Accept() (net.Conn, error) {
	select {
	case c := <-x.ready:
		return c, nil
	case err := <-x.ended:
		return nil, err
	}
}

// Close closes the listener, and the connections that are not secured.
func (x *secured) Close() error {
	x.door.Close()
	for _, c := range x.door.Inside() {
		c.Close()
	}
	return nil
}
