package bytestreams

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
)

type house struct {
	*featuretest.House
	*Proxy
	addr string
}

func open(t testing.TB, l Limits) *house {
	t.Helper()
	h := new(house)
	h.House = featuretest.New(t, func(host *feature.Host) []feature.Feature {
		h.Proxy = New(host, Options{
			Address: func(domain string) (string, int, bool) { return domain, 7777, domain == "example.com" },
			Limits:  func() Limits { return l }, Log: slog.New(slog.DiscardHandler),
		})
		other := feature.Feature{Name: "rooms", Targets: []feature.Target{{Where: feature.Service, Label: "conference"}}}
		return []feature.Feature{h.Proxy.Feature(), other}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = listener.Addr().String()
	done := make(chan error)
	go func() { done <- h.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.Shutdown(ctx)
		if err := <-done; err != net.ErrClosed {
			t.Errorf("Serve ended with %v", err)
		}
		if n := h.Proxy.Stats.Waiting.Load() + h.Proxy.Stats.Streams.Load(); n != 0 || len(h.pairs)+len(h.by)+len(h.door.Inside()) != 0 {
			t.Errorf("%d are counted when all have gone", n)
		}
	})
	return h
}

func (h *house) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func say(t testing.TB, c net.Conn, b ...byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, c net.Conn, want ...byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("heard %x, want %x, %v", got[:n], want, err)
	}
}

func dst(sid, requester, target string) []byte {
	sum := sha1.Sum([]byte(sid + requester + target))
	return []byte(hex.EncodeToString(sum[:]))
}

// end is a connection that has said which stream it is for.
func (h *house) end(t testing.TB, sid, requester, target string) net.Conn {
	t.Helper()
	c := h.dial(t)
	say(t, c, 5, 2, 2, 0)
	hear(t, c, 5, 0)
	a := dst(sid, requester, target)
	say(t, c, append(append([]byte{5, 1, 0, 3, 40}, a...), 0, 0)...)
	hear(t, c, append(append([]byte{5, 0, 0, 3, 40}, a...), 0, 0)...)
	return c
}

const (
	romeo  = "romeo@example.com/orchard"
	juliet = "juliet@example.com/balcony"
)

func activation(sid, target string) string {
	return "<iq type='set' id='1' to='proxy.example.com'><query xmlns='" + NS + "' sid='" + sid + "'><activate>" + target + "</activate></query></iq>"
}

func failed(kind, condition string) string {
	return "<error type='" + kind + "'><" + condition
}

func (h *house) heard(t testing.TB, p *featuretest.Person, want string) {
	t.Helper()
	if got := strings.Join(p.Conn.Left(), ""); !strings.Contains(got, want) {
		t.Errorf("heard %s, want %s", got, want)
	}
}

const activated = "<iq type='result' from='proxy.example.com' to='" + romeo + "' id='1'/>"

