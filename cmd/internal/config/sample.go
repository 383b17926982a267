package config

import (
	"fmt"
	"io"
	"strings"
)

// width is that of the sample's comments.
const width = 78

// WriteSample writes a settings file that explains itself. What s has from the
// defaults is commented out, so that it follows them when they change; what
// differs is set.
func WriteSample(w io.Writer, s *Settings) error {
	var b strings.Builder
	comment(&b, "Settings of confab. A line that starts with # shows the default. Each setting can also be given in the environment or as a flag, which win over this file: listen.starttls is "+EnvPrefix+"LISTEN_STARTTLS and --listen-starttls. Times look like 30s, 10m or 30d, sizes like 256KiB.")
	comment(&b, "'confab config check' examines the file. Settings marked (reload) can be changed while confab runs: 'confab reload', or SIGHUP. The others take effect at the next start.")
	defaults := Sections(Default())
	for i, section := range Sections(s) {
		b.WriteByte('\n')
		if section.Name != "" {
			comment(&b, section.Doc)
			fmt.Fprintf(&b, "[%s]\n\n", section.Name)
		}
		for j, f := range section.Fields {
			if j > 0 {
				b.WriteByte('\n')
			}
			doc := f.Doc
			if f.Live {
				doc += " (reload)"
			}
			comment(&b, doc)
			if f.Name == "data" || f.Text() == defaults[i].Fields[j].Text() {
				b.WriteByte('#')
			}
			fmt.Fprintf(&b, "%s = %s\n", f.Key(), f.TOML())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// comment writes a text as comment lines.
func comment(b *strings.Builder, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// WriteReference writes the settings as tables in Markdown, for the README.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	for i, section := range Sections(Default()) {
		if i > 0 {
			fmt.Fprintf(&b, "\n**`[%s]`** %s\n\n", section.Name, section.Doc)
		}
		b.WriteString("| setting | default | meaning |\n|---|---|---|\n")
		for _, f := range section.Fields {
			doc := f.Doc
			if f.Live {
				doc += " *(reload)*"
			}
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", f.Key(), f.TOML(), strings.ReplaceAll(doc, "|", `\|`))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
