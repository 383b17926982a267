package component_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp/component"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/ping"
	"confab/xmpp/store/storetest"
	"confab/xmpp/stream"
)

const secret = "kept from everybody"

const places = 8 // for connections of one address that have not shown who they are

type house struct {
	*featuretest.House
	*component.Server
	log  featuretest.Log
	addr string
}

func open(t testing.TB, o stream.Options, more ...feature.Feature) *house {
	t.Helper()
	h := new(house)
	o.Prepare()
	h.House = featuretest.New(t, func(host *feature.Host) []feature.Feature {
		h.Server = component.New(host, component.Options{
			Components: []component.Component{{Name: "irc.example.com", Home: "example.com", Secret: secret}},
			Stream:     &o, Clock: host.Clock, Log: slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Waiting: 4 * places,
		})
		return append([]feature.Feature{featuretest.Keep(), h.Server.Feature(), ping.New()}, more...)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	done := make(chan error)
	go func() { done <- h.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.Shutdown(ctx)
		if err := <-done; err != net.ErrClosed {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return h
}

// program is a component.
type program struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

func (h *house) dial(t testing.TB) *program {
	t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &program{c, bufio.NewReader(c), t}
}

const opening = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='irc.example.com'>"

func (p *program) says(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

// hears reads until the text has come, and returns all up to it.
func (p *program) hears(text string) string {
	p.t.Helper()
	var b strings.Builder
	for !strings.HasSuffix(b.String(), text) {
		c, err := p.r.ReadByte()
		if err != nil {
			p.t.Fatalf("heard %q and not %q: %v", b.String(), text, err)
		}
		b.WriteByte(c)
	}
	return b.String()
}

var streamID = regexp.MustCompile(` id='([^']*)'`)

// shakesHands is a component that has shown who it is, and has not heard whether it is in.
func (h *house) shakesHands(t testing.TB) *program {
	t.Helper()
	p := h.dial(t)
	p.says(opening)
	header := p.hears("'irc.example.com'>")
	sum := sha1.Sum([]byte(streamID.FindStringSubmatch(header)[1] + secret))
	p.says("<handshake>" + hex.EncodeToString(sum[:]) + "</handshake>")
	return p
}

func (h *house) program(t testing.TB) *program {
	t.Helper()
	p := h.shakesHands(t)
	p.hears("<handshake/>")
	if names := h.Connected(); len(names) != 1 { // so there is no need to wait for it
		t.Errorf("connected: %q", names)
	}
	return p
}

// A message of a component is on disk before the user gets it, and one to a
// component before that gets it.
func TestStoredFirst(t *testing.T) {
	h := open(t, stream.Options{})
	romeo := h.Online(t, "romeo@example.com/orchard")
	p := h.program(t)
	h.Held.Hold()
	p.says("<message from='irc.example.com' to='romeo@example.com' id='1'><body>hi</body></message>")
	if !h.Held.Await(1) {
		t.Fatal("nothing is to be stored")
	}
	romeo.Hears()
	h.Held.Release()
	featuretest.Eventually(t, "the message", func() bool { return h.Router.Stats.Sent.Load() == 1 })
	p.says("<iq type='get' id='2' from='irc.example.com' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	p.hears("id='2'/>")
	if heard := strings.Join(romeo.Conn.Left(), ""); !strings.Contains(heard, "<body>hi</body><stanza-id ") {
		t.Errorf("romeo heard %s", heard)
	}

	h.Failing.Fail(storetest.ErrFull)
	romeo.Sends("<message to='irc.example.com' id='3'><body>hi</body></message>")
	p.says("<message from='irc.example.com' to='romeo@example.com' id='4'><body>hi</body></message>")
	if got := p.hears("</message>"); !strings.Contains(got, "id='4'") || !strings.Contains(got, "<internal-server-error") || strings.Contains(got, "id='3'") {
		t.Errorf("the component heard %s", got)
	}
	if heard := strings.Join(romeo.Conn.Left(), ""); !strings.Contains(heard, "<internal-server-error") {
		t.Errorf("romeo heard %s", heard)
	}
}

// Many messages of one read share a commit, and none is lost or mixed up.
func TestManyAtOnce(t *testing.T) {
	h := open(t, stream.Options{})
	romeo := h.Online(t, "romeo@example.com/orchard")
	p := h.program(t)
	var all strings.Builder
	const n = 500
	for i := range n {
		fmt.Fprintf(&all, "<message from='u%d@irc.example.com' to='romeo@example.com' type='chat'><body>%s</body></message>", i, strings.Repeat("x", i))
	}
	p.says(all.String())
	featuretest.Eventually(t, "all messages", func() bool { return h.Router.Stats.Sent.Load() == n })
	for i, s := range romeo.Conn.Left() {
		if !strings.Contains(s, fmt.Sprintf("from='u%d@irc", i)) || !strings.Contains(s, "<body>"+strings.Repeat("x", i)+"</body>") {
			t.Fatalf("message %d is %s", i, s)
		}
	}
}

// What goes to very many does not wait for more of its kind: everybody else would have to wait for all of it.
func TestMuchAtOnce(t *testing.T) {
	var order featuretest.Log
	h := open(t, stream.Options{}, feature.Feature{
		Name: "many",
		Keep: func(d *feature.Dispatch) error {
			d.Reach = 1000
			fmt.Fprintf(&order, "%s is kept. ", d.Stanza.ID)
			return nil
		},
		Settled: func(d *feature.Dispatch) { fmt.Fprintf(&order, "%s has gone. ", d.Stanza.ID) },
	})
	h.Online(t, "romeo@example.com/orchard")
	p := h.program(t)
	const message = "<message from='irc.example.com' to='romeo@example.com' type='chat' id='%d'><body>x</body></message>"
	p.says(fmt.Sprintf(message+message, 1, 2))
	featuretest.Eventually(t, "both", func() bool { return strings.Contains(order.String(), "2 has gone") })
	if got := order.String(); got != "1 is kept. 1 has gone. 2 is kept. 2 has gone. " {
		t.Error(got)
	}
}

// Whoever comes with the secret is the component; the older connection ends.
func TestConnectsAnew(t *testing.T) {
	h := open(t, stream.Options{})
	romeo := h.Online(t, "romeo@example.com/orchard")
	old := h.program(t)
	romeo.Sends("<iq type='get' id='1' to='irc.example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	old.hears("</iq>")
	fresh := h.program(t)
	if got := old.hears("</stream:stream>"); !strings.Contains(got, "<conflict ") {
		t.Errorf("the old one heard %s", got)
	}
	romeo.Sends("<message to='irc.example.com' id='2'><body>hi</body></message>")
	fresh.hears("</message>")
	heard := ""
	featuretest.Eventually(t, "the end of what was asked", func() bool {
		heard += strings.Join(romeo.Conn.Left(), "")
		return strings.Contains(heard, "id='1'") && strings.Contains(heard, "<remote-server-timeout ")
	})
	old.Close()
	fresh.says("<iq type='get' id='3' from='irc.example.com' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	fresh.hears("id='3'/>")
	if names := h.Connected(); len(names) != 1 {
		t.Errorf("connected: %q", names)
	}
}

// What is remembered of requests that are not answered is bounded, whatever they are called by.
func TestLongID(t *testing.T) {
	h := open(t, stream.Options{})
	romeo := h.Online(t, "romeo@example.com/orchard")
	p := h.program(t)
	for _, id := range []string{strings.Repeat("x", 100_000), "short"} {
		romeo.Sends("<iq type='get' id='" + id + "' to='irc.example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
		p.hears("</iq>")
	}
	p.Close()
	heard := ""
	featuretest.Eventually(t, "the end of what was asked", func() bool {
		heard += strings.Join(romeo.Conn.Left(), "")
		return strings.Contains(heard, "id='short'")
	})
	h.program(t) // which is let in when all have been told
	if heard += strings.Join(romeo.Conn.Left(), ""); strings.Contains(heard, "xxx") {
		t.Error("a hundred thousand bytes were remembered")
	}
}

// What the end of a connection has others hear comes before what the component says on the next.
func TestConnectsAnewAtOnce(t *testing.T) {
	ending, end := make(chan bool, 2), make(chan bool)
	release := sync.OnceFunc(func() { close(end) })
	defer release()
	var shown featuretest.Log
	h := open(t, stream.Options{}, feature.Feature{
		Name: "slow",
		PeerGone: func(feature.Peer, string) {
			ending <- true
			<-end
		},
		Presence: func(d *feature.Dispatch) (handled bool, err error) {
			fmt.Fprintf(&shown, "[%v]", d.Stanza.Type)
			return true, nil
		},
	})
	const presence = "<presence from='mercutio@irc.example.com' to='romeo@example.com/orchard'/>"
	old := h.program(t)
	old.says(presence)
	featuretest.Eventually(t, "his presence", func() bool { return shown.String() == "[]" })
	old.Close()
	<-ending
	fresh := h.shakesHands(t)
	fresh.says(presence)
	featuretest.Eventually(t, "the next connection", func() bool { return shown.String() == "[][]" || joining() == 1 })
	release()
	featuretest.Eventually(t, "all three", func() bool { return strings.Count(shown.String(), "[") == 3 })
	if got := shown.String(); got != "[][unavailable][]" {
		t.Errorf("he seems to be away in the end: %s", got)
	}
}

// joining is how many connections are about to be that of a component.
func joining() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("component.(*outlet).join("))
}

// Who comes back while the end of the last connection is told, and that hangs, is told to try again. Of two who wait, it is
// the one that came last who is let in.
func TestConnectsAnewWhileTheEndHangs(t *testing.T) {
	ending, end := make(chan bool, 10), make(chan bool)
	release := sync.OnceFunc(func() { close(end) })
	defer release()
	h := open(t, stream.Options{}, feature.Feature{
		Name:     "slow",
		PeerGone: func(feature.Peer, string) { ending <- true; <-end },
	})
	h.program(t).Close()
	<-ending
	early := h.shakesHands(t)
	featuretest.Eventually(t, "the next connection", func() bool { return joining() == 1 })
	h.Clock.Pass(10 * time.Second)
	if got := early.hears("</stream:stream>"); !strings.Contains(got, "<internal-server-error ") || strings.Contains(got, "<handshake/>") {
		t.Errorf("heard %s", got)
	}
	one := h.shakesHands(t)
	featuretest.Eventually(t, "another", func() bool { return joining() == 1 })
	two := h.shakesHands(t)
	if got := one.hears("</stream:stream>"); !strings.Contains(got, "<conflict ") || strings.Contains(got, "<handshake/>") {
		t.Errorf("heard %s", got)
	}
	featuretest.Eventually(t, "the last one", func() bool { return joining() == 1 })
	release()
	two.hears("<handshake/>")
	if n := h.Server.Stats.Connected.Load(); n != 1 {
		t.Errorf("%d are connected", n)
	}
}

// A component that reads nothing is closed, and keeps nobody waiting.
func TestSlowComponent(t *testing.T) {
	h := open(t, stream.Options{OutLimit: 64 << 10})
	romeo := h.Online(t, "romeo@example.com/orchard")
	h.program(t)
	big := "<presence to='irc.example.com'><status>" + strings.Repeat("x", 10_000) + "</status></presence>"
	for i := 0; len(h.Connected()) > 0; i++ {
		if i > 10_000 {
			t.Fatal("it is still connected")
		}
		romeo.Sends(big)
	}
	romeo.Sends("<message to='irc.example.com' id='late'><body>hi</body></message>")
	if heard := strings.Join(romeo.Conn.Left(), ""); !strings.Contains(heard, "id='late'><error type='wait'><remote-server-timeout ") {
		t.Errorf("romeo heard %s", heard)
	}
}

// Who does not know the secret does not get in, nor does the log tell it.
func TestSecret(t *testing.T) {
	h := open(t, stream.Options{})
	for _, handshake := range []string{"", "0000", strings.Repeat("a", 40), secret} {
		p := h.dial(t)
		p.says(opening)
		p.says("<handshake>" + handshake + "</handshake>")
		if got := p.hears("</stream:stream>"); !strings.Contains(got, "<not-authorized ") {
			t.Errorf("%s was answered by %s", handshake, got)
		}
	}
	h.program(t)
	log := h.log.String()
	if strings.Contains(log, secret) || !strings.Contains(log, "irc.example.com") {
		t.Errorf("logged: %s", log)
	}
	if n := h.Stats.Refused.Load(); n != 4 {
		t.Errorf("%d were refused", n)
	}
}

// Connections that say nothing are bounded.
func TestWaiting(t *testing.T) {
	h := open(t, stream.Options{})
	h.program(t) // which is not one of them
	var idle []*program
	for range places {
		p := h.dial(t)
		p.says(opening)
		p.hears("'irc.example.com'>")
		idle = append(idle, p)
	}
	if b, err := io.ReadAll(h.dial(t)); len(b) > 0 {
		t.Errorf("one more heard %q, %v", b, err)
	}
	h.Clock.Pass(11 * time.Second)
	for _, p := range idle {
		if got := p.hears("</stream:stream>"); !strings.Contains(got, "<connection-timeout ") {
			t.Errorf("heard %s", got)
		}
	}
	for _, p := range idle {
		p.Close()
	}
	featuretest.Eventually(t, "a place", func() bool { return h.hasPlace(t) })
}

func (h *house) hasPlace(t testing.TB) bool {
	p := h.dial(t)
	defer p.Close()
	io.WriteString(p, opening) // or it is closed already
	_, err := p.r.ReadByte()
	return err == nil
}

// lasting are connections that wait for their peer's end for as long as it takes.
type lasting struct{ net.Listener }

func (l lasting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return undying{c}, err
}

type undying struct{ net.Conn }

func (undying) SetReadDeadline(time.Time) error { return nil }

// Who was told to go and does not has a place still: what strangers cost is bounded.
func TestLingering(t *testing.T) {
	h := open(t, stream.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go h.Serve(lasting{l})
	h.addr = l.Addr().String()
	var idle []*program
	for range places {
		p := h.dial(t)
		p.says(strings.Replace(opening, "irc", "nobody", 1))
		p.hears("</stream:stream>")
		idle = append(idle, p)
	}
	if h.hasPlace(t) {
		t.Error("one more was let in")
	}
	for _, p := range idle {
		p.Close()
	}
	featuretest.Eventually(t, "a place", func() bool { return h.hasPlace(t) })
}

// FuzzComponent lets a component say anything once it is known. Nothing of it
// panics or is logged as a fault of ours, and no stanza is anybody else's.
func FuzzComponent(f *testing.F) {
	for _, s := range []string{
		"<message from='irc.example.com' to='romeo@example.com'><body>hi</body></message>",
		"<iq type='get' id='1' from='a@irc.example.com/b' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<presence from='irc.example.com'/><message/><x:iq xmlns:x='jabber:client'/>",
		"<message xmlns='jabber:client' from='irc.example.com' to='romeo@example.com/orchard'><body/></message>",
		"<message from='irc.example.com' to='x'><body xmlns='jabber:component:accept'>&lt;</body></message></stream:stream>",
		"<iq type='result' from='irc.example.com' to='example.com' id='push-1'/><stream:features/>",
	} {
		f.Add(s)
	}
	h := open(f, stream.Options{})
	romeo := h.Online(f, "romeo@example.com/orchard")
	f.Fuzz(func(t *testing.T, text string) {
		p := h.program(t)
		p.says(text + "</stream:stream>")
		if _, err := io.Copy(io.Discard, p.r); err != nil {
			t.Skip()
		}
		p.Close()
		featuretest.Eventually(t, "the end", func() bool { return len(h.Connected()) == 0 })
		for _, s := range romeo.Conn.Left() {
			if from := regexp.MustCompile(`^<[a-z]+[^>]* from='([^']*@)?irc\.example\.com[/']`); !from.MatchString(s) {
				t.Errorf("romeo heard %s", s)
			}
		}
		if log := h.log.String() + h.Logged(); strings.Contains(log, "panic") {
			t.Error(log)
		}
	})
}
