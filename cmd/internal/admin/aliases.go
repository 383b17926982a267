package admin

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/picture"
)

// Alias is an alias as the administrator sees one.
type Alias struct {
	ID          directory.ID      `json:"id"`
	Address     string            `json:"address"`
	Kind        string            `json:"kind"`
	Room        string            `json:"room,omitempty"` // the address of the room
	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"`
	Everyone    bool              `json:"all_users,omitempty"`
	Members     []Member          `json:"members"`
	Reached     int               `json:"reached"`
	Settings    map[string]string `json:"settings,omitempty"` // those that are not the default
	MaxFanout   int               `json:"max_fanout"`
	Avatar      string            `json:"avatar,omitempty"` // the SHA-1 of the picture
	Created     time.Time         `json:"created"`
	Former      string            `json:"former,omitempty"` // the address before the last change of name
}

// Member is an entry of an alias.
type Member struct {
	Address   string    `json:"address"`
	Kind      string    `json:"kind"` // user, alias, xmpp, external
	Moderator bool      `json:"moderator,omitempty"`
	Since     time.Time `json:"since"`
}

var memberKinds = map[directory.MemberKind]string{
	directory.UserMember: "user", directory.AliasMember: "alias", directory.ForeignMember: "xmpp", directory.ExternalMember: "external",
}

// entry is an entry as it is shown; not ok if what it names was deleted.
func (a *Admin) entry(m directory.Member) (Member, bool) {
	v := Member{Address: m.Address, Kind: memberKinds[m.Kind], Moderator: m.Moderator, Since: m.Since}
	switch m.Kind {
	case directory.UserMember:
		u := a.Directory.ByID(m.ID)
		if u == nil {
			return v, false
		}
		v.Address = u.JID.String()
	case directory.AliasMember:
		inner := a.Directory.AliasByID(m.ID)
		if inner == nil {
			return v, false
		}
		v.Address = inner.JID.String()
	case directory.ForeignMember:
		v.Address = "xmpp:" + m.Address
	}
	return v, true
}

func (a *Admin) alias(x *directory.Alias) Alias {
	v := Alias{
		ID: x.ID, Address: x.JID.String(), Kind: string(x.Kind), Name: x.Name, Description: x.Description, Everyone: x.Everyone,
		Members: []Member{}, MaxFanout: x.Settings.Fanout(), Avatar: x.Avatar.Hash, Created: x.Created,
	}
	if x.Kind == directory.RoomAlias {
		v.Room = roomAddress(x).String()
	}
	if x.Former != "" {
		v.Former = x.Former + "@" + x.Domain
	}
	for _, m := range x.Members {
		if e, ok := a.entry(m); ok {
			v.Members = append(v.Members, e)
		}
	}
	slices.SortStableFunc(v.Members, func(a, b Member) int { return cmp.Compare(a.Address, b.Address) })
	for _, k := range directory.Knobs {
		if value := k.Of(&x.Settings); value != k.Values[0] {
			if v.Settings == nil {
				v.Settings = map[string]string{}
			}
			v.Settings[k.Name] = value
		}
	}
	if r := a.Directory.Reach(x.ID); r != nil {
		v.Reached = r.Len()
	}
	return v
}

func roomAddress(x *directory.Alias) xmpp.JID {
	j, _ := xmpp.NewJID(x.Local, muc.Service(x.Domain), "")
	return j
}

// findAlias finds the alias with an address that somebody typed.
func (a *Admin) findAlias(address string) (*directory.Alias, error) {
	local, domain, err := a.split(address)
	if err != nil {
		return nil, err
	}
	if mail, ok := strings.CutPrefix(domain, muc.Service("")); ok && a.domain(domain) == nil {
		domain = mail
	}
	if a.domain(domain) == nil {
		return nil, a.notServed(domain)
	}
	x := a.Directory.FindAlias(domain, local)
	if x == nil {
		return nil, failf(NotFound, "there is no alias %s@%s; 'confab alias list' shows all", local, domain)
	}
	return x, nil
}

func entries(members, moderators []string) []directory.NewMember {
	var list []directory.NewMember
	for _, m := range members {
		list = append(list, directory.NewMember{Address: m})
	}
	for _, m := range moderators {
		list = append(list, directory.NewMember{Address: m, Moderator: true})
	}
	return list
}

// settings sets what is named.
func settings(s *directory.AliasSettings, set map[string]string, fanout *int) error {
	for name, value := range set {
		k := directory.KnobNamed(name)
		if k == nil {
			var names []string
			for _, k := range directory.Knobs {
				names = append(names, k.Name)
			}
			return failf(Usage, "an alias has no setting %q, only %s", name, strings.Join(names, ", "))
		}
		if err := k.Set(s, value); err != nil {
			return err
		}
	}
	if fanout != nil {
		s.MaxFanout = *fanout
	}
	return nil
}

