package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
)

const textHelp = `Without TEXT, or with -, it is read from standard input.`

// readText is the text that the arguments say, or standard input.
func (a *app) readText(args []string) (string, error) {
	if len(args) > 0 && args[0] != "-" {
		return strings.Join(args, " "), nil
	}
	if _, ok := a.terminal(); ok {
		a.note("write the text, and Ctrl-D at the end")
	}
	b, err := io.ReadAll(io.LimitReader(a.in, 1<<20))
	return string(b), err
}

func (a *app) announceCommand() *cobra.Command {
	var p admin.NoticeParams
	c := &cobra.Command{
		Use:     "announce [TEXT]",
		Short:   "Tell something to everybody who is online",
		Long:    "Tell something to everybody who is online. It comes from the address of the domain\nand is in everybody's history.\n\n" + textHelp,
		Example: "  confab announce 'The server restarts at noon.'",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if p.Text, err = a.readText(args); err != nil {
				return err
			}
			n, err := live(a, c, admin.Announce, p)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(n)
			}
			a.printf("users told: %d\n", n.Users)
			return nil
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "the `domain`, if there are several")
	return a.jsonFlag(c)
}

func (a *app) motdCommand() *cobra.Command {
	return group("motd", "Manage the message of the day, which everybody gets once",
		a.noticeShow(admin.MOTD),
		a.noticeText("set", "Set the message of the day", `Set the message of the day: whoever is online gets it now, the others when they
come, everybody once.`, admin.MOTD.Set),
		a.noticeText("edit", "Correct the message of the day", "Correct the message of the day. Who had it does not get it again.", admin.MOTD.Edit),
		a.noticeDelete(admin.MOTD))
}

func (a *app) welcomeCommand() *cobra.Command {
	return group("welcome", "Manage what users are told who come for the first time",
		a.noticeShow(admin.Welcome),
		a.noticeText("set", "Set the welcome", "Set what users are told who log in for the first time.", admin.Welcome.Set),
		a.noticeDelete(admin.Welcome))
}

func (a *app) noticeShow(ops admin.NoticeOps) *cobra.Command {
	var p admin.NoticeDomainParams
	c := &cobra.Command{
		Use: "show", Short: "Show the text", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := perform(a, c, ops.Show, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(n)
			}
			a.printf("%s\n", plain(n.Text))
			return nil
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "the `domain`, if there are several")
	return a.jsonFlag(c)
}

func (a *app) noticeText(verb, short, long string, op admin.Op[admin.NoticeParams, admin.None, admin.Notice]) *cobra.Command {
	var p admin.NoticeParams
	c := &cobra.Command{
		Use: verb + " [TEXT]", Short: short, Long: long + "\n\n" + textHelp,
		Example: "  confab " + op.Name + " 'The canteen is closed today.'",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if p.Text, err = a.readText(args); err != nil {
				return err
			}
			n, err := perform(a, c, op, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(n)
			}
			a.printf("set\n")
			return nil
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "the `domain`, if there are several")
	return a.jsonFlag(c)
}

func (a *app) noticeDelete(ops admin.NoticeOps) *cobra.Command {
	var p admin.NoticeDomainParams
	c := &cobra.Command{
		Use: "delete", Short: "Delete the text", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := perform(a, c, ops.Delete, p, admin.Receiver[admin.None]{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(n)
			}
			a.printf("deleted\n")
			return nil
		},
	}
	c.Flags().StringVar(&p.Domain, "domain", "", "the `domain`, if there are several")
	return a.jsonFlag(c)
}
