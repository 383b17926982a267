package web_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/web"
)

// house is a server with both listeners.
type house struct {
	*web.Server
	https, plain string
	roots        *x509.CertPool
	ended        chan error
}

func open(t *testing.T, proxies string, routes ...feature.Route) *house {
	t.Helper()
	cert, roots := certificate(t)
	var trusted []netip.Prefix
	for p := range strings.FieldsSeq(proxies) {
		trusted = append(trusted, netip.MustParsePrefix(p))
	}
	s, err := web.New(web.Options{
		Routes: routes, TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		Proxies: func() []netip.Prefix { return trusted }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Server: s, roots: roots, ended: make(chan error, 2)}
	listen := func(serve func(net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { h.ended <- serve(l) }()
		return l.Addr().String()
	}
	h.https, h.plain = listen(s.Serve), listen(s.ServePlain)
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return h
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// client speaks HTTPS, or HTTP to the address where the scheme says so.
func (h *house) client(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: h.roots, ServerName: "example.com"}, Protocols: protocols,
	}}
}

func (h *house) get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return h.do(t, r)
}

func (h *house) do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := h.client(false).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// who tells who asks.
var who = feature.Route{Pattern: "GET /who", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.RemoteAddr, " ", web.PeerOf(r).Proxied)
})}

func TestWhoAsks(t *testing.T) {
	far, near := open(t, "192.0.2.0/24", who), open(t, "127.0.0.0/8 192.0.2.0/24", who)
	for _, test := range []struct {
		name   string
		house  *house
		plain  bool
		header []string
		status int
		want   string
	}{
		{"a client", far, false, nil, 200, "127.0.0.1 false"},
		{"a client that says it is somebody else", far, false, []string{"X-Forwarded-For", "198.51.100.7"}, 200, "127.0.0.1 false"},
		{"a client without TLS", far, true, []string{"X-Forwarded-Proto", "https"}, 403, "this is for the reverse proxy only; use https\n"},
		{"a proxy", near, true, []string{"X-Forwarded-For", "198.51.100.7"}, 200, "198.51.100.7 true"},
		{"a proxy that speaks TLS", near, false, []string{"X-Forwarded-For", "2001:db8::7"}, 200, "2001:db8::7 true"},
		{"a client on the proxy's machine", near, false, nil, 200, "127.0.0.1 false"},
		{"a proxy that does not tell", near, true, nil, 200, "127.0.0.1 true"},
		{"two proxies", near, true, []string{"X-Forwarded-For", "198.51.100.7, 192.0.2.1"}, 200, "198.51.100.7 true"},
		{"two headers", near, true, []string{"X-Forwarded-For", "198.51.100.7", "X-Forwarded-For", "192.0.2.1"}, 200, "198.51.100.7 true"},
		{"a forged beginning", near, true, []string{"X-Forwarded-For", "10.0.0.1, 198.51.100.7"}, 200, "198.51.100.7 true"},
		{"nonsense before", near, true, []string{"X-Forwarded-For", "unknown, 198.51.100.7, 192.0.2.1"}, 200, "198.51.100.7 true"},
		{"nonsense", near, true, []string{"X-Forwarded-For", "unknown"}, 200, "127.0.0.1 true"},
		{"with a port", near, true, []string{"X-Forwarded-For", "[2001:db8::7]:4711"}, 200, "2001:db8::7 true"},
		{"in brackets", near, true, []string{"X-Forwarded-For", "[2001:db8::7]"}, 200, "2001:db8::7 true"},
		{"a proxy that heard it without TLS", near, true, []string{"X-Forwarded-For", "198.51.100.7", "X-Forwarded-Proto", "http"}, 403, "use https\n"},
	} {
		url := "https://" + test.house.https + "/who"
		if test.plain {
			url = "http://" + test.house.plain + "/who"
		}
		answer, body := test.house.get(t, url, test.header...)
		if answer.StatusCode != test.status || body != test.want {
			t.Errorf("%s: %d %q", test.name, answer.StatusCode, body)
		}
	}
}

func TestProtocols(t *testing.T) {
	h := open(t, "", who)
	for _, two := range []bool{false, true} {
		answer, err := h.client(two).Get("https://" + h.https + "/who")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.ProtoAtLeast(2, 0) != two || answer.StatusCode != 200 {
			t.Errorf("HTTP/2 %v: %s, %d", two, answer.Proto, answer.StatusCode)
		}
	}
}

func TestHeadersAreSafe(t *testing.T) {
	h := open(t, "", who)
	for path, status := range map[string]int{"/who": 200, "/": 404, "/who/../../etc/passwd": 404, "/%2e%2e/%2e%2e/etc/passwd": 404} {
		answer, _ := h.get(t, "https://"+h.https+path)
		if answer.StatusCode != status {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Server": "", "Strict-Transport-Security": "",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestLargeHeader(t *testing.T) {
	h := open(t, "", who)
	answer, _ := h.get(t, "https://"+h.https+"/who", "X-Large", strings.Repeat("x", 64<<10))
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", answer.StatusCode)
	}
}

// A handler that panics costs its request, and nobody else.
func TestPanic(t *testing.T) {
	h := open(t, "", who, feature.Route{Pattern: "GET /panic", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })})
	if answer, err := h.client(false).Get("https://" + h.https + "/panic"); err == nil {
		answer.Body.Close()
		t.Errorf("%d", answer.StatusCode)
	}
	if answer, _ := h.get(t, "https://"+h.https+"/who"); answer.StatusCode != 200 {
		t.Errorf("afterwards: %d", answer.StatusCode)
	}
}

