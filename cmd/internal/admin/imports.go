package admin

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"confab/xmpp"
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
// is done. It streams the users whose passwords it generated, as soon as these are good.
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
	if err == nil {
		err = c.updateImported(old)
	}
	for _, u := range old {
		if err != nil {
			break
		}
		if err = c.setImported(u, p.Generate); err == nil {
			result.Updated++
			c.progress(result.Added+result.Updated, total)
		}
	}
	if err != nil && result != (Imported{}) {
		err = failf(Failed, "%v; before that, users added: %d, updated: %d; run it again with --update for the rest", err, result.Added, result.Updated)
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
	var updates []directory.UserUpdate
	var places, changed []int // of users and of updates
	seen := make(map[directory.ID]bool)
	for i, u := range p.Users {
		local, domain, err := c.splitNew(u.Address)
		if err != nil {
			problems[i] = err
			continue
		}
		if existing, err := c.find(u.Address); err == nil && p.Update {
			if seen[existing.ID] {
				problems[i] = failf(Conflict, "%s is in the list twice", existing.JID)
			}
			seen[existing.ID] = true
			x := &importing{ImportUser: u, existing: existing}
			old, updates, changed = append(old, x), append(updates, x.update()), append(changed, i)
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
	c.Directory.CheckUpdates(updates, func(i int, err error) { problems[changed[i]] = err })
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
	lines := make(map[string]int, len(fresh))
	for i, u := range fresh {
		if u.Password == "" && generate {
			u.Password = GeneratePassword()
			accounts[i].Generated = true
		}
		accounts[i].NewUser, accounts[i].Password = u.new, u.Password
		lines[u.new.Local+"@"+u.new.Domain] = u.Line
	}
	var told error
	err = c.Auth.Import(c, accounts, auth.Import{
		Turns: c.turns(),
		Progress: func(p auth.Progress) {
			// Passwords are told as soon as they are good: an import that breaks
			// off leaves nobody with one that is not known.
			for ; added < p.Added; added++ {
				if accounts[added].Generated && told == nil {
					told = c.tellPassword(fresh[added].new, fresh[added].Password)
				}
			}
			// Both parts count: the bar ends when all is there.
			c.progress((p.Added+p.Complete)/2, total)
		},
		Refused: func(u directory.NewUser, err error) error {
			return failf(Usage, "line %d: %v", lines[u.Local+"@"+u.Domain], err)
		},
	})
	return added, errors.Join(err, told)
}

// turns are what hashing many passwords has to take, so that those who are
// online do not notice.
func (a *Admin) turns() xmpp.Turns {
	if a.Live == nil {
		return nil
	}
	return xmpp.Heavy
}

// tellPassword streams a user whose password was generated.
func (c *call[I]) tellPassword(n directory.NewUser, password string) error {
	who := c.Directory.Login(n.Domain, n.Local)
	if who == nil {
		return nil // deleted meanwhile
	}
	shown := c.user(who)
	shown.Password = password
	return c.out.item(shown)
}

// update is what a list says of a user who exists. What it leaves empty stays.
func (u *importing) update() directory.UserUpdate {
	return directory.UserUpdate{ID: u.existing.ID, Set: func(d *directory.User) {
		d.Name = cmp.Or(u.Name, d.Name)
		if len(u.Groups) > 0 {
			d.Groups = u.Groups
		}
	}}
}

// updatesAtOnce is how many users are changed in one transaction.
const updatesAtOnce = 2000

// updateImported brings users who exist to what a list says.
func (c *call[I]) updateImported(old []*importing) error {
	for chunk := range slices.Chunk(old, updatesAtOnce) {
		updates := make([]directory.UserUpdate, len(chunk))
		for i, u := range chunk {
			updates[i] = u.update()
		}
		if err := c.Directory.UpdateAll(c, updates...); err != nil {
			return err
		}
	}
	return nil
}

// setImported gives a user who exists the password that a list says, or one if there never was any.
func (c *call[I]) setImported(u *importing, generate bool) error {
	now := u.existing
	password := u.Password
	if password == "" && generate {
		has, err := c.Auth.HasPassword(c, now.ID)
		if err != nil || has {
			return err
		}
		password = GeneratePassword()
	}
	if password == "" {
		return nil
	}
	if err := c.Auth.SetPassword(c, now.ID, password); err != nil {
		return fmt.Errorf("line %d: %w", u.Line, err)
	}
	if u.Password != "" {
		return nil
	}
	return c.tellPassword(directory.NewUser{Domain: now.Domain, Local: now.Local}, password)
}
