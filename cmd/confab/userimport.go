package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
)

func (a *app) userImport() *cobra.Command {
	var p admin.UserImportParams
	c := &cobra.Command{
		Use:   "import FILE.csv|FILE.xml",
		Short: "Add many users from a CSV file, or from another XMPP server",
		Long: `Add many users from a CSV file, or from standard input if FILE.csv is -.

A first line may name the columns, in any order: address (or localpart), name,
groups, password. Without it, the columns are these, and the last ones may be
missing. Groups are separated by semicolons. A user without a password gets a
generated one with --generate, which prints address,password as CSV; otherwise
nobody can log in as that user until a password is set.

All lines are checked first: if anything is wrong, nothing is imported. An
import that broke off is taken up again with --update.

FILE.xml is what another server has exported (XEP-0227; Prosody, ejabberd and
confab do): users with their credentials, contacts and what clients keep. What
is not taken is said, as are offline messages and the history. All users are
checked before any is added.`,
		Example: `  confab user import staff.csv --dry-run
  confab user import staff.csv --generate >passwords.csv
  confab user import prosody.xml --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.EqualFold(filepath.Ext(args[0]), ".xml") {
				return a.importXML(c, args[0], p)
			}
			text, err := a.readFile(args[0])
			if err != nil {
				return err
			}
			if p.Users, err = parseUsers(args[0], text); err != nil {
				return err
			}
			generated := csv.NewWriter(a.out)
			to := admin.Receiver[admin.User]{Progress: a.progress("importing"), Item: func(u admin.User) error {
				if a.json {
					return a.printJSON(u)
				}
				err := generated.Write([]string{u.Address, u.Password})
				generated.Flush() // the user can log in by now
				return errors.Join(err, generated.Error())
			}}
			result, err := perform(a, c, admin.UserImport, p, to)
			if err != nil && c.Context().Err() != nil {
				return fmt.Errorf("interrupted; whoever was added stays: run it again with --update for the rest")
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(result)
			}
			if p.DryRun {
				a.note("nothing was changed; users that would be added: %d, updated: %d", result.Added, result.Updated)
				return nil
			}
			a.note("users added: %d, updated: %d", result.Added, result.Updated)
			return nil
		},
	}
	c.Flags().BoolVar(&p.DryRun, "dry-run", false, "only check the file")
	c.Flags().BoolVar(&p.Update, "update", false, "change users that exist already, where a column says something else")
	c.Flags().BoolVar(&p.Generate, "generate", false, "generate missing passwords and print them")
	return a.jsonFlag(c)
}

func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(a.in)
	}
	return os.ReadFile(name)
}

// columns are the names that a header may have, in the order of a file without
// one.
var columns = []string{"address", "name", "groups", "password"}

// checkText finds out that a file is in the encoding of a spreadsheet.
func checkText(file string, text []byte) error {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return usagef("%s: the text is not in UTF-8: save the file as 'CSV UTF-8'", file)
	}
	return nil
}

// checkSeparator finds out that columns are not separated by commas.
func checkSeparator(file string, text []byte) error {
	first, _, _ := bytes.Cut(text, []byte{'\n'})
	for name, separator := range map[string]string{"semicolons": ";", "tabs": "\t"} {
		if bytes.Count(first, []byte(separator)) > bytes.Count(first, []byte{','}) {
			return usagef("%s:1: the columns are separated by %s; save the file with commas, or groups could not be told from columns", file, name)
		}
	}
	return nil
}

// parseUsers reads a CSV file. The error names the lines that are wrong.
func parseUsers(file string, text []byte) ([]admin.ImportUser, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // spreadsheets write a byte order mark
	if err := cmp.Or(checkText(file, text), checkSeparator(file, text)); err != nil {
		return nil, err
	}
	r := csv.NewReader(bufio.NewReader(bytes.NewReader(text)))
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	order := columns
	named := false
	var users []admin.ImportUser
	for first := true; ; first = false {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, usagef("%s: %v", file, err)
		}
		line, _ := r.FieldPos(0)
		if first {
			header, err := parseHeader(record)
			if err != nil {
				return nil, usagef("%s:%d: %v", file, line, err)
			}
			if header != nil {
				order, named = header, true
				continue
			}
		}
		if at := slices.IndexFunc(record, mailAddress); !named && (at == 1 || at == 2) {
			return nil, usagef("%s:%d: %s is in column %d, but the file does not name its columns: begin it with a line such as address,name,groups in their order", file, line, strings.TrimSpace(record[at]), at+1)
		}
		if len(record) > len(order) {
			return nil, usagef("%s:%d: there are %d columns, but only %s are known", file, line, len(record), strings.Join(order, ", "))
		}
		users = append(users, parseUser(line, record, order))
	}
	if len(users) == 0 {
		return nil, usagef("%s: there are no users in it", file)
	}
	return users, nil
}

// mailAddress says if a cell is an address, and no name or group.
func mailAddress(cell string) bool {
	local, domain, ok := strings.Cut(strings.TrimSpace(cell), "@")
	return ok && local != "" && strings.Contains(domain, ".") && !strings.ContainsAny(local+domain, " @")
}

// parseHeader returns the order of the columns, or nil if the record is no header.
func parseHeader(record []string) ([]string, error) {
	var order []string
	for _, cell := range record {
		name := strings.ToLower(strings.TrimSpace(cell))
		switch name {
		case "localpart", "user", "username", "mail", "email", "e-mail", "email address", "jid":
			name = "address"
		case "group", "department":
			name = "groups"
		case "displayname", "display name", "full name":
			name = "name"
		}
		order = append(order, name)
	}
	if !slices.Contains(order, "address") {
		return nil, nil
	}
	for i, name := range order {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("there is no column %q, only %s", record[i], strings.Join(columns, ", "))
		}
		if slices.Contains(order[:i], name) {
			return nil, fmt.Errorf("the column %s is there twice", name)
		}
	}
	return order, nil
}

func parseUser(line int, record, order []string) admin.ImportUser {
	u := admin.ImportUser{Line: line}
	for i, cell := range record {
		switch order[i] {
		case "address":
			u.Address = strings.TrimSpace(cell)
		case "name":
			u.Name = cell
		case "groups":
			for group := range strings.SplitSeq(cell, ";") {
				if group = strings.TrimSpace(group); group != "" {
					u.Groups = append(u.Groups, group)
				}
			}
		case "password":
			u.Password = cell
		}
	}
	return u
}