func TestFailedHandshakesAreCounted(t *testing.T) {
	h := open(t, "", feature.Route{Pattern: "/", Handler: http.NotFoundHandler()})
	for _, hello := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05hello"} {
		c, err := net.Dial("tcp", h.https)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, hello)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
	}
	h.get(t, "https://"+h.https+"/")
	featuretest.Eventually(t, "three failures", func() bool { return h.Stats.TLSFailures.Load() == 3 })
	h.Shutdown(context.Background())
	if n := h.Stats.TLSFailures.Load(); n != 3 {
		t.Errorf("%d failures were counted, of 3 and a connection that was good", n)
	}
}

// serveTLS serves HTTPS with handshakes that the test looks at.
func serveTLS(t *testing.T, o web.Options, look func(*tls.ClientHelloInfo)) *house {
	t.Helper()
	cert, roots := certificate(t)
	o.Routes, o.Log = []feature.Route{who}, slog.New(slog.DiscardHandler)
	o.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		look(hello)
		return &cert, nil
	}}
	s, err := web.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Server: s, roots: roots, ended: make(chan error, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.https = l.Addr().String()
	go func() { h.ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Shutdown(context.Background())
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

// silent connects and says nothing.
func (h *house) silent(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", h.https)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A handshake has one of the turns that those of streams have, and it is free again when somebody does not go on.
func TestHandshakesTakeTurns(t *testing.T) {
	turns := make(chan int, 10)
	h := serveTLS(t, web.Options{}, func(*tls.ClientHelloInfo) { turns <- len(xmpp.Heavy) })
	for range cap(xmpp.Heavy) + 1 {
		h.silent(t)
	}
	h.get(t, "https://"+h.https+"/who")
	if n := <-turns; n == 0 {
		t.Error("the handshake took no turn")
	}
	featuretest.Eventually(t, "all turns to be free", func() bool { return len(xmpp.Heavy) == 0 })
}

// Who begins very many handshakes and goes on with none takes a quarter of the places.
func TestHandshakesOfOneAddress(t *testing.T) {
	h := serveTLS(t, web.Options{Handshakes: 8}, func(*tls.ClientHelloInfo) {})
	first := h.silent(t)
	h.silent(t)
	if _, err := h.silent(t).Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a third connection: %v", err)
	}
	first.Close()
	featuretest.Eventually(t, "the end of the first to be noticed", func() bool { return h.Stats.TLSFailures.Load() == 2 })
	if answer, _ := h.get(t, "https://"+h.https+"/who"); answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
}

func TestWhoForgotTheSOfHTTPS(t *testing.T) {
	h := open(t, "", who)
	answer, body := h.get(t, "http://"+h.https+"/who")
	if answer.StatusCode != 400 || body != "use https\n" {
		t.Errorf("%d %q", answer.StatusCode, body)
	}
}

func TestRoutesThatContradictEachOther(t *testing.T) {
	for _, second := range []string{"GET /who", "/{x}/y", "GET who"} {
		routes := []feature.Route{who, {Pattern: "/x/{y}", Handler: http.NotFoundHandler()}, {Pattern: second, Handler: http.NotFoundHandler()}}
		if _, err := web.New(web.Options{Routes: routes, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), second) {
			t.Errorf("%s: %v", second, err)
		}
	}
}

// Shutdown lets a request end that is being answered.
func TestShutdown(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	h := open(t, "", feature.Route{Pattern: "GET /slow", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		<-leave
		io.Copy(w, bytes.NewReader([]byte("done")))
	})})
	got := make(chan string)
	go func() {
		answer, err := h.client(false).Get("https://" + h.https + "/slow")
		if err != nil {
			got <- err.Error()
			return
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		got <- fmt.Sprint(string(body), err)
	}()
	<-entered
	down := make(chan bool)
	go func() { h.Shutdown(context.Background()); close(down) }()
	for range 2 { // the listeners are closed first
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
	}
	close(leave)
	if text := <-got; text != "done<nil>" {
		t.Error(text)
	}
	<-down

	// Who does not end in time is cut off.
	h = open(t, "", feature.Route{Pattern: "GET /slow", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		<-r.Context().Done()
	})})
	go func() {
		answer, err := h.client(false).Get("https://" + h.https + "/slow")
		if err == nil {
			answer.Body.Close()
		}
		got <- fmt.Sprint(err != nil)
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.Shutdown(ctx)
	if text := <-got; text != "true" {
		t.Errorf("a request outlived the server: %s", text)
	}
}
