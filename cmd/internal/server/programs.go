package server

import (
	"confab/cmd/internal/admin"
	"confab/cmd/internal/api"
	"confab/cmd/internal/config"
	"confab/xmpp/feature"
)

// programs is what programs can ask for over HTTP.
func (s *Server) programs() []feature.Route {
	return api.Routes(api.Options{
		Admin:   func() *admin.Admin { return s.admin },
		Enabled: func() bool { return s.settings.Load().Web.API == config.On },
		Clock:   s.opts.Clock, Log: s.opts.Log, Stats: &s.api,
	})
}
