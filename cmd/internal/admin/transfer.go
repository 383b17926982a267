package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"confab/cmd/internal/transfer"
	"confab/xmpp/auth"
	"confab/xmpp/directory"
)

// UserExportParams choose users.
type UserExportParams struct {
	Domain string `json:"domain,omitempty"` // empty: all domains
}

// ExportedUser is a user as XEP-0227 has it.
type ExportedUser struct {
	Domain  string `json:"domain"`
	Address string `json:"address"`
	XML     []byte `json:"xml"` // <user/>, without its namespace
}

// UserExport streams users with their credentials and what is kept of them, by
// address. The history is not in it.
var UserExport = define(Operation{Name: "user export", Audited: true}, func(c *call[ExportedUser], p UserExportParams) (n UserListed, err error) {
	if p.Domain != "" && c.Directory.Domain(p.Domain) == nil {
		return n, failf(NotFound, "%s is not served here", p.Domain)
	}
	total := 0
	for _, d := range c.Directory.Domains() {
		if p.Domain == "" || d.Name() == p.Domain {
			total += d.Len()
		}
	}
	for _, d := range c.Directory.Domains() {
		if p.Domain != "" && d.Name() != p.Domain {
			continue
		}
		for u := range d.Users() {
			xml, err := c.exported(u)
			if err != nil {
				return n, err
			}
			if err := c.item(ExportedUser{Domain: u.Domain, Address: u.JID.String(), XML: xml}); err != nil {
				return n, err
			}
			n.Users++
			c.progress(n.Users, total)
		}
	}
	return n, c.Err()
})

func (c *call[I]) exported(u *directory.User) ([]byte, error) {
	keys, err := c.Auth.Keys(c, u.ID)
	if err != nil {
		return nil, err
	}
	var elements []byte
	for _, part := range c.Portables {
		if part.Export == nil {
			continue
		}
		if elements, err = part.Export(c, u, elements); err != nil {
			return nil, fmt.Errorf("%s: %w", u.JID, err)
		}
	}
	profile := transfer.Profile{Name: u.Name, Groups: u.Groups, Hidden: u.Hidden, Disabled: u.Disabled, Admin: u.Admin}
	return transfer.AppendUser(nil, u.Local, profile, keys, elements), nil
}

// Stage is a step of taking over users. All of them are checked, then added,
// then given what is theirs: rosters name other users.
type Stage string

// The stages, in their order.
const (
	StageCheck    Stage = "check"
	StageAccounts Stage = "accounts"
	StageData     Stage = "data"
)

// UserRestoreParams ask for users to be taken over.
type UserRestoreParams struct {
	Stage  Stage         `json:"stage"`
	Users  []RestoreUser `json:"users"`
	Update bool          `json:"update,omitempty"` // those who exist already get what there is, too
}

// RestoreUser is a user of a file. For the first two stages XML may leave out
// all but credentials.
type RestoreUser struct {
	Domain string `json:"domain"`
	XML    []byte `json:"xml"` // <user/>
}

func (p UserRestoreParams) audited() any {
	return map[string]any{"stage": p.Stage, "users": len(p.Users), "update": p.Update}
}

// Restored says what came of it.
type Restored struct {
	Added   int `json:"added"`
	Updated int `json:"updated"`
}

// Left is what was not taken of a user.
type Left struct {
	Address string `json:"address"`
	What    string `json:"what"`
}

// UserRestore carries out one stage of taking over some users, and streams what
// is not taken. A check that finds a user who cannot be added is an error which
// names all of them.
var UserRestore = define(Operation{Name: "user restore", Audited: true}, func(c *call[Left], p UserRestoreParams) (r Restored, err error) {
	users := make([]*transfer.User, len(p.Users))
	for i := range p.Users {
		if users[i], err = transfer.ReadUser(p.Users[i].Domain, string(p.Users[i].XML)); err != nil {
			return r, failf(Usage, "%v", err)
		}
	}
	switch p.Stage {
	case StageCheck:
		return c.checkRestored(users, p.Update)
	case StageAccounts:
		return c.restoreAccounts(users, p.Update)
	case StageData:
		return r, c.restoreData(users)
	}
	return r, failf(Usage, "there is no stage %q", p.Stage)
})

