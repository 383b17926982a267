package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
)

func (a *app) statusCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "status",
		Short: "Show how the running server is",
		Long:  "Show how the running server is. The exit code is 5 if none runs, so this is also a health check.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := live(a, c, admin.ServerStatus, admin.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s)
			}
			return a.printStatus(s)
		},
	})
}

func (a *app) printStatus(s admin.Status) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row(w, "confab", s.Version+", process "+strconv.Itoa(s.PID))
	row(w, "running", "since "+localTime(s.Started)+", "+time.Since(s.Started).Round(time.Second).String())
	row(w, "data", s.Data)
	for _, name := range slices.Sorted(maps.Keys(s.Listening)) {
		row(w, "listen."+name, strings.Join(s.Listening[name], ", "))
	}
	for _, d := range s.Domains {
		row(w, d.Domain, fmt.Sprintf("%d users, %d online in %d sessions", d.Users, d.Online, d.Sessions))
	}
	row(w, "waiting", fmt.Sprintf("%d sessions lost their connection and may come back", s.Hibernating))
	if s.Search != nil {
		text := "has all messages"
		if s.Search.Behind > 0 {
			text = fmt.Sprintf("is %d messages behind, which searches read", s.Search.Behind)
		}
		row(w, "search", fmt.Sprintf("the index of %d messages %s", s.Search.Documents, text))
	}
	if c := s.Commits; c != nil && c.Commits > 0 {
		row(w, "disk", fmt.Sprintf("%d commits of the history: half within %s, 99 of 100 within %s; %.1f batches of messages share one", c.Commits, seconds(c.Half), seconds(c.Most), c.Shared))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		row(w, name, strconv.FormatInt(s.Counters[name], 10))
	}
	for _, text := range s.Warnings {
		row(w, "warning", text)
	}
	return w.Flush()
}

func seconds(s float64) string { return time.Duration(s * float64(time.Second)).String() }

// live carries out an operation that only a running server has. The data is
// not opened for it.
func live[P, R any](a *app, c *cobra.Command, op admin.Op[P, admin.None, R], p P) (R, error) {
	var none R
	l, err := a.source(c).Load()
	if err != nil {
		return none, err
	}
	door, err := admin.Dial(c.Context(), l.ControlSocket())
	if errors.Is(err, admin.ErrNoServer) {
		return none, &admin.Error{Code: admin.NotRunning, Text: fmt.Sprintf("no server runs on %s: 'confab serve' starts one; --data or CONFAB_DATA names another folder", l.Data)}
	}
	if err != nil {
		return none, err
	}
	result, err := op.Call(c.Context(), door, whoami(a.env), p, admin.Receiver[admin.None]{})
	return result, errors.Join(err, door.Close())
}

func (a *app) reloadCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "reload",
		Short: "Have the running server read settings and certificates again",
		Long: `Have the running server read its settings and certificates again, as SIGHUP does,
and say what changed. If anything is wrong with them, nothing changes.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := live(a, c, admin.ServerReload, admin.None{})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			a.printf("certificates read again\n")
			if len(r.Changed) > 0 {
				a.printf("changed: %s\n", strings.Join(r.Changed, ", "))
			}
			if len(r.Restart) > 0 {
				a.printf("after the next start: %s\n", strings.Join(r.Restart, ", "))
			}
			for _, text := range r.Warnings {
				a.note("warning: %s", text)
			}
			return nil
		},
	})
}

func (a *app) stopCommand() *cobra.Command {
	return a.endCommand("stop", "Stop the running server", "Stop the running server, as SIGTERM does, and wait until it has ended.", admin.ServerStop)
}

func (a *app) restartCommand() *cobra.Command {
	return a.endCommand("restart", "Restart the running server", `Have the running server end and start again in the same process, with the program
that is installed now, and wait until it is back.`, admin.ServerRestart)
}

func (a *app) endCommand(verb, short, long string, op admin.Op[admin.StopParams, admin.None, admin.Stopping]) *cobra.Command {
	var p admin.StopParams
	var delay time.Duration
	c := &cobra.Command{
		Use:   verb,
		Short: short,
		Long:  long + " With\n--delay it returns at once, and a later command takes the place of this one.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p.Delay = int(delay.Seconds())
			l, err := a.source(c).Load() // now: a demo takes its settings along
			if err != nil {
				return err
			}
			before, err := live(a, c, admin.ServerStatus, admin.None{})
			if err != nil {
				return err
			}
			stopping, err := live(a, c, op, p)
			if err != nil {
				return err
			}
			switch {
			case p.Delay > 0:
			case verb == "stop":
				if err := awaitEnd(c.Context(), l.Settings); err != nil {
					return fmt.Errorf("process %d was asked to stop, but goes on: %w", stopping.PID, err)
				}
			default:
				if err := a.awaitReturn(c, before); err != nil {
					return err
				}
			}
			if a.json {
				return a.printJSON(stopping)
			}
			switch {
			case p.Delay > 0:
				a.printf("%s at %s\n", verb, localTime(stopping.When))
			case verb == "stop":
				a.printf("stopped\n")
			default:
				a.printf("restarted\n")
			}
			return nil
		},
	}
	c.Flags().DurationVar(&delay, "delay", 0, "in a `time`, as in 5m")
	c.Flags().StringVar(&p.Text, "announce", "", "a `text` for everybody online, now")
	return a.jsonFlag(c)
}

// awaitEnd waits until the data can be opened again.
func awaitEnd(ctx context.Context, s *config.Settings) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		free, err := admin.Free(s)
		if free || errors.Is(err, os.ErrNotExist) { // a demo takes its data along
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// awaitReturn waits until a server that was asked to restart answers again.
func (a *app) awaitReturn(c *cobra.Command, before admin.Status) error {
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	for {
		now, err := live(a, c, admin.ServerStatus, admin.None{})
		if err == nil && !now.Started.Equal(before.Started) {
			return nil
		}
		if err != nil && ended(before.PID) {
			return &admin.Error{Code: admin.Failed, Text: "the server did not come back: its log says why; 'confab config check' examines the settings"}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server was asked to restart, but does not answer yet ('confab status'): %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
