package c2s

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"

	"confab/xmpp/accept"
	"confab/xmpp/auth"
	"confab/xmpp/stream"
)

// Arrival is a connection that comes in by another door than a listener of the
// server: whoever brings it has seen to it that nobody can listen.
type Arrival struct {
	Conn      stream.Framed
	Peer      netip.Addr // who is behind the address, as trusted proxies tell it
	Transport string     // websocket or bosh

	// TLS is what logins can be bound to: the one TLS connection that carries all of the
	// stream and ends in this process, with the certificate it was sent. nil if there is no such connection.
	TLS  *tls.ConnectionState
	Sent *x509.Certificate
}

// Take makes a session of a connection that has arrived, or closes it and
// reports false if there is no place for it.
func (s *Server) Take(a Arrival) bool {
	c := &client{srv: s, peer: accept.Subscriber(a.Peer), secured: true, binding: auth.Binding{Secure: true}}
	c.info.Transport = a.Transport
	if a.TLS != nil {
		c.info.TLS = describe(a.TLS)
		c.binding = auth.BindTLS(*a.TLS, a.Sent)
	}
	return s.admit(c, a.Conn, (*client).arrived)
}

// arrived is the opening of a stream that needs no TLS of its own.
func (c *client) arrived() error { return c.open() }

// describe is TLS as the administrator sees it.
func describe(state *tls.ConnectionState) string {
	return tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
}