// free refuses the name of a room that people made.
func (a *Admin) free(kind directory.Kind, local, domain string) error {
	if kind != directory.RoomAlias || a.Rooms == nil {
		return nil
	}
	j, err := a.Directory.LoginJID(domain, local)
	if err != nil {
		return err
	}
	room, err := xmpp.NewJID(j.Local(), muc.Service(j.Domain()), "")
	if err != nil {
		return err
	}
	if _, ours := strings.CutPrefix(room.Domain(), muc.Service("")); ours && a.Rooms.Taken(room) {
		return failf(Conflict, "there is a room %s already, which somebody made; 'confab room show' shows it", room)
	}
	return nil
}

// AliasCreateParams ask for a new alias.
type AliasCreateParams struct {
	Address     string            `json:"address" label:"Address" form:"required"`
	Name        string            `json:"name,omitempty" label:"Name"`
	Description string            `json:"description,omitempty" label:"What it is for"`
	Room        bool              `json:"room,omitempty" label:"A group room, not a contact"`
	Everyone    bool              `json:"all_users,omitempty" label:"Its members are all users of the domain"`
	Members     []string          `json:"members,omitempty" label:"Members"`
	Moderators  []string          `json:"moderators,omitempty" label:"Members who moderate"`
	Settings    map[string]string `json:"settings,omitempty" label:"Settings"`
	MaxFanout   *int              `json:"max_fanout,omitempty" label:"How many people it may reach"`
}

func (p *AliasCreateParams) draft(local, domain string) (directory.NewAlias, error) {
	n := directory.NewAlias{
		Domain: domain, Local: local, Name: p.Name, Description: p.Description, Kind: directory.ContactAlias,
		Everyone: p.Everyone, Members: entries(p.Members, p.Moderators),
	}
	if p.Room {
		n.Kind = directory.RoomAlias
	}
	if p.Everyone {
		announce(&n.Settings)
	}
	return n, settings(&n.Settings, p.Settings, p.MaxFanout)
}

// announce is what an alias is set to that becomes one of all users: an announcement to the whole domain is not everybody's
// to make.
func announce(s *directory.AliasSettings) {
	s.Post, s.Announce = directory.PostAdmins, directory.On
}

// setEveryone makes an alias one of all users, or one of its members alone.
func setEveryone(x *directory.Alias, everyone bool) {
	if everyone && !x.Everyone {
		announce(&x.Settings)
	}
	x.Everyone = everyone
}

// AliasCreate adds an alias.
var AliasCreate = define(Operation{Name: "alias create", Title: "Make an alias", Reach: OfDomain, Audited: true}, func(c *call[None], p AliasCreateParams) (Alias, error) {
	local, domain, err := c.splitNew(p.Address)
	if err != nil {
		return Alias{}, err
	}
	if c.scope != "" && c.domain(domain) == nil {
		return Alias{}, c.notServed(domain)
	}
	n, err := p.draft(local, domain)
	if err != nil {
		return Alias{}, err
	}
	if err := c.free(n.Kind, local, domain); err != nil {
		return Alias{}, err
	}
	if err := c.Directory.AddAliases(c, n); err != nil {
		return Alias{}, err
	}
	x, err := c.findAlias(p.Address)
	if err != nil {
		return Alias{}, err
	}
	return c.alias(x), nil
})

// AliasParams name an alias.
type AliasParams struct {
	Address string `json:"address" label:"Address" form:"required"`
}

// AliasDetail is an alias with whom it reaches.
type AliasDetail struct {
	Alias
	Moderators []string          `json:"moderators,omitempty"` // those of the members
	All        map[string]string `json:"all_settings"`
	Reaches    []Reached         `json:"reaches"`
	Skips      []Skipped         `json:"skips,omitempty"`
}

// Reached is somebody whom an alias reaches.
type Reached struct {
	Address   string    `json:"address"`
	Name      string    `json:"name,omitempty"`
	Moderator bool      `json:"moderator,omitempty"`
	Through   string    `json:"through,omitempty"` // the alias inside of which the person is
	Since     time.Time `json:"since"`
	Online    bool      `json:"online,omitempty"`
	Note      string    `json:"note,omitempty"`
}

// Skipped is an entry that reaches nobody, and why.
type Skipped struct {
	Address string `json:"address"`
	Why     string `json:"why"`
	Through string `json:"through,omitempty"`
}

