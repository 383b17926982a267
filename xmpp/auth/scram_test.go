package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mellium.im/sasl"

	"confab/xmpp/directory"
)

var everyScram = []string{
	"SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS",
	"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1",
}

// The exchanges of RFC 5802 §5 and RFC 7677 §3.
func TestVectors(t *testing.T) {
	h := newHouse(t)
	u := h.add("user", "")
	for _, tt := range []struct {
		hash                       Hash
		salt, bare, first, c, p, v string
	}{
		{
			SHA1, "QSXCR+Q6sek8bf92", "n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
			"v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		},
		{
			SHA256, "W22ZaJ0SNY7soEsUEjb6gQ==", "n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
			"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
	} {
		salt, err := base64.StdEncoding.DecodeString(tt.salt)
		if err != nil {
			t.Fatal(err)
		}
		for password, want := range map[string]string{"pencil": "v=" + tt.v, "pencils": ""} {
			keys := Keys{deriveKey(tt.hash, password, salt, 4096)}
			s := &scram{
				exchange: &Exchange{auth: h.Auth}, hash: tt.hash,
				who: &who{user: u, keys: keys}, key: &keys[0],
				nonce:   strings.TrimPrefix(strings.SplitN(tt.first, ",", 2)[0], "r="),
				binding: []byte("n,,"), message: []byte(tt.bare + "," + tt.first + ","),
			}
			got, f := s.final([]byte(tt.c + ",p=" + tt.p))
			if string(got) != want || (f == nil) != (want != "") {
				t.Errorf("%v with %s: %q %v", tt.hash, password, got, f)
			}
		}
	}
}

// The example of XEP-0474 §5.3.
func TestDowngradeProtection(t *testing.T) {
	at := Attempt{
		Offered:   []string{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"},
		Announced: []string{"tls-server-end-point", "tls-exporter"},
	}
	want := "G6k/rBLDqgOhRRaCuuatSDFkJ08="
	if got := base64.StdEncoding.EncodeToString(SHA1.digest(at.features())); got != want {
		t.Errorf("h=%s", got)
	}
	at.Announced = nil
	if got := string(at.features()); got != "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS" {
		t.Errorf("without announced bindings: %q", got)
	}

	h := newHouse(t)
	h.add("juliet", "pencil")
	c := bound("SCRAM-SHA-256-PLUS", "juliet", "pencil")
	if _, err := c.login(h.start(c.mechanism, channel)); err != nil {
		t.Fatal(err)
	}
	text := strings.Join([]string{
		"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
		"SCRAM-SHA-512", "SCRAM-SHA-512-PLUS\x1ftls-exporter", "tls-server-end-point",
	}, "\x1e")
	if want := ",h=" + base64.StdEncoding.EncodeToString(SHA256.digest([]byte(text))); !strings.HasSuffix(c.first, want) {
		t.Errorf("first message %s has not %s", c.first, want)
	}
}

func TestEveryMechanism(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "pencil")
	for _, m := range everyScram {
		if got, err := h.scram(m, "juliet", "pencil"); err != nil || got != u {
			t.Errorf("%s: %+v %v", m, got, err)
		}
		got, err := h.scram(m, "juliet", "pencils")
		if got != nil || condition(err) != "not-authorized" || cause(err) != Credentials {
			t.Errorf("%s with a wrong password: %+v %v", m, got, err)
		}
	}
	if got, err := h.plain("", "juliet", "pencil"); err != nil || got != u {
		t.Errorf("PLAIN: %+v %v", got, err)
	}
	if got, err := h.plain("", "juliet", "pencils"); got != nil || condition(err) != "not-authorized" || cause(err) != Credentials {
		t.Errorf("PLAIN with a wrong password: %+v %v", got, err)
	}
	if s := h.Stats(); s.Succeeded.Load() != 7 || s.Wrong.Load() != 7 {
		t.Errorf("%d succeeded, %d wrong", s.Succeeded.Load(), s.Wrong.Load())
	}
}

// mellium.im/sasl is somebody else's client.
func TestMelliumClient(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "pencil")
	odd := h.add("a=b", "pencil")
	for _, m := range []sasl.Mechanism{sasl.ScramSha1, sasl.ScramSha256, sasl.Plain} {
		for _, tt := range []struct {
			name, password, identity string
			user                     *directory.User
		}{
			{"juliet", "pencil", "", u},
			{"juliet", "pencil", "juliet@" + here, u},
			{"juliet", "pencils", "", nil},
			{"juliet", "pencil", "romeo@" + here, nil},
			{"romeo", "pencil", "", nil},
			{"a=b", "pencil", "", odd},
		} {
			c := sasl.NewClient(m, sasl.Credentials(func() ([]byte, []byte, []byte) {
				return []byte(tt.name), []byte(tt.password), []byte(tt.identity)
			}))
			x := h.start(m.Name, Binding{Secure: true})
			err := converse(c, x)
			if got := x.User(); got != tt.user || (err == nil) != (tt.user != nil) {
				t.Errorf("%s %+v: %+v %v", m.Name, tt, got, err)
			}
		}
	}
}

// converse runs a client against an exchange until the server is done and the
// client content.
func converse(c *sasl.Negotiator, x *Exchange) error {
	more, message, err := c.Step(nil)
	for err == nil {
		var done bool
		message, done, err = x.Step(context.Background(), message)
		if err != nil || done && !more {
			return err
		}
		if more, message, err = c.Step(message); done {
			return err
		}
	}
	return err
}

func TestFailures(t *testing.T) {
	h := newHouse(t)
	h.add("juliet", "pencil")
	h.add("romeo", "pencil")
	h.update(h.add("tybalt", "pencil"), func(u *directory.User) { u.Disabled = true })
	h.add("nurse", "")
	sha1only := h.add("benvolio", "")
	h.setKeys(sha1only, deriveKey(SHA1, "pencil", []byte("salt of another server"), few))
	for range 20 { // so that one is less than a tenth
		h.add(strings.ToLower(rand.Text()), "pencil")
	}

	const plain256, plus256 = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
	unbindable := Binding{Secure: true}
	for _, tt := range []struct {
		name      string
		client    client
		channel   Binding
		condition string
		cause     Cause
	}{
		{"wrong password", client{mechanism: plain256, name: "juliet", password: "Pencil"}, channel, "not-authorized", Credentials},
		{"unknown user", client{mechanism: plain256, name: "rosaline", password: "pencil"}, channel, "not-authorized", Credentials},
		{"user without credentials", client{mechanism: plain256, name: "nurse", password: "pencil"}, channel, "not-authorized", Credentials},
		{"user without that hash", client{mechanism: plain256, name: "benvolio", password: "pencil"}, channel, "not-authorized", Credentials},
		{"name that cannot be one", client{mechanism: plain256, name: "ju\x07liet", password: "pencil"}, channel, "not-authorized", Credentials},
		{"name of another domain", client{mechanism: plain256, name: "juliet@example.com", password: "pencil"}, channel, "not-authorized", Credentials},
		{"disabled", client{mechanism: plain256, name: "tybalt", password: "pencil"}, channel, "account-disabled", Refused},
		{"disabled, wrong password", client{mechanism: plain256, name: "tybalt", password: "x"}, channel, "not-authorized", Credentials},
		{"authzid of somebody else", client{mechanism: plain256, name: "juliet", password: "pencil", header: "n,a=romeo@" + here + ","}, channel, "invalid-authzid", Refused},
		{"authzid of somebody else, wrong password", client{mechanism: plain256, name: "juliet", password: "x", header: "n,a=romeo@" + here + ","}, channel, "not-authorized", Credentials},
		{"authzid without a domain", client{mechanism: plain256, name: "juliet", password: "pencil", header: "n,a=juliet,"}, channel, "invalid-authzid", Refused},
		{"authzid with a resource", client{mechanism: plain256, name: "juliet", password: "pencil", header: "n,a=juliet@" + here + "/balcony,"}, channel, "invalid-authzid", Refused},
		{"authzid that is no address", client{mechanism: plain256, name: "juliet", password: "pencil", header: "n,a=@,"}, channel, "invalid-authzid", Refused},
		{"y though -PLUS was offered", client{mechanism: plain256, name: "juliet", password: "pencil", header: "y,,"}, channel, "malformed-request", ChannelBinding},
		{"-PLUS with n", client{mechanism: plus256, name: "juliet", password: "pencil"}, channel, "malformed-request", ChannelBinding},
		{"-PLUS with y", client{mechanism: plus256, name: "juliet", password: "pencil", header: "y,,"}, channel, "malformed-request", ChannelBinding},
		{"p without -PLUS", client{mechanism: plain256, name: "juliet", password: "pencil", header: "p=tls-exporter,,", data: channel.Exporter}, channel, "malformed-request", ChannelBinding},
		{"tls-unique", client{mechanism: plus256, name: "juliet", password: "pencil", header: "p=tls-unique,,", data: []byte("x")}, channel, "malformed-request", ChannelBinding},
		{"unknown binding", client{mechanism: plus256, name: "juliet", password: "pencil", header: "p=a.b-1,,", data: []byte("x")}, channel, "malformed-request", ChannelBinding},
		{"binding of another connection", client{mechanism: plus256, name: "juliet", password: "pencil", header: "p=tls-exporter,,", data: []byte("other")}, channel, "malformed-request", ChannelBinding},
		{"binding of another connection, wrong password", client{mechanism: plus256, name: "juliet", password: "x", header: "p=tls-exporter,,", data: []byte("other")}, channel, "malformed-request", ChannelBinding},
		{"data of the other binding", client{mechanism: plus256, name: "juliet", password: "pencil", header: "p=tls-server-end-point,,", data: channel.Exporter}, channel, "malformed-request", ChannelBinding},
		{"no binding data", client{mechanism: plus256, name: "juliet", password: "pencil", header: "p=tls-exporter,,"}, channel, "malformed-request", ChannelBinding},
		{"binding that this channel has not", client{mechanism: plus256, name: "juliet", password: "pencil", header: "p=tls-exporter,,", data: channel.Exporter}, Binding{EndPoint: channel.EndPoint}, "malformed-request", ChannelBinding},
		{"data without -PLUS", client{mechanism: plain256, name: "juliet", password: "pencil", data: []byte("x")}, unbindable, "malformed-request", ChannelBinding},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.client
			if c.header == "" {
				c.header = "n,,"
			}
			u, err := c.login(h.start(c.mechanism, tt.channel))
			if u != nil || condition(err) != tt.condition || cause(err) != tt.cause {
				t.Errorf("%v, cause %d, logs in %+v", err, cause(err), u)
			}
		})
	}
}

