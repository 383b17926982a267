package dialogue

import (
	"strings"
	"testing"
	"time"
)

func testEnv() *env {
	return &env{
		vars: map[string]string{"sid": "17", "romeo/orchard": "romeo@example.com/orchard"},
		now:  func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) },
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		// Names and namespaces.
		{`<message/>`, `<message/>`, true},
		{`<message/>`, `<presence/>`, false},
		{`<message/>`, `<message xmlns='jabber:client'/>`, true},
		{`<message/>`, `<message xmlns='jabber:server'/>`, false},
		{`<p:message xmlns:p='jabber:client'/>`, `<message/>`, true},
		{`<message><x xmlns='a'/></message>`, `<message xmlns:p='a'><p:x/></message>`, true},
		{`<message><x xmlns='a'/></message>`, `<message><x/></message>`, false},
		// Attributes.
		{`<a b='1' c='2'/>`, `<a c="2" b="1"/>`, true},
		{`<a b='1'/>`, `<a b='2'/>`, false},
		{`<a b='1'/>`, `<a/>`, false},
		{`<a/>`, `<a b='1'/>`, false},
		{`<a {...}/>`, `<a b='1'/>`, true},
		{`<a c='1' {...}/>`, `<a b='1'/>`, false},
		{`<a xml:lang='en'/>`, `<a xml:lang='en'/>`, true},
		{`<a xml:lang='en'/>`, `<a lang='en'/>`, false},
		{`<a b=''/>`, `<a b=''/>`, true},
		{`<a b='&lt;'/>`, `<a b='&#60;'/>`, true},
		// Text.
		{`<a>hi</a>`, `<a>hi</a>`, true},
		{`<a>hi</a>`, `<a>hi </a>`, false},
		{`<a>hi</a>`, `<a><![CDATA[hi]]></a>`, true},
		{`<a/>`, `<a>hi</a>`, false},
		{`<a>hi</a>`, `<a/>`, false},
		{`<a>{any}</a>`, `<a/>`, false},
		{`<a>h{any}</a>`, "<a>hello\nyou</a>", true},
		{`<a>{...}</a>`, `<a>hi<b/></a>`, true},
		{`<a>.*</a>`, `<a>hi</a>`, false},
		// Children.
		{`<a><b/><c/></a>`, "<a>\n <c/>\n <b/> </a>", true},
		{`<a><b/><c/></a>`, `<a><b/></a>`, false},
		{`<a><b/></a>`, `<a><b/><c/></a>`, false},
		{`<a><b/></a>`, `<a><b/><b/></a>`, false},
		{`<a><b/><b/></a>`, `<a><b/></a>`, false},
		{`<a><b/></a>`, `<a>text<b/></a>`, false},
		{`<a><b/>{...}</a>`, `<a><c/><b/></a>`, true},
		{`<a><b/>{...}</a>`, `<a><c/></a>`, false},
		{`<a>{in order}<b/><c/></a>`, `<a><b/><c/></a>`, true},
		{`<a>{in order}<b/><c/></a>`, `<a><c/><b/></a>`, false},
		{`<a>{in order}{...}<b/><c/></a>`, `<a><d/><b/><d/><c/><d/></a>`, true},
		{`<a><b><c/></b></a>`, `<a><b/></a>`, false},
		// A pattern that could take either child must leave the right one for the next.
		{`<a><b x='{any}'/><b x='1'/></a>`, `<a><b x='1'/><b x='2'/></a>`, true},
		{`<a><b x='{any}'/><b x='1'/></a>`, `<a><b x='3'/><b x='2'/></a>`, false},
		// Placeholders.
		{`<a b='{any}'/>`, `<a b='x'/>`, true},
		{`<a b='{any}'/>`, `<a b=''/>`, false},
		{`<a b='{sid}'/>`, `<a b='17'/>`, true},
		{`<a b='{sid}'/>`, `<a b='18'/>`, false},
		{`<a b='{not:sid}'/>`, `<a b='18'/>`, true},
		{`<a b='{not:sid}'/>`, `<a b='17'/>`, false},
		{`<a b='{romeo/orchard}'/>`, `<a b='romeo@example.com/orchard'/>`, true},
		{`<a b='x{re:[0-9]{2}}y'/>`, `<a b='x42y'/>`, true},
		{`<a b='x{re:[0-9]{2}}y'/>`, `<a b='x4y'/>`, false},
		{`<a b='{re:a|b}'/>`, `<a b='ac'/>`, false},
		{`<a b='{time}'/>`, `<a b='2026-03-01T12:00:00.123456Z'/>`, true},
		{`<a b='{time}'/>`, `<a b='2026-03-01T12:00:00+01:00'/>`, false},
		{`<a b='{now-2h}'/>`, `<a b='2026-03-01T10:00:01Z'/>`, true},
		{`<a b='{now-2h}'/>`, `<a b='2026-03-01T12:00:01Z'/>`, false},
		{`<a b='{now}'/>`, `<a b='2026-13-01T12:00:01Z'/>`, false},
		{`<a>{base64:\0a}</a>`, `<a>AGE=</a>`, true},
		{`<a>{decoded:i={any},{sid}}</a>`, `<a>aT00MDk2LDE3</a>`, true},
		{`<a>{decoded:i={any},{sid}}</a>`, `<a>aT00MDk2LDE4</a>`, false},
		{`<a>{decoded:i={any}}</a>`, `<a>i=4096</a>`, false},
		{`<a>{repeat:3:ab}</a>`, `<a>ababab</a>`, true},
		{`<a b='{store:x}'><c d='{x}'/></a>`, `<a b='1'><c d='1'/></a>`, true},
		{`<a b='{store:x}'><c d='{x}'/></a>`, `<a b='1'><c d='2'/></a>`, false},
		{`<a b='{nobody}'/>`, `<a b='1'/>`, false},
		// Streams.
		{`<stream:stream from='a' {...}>`, `<stream:stream from='a' id='1'/>`, true},
		{`<stream:stream>`, `<stream:stream from='a'/>`, false},
		{`</stream:stream>`, `<stream:features/>`, false},
	} {
		ps, err := parsePatterns(c.want)
		if err != nil || len(ps) != 1 {
			t.Errorf("%s: %d patterns, %v", c.want, len(ps), err)
			continue
		}
		nodes, err := parse(c.got)
		if err != nil {
			t.Fatalf("%s: %v", c.got, err)
		}
		e := testEnv()
		ok, _ := e.matches(ps[0], nodes[0])
		if ok != c.ok {
			t.Errorf("%s for %s: got %v", c.got, c.want, ok)
		}
		ordered := strings.Contains(c.want, orderedMark)
		if diff := testEnv().differences(ps[0], nodes[0]); !ok && len(diff) == 0 && !ordered {
			t.Errorf("%s for %s: nothing is said about the difference", c.got, c.want)
		}
	}
}

