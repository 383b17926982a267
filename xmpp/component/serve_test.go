package component_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/feature"
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

// When a component goes, who has asked and got no answer hears so, once, and nobody else does, and whom it shows goes; while
// it is away, it is not asked.
func TestUnanswered(t *testing.T) {
	var shown featuretest.Log
	h := open(t, stream.Options{}, feature.Feature{Name: "presence", Presence: func(d *feature.Dispatch) (bool, error) {
		if d.Stanza.Type == xmpp.TypeUnavailable {
			fmt.Fprintf(&shown, "%s left. ", d.From.Local())
		}
		return true, nil
	}})
	romeo := h.Online(t, "romeo@example.com/orchard")
	iq := func(kind, id string) {
		romeo.Sends("<iq type='" + kind + "' id='" + id + "' to='irc.example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	}
	p := h.program(t)
	iq("get", "asked")
	iq("set", "ordered")
	iq("result", "told")
	iq("get", "answered")
	p.hears("id='answered'")
	p.says("<iq type='result' id='answered' from='irc.example.com' to='romeo@example.com/orchard'/>" +
		"<presence from='benvolio@irc.example.com' to='romeo@example.com'/>" +
		"<presence from='mercutio@irc.example.com' to='romeo@example.com'/>" +
		"<presence type='unavailable' from='mercutio@irc.example.com' to='romeo@example.com'/>")
	featuretest.Eventually(t, "all of it", func() bool { return h.Server.Stats.Received.Load() == 4 })
	romeo.Conn.Left()
	p.Close()
	h.program(t) // which is let in when all have been told
	heard := strings.Join(romeo.Conn.Left(), "\n")
	for text, want := range map[string]int{"<remote-server-timeout": 2, "id='asked'": 1, "id='ordered'": 1, "id='": 2} {
		if n := strings.Count(heard, text); n != want {
			t.Errorf("%s was heard %d times in %s", text, n, heard)
		}
	}
	if got := shown.String(); got != "mercutio left. benvolio left. " {
		t.Error(got)
	}
	if n := h.Server.Stats.Sent.Load(); n != 4 {
		t.Errorf("%d stanzas were sent", n)
	}

	h = open(t, stream.Options{})
	romeo = h.Online(t, "romeo@example.com/orchard")
	iq("get", "in vain")
	if heard := strings.Join(romeo.Conn.Left(), ""); !strings.Contains(heard, "id='in vain'") || !strings.Contains(heard, "<remote-server-timeout ") {
		t.Errorf("heard %s", heard)
	}
}