func TestStream(t *testing.T) {
	h := open(t, Limits{})
	r := h.Online(t, romeo)
	target := h.end(t, "s1", romeo, juliet)
	r.Sends(activation("s1", juliet))
	h.heard(t, r, failed("cancel", "not-allowed"))
	requester := h.end(t, "s1", romeo, juliet)
	third := h.dial(t)
	say(t, third, 5, 1, 0)
	hear(t, third, 5, 0)
	say(t, third, append(append([]byte{5, 1, 0, 3, 40}, dst("s1", romeo, juliet)...), 0, 0)...)
	hear(t, third, 5, notAllowed)

	// What comes too early is not passed on, and neither is anything for somebody else.
	say(t, requester, []byte("too early")...)
	h.Online(t, "bob@example.com/pda").Sends(activation("s1", juliet))
	r.Sends(activation("s2", juliet))
	h.heard(t, r, failed("cancel", "item-not-found"))
	waitDrained(t, h)
	r.Sends(activation("s1", juliet))
	h.heard(t, r, activated)
	if n := h.Proxy.Stats.Waiting.Load(); n != 0 {
		t.Errorf("%d wait", n)
	}

	file := make([]byte, 3<<20)
	rand.Read(file)
	go func() {
		requester.Write(file)
		requester.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(target)
	if err != nil || !bytes.Equal(got, file) {
		t.Fatalf("%d bytes arrived, %v", len(got), err)
	}
	say(t, target, []byte("thank you")...)
	target.Close()
	if got, err := io.ReadAll(requester); string(got) != "thank you" {
		t.Errorf("back came %q, %v", got, err)
	}
	featuretest.Eventually(t, "the end of the stream", func() bool { return h.Proxy.Stats.Streams.Load() == 0 })
	r.Sends(activation("s1", juliet))
	h.heard(t, r, failed("cancel", "item-not-found"))
}

// waitDrained waits until the proxy has thrown away what came too early.
func waitDrained(t *testing.T, h *house) {
	t.Helper()
	featuretest.Eventually(t, "the early bytes", func() bool { return h.Stats.Dropped.Load() == int64(len("too early")) })
}

func TestRequests(t *testing.T) {
	h := open(t, Limits{})
	r := h.Online(t, romeo)
	for request, want := range map[string]string{
		"<iq type='get' id='1' to='proxy.example.com'><query xmlns='" + NS + "'/></iq>":                                           "<streamhost jid='proxy.example.com' host='example.com' port='7777'/>",
		"<iq type='get' id='1' to='conference.example.com'><query xmlns='" + NS + "'/></iq>":                                      failed("cancel", "service-unavailable"),
		"<iq type='get' id='1' to='x@proxy.example.com'><query xmlns='" + NS + "'/></iq>":                                         failed("cancel", "service-unavailable"),
		"<iq type='set' id='1' to='proxy.example.com'><query xmlns='" + NS + "' sid='x'/></iq>":                                   failed("modify", "bad-request"),
		"<iq type='set' id='1' to='proxy.example.com'><query xmlns='" + NS + "'><activate>" + juliet + "</activate></query></iq>": failed("modify", "bad-request"),
		activation("s", "a@b@c"): failed("modify", "jid-malformed"),
		activation("s", juliet):  failed("cancel", "item-not-found"),
	} {
		r.Sends(request)
		h.heard(t, r, want)
	}
	other := h.Online(t, "juliet@capulet.example/balcony")
	other.Sends("<iq type='get' id='1' to='proxy.example.com'><query xmlns='" + NS + "'/></iq>")
	h.heard(t, other, failed("cancel", "remote-server-not-found"))
	other.Sends("<iq type='get' id='1' to='proxy.capulet.example'><query xmlns='" + NS + "'/></iq>")
	h.heard(t, other, failed("cancel", "not-allowed"))
}

// What is not the SOCKS5 of XEP-0065 is refused as RFC 1928 has it.
func TestNoSOCKS(t *testing.T) {
	h := open(t, Limits{})
	for name, test := range map[string]struct{ says, hears string }{
		"SOCKS4":          {"\x04\x01", ""},
		"HTTP":            {"GET / HTTP/1.1\r\n\r\n", ""},
		"only passwords":  {"\x05\x01\x02", "\x05\xff"},
		"no method":       {"\x05\x00", "\x05\xff"},
		"BIND":            {"\x05\x01\x00\x05\x02\x00\x03\x01x\x00\x00", "\x05\x00\x05\x07\x00\x03\x00\x00\x00"},
		"UDP":             {"\x05\x01\x00\x05\x03\x00\x03\x01x\x00\x00", "\x05\x00\x05\x07\x00\x03\x00\x00\x00"},
		"an IPv4 address": {"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x08\x00\x03\x00\x00\x00"},
		"a host":          {"\x05\x01\x00\x05\x01\x00\x03\x07foo.bar\x00\x00", "\x05\x00\x05\x02\x00\x03\x00\x00\x00"},
		"capital letters": {"\x05\x01\x00\x05\x01\x00\x03\x28" + strings.Repeat("A", 40) + "\x00\x00", "\x05\x00\x05\x02\x00\x03\x00\x00\x00"},
		"a port":          {"\x05\x01\x00\x05\x01\x00\x03\x28" + strings.Repeat("a", 40) + "\x00\x50", "\x05\x00\x05\x02\x00\x03\x00\x00\x00"},
		"another version": {"\x05\x01\x00\x04\x01\x00\x03\x28", "\x05\x00"},
	} {
		c := h.dial(t)
		say(t, c, []byte(test.says)...)
		c.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c)
		if string(got) != test.hears && !(err != nil && strings.HasPrefix(test.hears, string(got))) {
			t.Errorf("%s: heard %x, want %x, %v", name, got, test.hears, err)
		}
	}
	featuretest.Eventually(t, "their end", func() bool { return h.Proxy.Stats.Waiting.Load() == 0 })
}

// A connection that nobody activates ends, and so does its partner.
func TestPatience(t *testing.T) {
	h := open(t, Limits{Patience: time.Minute})
	silent, target, requester := h.dial(t), h.end(t, "s", romeo, juliet), h.end(t, "s", romeo, juliet)
	featuretest.Eventually(t, "all", func() bool { return h.Proxy.Stats.Waiting.Load() == 3 })
	h.Clock.Pass(2 * time.Minute)
	for _, c := range []net.Conn{silent, target, requester} {
		if got, err := io.ReadAll(c); len(got) > 0 {
			t.Errorf("heard %q, %v", got, err)
		}
	}
	target, requester = h.end(t, "s", romeo, juliet), h.end(t, "s", romeo, juliet)
	target.Close()
	if got, err := io.ReadAll(requester); len(got) > 0 {
		t.Errorf("heard %q, %v", got, err)
	}
	r := h.Online(t, romeo)
	r.Sends(activation("s", juliet))
	h.heard(t, r, failed("cancel", "item-not-found"))
}

