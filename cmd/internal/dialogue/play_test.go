package dialogue

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const cast = "# Test\nGiven domain example.com with romeo, juliet\nGiven romeo and juliet are online\n"

const hello = `romeo sends:
    <message to='juliet@example.com'><body>hi</body></message>
`

// TestScriptsThatHold plays scripts that the toy server satisfies.
func TestScriptsThatHold(t *testing.T) {
	for name, text := range map[string]string{
		"delivery": cast + hello + `juliet receives:
    <message to='juliet@example.com' from='{romeo}'>
        <body>hi</body>
    </message>
romeo hears nothing
`,
		"stored and used": cast + hello + `juliet receives:
    <message from='{store:peer}' {...}><body>{any}</body></message>
juliet sends:
    <message to='{peer}'><body>{base64:a\0b}</body></message>
romeo receives:
    <message from='{juliet}' to='{romeo}'><body>YQBi</body></message>
`,
		"in any order": cast + `romeo sends:
    <message to='juliet@example.com'><body>1</body></message>
    <message to='juliet@example.com'><body>2</body></message>
juliet receives in any order:
    <message {...}><body>2</body></message>
    <message {...}><body>1</body></message>
`,
		"several resources": cast + `romeo/orchard comes online with priority 5
romeo/balcony connects
romeo/balcony sends:
    <message to='romeo@example.com/orchard'><body>me</body></message>
romeo/orchard receives:
    <message from='{romeo/balcony}' to='{romeo/orchard}'><body>me</body></message>
romeo/balcony disconnects
romeo/orchard's connection drops
`,
		"acknowledgement": cast + `romeo sends:
    <enable xmlns='urn:xmpp:sm:3'/>
romeo receives:
    <enabled xmlns='urn:xmpp:sm:3' id='{any}'/>
romeo hears nothing
` + hello + `romeo sends:
    <r xmlns='urn:xmpp:sm:3'/>
juliet ignores messages
romeo receives:
    <a xmlns='urn:xmpp:sm:3' h='1'/>
`,
		"by hand": `# Test
Given domain example.com with romeo
romeo opens a connection
romeo opens a stream
romeo receives:
    <stream:stream from='example.com' id='{any}' version='1.0'>
    <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>
romeo sends:
    <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
romeo receives:
    <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
romeo starts TLS
romeo opens a stream
romeo is offered:
    <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>
romeo is not offered:
    <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>{...}</starttls>
romeo tries PLAIN with password "wrong"
romeo receives:
    <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>
romeo tries PLAIN
romeo receives:
    <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
romeo opens a stream
romeo is offered:
    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>
romeo sends raw:
    <a></b>
romeo receives:
    <stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
    </stream:stream>
romeo is disconnected
`,
		"old TLS": `# Test
Given domain example.com with romeo
romeo opens a connection
romeo opens a stream
romeo is offered:
    <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>
romeo sends:
    <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
romeo receives:
    <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
romeo is refused TLS 1.1
`,
		"time and the operator": cast + `time passes 25h
romeo sends:
    <message to='juliet@example.com'><body>{now-25h}</body></message>
juliet receives:
    <message {...}><body>{now-25h}</body></message>
romeo sends:
    <message to='juliet@example.com'><body>2026-03-01T12:00:30Z</body></message>
juliet receives:
    <message {...}><body>{now-25h}</body></message>
the operator runs: user add 'a b'
    secret
the operator reads:
    user|add|a b
    {...}
    sec{any}
the operator cannot run: fail
    no such {any}
`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := playText(t, text, newToy(t), Patience); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestScriptsThatFail plays scripts that the toy server does not satisfy.
func TestScriptsThatFail(t *testing.T) {
	for name, c := range map[string]struct{ quirk, script, says string }{
		"another text":               {"", hello + "juliet receives:\n    <message {...}><body>ho</body></message>\n", `expected text "ho", got "hi"`},
		"a missing child":            {"", hello + "juliet receives:\n    <message {...}><body>hi</body><x xmlns='y'/></message>\n", "missing"},
		"an unexpected child":        {"", hello + "juliet receives:\n    <message {...}/>\n", "not expected"},
		"an attribute more":          {"", hello + "juliet receives:\n    <message to='juliet@example.com'><body>hi</body></message>\n", "from='romeo@example.com/x' was not expected"},
		"an attribute less":          {"", hello + "juliet receives:\n    <message id='a' {...}><body>hi</body></message>\n", "attribute id='a' is missing"},
		"no silence":                 {"", hello + "juliet hears nothing\n", "juliet heard"},
		"left over":                  {"", hello, "at the end: juliet heard"},
		"left over at disconnecting": {"", hello + "romeo sends:\n    <enable xmlns='urn:xmpp:sm:3'/>\nromeo receives:\n    <enabled {...} xmlns='urn:xmpp:sm:3'/>\nromeo hears nothing\njuliet disconnects\n", "before the end of the stream came"},
		"a second copy":              {"twice", hello + "juliet receives:\n    <message {...}><body>hi</body></message>\n", "at the end: juliet heard"},
		"not in any order":           {"twice", hello + "juliet receives in any order:\n    <message {...}><body>hi</body></message>\n    <message {...}><body>ho</body></message>\n", "but not, in any order"},
		"the wrong order": {"", "romeo sends:\n    <message to='{juliet}'><body>1</body></message>\n    <message to='{juliet}'><body>2</body></message>\n" +
			"juliet receives:\n    <message {...}><body>2</body></message>\n    <message {...}><body>1</body></message>\n", `expected text "2", got "1"`},
		"not offered":          {"", "nurse secures the stream\nnurse is offered:\n    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\n", "but not"},
		"offered":              {"", "nurse secures the stream\nnurse is not offered:\n    <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{...}</mechanisms>\n", "offered is"},
		"unknown variable":     {"", "romeo sends:\n    <message to='{nurse}'/>\n", "nothing is known as {nurse}"},
		"not well-formed":      {"", "romeo sends:\n    <message>\n", "not well-formed"},
		"a good TLS":           {"", "nurse opens a connection\nnurse opens a stream\nnurse is offered:\n    <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>{...}</starttls>\nnurse sends:\n    <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nnurse receives:\n    <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\nnurse is refused TLS 1.2\n", "was a success"},
		"a failed login":       {"", "nurse connects with PLAIN\n", "not-authorized"},
		"operator in vain":     {"", "the operator runs: fail\n", "no such user"},
		"operator not in vain": {"", "the operator cannot run: user\n", "that was a success"},
		"another error":        {"", "the operator cannot run: fail\n    disk full\n", "no such user"},
		"other output":         {"", "the operator runs: user\nthe operator reads:\n    group\n", "printed was"},
		"an old stamp":         {"", "romeo sends:\n    <message to='{juliet}'><body>{now-2h}</body></message>\njuliet receives:\n    <message {...}><body>{now}</body></message>\n", "expected text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails(t, playText(t, cast+c.script, newToy(t, c.quirk), Patience), c.says)
		})
	}
}

// TestScriptsThatWaitInVain plays scripts in which what has to come does not.
func TestScriptsThatWaitInVain(t *testing.T) {
	for script, says := range map[string]string{
		"juliet receives:\n    <message/>\n": "nothing came within",
		"romeo is disconnected\n":            "did not end the connection",
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			fails(t, playText(t, cast+script, newToy(t), 3*time.Second), says)
		})
	}
}

func fails(t *testing.T, err error, says string) {
	t.Helper()
	switch {
	case err == nil:
		t.Error("the script held")
	case !strings.Contains(err.Error(), says):
		t.Errorf("the failure does not say %q:\n%v", says, err)
	case !strings.HasPrefix(err.Error(), "test.txt:"):
		t.Errorf("the failure does not begin with its place:\n%v", err)
	}
}

// TestRun plays the scripts of a folder.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "chat"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := cast + hello + "juliet receives:\n    <message {...}><body>hi</body></message>\n"
	if err := os.WriteFile(filepath.Join(dir, "chat", "one message.txt"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	started := make(chan Scene, 1)
	t.Run("all", func(t *testing.T) {
		Run(t, dir, func(t testing.TB, s Scene) Server {
			started <- s
			return newToy(t)
		})
	})
	if s := <-started; len(s.Domains) != 1 || len(s.Domains[0].Users) != 2 {
		t.Errorf("the server was started for %+v", s)
	}
}

func playText(t *testing.T, text string, server Server, patience time.Duration) error {
	t.Helper()
	s, err := parseScript("test.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	return newPlay(s, server, patience).run()
}
