package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"

	"confab/cmd/internal/config"
	"confab/xmpp"
)

// Offline opens the data for a command while no server runs. Everything that
// keeps something of the users is there, so that a change does the same as on a
// running server; nobody can connect. Close it at the end.
func Offline(ctx context.Context, settings *config.Loaded) (*Server, error) {
	// What a server tells of its work is no news to who runs a command.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := &Server{
		opts:    Options{Log: log, Clock: xmpp.SystemClock},
		started: xmpp.SystemClock.Now(), stop: make(chan struct{}), listeners: map[string][]net.Listener{},
	}
	s.settings.Store(settings)
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.assemble(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.admin.Live = nil
	return s, nil
}
