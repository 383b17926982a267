package server

import (
	"slices"

	"confab/xmpp/feature"
	"confab/xmpp/web"
	"confab/xmpp/web/bosh"
	"confab/xmpp/web/websocket"
)

// routes is all that is served over HTTP.
func (s *Server) routes() []feature.Route {
	return slices.Concat(s.table.Routes(), []feature.Route{
		websocket.Route(websocket.Options{Take: s.c2s.Take, Origins: s.origins, Clock: s.opts.Clock, Log: s.opts.Log}),
	}, bosh.Routes(bosh.Options{
		Take: s.c2s.Take, Origins: s.origins, Clock: s.opts.Clock,
		Limits: func() (before, after int) {
			set := s.settings.Load().Limits
			return int(set.StanzaBeforeLogin), int(set.Stanza)
		},
	}), web.HostMeta(s.webAddress), s.programs())
}

// origins are the web sites whose pages may connect.
func (s *Server) origins() web.Origins { return s.settings.Load().Web.Origins }

// webAddress is how the users of a domain reach the web side, "" if the domain is
// not served.
func (s *Server) webAddress(domain string) string {
	if d := s.directory.Domain(domain); d != nil {
		return s.webURL(d.Name())
	}
	return s.webURL(s.settings.Load().Domains[0])
}
