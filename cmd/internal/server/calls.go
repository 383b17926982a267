package server

import (
	"net"
	"strconv"

	"confab/xmpp/feature/bytestreams"
	"confab/xmpp/feature/extdisco"
)

// callServers are the servers that the settings name at this moment.
func (s *Server) callServers() []extdisco.Service {
	servers := s.settings.Load().Calls.Servers
	list := make([]extdisco.Service, len(servers))
	for i, c := range servers {
		list[i] = extdisco.Service{
			Type: c.Type, Host: c.Host, Port: c.Port, Transport: c.Transport, Domain: c.Domain,
			Secret: string(c.Secret), Username: c.Username, Password: string(c.Password), TTL: c.TTL.Duration,
		}
	}
	return list
}

func (s *Server) newProxy() *bytestreams.Proxy {
	o := bytestreams.Options{
		Log: s.opts.Log,
		Limits: func() bytestreams.Limits {
			set := s.settings.Load().Proxy
			return bytestreams.Limits{Rate: int(set.Rate), Streams: set.Streams}
		},
	}
	if len(s.settings.Load().Listen.Proxy) > 0 {
		o.Address = s.proxyAddress
	}
	return bytestreams.New(s.host, o)
}

// proxyAddress is how the users of a domain reach the proxy.
func (s *Server) proxyAddress(domain string) (host string, port int, ok bool) {
	if host = s.settings.Load().Proxy.Host; host == "" {
		host = domain
	}
	for _, l := range s.listeners["proxy"] {
		if _, text, err := net.SplitHostPort(l.Addr().String()); err == nil {
			port, err = strconv.Atoi(text)
			return host, port, err == nil
		}
	}
	return "", 0, false
}
