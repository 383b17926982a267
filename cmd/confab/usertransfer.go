package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/transfer"
)

// wholeFile is a new file, which is there in the end if all of it is.
type wholeFile struct{ *os.File }

func newFile(name string) (wholeFile, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		err = &admin.Error{Code: admin.Conflict, Text: name + " is there already: name another file"}
	}
	return wholeFile{f}, err
}

// end closes the file, and removes it if what was written into it failed.
func (f wholeFile) end(err error) error {
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (a *app) userExport() *cobra.Command {
	var p admin.UserExportParams
	c := &cobra.Command{
		Use:   "export FILE.xml",
		Short: "Write users to a file for another server",
		Long: `Write users to a file in the form in which XMPP servers hand users over to one another
(XEP-0227), or to standard output if FILE.xml is -: names, credentials, contact lists,
vCards, avatars, bookmarks, OMEMO keys and what else clients keep, blocked addresses.

The history is not in it ('confab history export' writes that), nor are files, aliases
and rooms. Whoever has the file can find out weak passwords: keep it safe.`,
		Example: "  confab user export people.xml --domain example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			out := io.Writer(a.out)
			if args[0] != "-" {
				f, e := newFile(args[0])
				if e != nil {
					return e
				}
				defer func() { err = f.end(err) }()
				out = f
			}
			w := bufio.NewWriter(out)
			w.Write(transfer.AppendHead(nil)) // Flush tells of errors
			host := ""
			n, err := perform(a, c, admin.UserExport, p, admin.Receiver[admin.ExportedUser]{Progress: a.progress("exporting"), Item: func(u admin.ExportedUser) error {
				if u.Domain != host {
					if host != "" {
						w.WriteString(transfer.HostEnd)
					}
					host = u.Domain
					w.Write(transfer.AppendHost(nil, host))
				}
				w.Write(u.XML)
				_, err := w.WriteString("\n")
				return err
			}})
			if err != nil {
				return err
			}
			if host != "" {
				w.WriteString(transfer.HostEnd)
			}
			w.WriteString(transfer.End)
			if err := w.Flush(); err != nil {
				return err
			}
			a.note("users exported: %d", n.Users)
			return nil
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "only of this `domain`")
	return c
}

// importXML takes over the users of a file of another server (XEP-0227). The
// file is read three times: users are checked, then added, then given what is
// theirs, so that it may be of any size.
func (a *app) importXML(c *cobra.Command, name string, p admin.UserImportParams) error {
	if p.Generate {
		return usagef("--generate is for CSV files")
	}
	var all []admin.RestoreUser
	err := a.readTransfer(name, func(u *transfer.User) error {
		all = append(all, admin.RestoreUser{Domain: u.Domain, XML: transfer.AppendUser(nil, u.Local, transfer.Profile{}, nil, nil)})
		return nil
	})
	if err != nil {
		return usagef("%v", err)
	}
	if len(all) == 0 {
		return usagef("%s: there are no users in it", name)
	}
	check := admin.UserRestoreParams{Stage: admin.StageCheck, Users: all, Update: p.Update}
	found, err := perform(a, c, admin.UserRestore, check, admin.Receiver[admin.Left]{})
	if err != nil {
		return err
	}
	var left func(admin.Left) error
	if !p.DryRun {
		left = func(l admin.Left) error {
			if a.json {
				return a.printJSON(l)
			}
			a.note("%s: not taken: %s", plain(l.Address), plain(l.What))
			return nil
		}
		found = admin.Restored{}
		for _, stage := range []admin.Stage{admin.StageAccounts, admin.StageData} {
			r, err := a.restore(c, name, admin.UserRestoreParams{Stage: stage, Update: p.Update}, len(all), left)
			found.Added, found.Updated = found.Added+r.Added, found.Updated+r.Updated
			if err != nil {
				return err
			}
		}
	}
	if a.json {
		return a.printJSON(found)
	}
	if p.DryRun {
		a.note("nothing was changed; users that would be added: %d, updated: %d", found.Added, found.Updated)
		return nil
	}
	a.note("users added: %d, updated: %d", found.Added, found.Updated)
	return nil
}

// restore carries out a stage of an import, some users at a time.
func (a *app) restore(c *cobra.Command, name string, p admin.UserRestoreParams, total int, left func(admin.Left) error) (sum admin.Restored, err error) {
	const users, size = 500, 8 << 20
	progress := a.progress(map[admin.Stage]string{admin.StageAccounts: "adding users", admin.StageData: "adding what is theirs"}[p.Stage])
	bytes, done := 0, 0
	send := func() error {
		if len(p.Users) == 0 {
			return nil
		}
		r, err := perform(a, c, admin.UserRestore, p, admin.Receiver[admin.Left]{Item: left})
		sum.Added, sum.Updated = sum.Added+r.Added, sum.Updated+r.Updated
		done += len(p.Users)
		if progress != nil {
			progress(done, total)
		}
		p.Users, bytes = nil, 0
		return err
	}
	err = a.readTransfer(name, func(u *transfer.User) error {
		r := admin.RestoreUser{Domain: u.Domain, XML: u.Append(nil)}
		if p.Stage == admin.StageAccounts {
			r.XML = u.AppendAccount(nil)
		}
		p.Users, bytes = append(p.Users, r), bytes+len(r.XML)
		if len(p.Users) == users || bytes > size {
			return send()
		}
		return nil
	})
	if err == nil {
		err = send()
	}
	return sum, err
}

// readTransfer reads a file and those that it includes, which must be beside it
// or below.
func (a *app) readTransfer(name string, fn func(*transfer.User) error) error {
	folder, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer folder.Close()
	f, err := folder.Open(filepath.Base(name))
	if err != nil {
		return err
	}
	defer f.Close()
	return transfer.Read(f, func(name string) (io.ReadCloser, error) { return folder.Open(name) }, fn)
}
