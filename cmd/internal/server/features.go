package server

import (
	"confab/archive"
	"confab/roster"
	"confab/xmpp/feature"
	"confab/xmpp/feature/carbons"
	"confab/xmpp/feature/disco"
	"confab/xmpp/feature/entitytime"
	"confab/xmpp/feature/lastactivity"
	"confab/xmpp/feature/ping"
	"confab/xmpp/feature/version"
)

// features is THE list: what this server can do, in the order in which the
// features take their turn at every stage.
func (s *Server) features() []feature.Feature {
	contacts := roster.New(s.host, roster.Options{Mode: roster.Mode(s.settings.Load().Roster.Domain)})
	return []feature.Feature{
		archive.NewOffline(s.host, s.archive),
		contacts.Feature(),
		archive.New(s.host, s.archive),
		carbons.New(),
		disco.New(disco.Options{MaySee: contacts.MaySee}),
		ping.New(),
		version.New(s.opts.Version),
		entitytime.New(),
		lastactivity.New(lastactivity.Options{MaySee: contacts.MaySee}),
	}
}
