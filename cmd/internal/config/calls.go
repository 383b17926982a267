package config

import (
	"slices"
	"strings"
	"time"
)

// callServers are the kinds of servers that calls need, with their usual ports
// (RFC 7064, RFC 7065) and transports.
var callServers = map[string]struct {
	port      int
	transport string
}{
	"stun": {3478, "udp"}, "turn": {3478, "udp"},
	"stuns": {5349, "tcp"}, "turns": {5349, "tcp"},
}

func (l *Loaded) checkCalls(bad func(name, format string, args ...any)) {
	const name = "calls.servers"
	for i := range l.Calls.Servers {
		s := &l.Calls.Servers[i]
		usual, known := callServers[s.Type]
		if !known {
			bad(name, "%q is no type of a server; it is stun, turn, stuns or turns", s.Type)
			continue
		}
		if s.Port == 0 {
			s.Port = usual.port
		}
		if s.Transport == "" {
			s.Transport = usual.transport
		}
		if s.TTL.Duration == 0 {
			s.TTL.Duration = 12 * time.Hour
		}
		relay := strings.HasPrefix(s.Type, "turn")
		switch {
		case s.Host == "" || strings.ContainsAny(s.Host, " /@"):
			bad(name, "%q is no host; write the name or address of the %s server", s.Host, s.Type)
		case s.Port < 1 || s.Port > 65535:
			bad(name, "%d is no port", s.Port)
		case s.Transport != "udp" && s.Transport != "tcp":
			bad(name, "%q is no transport; it is udp or tcp", s.Transport)
		case s.TTL.Duration < 5*time.Minute:
			bad(name, "%s is too short for the credentials of a call; it must be at least 5m", s.TTL)
		case s.Secret != "" && s.Username != "", (s.Username == "") != (s.Password == ""):
			bad(name, "%s has either a secret, or a username and a password", s.Host)
		case relay && s.Secret == "" && s.Username == "":
			bad(name, "%s has neither a secret nor a username and a password; a TURN server that relays for everybody is abused", s.Host)
		}
		if s.Domain != "" {
			normal, err := normalDomain(s.Domain)
			if err != nil || !slices.Contains(l.Domains, normal) {
				bad(name, "%s is for %q, which is none of the domains served", s.Host, s.Domain)
			}
			s.Domain = normal
		}
	}
}
