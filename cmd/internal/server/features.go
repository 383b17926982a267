package server

import (
	"confab/archive"
	"confab/xmpp/feature"
	"confab/xmpp/feature/ping"
)

// features is THE list: what this server can do, in the order in which the
// features take their turn at every stage.
func (s *Server) features() []feature.Feature {
	return []feature.Feature{
		archive.New(s.host, s.archive),
		ping.New(),
	}
}