func TestWhatMayBeSaid(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "pencil")
	irish := h.add("o'brien", "pencil")
	const m, p = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
	for _, tt := range []struct {
		name    string
		client  client
		channel Binding
		user    *directory.User
	}{
		{"y where nothing can be bound", client{mechanism: m, name: "juliet", header: "y,,"}, Binding{Secure: true}, u},
		{"n though -PLUS was offered", client{mechanism: m, name: "juliet", header: "n,,"}, channel, u},
		{"tls-server-end-point", client{mechanism: p, name: "juliet", header: "p=tls-server-end-point,,", data: channel.EndPoint}, channel, u},
		{"own authzid", client{mechanism: m, name: "juliet", header: "n,a=Juliet@" + here + ","}, channel, u},
		{"other case", client{mechanism: m, name: "JULIET", header: "n,,"}, channel, u},
		{"the whole address", client{mechanism: m, name: "juliet@" + here, header: "n,,"}, channel, u},
		{"mail address", client{mechanism: m, name: "o'brien@" + here, header: "n,,"}, channel, irish},
		{"escaped", client{mechanism: m, name: `o\27brien`, header: `n,a=o\27brien@` + here + ","}, channel, irish},
	} {
		c := tt.client
		c.password = "pencil"
		if got, err := c.login(h.start(c.mechanism, tt.channel)); err != nil || got != tt.user {
			t.Errorf("%s: %+v %v", tt.name, got, err)
		}
	}
	h.update(u, func(u *directory.User) { u.Local = "juliet.montague" })
	for _, name := range []string{"juliet", "juliet.montague"} {
		for _, authzid := range []string{"", name + "@" + here, "juliet.montague@" + here} {
			got, err := h.plain(authzid, name, "pencil")
			if err != nil || got.ID != u.ID || got.JID != jid("juliet.montague") {
				t.Errorf("%s as %q after the name has changed: %+v %v", name, authzid, got, err)
			}
		}
	}
}

