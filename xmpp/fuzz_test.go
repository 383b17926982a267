package xmpp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

const (
	testHeader = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:p' version='1.0'>"
	testFooter = "</stream:stream>"
)

// seeds are what the fuzz targets begin with.
var seeds = []string{
	chat,
	`<presence/>`,
	`<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>`,
	`<message xmlns='jabber:client' xml:lang="en" to='a@b.example/c'><body xml:lang='de'>ü&#252;&#xFC;<![CDATA[<&]]></body></message>`,
	`<message><x:a xmlns:x='urn:x' x:b='1' b="2"><x:c><c xmlns=''/></x:c></x:a></message>`,
	`<message><p:x p:y='1'/></message>`,
	`<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`,
	"<message >\r\n<body\t>a\rb\r\nc</body ></message\n>",
	`<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='1'/> <message>x<y/>z</message>`,
	`<größe xmlns='urn:x'>日本</größe>`,
	`<message><body>/me waves</body><body xml:lang='de'>> x</body><html xmlns='http://jabber.org/protocol/xhtml-im'>` +
		`<body xmlns='http://www.w3.org/1999/xhtml'><p>x</p></body></html></message>`,
	`<message><body>&gt; a
b</body><fallback xmlns='urn:xmpp:fallback:0'><body start='0' end='4'/></fallback>` +
		`<reference xmlns='urn:xmpp:reference:0' begin='&#48;' end="2"/><markup xmlns='urn:xmpp:markup:0'><span start='1' end='2'><code/></span></markup></message>`,
	`<message><body>https://example.com/a.png</body><x xmlns='jabber:x:oob'><url>https://example.com/a.png</url></x></message>`,
	`<a><![CDATA[x]]]]><![CDATA[>]]></a>`,
}

// reference reads one element as encoding/xml understands it, inside of the tags around it.
func reference(before, element, after string) (*Node, error) {
	d := xml.NewDecoder(strings.NewReader(before + element + after))
	if before != "" {
		if _, err := d.Token(); err != nil {
			return nil, err
		}
	}
	var (
		root Node
		open = []*Node{&root}
	)
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		in := open[len(open)-1]
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &Node{Space: tok.Name.Space, Local: tok.Name.Local}
			for _, a := range tok.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					n.Attrs = append(n.Attrs, Attr{Space: a.Name.Space, Local: a.Name.Local, Value: a.Value})
				}
			}
			in.Children = append(in.Children, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
			if len(open) == 0 {
				open = []*Node{&root} // the footer
			}
		case xml.CharData:
			in.Text += string(tok)
		default:
			return nil, fmt.Errorf("unexpected %T", tok)
		}
	}
	if len(root.Children) != 1 {
		return nil, errors.New("not one element")
	}
	return root.Children[0], nil
}

// sameNode compares trees. encoding/xml does not normalize white space in attributes (XML 1.0 §3.3.3).
func sameNode(a, b *Node) error {
	blanks := strings.NewReplacer("\r\n", " ", "\t", " ", "\n", " ", "\r", " ")
	switch {
	case a.Space != b.Space || a.Local != b.Local:
		return fmt.Errorf("names {%s}%s and {%s}%s", a.Space, a.Local, b.Space, b.Local)
	case a.Text != b.Text:
		return fmt.Errorf("texts %q and %q", a.Text, b.Text)
	case len(a.Attrs) != len(b.Attrs):
		return fmt.Errorf("attributes %v and %v", a.Attrs, b.Attrs)
	case len(a.Children) != len(b.Children):
		return fmt.Errorf("%d and %d children", len(a.Children), len(b.Children))
	}
	for i, x := range a.Attrs {
		y := b.Attrs[i]
		if x.Space != y.Space || x.Local != y.Local || blanks.Replace(x.Value) != blanks.Replace(y.Value) {
			return fmt.Errorf("attributes %v and %v", x, y)
		}
	}
	for i := range a.Children {
		if err := sameNode(a.Children[i], b.Children[i]); err != nil {
			return err
		}
	}
	return nil
}

