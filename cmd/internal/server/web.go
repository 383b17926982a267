package server

import (
	"net"
	"net/netip"

	"confab/xmpp/feature/upload"
)

// proxies are the reverse proxies that are believed.
func (s *Server) proxies() []netip.Prefix { return s.settings.Load().Trusted() }

// webURL is how the users of a domain reach the web side.
func (s *Server) webURL(domain string) string {
	addresses := s.settings.Load().Listen.HTTPS // a command without a server listens nowhere
	if list := s.listeners["https"]; len(list) > 0 {
		addresses = []string{list[0].Addr().String()}
	}
	port := ""
	if len(addresses) > 0 {
		_, port, _ = net.SplitHostPort(addresses[0])
	}
	return s.settings.Load().WebURL(domain, port)
}

// invitationURL is webURL, or nothing if nothing is served there.
func (s *Server) invitationURL(domain string) string {
	if !s.settings.Load().HasWeb() {
		return ""
	}
	return s.webURL(domain)
}

func (s *Server) newUploads() *upload.Uploads {
	return upload.New(s.host, upload.Options{
		Folder: s.settings.Load().Uploads(),
		URL:    s.webURL,
		Limits: func() upload.Limits {
			set := s.settings.Load().Upload
			return upload.Limits{File: int64(set.MaxFile), Quota: int64(set.Quota)}
		},
		Linked: s.archive.Linked,
	})
}
