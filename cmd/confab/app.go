package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
	"confab/cmd/internal/server"
)

// The exit codes. They are documented in the help of the root command and in
// the README.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNotFound   = 3
	exitConflict   = 4
	exitNotRunning = 5
)

const exitCodes = `Exit codes:
  0  done
  1  failed
  2  wrong usage or settings: nothing was done
  3  there is no such user, alias, conversation or data folder
  4  conflict: it exists already, or another process holds the data
  5  no server runs (status, reload, stop, restart, announce, user sessions, user kick)`

// app is one run of the command line.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      []string

	data, file string // --data, --config
	json       bool
	started    bool // the command line was understood
}

// run carries a command line out and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut, env: os.Environ()}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	out := &output{Writer: a.out}
	a.out = out
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil && out.err == nil:
		return exitOK
	case err == nil:
		err, a.started = fmt.Errorf("the output cannot be written: %w", out.err), true
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(a.err, "confab: "+strings.ReplaceAll(text, "\n", "\n        "))
	}
	if !a.started {
		return exitUsage
	}
	return exitCode(err)
}

// output remembers that something could not be written: a password that is
// printed once must not get lost without a word.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.err = cmp.Or(o.err, err)
	return n, err
}

func exitCode(err error) int {
	if errors.As(err, new(*config.Error)) {
		return exitUsage
	}
	switch admin.CodeOf(err) {
	case admin.Usage:
		return exitUsage
	case admin.NotFound:
		return exitNotFound
	case admin.Conflict:
		return exitConflict
	case admin.NotRunning:
		return exitNotRunning
	}
	return exitFailed
}

func usagef(format string, args ...any) error {
	return &admin.Error{Code: admin.Usage, Text: fmt.Sprintf(format, args...)}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "confab",
		Short: "An XMPP server for a mail domain",
		Long: `confab is an XMPP server for a mail domain: everybody who has an address on the
domain can chat with everybody else, from any Jabber client.

Start with 'confab serve --demo', or 'confab serve --domains example.com'.
Every command works while the server runs and while it does not.

` + exitCodes,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},

		SuggestionsMinimumDistance: 2,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			text := fmt.Sprintf("there is no command 'confab %s'; 'confab --help' shows all", args[0])
			if like := c.SuggestionsFor(args[0]); len(like) > 0 {
				text += "; do you mean '" + strings.Join(like, "' or '") + "'?"
			}
			return errors.New(text)
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; '%s --help' shows all flags", err, c.CommandPath())
	})
	root.PersistentFlags().StringVar(&a.data, "data", "", "data `folder` (CONFAB_DATA, default "+config.DefaultData+")")
	root.PersistentFlags().StringVar(&a.file, "config", "", "settings `file` (CONFAB_CONFIG, default confab.toml in the data folder)")
	root.AddCommand(
		a.serveCommand(), a.userCommand(), a.aliasCommand(), a.roomCommand(), a.historyCommand(), a.statusCommand(), a.reloadCommand(), a.stopCommand(), a.restartCommand(),
		a.announceCommand(), a.motdCommand(), a.welcomeCommand(), a.tokenCommand(),
		a.configCommand(), a.versionCommand(), a.manCommand(),
	)
	a.markStart(root)
	return root
}

// markStart notes when a command begins: until then, arguments and flags were
// checked, and errors are those of usage. Wrong arguments are told in our words.
func (a *app) markStart(c *cobra.Command) {
	if check := c.Args; check != nil && !c.HasSubCommands() {
		c.Args = func(c *cobra.Command, args []string) error {
			if check(c, args) == nil {
				return nil
			}
			given := "an argument is missing"
			if len(args) > 0 {
				given = "these arguments do not fit: " + strings.Join(args, ", ")
			}
			return fmt.Errorf("%s; write '%s', as '%s --help' explains", given, c.UseLine(), c.CommandPath())
		}
	}
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			a.started = true
			return run(c, args)
		}
	}
	for _, sub := range c.Commands() {
		a.markStart(sub)
	}
}

