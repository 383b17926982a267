package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"mellium.im/sasl"
)

// certificate makes one that is signed with key.
func certificate(t *testing.T, key crypto.Signer, algorithm x509.SignatureAlgorithm) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: here}, DNSNames: []string{here},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: algorithm,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// handshake returns both ends of a TLS connection.
func handshake(t *testing.T, cert *tls.Certificate, version uint16) (server, client tls.ConnectionState) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{*cert}, MaxVersion: version, SessionTicketsDisabled: true})
	c := tls.Client(b, &tls.Config{InsecureSkipVerify: true, ServerName: here, MaxVersion: version})
	done := make(chan error, 1)
	go func() { done <- s.HandshakeContext(t.Context()) }()
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return s.ConnectionState(), c.ConnectionState()
}

func TestBindTLS(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s256 := func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
	s384 := func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }
	s512 := func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }
	for _, tt := range []struct {
		name     string
		key      crypto.Signer
		alg      x509.SignatureAlgorithm
		endPoint func([]byte) []byte
	}{
		{"ECDSA with SHA-256", p256, x509.ECDSAWithSHA256, s256},
		{"ECDSA with SHA-384", p256, x509.ECDSAWithSHA384, s384},
		{"ECDSA with SHA-512", p256, x509.ECDSAWithSHA512, s512},
		{"Ed25519", edwards, x509.PureEd25519, nil},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cert := certificate(t, tt.key, tt.alg)
			server, client := handshake(t, cert, version)
			b := BindTLS(server, cert.Leaf)
			want, err := client.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
			if err != nil || !bytes.Equal(b.Exporter, want) || !b.Secure {
				t.Errorf("%s, %s: exporter %x, the client has %x, %v", tt.name, tls.VersionName(version), b.Exporter, want, err)
			}
			types := []string{TLSExporter}
			if tt.endPoint != nil {
				types = append(types, TLSServerEndPoint)
				if want := tt.endPoint(client.PeerCertificates[0].Raw); !bytes.Equal(b.EndPoint, want) {
					t.Errorf("%s: end point %x, not %x", tt.name, b.EndPoint, want)
				}
			}
			if got := b.Types(); !slices.Equal(got, types) {
				t.Errorf("%s: types %q", tt.name, got)
			}
		}
	}
	if b := BindTLS(tls.ConnectionState{}, nil); !b.Secure || len(b.Types()) > 0 {
		t.Errorf("without a handshake: %+v", b)
	}
	// RFC 5929 §4.1: nothing weaker than SHA-256.
	for _, alg := range []x509.SignatureAlgorithm{x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1} {
		if h, ok := endPointHash(&x509.Certificate{SignatureAlgorithm: alg}); !ok || h != crypto.SHA256 {
			t.Errorf("%v: %v", alg, h)
		}
	}
}

// mellium.im/sasl binds with tls-exporter over TLS 1.3, and with tls-unique
// before.
func TestMelliumClientBinds(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "pencil")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, key, x509.ECDSAWithSHA256)
	server, own := handshake(t, cert, tls.VersionTLS13)
	_, other := handshake(t, cert, tls.VersionTLS13)
	old12, own12 := handshake(t, cert, tls.VersionTLS12)
	for _, m := range []sasl.Mechanism{sasl.ScramSha1Plus, sasl.ScramSha256Plus} {
		for _, tt := range []struct {
			name           string
			server, client tls.ConnectionState
			password       string
			cause          Cause
		}{
			{"its own connection", server, own, "pencil", 0xff},
			{"its own connection, wrong password", server, own, "pencils", Credentials},
			{"another connection", server, other, "pencil", ChannelBinding},
			{"tls-unique", old12, own12, "pencil", ChannelBinding},
		} {
			b := BindTLS(tt.server, cert.Leaf)
			c := sasl.NewClient(m, sasl.TLSState(tt.client), sasl.RemoteMechanisms(h.Mechanisms(here, b)...),
				sasl.Credentials(func() ([]byte, []byte, []byte) { return []byte("juliet"), []byte(tt.password), nil }))
			x := h.start(m.Name, b)
			err := converse(c, x)
			if cause(err) != tt.cause || (x.User() == u) != (err == nil) {
				t.Errorf("%s over %s: %v", m.Name, tt.name, err)
			}
		}
	}
}
