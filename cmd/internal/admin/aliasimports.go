package admin

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"confab/xmpp/directory"
)

// AliasImportParams ask for many aliases at once.
type AliasImportParams struct {
	Aliases []ImportAlias `json:"aliases"`
	DryRun  bool          `json:"dry_run,omitempty"`
	Update  bool          `json:"update,omitempty"` // give those that exist the members that the list says
	Skip    bool          `json:"skip,omitempty"`   // leave out what cannot be imported, and import the others
}

func (p AliasImportParams) audited() any {
	return map[string]any{"aliases": len(p.Aliases), "dry_run": p.DryRun, "update": p.Update, "skip": p.Skip}
}

// ImportAlias is an alias of a list.
type ImportAlias struct {
	Line        int               `json:"line"` // in the administrator's file
	Address     string            `json:"address"`
	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"`
	Room        bool              `json:"room,omitempty"`
	Everyone    bool              `json:"all_users,omitempty"`
	Members     []string          `json:"members"`
	Moderators  []string          `json:"moderators,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`
	Notes       []string          `json:"notes,omitempty"` // what of the line is left out
	Problem     string            `json:"problem,omitempty"`
}

// AliasLine says what becomes of an alias of a list.
type AliasLine struct {
	Line    int      `json:"line"`
	Address string   `json:"address"`
	Action  string   `json:"action"` // add, update, refuse
	Reaches int      `json:"reaches"`
	Notes   []string `json:"notes,omitempty"`
}

// The actions.
const (
	ActionAdd    = "add"
	ActionUpdate = "update"
	ActionRefuse = "refuse"
)

// AliasImported says what an import did, or would do.
type AliasImported struct {
	Added   int `json:"added"`
	Updated int `json:"updated"`
	Refused int `json:"refused"`
}

// aliasImport is a list on its way in.
type aliasImport struct {
	fresh  []directory.NewAlias
	places []int // of fresh, in the list
	old    map[int]*directory.Alias
	lines  []AliasLine
	code   Code
}

func (i *aliasImport) refuse(at int, err error) {
	i.lines[at].Action = ActionRefuse
	i.lines[at].Notes = append(i.lines[at].Notes, err.Error())
	if errors.Is(err, directory.ErrExists) || CodeOf(err) == Conflict {
		i.code = Conflict
	}
}

// AliasImport adds many aliases, which may be members of one another. It streams what becomes of each. If one is refused,
// nothing is done, unless those are to be left out.
var AliasImport = define(Operation{Name: "alias import", Audited: true}, func(c *call[AliasLine], p AliasImportParams) (AliasImported, error) {
	in := c.sortAliases(p)
	var n AliasImported
	for i := range in.lines {
		l := &in.lines[i]
		switch l.Action {
		case ActionAdd:
			n.Added++
		case ActionUpdate:
			n.Updated++
		default:
			n.Refused++
		}
		if err := c.item(*l); err != nil {
			return n, err
		}
	}
	if p.DryRun {
		return n, nil
	}
	if n.Refused > 0 && !p.Skip {
		return n, failf(in.code, "%d of %d aliases cannot be imported; --dry-run tells which, --skip leaves them out; nothing was imported", n.Refused, len(p.Aliases))
	}
	if err := c.Directory.AddAliases(c, in.fresh...); err != nil {
		return n, err
	}
	c.progress(n.Added, n.Added+n.Updated)
	done := n.Added
	for _, i := range slices.Sorted(maps.Keys(in.old)) {
		x := in.old[i]
		list := entries(p.Aliases[i].Members, p.Aliases[i].Moderators)
		err := c.Directory.UpdateAlias(c, x.ID, directory.Membership{Replace: &list, Lenient: true}, func(x *directory.Alias) error {
			if p.Aliases[i].Name != "" {
				x.Name = p.Aliases[i].Name
			}
			return settings(&x.Settings, p.Aliases[i].Settings, nil)
		})
		if err != nil {
			return n, failf(Failed, "line %d: %v; the aliases before it were imported", p.Aliases[i].Line, err)
		}
		done++
		c.progress(done, n.Added+n.Updated)
	}
	return n, nil
})

// sortAliases finds out what would become of each alias of a list.
func (c *call[I]) sortAliases(p AliasImportParams) *aliasImport {
	in := &aliasImport{lines: make([]AliasLine, len(p.Aliases)), old: map[int]*directory.Alias{}, code: Usage}
	seen := make(map[directory.ID]bool) // of old
	for i, a := range p.Aliases {
		in.lines[i] = AliasLine{Line: a.Line, Address: a.Address, Action: ActionAdd, Notes: slices.Clone(a.Notes)}
		if a.Problem != "" {
			in.refuse(i, failf(Usage, "%s", a.Problem))
			continue
		}
		local, domain, err := c.split(a.Address)
		if err != nil {
			in.refuse(i, err)
			continue
		}
		if j, err := c.Directory.LoginJID(domain, local); err == nil && p.Update {
			if x := c.Directory.Alias(j); x != nil {
				in.lines[i].Action, in.lines[i].Address = ActionUpdate, x.JID.String()
				if seen[x.ID] {
					in.refuse(i, failf(Conflict, "%s is in the list twice", x.JID))
					continue
				}
				seen[x.ID], in.old[i] = true, x
				continue
			}
		}
		q := AliasCreateParams{Name: a.Name, Description: a.Description, Room: a.Room, Everyone: a.Everyone, Members: a.Members, Moderators: a.Moderators, Settings: a.Settings}
		n, err := q.draft(local, domain)
		if err == nil {
			err = c.free(n.Kind, local, domain)
		}
		if err != nil {
			in.refuse(i, err)
			continue
		}
		n.Lenient = true
		in.fresh, in.places = append(in.fresh, n), append(in.places, i)
	}
	drafts := c.Directory.CheckAliases(in.fresh, func(i int, err error) { in.refuse(in.places[i], err) })
	var keep []directory.NewAlias
	for i, x := range drafts {
		if x == nil {
			continue
		}
		keep = append(keep, in.fresh[i])
		l := &in.lines[in.places[i]]
		l.Address = x.JID.String()
		l.Reaches, l.Notes = reaches(x), append(l.Notes, c.remarks(x)...)
	}
	in.fresh = keep
	return in
}

// reaches counts the entries that somebody may be behind.
func reaches(x *directory.Alias) (n int) {
	for _, m := range x.Members {
		if m.Kind != directory.ExternalMember {
			n++
		}
	}
	return n
}

// remarks says what of an alias has no chat.
func (c *call[I]) remarks(x *directory.Alias) (notes []string) {
	var external, nobody []string
	for _, m := range x.Members {
		if m.Kind != directory.ExternalMember {
			continue
		}
		if _, host, _ := strings.Cut(m.Address, "@"); host == x.Domain {
			nobody = append(nobody, m.Address)
		} else {
			external = append(external, m.Address)
		}
	}
	if len(external) > 0 {
		notes = append(notes, "external, no chat: "+strings.Join(external, ", "))
	}
	if len(nobody) > 0 {
		notes = append(notes, "nobody has this address yet: "+strings.Join(nobody, ", "))
	}
	if !x.Everyone && reaches(x) == 0 {
		notes = append(notes, "reaches nobody")
	}
	return notes
}