func TestStoredOnlyByMatch(t *testing.T) {
	e := testEnv()
	ps, err := parsePatterns(`<a><b x='{store:one}' y='1'/>{...}</a>`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, one string }{
		{`<a><b x='1' y='2'/></a>`, ""},
		{`<a><b x='1' y='2'/><b x='2' y='1'/></a>`, "2"},
	} {
		nodes, err := parse(c.got)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := e.matches(ps[0], nodes[0]); err != nil || ok != (c.one != "") {
			t.Errorf("%s: %v, %v", c.got, ok, err)
		}
		if e.vars["one"] != c.one {
			t.Errorf("%s: stored %q, want %q", c.got, e.vars["one"], c.one)
		}
	}
}

func TestPatternMistakes(t *testing.T) {
	for _, block := range []string{
		``, `text`, `<a>`, `<a></b>`, `<p:a/>`, `<a b='{nonsense:1}'/>`, `<a b='{'/>`, `<a>{re:(}</a>`, `<a b='1' b='1'/>`,
		`<a b='{now-1x}'/>`, `<a>{repeat:x:y}</a>`, `<a>{}</a>`, `<a>{hex:1}</a>`,
	} {
		if ps, err := parsePatterns(block); err == nil {
			t.Errorf("%q was taken for %v", block, ps)
		}
	}
}

func TestExpand(t *testing.T) {
	e := testEnv()
	e.vars["odd"] = `<'&`
	for in, want := range map[string]string{
		"{sid}-{romeo/orchard}": "17-romeo@example.com/orchard",
		"{now+1m}":              "2026-03-01T12:01:00.000000Z",
		`{base64:\0{sid}\0x}`:   "ADE3AHg=",
		"{sha1:abc}":            "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
		"{repeat:2:{sid}}":      "1717",
		"{hex:0d0a}":            "\r\n",
		"{odd}":                 "&lt;&apos;&amp;",
	} {
		if got, err := e.expandXML(in); err != nil || got != want {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"{any}", "{store:x}", "{re:x}", "{time}", "{nobody}", "{"} {
		if got, err := e.expand(in); err == nil {
			t.Errorf("%s was expanded to %q", in, got)
		}
	}
}

// TestReader has what encoding/xml lets pass.
func TestReader(t *testing.T) {
	const header = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{header + `<message/>`, true},
		{header + ` <message><body>hi</body></message>`, true},
		{header + `</stream:stream>`, true},
		{header + `hi`, false},
		{header + `<!-- hi -->`, false},
		{header + `<?hi?>`, false},
		{header + `<message><!-- hi --></message>`, false},
		{header + `<p:message/>`, false},
		{header + `<message p:a='1'/>`, false},
		{header + `<message a='1' a='2'/>`, false},
		{header + `<message xmlns:p=''/>`, false},
		{header + `<message></presence>`, false},
		{header + `</stream:features>`, false},
		{header + `<message>`, false},
		{header + `<message>&nbsp;</message>`, false},
		{`<!DOCTYPE x>` + header, false},
	} {
		r := newReader(strings.NewReader(c.text))
		var err error
		for range 2 {
			if _, err = r.next(); err != nil {
				break
			}
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", strings.TrimPrefix(c.text, header), err)
		}
	}
}
