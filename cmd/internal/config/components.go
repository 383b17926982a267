package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// minSecret is how long the secret of a component is at least: nobody types it,
// and whoever can reach the listener can try.
const minSecret = 12

// ComponentListen is listen.component, if there are components to connect.
func (s *Settings) ComponentListen() []string {
	if len(s.Components.Accept) == 0 {
		return nil
	}
	return s.Listen.Component
}

func (l *Loaded) checkComponents(bad func(name, format string, args ...any)) {
	const name = "components.accept"
	var seen []string
	for i := range l.Components.Accept {
		c := &l.Components.Accept[i]
		normal, err := normalDomain(c.Name)
		switch {
		case err != nil:
			bad(name, "%q is no domain; write the one that the component speaks for, as in irc.example.com", c.Name)
			continue
		case slices.Contains(l.Domains, normal):
			bad(name, "%s is a mail domain; a component has one of its own, as in irc.%s", normal, normal)
		case slices.Contains(seen, normal):
			bad(name, "%s is there twice", normal)
		}
		c.Name = normal
		seen = append(seen, normal)
		if len(c.Secret) < minSecret {
			bad(name, "the secret of %s is too short; it must have at least %d characters", normal, minSecret)
		}
		l.checkHome(c, bad)
	}
	if len(seen) > 0 && len(l.Listen.Component) == 0 {
		bad("listen.component", "it is empty, and components.accept is not: no component could connect; write [\"127.0.0.1:5347\"]")
	}
	for _, address := range l.Listen.Component {
		if len(seen) > 0 && !private(address) {
			l.Warnings = append(l.Warnings, "listen.component: components speak without TLS, and "+address+" can be reached from other machines: see to it that only the components' can, or write 127.0.0.1:5347")
		}
	}
}

// checkHome finds the mail domain that a component belongs to.
func (l *Loaded) checkHome(c *Component, bad func(name, format string, args ...any)) {
	if c.Domain != "" {
		normal, err := normalDomain(c.Domain)
		if err != nil || !slices.Contains(l.Domains, normal) {
			bad("components.accept", "%s belongs to %q, which is none of the domains served", c.Name, c.Domain)
		}
		c.Domain = normal
		return
	}
	for _, d := range l.Domains {
		if strings.HasSuffix(c.Name, "."+d) && len(d) > len(c.Domain) {
			c.Domain = d
		}
	}
	switch {
	case c.Domain != "":
	case len(l.Domains) == 1:
		c.Domain = l.Domains[0]
	default:
		bad("components.accept", "to which mail domain does %s belong? Write domain = \"...\" beside its name", c.Name)
	}
}

// private reports whether only this machine reaches a listen address.
func private(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // checkListen has said it
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
