package main

import (
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
)

func (a *app) userInvite() *cobra.Command {
	var p admin.UserInviteParams
	valid := config.Duration{Duration: 7 * 24 * time.Hour}
	c := &cobra.Command{
		Use:   "invite USER",
		Short: "Invite somebody to make an account, or to set a new password",
		Long: `Invite somebody to make the account USER and to choose its password. What is
printed is for that person alone: an address that chat apps open, and the address of
a page for any browser. The invitation is good once; the account appears when it is
used, and its name is kept until then. A second one takes the place of the first.

With --reset the user is there already, and is invited to set a new password.

` + addressHelp,
		Example: `  confab user invite bob@example.com --name 'Bob Baker' --group Sales
  confab user invite alice --reset --valid 1d`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address, p.Valid = args[0], valid.Duration
			i, err := perform(a, c, admin.UserInvite, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(i)
			}
			a.printf("%s: invited, until %s\n", i.Address, localTime(i.Expires))
			a.printf("app:  %s\n", i.URI)
			if i.Page != "" {
				a.printf("page: %s\n", i.Page)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&p.Reset, "reset", false, "let the user set a new password")
	c.Flags().StringVar(&p.Name, "name", "", "display `name`")
	c.Flags().StringArrayVar(&p.Groups, "group", nil, "department or other `group`; may be repeated")
	c.Flags().BoolVar(&p.Hidden, "hidden", false, "leave the user out of contact lists")
	c.Flags().BoolVar(&p.Admin, "admin", false, "make the user an administrator of the domain")
	c.Flags().TextVar(&valid, "valid", valid, "how `long` it is good, as in 12h or 30d")
	for _, name := range []string{"name", "group", "hidden", "admin"} {
		c.MarkFlagsMutuallyExclusive("reset", name)
	}
	return a.jsonFlag(c)
}

func (a *app) userInvitations() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "invitations",
		Short: "List the invitations that are open",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			_, err := perform(a, c, admin.UserInvitations, admin.None{}, admin.Receiver[admin.Invitation]{Item: func(i admin.Invitation) error {
				if a.json {
					return a.printJSON(i)
				}
				if rows++; rows == 1 {
					row(w, "ADDRESS", "FOR", "UNTIL", "BY")
				}
				what := "an account"
				if i.Reset {
					what = "a password"
				}
				row(w, i.Address, what, localTime(i.Expires), plain(i.By))
				return nil
			}})
			if err != nil {
				return err
			}
			if rows == 0 && !a.json {
				a.note("no invitations; 'confab user invite' makes one")
			}
			return w.Flush()
		},
	})
}

func (a *app) userUninvite() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "uninvite USER",
		Short:   "Take an invitation back",
		Long:    "Take the invitation for USER back, whether it is for an account or for a password.\n\n" + addressHelp,
		Example: "  confab user uninvite bob",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			i, err := perform(a, c, admin.UserUninvite, admin.UserParams{Address: args[0]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(i)
			}
			a.printf("%s: invitation taken back\n", i.Address)
			return nil
		},
	})
}
