package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
)

func (a *app) aliasImport() *cobra.Command {
	var p admin.AliasImportParams
	var format string
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Add many aliases from a Postfix or CSV file",
		Long: `Add many aliases from a file, or from standard input if FILE is -.

postfix  an alias file (name: address, address) or a virtual alias file (address  address,
         address), with comments and continuation lines. Entries may be users, other aliases
         of the file, and mail addresses elsewhere, which have no chat. Files and commands
         (/var/mail/x, |program) are left out; :include: is refused.
csv      a first line names the columns: address, name, members, moderators, kind, settings,
         description. Members and moderators are separated by blanks or semicolons, settings
         are written as post=members. 'confab alias export' writes such a file.

If one alias cannot be imported, nothing is; --dry-run tells what would happen and which names
clash, --skip leaves out what cannot be imported.

With --update, aliases that exist already become what the file says: they have its members and
no others. What the file does not tell stays: cells that are empty, columns that are missing,
and who moderates if the file has no moderators.`,
		Example: `  confab alias import /etc/aliases --dry-run
  confab alias import /etc/postfix/virtual --update --skip`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := a.readFile(args[0])
			if err != nil {
				return err
			}
			if p.Aliases, err = parseAliases(args[0], format, text); err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			to := admin.Receiver[admin.AliasLine]{Progress: a.progress("importing"), Item: func(l admin.AliasLine) error {
				switch {
				case a.json:
					return a.printJSON(l)
				case p.DryRun && l.Action != admin.ActionKeep || l.Action == admin.ActionRefuse || len(l.Notes) > 0:
					row(w, fmt.Sprintf("line %d", l.Line), plain(l.Address), l.Action, plain(strings.Join(l.Notes, "; ")))
				}
				return nil
			}}
			n, err := perform(a, c, admin.AliasImport, p, to)
			if err := errors.Join(w.Flush(), err); err != nil {
				return err
			}
			switch {
			case a.json:
				return a.printJSON(n)
			case p.DryRun:
				a.note("nothing was changed; aliases that would be added: %d, changed: %d, as they are: %d, refused: %d", n.Added, n.Updated, n.Kept, n.Refused)
			default:
				a.note("aliases added: %d, changed: %d, as they were: %d, left out: %d", n.Added, n.Updated, n.Kept, n.Refused)
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "", "`postfix|csv`; default: csv if the file is called so, else postfix")
	c.Flags().BoolVar(&p.DryRun, "dry-run", false, "only say what would happen")
	c.Flags().BoolVar(&p.Update, "update", false, "change aliases that exist already into what the file says")
	c.Flags().BoolVar(&p.Skip, "skip", false, "leave out what cannot be imported")
	return a.jsonFlag(c)
}

// parseAliases reads a file of aliases.
func parseAliases(file, format string, text []byte) ([]admin.ImportAlias, error) {
	if format == "" {
		if format = "postfix"; strings.EqualFold(filepath.Ext(file), ".csv") {
			format = "csv"
		}
	}
	if err := checkText(file, text); err != nil {
		return nil, err
	}
	var list []admin.ImportAlias
	var err error
	switch format {
	case "postfix":
		list = parsePostfix(string(text))
	case "csv":
		list, err = parseAliasCSV(file, string(text))
	default:
		return nil, usagef("--format is postfix or csv, not %q", format)
	}
	if err == nil && len(list) == 0 {
		err = usagef("%s: there are no aliases in it", file)
	}
	return list, err
}

// parsePostfix reads an alias file (aliases(5)) or a virtual alias file (virtual(5)); lines of both kinds may be mixed.
func parsePostfix(text string) []admin.ImportAlias {
	var list []admin.ImportAlias
	for _, l := range logicalLines(text) {
		if a, ok := parsePostfixLine(l.text); ok {
			a.Line = l.number
			list = append(list, a)
		}
	}
	return list
}

type logicalLine struct {
	number int
	text   string
}

// logicalLines joins continuation lines, which begin with white space, and leaves out comments and empty lines: these may
// stand in between.
func logicalLines(text string) []logicalLine {
	text = strings.TrimPrefix(text, "\ufeff")
	var lines []logicalLine
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n \t")
		trimmed := strings.TrimLeft(line, " \t")
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case trimmed != line && len(lines) > 0:
			lines[len(lines)-1].text += " " + trimmed
		default:
			lines = append(lines, logicalLine{number, trimmed})
		}
	}
	return lines
}

// parsePostfixLine reads the name and the targets of an alias. Not ok: the line only names a virtual domain.
func parsePostfixLine(line string) (a admin.ImportAlias, ok bool) {
	name, rest := word(line, ": \t")
	rest = strings.TrimLeft(rest, " \t")
	if after, colon := strings.CutPrefix(rest, ":"); colon {
		rest = after
	} else if !strings.Contains(name, "@") && strings.Contains(name, ".") && !strings.ContainsAny(rest, "@,") {
		return a, false // virtual(5): "example.com anything"
	}
	a.Address, a.Members = name, []string{}
	switch {
	case name == "":
		a.Problem = "there is no name before the targets"
	case strings.HasPrefix(name, "@"):
		a.Problem = name + " catches the mail of a whole domain; 'confab alias create NAME --all-users' makes an alias of everybody"
	}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return a, true
		}
		stop := ", \t"
		if rest[0] == '|' {
			stop = ","
		}
		var target string
		target, rest = word(rest, stop)
		addTarget(&a, target)
	}
}

