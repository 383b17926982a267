package xmpp

import (
	"fmt"
	"testing"
)

// apply reads in on a client's stream whose header binds stream and p, and applies e.
func apply(t *testing.T, in string, e Edit) string {
	t.Helper()
	var st Stanza
	if _, err := openStream(t, Limits{}).Next([]byte(in), &st); err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	out := Apply([]byte("before "), &st, &e)
	if string(st.Raw) != in {
		t.Errorf("%s was changed: %s", in, st.Raw)
	}
	got := string(out[len("before "):])
	if _, err := Parse([]byte(got)); err != nil {
		t.Errorf("%s became %s: %v", in, got, err)
	}
	return got
}

func TestApply(t *testing.T) {
	sales, carol := MustJID("sales@example.com/bob"), MustJID("carol@example.com")
	for _, c := range []struct {
		name, in string
		e        Edit
		want     string
	}{
		{"nothing", "<message  to='a@b' ><body>&#120;</body>\n</message >", Edit{}, "<message  to='a@b' ><body>&#120;</body>\n</message >"},
		{"nothing, empty", "<presence />", Edit{}, "<presence />"},
		{"from", "<message to='a@b' id='1'/>", Edit{From: sales}, "<message from='sales@example.com/bob' to='a@b' id='1'/>"},
		{"from again", "<message to='a@b' from=\"x@y\" id='1'/>", Edit{From: sales}, "<message from='sales@example.com/bob' to='a@b' id='1'/>"},
		{"from and to", "<message id='1' to='a@b'><body/></message>", Edit{From: sales, To: carol},
			"<message from='sales@example.com/bob' to='carol@example.com' id='1'><body/></message>"},
		{"escaped", "<message/>", Edit{To: MustJID("a@b/<'&\">")}, "<message to='a@b/&lt;&apos;&amp;&quot;&gt;'/>"},
		{"no to", "<presence to='a@b'\n/>", Edit{NoTo: true}, "<presence\n/>"},
		{"no to, there is none", "<presence/>", Edit{NoTo: true}, "<presence/>"},
		{"type", "<message type='chat' id='1'/>", Edit{Type: TypeError}, "<message type='error' id='1'/>"},
		{"type that was none", "<message/>", Edit{Type: TypeChat}, "<message type='chat'/>"},
		{"malformed from goes", "<message from='@'/>", Edit{From: sales}, "<message from='sales@example.com/bob'/>"},
		{"prefixed attributes stay", "<message p:to='1' to='a@b'/>", Edit{NoTo: true}, "<message xmlns:p='urn:p' p:to='1'/>"},
		{"add", "<message><body>x</body></message>", Edit{Add: []byte("<y xmlns='urn:y'/>")}, "<message><body>x</body><y xmlns='urn:y'/></message>"},
		{"add to nothing", "<message id='1' />", Edit{Add: []byte("<y xmlns='urn:y'/>")}, "<message id='1' ><y xmlns='urn:y'/></message>"},
		{"strip all of a namespace", "<message><a xmlns='urn:a'/>\n<b xmlns='urn:a'><c/></b><body/></message>", Edit{Strip: []Match{{Space: "urn:a"}}},
			"<message>\n<body/></message>"},
		{"strip by name", "<message><a xmlns='urn:a'/><b xmlns='urn:a'/></message>", Edit{Strip: []Match{{Space: "urn:a", Local: "b"}}},
			"<message><a xmlns='urn:a'/></message>"},
		{"strip prefixed", "<message><x:a xmlns:x='urn:a'/><p:a/></message>", Edit{Strip: []Match{{Space: "urn:a"}, {Space: "urn:p"}}},
			"<message xmlns:p='urn:p'></message>"},
		{"strip by address", "<message><stanza-id xmlns='urn:xmpp:sid:0' by='a@b'/><stanza-id xmlns='urn:xmpp:sid:0' by='c@d'/><stanza-id xmlns='urn:xmpp:sid:0'/></message>",
			Edit{Strip: []Match{{Space: NSSID, By: "a@b"}}}, "<message><stanza-id xmlns='urn:xmpp:sid:0' by='c@d'/><stanza-id xmlns='urn:xmpp:sid:0'/></message>"},
		{"strip by an address spelled otherwise", "<message><stanza-id xmlns='urn:xmpp:sid:0' by='&#65;@B.'/><stanza-id xmlns='urn:xmpp:sid:0' by='@'/></message>",
			Edit{Strip: []Match{{Space: NSSID, Local: "stanza-id", By: "a@b"}}}, "<message><stanza-id xmlns='urn:xmpp:sid:0' by='@'/></message>"},
		{"nested is not first-level", "<message><a xmlns='urn:a'><b xmlns='urn:b'/></a></message>", Edit{Strip: []Match{{Space: "urn:b"}}},
			"<message><a xmlns='urn:a'><b xmlns='urn:b'/></a></message>"},
	} {
		if got := apply(t, c.in, c.e); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestApplyNamespaces pins what happens where a stanza goes from one stream to another.
func TestApplyNamespaces(t *testing.T) {
	forward := Edit{Declare: NSClient}
	for _, c := range []struct {
		name, in string
		e        Edit
		want     string
	}{
		{"the content namespace goes", "<message xmlns='jabber:client' id='1'><body/></message>", Edit{}, "<message id='1'><body/></message>"},
		{"the content namespace is declared", "<message id='1'><body/></message>", forward, "<message xmlns='jabber:client' id='1'><body/></message>"},
		{"and not twice", "<message id='1' xmlns='jabber:client'/>", forward, "<message xmlns='jabber:client' id='1'/>"},
		{"in place of another", "<message xmlns='jabber:server'><body/></message>", forward, "<message xmlns='jabber:client'><body/></message>"},
		{"another namespace stays", "<r xmlns='urn:xmpp:sm:3'/>", Edit{}, "<r xmlns='urn:xmpp:sm:3'/>"},
		{"also when one is to be declared", "<r xmlns='urn:xmpp:sm:3'/>", forward, "<r xmlns='urn:xmpp:sm:3'/>"},
		{"none stays none", "<r xmlns=''/>", Edit{}, "<r xmlns=''/>"},
		{"prefix of the header", "<message><p:x/></message>", Edit{}, "<message xmlns:p='urn:p'><p:x/></message>"},
		{"prefix of the header, deep", "<message><a xmlns='urn:a'><b p:c=''/></a></message>", Edit{}, "<message xmlns:p='urn:p'><a xmlns='urn:a'><b p:c=''/></a></message>"},
		{"prefix of the header on the root", "<stream:error/>", Edit{}, "<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>"},
		{"unused prefixes are not declared", "<message/>", Edit{}, "<message/>"},
		{"the stanza's own meaning of a prefix", "<message xmlns:p='urn:other'><p:x/></message>", Edit{}, "<message xmlns:p='urn:other'><p:x/></message>"},
		{"both meanings of a prefix", "<message><p:x/><p:y xmlns:p='urn:other'/></message>", Edit{}, "<message xmlns:p='urn:p'><p:x/><p:y xmlns:p='urn:other'/></message>"},
		{"all of it", "<message xmlns='jabber:client' to='a@b'><p:x/></message>", Edit{From: MustJID("c@d"), Declare: NSClient},
			"<message from='c@d' xmlns='jabber:client' xmlns:p='urn:p' to='a@b'><p:x/></message>"},
	} {
		if got := apply(t, c.in, c.e); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestApplyForwarded: in <forwarded/> a stanza must say that it is of jabber:client (XEP-0297 §3), or it would be of the
// wrapper's namespace.
func TestApplyForwarded(t *testing.T) {
	for _, in := range []string{
		"<message><body>x</body><p:y/></message>",
		"<message xmlns='jabber:client'><body>x</body><p:y/></message>",
		"<message xmlns:c='jabber:client'><c:body>x</c:body><p:y/></message>",
	} {
		copied := apply(t, in, Edit{Declare: NSClient, To: MustJID("carol@example.com")})
		n, err := ParseNode([]byte("<forwarded xmlns='urn:xmpp:forward:0'>" + copied + "</forwarded>"))
		if err != nil {
			t.Fatal(err)
		}
		m := n.Child(NSClient, "message")
		if m.Attr("to") != "carol@example.com" || m.ChildText("", "body") != "x" || m.Child("urn:p", "y") == nil {
			t.Errorf("%s became %s", in, copied)
		}
	}
}

func TestApplyHeaderNamespaceIsEscaped(t *testing.T) {
	var x Lexer
	if _, _, err := x.Header([]byte("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:q='urn:&quot;&apos;&lt;&amp;'>")); err != nil {
		t.Fatal(err)
	}
	var st Stanza
	if _, err := x.Next([]byte("<message><q:x/></message>"), &st); err != nil {
		t.Fatal(err)
	}
	if got, want := string(Apply(nil, &st, &Edit{})), "<message xmlns:q='urn:&quot;&apos;&lt;&amp;'><q:x/></message>"; got != want {
		t.Errorf("got %s", got)
	}
	if !st.Children[0].Is("urn:\"'<&", "x") {
		t.Errorf("space %q", st.Children[0].Space)
	}
}

// TestApplyMostNamespaces: what was taken from a stream can be read again, however many prefixes the header and the stanza bind.
func TestApplyMostNamespaces(t *testing.T) {
	header := "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
	inside := ""
	for i := range maxHeaderBinds - 2 {
		header += fmt.Sprintf(" xmlns:h%d='urn:h'", i)
		inside += fmt.Sprintf("<h%d:x/>", i)
	}
	end := ""
	for i := range maxBinds {
		if i%32 == 0 {
			inside, end = inside+"<x", "</x>"+end
		}
		if inside += fmt.Sprintf(" xmlns:b%d='urn:b'", i); i%32 == 31 {
			inside += ">"
		}
	}
	x := new(Lexer)
	if _, _, err := x.Header([]byte(header + ">")); err != nil {
		t.Fatal(err)
	}
	var st Stanza
	if _, err := x.Next([]byte("<message>"+inside+end+"</message>"), &st); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(Apply(nil, &st, &Edit{})); err != nil {
		t.Error(err)
	}
}

// TestApplyUnusualDefault: the default namespace of the header is not that of stanzas.
func TestApplyUnusualDefault(t *testing.T) {
	var x Lexer
	if _, _, err := x.Header([]byte("<stream xmlns='http://etherx.jabber.org/streams'>")); err != nil {
		t.Fatal(err)
	}
	var st Stanza
	if _, err := x.Next([]byte("<error><text/></error>"), &st); err != nil {
		t.Fatal(err)
	}
	if got, want := string(Apply(nil, &st, &Edit{})), "<error xmlns='http://etherx.jabber.org/streams'><text/></error>"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestApplyTwice(t *testing.T) {
	// What was stored as somebody's copy is edited again when he asks for it.
	first := apply(t, "<message to='sales@example.com'><p:x/><body>hi</body></message>", Edit{From: MustJID("bob@example.com/x")})
	st, err := Parse([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	e := Edit{From: MustJID("sales@example.com/bob"), To: MustJID("carol@example.com"), Label: "Bob", Declare: NSClient}
	const want = "<message from='sales@example.com/bob' to='carol@example.com' xmlns='jabber:client' xmlns:p='urn:p'><p:x/><body>Bob: hi</body></message>"
	if got := string(Apply(nil, st, &e)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestApplyAllocations(t *testing.T) {
	st, err := Parse([]byte(chat))
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	for name, e := range map[string]*Edit{
		"stamp": {From: st.From, To: st.To},
		"alias": {From: st.From, To: st.To, Label: "Bob", Strip: []Match{{Space: NSReceipts}}, Add: []byte("<x xmlns='urn:x'/>"), Declare: NSClient},
	} {
		if n := testing.AllocsPerRun(200, func() { dst = Apply(dst[:0], st, e) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkApplyStamp(b *testing.B) {
	benchmarkApply(b, func(st *Stanza) *Edit { return &Edit{From: st.From} })
}

func BenchmarkApplyLabel(b *testing.B) {
	benchmarkApply(b, func(st *Stanza) *Edit { return &Edit{From: st.From, To: st.To, Label: "Bob"} })
}

func benchmarkApply(b *testing.B, edit func(*Stanza) *Edit) {
	st, err := Parse([]byte(chat))
	if err != nil {
		b.Fatal(err)
	}
	e := edit(st)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = Apply(dst[:0], st, e)
	}
}

func TestStoredEditDamaged(t *testing.T) {
	good := testEdit("Bob", 255).AppendBinary(nil)
	for i := range good {
		var e Edit
		if err := e.UnmarshalBinary(good[:i]); err == nil || !e.IsZero() {
			t.Errorf("the first %d bytes are an edit: %+v", i, e)
		}
	}
	var e Edit
	if err := e.UnmarshalBinary(append(good, 0)); err == nil {
		t.Error("a byte too many")
	}
	if err := e.UnmarshalBinary([]byte{2, 0}); err == nil {
		t.Error("a version from the future")
	}
	if err := e.UnmarshalBinary([]byte{1, editType, byte(TypeInvalid)}); err == nil {
		t.Error("an invalid type")
	}
}

// TestStoredEditForm pins the bytes: records of this version exist.
func TestStoredEditForm(t *testing.T) {
	e := Edit{
		From: MustJID("a@b"), To: MustJID("c@d"), NoTo: true, Type: TypeChat, Label: "Bob",
		Strip: []Match{{Space: "s", Local: "l", By: "b"}, {Space: "t"}}, Add: []byte("<x/>"), Declare: "d",
	}
	const want = "\x01\xff\x03a@b\x03c@d\x02\x03Bob\x02\x01s\x01l\x01b\x01t\x00\x00\x04<x/>\x01d"
	if got := string(e.AppendBinary(nil)); got != want {
		t.Errorf("%q", got)
	}
	if got := string(new(Edit).AppendBinary([]byte("x"))); got != "x\x01\x00" {
		t.Errorf("%q", got)
	}
}
