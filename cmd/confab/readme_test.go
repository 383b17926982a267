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
	"confab/xmpp"
)

var update = flag.Bool("update", false, "write the generated parts of the README anew")

func specifications(t *testing.T) []server.Specification {
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
	return s.Specifications()
}

// table is the support table of the README.
func table(t *testing.T, list []server.Specification) string {
	var b strings.Builder
	b.WriteString("| XEP | | version | support | |\n|---|---|---|---|---|\n")
	code := strings.NewReplacer("<", "`<", ">", ">`")
	for _, x := range list {
		if x.Title == "" {
			t.Errorf("XEP-%04d has no title in server/specifications.go", x.Number)
		}
		fmt.Fprintf(&b, "| [%04d](https://xmpp.org/extensions/xep-%04d.html) | %s | %s | %s | %s |\n", x.Number, x.Number, x.Title, x.Version, x.Status, code.Replace(x.Note))
	}
	return b.String()
}

// figures is the list of what is counted and measured.
func figures() string {
	var b strings.Builder
	b.WriteString("| figure | meaning |\n|---|---|\n")
	list := server.Figures()
	for i := range list {
		fmt.Fprintf(&b, "| `%s` | %s |\n", list[i].FullName(), list[i].Help)
	}
	for _, h := range server.Histograms() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", h.Name, h.Help)
	}
	return b.String()
}

// doap is the same for machines: the format by which xmpp.org lists what
// software supports (XEP-0453).
func doap(list []server.Specification) string {
	var b strings.Builder
	b.WriteString(`<?xml version='1.0' encoding='UTF-8'?>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://usefulinc.com/ns/doap#' xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>
  <Project>
    <name>confab</name>
    <shortdesc xml:lang='en'>An XMPP server for a mail domain</shortdesc>
    <programming-language>Go</programming-language>
    <category rdf:resource='https://linkmauve.fr/ns/xmpp-doap#category-server'/>
    <implements rdf:resource='https://xmpp.org/rfcs/rfc6120.html'/>
    <implements rdf:resource='https://xmpp.org/rfcs/rfc6121.html'/>
    <implements rdf:resource='https://xmpp.org/rfcs/rfc7395.html'/>
    <implements rdf:resource='https://xmpp.org/rfcs/rfc7590.html'/>
    <implements rdf:resource='https://xmpp.org/rfcs/rfc7622.html'/>
`)
	for _, x := range list {
		fmt.Fprintf(&b, "    <implements><xmpp:SupportedXep><xmpp:xep rdf:resource='https://xmpp.org/extensions/xep-%04d.html'/><xmpp:status>%s</xmpp:status><xmpp:version>%s</xmpp:version>", x.Number, x.Status, x.Version)
		if x.Note != "" {
			b.WriteString("<xmpp:note>" + string(xmpp.AppendText(nil, x.Note)) + "</xmpp:note>")
		}
		b.WriteString("</xmpp:SupportedXep></implements>\n")
	}
	b.WriteString("  </Project>\n</rdf:RDF>\n")
	return b.String()
}

// TestDOAP holds the list for machines against the code.
func TestDOAP(t *testing.T) {
	const file = "../../.doap.xml"
	want := doap(specifications(t))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%v: %s is not up to date; go test ./cmd/confab -run DOAP -update writes it", err, file)
	}
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
	for name, want := range map[string]string{"settings": settings.String(), "figures": figures(), "specifications": table(t, specifications(t))} {
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