// found is an element that a lexer returned, or its last error.
type found struct {
	raw  string
	node *Node
	err  error
}

// lexAll feeds data in pieces of the given sizes, the last one again and again, and moves the buffer each time.
func lexAll(t *testing.T, header bool, data []byte, sizes ...int) []found {
	x := NewLexer(Limits{Bytes: 4096, Depth: 16, Attrs: 16, Children: 32, NameBytes: 64})
	if header {
		if _, _, err := x.Header([]byte(testHeader)); err != nil {
			t.Fatal(err)
		}
	}
	var (
		out []found
		buf []byte
		st  Stanza
	)
	for {
		n, err := x.Next(buf, &st)
		buf = bytes.Clone(buf[n:])
		switch {
		case err == nil:
			out = append(out, found{raw: string(st.Raw), node: st.Node()})
			checkIndex(t, &st)
			continue
		case err != ErrIncomplete:
			return append(out, found{err: err})
		case len(data) == 0:
			return append(out, found{err: err})
		}
		size := min(max(1, sizes[0]), len(data))
		if len(sizes) > 1 {
			sizes = sizes[1:]
		}
		buf = append(buf, data[:size]...)
		data = data[size:]
	}
}

// checkIndex compares what the stanza says directly with its tree.
func checkIndex(t *testing.T, st *Stanza) {
	t.Helper()
	n := st.Node()
	if string(st.Space) != n.Space || string(st.Local) != n.Local {
		t.Errorf("index: {%s}%s, tree: {%s}%s", st.Space, st.Local, n.Space, n.Local)
	}
	if id, ok := n.Lookup("id"); ok != (st.ID != nil) || id != string(st.ID) {
		t.Errorf("index: id %q, tree: %q", st.ID, id)
	}
	if id, ok := st.Attr("id"); ok != (st.ID != nil) || id != string(st.ID) {
		t.Errorf("attribute: id %q, index: %q", id, st.ID)
	}
	if len(st.Children) != len(n.Children) {
		t.Fatalf("%d children, tree: %d", len(st.Children), len(n.Children))
	}
	for i := range st.Children {
		e, c := &st.Children[i], n.Children[i]
		if !e.Is(c.Space, c.Local) {
			t.Errorf("child: {%s}%s, tree: {%s}%s", e.Space, e.Local, c.Space, c.Local)
		}
		if got := e.Text(); got != c.Text {
			t.Errorf("child's text: %q, tree: %q", got, c.Text)
		}
		var read []byte
		for r := (runes{b: e.Inner}); ; {
			c, ok := r.next()
			if !ok {
				break
			}
			read = append(read, string(c)...)
		}
		if string(read) != c.Text {
			t.Errorf("child's runes: %q, tree: %q", read, c.Text)
		}
		if err := sameNode(e.Node(), c); err != nil {
			t.Errorf("child's tree: %v", err)
		}
	}
	if c := st.Clone(); !reflect.DeepEqual(c.Node(), n) || string(c.Local) != n.Local {
		t.Error("the clone differs")
	}
}

func FuzzLexer(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), uint16(i), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, data []byte, split uint16, header bool) {
		if len(data) > 5000 {
			return
		}
		whole := lexAll(t, header, data, len(data))
		before, after := "<x xmlns='jabber:client'>", "</x>"
		if header {
			before, after = testHeader, testFooter
		}
		for _, f := range whole {
			if f.err != nil {
				continue
			}
			want, err := reference(before, f.raw, after)
			if err != nil {
				t.Fatalf("accepted %q: %v", f.raw, err)
			}
			if err := sameNode(f.node, want); err != nil {
				t.Fatalf("%q: %v", f.raw, err)
			}
			if got := string(f.node.Append(nil)); true {
				again, err := ParseNode([]byte(got))
				if err != nil {
					t.Fatalf("%q written as %q: %v", f.raw, got, err)
				}
				if !reflect.DeepEqual(again, f.node) {
					t.Fatalf("%q written as %q", f.raw, got)
				}
			}
		}
		for _, sizes := range [][]int{{1}, {int(split)}, {int(split), 1}} {
			got := lexAll(t, header, data, sizes...)
			compareFeeds(t, whole, got)
		}
	})
}

