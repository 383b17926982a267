package server

import (
	"context"
	"errors"
	"slices"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
)

// Reload reads settings and certificates again, and takes over what can change
// while the server runs.
func (s *Server) Reload(ctx context.Context) (admin.Reloaded, error) {
	var r admin.Reloaded
	if s.opts.Reload == nil {
		return r, errors.New("this server was not started from settings that can be read again")
	}
	fresh, err := s.opts.Reload()
	if err != nil {
		return r, err
	}
	if err := s.loadCertificates(fresh); err != nil {
		return r, err
	}
	old := s.settings.Load()
	r.Changed, r.Restart = config.Changes(old.Settings, fresh.Settings)
	if s.opts.Level != nil {
		s.opts.Level.Set(fresh.Log.Level.Level())
	}
	s.settings.Store(fresh)
	s.c2s.SetStream(s.streamOptions(fresh))
	s.c2s.SetTLS(s.tlsConfig())
	r.Warnings = s.warnings()
	return r, nil
}

// warnings is what the administrator should know.
func (s *Server) warnings() []string {
	set := s.settings.Load()
	certs := s.certs.Load()
	return slices.Concat(certs.Warnings(set.Domains, s.opts.Clock.Now()), set.WebWarnings(certs), set.Warnings)
}

// counters are the figures of all packages under one roof.
func (s *Server) counters() map[string]int64 {
	return map[string]int64{
		"connections":          s.streams.Open.Load(),
		"connections_accepted": s.streams.Accepted.Load(),
		"bytes_in":             s.streams.BytesIn.Load(),
		"bytes_out":            s.streams.BytesOut.Load(),
		"bytes_waiting":        s.streams.Waiting.Load(),
		"slow_peers":           s.streams.SlowPeers.Load(),
		"write_timeouts":       s.streams.WriteTimeouts.Load(),
		"tls_failures":         s.streams.TLSFailures.Load(),
		"throttled_reads":      s.streams.Throttled.Load(),
		"sessions":             s.router.Stats.Sessions.Load(),
		"sessions_hibernating": s.router.Stats.Hibernating.Load(),
		"sessions_resumed":     s.router.Stats.Resumed.Load(),
		"sessions_expired":     s.router.Stats.Expired.Load(),
		"sessions_overflowed":  s.router.Stats.Overflowed.Load(),
		"files_received":       s.uploads.Stats.Stored.Load(),
		"file_bytes_received":  s.uploads.Stats.StoredBytes.Load(),
		"files_refused":        s.uploads.Stats.Failed.Load(),
		"files_served":         s.uploads.Stats.Served.Load(),
		"stanzas_sent":         s.router.Stats.Sent.Load(),
		"logins":               s.c2s.Stats.Logins.Load(),
		"logins_refused":       s.c2s.Stats.RefusedLogins.Load(),
		"logins_throttled":     s.c2s.Stats.Throttled.Load(),
		"connections_refused":  s.c2s.Stats.RefusedStreams.Load(),
		"stream_errors":        s.c2s.Stats.StreamErrors.Load(),
	}
}
