package xmpp

import (
	"errors"
	"strings"
	"testing"
)

const plainHeader = "<stream:stream to='example.com' from='juliet@example.com' id='1' version='1.0' xml:lang='de' " +
	"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

func TestHeader(t *testing.T) {
	want := Header{To: "example.com", From: "juliet@example.com", ID: "1", Version: "1.0", Lang: "de", Space: NSClient, StreamSpace: NSStream}
	for _, before := range []string{
		"", "\n ", "<?xml version='1.0'?>", "<?xml version=\"1.0\" encoding=\"utf-8\" standalone='yes' ?>\r\n", "\n<?xml version = '1.0' encoding='UTF-8'?>",
	} {
		in := before + plainHeader
		var x Lexer
		h, n, err := x.Header([]byte(in + "<auth"))
		if err != nil || n != len(in) || h != want {
			t.Errorf("%q: %+v, %d, %v", before, h, n, err)
		}
		// Byte by byte, with a buffer that drops what is done with.
		x = Lexer{}
		var buf []byte
		for i := range len(in) {
			buf = append(buf, in[i])
			h, n, err = x.Header(buf)
			if last := i == len(in)-1; last && err != nil || !last && err != ErrIncomplete {
				t.Fatalf("%q: byte %d: %v", before, i, err)
			}
			buf = append([]byte(nil), buf[n:]...)
		}
		if h != want || len(buf) != 0 {
			t.Errorf("%q: %+v, %q is left", before, h, buf)
		}
		var st Stanza
		if _, err := x.Next([]byte("<presence/>"), &st); err != nil || st.Kind != KindPresence {
			t.Errorf("%q: then %v", before, err)
		}
	}
}

func TestHeaderWithOtherPrefix(t *testing.T) {
	var x Lexer
	in := "<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>"
	h, _, err := x.Header([]byte(in))
	if err != nil || h.Space != NSStream || h.StreamSpace != NSStream {
		t.Fatalf("%+v, %v", h, err)
	}
	var st Stanza
	if _, err := x.Next([]byte("<message xmlns='jabber:client'/>"), &st); err != nil || st.Kind != KindMessage {
		t.Errorf("kind %v, %v", st.Kind, err)
	}
	if _, err := x.Next([]byte("<error/>"), &st); err != nil || !st.Is(NSStream, "error") {
		t.Errorf("{%s}%s, %v", st.Space, st.Local, err)
	}
	if _, err := x.Next([]byte("</stream>"), &st); err != ErrStreamEnd {
		t.Errorf("end: %v", err)
	}
	x.Restart()
	if _, _, err := x.Header([]byte("<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>")); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Next([]byte("<c:message/>"), &st); condition(err) != StreamBadNamespacePrefix {
		t.Errorf("a prefixed stanza: %v", err)
	}
}

func TestHeaderWithoutDefaultNamespace(t *testing.T) {
	var x Lexer
	h, _, err := x.Header([]byte("<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>"))
	if err != nil || h.Space != "" {
		t.Fatalf("%+v, %v", h, err)
	}
	var st Stanza
	if _, err := x.Next([]byte("<message><body/></message>"), &st); err != nil || st.Kind != KindOther || !st.Is("", "message") {
		t.Errorf("kind %v, space %q, %v", st.Kind, st.Space, err)
	}
	if _, err := x.Next([]byte("<message xmlns='jabber:client'/>"), &st); err != nil || st.Kind != KindMessage {
		t.Errorf("kind %v, %v", st.Kind, err)
	}
}

func TestServerStream(t *testing.T) {
	var x Lexer
	if _, _, err := x.Header([]byte("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>")); err != nil {
		t.Fatal(err)
	}
	var st Stanza
	if _, err := x.Next([]byte("<message><body/></message>"), &st); err != nil || st.Kind != KindMessage || st.Child("", "body") == nil {
		t.Errorf("kind %v, %v", st.Kind, err)
	}
	if _, err := x.Next([]byte("<message xmlns='jabber:client'/>"), &st); err != nil || st.Kind != KindOther {
		t.Errorf("kind %v, %v", st.Kind, err)
	}
}

