package main

import (
	"cmp"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
	"confab/xmpp/directory"
	"confab/xmpp/picture"
)

func (a *app) aliasCommand() *cobra.Command {
	return group("alias", "Manage the mail aliases that people talk to",
		a.aliasCreate(), a.aliasShow(), a.aliasList(), a.aliasSet(), a.aliasAdd(), a.aliasRemove(), a.aliasRename(),
		a.aliasConvert(), a.aliasDelete(), a.aliasImport(), a.aliasExport())
}

const aliasHelp = `ALIAS is an address like sales@example.com, or sales if there is one domain.`

const memberHelp = `A MEMBER is a user (alice, alice@example.com), another alias, an address of another
Jabber server (xmpp:eve@example.org), or a mail address, which has no chat.`

// knobFlags gives a command a flag for each setting of an alias, and returns what collects those that were given.
func knobFlags(c *cobra.Command) func() (map[string]string, *int) {
	for _, k := range directory.Knobs {
		c.Flags().String(k.Name, k.Values[0], k.Help+": `"+strings.Join(k.Values, "|")+"`")
	}
	fanout := c.Flags().Int("max-fanout", directory.DefaultMaxFanout, "how many `people` it may reach")
	return func() (map[string]string, *int) {
		set := map[string]string{}
		for _, k := range directory.Knobs {
			if f := c.Flags().Lookup(k.Name); f.Changed {
				set[k.Name] = f.Value.String()
			}
		}
		if c.Flags().Changed("max-fanout") {
			return set, fanout
		}
		return set, nil
	}
}

