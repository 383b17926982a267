package config

import (
	"net/netip"
	"net/url"
	"strings"
)

// HasWeb reports whether anything is served over HTTP.
func (s *Settings) HasWeb() bool { return len(s.Listen.HTTPS)+len(s.Listen.HTTP) > 0 }

// WebURL is how the users of a mail domain reach the web side, without a slash
// at the end. port is the one that listen.https really has, if it has any.
func (s *Settings) WebURL(domain, port string) string {
	if s.Web.URL != "" || len(s.Listen.HTTPS) == 0 {
		return s.Web.URL
	}
	host := ASCII(domain)
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	if port == "443" {
		return "https://" + host
	}
	return "https://" + host + ":" + port
}

// WebHost is the host that web.url names, "" if it names none.
func (s *Settings) WebHost() string {
	u, err := url.Parse(s.Web.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// WebWarnings says what clients will object to on the web side.
func (s *Settings) WebWarnings(c *Certificates) []string {
	host := s.WebHost()
	if host == "" || len(s.Listen.HTTPS) == 0 {
		return nil // the mail domains are looked at anyway, or a proxy has the certificate
	}
	if cert := c.For(host); cert == nil || cert.Leaf.VerifyHostname(ASCII(host)) != nil {
		return []string{"no certificate names " + host + ", the host of web.url: clients will refuse to connect from browsers and to fetch and send files (listen.https gives each name its certificate, so add one under [tls])"}
	}
	return nil
}

// Trusted are the networks of web.proxies.
func (s *Settings) Trusted() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range s.Web.Proxies {
		if p, ok := parsePrefix(text); ok {
			list = append(list, p)
		}
	}
	return list
}

// parsePrefix reads a network, or an address as the network of one.
func parsePrefix(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil
}

func (l *Loaded) checkWeb(bad func(name, format string, args ...any)) {
	l.Web.URL = strings.TrimRight(l.Web.URL, "/")
	if l.Web.URL != "" {
		u, err := url.Parse(l.Web.URL)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(l.Web.URL, "'\"<> ") {
			bad("web.url", "%q is no address of a web server; write https://chat.example.com or https://chat.example.com:5443", l.Web.URL)
		}
	} else if len(l.Listen.HTTP) > 0 && len(l.Listen.HTTPS) == 0 {
		bad("web.url", "it is empty; with listen.http alone it has to say how clients reach the reverse proxy, as in https://chat.example.com")
	}
	for _, text := range l.Web.Origins {
		if u, err := url.Parse(text); text != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || strings.Count(text, "*") > 1) {
			bad("web.origins", "%q is no web site; write https://chat.example.com, https://*.example.com or *", text)
		}
	}
	for _, text := range l.Web.Proxies {
		if _, ok := parsePrefix(text); !ok {
			bad("web.proxies", "%q is no address or network; write 127.0.0.1, 10.0.0.0/8 or fd00::/8", text)
		}
	}
}
