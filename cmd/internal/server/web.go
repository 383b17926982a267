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
	port := ""
	for _, l := range s.listeners["https"] {
		if _, p, err := net.SplitHostPort(l.Addr().String()); err == nil {
			port = p
			break
		}
	}
	return s.settings.Load().WebURL(domain, port)
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
