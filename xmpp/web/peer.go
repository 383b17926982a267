package web

import (
	"net/http"
	"net/netip"
	"strings"
)

// Peer is who sent a request.
type Peer struct {
	Addr netip.Addr // the client's
	// Proxied says that a proxy is between, where TLS ends: nothing can be bound
	// to the channel.
	Proxied bool
}

type peerKey struct{}

// PeerOf tells who sent a request that a Server has handed on.
func PeerOf(r *http.Request) Peer {
	p, _ := r.Context().Value(peerKey{}).(Peer)
	return p
}

// peer finds out who sends a request, and whether it is refused.
func (s *Server) peer(r *http.Request) (p Peer, refused string) {
	direct, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil {
		p.Addr = direct.Addr().Unmap()
	}
	var proxies []netip.Prefix
	if s.opts.Proxies != nil {
		proxies = s.opts.Proxies()
	}
	if !within(proxies, p.Addr) {
		if r.TLS == nil {
			return p, "this is for the reverse proxy only; use https"
		}
		return p, ""
	}
	p.Addr, p.Proxied = forwarded(r.Header, proxies, p.Addr)
	p.Proxied = p.Proxied || r.TLS == nil
	if strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "http") {
		return p, "use https"
	}
	return p, ""
}

// forwarded reads X-Forwarded-For from its end: each proxy adds whom it heard
// from, and what is before the last one that is believed anybody may have
// written.
func forwarded(h http.Header, proxies []netip.Prefix, direct netip.Addr) (client netip.Addr, told bool) {
	client = direct
	list := strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	for i := len(list) - 1; i >= 0; i-- {
		addr, ok := parseAddr(strings.TrimSpace(list[i]))
		if !ok {
			break
		}
		client, told = addr, true
		if !within(proxies, addr) {
			break
		}
	}
	return client, told
}

// parseAddr reads an address, with a port or without.
func parseAddr(text string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap(), err == nil
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a.WithZone("")) {
			return true
		}
	}
	return false
}