func TestMalformed(t *testing.T) {
	h := newHouse(t)
	h.add("juliet", "pencil")
	long := strings.Repeat("a", maxMessage)
	for _, first := range []string{
		"", "n", "n,", "n,,", ",,n=juliet,r=abc", "x,,n=juliet,r=abc", "n,,juliet,r=abc", "n,,n=juliet", "n,,n=,r=abc",
		"n,,n=juliet,r=", "n,,n=juliet,abc", "n,,n=juliet,r=a\x7fc", "n,,n=juliet,r=abc,", "n,,n=juliet,r=abc,x",
		"n,,n=juliet,r=abc,1=x", "n,,m=must,n=juliet,r=abc", "n,,n=juliet,r=abc,m=must", "n,,n=juliet,m=must,r=abc",
		"n,,n=jul=iet,r=abc", "n,,n=juliet=,r=abc", "n,,n=juliet=2,r=abc", "n,,n=juliet=2c,r=abc", "n,a=,n=juliet,r=abc", "n,juliet,n=juliet,r=abc",
		"n,a=jul=iet,n=juliet,r=abc", "p,,n=juliet,r=abc", "p=,,n=juliet,r=abc", "p=tls unique,,n=juliet,r=abc", "n,,n=jul\x00iet,r=abc",
		"n,,n=jul\xffiet,r=abc", "n,,n=juliet,r=" + strings.Repeat("a", maxNonce+1), "n,,n=juliet,r=abc,x=" + long, "nn,,n=juliet,r=abc",
	} {
		x := h.start("SCRAM-SHA-256", Binding{Secure: true})
		_, _, err := x.Step(t.Context(), []byte(first))
		if condition(err) != "malformed-request" || cause(err) != Protocol {
			t.Errorf("%q: %v", first, err)
		}
		if _, _, err := x.Step(t.Context(), []byte("n,,n=juliet,r=abc")); condition(err) != "malformed-request" {
			t.Errorf("%q: and then %v", first, err)
		}
	}

	for name, change := range map[string]func(final string) string{
		"empty":              func(string) string { return "" },
		"no proof":           func(s string) string { return s[:strings.Index(s, ",p=")] },
		"proof not last":     func(s string) string { return s + ",x=y" },
		"proof no base64":    func(s string) string { return s + "!" },
		"proof short":        func(s string) string { return s[:strings.Index(s, ",p=")] + ",p=QUJD" },
		"proof empty":        func(s string) string { return s[:strings.Index(s, ",p=")] + ",p=" },
		"no binding":         func(s string) string { return s[strings.Index(s, ",")+1:] },
		"binding empty":      func(s string) string { return strings.Replace(s, "biws", "", 1) },
		"binding no base64":  func(s string) string { return strings.Replace(s, "biws", "b!ws", 1) },
		"no nonce":           func(s string) string { return strings.Replace(s, ",r=", ",x=", 1) },
		"other nonce":        func(s string) string { return strings.Replace(s, ",r=", ",r=x", 1) },
		"unknown extension":  func(s string) string { return strings.Replace(s, ",p=", ",m=must,p=", 1) },
		"extension no attr":  func(s string) string { return strings.Replace(s, ",p=", ",x,p=", 1) },
		"not text":           func(s string) string { return strings.Replace(s, ",p=", ",x=\xff,p=", 1) },
		"too long":           func(s string) string { return strings.Replace(s, ",p=", ",x="+long+",p=", 1) },
		"the first one more": func(string) string { return "n,,n=juliet,r=abc" },
	} {
		x := h.start("SCRAM-SHA-256", Binding{Secure: true})
		c := bound("SCRAM-SHA-256", "juliet", "pencil")
		first, _, err := x.Step(t.Context(), c.begin())
		if err != nil {
			t.Fatal(err)
		}
		final, err := c.answer(first)
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := x.Step(t.Context(), []byte(change(string(final))))
		if done || condition(err) != "malformed-request" || cause(err) != Protocol || x.User() != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := x.Step(t.Context(), final); condition(err) != "malformed-request" {
			t.Errorf("%s: and then %v", name, err)
		}
	}

	for _, message := range []string{
		"", "juliet", "juliet\x00pencil", "\x00juliet\x00", "\x00\x00pencil", "\x00juliet\x00pencil\x00", "\x00jul\xffiet\x00pencil",
		"\x00juliet\x00" + long,
	} {
		x := h.start("PLAIN", channel)
		_, done, err := x.Step(t.Context(), []byte(message))
		if done || condition(err) != "malformed-request" || cause(err) != Protocol {
			t.Errorf("PLAIN %q: %v", message, err)
		}
	}
}