func TestHeaderRefuses(t *testing.T) {
	const ns = " xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
	for want, inputs := range map[StreamCondition][]string{
		StreamNotWellFormed: {
			"x", "\xef\xbb\xbf" + plainHeader, "GET / HTTP/1.1\r\n", "\x16\x03\x01", "</stream:stream>", "<stream:stream xmlns='jabber:client'>", "<stream:stream a='1' a='2'>",
			"<stream:stream" + ns + "/>", "<?xml version='1.1'?>", "<?xml encoding='UTF-8'?>", "<?xml version='1.0' version='1.0'?>",
			"<?xml version='1.0' encoding='UTF-8' x='1'?>", "<?xml version='1.0'encoding='UTF-8'?>", "<?xml version='1.0' standalone='x'?>", "<?xml version='1.0?>",
			"<?xml version='1.0'" + strings.Repeat(" ", 300) + "?>", "<?xml version='1.0' standalone='yes' encoding='UTF-8'?>", "<>",
		},
		StreamRestrictedXML: {
			"<?xml-stylesheet href='x'?>", "<?x?>", "<?xml?>", "<!DOCTYPE x>", "<!-- x -->", "<?xml version='1.0'?><?xml version='1.0'?>",
		},
		StreamUnsupportedEncoding: {"<?xml version='1.0' encoding='UTF-16'?>", "<?xml version='1.0' encoding='ISO-8859-1'?>"},
		StreamInvalidNamespace:    {"<stream xmlns='jabber:client'>", "<stream:stream xmlns='jabber:client' xmlns:stream='urn:x'>", "<html>"},
		StreamBadFormat:           {"<stream:streams" + ns + ">"},
		StreamPolicyViolation:     {"<stream:stream to='" + strings.Repeat("x", 2000) + "'" + ns + ">", "<stream:stream to='" + strings.Repeat("x", 2000)},
	} {
		for _, in := range inputs {
			x := NewLexer(Limits{Bytes: 1000})
			_, _, err := x.Header([]byte(in))
			if condition(err) != want {
				t.Errorf("%.60q: %v, not %s", in, err, want)
			}
			if _, _, again := x.Header([]byte(plainHeader)); again != err {
				t.Errorf("%.60q: went on after an error: %v", in, again)
			}
			if _, again := x.Next([]byte("<a/>"), new(Stanza)); again != err {
				t.Errorf("%.60q: went on after an error: %v", in, again)
			}
		}
	}
}

func TestHeaderErrorsTellTheAddress(t *testing.T) {
	var x Lexer
	h, _, err := x.Header([]byte("<stream to='example.com' xmlns='jabber:client'>"))
	if err == nil || h.To != "example.com" {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestRestart(t *testing.T) {
	x := openStream(t, Limits{Bytes: 500})
	var st Stanza
	if _, err := x.Next([]byte("<a><b"), &st); err != ErrIncomplete {
		t.Fatal(err)
	}
	x.Restart()
	if _, _, err := x.Header([]byte("<?xml version='1.0'?>" + plainHeader)); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Next([]byte("<presence/>"), &st); err != nil || st.Kind != KindPresence {
		t.Errorf("kind %v, %v", st.Kind, err)
	}
	if _, err := x.Next([]byte("<p:a/>"), &st); condition(err) != StreamNotWellFormed {
		t.Errorf("a prefix of the old stream: %v", err)
	}
	x.Restart()
	if _, _, err := x.Header([]byte(plainHeader[:100] + strings.Repeat("x", 500))); !errors.Is(err, errTooBig) {
		t.Errorf("the limits are gone: %v", err)
	}
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{plainHeader, "<?xml version='1.0' encoding='utf-8'?>" + testHeader, "<?xml version=\"1.0\"?>\n<stream xmlns='http://etherx.jabber.org/streams'>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			return
		}
		h, n, err := new(Lexer).Header(data)
		x := new(Lexer)
		rest := data
		var got Header
		gotErr := error(ErrIncomplete)
		done := 0
		for i := 0; i <= len(rest) && gotErr == ErrIncomplete; i++ {
			var m int
			got, m, gotErr = x.Header(rest[:i])
			rest, done, i = rest[m:], done+m, i-m
		}
		if err == nil && (gotErr != nil || got != h || done != n) {
			t.Fatalf("at once %+v, %d; byte by byte %+v, %d, %v", h, n, got, done, gotErr)
		}
		if err != nil && gotErr != err && gotErr != ErrIncomplete {
			t.Fatalf("at once %v; byte by byte %v", err, gotErr)
		}
	})
}