func (a *Admin) online(j xmpp.JID) bool {
	if a.Live == nil {
		return false
	}
	account := a.Live.Router.Account(j)
	return account != nil && len(account.Available(nil)) > 0
}

// AliasShow tells all about an alias.
var AliasShow = define(Operation{Name: "alias show", Title: "Show an alias", Reach: OfDomain}, func(c *call[None], p AliasParams) (AliasDetail, error) {
	x, err := c.findAlias(p.Address)
	if err != nil {
		return AliasDetail{}, err
	}
	d := AliasDetail{Alias: c.alias(x), All: map[string]string{}, Reaches: []Reached{}}
	for _, k := range directory.Knobs {
		d.All[k.Name] = k.Of(&x.Settings)
	}
	for _, m := range d.Members {
		if m.Moderator {
			d.Moderators = append(d.Moderators, m.Address)
		}
	}
	through := func(inner *directory.Alias) string {
		if inner == nil {
			return ""
		}
		return inner.JID.String()
	}
	r := c.Directory.Reach(x.ID)
	if r == nil {
		return d, nil
	}
	for _, u := range r.Users {
		d.Reaches = append(d.Reaches, Reached{
			Address: u.User.JID.String(), Name: u.User.Name, Moderator: u.Moderator, Through: through(u.Through), Since: u.Since,
			Online: c.online(u.User.JID),
		})
	}
	for _, s := range r.Skipped {
		d.Skips = append(d.Skips, Skipped{s.Address, s.Why, through(s.Through)})
	}
	for _, f := range r.Foreign {
		d.Skips = append(d.Skips, Skipped{"xmpp:" + f.JID.String(), "on another server, and there is no federation", through(f.Through)})
	}
	return d, nil
})

// AliasListParams choose aliases.
type AliasListParams struct {
	Domain string `json:"domain,omitempty"`
	Member string `json:"member,omitempty" label:"Only those that reach this user"`
	Rooms  bool   `json:"rooms,omitempty" label:"Only rooms"`
}

// AliasListed says how many aliases there were.
type AliasListed struct {
	Aliases int `json:"aliases"`
}

// AliasList streams aliases by address.
var AliasList = define(Operation{Name: "alias list", Title: "List aliases", Reach: OfDomain}, func(c *call[Alias], p AliasListParams) (AliasListed, error) {
	var n AliasListed
	if p.Domain != "" && c.domain(p.Domain) == nil {
		return n, c.notServed(p.Domain)
	}
	var member *directory.User
	if p.Member != "" {
		var err error
		if member, err = c.find(p.Member); err != nil {
			return n, err
		}
	}
	for _, m := range c.domains() {
		all, _ := m.Aliases()
		for _, x := range all {
			if p.Domain != "" && p.Domain != m.Name() || p.Rooms && x.Kind != directory.RoomAlias {
				continue
			}
			if member != nil {
				r := c.Directory.Reach(x.ID)
				if r == nil {
					continue
				}
				if _, ok := r.Member(member.ID); !ok {
					continue
				}
			}
			if err := c.item(c.alias(x)); err != nil {
				return n, err
			}
			n.Aliases++
		}
	}
	return n, nil
})

// AliasSetParams change what is not nil.
type AliasSetParams struct {
	Address     string            `json:"address" label:"Address" form:"required"`
	Name        *string           `json:"name,omitempty" label:"Name"`
	Description *string           `json:"description,omitempty" label:"What it is for"`
	Moderators  *[]string         `json:"moderators,omitempty" label:"Members who moderate"`
	Everyone    *bool             `json:"all_users,omitempty" label:"Its members are all users of the domain"`
	Settings    map[string]string `json:"settings,omitempty" label:"Settings"`
	MaxFanout   *int              `json:"max_fanout,omitempty" label:"How many people it may reach"`
	Avatar      *[]byte           `json:"avatar,omitempty"` // a picture; empty: none
}

// audited leaves the picture out of the audit log, but for its length.
func (p AliasSetParams) audited() any {
	if p.Avatar == nil {
		return p
	}
	size := len(*p.Avatar)
	p.Avatar = nil
	return struct {
		AliasSetParams
		Bytes int `json:"avatar_bytes"`
	}{p, size}
}

