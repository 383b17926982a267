package admin

import (
	"cmp"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// User is a user as the administrator sees one.
type User struct {
	ID       directory.ID `json:"id"` // never given to anybody else
	Address  string       `json:"address"`
	Name     string       `json:"name,omitempty"`
	Groups   []string     `json:"groups,omitempty"`
	Hidden   bool         `json:"hidden,omitempty"`
	Disabled bool         `json:"disabled,omitempty"`
	Admin    bool         `json:"admin,omitempty"`
	Created  time.Time    `json:"created"`
	Sessions int          `json:"sessions,omitempty"`

	// Password is only in the result of an operation that generated it.
	Password string `json:"password,omitempty"`
}

func (a *Admin) user(u *directory.User) User {
	r := User{
		ID: u.ID, Address: u.JID.String(), Name: u.Name, Groups: u.Groups,
		Hidden: u.Hidden, Disabled: u.Disabled, Admin: u.Admin, Created: u.Created,
	}
	if a.Live != nil {
		if account := a.Live.Router.Account(u.JID); account != nil {
			r.Sessions = len(account.Sessions(nil))
		}
	}
	return r
}

// split finds localpart and domain of an address that somebody typed. With one
// domain, the localpart is enough.
func (a *Admin) split(address string) (local, domain string, err error) {
	address = strings.TrimPrefix(strings.TrimSpace(address), "xmpp:")
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		local, domain = address[:i], address[i+1:]
		if j, err := xmpp.NewJID("", domain, ""); err == nil {
			domain = j.Domain()
		}
		return local, domain, nil
	}
	domains := a.domains()
	if len(domains) != 1 {
		return "", "", failf(Usage, "%q: which domain? Write the whole address, as in %s@%s", address, cmp.Or(address, "alice"), a.someDomain())
	}
	return address, domains[0].Name(), nil
}

// splitNew is split for somebody who is to be added. A blank may be in the
// quoted localpart of a mail address, but where it is not quoted a name was
// taken for an address.
func (a *Admin) splitNew(address string) (local, domain string, err error) {
	local, domain, err = a.split(address)
	if err == nil && strings.ContainsAny(local, " \t") && !strings.HasPrefix(local, `"`) {
		err = failf(Usage, "%q has a blank in it, as no mail address has: is it a name?", address)
	}
	return local, domain, err
}

func (a *Admin) someDomain() string {
	if domains := a.domains(); len(domains) > 0 {
		return domains[0].Name()
	}
	return "example.com"
}

// find finds the user with an address that somebody typed.
func (a *Admin) find(address string) (*directory.User, error) {
	local, domain, err := a.split(address)
	if err != nil {
		return nil, err
	}
	if a.domain(domain) == nil {
		return nil, a.notServed(domain)
	}
	u := a.Directory.Login(domain, local)
	if u == nil {
		return nil, failf(NotFound, "there is no user %s@%s; 'confab user list' shows all", local, domain)
	}
	return u, nil
}

// enrol returns what sets a new user's password in the transaction that adds
// the user.
func (a *Admin) enrol(domain, password string) (func(store.Tx, directory.ID) error, error) {
	keys, err := a.Auth.NewKeys(password)
	if err != nil {
		return nil, failf(Usage, "%v", err)
	}
	return a.Auth.Enrol(domain, keys), nil
}

// GeneratePassword makes a password that is good to dictate: 20 letters and
// digits, about 100 bits.
func GeneratePassword() string {
	text := strings.ToLower(rand.Text()[:20])
	return text[:5] + "-" + text[5:10] + "-" + text[10:15] + "-" + text[15:]
}

