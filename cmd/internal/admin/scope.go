package admin

import (
	"strings"

	"confab/xmpp/directory"
)

// Reach says who may have an operation carried out besides those who are at the
// command line, to whom everything is open.
type Reach uint8

// The reaches.
const (
	OfServer Reach = iota // nobody: it concerns the server as a whole
	OfDomain              // the administrators of a domain, for that domain
	OfSingle              // the same, if the server has no other domain
)

// within returns what the administrators of the request's domain see of a: that
// domain and nothing else. All of the operations find domains, users, aliases
// and rooms by the methods below.
func (a *Admin) within(o *Operation, r *Request) (*Admin, error) {
	if r.Domain == "" {
		return a, nil
	}
	switch {
	case a.Directory.Domain(r.Domain) == nil:
		return nil, failf(Forbidden, "%s is not served here", r.Domain)
	case o.Reach == OfServer:
		return nil, failf(Forbidden, "%s concerns all of the server: it is done at its command line", o.Name)
	case o.Reach == OfSingle && len(a.Directory.Domains()) > 1:
		return nil, failf(Forbidden, "%s concerns the other domains of the server, too: it is done at its command line", o.Name)
	}
	scoped := *a
	scoped.scope = r.Domain
	return &scoped, nil
}

// MayReach reports whether the administrators of a domain may have an operation
// carried out.
func (a *Admin) MayReach(o *Operation, domain string) bool {
	if o.NeedLive && a.Live == nil {
		return false
	}
	_, err := a.within(o, &Request{Domain: domain})
	return err == nil
}

// domains are the domains of whoever asks, by name.
func (a *Admin) domains() []*directory.Domain {
	if a.scope != "" {
		return []*directory.Domain{a.Directory.Domain(a.scope)}
	}
	return a.Directory.Domains()
}

// domain returns the domain of that name, nil if it is none of whoever asks.
func (a *Admin) domain(name string) *directory.Domain {
	if a.scope != "" && a.scope != name {
		return nil
	}
	return a.Directory.Domain(name)
}

func (a *Admin) domainNames() []string {
	var names []string
	for _, d := range a.domains() {
		names = append(names, d.Name())
	}
	return names
}

func (a *Admin) notServed(domain string) *Error {
	return failf(NotFound, "%s is not served here, only %s", domain, strings.Join(a.domainNames(), ", "))
}

// oneDomain is the domain that a parameter names, or the only one there is.
func (a *Admin) oneDomain(name string) (*directory.Domain, error) {
	if name == "" {
		all := a.domains()
		if len(all) != 1 {
			return nil, failf(Usage, "which domain? There are %s", strings.Join(a.domainNames(), ", "))
		}
		return all[0], nil
	}
	d := a.domain(name)
	if d == nil {
		return nil, a.notServed(name)
	}
	return d, nil
}
