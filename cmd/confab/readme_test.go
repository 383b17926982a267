package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"confab/cmd/internal/config"
	"confab/cmd/internal/server"
)

var update = flag.Bool("update", false, "write the generated parts of the README anew")

// titles are the names of the specifications in the README.
var titles = map[int]string{
	4: "Data Forms", 12: "Last Activity", 30: "Service Discovery", 33: "Extended Stanza Addressing", 45: "Multi-User Chat", 48: "Bookmark Storage", 54: "vcard-temp",
	59: "Result Set Management", 60: "Publish-Subscribe", 84: "User Avatar", 92: "Software Version", 106: "JID Escaping", 115: "Entity Capabilities", 153: "vCard-Based Avatars",
	160: "Offline Messages", 163: "Personal Eventing", 172: "User Nickname", 191: "Blocking", 198: "Stream Management", 199: "Ping",
	202: "Entity Time", 203: "Delayed Delivery", 222: "Public Data by PubSub", 223: "Private Data by PubSub", 249: "Direct Invitations", 280: "Message Carbons", 292: "vCard4", 297: "Stanza Forwarding",
	313: "Message Archive Management", 334: "Processing Hints", 352: "Client State Indication", 359: "Stanza IDs",
	368: "Direct TLS", 377: "Spam Reporting", 384: "OMEMO", 398: "Avatar Conversion", 402: "Bookmarks", 410: "Self-Ping", 421: "Occupant IDs", 424: "Retraction", 425: "Moderation",
	440: "Channel Binding Types", 441: "Archive Preferences", 474: "SCRAM Downgrade Protection", 490: "Displayed Synchronization", 506: "No Reply",
}

func specifications(t *testing.T) string {
	t.Helper()
	c := initialized(t)
	l, err := config.Source{Env: c.env}.Load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Offline(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b strings.Builder
	b.WriteString("| XEP | | version | support | |\n|---|---|---|---|---|\n")
	code := strings.NewReplacer("<", "`<", ">", ">`")
	for _, x := range s.Specifications() {
		if titles[x.Number] == "" {
			t.Errorf("XEP-%04d has no title in titles", x.Number)
		}
		fmt.Fprintf(&b, "| [%04d](https://xmpp.org/extensions/xep-%04d.html) | %s | %s | %s | %s |\n", x.Number, x.Number, titles[x.Number], x.Version, x.Status, code.Replace(x.Note))
	}
	return b.String()
}

// The README is true: its tables are made from the code, and every command is
// in it.
func TestReadme(t *testing.T) {
	const file = "../../README.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var settings bytes.Buffer
	if err := config.WriteReference(&settings); err != nil {
		t.Fatal(err)
	}
	readme := string(text)
	for name, want := range map[string]string{"settings": settings.String(), "specifications": specifications(t)} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
		head, rest, ok := strings.Cut(readme, begin)
		got, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("no marks around the %s", name)
		}
		if got != want {
			readme = head + begin + want + end + tail
			if !*update {
				t.Errorf("the %s are not up to date; go test ./cmd/confab -run Readme -update writes them", name)
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(readme), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	_, commands, _ := strings.Cut(readme, "\n## Commands\n")
	commands, _, _ = strings.Cut(commands, "\n## ")
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		if !strings.Contains(commands, c.Name()) {
			t.Errorf("%s is not in the README", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&app{}).root())
}
