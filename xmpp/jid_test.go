package xmpp

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	mjid "mellium.im/xmpp/jid"
)

func TestParseJID(t *testing.T) {
	long := strings.Repeat("a", 1023)
	for _, c := range []struct{ in, local, domain, resource string }{
		{"example.com", "", "example.com", ""},
		{"example.com/x", "", "example.com", "x"},
		{"juliet@capulet.example", "juliet", "capulet.example", ""},
		{"juliet@capulet.example/balcony", "juliet", "capulet.example", "balcony"},
		{"Juliet@Capulet.EXAMPLE/Balcony", "juliet", "capulet.example", "Balcony"},
		{"juliet@capulet.example./b", "juliet", "capulet.example", "b"},
		{"a@b/c@d/e f", "a", "b", "c@d/e f"},
		{"a@b/ c ", "a", "b", " c "},
		{`o\27brien@example.com`, `o\27brien`, "example.com", ""},
		{"fußball@example.com", "fußball", "example.com", ""},
		{"ΠΑΝ@example.com", "παν", "example.com", ""},
		{"a@MÜNCHEN.example", "a", "münchen.example", ""},
		{"a@xn--mnchen-3ya.example", "a", "münchen.example", ""},
		{"a@127.0.0.1", "a", "127.0.0.1", ""},
		{"a@[::1]/x", "a", "[::1]", "x"},
		{"a@[FE80::1]", "a", "[fe80::1]", ""},
		{"a@b/ﬁ♚", "a", "b", "ﬁ♚"}, // NFC keeps the ligature (RFC 7622 §3.4)
		{long + "@b", long, "b", ""},
		{"a@b/" + long, "a", "b", long},
		{long + "@b/" + long, long, "b", long},
	} {
		j, err := ParseJID(c.in)
		if err != nil {
			t.Errorf("%.40q: %v", c.in, err)
			continue
		}
		if j.Local() != c.local || j.Domain() != c.domain || j.Resource() != c.resource {
			t.Errorf("%.40q: %q @ %q / %q", c.in, j.Local(), j.Domain(), j.Resource())
		}
		if again, err := ParseJID(j.String()); err != nil || again != j {
			t.Errorf("%.40q: not stable: %v, %v", c.in, again, err)
		}
	}
}

func TestParseJIDRefuses(t *testing.T) {
	long := strings.Repeat("a", 1024)
	for _, in := range []string{
		"", "@", "/", "@example.com", "juliet@", "juliet@/x", "example.com/", "juliet@example.com/",
		"a b@example.com", `a"b@example.com`, "a&b@example.com", "a'b@example.com", "a:b@example.com", "a<b@example.com",
		"a@b@c", "a@b c", "a@b..c", "a@.b", "a@b<c", "a@b_c", "a@-b", "a@[::1", "a@[1.2.3.4]",
		"a\x00@b", "a@b/\x07", "a@b/\xff", "\xff@b", "a@\xff", "a@b/\u200e\u0000",
		"a\uFF20b@c", "a@b\uFF0Fc", // full-width separators
		"henry\u2163@example.com", "\u265A@example.com", // RFC 7622 §3.5
		long + "@b", "a@" + long, "a@b/" + long,
	} {
		j, err := ParseJID(in)
		var stanzaErr *Error
		if err == nil {
			t.Errorf("%.40q: accepted as %q", in, j)
		} else if !errors.As(err, &stanzaErr) || stanzaErr.Condition != JIDMalformed || stanzaErr.Type != ErrorModify {
			t.Errorf("%.40q: %#v", in, err)
		} else if !j.IsZero() {
			t.Errorf("%.40q: an address in spite of the error", in)
		}
	}
}

