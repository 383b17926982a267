package xmpp

import (
	"encoding/xml"
	"strings"
	"testing"
)

func TestAppendText(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"plain ü 日本 🎉":         "plain ü 日本 🎉",
		"<a & 'b' \"c\">":      "&lt;a &amp; 'b' \"c\"&gt;",
		"]]>":                  "]]&gt;",
		"a\tb\nc\rd":           "a\tb\nc&#xD;d",
		"\x00\x1b\x7f":         "\uFFFD\uFFFD\x7f",
		"\xff\xc0\x80":         "\uFFFD\uFFFD\uFFFD",
		"\xed\xa0\x80":         "\uFFFD\uFFFD\uFFFD",
		"\uFFFD\uFFFE\uFFFF":   "\uFFFD\uFFFD\uFFFD",
		"end\xe2\x82":          "end\uFFFD\uFFFD",
		"\U0010FFFF\U000FFFFE": "\U0010FFFF\U000FFFFE",
	} {
		if got := string(AppendText(nil, in)); got != want {
			t.Errorf("%q: %q", in, got)
		}
		if got := string(AppendTextBytes(nil, []byte(in))); got != want {
			t.Errorf("bytes %q: %q", in, got)
		}
	}
}

func TestAppendAttr(t *testing.T) {
	for in, want := range map[string]string{
		"":             ` a=''`,
		"x'\"<>&y":     ` a='x&apos;&quot;&lt;&gt;&amp;y'`,
		"\t\n\r \x00ü": ` a='&#x9;&#xA;&#xD; ` + "\uFFFDü'",
	} {
		if got := string(AppendAttr(nil, "a", in)); got != want {
			t.Errorf("%q: %q", in, got)
		}
		if got := string(AppendAttrBytes(nil, "a", []byte(in))); got != want {
			t.Errorf("bytes %q: %q", in, got)
		}
	}
}

func TestAppendFramed(t *testing.T) {
	for in, want := range map[string]string{
		"<presence/>":                       "<presence xmlns='jabber:client'/>",
		"<message id='1'><body/></message>": "<message xmlns='jabber:client' id='1'><body/></message>",
		"<r xmlns='urn:xmpp:sm:3'/>":        "<r xmlns='urn:xmpp:sm:3'/>",
		"<iq a='>' xmlns=''/>":              "<iq a='>' xmlns=''/>",
		"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>": "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>" +
			"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
		string(NewStreamError(StreamReset, "").AppendDeclared(nil)): string(NewStreamError(StreamReset, "").AppendDeclared(nil)),
		"": "",
	} {
		if got := string(AppendFramed(nil, []byte(in))); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// FuzzEscape: whatever is written is read back as what it was, but for what XML cannot carry.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "<&>'\"", "\r\n\t", "\x00\xff\uFFFE", "ü🎉]]>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := strings.Map(func(r rune) rune {
			if !isChar(r) {
				return '\uFFFD'
			}
			return r
		}, strings.ToValidUTF8(s, "\x00"))
		// A run of bad bytes is one replacement there and several here.
		squeeze := func(s string) string {
			for strings.Contains(s, "\uFFFD\uFFFD") {
				s = strings.ReplaceAll(s, "\uFFFD\uFFFD", "\uFFFD")
			}
			return s
		}
		in := append(AppendAttr([]byte("<a"), "b", s), '>')
		in = append(AppendText(in, s), "</a>"...)
		n, err := ParseNode(in)
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if squeeze(n.Text) != squeeze(want) || squeeze(n.Attr("b")) != squeeze(want) {
			t.Fatalf("%q was read as %q and %q", s, n.Text, n.Attr("b"))
		}
		var std struct {
			B    string `xml:"b,attr"`
			Text string `xml:",chardata"`
		}
		if err := xml.Unmarshal(in, &std); err != nil || std.B != n.Attr("b") || std.Text != n.Text {
			t.Fatalf("%q: %+v, %v", in, std, err)
		}
	})
}