func (c *call[I]) checkRestored(users []*transfer.User, update bool) (r Restored, err error) {
	problems := make(map[int]error)
	conflict := false
	var fresh []directory.NewUser
	var places []int
	for i, u := range users {
		if c.Directory.Domain(u.Domain) == nil {
			problems[i] = failf(NotFound, "the domain is not served here; name it in the setting domains")
			continue
		}
		if existing := c.Directory.Login(u.Domain, u.Local); existing != nil && update {
			r.Updated++
			continue
		}
		profile := u.Profile()
		fresh, places = append(fresh, directory.NewUser{Domain: u.Domain, Local: u.Local, Name: profile.Name, Groups: profile.Groups}), append(places, i)
	}
	c.Directory.Check(fresh, func(i int, err error) {
		conflict = conflict || errors.Is(err, directory.ErrExists)
		problems[places[i]] = err
	})
	r.Added = len(fresh)
	if len(problems) == 0 {
		return r, nil
	}
	return Restored{}, restoreError(users, problems, conflict)
}

// restoreError names the users who cannot be added.
func restoreError(users []*transfer.User, problems map[int]error, conflict bool) error {
	var text strings.Builder
	for n, i := range slices.Sorted(maps.Keys(problems)) {
		if n == maxProblems {
			fmt.Fprintf(&text, "and %d more\n", len(problems)-n)
			break
		}
		fmt.Fprintf(&text, "%s@%s: %v\n", users[i].Local, users[i].Domain, problems[i])
	}
	code := Usage
	if conflict {
		code = Conflict
		text.WriteString("with --update, users who exist already get what is in the file, too\n")
	}
	text.WriteString("nothing was imported")
	return &Error{Code: code, Text: text.String()}
}

// restoreAccounts adds users, and gives those who are there the credentials.
func (c *call[I]) restoreAccounts(users []*transfer.User, update bool) (r Restored, err error) {
	var fresh []auth.NewAccount
	for _, u := range users {
		keys, profile := u.Keys(), u.Profile()
		existing := c.Directory.Login(u.Domain, u.Local)
		switch {
		case existing == nil:
			n := auth.NewAccount{NewUser: directory.NewUser{
				Domain: u.Domain, Local: u.Local, Name: profile.Name, Groups: profile.Groups,
				Hidden: profile.Hidden, Disabled: profile.Disabled, Admin: profile.Admin,
			}, Keys: keys}
			if keys == nil {
				n.Password = u.Password
			}
			fresh = append(fresh, n)
			continue
		case !update:
			return r, failf(Conflict, "there is a user %s already", existing.JID)
		case len(keys) > 0:
			err = c.Auth.SetKeys(c, existing.ID, keys)
		case u.Password != "":
			err = c.Auth.SetPassword(c, existing.ID, u.Password)
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", existing.JID, err)
		}
		r.Updated++
	}
	err = c.Auth.Import(c, fresh, auth.Import{
		Turns:    c.turns(),
		Progress: func(p auth.Progress) { r.Added = p.Added },
		Refused:  func(u directory.NewUser, err error) error { return fmt.Errorf("%s@%s: %w", u.Local, u.Domain, err) },
	})
	return r, err
}

// restorers is how many users are given what is theirs at a time: each waits for
// the disk most of the time.
const restorers = 16

func (c *call[I]) restoreData(users []*transfer.User) error {
	ctx, cancel := context.WithCancelCause(c.Context)
	defer cancel(nil)
	work := make(chan *transfer.User)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range restorers {
		wg.Go(func() {
			for u := range work {
				left, err := c.restoreUser(ctx, u)
				mu.Lock()
				for _, what := range left {
					if err == nil {
						err = c.out.item(Left{Address: u.Local + "@" + u.Domain, What: what})
					}
				}
				mu.Unlock()
				if err != nil {
					cancel(fmt.Errorf("%s@%s: %w", u.Local, u.Domain, err))
				}
			}
		})
	}
	for _, u := range users {
		select {
		case work <- u:
		case <-ctx.Done():
		}
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

func (c *call[I]) restoreUser(ctx context.Context, u *transfer.User) (left []string, err error) {
	user := c.Directory.Login(u.Domain, u.Local)
	if user == nil {
		return []string{"everything: there is no such user"}, nil
	}
	u.Keys()
	u.Profile()
	for what, n := range u.Passed {
		if n > 0 {
			left = append(left, fmt.Sprintf("%d %s", n, what))
		}
	}
	for _, n := range u.Elements {
		known := false
		for _, part := range c.Portables {
			if !n.Is(part.Space, part.Local) {
				continue
			}
			known = true
			not, err := part.Import(ctx, user, n)
			if err != nil {
				return left, err
			}
			left = append(left, not...)
		}
		if !known {
			left = append(left, fmt.Sprintf("<%s xmlns='%s'/>", n.Local, n.Space))
		}
	}
	slices.Sort(left)
	return left, nil
}
