package xmpp

import (
	"strings"
	"testing"
)

func TestLabel(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "<body>quote is out</body>", "<body>Bob: quote is out</body>"},
		{"every language", "<body>hello</body><body xml:lang='de'>hallo</body>", "<body>Bob: hello</body><body xml:lang='de'>Bob: hallo</body>"},
		{"no body", "<active xmlns='http://jabber.org/protocol/chatstates'/>", "<active xmlns='http://jabber.org/protocol/chatstates'/>"},
		{"empty body", "<body/><body xml:lang='de'></body>", "<body/><body xml:lang='de'></body>"},
		{"verbatim", "<body>a &#x26; <![CDATA[<b>]]>\r\n</body>", "<body>Bob: a &#x26; <![CDATA[<b>]]>\r\n</body>"},
		{"prefixed", "<c:body xmlns:c='jabber:client'>x</c:body>", "<c:body xmlns:c='jabber:client'>Bob: x</c:body>"},
		{"another body", "<body xmlns='urn:x'>x</body><x xmlns='urn:x'><body xmlns='jabber:client'>x</body></x>",
			"<body xmlns='urn:x'>x</body><x xmlns='urn:x'><body xmlns='jabber:client'>x</body></x>"},
		{"subject stays", "<subject>x</subject><body>y</body>", "<subject>x</subject><body>Bob: y</body>"},

		// XEP-0393.
		{"quote", "<body>&gt; a\nb</body>", "<body>Bob:\n&gt; a\nb</body>"},
		{"quote, bare", "<body>>a</body>", "<body>Bob:\n>a</body>"},
		{"quote in CDATA", "<body><![CDATA[> a]]></body>", "<body>Bob:\n<![CDATA[> a]]></body>"},
		{"quote by number", "<body>&#62; a</body>", "<body>Bob:\n&#62; a</body>"},
		{"code fence", "<body>```\nx\n```</body>", "<body>Bob:\n```\nx\n```</body>"},
		{"code", "<body>``x``</body>", "<body>Bob: ``x``</body>"},
		{"later quote", "<body>a\n> b</body>", "<body>Bob: a\n> b</body>"},

		// XEP-0245.
		{"me", "<body>/me waves &amp; leaves</body>", "<body>* Bob waves &amp; leaves</body>"},
		{"me with references", "<body>&#47;me <![CDATA[<waves>]]>&amp;</body>", "<body>* Bob &lt;waves&gt;&amp;</body>"},
		{"me alone", "<body>/me</body>", "<body>Bob: /me</body>"},
		{"me's", "<body>/me's cat</body>", "<body>Bob: /me's cat</body>"},
		{"me not first", "<body> /me waves</body>", "<body>Bob:  /me waves</body>"},
		{"me in one language", "<body>/me a</body><body xml:lang='de'>b</body>", "<body>* Bob a</body><body xml:lang='de'>Bob: b</body>"},

		// Clients show a file only where the body is its address.
		{"lone address", "<body>https://example.com/a.png</body>", "<body>https://example.com/a.png</body>"},
		{"lone address with spaces", "<body> aesgcm://example.com/a#b\n</body>", "<body> aesgcm://example.com/a#b\n</body>"},
		{"lone place", "<body>geo:1,2</body>", "<body>geo:1,2</body>"},
		{"address and text", "<body>https://example.com/ look</body>", "<body>Bob: https://example.com/ look</body>"},
		{"text and address", "<body>look https://example.com/</body>", "<body>Bob: look https://example.com/</body>"},
		{"two addresses", "<body>https://a.example/\nhttps://b.example/</body>", "<body>Bob: https://a.example/\nhttps://b.example/</body>"},
		{"no address", "<body>re:that</body>", "<body>Bob: re:that</body>"},
		{"no address either", "<body>https://</body>", "<body>Bob: https://</body>"},
		{"nor this", "<body>://x</body>", "<body>Bob: ://x</body>"},
		{"OOB", "<body>see a&amp;b</body><x xmlns='jabber:x:oob'><desc>d</desc><url>see a&#38;b</url></x>",
			"<body>see a&amp;b</body><x xmlns='jabber:x:oob'><desc>d</desc><url>see a&#38;b</url></x>"},
		{"OOB beside text", "<body>the picture</body><x xmlns='jabber:x:oob'><url>https://a.example/</url></x>",
			"<body>Bob: the picture</body><x xmlns='jabber:x:oob'><url>https://a.example/</url></x>"},
		{"SFS", "<body>x y</body><file-sharing xmlns='urn:xmpp:sfs:0'><file/><sources><url-data xmlns='http://jabber.org/protocol/url-data' target='x y'/></sources></file-sharing>",
			"<body>x y</body><file-sharing xmlns='urn:xmpp:sfs:0'><file/><sources><url-data xmlns='http://jabber.org/protocol/url-data' target='x y'/></sources></file-sharing>"},

		// XEP-0071.
		{"formatted", "<body>x</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>x</p></body></html>",
			"<body>Bob: x</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>Bob: <p>x</p></body></html>"},
		{"formatted me", "<body>/me x</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>/me x</body></html>",
			"<body>* Bob x</body>"},
		{"formatted address", "<body>https://a.example/</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><a/></body></html>",
			"<body>https://a.example/</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><a/></body></html>"},
		{"formatted only", "<h:html xmlns:h='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>x<body/></body></h:html>",
			"<h:html xmlns:h='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>Bob: x<body/></body></h:html>"},
	} {
		if got := apply(t, "<message>"+c.in+"</message>", Edit{Label: "Bob"}); got != "<message>"+c.want+"</message>" {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, "<message>"+c.want+"</message>")
		}
	}
}

func TestLabelIsEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"<message><body>x</body></message>":     "<message><body>A&lt;b&gt; &amp; c: x</body></message>",
		"<message><body>/me x</body></message>": "<message><body>* A&lt;b&gt; &amp; c x</body></message>",
	} {
		if got := apply(t, in, Edit{Label: "A<b> & c"}); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestLabelMovesRanges(t *testing.T) {
	const plain, quote, me = "<body>see me there</body>", "<body>&gt; a\nb</body>", "<body>/me waves</body>"
	for _, c := range []struct{ name, in, want string }{
		// "Bob: " is 5 code points, as is "Bob:\n"; "/me " becomes "* Bob ", 2 more.
		{"reply", quote + "<reply xmlns='urn:xmpp:reply:0' id='1'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end=\"4\"/></fallback>",
			"<body>Bob:\n&gt; a\nb</body><reply xmlns='urn:xmpp:reply:0' id='1'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='5' end=\"9\"/></fallback>"},
		{"reply of old", quote + "<fallback xmlns='urn:xmpp:feature-fallback:0'><body start='0' end='4'/></fallback>",
			"<body>Bob:\n&gt; a\nb</body><fallback xmlns='urn:xmpp:feature-fallback:0'><body start='5' end='9'/></fallback>"},
		{"fallback of all", plain + "<fallback xmlns='urn:xmpp:fallback:0'><body/></fallback>", "<body>Bob: see me there</body><fallback xmlns='urn:xmpp:fallback:0'><body/></fallback>"},
		{"fallback of the subject", plain + "<fallback xmlns='urn:xmpp:fallback:0'><subject start='1' end='2'/><f:body xmlns:f='urn:xmpp:fallback:0' start='1' end='2'/></fallback>",
			"<body>Bob: see me there</body><fallback xmlns='urn:xmpp:fallback:0'><subject start='1' end='2'/><f:body xmlns:f='urn:xmpp:fallback:0' start='6' end='7'/></fallback>"},
		{"mention", plain + "<reference xmlns='urn:xmpp:reference:0' begin='4' end='6' type='mention' uri='xmpp:a@b'/>",
			"<body>Bob: see me there</body><reference xmlns='urn:xmpp:reference:0' begin='9' end='11' type='mention' uri='xmpp:a@b'/>"},
		{"mention elsewhere", plain + "<reference xmlns='urn:xmpp:reference:0' begin='4' end='6' anchor='xmpp:a@b'/>",
			"<body>Bob: see me there</body><reference xmlns='urn:xmpp:reference:0' begin='4' end='6' anchor='xmpp:a@b'/>"},
		{"something in a reference", plain + "<reference xmlns='urn:xmpp:reference:0' begin='4'><x xmlns='urn:x' end='6'/></reference>",
			"<body>Bob: see me there</body><reference xmlns='urn:xmpp:reference:0' begin='9'><x xmlns='urn:x' end='6'/></reference>"},
		{"markup", plain + "<markup xmlns='urn:xmpp:markup:0'><span start='4' end='6'><strong/></span><list start='7' end='12'><li start='7'/></list></markup>",
			"<body>Bob: see me there</body><markup xmlns='urn:xmpp:markup:0'><span start='9' end='11'><strong/></span><list start='12' end='17'><li start='12'/></list></markup>"},
		{"block of markup", plain + "<markup xmlns='urn:xmpp:markup:0'><bcode start='0' end='5'/></markup>",
			"<body>Bob:\nsee me there</body><markup xmlns='urn:xmpp:markup:0'><bcode start='5' end='10'/></markup>"},
		{"of its language", "<body>/me a</body><body xml:lang='de'>b</body><markup xmlns='urn:xmpp:markup:0' xml:lang='de'><span start='0' end='1'/></markup><markup xmlns='urn:xmpp:markup:0'><span start='4' end='5'/></markup>",
			"<body>* Bob a</body><body xml:lang='de'>Bob: b</body><markup xmlns='urn:xmpp:markup:0' xml:lang='de'><span start='5' end='6'/></markup><markup xmlns='urn:xmpp:markup:0'><span start='6' end='7'/></markup>"},
		{"me", me + "<reference xmlns='urn:xmpp:reference:0' begin='4' end='9'/>", "<body>* Bob waves</body><reference xmlns='urn:xmpp:reference:0' begin='6' end='11'/>"},
		{"me from the start", me + "<reference xmlns='urn:xmpp:reference:0' begin='0' end='9'/>", "<body>* Bob waves</body><reference xmlns='urn:xmpp:reference:0' begin='0' end='11'/>"},
		{"no label", "<body>geo:1,2</body><reference xmlns='urn:xmpp:reference:0' begin='4' end='6'/>", "<body>geo:1,2</body><reference xmlns='urn:xmpp:reference:0' begin='4' end='6'/>"},
		{"no body", "<reference xmlns='urn:xmpp:reference:0' begin='4' end='6'/>", "<reference xmlns='urn:xmpp:reference:0' begin='4' end='6'/>"},
		{"numbers in disguise", plain + "<reference xmlns='urn:xmpp:reference:0' begin='&#52;' end='0006'/>", "<body>Bob: see me there</body><reference xmlns='urn:xmpp:reference:0' begin='9' end='11'/>"},
		{"no numbers", plain + "<reference xmlns='urn:xmpp:reference:0' begin='-4' end='x'/><reference xmlns='urn:xmpp:reference:0' begin='' end='99999999999'/>",
			"<body>Bob: see me there</body><reference xmlns='urn:xmpp:reference:0' begin='-4' end='x'/><reference xmlns='urn:xmpp:reference:0' begin='' end='99999999999'/>"},
		{"another namespace", plain + "<reference xmlns='urn:x' begin='4' end='6'/>", "<body>Bob: see me there</body><reference xmlns='urn:x' begin='4' end='6'/>"},
	} {
		if got := apply(t, "<message>"+c.in+"</message>", Edit{Label: "Bob"}); got != "<message>"+c.want+"</message>" {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, "<message>"+c.want+"</message>")
		}
	}
}

