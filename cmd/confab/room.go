package main

import (
	"cmp"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
)

func (a *app) roomCommand() *cobra.Command {
	return group("room", "Manage the group rooms that people meet in", a.roomList(), a.roomShow(), a.roomCreate(), a.roomDestroy(), a.roomAffiliation())
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

const roomHelp = `ROOM is an address like sales@conference.example.com, or sales if there is one domain.`

func (a *app) roomShow() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:     "show ROOM",
		Short:   "Show a room",
		Long:    "Show a room, who belongs to it and who is there.\n\n" + roomHelp,
		Example: "  confab room show lounge",
		Args:    cobra.ExactArgs(1),
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

func (a *app) roomCreate() *cobra.Command {
	var p admin.RoomCreateParams
	c := &cobra.Command{
		Use:   "create ROOM",
		Short: "Make a room",
		Long: `Make a room for people to enter. It stays, and its owner may change it from a client.
A room whose members are given, and have it by themselves, is 'confab alias create --room'.

` + roomHelp,
		Example: "  confab room create lounge --owner alice --name 'The lounge'",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			r, err := perform(a, c, admin.RoomCreate, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			a.printf("%s: created\n", r.Address)
			return nil
		},
	}
	c.Flags().StringVar(&p.Owner, "owner", "", "the `user` who may change it")
	c.Flags().StringVar(&p.Name, "name", "", "display `name`")
	c.Flags().StringVar(&p.Description, "description", "", "what it is for, as `text`")
	c.Flags().BoolVar(&p.MembersOnly, "members-only", false, "let nobody in but members")
	c.Flags().BoolVar(&p.Moderated, "moderated", false, "let only those speak who were given a voice")
	c.Flags().BoolVar(&p.Hidden, "hidden", false, "leave it out of the list of rooms")
	_ = c.MarkFlagRequired("owner")
	return a.jsonFlag(c)
}

func (a *app) roomDestroy() *cobra.Command {
	var p admin.RoomDestroyParams
	var yes bool
	c := &cobra.Command{
		Use:   "destroy ROOM",
		Short: "Destroy a room",
		Long: `Destroy a room that people made: everybody who is there is sent away. What was said
there stays in the history for the auditor; a later room of that name does not
inherit it. The room of an alias goes with 'confab alias delete'.

` + roomHelp,
		Example: "  confab room destroy lounge --alternate foyer@conference.example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address = args[0]
			if err := a.confirm(yes, "Destroy the room "+p.Address+"?"); err != nil {
				return err
			}
			r, err := perform(a, c, admin.RoomDestroy, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			a.printf("%s: destroyed\n", r.Address)
			return nil
		},
	}
	c.Flags().StringVar(&p.Alternate, "alternate", "", "a `room` to go to instead")
	c.Flags().StringVar(&p.Reason, "reason", "", "a `text` for those who are there")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return a.jsonFlag(c)
}

func (a *app) roomAffiliation() *cobra.Command {
	var p admin.RoomAffiliationParams
	c := &cobra.Command{
		Use:     "affiliation ROOM USER owner|admin|member|none|outcast",
		Short:   "Make somebody an owner, admin, member or outcast of a room",
		Long:    "Make somebody an owner, admin, member or outcast of a room, or nothing of these.\n\n" + roomHelp,
		Example: "  confab room affiliation lounge bob admin",
		Args:    cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			p.Address, p.Person, p.Affiliation = args[0], args[1], args[2]
			r, err := perform(a, c, admin.RoomAffiliation, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			a.printf("%s: %s\n", r.Address, r.Affiliation)
			return nil
		},
	}
	c.Flags().StringVar(&p.Reason, "reason", "", "a `text` for the person")
	return a.jsonFlag(c)
}