func TestPlainFailures(t *testing.T) {
	h := newHouse(t)
	h.add("juliet", "pencil")
	h.add("romeo", "pencil")
	h.add("nurse", "")
	h.update(h.add("tybalt", "pencil"), func(u *directory.User) { u.Disabled = true })
	for _, tt := range []struct {
		what, authzid, name, password, condition string
		cause                                    Cause
	}{
		{"wrong password", "", "juliet", "x", "not-authorized", Credentials},
		{"password that cannot be one", "", "juliet", "pencil\n", "not-authorized", Credentials},
		{"password longer than can be", "", "juliet", strings.Repeat("p", maxPassword+1), "not-authorized", Credentials},
		{"unknown user", "", "rosaline", "pencil", "not-authorized", Credentials},
		{"user without credentials", "", "nurse", "pencil", "not-authorized", Credentials},
		{"disabled", "", "tybalt", "pencil", "account-disabled", Refused},
		{"disabled, wrong password", "", "tybalt", "x", "not-authorized", Credentials},
		{"authzid of somebody else", "romeo@" + here, "juliet", "pencil", "invalid-authzid", Refused},
		{"authzid of somebody else, wrong password", "romeo@" + here, "juliet", "x", "not-authorized", Credentials},
		{"authzid of a domain", here, "juliet", "pencil", "invalid-authzid", Refused},
		{"authzid of a namesake", "juliet@example.com", "juliet", "pencil", "invalid-authzid", Refused},
	} {
		u, err := h.plain(tt.authzid, tt.name, tt.password)
		if u != nil || condition(err) != tt.condition || cause(err) != tt.cause {
			t.Errorf("%s: %+v %v", tt.what, u, err)
		}
	}
}

