package dialogue

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

// Scene is what a script's Given lines ask of a server.
type Scene struct {
	Domains    []Domain
	Settings   []Setting
	Components []Component
}

// Component is a component that may connect (XEP-0114).
type Component struct{ Name, Home, Secret string }

// Domain is a domain to be served.
type Domain struct {
	Name  string
	Users []User
}

// User is an account to be there when the script starts.
type User struct {
	Local, Password         string
	Name                    string
	Groups                  []string
	Hidden, Disabled, Admin bool
}

// Setting is a line of the server's settings: a dotted key, and the value as it is written there.
type Setting struct{ Key, Value string }

// Port is a kind of listener.
type Port string

// The ports that clients connect to.
const (
	STARTTLS  Port = "STARTTLS"
	DirectTLS Port = "direct TLS"
	WebSocket Port = "WebSocket" // HTTPS, RFC 7395
	BOSH      Port = "BOSH"      // HTTPS, XEP-0206
	Accept    Port = "components"
)

// Server is a running server with a scene on it.
type Server interface {
	// Addr is where a port listens, as net.Dial takes it.
	Addr(Port) string
	// Roots are the authorities of its certificates.
	Roots() *x509.CertPool
	// Now is the server's time.
	Now() time.Time
	// Advance lets time pass. What falls due is done when it returns.
	Advance(time.Duration)
	// Operate runs a command of the operator and returns what it prints.
	Operate(stdin string, args ...string) (string, error)
	// Stop ends the server, in good order or as a crash would, and returns when it has ended.
	Stop(How) error
	// Start starts it again after Stop, with its data.
	Start() error
}

// How a server ends.
type How int

// Ways to end.
const (
	Orderly How = iota
	Crash
)

// Start starts a server for a scene. It ends by t.Cleanup. Where a server lacks what the scene asks for, it skips the test.
type Start func(t testing.TB, s Scene) Server

// account returns the address of the user that a script calls name: romeo, where one domain has him, or
// romeo@example.com.
func (s *Scene) account(name string) (local, domain string) {
	if local, domain, ok := strings.Cut(name, "@"); ok {
		return local, domain
	}
	for _, d := range s.Domains {
		for _, u := range d.Users {
			if u.Local == name {
				return name, d.Name
			}
		}
	}
	return name, s.Domains[0].Name
}

// component returns the component of that name, or nil.
func (s *Scene) component(name string) *Component {
	for i := range s.Components {
		if s.Components[i].Name == name {
			return &s.Components[i]
		}
	}
	return nil
}

// user returns the user of that name, or nil.
func (s *Scene) user(name string) *User {
	local, domain := s.account(name)
	for i := range s.Domains {
		if s.Domains[i].Name != domain {
			continue
		}
		for j := range s.Domains[i].Users {
			if u := &s.Domains[i].Users[j]; u.Local == local {
				return u
			}
		}
	}
	return nil
}
