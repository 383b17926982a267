package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"time"

	"confab/xmpp"
)

// wire is the TCP connection, and remembers the certificate that TLS sent over it.
type wire struct {
	net.Conn
	sent *x509.Certificate
	wait waiter

	shaking bool // a handshake is under way, which has one of xmpp.Heavy's turns
}

// await reads. A handshake leaves its turn to others meanwhile: a peer that does not go on keeps nobody out.
func (w *wire) await(b []byte) (int, error) {
	if !w.shaking {
		return w.Conn.Read(b)
	}
	xmpp.Heavy.Give()
	n, err := w.Conn.Read(b)
	// It is given back by whoever began, so it has to be had.
	_ = xmpp.Heavy.Take(context.Background())
	return n, err
}

// errNothing is the error of a read that would have to wait. After an error that calls itself temporary crypto/tls can go on.
var errNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing to be read yet" }
func (nothing) Timeout() bool   { return false }
func (nothing) Temporary() bool { return true }

// Certificate notes which certificate goes out on a connection. A
// tls.Config.GetCertificate calls it with what it returns, so that the
// tls-server-end-point binding is that of the certificate this peer saw.
func Certificate(hello *tls.ClientHelloInfo, c *tls.Certificate) {
	w, ok := hello.Conn.(*wire)
	if c == nil || !ok {
		return
	}
	w.sent = c.Leaf
	if w.sent == nil && len(c.Certificate) > 0 {
		w.sent, _ = x509.ParseCertificate(c.Certificate[0])
	}
}

// Noted returns the certificate that TLS sent on a connection that Handshake has secured, or nil.
func Noted(c *tls.Conn) *x509.Certificate {
	if w, ok := c.NetConn().(*wire); ok {
		return w.sent
	}
	return nil
}

// Handshake secures a connection for somebody else's protocol, as StartTLS does for ours. It may take timeout, the wait for
// a turn another. If it fails the connection is the caller's to close.
func Handshake(c net.Conn, config *tls.Config, timeout time.Duration) (*tls.Conn, error) {
	w := &wire{Conn: c}
	w.prepare()
	return w.handshake(config, timeout)
}

// Gather reads from a connection that Handshake has secured. It waits for something, and adds what has come meanwhile: a
// read of TLS returns one record, and most clients send one for each frame.
func Gather(c *tls.Conn, b []byte) (n int, err error) {
	w, ok := c.NetConn().(*wire)
	if !ok {
		return c.Read(b)
	}
	n, err = w.readFrom(c, b)
	for more := n; err == nil && more > 0 && n < len(b); n += more {
		more = w.readNow(c, b[n:])
	}
	return n, err
}

// handshake is that of a server, as soon as it is its turn. The limit is timeout for the wait, and again for the handshake.
func (w *wire) handshake(config *tls.Config, timeout time.Duration) (*tls.Conn, error) {
	if !xmpp.Heavy.TakeWithin(timeout) {
		return nil, errors.New("too many handshakes at a time")
	}
	defer xmpp.Heavy.Give()
	w.shaking = true
	defer func() { w.shaking = false }()
	secured := tls.Server(w, config)
	// As HandshakeContext would, but without a goroutine for each.
	late := time.AfterFunc(timeout, func() { w.Close() })
	err := shake(secured)
	if !late.Stop() && err == nil {
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		return nil, err
	}
	shed(secured)
	return secured, nil
}

// StartTLS secures the connection; after <proceed/>, or as its first act
// (XEP-0368). Input that came before the handshake is an error: an attacker
// could have put it there (RFC 6120 §5.4.3.3). White space means nothing.
func (x *Conn) StartTLS(config *tls.Config) error {
	if len(bytes.TrimSpace(x.in[x.next:])) > 0 {
		return errors.New("plaintext behind <starttls/>")
	}
	if err := x.settle(); err != nil {
		return err
	}
	x.release()
	x.Restart()
	secured, err := x.raw.handshake(config, x.opts.TLSTimeout)
	if err != nil {
		x.opts.Stats.TLSFailures.Add(1)
		if p := new(PanicError); errors.As(err, &p) {
			x.opts.Log.Error("a handshake panicked", "panic", p.Value, "stack", string(p.Stack))
		}
		return err
	}
	x.mu.Lock()
	x.tls, x.net = secured, secured
	x.mu.Unlock()
	return nil
}

// A handshake needs much stack. The reader's is to stay small, and a new goroutine's grows step by step, each time a copy
// of all that came before: so those that have made a handshake wait a moment for the next.
var handshakes = make(chan handshake)

type handshake struct {
	conn *tls.Conn
	done chan<- error
}

const handshakeRest = time.Second

// shake makes a handshake on another goroutine.
func shake(c *tls.Conn) error {
	done := make(chan error, 1)
	h := handshake{c, done}
	select {
	case handshakes <- h:
	default:
		go h.work()
	}
	return <-done
}

// work makes this handshake and those that come soon after it.
func (h handshake) work() {
	rest := time.NewTimer(handshakeRest)
	defer rest.Stop()
	for {
		h.done <- h.run()
		h = handshake{}
		rest.Reset(handshakeRest)
		select {
		case h = <-handshakes:
		case <-rest.C:
			return
		}
	}
}

func (h handshake) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return h.conn.Handshake()
}

// PanicError is the end of a handshake in which something panicked, such as a function of the tls.Config: that of one
// connection, not of the process.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string {
	return fmt.Sprintf("a handshake panicked: %v\n%s", e.Value, e.Stack)
}

// TLS describes the secured connection; nil: not secured.
func (x *Conn) TLS() *tls.ConnectionState {
	if x.tls == nil {
		return nil
	}
	s := x.tls.ConnectionState()
	return &s
}

// Sent returns the certificate that TLS sent on this connection, or nil.
func (x *Conn) Sent() *x509.Certificate { return x.raw.sent }

// closeTimeout bounds the end of a stream: writing our last words, and waiting
// for the peer's.
const closeTimeout = 2 * time.Second
