package server

import (
	"context"
	"errors"
	"slices"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
)

// Reload reads settings and certificates again, and takes over what can change
// while the server runs. Those who ask at the same time take their turns.
func (s *Server) Reload(ctx context.Context) (admin.Reloaded, error) {
	var r admin.Reloaded
	if s.opts.Reload == nil {
		return r, errors.New("this server was not started from settings that can be read again")
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	fresh, err := s.opts.Reload()
	if err == nil {
		err = fresh.CheckServed()
	}
	if err != nil {
		return r, err
	}
	old := s.settings.Load()
	wanted, restart := config.Changes(old.Settings, fresh.Settings)
	fresh.Keep(old.Settings)
	r.Changed, _ = config.Changes(old.Settings, fresh.Settings)
	r.Restart = append(restart, slices.DeleteFunc(wanted, func(name string) bool { return slices.Contains(r.Changed, name) })...)
	if err := s.loadCertificates(fresh); err != nil {
		return r, err
	}
	if s.opts.Level != nil {
		s.opts.Level.Set(fresh.Log.Level.Level())
	}
	s.settings.Store(fresh)
	s.c2s.SetStream(s.streamOptions(fresh))
	s.c2s.SetTLS(s.tlsConfig())
	s.components.SetStream(s.componentStream(fresh))
	s.router.SetTotal(int64(fresh.Limits.OutBuffers))
	r.Warnings = s.warnings()
	return r, nil
}

// warnings is what the administrator should know.
func (s *Server) warnings() []string {
	set := s.settings.Load()
	certs := s.certs.Load()
	return slices.Concat(certs.Warnings(set.Domains, s.opts.Clock.Now()), set.WebWarnings(certs), NameWarnings(set), s.partedWarnings(), s.absentWarnings(), set.Warnings)
}