// word takes what comes before any of the characters stop off a text; quotes protect them.
func word(s, stop string) (word, rest string) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(stop, c) >= 0:
			return b.String(), s[i:]
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// addTarget adds what a line of Postfix names after the alias.
func addTarget(a *admin.ImportAlias, target string) {
	target = strings.TrimSpace(target)
	if inner, ok := strings.CutPrefix(target, "<"); ok {
		target = strings.TrimSuffix(inner, ">")
	}
	target = strings.TrimPrefix(target, "\\") // "\alice": alice, without her own aliases
	switch {
	case target == "":
	case strings.HasPrefix(strings.ToLower(target), ":include:"):
		a.Problem = target + " is not read: put the addresses of that file here, or make them an alias of their own"
	case strings.HasPrefix(target, "/"):
		a.Notes = append(a.Notes, "left out, a file: "+target)
	case strings.HasPrefix(target, "|"):
		a.Notes = append(a.Notes, "left out, a program: "+target)
	case !slices.Contains(a.Members, target):
		a.Members = append(a.Members, target)
	}
}

// aliasColumns are the columns of a CSV file, in the order in which they are written.
var aliasColumns = []string{"address", "name", "kind", "members", "moderators", "settings", "description"}

// parseAliasCSV reads a CSV file of aliases.
func parseAliasCSV(file, text string) ([]admin.ImportAlias, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	records, err := r.ReadAll()
	if err != nil {
		return nil, usagef("%s: %v", file, err)
	}
	if len(records) == 0 {
		return nil, nil
	}
	order := make([]string, len(records[0]))
	for i, cell := range records[0] {
		order[i] = strings.ToLower(strings.TrimSpace(cell))
		if order[i] == "alias" {
			order[i] = "address"
		}
		if !slices.Contains(aliasColumns, order[i]) {
			return nil, usagef("%s:1: the first line names the columns; there is no column %q, only %s", file, cell, strings.Join(aliasColumns, ", "))
		}
		if slices.Contains(order[:i], order[i]) {
			return nil, usagef("%s:1: the column %s is there twice", file, order[i])
		}
	}
	if !slices.Contains(order, "address") {
		return nil, usagef("%s:1: there is no column address", file)
	}
	var list []admin.ImportAlias
	for i, record := range records[1:] {
		a := admin.ImportAlias{Line: i + 2}
		if len(record) > len(order) {
			a.Problem = fmt.Sprintf("there are %d cells for %d columns", len(record), len(order))
		}
		for j := range min(len(record), len(order)) {
			setCell(&a, order[j], strings.TrimSpace(record[j]))
		}
		list = append(list, a)
	}
	return list, nil
}

const everyoneWord = "all-users"

func setCell(a *admin.ImportAlias, column, cell string) {
	words := strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune("; \t\r\n,", r) })
	switch column {
	case "address":
		if a.Address = cell; strings.ContainsAny(cell, " \t") && cell[0] != '"' {
			a.Problem = "there is a blank in the address: is it a name?"
		}
	case "name":
		a.Name = cell
	case "description":
		a.Description = cell
	case "members":
		a.Members = []string{}
		for _, w := range words {
			if w == everyoneWord {
				a.Everyone = true
			} else {
				a.Members = append(a.Members, w)
			}
		}
	case "moderators":
		a.Moderators = append([]string{}, words...)
	case "kind":
		switch strings.ToLower(cell) {
		case "", "contact":
		case "room":
			a.Room = true
		default:
			a.Problem = fmt.Sprintf("the kind is contact or room, not %q", cell)
		}
	case "settings":
		for _, w := range words {
			k, v, ok := strings.Cut(w, "=")
			if !ok {
				a.Problem = fmt.Sprintf("a setting is written as post=members, not %q", w)
				return
			}
			if a.Settings == nil {
				a.Settings = map[string]string{}
			}
			a.Settings[k] = v
		}
	}
}

func (a *app) aliasExport() *cobra.Command {
	var p admin.AliasListParams
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the aliases as CSV, or with --json as JSON lines",
		Long:  "Write the aliases as CSV that 'confab alias import' reads, or with --json as JSON lines.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := csv.NewWriter(a.out)
			if !a.json {
				if err := w.Write(aliasColumns); err != nil {
					return err
				}
			}
			_, err := perform(a, c, admin.AliasList, p, admin.Receiver[admin.Alias]{Item: func(v admin.Alias) error {
				if a.json {
					return a.printJSON(v)
				}
				return w.Write(aliasRecord(v))
			}})
			w.Flush()
			return errors.Join(err, w.Error())
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "only of this `domain`")
	return a.jsonFlag(c)
}

func aliasRecord(v admin.Alias) []string {
	var members, moderators, set []string
	if v.Everyone {
		members = append(members, everyoneWord)
	}
	for _, m := range v.Members {
		if m.Moderator {
			moderators = append(moderators, m.Address)
		} else {
			members = append(members, m.Address)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(v.Settings)) {
		set = append(set, k+"="+v.Settings[k])
	}
	return []string{
		v.Address, v.Name, v.Kind, strings.Join(members, " "), strings.Join(moderators, " "), strings.Join(set, " "), v.Description,
	}
}
