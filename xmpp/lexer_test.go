package xmpp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// chat is a usual chat message of 309 bytes.
const chat = `<message from='juliet@capulet.example/balcony' to='romeo@montague.example/orchard' type='chat' id='a3b6c9d2-41f'>` +
	`<body>Wherefore art thou, Romeo? Deny thy father &amp; refuse</body>` +
	`<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><thread>e0ffe42b28</thread></message>`

// openStream returns a lexer that has read the header of a client's stream.
func openStream(t testing.TB, l Limits) *Lexer {
	t.Helper()
	x := new(Lexer)
	if _, n, err := x.Header([]byte(testHeader)); err != nil || n != len(testHeader) {
		t.Fatalf("header: %d, %v", n, err)
	}
	x.SetLimits(l)
	return x
}

// condition returns the condition of a stream error, "" if err is none.
func condition(err error) StreamCondition {
	var e *StreamError
	if errors.As(err, &e) {
		return e.Condition
	}
	return ""
}

func TestNextIndexes(t *testing.T) {
	x := openStream(t, Limits{})
	x.JIDs = new(JIDCache)
	var st Stanza
	n, err := x.Next([]byte(" \n"+chat+"<presence/>"), &st)
	if err != nil || n != 2+len(chat) {
		t.Fatalf("%d, %v", n, err)
	}
	if string(st.Raw) != chat {
		t.Errorf("raw: %s", st.Raw)
	}
	if st.Kind != KindMessage || st.Type != TypeChat || string(st.ID) != "a3b6c9d2-41f" || st.Lang != nil {
		t.Errorf("kind %v, type %v, id %q, lang %q", st.Kind, st.Type, st.ID, st.Lang)
	}
	if !st.Is(NSClient, "message") || st.From != MustJID("juliet@capulet.example/balcony") || st.To != MustJID("romeo@montague.example/orchard") {
		t.Errorf("{%s}%s from %v to %v", st.Space, st.Local, st.From, st.To)
	}
	for i, want := range []struct{ space, local, text string }{
		{NSClient, "body", "Wherefore art thou, Romeo? Deny thy father & refuse"}, {NSStates, "active", ""},
		{NSReceipts, "request", ""}, {NSClient, "thread", "e0ffe42b28"},
	} {
		e := &st.Children[i]
		if !e.Is(want.space, want.local) || e.Text() != want.text {
			t.Errorf("child %d: {%s}%s %q", i, e.Space, e.Local, e.Text())
		}
		if st.Child(want.space, want.local) != e {
			t.Errorf("child %d is not found", i)
		}
	}
	if st.Child("", "thread") != &st.Children[3] || st.Child("", "active") != nil || st.Payload() != &st.Children[0] {
		t.Error("children are found wrongly")
	}
	if got := string(st.Children[1].Raw); got != `<active xmlns='http://jabber.org/protocol/chatstates'/>` {
		t.Errorf("raw child: %s", got)
	}
	if got := string(st.Children[3].Inner); got != "e0ffe42b28" {
		t.Errorf("inner: %s", got)
	}
}