func (a *app) aliasCreate() *cobra.Command {
	var p admin.AliasCreateParams
	var set func() (map[string]string, *int)
	c := &cobra.Command{
		Use:   "create ALIAS [MEMBER…]",
		Short: "Make an alias",
		Long: `Make an alias: a contact that reaches all its members, or with --room a group room that
appears by itself in their clients. Open clients show it at once.

` + aliasHelp + "\n" + memberHelp,
		Example: `  confab alias create sales alice bob --name 'Sales'
  confab alias create board alice bob carol --room --moderator alice
  confab alias create all --all-users --name 'Everybody'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address, p.Members = args[0], args[1:]
			p.Settings, p.MaxFanout = set()
			v, err := perform(a, c, admin.AliasCreate, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.aliasChanged(v, "created")
		},
	}
	c.Flags().BoolVar(&p.Room, "room", false, "make it a group room, not a contact")
	c.Flags().BoolVar(&p.Everyone, "all-users", false, "its members are all users of the domain, kept current; administrators write to it")
	c.Flags().StringVar(&p.Name, "name", "", "display `name`")
	c.Flags().StringVar(&p.Description, "description", "", "what it is for, as `text`")
	c.Flags().StringArrayVar(&p.Moderators, "moderator", nil, "a `member` who moderates; may be repeated")
	set = knobFlags(c)
	return a.jsonFlag(c)
}

// aliasChanged prints what became of an alias.
func (a *app) aliasChanged(v admin.Alias, what string) error {
	if a.json {
		return a.printJSON(v)
	}
	at := ""
	if v.Room != "" {
		at = ", room " + v.Room
	}
	a.printf("%s: %s%s, reaches %d\n", v.Address, what, at, v.Reached)
	return nil
}

func (a *app) aliasShow() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "show ALIAS",
		Short:   "Show an alias: who is reached, who is skipped and why",
		Long:    "Show an alias: its entries and settings, who is reached, who is skipped and why.\n\n" + aliasHelp,
		Example: "  confab alias show sales",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := perform(a, c, admin.AliasShow, admin.AliasParams{Address: args[0]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(d)
			}
			return a.showAlias(d)
		},
	})
}

func (a *app) showAlias(d admin.AliasDetail) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row(w, "address", d.Address)
	row(w, "kind", d.Kind)
	for _, line := range [][2]string{{"room", d.Room}, {"name", d.Name}, {"description", d.Description}, {"picture", d.Avatar}, {"formerly", d.Former}} {
		if line[1] != "" {
			row(w, line[0], line[1])
		}
	}
	row(w, "created", localTime(d.Created))
	if err := w.Flush(); err != nil {
		return err
	}
	if d.Everyone {
		row(w, "entry", "all users of the domain")
	}
	for _, m := range d.Members {
		row(w, "entry", m.Address, entryNote(m))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(d.All)) {
		if v, own := d.Settings[k]; own {
			row(w, "setting", k+" = "+v)
		} else {
			row(w, "setting", k+" = "+d.All[k], "(default)")
		}
	}
	row(w, "setting", "max-fanout = "+strconv.Itoa(d.MaxFanout))
	if err := w.Flush(); err != nil {
		return err
	}
	a.printf("reaches %d:\n", len(d.Reaches))
	for _, r := range d.Reaches {
		row(w, "  "+r.Address, r.Name, reachedNote(r))
	}
	if err := w.Flush(); err != nil || len(d.Skips) == 0 {
		return err
	}
	a.printf("skips %d:\n", len(d.Skips))
	for _, s := range d.Skips {
		row(w, "  "+plain(s.Address), s.Why, through(s.Through))
	}
	return w.Flush()
}

func entryNote(m admin.Member) string {
	note := ""
	if m.Kind != "user" {
		note = m.Kind
	}
	if m.Moderator {
		note = strings.TrimPrefix(note+", moderator", ", ")
	}
	return note
}

func through(alias string) string {
	if alias == "" {
		return ""
	}
	return "through " + alias
}

func reachedNote(r admin.Reached) string {
	var words []string
	if r.Online {
		words = append(words, "online")
	}
	if r.Moderator {
		words = append(words, "moderator")
	}
	if r.Through != "" {
		words = append(words, through(r.Through))
	}
	return strings.Join(words, ", ")
}

func (a *app) aliasList() *cobra.Command {
	var p admin.AliasListParams
	c := &cobra.Command{
		Use:   "list",
		Short: "List aliases",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			_, err := perform(a, c, admin.AliasList, p, admin.Receiver[admin.Alias]{Item: func(v admin.Alias) error {
				if a.json {
					return a.printJSON(v)
				}
				if rows++; rows == 1 {
					row(w, "ADDRESS", "KIND", "NAME", "REACHES")
				}
				row(w, v.Address, v.Kind, cmp.Or(v.Name, "-"), strconv.Itoa(v.Reached))
				return nil
			}})
			if err != nil {
				return err
			}
			if rows == 0 && !a.json {
				a.note("no aliases; 'confab alias create' makes one, 'confab alias import' many")
			}
			return w.Flush()
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "only of this `domain`")
	c.Flags().StringVar(&p.Member, "member", "", "only those that reach this `user`")
	c.Flags().BoolVar(&p.Rooms, "rooms", false, "only those that are rooms")
	return a.jsonFlag(c)
}

func (a *app) aliasSet() *cobra.Command {
	var p admin.AliasSetParams
	var name, description string
	var moderators []string
	var everyone bool
	var avatar string
	var set func() (map[string]string, *int)
	c := &cobra.Command{
		Use:   "set ALIAS",
		Short: "Change the name, the picture, the moderators or the settings of an alias",
		Long:  "Change the name, the picture, the moderators or the settings of an alias.\nOpen clients show it at once.\n\n" + aliasHelp,
		Example: `  confab alias set sales --name 'Sales and service' --post members
  confab alias set sales --avatar sales.png
  confab alias set board --moderator alice --moderator bob    # these, and nobody else`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			p.Settings, p.MaxFanout = set()
			given := c.Flags().Changed
			if given("name") {
				p.Name = &name
			}
			if given("description") {
				p.Description = &description
			}
			if given("moderator") {
				moderators = slices.DeleteFunc(moderators, func(s string) bool { return s == "" })
				p.Moderators = &moderators
			}
			if given("all-users") {
				p.Everyone = &everyone
			}
			if given("avatar") {
				p.Avatar = &[]byte{} // nil would be left out
				if avatar != "" {
					var err error
					if *p.Avatar, err = readPicture(avatar); err != nil {
						return err
					}
				}
			}
			if c.Flags().NFlag() == 0 {
				return usagef("say what to change; 'confab alias set --help' names the settings")
			}
			v, err := perform(a, c, admin.AliasSet, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.aliasChanged(v, "changed")
		},
	}
	c.Flags().StringVar(&name, "name", "", "display `name`")
	c.Flags().StringVar(&description, "description", "", "what it is for, as `text`")
	c.Flags().StringArrayVar(&moderators, "moderator", nil, "a `member` who moderates, in place of those who do; may be repeated, '' for nobody")
	c.Flags().BoolVar(&everyone, "all-users", false, "its members are all users of the domain; administrators write to it")
	c.Flags().StringVar(&avatar, "avatar", "", "its picture: a `file` of an image, 128 KiB at most; '' for none")
	set = knobFlags(c)
	return a.jsonFlag(c)
}

