package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
	"confab/cmd/internal/server"
)

func (a *app) serveCommand() *cobra.Command {
	var demo bool
	c := settingFlags(&cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Long: `Start the server. The first start makes the data folder with a settings file, a key
with a self-signed certificate, and the account admin; it says what to do next.

SIGTERM and SIGINT stop it cleanly; SIGHUP has it read settings and certificates
again.

With --demo it serves a throw-away domain 'localhost' with the users alice, bob
and carol on 127.0.0.1, prints how to connect, and forgets everything at the end.`,
		Example: `  confab serve --demo
  confab serve --domains example.com
  confab serve --demo --listen-starttls 127.0.0.1:15222 --listen-tls 127.0.0.1:15223 \
    --listen-https 127.0.0.1:15443`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if demo {
				return a.serveDemo(c.Context(), a.source(c))
			}
			return a.serve(c.Context(), a.source(c))
		},
	})
	c.Flags().BoolVar(&demo, "demo", false, "serve a throw-away domain to try things out")
	return c
}

// serve runs a server until ctx is done or it is asked to stop, while it starts most of all.
func (a *app) serve(ctx context.Context, src config.Source) error {
	// From the first, as who changes the settings now does not know how far the start has come.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	again, err := a.serveOnce(ctx, src, hangup)
	switch {
	case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
		return nil // it was to end, whatever it was about to do
	case again:
		return restart()
	}
	return err
}

// serveOnce runs a server, and reports whether it ended in order to be started again.
func (a *app) serveOnce(ctx context.Context, src config.Source, hangup <-chan os.Signal) (again bool, err error) {
	l, err := src.Load()
	if err != nil {
		return false, err
	}
	if _, err := a.prepare(ctx, l); err != nil {
		return false, err
	}
	log, level := newLog(a.err, l)
	s, err := server.New(ctx, l, server.Options{Log: log, Level: level, Version: readBuild().Version, Reload: src.Load, Restarts: canRestart})
	if err != nil {
		return false, err
	}
	defer reloadOnHangup(ctx, hangup, s, log)()
	log.Info("serving", "version", readBuild().Version, "domains", l.Domains, "data", l.Data, "listening", s.Listening())
	for _, text := range s.Admin().Live.Warnings() {
		log.Warn(text)
	}
	go server.TendMemory(ctx)
	if err := s.Run(ctx); err != nil || !s.Restarting() {
		return false, err
	}
	log.Info("starting again")
	return true, nil
}

// newLog makes the log that the settings ask for.
func newLog(w io.Writer, l *config.Loaded) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(l.Log.Level.Level())
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if l.Log.Format == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	log := slog.New(h)
	slog.SetDefault(log)
	return log, level
}

// reloadOnHangup reads settings and certificates again at each hangup, until
// the function that it returns is called.
func reloadOnHangup(ctx context.Context, hangup <-chan os.Signal, s *server.Server, log *slog.Logger) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-hangup:
				r, err := s.Reload(ctx)
				if err != nil {
					log.Error("nothing was reloaded, the settings or certificates are no good", "error", err)
					continue
				}
				log.Info("reloaded", "changed", r.Changed, "after a restart", r.Restart)
				for _, text := range r.Warnings {
					log.Warn(text)
				}
			}
		}
	}()
	return func() { close(done) }
}

// prepare makes what a first start needs and says so: first reports that it is
// one. The account is there before anything listens, so that it does not fall to
// a start that fails for a port.
func (a *app) prepare(ctx context.Context, l *config.Loaded) (first bool, err error) {
	_, err = os.Stat(l.StateDB())
	first = errors.Is(err, os.ErrNotExist)
	made, err := l.Prepare(time.Now())
	if err != nil {
		return first, err
	}
	if made.Folder {
		a.note("made the data folder %s", l.Data)
	}
	if made.File {
		a.note("wrote %s: every setting is explained there", l.File)
	}
	if made.Certificate {
		a.note("made a key and a self-signed certificate, %s: clients will warn of it", l.Path(l.TLS.Certificate[0]))
	}
	if !first {
		return false, nil
	}
	return true, a.firstData(ctx, l)
}

// firstData makes the databases with the first account in them. If that fails, for a full disk most likely, they are removed,
// so that the next start is a first one again; unless somebody else made them at the same moment.
func (a *app) firstData(ctx context.Context, l *config.Loaded) error {
	var made []string
	for _, path := range []string{l.StateDB(), l.ArchiveDB()} {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			made = append(made, path, path+"-log0", path+"-log1")
		}
	}
	s, err := server.Offline(ctx, l)
	if err == nil {
		err = errors.Join(a.addAdmin(ctx, l, s.Admin()), s.Close())
	}
	if err != nil && admin.CodeOf(err) != admin.Conflict {
		for _, path := range made {
			os.Remove(path) // or it was not made
		}
	}
	return err
}

// addAdmin adds the first account, and says what to do next.
func (a *app) addAdmin(ctx context.Context, l *config.Loaded, door admin.Door) error {
	u, err := admin.UserAdd.Call(ctx, door, whoami(a.env), admin.UserAddParams{
		Address: "admin@" + l.Domains[0], Name: "Administrator", Admin: true, Hidden: true, Generate: true,
	}, admin.Receiver[admin.None]{})
	if err != nil {
		return err
	}
	confab := "confab"
	if origin := l.Origin["data"]; strings.HasPrefix(origin, "--") {
		confab += " --data " + l.Data
	}
	a.note(`added the account %[1]s
  password: %[2]s   (it is not shown again; '%[5]s user passwd %[1]s' sets another)

What to do next:
  1. Add people:             %[5]s user add alice@%[3]s --name 'Alice' --generate
     or all from a file:     %[5]s user import staff.csv --generate
  2. Tell the DNS:           %[5]s config dns
  3. Get a certificate that names %[3]s from an authority, name it under [tls] in
     %[4]s, then: %[5]s reload
  4. Log in with any Jabber client. '%[5]s status' shows how the server is.
`, u.Address, u.Password, l.Domains[0], l.File, confab)
	return nil
}
