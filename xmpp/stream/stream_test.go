package stream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
)

const opening = "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

// pair connects a Conn with a client on a real socket.
func pair(t *testing.T, o *Options) (*Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if o == nil {
		o = &Options{}
	}
	o.Prepare()
	c := New(nc, o)
	c.opened = true
	client.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { client.Close(); c.Abort() })
	return c, client
}

func read(t *testing.T, c *Conn) string {
	t.Helper()
	var st xmpp.Stanza
	if err := c.Read(&st); err != nil {
		t.Fatal(err)
	}
	return string(st.Raw)
}

func TestReadHeaderAndStanzas(t *testing.T) {
	c, client := pair(t, nil)
	go io.WriteString(client, opening+"<message><body>one</body></message> <presence/></stream:stream>")
	h, err := c.ReadHeader()
	if err != nil || h.To != "example.com" {
		t.Fatalf("header %+v, %v", h, err)
	}
	if got := read(t, c); got != "<message><body>one</body></message>" {
		t.Error(got)
	}
	if got := read(t, c); got != "<presence/>" {
		t.Error(got)
	}
	var st xmpp.Stanza
	if err := c.Read(&st); err != xmpp.ErrStreamEnd {
		t.Errorf("end of the stream: %v", err)
	}
}

func TestStanzasArriveByteByByte(t *testing.T) {
	c, client := pair(t, nil)
	want := "<message><body>" + strings.Repeat("long ", 9000) + "</body></message>"
	c.LoggedIn()
	go func() {
		io.WriteString(client, opening)
		for b := []byte(want); len(b) > 0; {
			n := min(len(b), 7)
			client.Write(b[:n])
			b = b[n:]
		}
	}()
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, c); got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

func TestRestartKeepsWhatWasPipelined(t *testing.T) {
	c, client := pair(t, nil)
	go io.WriteString(client, opening+"<auth/>"+opening+"<iq id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	read(t, c)
	c.Restart()
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, c); !strings.HasPrefix(got, "<iq id='1'") {
		t.Error(got)
	}
}

func TestLimitBeforeLogin(t *testing.T) {
	c, client := pair(t, nil)
	go io.WriteString(client, opening+"<auth>"+strings.Repeat("A", 1<<20))
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	var st xmpp.Stanza
	err := c.Read(&st)
	var se *xmpp.StreamError
	if !errors.As(err, &se) || se.Condition != xmpp.StreamPolicyViolation {
		t.Errorf("a huge element before login: %v", err)
	}
}

func TestManyAppendsLeaveInOrder(t *testing.T) {
	c, client := pair(t, nil)
	var want bytes.Buffer
	for i := range 500 {
		s := []byte(strings.Repeat("x", i%97) + ";")
		want.Write(s)
		if c.Append(s) {
			c.Flush()
		}
	}
	c.Close(nil)
	want.WriteString("</stream:stream>")
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes, want %d, %v", len(got), want.Len(), err)
	}
}

func TestCloseTellsWhyAndWaitsForThePeer(t *testing.T) {
	c, client := pair(t, nil)
	c.Send([]byte("<a/>"))
	c.Close(&xmpp.StreamError{Condition: xmpp.StreamConflict})
	finished := make(chan struct{})
	go func() { c.Finish(); close(finished) }()
	// Input that nobody reads any more must not reset what we wrote.
	io.WriteString(client, "<message/>")
	got, err := io.ReadAll(client)
	if err != nil || !strings.HasPrefix(string(got), "<a/><stream:error><conflict") || !strings.HasSuffix(string(got), "</stream:stream>") {
		t.Errorf("%q, %v", got, err)
	}
	client.Close()
	<-finished
	if c.Append([]byte("late")) {
		t.Error("a closed stream took more")
	}
}