func TestStart(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		mechanism string
		binding   Binding
		offered   []string
		condition string
	}{
		{"SCRAM-SHA-256", channel, nil, "invalid-mechanism"},
		{"", channel, []string{"PLAIN"}, "invalid-mechanism"},
		{"EXTERNAL", channel, []string{"EXTERNAL"}, "invalid-mechanism"},
		{"SCRAM-SHA-3", channel, []string{"SCRAM-SHA-3"}, "invalid-mechanism"},
		{"PLAIN-PLUS", channel, []string{"PLAIN-PLUS"}, "invalid-mechanism"},
		{"PLAIN", Binding{}, []string{"PLAIN"}, "encryption-required"},
	} {
		x, err := h.Start(Attempt{Domain: here, Mechanism: tt.mechanism, Binding: tt.binding, Offered: tt.offered})
		if x != nil || condition(err) != tt.condition {
			t.Errorf("%s: %v", tt.mechanism, err)
		}
	}

	h.add("juliet", "pencil")
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256"} {
		x := h.start(m, Binding{Secure: true})
		challenge, done, err := x.Step(t.Context(), nil)
		if err != nil || done || challenge == nil || len(challenge) > 0 {
			t.Fatalf("%s without initial response: %q %v %v", m, challenge, done, err)
		}
		if m == "PLAIN" {
			_, _, err = x.Step(t.Context(), []byte("\x00juliet\x00pencil"))
		} else {
			_, err = bound(m, "juliet", "pencil").login(x)
		}
		if err != nil || x.User() == nil {
			t.Errorf("%s after an empty challenge: %v", m, err)
		}
		if _, _, err := x.Step(t.Context(), []byte("\x00juliet\x00pencil")); condition(err) != "malformed-request" {
			t.Errorf("%s after its end: %v", m, err)
		}
	}
	x := h.start("PLAIN", channel)
	x.Step(t.Context(), nil)
	if _, _, err := x.Step(t.Context(), nil); condition(err) != "malformed-request" {
		t.Errorf("nothing, twice: %v", err)
	}
}

