package xmpp

import (
	"reflect"
	"strings"
	"testing"
)

func TestNode(t *testing.T) {
	const in = `<x:storage xmlns:x='storage:bookmarks' xmlns='urn:y' a='1' x:b='2' xml:lang='de'>one<y c='&lt;'/>t&#119;o` +
		`<x:conference jid='room@example.com'><x:nick><![CDATA[<me>]]></x:nick></x:conference><z xmlns=''/>three</x:storage>`
	n, err := ParseNode([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if !n.Is(NSBookmarks, "storage") || n.Text != "onetwothree" || len(n.Children) != 3 {
		t.Fatalf("%+v", n)
	}
	if n.Attr("a") != "1" || n.Attr("b") != "" || n.Attr("none") != "" {
		t.Errorf("attributes %v", n.Attrs)
	}
	if v, ok := n.LookupNS(NSBookmarks, "b"); v != "2" || !ok {
		t.Errorf("b: %q", v)
	}
	if v, ok := n.LookupNS(NSXML, "lang"); v != "de" || !ok {
		t.Errorf("lang: %q", v)
	}
	if _, ok := n.Lookup("none"); ok {
		t.Error("an attribute that is not there")
	}
	if got := n.Child("", "conference").ChildText("", "nick"); got != "<me>" {
		t.Errorf("nick %q", got)
	}
	if n.Child("urn:y", "y").Attr("c") != "<" || n.Child("", "y") != nil || n.Child("", "z") != nil || !n.Children[2].Is("", "z") {
		t.Errorf("children %v", n.Children)
	}
	const want = `<storage xmlns='storage:bookmarks' a='1' xmlns:n1='storage:bookmarks' n1:b='2' xml:lang='de'>one<y xmlns='urn:y' c='&lt;'/>two` +
		`<conference jid='room@example.com'><nick>&lt;me&gt;</nick></conference><z xmlns=''/>three</storage>`
	got := string(n.Append(nil))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if again, err := ParseNode([]byte(got)); err != nil || !reflect.DeepEqual(again, n) {
		t.Errorf("read again: %v", err)
	}
}

func TestNilNode(t *testing.T) {
	var n *Node
	if n.Child("a", "b") != nil || n.Child("", "b").Attr("c") != "" || n.Is("", "") || n.ChildText("a", "b") != "" {
		t.Error("nil is something")
	}
	if v, ok := n.Child("a", "b").Lookup("c"); v != "" || ok {
		t.Error("nil has an attribute")
	}
}

func TestNodeByHand(t *testing.T) {
	n := &Node{Space: "urn:a", Local: "a", Text: "x & y", Children: []*Node{{Space: "urn:a", Local: "b"}, {Space: "urn:c", Local: "c", Text: "z"}, {Local: "d"}}}
	n.SetAttr("e", "1")
	n.SetAttr("e", "2")
	n.SetAttr("f", "'")
	const want = `<a xmlns='urn:a' e='2' f='&apos;'>x &amp; y<b/><c xmlns='urn:c'>z</c><d xmlns=''/></a>`
	if got := string(n.Append(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Changing a node that was read must not bring back what it was.
	n, err := ParseNode([]byte("<a>x<b/>y</a>"))
	if err != nil {
		t.Fatal(err)
	}
	n.Text, n.Children = "z", append(n.Children, &Node{Space: NSClient, Local: "c"})
	if got, want := string(n.Append(nil)), "<a xmlns='jabber:client'>z<b/><c/></a>"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	n, err = ParseNode([]byte("<a>x<b/>y</a>"))
	if err != nil {
		t.Fatal(err)
	}
	n.Text = "z"
	if got, want := string(n.Append(nil)), "<a xmlns='jabber:client'>z<b/></a>"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestNodeOfAPayload: what is stored of a stanza stands alone, also where prefixes came from elsewhere.
func TestNodeOfAPayload(t *testing.T) {
	var st Stanza
	in := "<iq type='set' xmlns:q='urn:q'><query xmlns='jabber:iq:private'><p:x p:y='1'><q:z/></p:x></query></iq>"
	if _, err := openStream(t, Limits{}).Next([]byte(in), &st); err != nil {
		t.Fatal(err)
	}
	got := string(st.Payload().Node().Children[0].Append(nil))
	const want = "<x xmlns='urn:p' xmlns:n0='urn:p' n0:y='1'><z xmlns='urn:q'/></x>"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(st.Node().Append(nil)); !strings.HasPrefix(got, "<iq xmlns='jabber:client' type='set'><query xmlns='jabber:iq:private'>") {
		t.Errorf("whole: %s", got)
	}
}

func TestDeepNode(t *testing.T) {
	const depth = 1000
	in := strings.Repeat("<a>", depth) + strings.Repeat("</a>", depth)
	n, err := ParseNode([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	got := string(n.Append(nil))
	if want := strings.Replace(in, "<a></a>", "<a/>", 1); strings.Replace(got, " xmlns='jabber:client'", "", 1) != want {
		t.Errorf("%.80s…", got)
	}
	if _, err := ParseNode([]byte(strings.Repeat("<a>", 2000))); condition(err) != StreamPolicyViolation {
		t.Errorf("too deep: %v", err)
	}
}
