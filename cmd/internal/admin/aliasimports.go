package admin

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"confab/xmpp/directory"
)

// AliasImportParams ask for many aliases at once.
type AliasImportParams struct {
	Aliases []ImportAlias `json:"aliases"`
	DryRun  bool          `json:"dry_run,omitempty"`
	Update  bool          `json:"update,omitempty"` // change those that exist into what the list says
	Skip    bool          `json:"skip,omitempty"`   // leave out what cannot be imported, and import the others
}

func (p AliasImportParams) audited() any {
	return map[string]any{"aliases": len(p.Aliases), "dry_run": p.DryRun, "update": p.Update, "skip": p.Skip}
}

// ImportAlias is an alias of a list. Of one that exists, what is empty stays, and so do the members, or who of them
// moderates, if that is not said at all.
type ImportAlias struct {
	Line        int               `json:"line"` // in the administrator's file
	Address     string            `json:"address"`
	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"`
	Room        bool              `json:"room,omitempty"`
	Everyone    bool              `json:"all_users,omitempty"`
	Members     []string          `json:"members,omitzero"`
	Moderators  []string          `json:"moderators,omitzero"`
	Settings    map[string]string `json:"settings,omitempty"`
	Notes       []string          `json:"notes,omitempty"` // what of the line is left out
	Problem     string            `json:"problem,omitempty"`
}

// AliasLine says what becomes of an alias of a list.
type AliasLine struct {
	Line    int      `json:"line"`
	Address string   `json:"address"`
	Action  string   `json:"action"` // add, update, keep, refuse
	Reaches int      `json:"reaches"`
	Notes   []string `json:"notes,omitempty"`
}

// The actions.
const (
	ActionAdd    = "add"
	ActionUpdate = "update"
	ActionKeep   = "keep"
	ActionRefuse = "refuse"
)

// AliasImported says what an import did, or would do.
type AliasImported struct {
	Added   int `json:"added"`
	Updated int `json:"updated"`
	Kept    int `json:"kept"` // as they were
	Refused int `json:"refused"`
}

// aliasImport is a list on its way in.
type aliasImport struct {
	batch         directory.AliasBatch
	adds, changes []int // places of the batch's in the list
	lines         []AliasLine
	code          Code
}

// place is where in the list the one is that has a place in the batch.
func (i *aliasImport) place(at int) int {
	if at < len(i.adds) {
		return i.adds[at]
	}
	return i.changes[at-len(i.adds)]
}

func (i *aliasImport) refuse(at int, err error) {
	i.lines[at].Action = ActionRefuse
	i.lines[at].Notes = append(i.lines[at].Notes, err.Error())
	if errors.Is(err, directory.ErrExists) || CodeOf(err) == Conflict {
		i.code = Conflict
	}
}

func (i *aliasImport) note(at int, notes ...string) {
	i.lines[at].Notes = append(i.lines[at].Notes, notes...)
}

// AliasImport adds many aliases, which may be members of one another, and changes others, all in one transaction. It streams
// what becomes of each. If one is refused, nothing is done, unless those are to be left out.
var AliasImport = define(Operation{Name: "alias import", Audited: true}, func(c *call[AliasLine], p AliasImportParams) (AliasImported, error) {
	var n AliasImported
	in, err := c.sortAliases(p)
	if err != nil {
		return n, err
	}
	for i := range in.lines {
		l := &in.lines[i]
		switch l.Action {
		case ActionAdd:
			n.Added++
		case ActionUpdate:
			n.Updated++
		case ActionKeep:
			n.Kept++
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
	if err := c.Directory.ChangeAliases(c, in.batch); err != nil {
		return n, failf(CodeOf(err), "%v; nothing was imported", err)
	}
	c.progress(n.Added+n.Updated, n.Added+n.Updated)
	return n, nil
})

// sortAliases finds out what would become of each alias of a list.
func (c *call[I]) sortAliases(p AliasImportParams) (*aliasImport, error) {
	in := &aliasImport{lines: make([]AliasLine, len(p.Aliases)), code: Usage}
	seen := make(map[directory.ID]bool) // of those that exist
	for i := range p.Aliases {
		a := &p.Aliases[i]
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
				if seen[x.ID] = true; a.Room && x.Kind != directory.RoomAlias {
					in.note(i, fmt.Sprintf("stays a contact: 'confab alias convert %s' makes it a room", x.Local))
				}
				in.batch.Update, in.changes = append(in.batch.Update, a.update(x)), append(in.changes, i)
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
		in.batch.Add, in.adds = append(in.batch.Add, n), append(in.adds, i)
	}
	return in, c.checkAliases(in)
}

// update is what a list says of an alias that exists.
func (a *ImportAlias) update(x *directory.Alias) directory.AliasUpdate {
	u := directory.AliasUpdate{ID: x.ID, Set: func(x *directory.Alias) error {
		x.Name, x.Description = cmp.Or(a.Name, x.Name), cmp.Or(a.Description, x.Description)
		if a.Everyone || a.Members != nil {
			setEveryone(x, a.Everyone)
		}
		return settings(&x.Settings, a.Settings, nil)
	}}
	u.Lenient, u.Moderate = true, a.Moderators == nil
	if a.Members != nil {
		list := entries(a.Members, a.Moderators)
		u.Replace = &list
	} else if a.Moderators != nil {
		u.Moderators = &a.Moderators
	}
	return u
}

// checkAliases leaves those out that the directory refuses. The error is a reason that concerns none of the list.
func (c *call[I]) checkAliases(in *aliasImport) error {
	drafts, err := c.Directory.CheckAliases(c, in.batch, func(at int, err error) { in.refuse(in.place(at), err) })
	if err != nil {
		return failf(CodeOf(err), "%v; nothing was imported", err)
	}
	var keep directory.AliasBatch
	for at, x := range drafts {
		if x == nil {
			continue
		}
		place := in.place(at)
		l := &in.lines[place]
		l.Address, l.Reaches = x.JID.String(), reaches(x)
		switch {
		case at < len(in.adds):
			keep.Add = append(keep.Add, in.batch.Add[at])
		case x == c.Directory.AliasByID(x.ID):
			l.Action = ActionKeep
			continue
		default:
			keep.Update = append(keep.Update, in.batch.Update[at-len(in.adds)])
		}
		in.note(place, c.remarks(x)...)
	}
	in.batch = keep
	return nil
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
