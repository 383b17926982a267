package component_test

import (
	"io"
	"strings"
	"testing"

	"confab/xmpp/stream"
)

// What it costs to read a stanza of a component, both ends included.
func BenchmarkRead(b *testing.B) {
	h := open(b, stream.Options{})
	p := h.program(b)
	const many = 100
	stanzas := strings.Repeat("<message type='headline' from='irc.example.com' to='juliet@example.com'><body>Neither, fair saint, if either thee dislike.</body></message>", many)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += many {
		if _, err := io.WriteString(p, stanzas); err != nil {
			b.Fatal(err)
		}
	}
	p.says("<iq type='get' id='all of it' from='irc.example.com' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	p.hears("all of it")
}
