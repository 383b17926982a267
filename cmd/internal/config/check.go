package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"confab/xmpp"
)

// What is more than these is a slip of the pen, and sums with it could overflow. An address space has 128 TiB.
const (
	maxInt  = 1_000_000_000
	maxSize = 64 << 10 * GiB
)

// check examines the settings as a whole. Whether files exist and addresses
// are free is not its business: 'confab config check' and the start look.
func (l *Loaded) check(problems *Error) {
	bad := func(name, format string, args ...any) {
		where := l.Origin[name]
		if where == "" {
			where = "default"
		}
		problems.add(where, name+": "+format, args...)
	}
	for _, f := range Fields(l.Settings) {
		if c, ok := f.value.Interface().(interface{ check() error }); ok {
			if err := c.check(); err != nil {
				bad(f.Name, "%v", err)
			}
		}
		if n, ok := f.value.Interface().(int); ok && n < 1 {
			bad(f.Name, "%d is too small, it must be at least 1", n)
		} else if ok && n > maxInt {
			bad(f.Name, "%d is too large, it must be at most %d", n, maxInt)
		}
		if n, ok := f.value.Interface().(Size); ok && n < KiB {
			bad(f.Name, "%s is too small, it must be at least 1KiB", n)
		} else if ok && n > maxSize {
			bad(f.Name, "%s is too large, it must be at most %s", n, maxSize)
		}
	}
	l.checkDomains(bad)
	l.checkListen(bad)
	l.checkWeb(bad)
	l.checkComponents(bad)
	l.checkCalls(bad)
	l.checkAbout(bad)
	if len(l.TLS.Certificate) == 0 {
		bad("tls.certificate", "the list is empty; name a PEM file")
	}
	if len(l.TLS.Certificate) != len(l.TLS.Key) {
		bad("tls.key", "there are %d certificates and %d keys; each certificate needs its key, in the same order", len(l.TLS.Certificate), len(l.TLS.Key))
	}
	if l.PubSub.Nodes < 1 || l.PubSub.Nodes > 100_000 {
		bad("pubsub.nodes", "%d is out of bounds, it must be between 1 and 100000", l.PubSub.Nodes)
	}
	// RFC 5802 §5.1 has the lower bound; above the other a login takes seconds.
	if t := l.Auth.Tokens.Duration; t < time.Hour || t > 400*day {
		bad("auth.tokens", "%v is out of bounds, it must be between 1h and 400d", l.Auth.Tokens)
	} else if l.Auth.Rotation.Duration <= 0 || l.Auth.Rotation.Duration > t {
		bad("auth.rotation", "%v is out of bounds, it must be more than nothing, and not more than auth.tokens, which is %v", l.Auth.Rotation, l.Auth.Tokens)
	}
	if l.Auth.Iterations < 4096 || l.Auth.Iterations > 1_000_000 {
		bad("auth.iterations", "%d is out of bounds, it must be between 4096 and 1000000", l.Auth.Iterations)
	}
	// RFC 6120 §13.12: a server accepts stanzas of 10000 bytes at least.
	if l.Limits.Stanza < 10_000 {
		bad("limits.stanza", "%s is too small; RFC 6120 demands at least 10000 bytes", l.Limits.Stanza)
	}
	if l.Limits.StanzaBeforeLogin > l.Limits.Stanza {
		bad("limits.stanza_before_login", "%s is more than limits.stanza, which is %s", l.Limits.StanzaBeforeLogin, l.Limits.Stanza)
	}
	if l.Limits.OutBuffer < l.Limits.Stanza {
		bad("limits.out_buffer", "%s is less than limits.stanza, which is %s: a large stanza could never be delivered", l.Limits.OutBuffer, l.Limits.Stanza)
	}
	if l.Limits.OutBuffers < l.Limits.Stanza {
		bad("limits.out_buffers", "%s is less than limits.stanza, which is %s: a large stanza could never be delivered", l.Limits.OutBuffers, l.Limits.Stanza)
	} else if l.Limits.OutBuffers < l.Limits.OutBuffer {
		l.Warnings = append(l.Warnings, fmt.Sprintf("limits.out_buffers, %s for all clients together, is less than limits.out_buffer, %s for one: a slow client can have others closed",
			l.Limits.OutBuffers, l.Limits.OutBuffer))
	}
	for name, d := range map[string]Duration{"limits.tls_handshake": l.Limits.TLSHandshake, "limits.login": l.Limits.Login} {
		if d.Duration <= 0 {
			bad(name, "nobody could log in in no time; write something like 30s")
		}
	}
}

func (l *Loaded) checkDomains(bad func(name, format string, args ...any)) {
	for i, name := range l.Domains {
		normal, err := normalDomain(name)
		if err != nil {
			bad("domains", "%q is no domain name; write the part of the mail addresses after the @, as in example.com", name)
			continue
		}
		if slices.Contains(l.Domains[:i], normal) {
			bad("domains", "%s is there twice", normal)
		}
		l.Domains[i] = normal
	}
}

func (l *Loaded) checkListen(bad func(name, format string, args ...any)) {
	if len(l.Listen.StartTLS)+len(l.Listen.TLS) == 0 {
		bad("listen.starttls", "it is empty, and so is listen.tls: no client could connect; write [\":5222\"]")
	}
	seen := make(map[string]bool)
	for _, listener := range []struct {
		name      string
		addresses []string
	}{
		{"listen.starttls", l.Listen.StartTLS}, {"listen.tls", l.Listen.TLS},
		{"listen.https", l.Listen.HTTPS}, {"listen.http", l.Listen.HTTP}, {"listen.component", l.Listen.Component},
		{"listen.proxy", l.Listen.Proxy},
		{"listen.metrics", l.Listen.Metrics},
	} {
		for _, address := range listener.addresses {
			host, port, err := net.SplitHostPort(address)
			n, portErr := strconv.ParseUint(port, 10, 16)
			switch {
			case err != nil || portErr != nil || strings.ContainsAny(host, "/ "):
				bad(listener.name, "%q is no listen address; write :5222 or 192.0.2.1:5222 or [2001:db8::1]:5222", address)
			case seen[address] && n != 0:
				bad(listener.name, "%s is there twice", address)
			}
			seen[address] = true
		}
	}
}

// normalDomain returns the form of a domain that addresses are compared in.
func normalDomain(name string) (string, error) {
	j, err := xmpp.ParseJID(strings.TrimSuffix(strings.TrimSpace(name), "."))
	if err != nil {
		return "", err
	}
	if !j.IsDomain() {
		return "", errors.New("not a domain")
	}
	return j.Domain(), nil
}