// UserAddParams ask for a new user. Either Password or Generate is given, or
// neither: then nobody can log in until a password is set.
type UserAddParams struct {
	Address  string   `json:"address"`
	Name     string   `json:"name,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Hidden   bool     `json:"hidden,omitempty"`
	Disabled bool     `json:"disabled,omitempty"`
	Admin    bool     `json:"admin,omitempty"`
	Password string   `json:"password,omitempty"`
	Generate bool     `json:"generate,omitempty"`
}

func (p UserAddParams) audited() any { p.Password = ""; return p }

// UserAdd adds a user.
var UserAdd = define(Operation{Name: "user add", Title: "Add a user", Reach: OfDomain, Audited: true}, func(c *call[None], p UserAddParams) (User, error) {
	local, domain, err := c.splitNew(p.Address)
	if err != nil {
		return User{}, err
	}
	if c.scope != "" && c.domain(domain) == nil {
		return User{}, c.notServed(domain)
	}
	password := p.Password
	if p.Generate {
		password = GeneratePassword()
	}
	n := directory.NewUser{
		Domain: domain, Local: local, Name: p.Name, Groups: p.Groups,
		Hidden: p.Hidden, Disabled: p.Disabled, Admin: p.Admin,
	}
	if password != "" {
		if n.Also, err = c.enrol(domain, password); err != nil {
			return User{}, err
		}
	}
	if err := c.Directory.Add(c, n); err != nil {
		return User{}, err
	}
	u, err := c.find(p.Address)
	if err != nil {
		return User{}, err
	}
	result := c.user(u)
	if p.Generate {
		result.Password = password
	}
	return result, nil
})

// UserPasswordParams ask for another password.
type UserPasswordParams struct {
	Address  string `json:"address"`
	Password string `json:"password,omitempty"`
	Generate bool   `json:"generate,omitempty"`
}

func (p UserPasswordParams) audited() any { p.Password = ""; return p }

// UserPassword sets a user's password. Sessions go on.
var UserPassword = define(Operation{Name: "user passwd", Title: "Set a user's password", Reach: OfDomain, Audited: true}, func(c *call[None], p UserPasswordParams) (User, error) {
	u, err := c.find(p.Address)
	if err != nil {
		return User{}, err
	}
	password := p.Password
	if p.Generate {
		password = GeneratePassword()
	}
	if password == "" {
		return User{}, failf(Usage, "the password is empty")
	}
	keys, err := c.Auth.NewKeys(password)
	if err != nil {
		return User{}, failf(Usage, "%v", err)
	}
	if err := c.Auth.SetKeys(c, u.ID, keys); err != nil {
		return User{}, err
	}
	result := c.user(u)
	if p.Generate {
		result.Password = password
	}
	return result, nil
})

// UserSetParams change what is not nil.
type UserSetParams struct {
	Address      string    `json:"address" label:"Address" form:"required"`
	Name         *string   `json:"name,omitempty" label:"Name"`
	Groups       *[]string `json:"groups,omitempty" label:"Groups"`
	AddGroups    []string  `json:"add_groups,omitempty"`
	RemoveGroups []string  `json:"remove_groups,omitempty"`
	Hidden       *bool     `json:"hidden,omitempty" label:"In nobody's contact list"`
	Admin        *bool     `json:"admin,omitempty" label:"Administrator of the domain"`
}

// UserSet changes a user.
var UserSet = define(Operation{Name: "user set", Title: "Change a user's name, groups or role", Reach: OfDomain, Audited: true}, func(c *call[None], p UserSetParams) (User, error) {
	return c.update(p.Address, func(u *directory.User) {
		if p.Name != nil {
			u.Name = *p.Name
		}
		if p.Groups != nil {
			u.Groups = *p.Groups
		}
		u.Groups = append(u.Groups, p.AddGroups...)
		u.Groups = slices.DeleteFunc(u.Groups, func(g string) bool { return slices.Contains(p.RemoveGroups, g) })
		if p.Hidden != nil {
			u.Hidden = *p.Hidden
		}
		if p.Admin != nil {
			u.Admin = *p.Admin
		}
	})
})

func (c *call[I]) update(address string, fn func(*directory.User)) (User, error) {
	u, err := c.find(address)
	if err != nil {
		return User{}, err
	}
	if err := c.Directory.Update(c, u.ID, fn); err != nil {
		return User{}, err
	}
	return c.user(c.Directory.ByID(u.ID)), nil
}

// UserParams name a user.
type UserParams struct {
	Address string `json:"address" label:"Address" form:"required"`
}

// UserDisable shuts a user out. The server ends the sessions when it hears of
// the change from the directory.
var UserDisable = define(Operation{Name: "user disable", Title: "Shut a user out", Reach: OfDomain, Audited: true}, func(c *call[None], p UserParams) (User, error) {
	return c.update(p.Address, func(u *directory.User) { u.Disabled = true })
})

// UserEnable lets a user in again.
var UserEnable = define(Operation{Name: "user enable", Title: "Let a user in again", Reach: OfDomain, Audited: true}, func(c *call[None], p UserParams) (User, error) {
	return c.update(p.Address, func(u *directory.User) { u.Disabled = false })
})

// UserDeleteParams ask for the end of a user.
type UserDeleteParams struct {
	Address string `json:"address"`
	Purge   bool   `json:"purge,omitempty"` // the user's own history and files, too
}

// UserDeleted is what became of a user that was deleted.
type UserDeleted struct {
	User
	Purged int `json:"purged_messages"`
	Files  int `json:"purged_files"`
}

// UserDelete deletes a user. What others have of the conversations stays.
var UserDelete = define(Operation{Name: "user delete", Title: "Delete a user", Reach: OfDomain, Audited: true}, func(c *call[None], p UserDeleteParams) (UserDeleted, error) {
	u, err := c.find(p.Address)
	if err != nil {
		return UserDeleted{}, err
	}
	result := UserDeleted{User: c.user(u)}
	if !p.Purge {
		return result, c.Directory.Delete(c, u.ID)
	}
	if err := c.Directory.Delete(c, u.ID, notePurge); err != nil {
		return UserDeleted{}, err
	}
	if result.Purged, result.Files, err = c.purge(c, u.ID); err != nil {
		err = failf(Failed, "%s is deleted, but not all of the history and the files: %v; the server goes on with that within a day", u.JID, err)
	}
	return result, err
})

// UserListParams choose users.
type UserListParams struct {
	Domain   string `json:"domain,omitempty"`
	Group    string `json:"group,omitempty"`
	Disabled bool   `json:"disabled,omitempty"` // only these
	Online   bool   `json:"online,omitempty"`   // only these
	Active   bool   `json:"active,omitempty"`   // only those who are at one of their devices
	Idle     bool   `json:"idle,omitempty"`     // only those who are online and at none
}

// UserListed says how many users there were.
type UserListed struct {
	Users int `json:"users"`
}

// UserList streams users by address.
var UserList = define(Operation{Name: "user list", Title: "List users", Reach: OfDomain}, func(c *call[User], p UserListParams) (UserListed, error) {
	if p.Domain != "" && c.domain(p.Domain) == nil {
		return UserListed{}, c.notServed(p.Domain)
	}
	var n UserListed
	for _, d := range c.domains() {
		if p.Domain != "" && d.Name() != p.Domain {
			continue
		}
		for u := range d.Users() {
			shown := c.user(u)
			if p.Group != "" && !slices.Contains(u.Groups, p.Group) || p.Disabled && !u.Disabled || p.Online && shown.Sessions == 0 {
				continue
			}
			if at := c.active(u.JID); p.Active && !at || p.Idle && (at || shown.Sessions == 0) {
				continue
			}
			if err := c.item(shown); err != nil {
				return n, err
			}
			n.Users++
		}
	}
	return n, c.Err()
})

// UserShown is all there is to say about a user.
type UserShown struct {
	User
	HasPassword bool       `json:"has_password"`
	LastLogin   *time.Time `json:"last_login,omitempty"`
	Online      []Session  `json:"online,omitempty"`
}

// UserShow shows a user.
var UserShow = define(Operation{Name: "user show", Title: "Show a user", Reach: OfDomain}, func(c *call[None], p UserParams) (UserShown, error) {
	u, err := c.find(p.Address)
	if err != nil {
		return UserShown{}, err
	}
	result := UserShown{User: c.user(u)}
	if c.Live != nil {
		result.Online = sessions(c.Live.Router.Account(u.JID))
	}
	if result.LastLogin, err = c.lastLogin(u.ID); err != nil {
		return result, err
	}
	result.HasPassword, err = c.Auth.HasPassword(c, u.ID)
	return result, err
})

// active reports whether somebody is there: available at a device that is
// connected, and not away.
func (a *Admin) active(j xmpp.JID) bool {
	if a.Live == nil {
		return false
	}
	account := a.Live.Router.Account(j)
	if account == nil {
		return false
	}
	return slices.ContainsFunc(account.Sessions(nil), func(s *router.Session) bool {
		at := status(s.Presence())
		return s.Connected() && (at == "available" || at == "dnd")
	})
}

// Session is a session as the administrator sees one.
type Session struct {
	Address   string    `json:"address"`
	Since     time.Time `json:"since"`
	Status    string    `json:"status"` // available, away, dnd, offline
	Priority  int       `json:"priority"`
	Connected bool      `json:"connected"` // false: waits to be resumed
	Remote    string    `json:"remote,omitempty"`
	Transport string    `json:"transport,omitempty"`
	TLS       string    `json:"tls,omitempty"`
	Mechanism string    `json:"mechanism,omitempty"`
	Software  string    `json:"software,omitempty"` // as the client names itself
	Device    string    `json:"device,omitempty"`
}

func sessions(account *router.Account) []Session {
	if account == nil {
		return nil
	}
	var list []Session
	for _, s := range account.Sessions(nil) {
		info, presence := s.Info(), s.Presence()
		list = append(list, Session{
			Address: s.JID().String(), Since: s.Since(), Status: status(presence), Priority: int(presence.Priority),
			Connected: s.Connected(), Remote: info.Remote, Transport: info.Transport, TLS: info.TLS, Mechanism: info.Mechanism,
			Software: info.Software, Device: info.Device,
		})
	}
	return list
}

// status reduces a presence to the four that people are shown: xa reads as
// away, chat as available.
func status(p router.Presence) string {
	switch {
	case !p.Available:
		return "offline"
	case p.Show == "away" || p.Show == "xa":
		return "away"
	case p.Show == "dnd":
		return "dnd"
	}
	return "available"
}

// UserSessionsParams name a user, or nobody for all sessions.
type UserSessionsParams struct {
	Address string `json:"address,omitempty"`
}

// SessionsListed says how many sessions there were.
type SessionsListed struct {
	Sessions int `json:"sessions"`
}

// UserSessions streams sessions.
var UserSessions = define(Operation{Name: "user sessions", Title: "List sessions", Reach: OfDomain, NeedLive: true}, func(c *call[Session], p UserSessionsParams) (SessionsListed, error) {
	var accounts []*router.Account
	if p.Address != "" {
		u, err := c.find(p.Address)
		if err != nil {
			return SessionsListed{}, err
		}
		accounts = append(accounts, c.Live.Router.Account(u.JID))
	} else {
		for _, name := range c.domainNames() {
			domain := c.Live.Router.Domain(name).Accounts()
			slices.SortFunc(domain, func(a, b *router.Account) int { return cmp.Compare(a.JID.Local(), b.JID.Local()) })
			accounts = append(accounts, domain...)
		}
	}
	var n SessionsListed
	for _, account := range accounts {
		for _, s := range sessions(account) {
			if err := c.item(s); err != nil {
				return n, err
			}
			n.Sessions++
		}
	}
	return n, nil
})

// UserKickParams name a user, or one session by its full address.
type UserKickParams struct {
	Address string `json:"address"`
	Text    string `json:"text,omitempty"` // for the person
}

// Kicked says which sessions were ended.
type Kicked struct {
	Sessions []string `json:"sessions"`
}

// UserKick ends sessions, and takes the tokens by which their clients could come
// back (XEP-0484). With the password they can log in again.
var UserKick = define(Operation{Name: "user kick", Title: "End a user's sessions", Reach: OfDomain, NeedLive: true, Audited: true}, func(c *call[None], p UserKickParams) (Kicked, error) {
	address, resource, one := strings.Cut(p.Address, "/")
	u, err := c.find(address)
	if err != nil {
		return Kicked{}, err
	}
	result := Kicked{Sessions: []string{}}
	if !one {
		if err := c.Auth.RevokeTokens(c, u.ID); err != nil {
			return result, err
		}
	}
	if account := c.Live.Router.Account(u.JID); account != nil {
		for _, s := range account.Sessions(nil) {
			if !one || s.JID().Resource() == resource {
				if agent, known := auth.ParseAgentID(s.Info().Agent); one && known {
					if err := c.Auth.RevokeTokens(c, u.ID, agent); err != nil {
						return result, err
					}
				}
				c.Live.Kick(s, p.Text)
				result.Sessions = append(result.Sessions, s.JID().String())
			}
		}
	}
	if one && len(result.Sessions) == 0 {
		return result, failf(NotFound, "%s has no session %q; 'confab user sessions %s' shows those there are", u.JID, resource, u.JID)
	}
	return result, nil
})
