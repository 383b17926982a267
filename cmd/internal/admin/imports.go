package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"confab/xmpp/auth"
	"confab/xmpp/directory"
)

// UserImportParams ask for many users at once.
type UserImportParams struct {
	Users    []ImportUser `json:"users"`
	DryRun   bool         `json:"dry_run,omitempty"`
	Update   bool         `json:"update,omitempty"`   // change those who exist
	Generate bool         `json:"generate,omitempty"` // a password for new users without one
}

// ImportUser is a line of a list of users.
type ImportUser struct {
	Line     int      `json:"line"` // in the administrator's file
	Address  string   `json:"address"`
	Name     string   `json:"name,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Password string   `json:"password,omitempty"`
}

// audited leaves the list out: it may be long, and holds passwords.
func (p UserImportParams) audited() any {
	return map[string]any{"users": len(p.Users), "dry_run": p.DryRun, "update": p.Update}
}

// Imported says what an import did, or would do.
type Imported struct {
	Added   int `json:"added"`
	Updated int `json:"updated"`
}

// UserImport adds many users. All are checked first; if one is refused, nothing
// is done. It streams the users whose passwords it generated.
var UserImport = define(Operation{Name: "user import", Audited: true}, func(c *call[User], p UserImportParams) (Imported, error) {
	fresh, old, err := c.sortImport(p)
	if err != nil {
		return Imported{}, err
	}
	result := Imported{Added: len(fresh), Updated: len(old)}
	if p.DryRun {
		return result, nil
	}
	result = Imported{}
	total := len(fresh) + len(old)
	if result.Added, err = c.addImported(fresh, total, p.Generate); err == nil {
		c.progress(result.Added, total)
	}
	for _, u := range old {
		if err != nil {
			break
		}
		if err = c.updateImported(u); err == nil {
			result.Updated++
			c.progress(result.Added+result.Updated, total)
		}
	}
	if err != nil && result != (Imported{}) {
		err = failf(Failed, "%v; before that, %d users were added and %d updated: run it again with --update for the rest", err, result.Added, result.Updated)
	}
	return result, err
})

// importing is a user of a list on the way in.
type importing struct {
	ImportUser
	new      directory.NewUser
	existing *directory.User
}

// sortImport checks a list and tells new users from known ones. The error
// names all lines that are wrong.
func (c *call[I]) sortImport(p UserImportParams) (fresh, old []*importing, err error) {
	problems := make(map[int]error) // by place in the list
	var users []directory.NewUser
	var places []int
	seen := make(map[directory.ID]bool)
	for i, u := range p.Users {
		local, domain, err := c.split(u.Address)
		if err != nil {
			problems[i] = err
			continue
		}
		if existing, err := c.find(u.Address); err == nil && p.Update {
			if seen[existing.ID] {
				problems[i] = failf(Conflict, "%s is in the list twice", existing.JID)
			}
			seen[existing.ID] = true
			old = append(old, &importing{ImportUser: u, existing: existing})
			continue
		}
		n := directory.NewUser{Domain: domain, Local: local, Name: u.Name, Groups: u.Groups}
		users, places = append(users, n), append(places, i)
		fresh = append(fresh, &importing{ImportUser: u, new: n})
	}
	conflict := false
	c.Directory.Check(users, func(i int, err error) {
		conflict = conflict || errors.Is(err, directory.ErrExists)
		problems[places[i]] = err
	})
	if len(problems) > 0 {
		return nil, nil, importError(p.Users, problems, conflict)
	}
	return fresh, old, nil
}

// maxProblems is how many lines of a bad list are named.
const maxProblems = 20

func importError(users []ImportUser, problems map[int]error, conflict bool) error {
	var text strings.Builder
	named := 0
	for i, u := range users {
		if err := problems[i]; err != nil && named < maxProblems {
			named++
			fmt.Fprintf(&text, "line %d: %v\n", u.Line, err)
		}
	}
	if more := len(problems) - named; more > 0 {
		fmt.Fprintf(&text, "and %d more lines\n", more)
	}
	code := Usage
	if conflict {
		code = Conflict
		text.WriteString("with --update, users who exist already are changed\n")
	}
	text.WriteString("nothing was imported")
	return &Error{Code: code, Text: text.String()}
}

// addImported adds new users with their credentials, and returns how many. Of
// a long list everybody can log in after the first part of it; keys for clients
// that know older mechanisms only take longer, and follow.
func (c *call[I]) addImported(fresh []*importing, total int, generate bool) (added int, err error) {
	accounts := make([]auth.NewAccount, len(fresh))
	var generated []*importing
	for i, u := range fresh {
		if u.Password == "" && generate {
			u.Password = GeneratePassword()
			generated = append(generated, u)
			accounts[i].Generated = true
		}
		accounts[i].NewUser, accounts[i].Password = u.new, u.Password
	}
	lines := make(map[string]int, len(fresh))
	for _, u := range fresh {
		lines[u.new.Local+"@"+u.new.Domain] = u.Line
	}
	err = c.Auth.Import(c, accounts, auth.Import{
		Progress: func(p auth.Progress) {
			added = p.Added
			// Both parts count: the bar ends when all is there.
			c.progress((p.Added+p.Complete)/2, total)
		},
		Refused: func(u directory.NewUser, err error) error {
			return failf(Usage, "line %d: %v", lines[u.Local+"@"+u.Domain], err)
		},
	})
	for _, u := range generated {
		shown := User{Address: u.Address, Password: u.Password}
		who := c.Directory.Login(u.new.Domain, u.new.Local)
		if who == nil {
			continue // not added: the import ended before
		}
		shown = c.user(who)
		shown.Password = u.Password
		if err := c.out.item(shown); err != nil {
			return added, err
		}
	}
	return added, err
}

// updateImported brings a user who exists to what a list says. What the list
// leaves empty stays.
func (c *call[I]) updateImported(u *importing) error {
	now := u.existing
	if u.Name != "" && u.Name != now.Name || len(u.Groups) > 0 && !slices.Equal(u.Groups, now.Groups) {
		err := c.Directory.Update(c, now.ID, func(d *directory.User) {
			if u.Name != "" {
				d.Name = u.Name
			}
			if len(u.Groups) > 0 {
				d.Groups = u.Groups
			}
		})
		if err != nil {
			return fmt.Errorf("line %d: %w", u.Line, err)
		}
	}
	if u.Password != "" {
		if err := c.Auth.SetPassword(c, now.ID, u.Password); err != nil {
			return fmt.Errorf("line %d: %w", u.Line, err)
		}
	}
	return nil
}
