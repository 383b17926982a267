package main

import (
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"confab/archive"
	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
	"confab/xmpp/directory"
)

func (a *app) historyCommand() *cobra.Command {
	c := group("history", "Read what was said",
		a.historyList(), a.historyShow(), a.historySearch(), a.historyFiles(), a.historyExport(), a.historyAccesses(), a.historyReindex())
	c.Long = `Read what was said, by whom, and when. Everything is kept as it was sent: what people
retracted is here, and marked. Every use of these commands is noted in the history
itself before anything is read; 'confab history accesses' shows the notes.`
	return c
}

// period adds the flags --since and --until to a command.
type period struct{ since, until string }

const timeHelp = "; 2026-01-31, '2026-01-31 14:00' or 7d (ago)"

func (p *period) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.since, "since", "", "from this `time` on"+timeHelp)
	c.Flags().StringVar(&p.until, "until", "", "up to this `time`, a day included"+timeHelp)
}

// times reads the flags. A day as the end is included.
func (p *period) times(now time.Time) (start, end *time.Time, err error) {
	if p.since != "" {
		t, _, err := parseTime(p.since, now)
		if err != nil {
			return nil, nil, err
		}
		start = &t
	}
	if p.until != "" {
		t, day, err := parseTime(p.until, now)
		if err != nil {
			return nil, nil, err
		}
		if day {
			t = t.AddDate(0, 0, 1)
		}
		end = &t
	}
	return start, end, nil
}

// parseTime reads a time as people write it, in the local time zone.
func parseTime(text string, now time.Time) (t time.Time, day bool, err error) {
	if t, err = time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t, true, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339} {
		if t, err = time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, false, nil
		}
	}
	var ago config.Duration
	if ago.UnmarshalText([]byte(text)) == nil {
		return now.Add(-ago.Duration), false, nil
	}
	return t, false, usagef("%q is no time: write 2026-01-31, '2026-01-31 14:00' or, for a week ago, 7d", text)
}

// messages are the flags by which messages are chosen.
type messages struct {
	admin.HistoryParams
	period
	id uint64
}

func (m *messages) idFlag(c *cobra.Command) {
	c.Flags().Uint64Var(&m.id, "id", 0, "the user's `id` in place of the address: for users who were deleted")
}

func (m *messages) searchFlags(c *cobra.Command) {
	m.idFlag(c)
	c.Flags().StringVar(&m.Address, "user", "", "only what this `user` has in the archive")
	c.Flags().StringVar(&m.With, "with", "", "only the user's conversation with this `address`")
	c.Flags().StringVar(&m.From, "from", "", "only from this `address`, or this domain")
	c.Flags().StringVar(&m.To, "to", "", "only to this `address`, or this domain")
	c.Flags().StringVar(&m.Text, "text", "", "only with these `words`, in any order, or a \"phrase\"")
	c.Flags().StringVar(&m.Part, "part", "", "only with this `text`, also within words; reads every message")
	c.MarkFlagsMutuallyExclusive("text", "part")
	c.MarkFlagsMutuallyExclusive("user", "id")
	m.period.flags(c)
}

func (m *messages) params() (admin.HistoryParams, error) {
	var err error
	m.Start, m.End, err = m.times(time.Now())
	m.Owner.ID = directory.ID(m.id)
	return m.HistoryParams, err
}