func TestKindsAndTypes(t *testing.T) {
	for _, c := range []struct {
		in   string
		kind Kind
		typ  Type
	}{
		{"<message/>", KindMessage, TypeNone},
		{"<message type='normal'/>", KindMessage, TypeNormal},
		{"<message type='groupchat'/>", KindMessage, TypeGroupchat},
		{"<message type='error'/>", KindMessage, TypeError},
		{"<message type='get'/>", KindMessage, TypeInvalid},
		{"<message type=''/>", KindMessage, TypeInvalid},
		{"<message type='Chat'/>", KindMessage, TypeInvalid},
		{"<message type='ch&#97;t'/>", KindMessage, TypeChat},
		{"<presence/>", KindPresence, TypeNone},
		{"<presence type='unavailable'/>", KindPresence, TypeUnavailable},
		{"<presence type='probe'/>", KindPresence, TypeProbe},
		{"<presence type='error'/>", KindPresence, TypeError},
		{"<presence type='available'/>", KindPresence, TypeInvalid},
		{"<iq type='get'/>", KindIQ, TypeGet},
		{"<iq type='set'/>", KindIQ, TypeSet},
		{"<iq type='result'/>", KindIQ, TypeResult},
		{"<iq type='error'/>", KindIQ, TypeError},
		{"<iq type='chat'/>", KindIQ, TypeInvalid},
		{"<iq/>", KindIQ, TypeNone},
		{"<r xmlns='urn:xmpp:sm:3'/>", KindOther, TypeNone},
		{"<message xmlns='urn:example'/>", KindOther, TypeNone},
		{"<message xmlns='jabber:server'/>", KindOther, TypeNone},
		{"<message xmlns='jabber:client'/>", KindMessage, TypeNone},
		{"<messages/>", KindOther, TypeNone},
	} {
		var st Stanza
		if _, err := openStream(t, Limits{}).Next([]byte(c.in), &st); err != nil || st.Kind != c.kind || st.Type != c.typ {
			t.Errorf("%s: kind %d, type %d, %v", c.in, st.Kind, st.Type, err)
		}
	}
	for typ, want := range map[Type]Type{TypeNone: TypeNormal, TypeInvalid: TypeNormal, TypeChat: TypeChat, TypeError: TypeError} {
		if got := (&Stanza{Type: typ}).MessageType(); got != want {
			t.Errorf("a message of type %d is %d", typ, got)
		}
	}
}

func TestNextAccepts(t *testing.T) {
	for _, in := range []string{
		`<a/>`, `<a />`, "<a\r\n\tb='1'\n/>", `<a b = "1" c='2'></a >`, `<a b="'" c='"'/>`, `<a b='>'/>`,
		`<a-b.c_d:e xmlns:a-b.c_d='urn:x'/>`, `<_/>`, `<a>]]</a>`, `<a>]] ></a>`, `<a b=']]>'/>`, `<a>></a>`,
		`<a>&amp;&lt;&gt;&apos;&quot;&#9;&#x10FFFF;&#0038;</a>`, "<a>\t\r\n\x7f\u0085\uFFFD\U0001F600</a>",
		`<a><![CDATA[]]></a>`, `<a><![CDATA[<b>&x;]] ]]></a>`, `<a><![CDATA[]]]]></a>`, `<a>x<b/>y<c>z</c></a>`,
		`<a xml:lang='de' xml:space='x'/>`, `<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='de'/>`,
		`<a xmlns=''/>`, `<a xmlns='urn:a'><b xmlns=''><c/></b></a>`, `<x:a xmlns:x='urn:x'/>`, `<x:a x:b='1' xmlns:x='urn:x' b='2'/>`,
		`<a xmlns:x='urn:x' xmlns:y='urn:y' x:b='1' y:b='2'/>`, `<p:a/>`, `<a p:b='1'/>`, `<a><p:b/></a>`,
		`<stream:error/>`, `<größe/>`, `<日本/>`, `<a ü='1'/>`, `<a><x:b xmlns:x='urn:a'/><x:b xmlns:x='urn:b'/></a>`,
	} {
		var st Stanza
		if n, err := openStream(t, Limits{}).Next([]byte(in), &st); err != nil || n != len(in) {
			t.Errorf("%s: %d, %v", in, n, err)
		}
	}
}

