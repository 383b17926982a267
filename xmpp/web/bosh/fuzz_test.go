package bosh

import (
	"bytes"
	"testing"

	"confab/xmpp"
)

// FuzzBody: whatever a request is, it is a body or an error, and each payload
// reads by itself as it did inside of the wrapper.
func FuzzBody(f *testing.F) {
	for _, text := range []string{
		"<body xmlns='" + NS + "' rid='1' to='example.com'/>",
		"<?xml version='1.0'?><body xmlns='" + NS + "' rid='1' sid='x' xmlns:p='urn:p'><p:a p:b='1'/><message><p:c/></message> </body>",
		"<b:body xmlns:b='" + NS + "' rid='7' type='terminate' b:x='>'><presence xmlns='jabber:client'/></b:body>",
		"<body rid='1' xmlns='" + NS + "' xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true' pause='3' ack='2' xml:lang='en'/>",
		"<body xmlns='" + NS + "' rid='1' xmlns:a='x' xmlns:b='y'><c a:d='' b:d=''><![CDATA[</body>]]></c></body>",
		"<body xmlns='" + NS + "' rid='1' xmlns:a='x' q=\" xmlns:a='z'\"><c a:d='' xmlns:ab='w' ab:e = '='/></body>",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		given := bytes.Clone(text)
		b, err := parse(text, 10_000)
		if !bytes.Equal(given, text) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if b.rid > maxRID {
			t.Errorf("rid %d", b.rid)
		}
		if open, err := xmpp.ParseNode(b.opening()); err != nil || !open.Is(xmpp.NSFraming, "open") || open.Attr("to") != b.node.Attr("to") {
			t.Errorf("%s: %v", b.opening(), err)
		}
		for _, p := range b.payloads {
			st, err := xmpp.Parse(p)
			if err != nil {
				t.Errorf("%q: %v", p, err)
			} else if len(st.Raw) != len(p) {
				t.Errorf("%q: only %q of it", p, st.Raw)
			}
		}
	})
}
