package main

import (
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
)

func (a *app) userCommand() *cobra.Command {
	return group("user", "Manage the users of the domains",
		a.userAdd(), a.userPasswd(), a.userSet(), a.userDisable(), a.userEnable(), a.userDelete(), a.userList(),
		a.userShow(), a.userSessions(), a.userKick(), a.userRoster(), a.userStats(), a.userImport(),
		a.userExport(), a.userInvite(), a.userInvitations(), a.userUninvite())
}

const addressHelp = `USER is an address like alice@example.com, or alice if there is one domain.`

func (a *app) userAdd() *cobra.Command {
	var p admin.UserAddParams
	var noPassword bool
	c := &cobra.Command{
		Use:   "add USER",
		Short: "Add a user",
		Long: `Add a user, who can log in at once and appears in the others' contact lists.

` + addressHelp + `
The password comes from a prompt or standard input, or is generated and printed.`,
		Example: `  confab user add alice@example.com --name 'Alice Archer' --group Sales --generate
  pass show alice | confab user add alice`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			if !p.Generate && !noPassword {
				var err error
				if p.Password, err = a.readPassword(p.Address); err != nil {
					return err
				}
			}
			u, err := perform(a, c, admin.UserAdd, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.changed(u, "added")
		},
	}
	c.Flags().StringVar(&p.Name, "name", "", "display `name`")
	c.Flags().StringArrayVar(&p.Groups, "group", nil, "department or other `group`; may be repeated")
	c.Flags().BoolVar(&p.Hidden, "hidden", false, "leave the user out of contact lists")
	c.Flags().BoolVar(&p.Disabled, "disabled", false, "add the user without letting anybody log in")
	c.Flags().BoolVar(&p.Admin, "admin", false, "make the user an administrator of the domain")
	c.Flags().BoolVar(&p.Generate, "generate", false, "generate the password and print it")
	c.Flags().BoolVar(&noPassword, "no-password", false, "set no password: nobody can log in until there is one")
	c.MarkFlagsMutuallyExclusive("generate", "no-password")
	return a.jsonFlag(c)
}

// changed prints what became of a user.
func (a *app) changed(u admin.User, what string) error {
	if a.json {
		return a.printJSON(u)
	}
	a.printf("%s: %s\n", u.Address, what)
	if u.Password != "" {
		a.printf("password: %s\n", u.Password)
	}
	return nil
}

func (a *app) userPasswd() *cobra.Command {
	var p admin.UserPasswordParams
	c := &cobra.Command{
		Use:   "passwd USER",
		Short: "Set a user's password",
		Long: `Set a user's password. Sessions that are open stay open: end them with
'confab user kick USER' if the old password is in wrong hands.

` + addressHelp + `
The password comes from a prompt or standard input, or is generated and printed.`,
		Example: "  confab user passwd alice --generate",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			if !p.Generate {
				var err error
				if p.Password, err = a.readPassword(p.Address); err != nil {
					return err
				}
			}
			u, err := perform(a, c, admin.UserPassword, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.changed(u, "password set")
		},
	}
	c.Flags().BoolVar(&p.Generate, "generate", false, "generate the password and print it")
	return a.jsonFlag(c)
}

func (a *app) userSet() *cobra.Command {
	var p admin.UserSetParams
	var name string
	var groups []string
	var hidden, isAdmin bool
	c := &cobra.Command{
		Use:   "set USER",
		Short: "Change a user's name, groups or role",
		Long: `Change a user's name, groups or role. Open clients of the others show it at once.

` + addressHelp,
		Example: `  confab user set alice --name 'Alice Baker' --add-group Board
  confab user set alice --group ''          # in no group
  confab user set alice --hidden=false`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			given := c.Flags().Changed
			if given("name") {
				p.Name = &name
			}
			if given("group") {
				p.Groups = &groups
			}
			if given("hidden") {
				p.Hidden = &hidden
			}
			if given("admin") {
				p.Admin = &isAdmin
			}
			if p.Name == nil && p.Groups == nil && p.Hidden == nil && p.Admin == nil && len(p.AddGroups)+len(p.RemoveGroups) == 0 {
				return usagef("say what to change: --name, --group, --add-group, --remove-group, --hidden or --admin")
			}
			u, err := perform(a, c, admin.UserSet, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.changed(u, "changed")
		},
	}
	c.Flags().StringVar(&name, "name", "", "display `name`")
	c.Flags().StringArrayVar(&groups, "group", nil, "`group` in place of all that the user is in; may be repeated")
	c.Flags().StringArrayVar(&p.AddGroups, "add-group", nil, "another `group`; may be repeated")
	c.Flags().StringArrayVar(&p.RemoveGroups, "remove-group", nil, "a `group` to leave; may be repeated")
	c.Flags().BoolVar(&hidden, "hidden", false, "leave the user out of contact lists")
	c.Flags().BoolVar(&isAdmin, "admin", false, "make the user an administrator of the domain")
	return a.jsonFlag(c)
}

func (a *app) userDisable() *cobra.Command {
	return a.oneUser("disable USER", "Shut a user out", `Shut a user out: sessions end at once, logging in is refused, contacts no longer
show the user. History and settings stay; 'confab user enable' undoes it.`, admin.UserDisable, "disabled")
}

func (a *app) userEnable() *cobra.Command {
	return a.oneUser("enable USER", "Let a user in again", "Let a user in again who was disabled.", admin.UserEnable, "enabled")
}

func (a *app) oneUser(use, short, long string, op admin.Op[admin.UserParams, admin.None, admin.User], done string) *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: use, Short: short, Long: long + "\n\n" + addressHelp,
		Example: "  confab user " + strings.Replace(use, "USER", "alice", 1),
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			u, err := perform(a, c, op, admin.UserParams{Address: args[0]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			return a.changed(u, done)
		},
	})
}

