package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	"golang.org/x/net/idna"
)

// Certificates are the certificates of a server, loaded. The zero value has
// none. They are read only; a reload makes new ones.
type Certificates struct{ all []*tls.Certificate }

// LoadCertificates reads the files that the settings name.
func LoadCertificates(s *Settings) (*Certificates, error) {
	c := new(Certificates)
	for i, name := range s.TLS.Certificate {
		file, keyFile := s.Path(name), s.Path(s.TLS.Key[i])
		cert, err := tls.LoadX509KeyPair(file, keyFile)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: name your certificate and key in tls.certificate and tls.key", err)
		}
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", file, keyFile, err)
		}
		c.all = append(c.all, &cert)
	}
	return c, nil
}

// For returns the certificate for a domain: the first that names it, else the
// first of all.
func (c *Certificates) For(domain string) *tls.Certificate {
	for _, cert := range c.all {
		if cert.Leaf.VerifyHostname(ASCII(domain)) == nil {
			return cert
		}
	}
	if len(c.all) == 0 {
		return nil
	}
	return c.all[0]
}

// Warnings says what clients will object to.
func (c *Certificates) Warnings(domains []string, now time.Time) []string {
	var list []string
	for _, domain := range domains {
		leaf := c.For(domain).Leaf
		switch {
		case leaf.VerifyHostname(ASCII(domain)) != nil:
			list = append(list, fmt.Sprintf("no certificate names %s: clients will refuse to connect or ask (the certificate has to name the mail domain, whatever the server is called)", domain))
		case now.Before(leaf.NotBefore):
			list = append(list, fmt.Sprintf("the certificate for %s is good from %s only: until then clients will refuse to connect; look whether the clock of this machine is right", domain, leaf.NotBefore.Format(time.DateTime)))
		case now.After(leaf.NotAfter):
			list = append(list, fmt.Sprintf("the certificate for %s expired on %s: renew it, then 'confab reload'", domain, leaf.NotAfter.Format(time.DateOnly)))
		case now.Add(14 * day).After(leaf.NotAfter):
			list = append(list, fmt.Sprintf("the certificate for %s expires on %s: renew it, then 'confab reload'", domain, leaf.NotAfter.Format(time.DateOnly)))
		case selfSigned(leaf):
			list = append(list, fmt.Sprintf("the certificate for %s is self-signed: clients will warn; name one of a real authority in tls.certificate", domain))
		}
	}
	return list
}

// ASCII is the form of a domain that certificates and the DNS use.
func ASCII(domain string) string {
	a, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return domain
	}
	return a
}

func selfSigned(c *x509.Certificate) bool { return string(c.RawIssuer) == string(c.RawSubject) }

// WriteSelfSigned makes a key and a certificate for the domains, at the places
// that the settings name first.
func WriteSelfSigned(s *Settings, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	names := make([]string, len(s.Domains))
	for i, domain := range s.Domains {
		names[i] = ASCII(domain)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: names[0], Organization: []string{"confab, self-signed"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              names,
	}
	for _, domain := range s.Domains {
		if domain == "localhost" {
			template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeNew(s.Path(s.TLS.Key[0]), pemBlock("PRIVATE KEY", keyDER), 0o600); err != nil {
		return err
	}
	if err := writeNew(s.Path(s.TLS.Certificate[0]), pemBlock("CERTIFICATE", der), 0o644); err != nil {
		os.Remove(s.Path(s.TLS.Key[0])) // a key alone would be taken for the administrator's
		return err
	}
	return nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
