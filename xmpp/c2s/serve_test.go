package c2s

import (
	"io"
	"strings"
	"testing"
)

// What it costs to read a stanza of a client that has logged in, both ends and TLS included.
func BenchmarkRead(b *testing.B) {
	d := open(b)
	g := d.login(b, "<bind xmlns='urn:xmpp:bind:0'/>")
	defer g.Close()
	g.hear("</stream:features>")
	const many = 100
	stanzas := strings.Repeat("<message type='headline' to='juliet@example.com'><body>Neither, fair saint, if either thee dislike.</body></message>", many)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += many {
		if _, err := io.WriteString(g, stanzas); err != nil {
			b.Fatal(err)
		}
	}
	g.say("<iq type='set' id='all of it'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
	g.hear("all of it")
}