// compareFeeds checks that cutting the input differently made no difference, but that an error in a tag whose end did
// not come may be found later.
func compareFeeds(t *testing.T, whole, cut []found) {
	t.Helper()
	if len(whole) != len(cut) {
		t.Fatalf("%d and %d elements", len(whole), len(cut))
	}
	for i := range whole {
		a, b := whole[i], cut[i]
		if a.raw != b.raw {
			t.Fatalf("elements %q and %q", a.raw, b.raw)
		}
		if a.err != b.err && b.err != ErrIncomplete {
			t.Fatalf("errors %v and %v", a.err, b.err)
		}
	}
}

func FuzzApply(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s), "Bob", uint8(i*37), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, data []byte, label string, fields uint8, header bool) {
		x := NewLexer(Limits{})
		if header {
			if _, _, err := x.Header([]byte(testHeader)); err != nil {
				t.Fatal(err)
			}
		}
		var st Stanza
		if _, err := x.Next(data, &st); err != nil {
			return
		}
		same := Apply(nil, &st, &Edit{})
		if n, err := ParseNode(same); err != nil {
			t.Fatalf("%q became %q: %v", st.Raw, same, err)
		} else if !reflect.DeepEqual(n, st.Node()) {
			t.Fatalf("%q became %q", st.Raw, same)
		}
		e := testEdit(label, fields)
		out := Apply(nil, &st, e)
		got, err := Parse(out)
		if err != nil {
			t.Fatalf("%q with %+v became %q: %v", st.Raw, e, out, err)
		}
		want, err := reference("<x xmlns='jabber:client'>", string(out), "</x>")
		if err != nil {
			t.Fatalf("%q with %+v became %q: %v", st.Raw, e, out, err)
		}
		if err := sameNode(got.Node(), want); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if got.Kind != KindOther && (!e.From.IsZero() && got.From != e.From || e.NoTo && e.To.IsZero() && got.head.to.name.to != 0) {
			t.Fatalf("%q with %+v became %q", st.Raw, e, out)
		}
		stored := e.AppendBinary(nil)
		var back Edit
		if err := back.UnmarshalBinary(stored); err != nil {
			t.Fatal(err)
		}
		if again := Apply(nil, &st, &back); !bytes.Equal(again, out) {
			t.Fatalf("stored edit: %q, not %q", again, out)
		}
	})
}

// testEdit makes an edit of the bits of fields.
func testEdit(label string, fields uint8) *Edit {
	e := &Edit{Label: label}
	if fields&1 != 0 {
		e.From = MustJID("sales@example.com/o'neil & <co>")
	}
	if fields&2 != 0 {
		e.To = MustJID("carol@example.com")
	}
	if fields&4 != 0 {
		e.NoTo = true
	}
	if fields&8 != 0 {
		e.Type = TypeChat
	}
	if fields&16 != 0 {
		e.Strip = []Match{{Space: NSReceipts}, {Space: NSSID, Local: "stanza-id", By: "carol@example.com"}, {Space: NSClient, Local: "thread"}}
	}
	if fields&32 != 0 {
		e.Add = []byte("<stanza-id xmlns='urn:xmpp:sid:0' by='carol@example.com' id='1'/>")
	}
	if fields&64 != 0 {
		e.Declare = NSClient
	}
	return e
}

func FuzzUnmarshalEdit(f *testing.F) {
	for i := range 8 {
		f.Add(testEdit("Bob", uint8(i*36)).AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e, back Edit
		if e.UnmarshalBinary(data) != nil {
			if !e.IsZero() {
				t.Fatal("an edit in spite of the error")
			}
			return
		}
		if err := back.UnmarshalBinary(e.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(e, back) {
			t.Fatalf("%+v became %+v", e, back)
		}
	})
}