func TestNextRefuses(t *testing.T) {
	for want, inputs := range map[StreamCondition][]string{
		StreamNotWellFormed: {
			"x", "</a>", "<>", "< a/>", "<1a/>", "<-a/>", "<.a/>", "<a:/>", "<:a/>", "<a:b:c/>", "<a:1/>", "<a\x00/>", "<×/>", "<\U00010000/>",
			"<a/ >", "<a//>", "<a b/>", "<a b=/>", "<a b=1/>", "<a 'b'/>", "<a b='1'c='2'/>", "<a b='<'/>", "<a <b/>", "<a b=\"1'/>\"c/>",
			"<a></b>", "<a></aa>", "<a></ a>", "<a></a b='1'>", "<a><b></a></b>", "<a></p:a>", "<a></a/>",
			"<a b='1' b='2'/>", "<a b='1' c='2' b='1'/>", "<a xmlns='urn:a' xmlns='urn:a'/>",
			"<a xmlns:x='urn:x' xmlns:y='urn:x' x:b='1' y:b='2'/>", "<a xmlns:x='urn:&#120;' xmlns:y='urn:x' x:b='1' y:b='2'/>", "<a xmlns:y='urn:p' p:b='1' y:b='2'/>",
			"<a>&</a>", "<a>& </a>", "<a>&amp</a>", "<a>&#;</a>", "<a>&#x;</a>", "<a>&#X41;</a>", "<a>&#a;</a>",
			"<a>&#0;</a>", "<a>&#8;</a>", "<a>&#xD800;</a>", "<a>&#xFFFE;</a>", "<a>&#x110000;</a>", "<a>&#99999999999999999999;</a>", "<a b='&#0;'/>",
			"<a>\x00</a>", "<a>\x1b</a>", "<a>\uFFFE</a>", "<a>\uFFFF</a>", "<a>\xff</a>", "<a>\xc0\x80</a>", "<a>\xed\xa0\x80</a>", "<a>\xf4\x90\x80\x80</a>", "<a>\xe2\x82</a>",
			"<a b='\x00'/>", "<a b='\xff'/>", "<a b='\uFFFE'/>", "<a b='\xe2\x82'/>", "<\xff/>", "<a><![CDATA[\x00]]></a>", "<a><![CDATA[\xff]]></a>", "<a><![CDATA[\xe2]]></a>",
			"<a>]]></a>", "<a>x]]]></a>",
			"<x:a/>", "<a x:b='1'/>", "<a><x:b/></a>", "<a><b><x:c/></b></a>", "<a><x:b xmlns:x='urn:x'/><x:c/></a>",
			"<a xmlns:x=''/>", "<a xmlns:xml='urn:x'/>", "<a xmlns:xmlns='urn:x'/>", "<a xmlns:x='http://www.w3.org/XML/1998/namespace'/>",
			"<a xmlns:x='http://www.w3.org/2000/xmlns/'/>", "<a xmlns='http://www.w3.org/XML/1998/namespace'/>", "<a xmlns='http://www.w3.org/2000/xmlns/'/>", "<xmlns:a/>",
			"<a xmlns='urn:a b'/>", "<a xmlns='urn:a\n'/>", "<a xmlns:x='&#9;'/>",
			"</stream:streams>", "</stream>",
		},
		StreamRestrictedXML: {
			"<!-- x -->", "<?xml version='1.0'?>", "<?x?>", "<!DOCTYPE a>", "<![CDATA[x]]>", "<a><!-- x --></a>", "<a><?x?></a>", "<a><!DOCTYPE a></a>",
			"<a><!ENTITY x 'y'></a>", "<a><![cdata[x]]></a>", "<a><![INCLUDE[x]]></a>",
			"<a>&nbsp;</a>", "<a>&AMP;</a>", "<a b='&x;'/>",
		},
		StreamBadNamespacePrefix: {
			"<c:message xmlns:c='jabber:client'/>", "<c:iq xmlns:c='jabber:server'/>",
		},
	} {
		for _, in := range inputs {
			x := openStream(t, Limits{})
			var st Stanza
			// A '>' at the end so that the lexer does not wait for the end of a tag.
			_, err := x.Next([]byte(in+"<>"), &st)
			if condition(err) != want {
				t.Errorf("%q: %v, not %s", in, err, want)
			}
			if _, again := x.Next([]byte("<a/>"), &st); again != err {
				t.Errorf("%q: went on after an error: %v", in, again)
			}
		}
	}
}

func TestStreamEnd(t *testing.T) {
	for _, in := range []string{"</stream:stream>", " \n</stream:stream\t>"} {
		x := openStream(t, Limits{})
		var st Stanza
		if n, err := x.Next([]byte(in+"x"), &st); err != ErrStreamEnd || n != len(in) {
			t.Errorf("%q: %d, %v", in, n, err)
		}
		x = openStream(t, Limits{})
		for i := range len(in) {
			if _, err := x.Next([]byte(strings.TrimLeft(in[:i], " \n")), &st); err != ErrIncomplete {
				t.Errorf("%q: %v", in[:i], err)
			}
		}
	}
	var x Lexer
	if _, err := x.Next([]byte("</stream:stream>"), new(Stanza)); condition(err) != StreamNotWellFormed {
		t.Errorf("without a header: %v", err)
	}
}