func (a *app) userDelete() *cobra.Command {
	var yes, keep bool
	var p admin.UserDeleteParams
	c := &cobra.Command{
		Use:   "delete USER",
		Short: "Delete a user",
		Long: `Delete a user: sessions end, the address is free again. The history stays for the
auditor unless --purge is said, and so do the files that the user sent; what
others have of the conversations stays in any case, and the files in it. A later
user of the same address does not inherit anything.

` + addressHelp,
		Example: "  confab user delete alice --purge",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			question := "Delete " + p.Address + "?"
			if p.Purge {
				question = "Delete " + p.Address + " and the user's whole history?"
			}
			if err := a.confirm(yes, question); err != nil {
				return err
			}
			deleted, err := perform(a, c, admin.UserDelete, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(deleted)
			}
			a.printf("%s: deleted\n", deleted.Address)
			if p.Purge {
				a.printf("messages purged: %d, files: %d\n", deleted.Purged, deleted.Files)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&p.Purge, "purge", false, "delete the user's own history and files, too")
	c.Flags().BoolVar(&keep, "keep-history", false, "keep the user's history (the default)")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.MarkFlagsMutuallyExclusive("purge", "keep-history")
	return a.jsonFlag(c)
}

func (a *app) userList() *cobra.Command {
	var p admin.UserListParams
	c := &cobra.Command{
		Use:   "list",
		Short: "List users",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			_, err := perform(a, c, admin.UserList, p, admin.Receiver[admin.User]{Item: func(u admin.User) error {
				if a.json {
					return a.printJSON(u)
				}
				if rows++; rows == 1 {
					row(w, "ADDRESS", "NAME", "GROUPS", "STATE")
				}
				row(w, u.Address, u.Name, strings.Join(u.Groups, ", "), userState(u))
				return nil
			}})
			if err != nil {
				return err
			}
			if rows == 0 && !a.json {
				a.note("no users; 'confab user add' adds one, 'confab user import' many")
			}
			return w.Flush()
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "only of this `domain`")
	c.Flags().StringVar(&p.Group, "group", "", "only of this `group`")
	c.Flags().BoolVar(&p.Disabled, "disabled", false, "only who is disabled")
	c.Flags().BoolVar(&p.Online, "online", false, "only who is online")
	return a.jsonFlag(c)
}

func row(w *tabwriter.Writer, cells ...string) {
	_, _ = w.Write([]byte(strings.Join(cells, "\t") + "\n")) // Flush tells of errors
}

func userState(u admin.User) string {
	var words []string
	for word, is := range map[string]bool{"admin": u.Admin, "disabled": u.Disabled, "hidden": u.Hidden, "online": u.Sessions > 0} {
		if is {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func (a *app) userShow() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "show USER",
		Short:   "Show a user",
		Long:    "Show what confab knows of a user.\n\n" + addressHelp,
		Example: "  confab user show alice",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			u, err := perform(a, c, admin.UserShow, admin.UserParams{Address: args[0]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(u)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			row(w, "address", u.Address)
			row(w, "name", u.Name)
			row(w, "groups", strings.Join(u.Groups, ", "))
			row(w, "state", userState(u.User))
			row(w, "created", localTime(u.Created))
			if u.LastLogin != nil {
				row(w, "last login", localTime(*u.LastLogin))
			}
			if !u.HasPassword {
				row(w, "password", "none: nobody can log in; 'confab user passwd' sets one")
			}
			for _, s := range u.Online {
				row(w, "session", strings.Join(sessionCells(s), "  "))
			}
			return w.Flush()
		},
	})
}

func localTime(t time.Time) string { return t.Local().Format(time.DateTime) }

func sessionCells(s admin.Session) []string {
	state := s.Status
	if !s.Connected {
		state += ", lost its connection"
	}
	how := strings.Join(strings.Fields(s.Transport+" "+s.TLS+" "+s.Mechanism), ", ")
	if client := strings.TrimSpace(s.Software + " " + s.Device); client != "" {
		how += ", " + plain(client)
	}
	return []string{plain(s.Address), state, localTime(s.Since), s.Remote, how}
}

func (a *app) userSessions() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "sessions [USER]",
		Short:   "List the sessions of a user, or of everybody",
		Long:    "List the sessions of a user, or of everybody.\n\n" + addressHelp,
		Example: "  confab user sessions alice",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var p admin.UserSessionsParams
			if len(args) > 0 {
				p.Address = args[0]
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			_, err := perform(a, c, admin.UserSessions, p, admin.Receiver[admin.Session]{Item: func(s admin.Session) error {
				if a.json {
					return a.printJSON(s)
				}
				if rows++; rows == 1 {
					row(w, "SESSION", "STATUS", "SINCE", "FROM", "BY")
				}
				row(w, sessionCells(s)...)
				return nil
			}})
			if err != nil {
				return err
			}
			return w.Flush()
		},
	})
}

func (a *app) userKick() *cobra.Command {
	var p admin.UserKickParams
	c := &cobra.Command{
		Use:   "kick USER[/RESOURCE]",
		Short: "End a user's sessions",
		Long: `End all sessions of a user, or one of them. Clients may log in again, and most do at
once: 'confab user disable' keeps them out.

` + addressHelp,
		Example: "  confab user kick alice --text 'Please log in again.'",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			kicked, err := perform(a, c, admin.UserKick, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(kicked)
			}
			for _, s := range kicked.Sessions {
				a.printf("%s: ended\n", plain(s))
			}
			if len(kicked.Sessions) == 0 {
				a.note("%s is not online", p.Address)
			}
			return nil
		},
	}
	c.Flags().StringVar(&p.Text, "text", "", "a `text` for the person")
	return a.jsonFlag(c)
}
