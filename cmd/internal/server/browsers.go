package server

import (
	"slices"
	"strings"

	"confab/cmd/internal/config"
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

// webAddress is how the users of a domain reach the web side: the one that a web client asked at, by the name that it has in
// the DNS, else the first.
func (s *Server) webAddress(host string) string {
	host = strings.TrimSuffix(host, ".")
	for _, d := range s.directory.Domains() {
		if strings.EqualFold(config.ASCII(d.Name()), host) {
			return s.webURL(d.Name())
		}
	}
	return s.webURL(s.settings.Load().Domains[0])
}