// Where no stream of ours is open, nobody would understand a word: before a header, and while TLS is negotiated.
func TestCloseBeforeTheStreamIsOpen(t *testing.T) {
	c, client := pair(t, nil)
	c.opened = false
	go c.Finish()
	c.Close(&xmpp.StreamError{Condition: xmpp.StreamSystemShutdown})
	if got, err := io.ReadAll(client); len(got) > 0 || err != nil {
		t.Errorf("heard %q, %v", got, err)
	}

	c, client = pair(t, nil)
	c.Open([]byte("<stream:stream>"))
	go c.StartTLS(&tls.Config{})
	hear := make([]byte, len("<stream:stream>"))
	if _, err := io.ReadFull(client, hear); err != nil {
		t.Fatal(err)
	}
	for opened := true; opened; {
		c.mu.Lock()
		opened = c.opened
		c.mu.Unlock()
	}
	c.Close(&xmpp.StreamError{Condition: xmpp.StreamSystemShutdown})
	if got, err := io.ReadAll(client); len(got) > 0 || err != nil {
		t.Errorf("heard %q, %v in the handshake", got, err)
	}
}

func TestSlowPeerIsClosed(t *testing.T) {
	o := &Options{OutLimit: 64 << 10}
	c, _ := pair(t, o)
	chunk := bytes.Repeat([]byte("x"), 8<<10)
	for range 4096 {
		c.Send(chunk)
		if c.Closing() {
			break
		}
	}
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("a peer that reads nothing is still connected")
	}
	if o.Stats.SlowPeers.Load() != 1 {
		t.Errorf("%d slow peers counted", o.Stats.SlowPeers.Load())
	}
	if n := o.Stats.Waiting.Load(); n != 0 {
		t.Errorf("%d bytes are counted as waiting for nobody", n)
	}
}

func TestOneLargeAnswerIsNoSlowPeer(t *testing.T) {
	o := &Options{OutLimit: 64 << 10}
	c, client := pair(t, o)
	roster := bytes.Repeat([]byte("r"), 4<<20)
	c.Send(roster)
	c.Close(nil)
	got, err := io.ReadAll(client)
	if err != nil || len(got) != len(roster)+len(closingTag) || o.Stats.SlowPeers.Load() != 0 {
		t.Errorf("%d bytes, %v, %d slow peers", len(got), err, o.Stats.SlowPeers.Load())
	}
}

func TestDrainWaitsForThePeer(t *testing.T) {
	c, client := pair(t, &Options{OutLimit: 8 << 20})
	page := bytes.Repeat([]byte("y"), 4<<20)
	c.Send(page)
	c.Send(page[:1<<20])
	go io.Copy(io.Discard, client)
	if err := c.Drain(1 << 10); err != nil {
		t.Fatal(err)
	}
	if n := c.opts.Stats.Waiting.Load(); n > 1<<10 {
		t.Errorf("%d bytes still wait", n)
	}
}

func TestCloseFreesTheReaderOfAStuckPeer(t *testing.T) {
	c, _ := pair(t, &Options{OutLimit: 64 << 20})
	c.Send(bytes.Repeat([]byte("z"), 32<<20))
	done := make(chan error)
	go func() { done <- c.Drain(0) }()
	c.Close(&xmpp.StreamError{Condition: xmpp.StreamConflict})
	if err := <-done; err == nil {
		t.Error("everything is said to have been taken")
	}
	<-c.Done()
}

func TestInterruptWakesTheReader(t *testing.T) {
	c, _ := pair(t, nil)
	done := make(chan error)
	go func() { done <- c.Fill() }()
	c.Interrupt()
	if err := <-done; !IsTimeout(err) {
		t.Errorf("the read ended with %v", err)
	}
}

// The end of our side of the stream gives the peer time to hear of it, not the reader to wait for more.
func TestInterruptHoldsBehindTheEnd(t *testing.T) {
	c, client := pair(t, nil)
	c.Interrupt()
	c.Close(nil)
	<-c.Done()
	if _, err := io.WriteString(client, opening); err != nil {
		t.Fatal(err)
	}
	if err := c.fill(); !IsTimeout(err) {
		t.Errorf("the reader was not woken: %v", err)
	}
	if err := c.Fill(); err != errClosed {
		t.Errorf("it would go on: %v", err)
	}
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.com"}, DNSNames: []string{"example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// secured makes both ends speak TLS of one version.
func secured(t *testing.T, version uint16) (*Conn, *tls.Conn, *x509.Certificate) {
	t.Helper()
	c, client := pair(t, nil)
	cert, pool := certificate(t)
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		Certificate(hello, &cert)
		return &cert, nil
	}}
	done := make(chan error, 1)
	go func() { done <- c.StartTLS(config) }()
	tc := tls.Client(client, &tls.Config{RootCAs: pool, ServerName: "example.com", MaxVersion: version})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.opened = true
	return c, tc, cert.Leaf
}