// TestLabelKeepsWhatRangesMark: the marked words are the same words behind the label, whatever the names and the text
// are made of (XEP-0426 counts code points, not bytes or UTF-16).
func TestLabelKeepsWhatRangesMark(t *testing.T) {
	for _, label := range []string{"B", "Bob (guest)", "Nguyễn 👩‍🚀", "<&>"} {
		for _, body := range []string{"ab 🎉 cd", "> ab\ncd ef", "/me ab cd", "```\nab cd"} {
			runesOf := []rune(body)
			start, end := 5, 7
			in := string(AppendText([]byte("<message><body>"), body)) + "</body><reference xmlns='urn:xmpp:reference:0' begin='5' end='7'/></message>"
			st, err := Parse([]byte(in))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(Apply(nil, st, &Edit{Label: label}))
			if err != nil {
				t.Fatal(err)
			}
			text := []rune(got.Child("", "body").Text())
			ref := &got.Children[1]
			from, ok1 := parseOffset(rawAttr(ref.Raw, "begin"))
			to, ok2 := parseOffset(rawAttr(ref.Raw, "end"))
			if !ok1 || !ok2 || to > len(text) || string(text[from:to]) != string(runesOf[start:end]) {
				t.Errorf("%q, %q: %d to %d of %q", label, body, from, to, string(text))
			}
			if !strings.Contains(string(text), label) {
				t.Errorf("%q, %q: %q", label, body, string(text))
			}
		}
	}
}