// group makes a command that only holds others. Without one of them it is a
// usage error, not a success that did nothing.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		Args: func(c *cobra.Command, args []string) error {
			var names []string
			for _, sub := range c.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name())
				}
			}
			all := strings.Join(names, ", ")
			if len(args) > 0 {
				return fmt.Errorf("there is no command '%s %s'; there are: %s", c.CommandPath(), args[0], all)
			}
			return fmt.Errorf("'%s' needs one of: %s", c.CommandPath(), all)
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	c.AddCommand(commands...)
	return c
}

// jsonFlag gives a command the flag --json.
func (a *app) jsonFlag(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.json, "json", false, "print JSON; lists are one object a line")
	return c
}

// source is where settings come from; c's flags are looked at.
func (a *app) source(c *cobra.Command) config.Source {
	src := config.Source{Flags: make(map[string]string), Env: a.env, File: a.file}
	for _, f := range config.Fields(config.Default()) {
		if flag := c.Flags().Lookup(f.Flag()); flag != nil && flag.Changed {
			src.Flags[f.Flag()] = flag.Value.String()
		}
	}
	return src
}

// settingFlags gives a command a flag for each setting.
func settingFlags(c *cobra.Command) *cobra.Command {
	for _, f := range config.Fields(config.Default()) {
		if f.Name != "data" {
			c.Flags().String(f.Flag(), f.Text(), "setting "+f.Name+"; 'confab config sample' explains it")
		}
	}
	return c
}

// door loads the settings and connects to the server or the data.
func (a *app) door(c *cobra.Command) (admin.DoorCloser, error) {
	l, err := a.source(c).Load()
	if err != nil {
		return nil, err
	}
	return admin.Connect(c.Context(), l.Settings, func() (admin.DoorCloser, error) {
		s, err := server.Offline(c.Context(), l)
		if err != nil {
			return nil, err
		}
		return offline{s.Admin(), s}, nil
	})
}

// offline is the door to the data while no server runs.
type offline struct {
	*admin.Admin
	io.Closer
}

// perform carries an operation out and returns its result.
func perform[P, I, R any](a *app, c *cobra.Command, op admin.Op[P, I, R], p P, to admin.Receiver[I]) (R, error) {
	var none R
	door, err := a.door(c)
	if err != nil {
		return none, err
	}
	result, err := op.Call(c.Context(), door, whoami(a.env), p, to)
	return result, errors.Join(err, door.Close())
}

// whoami names the person at the keyboard for the audit log.
func whoami(env []string) string {
	name := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	for _, kv := range env {
		if by, ok := strings.CutPrefix(kv, "SUDO_USER="); ok && by != "" {
			name += " (sudo by " + by + ")"
		}
	}
	return name
}

// printJSON prints a value as one line.
func (a *app) printJSON(v any) error { return json.NewEncoder(a.out).Encode(v) }

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// note prints to standard error what is not the result.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

// terminal returns the file descriptor of standard input if a person sits there.
func (a *app) terminal() (fd int, ok bool) {
	f, isFile := a.in.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// readPassword asks for a password twice, or reads a line of standard input.
func (a *app) readPassword(who string) (string, error) {
	fd, ok := a.terminal()
	if !ok {
		line, err := bufio.NewReader(a.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("the password cannot be read from standard input: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", usagef("there is no password on standard input: write one there, or say --generate")
		}
		return line, nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(a.err, prompt)
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(a.err)
		return string(b), err
	}
	first, err := ask("Password for " + who + ": ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", usagef("the password is empty; --generate makes one")
	}
	second, err := ask("The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", usagef("the two passwords differ: nothing was changed")
	}
	return first, nil
}

// confirm asks before something that cannot be undone.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if _, ok := a.terminal(); !ok {
		return usagef("%s Say --yes if so", question)
	}
	fmt.Fprint(a.err, question+" [y/N] ")
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return &admin.Error{Code: admin.Failed, Text: "nothing was done"}
	}
	return nil
}

// progress returns a function that shows how far something is, for people.
func (a *app) progress(what string) func(done, total int) {
	f, ok := a.err.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return func(done, total int) {
		end := ""
		if done == total {
			end = "\n"
		}
		fmt.Fprintf(a.err, "\r%s: %d of %d (%d %%)%s", what, done, total, 100*done/max(total, 1), end)
	}
}

// plain makes text that somebody else wrote safe to print on a terminal:
// control characters could do there what they like.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0) {
			return '\ufffd'
		}
		return r
	}, s)
}
