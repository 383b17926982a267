package auth

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
)

// The channel bindings that are supported. Not tls-unique: TLS 1.3 has none,
// and that of TLS 1.2 does not bind (RFC 7627 §1).
const (
	TLSExporter       = "tls-exporter"         // RFC 9266
	TLSServerEndPoint = "tls-server-end-point" // RFC 5929 §4
)

// Binding is what is known of the channel that a peer authenticates itself on.
// Without data, as where TLS ends before the server, nothing can be bound to it.
type Binding struct {
	Exporter []byte // data of tls-exporter, nil if there is none
	EndPoint []byte // data of tls-server-end-point, nil if there is none
	Secure   bool   // nobody can listen: passwords may be sent
}

// BindTLS is the binding of a TLS connection that this process ends, after its
// handshake. sent is the certificate that this connection was given.
func BindTLS(state tls.ConnectionState, sent *x509.Certificate) Binding {
	b := Binding{Secure: true}
	// RFC 9266 §2: the context is there and empty, which is not the same as none
	// in TLS 1.2. There is no binding without extended master secret (§4.2);
	// ExportKeyingMaterial is an error then.
	if state.HandshakeComplete {
		if data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32); err == nil {
			b.Exporter = data
		}
	}
	if hash, ok := endPointHash(sent); ok {
		h := hash.New()
		h.Write(sent.Raw)
		b.EndPoint = h.Sum(nil)
	}
	return b
}

// endPointHash is the hash that tls-server-end-point has for a certificate:
// that of its signature, but no MD5 or SHA-1 (RFC 5929 §4.1). Signatures that
// have no hash of their own, as Ed25519, have no such binding.
func endPointHash(c *x509.Certificate) (crypto.Hash, bool) {
	if c == nil {
		return 0, false
	}
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		return crypto.SHA256, true
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384, true
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512, true
	}
	return 0, false
}

// Types returns the names of the bindings that can be had, the best first
// (XEP-0440).
func (b Binding) Types() []string {
	var types []string
	if b.Exporter != nil {
		types = append(types, TLSExporter)
	}
	if b.EndPoint != nil {
		types = append(types, TLSServerEndPoint)
	}
	return types
}

// data returns the data of a type, nil if it cannot be had.
func (b Binding) data(name string) []byte {
	switch name {
	case TLSExporter:
		return b.Exporter
	case TLSServerEndPoint:
		return b.EndPoint
	}
	return nil
}