func TestJIDParts(t *testing.T) {
	full := MustJID("juliet@capulet.example/balcony")
	bare := MustJID("juliet@capulet.example")
	domain := MustJID("capulet.example")
	service := MustJID("capulet.example/x")
	for _, c := range []struct {
		j                            JID
		bare, domain                 JID
		zero, isBare, isFull, isHost bool
	}{
		{full, bare, domain, false, false, true, false},
		{bare, bare, domain, false, true, false, false},
		{domain, domain, domain, false, true, false, true},
		{service, domain, domain, false, false, true, false},
		{JID{}, JID{}, JID{}, true, false, false, false},
	} {
		if c.j.Bare() != c.bare || c.j.DomainJID() != c.domain {
			t.Errorf("%v: bare %v, domain %v", c.j, c.j.Bare(), c.j.DomainJID())
		}
		if c.j.IsZero() != c.zero || c.j.IsBare() != c.isBare || c.j.IsFull() != c.isFull || c.j.IsDomain() != c.isHost {
			t.Errorf("%v: zero %v, bare %v, full %v, domain %v", c.j, c.j.IsZero(), c.j.IsBare(), c.j.IsFull(), c.j.IsDomain())
		}
	}
	if j, err := bare.WithResource("balcony"); err != nil || j != full {
		t.Errorf("with a resource: %v, %v", j, err)
	}
	if j, err := full.WithResource(""); err != nil || j != bare {
		t.Errorf("without its resource: %v, %v", j, err)
	}
	if _, err := bare.WithResource("\x00"); err == nil {
		t.Error("a resource with a NUL was accepted")
	}
	if m := map[JID]int{full.Bare(): 1}; m[bare] != 1 {
		t.Error("equal addresses are different keys")
	}
}