// What one user or one address may have is bounded.
func TestBounds(t *testing.T) {
	h := open(t, Limits{Streams: 1, Waiting: 16})
	r := h.Online(t, romeo)
	h.end(t, "s1", romeo, juliet)
	h.end(t, "s1", romeo, juliet)
	r.Sends(activation("s1", juliet))
	h.heard(t, r, activated)
	one, two := h.end(t, "s2", romeo, juliet), h.end(t, "s2", romeo, juliet)
	r.Sends(activation("s2", juliet))
	h.heard(t, r, failed("wait", "resource-constraint"))
	third, fourth := h.dial(t), h.dial(t)
	featuretest.Eventually(t, "four", func() bool { return h.Proxy.Stats.Waiting.Load() == 4 })
	if got, err := io.ReadAll(h.dial(t)); len(got) > 0 {
		t.Errorf("the fifth heard %q, %v", got, err)
	}
	for _, c := range []net.Conn{one, two, third, fourth} {
		c.Close()
	}
}

// The streams of somebody who is disabled end at once.
func TestDisabled(t *testing.T) {
	h := open(t, Limits{})
	r := h.Online(t, romeo)
	target, requester := h.end(t, "s", romeo, juliet), h.end(t, "s", romeo, juliet)
	r.Sends(activation("s", juliet))
	h.heard(t, r, activated)
	if err := h.Directory.Update(context.Background(), h.ID("romeo@example.com"), func(u *directory.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{target, requester} {
		if got, err := io.ReadAll(c); len(got) > 0 {
			t.Errorf("heard %q, %v", got, err)
		}
	}
}

// from is a connection from somewhere else.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr)) }

// Who has a whole network of IPv6 is still one.
func TestPlacesOfOneSubscriber(t *testing.T) {
	h := open(t, Limits{Waiting: 4})
	for _, test := range []struct {
		addr string
		want bool
	}{{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", false}, {"[2001:db8:0:1::1]:1", true}} {
		a, b := net.Pipe()
		defer b.Close()
		e := h.take(from{a, test.addr})
		if (e != nil) != test.want {
			t.Errorf("%s got a place: %v", test.addr, e != nil)
		}
		if e != nil {
			defer h.door.Leave(e)
			defer h.leave(e)
		}
	}
}

// Slower than the line, but all of it arrives.
func TestPace(t *testing.T) {
	p := pacer{rate: 1 << 20}
	p.spend(1 << 20)
	if p.full.Before(time.Now().Add(500 * time.Millisecond)) {
		t.Error("a second's worth took no time of the account")
	}
	h := open(t, Limits{Rate: 4 << 20})
	r := h.Online(t, romeo)
	target, requester := h.end(t, "s", romeo, juliet), h.end(t, "s", romeo, juliet)
	r.Sends(activation("s", juliet))
	h.heard(t, r, activated)
	go func() {
		requester.Write(make([]byte, 5<<20))
		requester.Close()
	}()
	if got, _ := io.ReadAll(target); len(got) != 5<<20 {
		t.Errorf("%d bytes arrived", len(got))
	}
}

// FuzzSOCKS reads anything as a client of the proxy. It is one of three: an
// address of a stream, a refusal, or no SOCKS at all; and nothing behind the
// request is taken.
func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x01\x00"), []byte("\x05\x01\x00\x03\x28"+strings.Repeat("0", 40)+"\x00\x00rest"))
	f.Add([]byte("\x05\xff"), []byte("\x05\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		if ok, err := greeting(bytes.NewReader(first)); ok && (err != nil || first[0] != 5 || len(first) < 3) {
			t.Errorf("%x was a greeting, %v", first, err)
		}
		r := bytes.NewReader(second)
		a, reply, err := request(r)
		if err == nil && reply == succeeded {
			want := append(append([]byte{5, 1, second[2], 3, 40}, a[:]...), 0, 0)
			if !bytes.HasPrefix(second, want) || r.Len() != len(second)-len(want) {
				t.Errorf("%x was read as %x, %d bytes are left", second, want, r.Len())
			}
			if b, _, err := request(bytes.NewReader(append([]byte{5, 1}, answer(reply, &a)[2:]...))); err != nil || b != a {
				t.Errorf("the answer does not name %s", a[:])
			}
		}
	})
}
