package c2s

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/feature"
	"confab/xmpp/feature/carbons"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/stream"
)

// door is a server at whose door tests knock with direct TLS.
type door struct {
	*featuretest.House
	*Server
	address string
}

func open(t testing.TB, more ...feature.Feature) *door {
	t.Helper()
	h := featuretest.New(t, func(*feature.Host) []feature.Feature {
		return append([]feature.Feature{carbons.New(), featuretest.Keep()}, more...)
	})
	a, err := auth.Open(t.Context(), auth.Options{Store: h.State, Directory: h.Directory, Clock: h.Clock})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SetPassword(t.Context(), h.ID("romeo@example.com"), "pw"); err != nil {
		t.Fatal(err)
	}
	o := new(stream.Options)
	o.Prepare()
	cert := certificate(t)
	d := &door{House: h, Server: New(Options{
		Directory: h.Directory, Auth: a, Router: h.Router, Table: h.Table, State: h.State, Stream: o, Clock: h.Clock,
		TLS: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			stream.Certificate(hello, cert)
			return cert, nil
		}},
		Log: slog.New(slog.DiscardHandler),
		Handled: func(token string) (uint32, bool) {
			n, err := strconv.ParseUint(h.Count(t, token), 10, 32)
			return uint32(n), err == nil
		},
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- d.Serve(l, true) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		d.Shutdown(ctx)
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return d
}

func certificate(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// guest is a client that reads as far as it needs to.
type guest struct {
	*tls.Conn
	t   testing.TB
	buf []byte
}

const header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='example.com' from='romeo@example.com'>"

// knock connects; what the server offers is yet to be read.
func (d *door) knock(t testing.TB) *guest {
	t.Helper()
	c, err := tls.Dial("tcp", d.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}}) // whose certificate it is does not matter here
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &guest{Conn: c, t: t}
}

// authenticated is romeo on the stream on which he binds an address.
func (d *door) authenticated(t testing.TB) *guest {
	t.Helper()
	g := d.knock(t)
	g.authenticate()
	return g
}

func (g *guest) authenticate() {
	g.t.Helper()
	g.say(header)
	g.hear("</stream:features>")
	g.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + base64.StdEncoding.EncodeToString([]byte("\x00romeo\x00pw")) + "</auth>")
	g.hear("<success")
	g.say(header)
	g.hear("</stream:features>")
}

func (g *guest) say(s string) {
	g.t.Helper()
	if _, err := g.Write([]byte(s)); err != nil {
		g.t.Fatal(err)
	}
}

// hear reads up to the end of text and returns all that came before.
func (g *guest) hear(text string) string {
	g.t.Helper()
	for {
		if i := bytes.Index(g.buf, []byte(text)); i >= 0 {
			s := string(g.buf[:i+len(text)])
			g.buf = g.buf[i+len(text):]
			return s
		}
		var b [4096]byte
		n, err := g.Read(b[:])
		if err != nil {
			g.t.Fatalf("%v while waiting for %s behind %s", err, text, g.buf)
		}
		g.buf = append(g.buf, b[:n]...)
	}
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

const agentElement = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"

// TestSCRAMBound is SCRAM-SHA-256-PLUS by SASL2 on a real channel, with the
// protection of what was offered (XEP-0474 §5.1).
func TestSCRAMBound(t *testing.T) {
	d := open(t)
	g := d.knock(t)
	defer g.Close()
	g.say(header)
	features := g.hear("</stream:features>")
	state := g.ConnectionState()
	data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		t.Fatal(err)
	}
	const gs2, bare = "p=tls-exporter,,", "n=romeo,r=0123456789"
	g.say("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256-PLUS'><initial-response>" +
		base64.StdEncoding.EncodeToString([]byte(gs2+bare)) + "</initial-response>" + agentElement +
		"<bind xmlns='urn:xmpp:bind:0'><tag>x</tag></bind></authenticate>")
	first := string(decode(t, between(g.hear("</challenge>"), "'>", "</challenge>")))
	fields := map[string]string{}
	for f := range strings.SplitSeq(first, ",") {
		name, value, _ := strings.Cut(f, "=")
		fields[name] = value
	}

	// What the client saw is what the server says it offered: of this profile, and without what is for tokens.
	offer, _, _ := strings.Cut(features[strings.Index(features, "<authentication"):], "<inline>")
	list := func(re, s string) string {
		var all []string
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(s, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return strings.Join(all, "\x1e")
	}
	seen := sha256.Sum256([]byte(list("<mechanism>([^<]*)<", offer) + "\x1f" + list("channel-binding type='([^']*)'", features)))
	if fields["h"] != base64.StdEncoding.EncodeToString(seen[:]) {
		t.Errorf("%s does not vouch for %s", first, features)
	}

	rounds, err := strconv.Atoi(fields["i"])
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, "pw", decode(t, fields["s"]), rounds, 32)
	if err != nil {
		t.Fatal(err)
	}
	final := "c=" + base64.StdEncoding.EncodeToString(append([]byte(gs2), data...)) + ",r=" + fields["r"]
	signed := bare + "," + first + "," + final
	proof := mac(salted, "Client Key")
	stored := sha256.Sum256(proof)
	subtle.XORBytes(proof, proof, mac(stored[:], signed))
	g.say("<response xmlns='urn:xmpp:sasl:2'>" +
		base64.StdEncoding.EncodeToString([]byte(final+",p="+base64.StdEncoding.EncodeToString(proof))) + "</response>")
	success := g.hear("</success>")
	want := "v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), signed))
	if got := decode(t, between(success, "<additional-data>", "</additional-data>")); string(got) != want {
		t.Errorf("the server says %s, not %s", got, want)
	}
	if !strings.Contains(success, "<authorization-identifier>romeo@example.com/x/") {
		t.Errorf("nothing was bound: %s", success)
	}
}

