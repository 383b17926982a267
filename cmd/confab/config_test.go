package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestUsageErrors(t *testing.T) {
	c := newCLI(t)
	for _, test := range []struct {
		want string
		args []string
	}{
		{"there is no command 'confab srve'; 'confab --help' shows all; do you mean 'serve'?", []string{"srve"}},
		{"'confab user' needs one of: add, ", []string{"user"}},
		{"there is no command 'confab user ad'", []string{"user", "ad"}},
		{"unknown flag: --port; 'confab serve --help' shows all flags", []string{"serve", "--port", "1"}},
		{"an argument is missing; write 'confab user show USER [flags]', as 'confab user show --help' explains", []string{"user", "show"}},
		{"these arguments do not fit: alice, Alice, Archer; write 'confab user add USER", []string{"user", "add", "alice", "Alice", "Archer"}},
		{"these arguments do not fit: x; write 'confab status", []string{"status", "x"}},
		{"if any flags in the group [purge keep-history]", []string{"user", "delete", "alice", "--purge", "--keep-history"}},
		{"log.level", []string{"serve", "--log-level", "loud"}},
	} {
		c.fails(exitUsage, test.want, test.args...)
	}
}

func TestConfigShow(t *testing.T) {
	c := newCLI(t)
	got := c.ok("", "config", "show", "--log-level", "debug")
	for _, want := range []string{`domains = ["example.com"]`, "# CONFAB_DOMAINS", `log.level = "debug"`, "# --log-level", "# default"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

func TestConfigDNS(t *testing.T) {
	c := newCLI(t)
	c.env = []string{"CONFAB_DATA=" + c.dir, "CONFAB_DOMAINS=example.com,bücher.example"}
	want := `_xmpps-client._tcp.example.com. 3600 IN SRV 5 0 5223 chat.example.com.
_xmpp-client._tcp.example.com. 3600 IN SRV 10 0 5222 chat.example.com.
_xmpps-client._tcp.xn--bcher-kva.example. 3600 IN SRV 5 0 5223 chat.example.com.
_xmpp-client._tcp.xn--bcher-kva.example. 3600 IN SRV 10 0 5222 chat.example.com.
`
	if got := c.ok("", "config", "dns", "--host", "chat.example.com"); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := c.ok("", "config", "dns", "--domains", "example.org", "--listen-tls", "off"); got != "_xmpp-client._tcp.example.org. 3600 IN SRV 10 0 5222 example.org.\n" {
		t.Errorf("got\n%s", got)
	}
}

func TestConfigHostMeta(t *testing.T) {
	c := newCLI(t)
	c.env = []string{"CONFAB_DATA=" + c.dir, "CONFAB_DOMAINS=example.com,bücher.example"}
	got := c.ok("", "config", "host-meta")
	for _, want := range []string{
		"# https://xn--bcher-kva.example/.well-known/host-meta.json ",
		"  <Link rel='urn:xmpp:alt-connections:websocket' href='wss://example.com:5443/xmpp-websocket'/>\n",
		`"href": "https://xn--bcher-kva.example:5443/http-bind"`,
		"proxy_pass https://example.com:5443;",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	got = c.ok("", "config", "host-meta", "--web-url", "https://chat.example.com")
	if strings.Count(got, "wss://chat.example.com/xmpp-websocket") != 2 || !strings.Contains(got, "# https://xn--bcher-kva.example/.well-known/host-meta ") {
		t.Errorf("got\n%s", got)
	}
	if r := c.run("", "config", "host-meta", "--listen-https", "off"); r.code == exitOK || !strings.Contains(r.err, "listen.https") {
		t.Errorf("%+v", r)
	}
}

func TestConfigCheck(t *testing.T) {
	c := initialized(t)
	r := c.run("", "config", "check")
	if r.code != exitOK || !strings.Contains(r.err, "self-signed") {
		t.Errorf("%+v", r)
	}
	c.fails(exitUsage, "listen.tls: ", "config", "check", "--listen-tls", "192.0.2.1:5223")
	c.fails(exitUsage, "none.pem", "config", "check", "--tls-certificate", "none.pem")
	c.fails(exitUsage, "conference.example.com is an address of confab itself", "config", "check",
		"--components-accept", "[{name='conference.example.com', secret='as-long-as-it-has-to-be'}]")
	if r := c.run("", "config", "check", "--domains", "example.com,conference.example.com"); r.code != exitOK || !strings.Contains(r.err, "conference.example.com has the address of a service of example.com") {
		t.Errorf("a domain in the place of a service: %+v", r)
	}
	if r := newCLI(t).run("", "config", "check"); r.code != exitOK {
		t.Errorf("before the first start: %+v", r)
	}
}

// What keeps a server from starting, check tells: here a folder in which nothing can be made, though all may write to it.
func TestConfigCheckOfTheDataFolder(t *testing.T) {
	settings := newCLI(t).file("confab.toml", "domains = ['example.com']\n")
	for _, folder := range []string{settings, filepath.Join(settings, "below"), "/proc/confab"} {
		c := newCLI(t)
		c.fails(exitUsage, "data: nothing can be written to ", "config", "check", "--data", folder, "--config", settings)
		c.fails(exitFailed, "", "serve", "--data", folder, "--config", settings)
	}
}

// Every command explains itself, and has a page.
func TestHelpAndManualPages(t *testing.T) {
	c := newCLI(t)
	dir := c.TempDir()
	c.ok("", "man", dir)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no help", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Long+"\n"+cmd.Example, "\n") {
			if len(line) > 100 {
				t.Errorf("%s: a line of %d characters", cmd.CommandPath(), len(line))
			}
		}
		if !cmd.Hidden && cmd.Name() != "help" {
			page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
			if err != nil || !strings.HasPrefix(string(page), ".TH CONFAB") {
				t.Errorf("%s: %v, %.80q", cmd.CommandPath(), err, page)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit((&app{}).root())
	if got := c.ok("", "--help"); !strings.Contains(got, "Exit codes:") {
		t.Errorf("got %s", got)
	}
	if got := c.ok("", "completion", "bash"); !strings.Contains(got, "confab") {
		t.Errorf("got %s", got)
	}
}

func TestVersion(t *testing.T) {
	c := newCLI(t)
	if got := c.ok("", "version"); !strings.HasPrefix(got, "confab ") || !strings.Contains(got, "built with go") {
		t.Errorf("got %s", got)
	}
}

// What somebody wrote in a message does nothing on the administrator's terminal.
func TestPlain(t *testing.T) {
	if got := plain("a\x1b[2J\u009b\r\nb\tc"); got != "a\ufffd[2J\ufffd\ufffd\nb\tc" {
		t.Errorf("got %q", got)
	}
}

func TestSettingsFileThatIsNamedHasToBeThere(t *testing.T) {
	c := newCLI(t)
	c.fails(exitUsage, "there is no settings file", "--config", filepath.Join(c.dir, "none.toml"), "user", "list")
}

// Whoever reads the help of a command that takes arguments sees one that works:
// with the flags that there are.
func TestExamples(t *testing.T) {
	root := (&app{}).root()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Hidden || !c.HasParent() {
			return
		}
		if strings.Contains(c.Use, " ") && !strings.Contains(c.Example, c.CommandPath()+" ") {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, word := range strings.Fields(c.Example) {
			name, isFlag := strings.CutPrefix(word, "--")
			name, _, _ = strings.Cut(name, "=")
			if isFlag && c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil {
				t.Errorf("%s: an example has %s", c.CommandPath(), word)
			}
		}
	}
	walk(root)
}