// readPicture reads a file that should be a picture.
func readPicture(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, picture.Max+1))
	if err != nil {
		return nil, err
	}
	if _, err := picture.New(data, ""); err != nil {
		return nil, usagef("%s: %v", name, err)
	}
	return data, nil
}

func (a *app) aliasAdd() *cobra.Command {
	var p admin.AliasMembersParams
	var moderator bool
	c := &cobra.Command{
		Use:     "add ALIAS MEMBER…",
		Short:   "Add members to an alias",
		Long:    "Add members to an alias.\n\n" + aliasHelp + "\n" + memberHelp,
		Example: "  confab alias add sales carol 'dave@example.com'",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			if p.Members = args[1:]; moderator {
				p.Members, p.Moderators = nil, args[1:]
			}
			v, err := perform(a, c, admin.AliasAdd, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.aliasChanged(v, "changed")
		},
	}
	c.Flags().BoolVar(&moderator, "moderator", false, "they moderate")
	return a.jsonFlag(c)
}

func (a *app) aliasRemove() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "remove ALIAS MEMBER…",
		Short:   "Remove members from an alias",
		Long:    "Remove members from an alias. What they have of the conversation stays theirs; they\nleave its room at once.\n\n" + aliasHelp,
		Example: "  confab alias remove sales carol",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := perform(a, c, admin.AliasRemove, admin.AliasMembersParams{Address: args[0], Members: args[1:]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.aliasChanged(v, "changed")
		},
	})
}

func (a *app) aliasRename() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "rename ALIAS NEW",
		Short: "Give an alias another address",
		Long: `Give an alias another address. It stays the same alias: members, settings and history go along, and
for 30 days what is written to the old address is taken as if it were the new one.

` + aliasHelp,
		Example: "  confab alias rename sales orders",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := perform(a, c, admin.AliasRename, admin.AliasRenameParams{Address: args[0], To: args[1]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.aliasChanged(v, "renamed")
		},
	})
}

func (a *app) aliasConvert() *cobra.Command {
	var p admin.AliasConvertParams
	c := &cobra.Command{
		Use:   "convert ALIAS",
		Short: "Make a contact a room, or a room a contact",
		Long: `Make a contact a room, or a room a contact. What was said stays where it was said: in people's
own histories, or in the history of the room, which is there again when the alias is a room again.

` + aliasHelp,
		Example: "  confab alias convert sales",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			v, err := perform(a, c, admin.AliasConvert, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.aliasChanged(v, "is a "+v.Kind)
		},
	}
	c.Flags().StringVar(&p.To, "to", "", "`contact|room`; default: what it is not")
	return a.jsonFlag(c)
}

func (a *app) aliasDelete() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "delete ALIAS",
		Short: "Delete an alias",
		Long: `Delete an alias. What people have of its conversation stays theirs. A later alias of the same
address inherits nothing.

` + aliasHelp,
		Example: "  confab alias delete sales",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.confirm(yes, "Delete the alias "+args[0]+"?"); err != nil {
				return err
			}
			v, err := perform(a, c, admin.AliasDelete, admin.AliasParams{Address: args[0]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(v)
			}
			a.printf("%s: deleted\n", v.Address)
			return nil
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return a.jsonFlag(c)
}