// TestTokensOnRealChannels logs in with tokens that are bound to TLS.
func TestTokensOnRealChannels(t *testing.T) {
	d := open(t)
	for mechanism, data := range map[string]func(tls.ConnectionState) []byte{
		"HT-SHA-256-NONE": func(tls.ConnectionState) []byte { return nil },
		"HT-SHA-256-ENDP": func(s tls.ConnectionState) []byte {
			sum := sha256.Sum256(s.PeerCertificates[0].Raw)
			return sum[:]
		},
		"HT-SHA-256-EXPR": func(s tls.ConnectionState) []byte {
			b, err := s.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	} {
		token := d.token(t, mechanism)
		g := d.knock(t)
		bound := string(data(g.ConnectionState()))
		g.say(header + withToken(token, mechanism, bound))
		success := g.hear("</success>")
		if got := decode(t, between(success, "<additional-data>", "</additional-data>")); !bytes.Equal(got, mac([]byte(token), "Responder"+bound)) {
			t.Errorf("%s: the server's proof is wrong", mechanism)
		}
		g.Close()

		// What was signed for one channel is of no use on another.
		if mechanism == "HT-SHA-256-EXPR" {
			g := d.knock(t)
			g.say(header + withToken(token, mechanism, bound))
			g.hear("<not-authorized")
			g.Close()
		}
	}
}

// token logs in with the password and asks for a token.
func (d *door) token(t testing.TB, mechanism string) string {
	t.Helper()
	g := d.knock(t)
	defer g.Close()
	g.say(header + "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>" +
		base64.StdEncoding.EncodeToString([]byte("\x00romeo\x00pw")) + "</initial-response>" + agentElement +
		"<request-token xmlns='urn:xmpp:fast:0' mechanism='" + mechanism + "'/></authenticate>")
	return between(g.hear("</success>"), " token='", "'")
}

func withToken(token, mechanism, data string) string {
	return "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='" + mechanism + "'><initial-response>" +
		base64.StdEncoding.EncodeToString(append([]byte("romeo\x00"), mac([]byte(token), "Initiator"+data)...)) +
		"</initial-response>" + agentElement + "<bind xmlns='urn:xmpp:bind:0'><tag>x</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/>" +
		"<enable xmlns='urn:xmpp:carbons:2'/></bind><fast xmlns='urn:xmpp:fast:0'/></authenticate>"
}

// TestALateTimer: the timer of a login that came too late to be stopped does not
// end the session.
func TestALateTimer(t *testing.T) {
	d := open(t)
	g := d.knock(t)
	defer g.Close()
	g.say(header)
	g.hear("</stream:features>")
	g.say("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>" +
		base64.StdEncoding.EncodeToString([]byte("\x00romeo\x00pw")) + "</initial-response><bind xmlns='urn:xmpp:bind:0'/></authenticate>")
	g.hear("</stream:features>")
	d.Clock.Pass(time.Hour)
	for _, c := range d.Server.door.Inside() {
		c.late()
	}
	g.say("<iq type='set' id='still here'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
	g.hear("still here")
}

// TestTheAddressDoesNotTell looks for the id of the user-agent in the resource.
func TestTheAddressDoesNotTell(t *testing.T) {
	d := open(t)
	c := &client{srv: d.Server, user: d.Directory.User(xmpp.MustJID("romeo@example.com"))}
	request := func(tag string) *request {
		r := &request{bind: &xmpp.Node{Space: xmpp.NSBind2, Local: "bind"}}
		r.agent, _ = auth.ParseAgentID("d4565fa7-4d72-4749-b3d3-740edbf87770")
		if tag != "" {
			r.bind.Children = append(r.bind.Children, &xmpp.Node{Space: xmpp.NSBind2, Local: "tag", Text: tag})
		}
		return r
	}
	one := c.resource(request("Lark"))
	if again := c.resource(request("Lark")); again != one {
		t.Errorf("%v, then %v", one, again)
	}
	if other := c.resource(request("")); strings.HasSuffix(one.Resource(), other.Resource()) {
		t.Errorf("the tag makes no difference to %v", other)
	}
	if r := c.resource(request("a\x01b")); strings.Contains(r.Resource(), "/") {
		t.Errorf("a tag that is no resource is in %v", r)
	}
	id := strings.TrimPrefix(one.Resource(), "Lark/")
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	agent := request("").agent
	for i := range len(agent) - 2 {
		if bytes.Contains(raw, agent[i:i+3]) {
			t.Errorf("%x shows a part of %x", raw, agent)
		}
	}
	c.user = d.Directory.User(xmpp.MustJID("juliet@example.com"))
	if hers := c.resource(request("Lark")); hers.Resource() == one.Resource() {
		t.Error("two accounts of one client can be told to be of one client")
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AA==</initial-response><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>x\u202ey</software><device>\x7f</device></user-agent><bind xmlns='urn:xmpp:bind:0'><tag>x</tag></bind></authenticate>")
	f.Add("<authenticate xmlns='urn:xmpp:sasl:2'><initial-response>=</initial-response><fast xmlns='urn:xmpp:fast:0' count='1' invalidate='true'/><request-token xmlns='urn:xmpp:fast:0'/></authenticate>")
	f.Fuzz(func(t *testing.T, text string) {
		st, err := xmpp.Parse([]byte(text))
		if err != nil {
			return
		}
		r, err := parseRequest(st.Node())
		var failure *auth.Failure
		if err != nil && !errors.As(err, &failure) {
			t.Fatalf("%v is no answer to %s", err, text)
		}
		for _, s := range []string{r.software, r.device} {
			if utf8.RuneCountInString(s) > 60 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q may be shown to the operator", s)
			}
		}
	})
}

// What a login costs from TLS to an address, both ends and the loopback
// included, without the handshake.
func BenchmarkLogin(b *testing.B) {
	d := open(b)
	plain := base64.StdEncoding.EncodeToString([]byte("\x00romeo\x00pw"))
	token := d.token(b, "HT-SHA-256-NONE")
	for _, c := range []struct {
		name  string
		login func(g *guest)
	}{
		{"SASL", func(g *guest) {
			g.authenticate()
			g.say("<iq id='1' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>")
			g.hear("</iq>")
		}},
		{"SASL2", func(g *guest) {
			g.say(header + "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>" + plain +
				"</initial-response>" + agentElement + "<bind xmlns='urn:xmpp:bind:0'/></authenticate>")
			g.hear("</success>")
		}},
		{"token", func(g *guest) {
			g.say(header + withToken(token, "HT-SHA-256-NONE", ""))
			g.hear("</success>")
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				g := d.knock(b)
				b.StartTimer()
				c.login(g)
				b.StopTimer()
				g.say("</stream:stream>")
				g.Close()
				b.StartTimer()
			}
		})
	}
}