func TestMechanisms(t *testing.T) {
	h := newHouse(t)
	scram := []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"}
	for _, tt := range []struct {
		binding Binding
		want    []string
	}{
		{Binding{}, scram},
		{Binding{Secure: true}, slices.Concat(scram, []string{"PLAIN"})},
		{Binding{EndPoint: []byte("x"), Secure: true}, slices.Concat(everyScram, []string{"PLAIN"})},
		{channel, slices.Concat(everyScram, []string{"PLAIN"})},
	} {
		if got := h.Mechanisms(here, tt.binding); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q", tt.binding, got)
		}
	}
	h.open(Options{NoPlain: true, Hashes: []Hash{SHA1, SHA256}})
	if got := h.Mechanisms(here, Binding{Secure: true}); !slices.Equal(got, []string{"SCRAM-SHA-256", "SCRAM-SHA-1"}) {
		t.Errorf("as set: %q", got)
	}
	if _, err := Open(t.Context(), Options{Store: h.db, Directory: h.directory, Hashes: []Hash{7}}); err == nil {
		t.Error("an unknown hash is accepted")
	}
}

func TestStoreFails(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "pencil")
	lost := errors.New("disk lost")
	h.db.Fail(lost)
	if err := h.SetPassword(t.Context(), u.ID, "rose"); !errors.Is(err, lost) {
		t.Errorf("SetPassword: %v", err)
	}
	h.db.Fail(nil)
	if _, err := h.plain("", "juliet", "pencil"); err != nil {
		t.Errorf("the password is another: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cancel()
	for _, m := range []string{"PLAIN", "SCRAM-SHA-1"} {
		_, _, err := h.start(m, Binding{Secure: true}).Step(ctx, map[string][]byte{
			"PLAIN": []byte("\x00juliet\x00pencil"), "SCRAM-SHA-1": []byte("n,,n=juliet,r=abc"),
		}[m])
		if condition(err) != "temporary-auth-failure" || cause(err) != Store || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", m, err)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		condition  string
	}{
		{"", "", ""},
		{"=", "", ""},
		{"biws", "n,,", ""},
		{"biw", "", "incorrect-encoding"},
		{"bi ws", "", "incorrect-encoding"},
		{"biws=", "", "incorrect-encoding"},
		{"YR==", "", "incorrect-encoding"}, // bits behind the end
		{"==", "", "incorrect-encoding"},
		{strings.Repeat("A", 9000), "", "malformed-request"},
	} {
		got, err := Decode([]byte(tt.text))
		if string(got) != tt.want || err != nil != (tt.condition != "") || err != nil && condition(err) != tt.condition {
			t.Errorf("%.20q: %q %v", tt.text, got, err)
		}
		if (got == nil) != (tt.text == "" || err != nil) {
			t.Errorf("%.20q: nil is %v", tt.text, got == nil)
		}
	}
}
