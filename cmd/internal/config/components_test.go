package config

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func componentField(t *testing.T, l *Loaded) Field {
	t.Helper()
	for _, f := range Fields(l.Settings) {
		if f.Name == "components.accept" {
			return f
		}
	}
	t.Fatal("no components.accept")
	return Field{}
}

// A list of tables reads from the file in either form, and from the environment.
func TestComponents(t *testing.T) {
	const inline = `[{name = "IRC.example.com", secret = "not to be seen"}, {name = "push.net.example", secret = "another secret", domain = "example.org"}]`
	for name, load := range map[string]func() *Loaded{
		"inline": func() *Loaded {
			return load(t, "domains = ['example.com', 'example.org']\n[components]\naccept = "+inline, Source{})
		},
		"tables": func() *Loaded {
			return load(t, "domains = ['example.com', 'example.org']\n[[components.accept]]\nname = 'irc.example.com'\nsecret = 'not to be seen'\n"+
				"[[components.accept]]\nname = 'push.net.example'\nsecret = 'another secret'\ndomain = 'example.org'\n", Source{})
		},
		"environment": func() *Loaded {
			return load(t, "domains = ['example.com', 'example.org']", Source{Env: []string{"CONFAB_COMPONENTS_ACCEPT=" + inline}})
		},
	} {
		l := load()
		want := []Component{{"irc.example.com", "not to be seen", "example.com"}, {"push.net.example", "another secret", "example.org"}}
		if got := l.Components.Accept; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %d components, %v", name, len(got), got)
		}
		if l.Origin["components.accept"] == "" {
			t.Errorf("%s: nobody knows where components.accept comes from", name)
		}
		f := componentField(t, l)
		shown, err := json.Marshal(f.Any())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(shown), f.Shown()} {
			if strings.Contains(text, "seen") || strings.Contains(text, "another") || !strings.Contains(text, "irc.example.com") {
				t.Errorf("%s: shown is %s", name, text)
			}
		}
		var sample bytes.Buffer
		if err := WriteSample(&sample, l.Settings); err != nil {
			t.Fatal(err)
		}
		if again := loadText(t, sample.String()); len(again.Components.Accept) != 2 || again.Components.Accept[1] != want[1] {
			t.Errorf("%s: the written file reads as %d components", name, len(again.Components.Accept))
		}
	}
}

func loadText(t *testing.T, text string) *Loaded {
	t.Helper()
	return load(t, text, Source{})
}

func TestBadComponents(t *testing.T) {
	for accept, want := range map[string]string{
		`[{name = "example.com", secret = "0123456789ab"}]`:                                                      "is a mail domain",
		`[{name = "a@b", secret = "0123456789ab"}]`:                                                              "is no domain",
		`[{name = "x.example.com", secret = "short"}]`:                                                           "too short",
		`[{name = "x.other.example", secret = "0123456789ab"}]`:                                                  "to which mail domain",
		`[{name = "x.example.com", secret = "0123456789ab", domain = "net.example"}]`:                            "none of the domains",
		`[{name = "x.example.com", secret = "0123456789ab"}, {name = "X.example.com", secret = "0123456789ab"}]`: "twice",
		`[{name = "x.example.com", secret = "0123456789ab", port = 1}]`:                                          "has no port",
		`x.example.com`: "not a list of tables",
	} {
		_, err := write(t, "domains = ['example.com', 'example.org']", Source{Flags: map[string]string{"components-accept": accept}}).Load()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", accept, err)
		}
		if err != nil && strings.Contains(err.Error(), "0123456789ab") {
			t.Errorf("%s: the error shows the secret: %v", accept, err)
		}
	}
	_, err := write(t, "domains = ['example.com']\n[listen]\ncomponent = []\n", Source{Flags: map[string]string{"components-accept": `[{name = "x.example.com", secret = "0123456789ab"}]`}}).Load()
	if err == nil || !strings.Contains(err.Error(), "listen.component") {
		t.Errorf("no listener: %v", err)
	}
}

// Whoever lets components come from elsewhere is told that they speak without TLS.
func TestComponentsFromElsewhere(t *testing.T) {
	const accept = `[{name = "x.example.com", secret = "0123456789ab"}]`
	for address, warns := range map[string]bool{"127.0.0.1:5347": false, "[::1]:5347": false, "localhost:5347": false, ":5347": true, "192.0.2.1:5347": true} {
		l := load(t, "domains = ['example.com']", Source{Flags: map[string]string{"components-accept": accept, "listen-component": address}})
		if got := strings.Contains(strings.Join(l.Warnings, ""), "listen.component"); got != warns {
			t.Errorf("%s: %v, %q", address, got, l.Warnings)
		}
	}
}