func TestTheSentCertificateIsKnown(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			c, tc, leaf := secured(t, version)
			if c.Sent() == nil || !c.Sent().Equal(leaf) {
				t.Error("another certificate is taken to be the one that was sent")
			}
			if c.TLS().Version != tc.ConnectionState().Version {
				t.Error("another version")
			}
		})
	}
}

func TestSecuredStream(t *testing.T) {
	c, tc, _ := secured(t, tls.VersionTLS13)
	go io.WriteString(tc, opening+"<message/>")
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	read(t, c)
	c.Close(nil)
	got, err := io.ReadAll(tc)
	if err != nil || string(got) != "</stream:stream>" {
		t.Errorf("%q, %v: the stream must end with close_notify", got, err)
	}
}

func TestPlaintextBehindStartTLSIsRefused(t *testing.T) {
	c, client := pair(t, nil)
	go io.WriteString(client, opening+"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message/>")
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	read(t, c)
	if c.Buffered() == 0 {
		if err := c.Fill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.StartTLS(&tls.Config{}); err == nil {
		t.Error("a stanza put before the handshake was taken over")
	}
}

func TestHandshakeHasADeadline(t *testing.T) {
	c, _ := pair(t, &Options{TLSTimeout: 50 * time.Millisecond})
	cert, _ := certificate(t)
	if err := c.StartTLS(&tls.Config{Certificates: []tls.Certificate{cert}}); err == nil {
		t.Error("a handshake without a client succeeded")
	}
}

func TestHandshakePanics(t *testing.T) {
	c, client := pair(t, nil)
	go tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake()
	err := c.StartTLS(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("no certificate") }})
	if p := new(PanicError); !errors.As(err, &p) || p.Value != "no certificate" {
		t.Errorf("%v", err)
	}
}

func TestBucket(t *testing.T) {
	b := newBucket(Rate{Stanzas: 1000})
	for range 1000 * int(burst/time.Second) / 2 {
		b.spendStanza()
	}
	if d := b.owes(); d > 0 {
		t.Errorf("a burst within the bounds has to wait for %v", d)
	}
	for range 1000 * int(burst/time.Second) * 2 {
		b.spendStanza()
	}
	if b.owes() <= 0 {
		t.Error("a flood does not have to wait")
	}
	b = newBucket(Rate{})
	b.spendBytes(1 << 30)
	b.spendStanza()
	if b.owes() > 0 {
		t.Error("without a rate nothing waits")
	}
}

// Who sends too much waits before more is read, not with what was read already; and nobody waits for him when the connection is to end.
func TestWhoSendsTooMuchWaits(t *testing.T) {
	const hi = "<message><body>hi</body></message>"
	c, client := pair(t, &Options{Rate: Rate{Stanzas: 1}})
	c.LoggedIn()
	io.WriteString(client, opening+strings.Repeat(hi, 100))
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	var st xmpp.Stanza
	for n := 0; n < 100; {
		if ok, err := c.Next(&st); err != nil {
			t.Fatal(err)
		} else if ok {
			n++
			continue
		}
		if err := c.Fill(); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		c.Stanza()
	}
	io.WriteString(client, hi)
	if c.More() {
		t.Error("more is read from one who has sent too much")
	}
	filled := make(chan error, 1)
	go func() { filled <- c.Fill() }()
	for c.opts.Stats.Throttled.Load() == 0 {
		select {
		case err := <-filled:
			t.Fatalf("he does not wait; %v", err)
		default:
			runtime.Gosched()
		}
	}
	c.Abort()
	if err := <-filled; err == nil {
		t.Error("he was read from")
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	c, _ := pair(t, nil)
	stanza := []byte("<message to='juliet@example.com'><body>hi</body></message>")
	c.Append(stanza)
	c.mu.Lock()
	*c.out = append(make([]byte, 0, 1<<20), *c.out...)
	c.mu.Unlock()
	if n := testing.AllocsPerRun(1000, func() { c.Append(stanza) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
