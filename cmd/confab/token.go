package main

import (
	"text/tabwriter"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Manage the tokens of programs that use the HTTP API", a.tokenCreate(), a.tokenList(), a.tokenRevoke())
}

func (a *app) tokenCreate() *cobra.Command {
	var p admin.TokenCreateParams
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token",
		Long: `Make a token for a program that uses the HTTP API, which the setting web.api turns on.
It is printed once. With --domain it is good for what the administrators of that
domain may do, without for everything.`,
		Example: "  confab token create intranet --domain example.com --days 365",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Name = args[0]
			t, err := perform(a, c, admin.TokenCreate, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(t)
			}
			a.printf("%s\n", t.Token)
			return nil
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "for this `domain` only")
	c.Flags().IntVar(&p.Days, "days", 0, "good for this `number` of days; 0: until it is revoked")
	return a.jsonFlag(c)
}

func (a *app) tokenList() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the tokens", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			_, err := perform(a, c, admin.TokenList, admin.None{}, admin.Receiver[admin.Token]{Item: func(t admin.Token) error {
				if a.json {
					return a.printJSON(t)
				}
				if rows++; rows == 1 {
					row(w, "TOKEN", "FOR", "CREATED", "BY", "UNTIL")
				}
				scope, until := "the server", "revoked"
				if t.Domain != "" {
					scope = t.Domain
				}
				if t.Expires != nil {
					until = localTime(*t.Expires)
				}
				row(w, plain(t.Name), scope, localTime(t.Created), plain(t.By), until)
				return nil
			}})
			if err != nil {
				return err
			}
			if rows == 0 && !a.json {
				a.note("no tokens; 'confab token create' makes one")
			}
			return w.Flush()
		},
	})
}

func (a *app) tokenRevoke() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "revoke NAME", Short: "End a token", Example: "  confab token revoke intranet",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := perform(a, c, admin.TokenRevoke, admin.TokenParams{Name: args[0]}, admin.Receiver[admin.None]{}); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(admin.TokenParams{Name: args[0]})
			}
			a.printf("%s: revoked\n", plain(args[0]))
			return nil
		},
	})
}
