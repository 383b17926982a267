package main

import (
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
)

func (a *app) userRoster() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "roster USER",
		Short:   "Show a user's contact list",
		Long:    "Show a user's contact list, as the user's clients get it. Who looks is noted in the audit log.\n\n" + addressHelp,
		Example: "  confab user roster alice",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			_, err := perform(a, c, admin.UserRoster, admin.UserParams{Address: args[0]}, admin.Receiver[admin.Contact]{Item: func(v admin.Contact) error {
				if a.json {
					return a.printJSON(v)
				}
				if rows++; rows == 1 {
					row(w, "ADDRESS", "NAME", "SUBSCRIPTION", "GROUPS")
				}
				row(w, plain(v.Address), plain(v.Name), v.Subscription, plain(strings.Join(v.Groups, ", ")))
				return nil
			}})
			if err != nil {
				return err
			}
			return w.Flush()
		},
	})
}

func (a *app) userStats() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "stats USER",
		Short:   "Show what is counted of a user",
		Long:    "Show what is counted of a user.\n\n" + addressHelp,
		Example: "  confab user stats alice",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := perform(a, c, admin.UserStatistics, admin.UserParams{Address: args[0]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			row(w, "address", s.Address)
			row(w, "contacts", strconv.Itoa(s.Contacts))
			row(w, "logins", strconv.FormatInt(s.Logins, 10))
			if s.LastLogin != nil {
				row(w, "last login", localTime(*s.LastLogin))
			}
			row(w, "sessions", plain(strings.Join(s.Sessions, ", ")))
			row(w, "from", strings.Join(s.Addresses, ", "))
			row(w, "stanzas a second", strconv.FormatFloat(s.StanzasPerSecond, 'f', 2, 64))
			return w.Flush()
		},
	})
}
