package stream

import (
	"context"
	"crypto"
	"crypto/sha256"
	_ "crypto/sha512" // hashes of certificate signatures
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"
)

// wire is the TCP connection, and remembers the certificate that TLS sent over it.
type wire struct {
	net.Conn
	sent *x509.Certificate
}

// Certificate notes which certificate goes out on a connection. A
// tls.Config.GetCertificate calls it with what it returns, so that the
// tls-server-end-point binding is that of the certificate this peer saw.
func Certificate(hello *tls.ClientHelloInfo, c *tls.Certificate) {
	w, ok := hello.Conn.(*wire)
	if !ok || c == nil {
		return
	}
	if w.sent = c.Leaf; w.sent == nil && len(c.Certificate) > 0 {
		w.sent, _ = x509.ParseCertificate(c.Certificate[0])
	}
}

// StartTLS secures the connection; after <proceed/>, or as its first act
// (XEP-0368). Input that came before the handshake is an error: an attacker
// could have put it there (RFC 6120 §5.4.3.3).
func (x *Conn) StartTLS(config *tls.Config) error {
	if x.next < len(x.in) {
		return errors.New("plaintext behind <starttls/>")
	}
	if err := x.settle(); err != nil {
		return err
	}
	x.release()
	x.opts.handshakes <- struct{}{}
	defer func() { <-x.opts.handshakes }()
	secured := tls.Server(x.raw, config)
	ctx, cancel := context.WithTimeout(context.Background(), x.opts.TLSTimeout)
	defer cancel()
	// In a goroutine of its own, so that the reader's stack stays small.
	done := make(chan error, 1)
	go func() { done <- secured.HandshakeContext(ctx) }()
	if err := <-done; err != nil {
		x.opts.Stats.TLSFailures.Add(1)
		return err
	}
	x.mu.Lock()
	x.tls, x.net = secured, secured
	x.mu.Unlock()
	x.lexer.Restart()
	return nil
}

// TLS describes the secured connection; nil: not secured.
func (x *Conn) TLS() *tls.ConnectionState {
	if x.tls == nil {
		return nil
	}
	s := x.tls.ConnectionState()
	return &s
}

// Exporter returns the tls-exporter channel binding (RFC 9266): nil without
// TLS, or over TLS 1.2 without the extended master secret.
func (x *Conn) Exporter() []byte {
	s := x.TLS()
	if s == nil {
		return nil
	}
	b, err := s.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		return nil
	}
	return b
}

// EndPoint returns the tls-server-end-point channel binding (RFC 5929 §4) of
// the certificate that this connection sent, or nil.
func (x *Conn) EndPoint() []byte {
	if x.tls == nil || x.raw.sent == nil {
		return nil
	}
	hash := crypto.SHA256
	switch x.raw.sent.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	case x509.PureEd25519:
		return nil // RFC 5929 §4.1: no single hash function, so undefined
	}
	if hash == crypto.SHA256 {
		sum := sha256.Sum256(x.raw.sent.Raw)
		return sum[:]
	}
	h := hash.New()
	h.Write(x.raw.sent.Raw)
	return h.Sum(nil)
}

// closeTimeout bounds the end of a stream: writing our last words, and waiting
// for the peer's.
const closeTimeout = 2 * time.Second