func TestEscapeLocal(t *testing.T) {
	// XEP-0106 §4 and §6.
	for _, c := range []struct{ user, local string }{
		{"o'brien", `o\27brien`},
		{"space cadet", `space\20cadet`},
		{`call me "ishmael"`, `call\20me\20\22ishmael\22`},
		{"at&t guy", `at\26t\20guy`},
		{"/.fanboy", `\2f.fanboy`},
		{"::foo::", `\3a\3afoo\3a\3a`},
		{"<foo>", `\3cfoo\3e`},
		{"user@host", `user\40host`},
		{`c:\net`, `c\3a\net`},
		{`c:\\net`, `c\3a\\net`},
		{`c:\cool stuff`, `c\3a\cool\20stuff`},
		{`c:\5commas`, `c\3a\5c5commas`},
		{`\3and\2is\5cool`, `\5c3and\2is\5c5cool`},
		{`\2plus\2is\4`, `\2plus\2is\4`},
		{`foo\bar`, `foo\bar`},
		{`foob\41r`, `foob\41r`},
		{`a\27b`, `a\5c27b`},
		{`a\`, `a\`},
		{`\5c`, `\5c5c`},
		{`a\2Fb`, `a\5c2Fb`}, // it would be folded to \2f
		{"", ""},
	} {
		if got := EscapeLocal(c.user); got != c.local {
			t.Errorf("escape %q: %q, not %q", c.user, got, c.local)
		}
		if got := UnescapeLocal(c.local); got != c.user {
			t.Errorf("unescape %q: %q, not %q", c.local, got, c.user)
		}
	}
	for _, c := range []struct{ local, user string }{
		{`\20a`, `\20a`}, {`a\20`, `a\20`}, {`a\20b`, "a b"}, {`a\2Fb`, `a\2Fb`}, {`\`, `\`}, {`\2`, `\2`}, {`\5c5c5c`, `\5c5c`},
	} {
		if got := UnescapeLocal(c.local); got != c.user {
			t.Errorf("unescape %q: %q, not %q", c.local, got, c.user)
		}
	}
	if _, err := NewJID(EscapeLocal(" a"), "example.com", ""); err == nil {
		t.Error("a name that begins with a space became an address")
	}
}

func TestJIDCache(t *testing.T) {
	var c JIDCache
	for _, in := range []string{"Juliet@capulet.example/balcony", "juliet@capulet.example/balcony", "ΠΑΝ@example.com"} {
		want := MustJID(in)
		b := []byte(in)
		for range 3 {
			j, err := c.Parse(b)
			if err != nil || j != want {
				t.Fatalf("%q: %v, %v", in, j, err)
			}
		}
		for i := range b {
			b[i] = '#' // the cache must not look at the buffer again
		}
		if j, err := c.Parse([]byte(in)); err != nil || j != want {
			t.Fatalf("%q: %v, %v", in, j, err)
		}
	}
	for range 2 {
		if _, err := c.Parse([]byte("a@b@c")); err == nil {
			t.Error("a malformed address was accepted")
		}
	}
}

func TestJIDCacheIsBounded(t *testing.T) {
	var c JIDCache
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				text := fmt.Sprintf("user%d@example.com/%d", i, g)
				if j, err := c.Parse([]byte(text)); err != nil || j.String() != text {
					t.Errorf("%s: %v, %v", text, j, err)
					return
				}
				if j, err := c.Parse([]byte("juliet@capulet.example")); err != nil || j.Local() != "juliet" {
					t.Errorf("juliet: %v, %v", j, err)
					return
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for i := range c.shards {
		n += len(c.shards[i].young) + len(c.shards[i].old)
	}
	if limit := 2 * cacheShards * cacheEntries; n > limit || n < limit/4 {
		t.Errorf("%d entries, limit %d", n, limit)
	}
}

func TestJIDAllocations(t *testing.T) {
	var c JIDCache
	text := "juliet@capulet.example/balcony"
	b := []byte(text)
	for name, f := range map[string]func(){
		"known":      func() { c.Parse(b) },
		"normalized": func() { ParseJID(text) },
		"bare":       func() { _ = MustJID(text).Bare().DomainJID().Domain() },
	} {
		f()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { ParseJID("Juliet@capulet.example/balcony") }); n > 2 {
		t.Errorf("upper case: %v allocations", n)
	}
}

func BenchmarkJIDCache(b *testing.B) {
	var c JIDCache
	text := []byte("juliet@capulet.example/balcony")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseJID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseJID("juliet@capulet.example/balcony"); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzJID: what we accept, mellium accepts as the same address, and it is stable; what mellium accepts and we do not has
// one of the known reasons.
func FuzzJID(f *testing.F) {
	for _, s := range []string{"a@b/c", "Juliet@Capulet.EXAMPLE./Balcony", `o\27brien@example.com`, "ΠΑΝ@münchen.example/♚",
		"a@xn--mnchen-3ya.example", "a@[::1]/x", "1.2.3.4.", "a@b--c.example", "ß@ß/ß", "a@b\uFF0Fc", "\u0130@x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := ParseJID(s)
		m, merr := mjid.Parse(s)
		if err != nil {
			if fast, ok := asciiJID(s); ok {
				t.Fatalf("%q: the fast path says %q, the slow one %v", s, fast, err)
			}
			if merr != nil || err == errUnstable || err == errDomain || err == errPartLong {
				return
			}
			if m.Domainpart() != "" && (m.Localpart() != "" || !strings.Contains(s, "@")) {
				t.Fatalf("%q: %v, mellium says %q", s, err, m)
			}
			return
		}
		if merr != nil && strings.HasPrefix(j.Domain(), "[") {
			return
		}
		if merr != nil {
			t.Fatalf("%q: %q, mellium says %v", s, j, merr)
		}
		if want := m.String(); want != j.String() && !strings.HasPrefix(j.Domain(), "[") {
			t.Fatalf("%q: %q, mellium says %q", s, j, want)
		}
		for _, again := range []func() (JID, error){
			func() (JID, error) { return ParseJID(j.String()) },
			func() (JID, error) { return NewJID(j.Local(), j.Domain(), j.Resource()) },
			func() (JID, error) { return new(JIDCache).Parse([]byte(s)) },
		} {
			if k, err := again(); err != nil || k != j {
				t.Fatalf("%q: %q is not stable: %q, %v", s, j, k, err)
			}
		}
	})
}
