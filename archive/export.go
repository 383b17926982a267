package archive

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Format is a way to write messages down for people and other programs.
type Format string

const (
	Text Format = "text"
	JSON Format = "json" // a JSON object a line
	CSV  Format = "csv"
)

// Exporter writes entries in a format.
type Exporter struct {
	format Format
	out    *bufio.Writer
	csv    *csv.Writer
}

// exported is an entry as JSON has it. Fields are only ever added.
type exported struct {
	ID        string     `json:"id"`
	Time      time.Time  `json:"time"`
	From      string     `json:"from"`
	To        string     `json:"to"`
	Type      string     `json:"type,omitempty"`
	Subject   string     `json:"subject,omitempty"`
	Body      string     `json:"body,omitempty"`
	Encrypted bool       `json:"encrypted,omitempty"`
	Retracted *time.Time `json:"retracted,omitempty"`
	By        string     `json:"retracted_by,omitempty"`
	Stanza    string     `json:"stanza"`
}

var csvHead = []string{"id", "time", "from", "to", "type", "subject", "body", "encrypted", "retracted", "retracted_by"}

// NewExporter begins an export to w.
func NewExporter(w io.Writer, f Format) (*Exporter, error) {
	x := &Exporter{format: f, out: bufio.NewWriter(w)}
	switch f {
	case Text, JSON:
	case CSV:
		x.csv = csv.NewWriter(x.out)
		if err := x.csv.Write(csvHead); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("there is no format %q; there are text, json and csv", f)
	}
	return x, nil
}

// Write writes an entry.
func (x *Exporter) Write(e *Entry) error {
	switch x.format {
	case JSON:
		return x.writeJSON(e)
	case CSV:
		return x.writeCSV(e)
	}
	return x.writeText(e)
}

// Close ends the export; the writer below stays open.
func (x *Exporter) Close() error {
	if x.csv != nil {
		x.csv.Flush()
		if err := x.csv.Error(); err != nil {
			return err
		}
	}
	return x.out.Flush()
}

func (x *Exporter) writeJSON(e *Entry) error {
	v := exported{ID: FormatID(e.ID), Time: e.Time, From: e.From.String(), To: e.To.String(), Type: e.Type.String(),
		Subject: e.Subject, Body: e.Body, Encrypted: e.Flags&Encrypted != 0, Stanza: string(e.Stanza)}
	if t := e.Retracted; t != nil {
		at := IDTime(t.ID)
		v.Retracted, v.By = &at, t.By.String()
	}
	enc := json.NewEncoder(x.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (x *Exporter) writeCSV(e *Entry) error {
	row := []string{FormatID(e.ID), e.Time.Format(time.RFC3339Nano), e.From.String(), e.To.String(), e.Type.String(),
		harmless(e.Subject), harmless(e.Body), fmt.Sprint(e.Flags&Encrypted != 0), "", ""}
	if t := e.Retracted; t != nil {
		row[8], row[9] = IDTime(t.ID).Format(time.RFC3339Nano), t.By.String()
	}
	return x.csv.Write(row)
}

// harmless keeps a spreadsheet from taking what somebody wrote for a formula.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (x *Exporter) writeText(e *Entry) error {
	fmt.Fprintf(x.out, "%s  %s → %s", e.Time.Format("2006-01-02 15:04:05Z"), printable(e.From.String()), printable(e.To.String()))
	if e.Retracted != nil {
		fmt.Fprintf(x.out, "  [retracted %s]", IDTime(e.Retracted.ID).Format("2006-01-02 15:04:05Z"))
	}
	if e.Flags&Encrypted != 0 {
		x.out.WriteString("  [encrypted]")
	}
	if e.Subject != "" {
		x.out.WriteString("\n    Subject: " + indented(e.Subject))
	}
	if e.Body != "" {
		x.out.WriteString("\n    " + indented(e.Body))
	}
	_, err := x.out.WriteString("\n")
	return err
}

func indented(s string) string { return strings.ReplaceAll(printable(s), "\n", "\n    ") }

// printable takes out what would move the cursor of a terminal or turn the direction of writing.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '�'
		}
		return r
	}, s)
}