func (a *app) historyList() *cobra.Command {
	var m messages
	c := &cobra.Command{
		Use:   "list USER",
		Short: "List a user's conversations",
		Long: `List a user's conversations. A user who was deleted is found by the address as long as
nobody else has it, and by --id.

` + addressHelp,
		Example: "  confab history list alice",
		Args:    cobra.RangeArgs(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := m.owner(args); err != nil {
				return err
			}
			p, err := m.params()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			to := admin.Receiver[admin.Conversation]{Item: func(v admin.Conversation) error {
				if a.json {
					return a.printJSON(v)
				}
				if rows++; rows == 1 {
					row(w, "WITH", "MESSAGES", "FIRST", "LAST")
				}
				row(w, plain(v.With), strconv.Itoa(v.Messages), localTime(v.First), localTime(v.Last))
				return nil
			}}
			listed, err := perform(a, c, admin.HistoryList, admin.HistoryListParams{Owner: p.Owner}, to)
			if err != nil {
				return err
			}
			if listed.Deleted != nil {
				a.note("%s, id %d, was deleted on %s", listed.Owner, listed.ID, localTime(*listed.Deleted))
			}
			if listed.Conversations == 0 {
				a.note("%s has no history", listed.Owner)
			}
			return w.Flush()
		},
	}
	m.idFlag(c)
	return a.jsonFlag(c)
}

// owner takes the user from the arguments, or from --id.
func (m *messages) owner(args []string) error {
	if (len(args) == 0) == (m.id == 0) {
		return usagef("name a user, or say --id, and not both")
	}
	if len(args) > 0 {
		m.Address = args[0]
	}
	return nil
}

func (a *app) historyShow() *cobra.Command {
	var m messages
	c := &cobra.Command{
		Use:   "show USER ADDRESS",
		Short: "Show a user's conversation with somebody",
		Long: `Show a user's conversation with somebody, from the oldest message to the newest. Times
are UTC.

` + addressHelp,
		Example: `  confab history show alice bob --since 7d
  confab history show alice@example.com sales@example.com --last 50`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			m.With = args[len(args)-1]
			if err := m.owner(args[:len(args)-1]); err != nil {
				return err
			}
			return a.read(c, admin.HistoryShow, &m, a.out)
		},
	}
	m.idFlag(c)
	m.period.flags(c)
	c.Flags().IntVar(&m.Last, "last", 0, "only the newest `number` of messages")
	return a.jsonFlag(c)
}

func (a *app) historySearch() *cobra.Command {
	var m messages
	c := &cobra.Command{
		Use:   "search [TEXT]",
		Short: "Search the history of everybody",
		Long: `Search the history of everybody, by text, sender, recipient and time; all conditions
have to be met. Each message is found once, however many people have it. Messages
that clients encrypted between them are kept, but their text cannot be searched;
confab says how many there were. Times are UTC.

TEXT is one or more words, which are found in any order, and "phrases" in quotation
marks, whose words follow one another. Case and accents make no difference; the last
word finds longer ones, too. To look within words, say --part: that takes longer, as
it reads every message.`,
		Example: `  confab history search 'quote 4711' --since 2026-01-01 --until 2026-03-31
  confab history search '"the new price"' --from alice
  confab history search --from alice --to bob --since 7d --json
  confab history search --user carol --with alice lunch`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				if m.Text != "" {
					return usagef("the text is there twice: %q and --text", args[0])
				}
				m.Text = args[0]
			}
			return a.read(c, admin.HistorySearch, &m, a.out)
		},
	}
	m.searchFlags(c)
	c.Flags().IntVar(&m.Last, "last", 0, "only the newest `number` of messages")
	return a.jsonFlag(c)
}