func TestLimits(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("<a>", n) + strings.Repeat("</a>", n) }
	many := func(n int, f string) (s string) {
		for i := range n {
			s += fmt.Sprintf(f, i)
		}
		return s
	}
	for _, c := range []struct {
		name     string
		l        Limits
		in, over string
	}{
		{"bytes in text", Limits{Bytes: 20}, "<a>3456789012345</a>", "<a>34567890123456</a>"},
		{"bytes in a tag", Limits{Bytes: 10}, "<a b='78'/>"[:7] + "'/>", "<a b='78'/>"},
		{"depth", Limits{Depth: 5}, deep(5), deep(6)},
		{"attributes", Limits{Attrs: 3}, "<a" + many(3, " b%d=''") + "/>", "<a" + many(4, " b%d=''") + "/>"},
		{"children", Limits{Children: 3}, "<a>" + many(3, "<b%d/>") + "</a>", "<a>" + many(4, "<b%d/>") + "</a>"},
		{"name", Limits{NameBytes: 4}, "<abcd/>", "<abcde/>"},
		{"name of an attribute", Limits{NameBytes: 4}, "<a bcde=''/>", "<a bcdef=''/>"},
		{"declarations", Limits{Attrs: 200}, "<a" + many(maxBinds, " xmlns:b%d='x'") + "/>", "<a" + many(maxBinds+1, " xmlns:b%d='x'") + "/>"},
	} {
		var st Stanza
		if n, err := openStream(t, c.l).Next([]byte(c.in), &st); err != nil || n != len(c.in) {
			t.Errorf("%s: %d, %v", c.name, n, err)
		}
		if _, err := openStream(t, c.l).Next([]byte(c.over), &st); condition(err) != StreamPolicyViolation {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// What is behind a stanza does not count, and white space between stanzas does not.
	x := openStream(t, Limits{Bytes: 20})
	var st Stanza
	if n, err := x.Next([]byte("<presence/>"+strings.Repeat(" ", 100)), &st); err != nil || n != 11 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := x.Next([]byte(strings.Repeat(" ", 100)), &st); err != ErrIncomplete || n != 100 {
		t.Errorf("%d, %v", n, err)
	}
	// An unfinished one is refused as soon as it is too big.
	if _, err := x.Next([]byte("<presence><show>"+strings.Repeat("a", 10)), &st); condition(err) != StreamPolicyViolation {
		t.Errorf("unfinished: %v", err)
	}
}

// TestDribble feeds big stanzas byte by byte: the lexer must not look at the same bytes again and again.
func TestDribble(t *testing.T) {
	const size = 64 << 10
	for name, in := range map[string]string{
		"text":      "<a>" + strings.Repeat("x", size) + "</a>",
		"attribute": "<a b='" + strings.Repeat("x", size) + "'/>",
		"CDATA":     "<a><![CDATA[" + strings.Repeat("]", size) + "]]></a>",
		"end tag":   "<a></a" + strings.Repeat(" ", size) + ">",
		"tag":       "<a" + strings.Repeat(" ", size) + "/>",
		"elements":  "<a>" + strings.Repeat("<b/>", size/4) + "</a>",
	} {
		x := openStream(t, Limits{Bytes: 2 * size, Children: size})
		var st Stanza
		buf := []byte(in)
		for i := 1; i < len(buf); i++ {
			if _, err := x.Next(buf[:i], &st); err != ErrIncomplete {
				t.Fatalf("%s: byte %d: %v", name, i, err)
			}
			if done := max(x.pos, x.scan); done < i-len(openCDATA) {
				t.Fatalf("%s: at byte %d it would begin again at %d", name, i, done)
			}
		}
		if n, err := x.Next(buf, &st); err != nil || n != len(in) {
			t.Fatalf("%s: %d, %v", name, n, err)
		}
	}
}

func TestUnusualStanzaLeavesNoMemory(t *testing.T) {
	x := openStream(t, Limits{})
	var st Stanza
	in := "<a>" + strings.Repeat("<b/>", 500) + "</a>"
	if _, err := x.Next([]byte(in), &st); err != nil {
		t.Fatal(err)
	}
	if c := cap(x.kids); c > 64 {
		t.Errorf("room for %d children is kept", c)
	}
}

func TestMalformedAddresses(t *testing.T) {
	var st Stanza
	if _, err := openStream(t, Limits{}).Next([]byte(`<message to='a@b@c' from=''/>`), &st); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"to": st.ToErr, "from": st.FromErr} {
		var e *Error
		if !errors.As(err, &e) || e.Condition != JIDMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !st.To.IsZero() || !st.From.IsZero() {
		t.Errorf("to %v, from %v", st.To, st.From)
	}
	if _, err := openStream(t, Limits{}).Next([]byte(`<message to='a&amp;@b' from='o&apos;x@b'/>`), &st); err != nil || st.ToErr == nil {
		t.Errorf("references in addresses: %v, %v", err, st.ToErr)
	}
	if _, err := openStream(t, Limits{}).Next([]byte(`<message to='a@b/&amp;'/>`), &st); err != nil || st.To.Resource() != "&" {
		t.Errorf("reference in a resource: %v, %v", err, st.To)
	}
}

// TestNoHeader is how WebSocket and BOSH use the lexer.
func TestNoHeader(t *testing.T) {
	var x Lexer
	var st Stanza
	for _, in := range []string{"<message/>", "<message xmlns='jabber:client'/>"} {
		if _, err := x.Next([]byte(in), &st); err != nil || st.Kind != KindMessage || string(st.Space) != NSClient {
			t.Errorf("%s: kind %v, space %q, %v", in, st.Kind, st.Space, err)
		}
	}
	in := "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>"
	if _, err := x.Next([]byte(in), &st); err != nil || !st.Is(NSFraming, "open") || st.Kind != KindOther || st.To.String() != "example.com" {
		t.Errorf("%s: %v", in, err)
	}
	if v, ok := st.Attr("version"); v != "1.0" || !ok {
		t.Errorf("version: %q", v)
	}
	if _, err := x.Next([]byte("<stream:error/>"), &st); condition(err) != StreamNotWellFormed {
		t.Errorf("undeclared prefix: %v", err)
	}
}

func TestParse(t *testing.T) {
	st, err := Parse([]byte(" <message xmlns='jabber:server'><body/></message>\n"))
	if err != nil || st.Kind != KindMessage || st.Child(NSServer, "body") == nil {
		t.Errorf("%+v, %v", st, err)
	}
	for _, in := range []string{"", " ", "<a", "<a>", "<a/><b/>", "<a/>x", "x<a/>", "<a/></stream:stream>"} {
		if st, err := Parse([]byte(in)); st != nil || condition(err) != StreamNotWellFormed {
			t.Errorf("%q: %v, %v", in, st, err)
		}
	}
	if st, err := Parse([]byte("<presence/>")); err != nil || st.Kind != KindPresence {
		t.Errorf("after errors: %v, %v", st, err)
	}
}

func TestCloneOutlivesTheBuffer(t *testing.T) {
	buf := []byte("<p:a id='1' xmlns:q='urn:q' xml:lang='de'><q:b c='2'>x</q:b><p:c xmlns='urn:&#99;'/></p:a>")
	var st Stanza
	if _, err := openStream(t, Limits{}).Next(buf, &st); err != nil {
		t.Fatal(err)
	}
	want := string(st.Node().Append(nil))
	c := st.Clone()
	for i := range buf {
		buf[i] = '#'
	}
	if got := string(c.Node().Append(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if string(c.ID) != "1" || string(c.Lang) != "de" || !c.Is("urn:p", "a") || !c.Children[0].Is("urn:q", "b") || c.Children[0].Text() != "x" {
		t.Errorf("%+v", c)
	}
	if v, _ := c.Children[0].Attr("c"); v != "2" {
		t.Errorf("attribute %q", v)
	}
}

func TestNextAllocations(t *testing.T) {
	x := openStream(t, Limits{})
	x.JIDs = new(JIDCache)
	var st Stanza
	buf := []byte(chat)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := x.Next(buf, &st); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNext(b *testing.B) {
	x := openStream(b, Limits{})
	x.JIDs = new(JIDCache)
	var st Stanza
	buf := []byte(chat)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Next(buf, &st); err != nil {
			b.Fatal(err)
		}
	}
}
