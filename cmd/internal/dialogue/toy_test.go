package dialogue

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// toy is a server that does as little as lets scripts run: it delivers messages, answers IQs, and does what is in
// quirks.
type toy struct {
	t      testing.TB
	socket net.Listener
	config *tls.Config
	roots  *x509.CertPool
	quirks map[string]bool

	mu       sync.Mutex
	now      time.Time
	sessions map[string]net.Conn
}

func newToy(t testing.TB, quirks ...string) *toy {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &toy{
		t: t, socket: socket, roots: x509.NewCertPool(), quirks: map[string]bool{},
		config:   &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12},
		now:      time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		sessions: map[string]net.Conn{},
	}
	s.roots.AddCert(cert)
	for _, q := range quirks {
		s.quirks[q] = true
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *toy) Addr(Port) string        { return s.socket.Addr().String() }
func (s *toy) Roots() *x509.CertPool   { return s.roots }
func (s *toy) Start() error            { return nil }
func (s *toy) Stop(How) error          { return errors.New("cannot be stopped") }
func (s *toy) Advance(d time.Duration) { s.mu.Lock(); s.now = s.now.Add(d); s.mu.Unlock() }

func (s *toy) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *toy) Operate(stdin string, args ...string) (string, error) {
	if args[0] == "fail" {
		return "", errors.New("no such user")
	}
	return strings.Join(args, "|") + "\n" + stdin + "\n", nil
}

func (s *toy) say(to net.Conn, format string, args ...any) {
	if _, err := fmt.Fprintf(to, format, args...); err != nil && !errors.Is(err, net.ErrClosed) {
		s.t.Logf("toy: %v", err)
	}
}

func (s *toy) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	r := newReader(bufio.NewReader(conn))
	user, jid, managed, count := "", "", false, 0
	for {
		n, err := r.next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
				s.say(conn, "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
			}
			return
		}
		switch {
		case n.is(nsStream, "stream"):
			s.say(conn, "<?xml version='1.0'?><stream:stream from='example.com' id='s1' version='1.0' xmlns='jabber:client' xmlns:stream='%s'>", nsStream)
			switch _, secure := conn.(*tls.Conn); {
			case !secure:
				s.say(conn, "<stream:features><starttls xmlns='%s'><required/></starttls></stream:features>", nsTLS)
			case user == "":
				s.say(conn, "<stream:features><mechanisms xmlns='%s'><mechanism>PLAIN</mechanism></mechanisms></stream:features>", nsSASL)
			default:
				s.say(conn, "<stream:features><bind xmlns='%s'/></stream:features>", nsBind)
			}
		case n.is(nsStream, streamEnd):
			s.say(conn, "</stream:stream>")
			return
		case n.is(nsTLS, "starttls"):
			s.say(conn, "<proceed xmlns='%s'/>", nsTLS)
			conn = tls.Server(conn, s.config)
			r = newReader(bufio.NewReader(conn))
		case n.is(nsSASL, "auth"):
			data, _ := base64.StdEncoding.DecodeString(n.text())
			fields := strings.Split(string(data), "\x00")
			if len(fields) != 3 || fields[2] != "pw-"+fields[1] {
				s.say(conn, "<failure xmlns='%s'><not-authorized/></failure>", nsSASL)
				continue
			}
			user = fields[1]
			s.say(conn, "<success xmlns='%s'/>", nsSASL)
			r = newReader(bufio.NewReader(conn))
		case n.is(nsSM, "enable"):
			managed = true
			s.say(conn, "<enabled xmlns='%s' id='x'/>", nsSM)
			s.say(conn, "<r xmlns='%s'/>", nsSM)
		case n.is(nsSM, "r"):
			s.say(conn, "<a xmlns='%s' h='%d'/>", nsSM, count)
		case n.child(nsBind, "bind") != nil:
			jid = user + "@example.com/x"
			if res := n.child(nsBind, "bind").child(nsBind, "resource"); res != nil {
				jid = user + "@example.com/" + res.text()
			}
			s.mu.Lock()
			s.sessions[jid] = conn
			s.mu.Unlock()
			s.say(conn, "<iq type='result' id='%s'><bind xmlns='%s'><jid>%s</jid></bind></iq>", n.attr("id"), nsBind, jid)
		case n.is(nsClient, "iq"):
			if managed {
				count++
			}
			s.say(conn, "<iq type='result' id='%s'/>", n.attr("id"))
		case n.is(nsClient, "message"):
			count++
			s.deliver(jid, n)
		}
	}
}

func (s *toy) deliver(from string, n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for jid, conn := range s.sessions {
		if to := n.attr("to"); jid != to && !strings.HasPrefix(jid, to+"/") {
			continue
		}
		copied := &node{space: n.space, local: n.local, content: n.content}
		for _, a := range n.attrs {
			if a.local != "from" {
				copied.attrs = append(copied.attrs, a)
			}
		}
		copied.attrs = append(copied.attrs, attr{local: "from", value: from})
		for range map[bool]int{false: 1, true: 2}[s.quirks["twice"]] {
			s.say(conn, "%s", copied)
		}
	}
}