func (a *app) historyExport() *cobra.Command {
	var m messages
	var file string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the history, or a part of it, to a file",
		Long: `Write the history, or a part of it, as text, as JSON (an object a line, with the
message as it was sent), or as CSV for spreadsheets.`,
		Example: `  confab history export --format json >history.jsonl
  confab history export --user alice --since 2026-01-01 --format csv --output alice.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if file == "" {
				return a.read(c, admin.HistoryExport, &m, a.out)
			}
			f, err := newFile(file)
			if err != nil {
				return err
			}
			return f.end(a.read(c, admin.HistoryExport, &m, f))
		},
	}
	m.searchFlags(c)
	c.Flags().StringVar(&m.Format, "format", "text", "`format`: text, json or csv")
	c.Flags().StringVarP(&file, "output", "o", "", "`file` to write, which must not exist yet (default: standard output)")
	return c
}

// read carries out one of the operations that write messages down.
func (a *app) read(c *cobra.Command, op admin.HistoryRead, m *messages, w io.Writer) error {
	p, err := m.params()
	if err != nil {
		return err
	}
	if a.json {
		p.Format = string(archive.JSON)
	}
	found, err := perform(a, c, op, p, admin.Receiver[[]byte]{Item: func(b []byte) error {
		_, err := w.Write(b)
		return err
	}})
	if err != nil {
		return err
	}
	a.sumUp(found, p)
	return nil
}

// sumUp says what was found, and what could not be looked at.
func (a *app) sumUp(found admin.HistoryFound, p admin.HistoryParams) {
	if found.Messages == 0 {
		a.note("no messages found")
	} else {
		a.note("%d messages", found.Messages)
	}
	if (p.Text != "" || p.Part != "") && found.Unreadable > 0 {
		a.note("%d messages that meet the other conditions are encrypted between clients: their text could not be searched", found.Unreadable)
	}
}

func (a *app) historyFiles() *cobra.Command {
	var m messages
	c := &cobra.Command{
		Use:   "files USER [ADDRESS]",
		Short: "List the files of a user's conversations",
		Long: `List the files that were shared in a user's conversations, or in the one with ADDRESS.

` + addressHelp,
		Example: "  confab history files alice bob@example.com",
		Args:    cobra.RangeArgs(0, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 2 || m.id != 0 && len(args) == 1 {
				m.With = args[len(args)-1]
				args = args[:len(args)-1]
			}
			if err := m.owner(args); err != nil {
				return err
			}
			p, err := m.params()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			rows := 0
			_, err = perform(a, c, admin.HistoryFiles, p, admin.Receiver[admin.SharedFile]{Item: func(f admin.SharedFile) error {
				if a.json {
					return a.printJSON(f)
				}
				if rows++; rows == 1 {
					row(w, "TIME", "FROM", "TO", "FILE", "URL")
				}
				what := strings.TrimSpace(f.Name + " " + f.Type)
				row(w, localTime(f.Time), cell(f.From), cell(f.To), cell(what), cell(f.URL))
				return nil
			}})
			if err != nil {
				return err
			}
			if rows == 0 && !a.json {
				a.note("no files found")
			}
			return w.Flush()
		},
	}
	m.idFlag(c)
	m.period.flags(c)
	return a.jsonFlag(c)
}

func (a *app) historyReindex() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "reindex",
		Short: "Build the index for searches again",
		Long: `Build the index for searches again. The server keeps it up by itself and builds it again
when it is damaged, so this is hardly ever needed. Searches find everything meanwhile,
but take longer.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := perform(a, c, admin.HistoryReindex, admin.None{}, admin.Receiver[admin.None]{Progress: a.progress("indexing")})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			a.printf("indexed %d messages\n", r.Messages)
			return nil
		},
	})
}

// cell makes text that somebody else wrote fit into a table.
func cell(s string) string { return strings.NewReplacer("\n", " ", "\t", " ").Replace(plain(s)) }

func (a *app) historyAccesses() *cobra.Command {
	var p period
	c := &cobra.Command{
		Use:   "accesses",
		Short: "List who has read in the history",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			start, end, err := p.times(time.Now())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			params := admin.HistoryAccessesParams{Start: start, End: end}
			_, err = perform(a, c, admin.HistoryAccesses, params, admin.Receiver[archive.Access]{Item: func(x archive.Access) error {
				if a.json {
					return a.printJSON(x)
				}
				row(w, localTime(x.Time), cell(x.By), x.Action, cell(string(x.Details)))
				return nil
			}})
			if err != nil {
				return err
			}
			return w.Flush()
		},
	}
	p.flags(c)
	return a.jsonFlag(c)
}