// AliasSet changes an alias.
var AliasSet = define(Operation{Name: "alias set", Title: "Change an alias's name or settings", Reach: OfDomain, Audited: true}, func(c *call[None], p AliasSetParams) (Alias, error) {
	return c.updateAlias(p.Address, directory.Membership{Moderators: p.Moderators}, func(x *directory.Alias) error {
		if p.Name != nil {
			x.Name = *p.Name
		}
		if p.Description != nil {
			x.Description = *p.Description
		}
		if p.Everyone != nil {
			setEveryone(x, *p.Everyone)
		}
		if p.Avatar != nil && len(*p.Avatar) == 0 {
			x.SetAvatar(nil)
		} else if p.Avatar != nil {
			pic, err := picture.New(*p.Avatar, "")
			if err != nil {
				return failf(Usage, "%v", err)
			}
			x.SetAvatar(&pic)
		}
		return settings(&x.Settings, p.Settings, p.MaxFanout)
	})
})

func (c *call[I]) updateAlias(address string, m directory.Membership, fn func(*directory.Alias) error) (Alias, error) {
	x, err := c.findAlias(address)
	if err != nil {
		return Alias{}, err
	}
	if err := c.Directory.UpdateAlias(c, x.ID, m, fn); err != nil {
		return Alias{}, err
	}
	return c.alias(c.Directory.AliasByID(x.ID)), nil
}

// AliasMembersParams name members of an alias.
type AliasMembersParams struct {
	Address    string   `json:"address" label:"Address" form:"required"`
	Members    []string `json:"members,omitempty" label:"Members"`
	Moderators []string `json:"moderators,omitempty" label:"Members who moderate"`
}

// AliasAdd adds members.
var AliasAdd = define(Operation{Name: "alias add", Title: "Add members to an alias", Reach: OfDomain, Audited: true}, func(c *call[None], p AliasMembersParams) (Alias, error) {
	return c.updateAlias(p.Address, directory.Membership{Add: entries(p.Members, p.Moderators)}, nil)
})

// AliasRemove removes members.
var AliasRemove = define(Operation{Name: "alias remove", Title: "Remove members from an alias", Reach: OfDomain, Audited: true}, func(c *call[None], p AliasMembersParams) (Alias, error) {
	return c.updateAlias(p.Address, directory.Membership{Remove: append(p.Members, p.Moderators...)}, nil)
})

// AliasRenameParams give an alias another address.
type AliasRenameParams struct {
	Address string `json:"address" label:"Address" form:"required"`
	To      string `json:"to" label:"New address" form:"required"`
}

// AliasRename gives an alias another localpart. The old address is good for another 30 days.
var AliasRename = define(Operation{Name: "alias rename", Title: "Give an alias another address", Reach: OfDomain, Audited: true}, func(c *call[None], p AliasRenameParams) (Alias, error) {
	x, err := c.findAlias(p.Address)
	if err != nil {
		return Alias{}, err
	}
	to := p.To
	if !strings.Contains(to, "@") {
		to += "@" + x.Domain
	}
	local, domain, err := c.splitNew(to)
	if err != nil {
		return Alias{}, err
	}
	if !strings.EqualFold(domain, x.Domain) {
		return Alias{}, failf(Usage, "an alias stays on its domain, %s", x.Domain)
	}
	if err := c.free(x.Kind, local, x.Domain); err != nil {
		return Alias{}, err
	}
	return c.updateAlias(p.Address, directory.Membership{}, func(x *directory.Alias) error {
		x.Local = local
		return nil
	})
})

// AliasConvertParams make an alias one of the other kind.
type AliasConvertParams struct {
	Address string `json:"address" label:"Address" form:"required"`
	To      string `json:"to,omitempty" label:"To" choice:"contact|room"` // contact or room; empty: what it is not
}

// AliasConvert makes a contact a room, or a room a contact.
var AliasConvert = define(Operation{Name: "alias convert", Title: "Make a contact a room, or a room a contact", Reach: OfDomain, Audited: true}, func(c *call[None], p AliasConvertParams) (Alias, error) {
	x, err := c.findAlias(p.Address)
	if err != nil {
		return Alias{}, err
	}
	to := directory.Kind(p.To)
	if to == "" {
		if to = directory.RoomAlias; x.Kind == to {
			to = directory.ContactAlias
		}
	}
	if err := c.free(to, x.Local, x.Domain); err != nil {
		return Alias{}, err
	}
	return c.updateAlias(p.Address, directory.Membership{}, func(x *directory.Alias) error {
		x.Kind = to
		return nil
	})
})

// AliasDelete deletes an alias. What people have of the conversations stays theirs.
var AliasDelete = define(Operation{Name: "alias delete", Title: "Delete an alias", Reach: OfDomain, Audited: true}, func(c *call[None], p AliasParams) (Alias, error) {
	x, err := c.findAlias(p.Address)
	if err != nil {
		return Alias{}, err
	}
	v := c.alias(x)
	return v, c.Directory.DeleteAlias(c, x.ID)
})
