package main

import (
	"cmp"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
)

func (a *app) roomCommand() *cobra.Command {
	return group("room", "Look at the group rooms", a.roomList(), a.roomShow())
}

func (a *app) roomList() *cobra.Command {
	var p admin.RoomListParams
	c := &cobra.Command{
		Use:   "list",
		Short: "List rooms",
		Long:  "List rooms: those of aliases, and those that people made.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			_, err := perform(a, c, admin.RoomList, p, admin.Receiver[admin.Room]{Item: func(r admin.Room) error {
				if a.json {
					return a.printJSON(r)
				}
				if rows++; rows == 1 {
					row(w, "ROOM", "NAME", "ALIAS", "PRESENT")
				}
				row(w, r.Address, plain(cmp.Or(r.Name, "-")), cmp.Or(r.Alias, "-"), strconv.Itoa(r.Occupants))
				return nil
			}})
			if err != nil {
				return err
			}
			if rows == 0 && !a.json {
				a.note("no rooms; 'confab alias create --room' makes one for the members of an alias")
			}
			return w.Flush()
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "only of this `domain`")
	return a.jsonFlag(c)
}

func (a *app) roomShow() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "show ROOM",
		Short: "Show a room",
		Long: `Show a room, who belongs to it and who is there.

ROOM is an address like sales@conference.example.com, or sales if there is one domain.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := perform(a, c, admin.RoomShow, admin.RoomParams{Address: args[0]}, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(d)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			row(w, "address", d.Address)
			for _, line := range [][2]string{{"name", d.Name}, {"description", d.Description}, {"alias", d.Alias}, {"subject", d.Subject}} {
				if line[1] != "" {
					row(w, line[0], plain(line[1]))
				}
			}
			if d.Created != nil {
				row(w, "created", localTime(*d.Created))
			}
			for _, p := range d.Members {
				row(w, p.Affiliation, p.Address, plain(p.Nick))
			}
			for _, p := range d.Present {
				row(w, "present", p.Address, plain(p.Nick), p.Role)
			}
			return w.Flush()
		},
	})
}
