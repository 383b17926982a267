package component_test

import (
	"io"
	"strings"
	"testing"

	"confab/xmpp/feature/featuretest"
	"confab/xmpp/stream"
)

// What came before the end of the stream has been said, and what comes behind it has not.
func TestTheLastWords(t *testing.T) {
	message := func(from, body string) string {
		return "<message type='chat' from='" + from + "' to='romeo@example.com'><body>" + body + "</body></message>"
	}
	const itself = "irc.example.com"
	for name, test := range map[string]struct{ ends, hears string }{
		"the closing tag":  {"</stream:stream>", "</stream:stream>"},
		"an error":         {"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", "</stream:stream>"},
		"somebody else's":  {message("irc.example.org", "no"), "<invalid-from "},
		"nobody's":         {"<message to='romeo@example.com'/>", "<invalid-from "},
		"what is no XML":   {"<message <", "<not-well-formed "},
		"no stanza at all": {"<x from='irc.example.com'/>", "<unsupported-stanza-type "},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, stream.Options{})
			romeo := h.Online(t, "romeo@example.com/orchard")
			p := h.program(t)
			p.says(message(itself, "one") + message("mercutio@"+itself, "two") + test.ends + message(itself, "no"))
			p.hears(test.hears)
			io.Copy(io.Discard, p.r)
			p.Close()
			featuretest.Eventually(t, "the end", func() bool { return len(h.Connected()) == 0 })
			if heard := strings.Join(romeo.Conn.Left(), ""); strings.Count(heard, "<message") != 2 || !strings.Contains(heard, ">one<") || !strings.Contains(heard, ">two<") {
				t.Errorf("romeo heard %s", heard)
			}
		})
	}
}

// Each stanza counts for the rate, however many come at once.
func TestRate(t *testing.T) {
	for _, test := range []struct {
		stanzas int
		waits   int64
	}{{9, 0}, {30, 1}} {
		o := stream.Options{Rate: stream.Rate{Stanzas: 1}, Stats: new(stream.Stats)} // with a burst of ten seconds' worth
		h := open(t, o)
		p := h.program(t)
		p.says(strings.Repeat("<presence from='irc.example.com' to='romeo@example.com'/>", test.stanzas))
		featuretest.Eventually(t, "all of them", func() bool {
			return h.Table.Stats.Presences.Load() == int64(test.stanzas) && o.Stats.Throttled.Load() >= test.waits
		})
		if n := o.Stats.Throttled.Load(); n != test.waits {
			t.Errorf("%d stanzas: %d waits", test.stanzas, n)
		}
	}
}

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
