package feature

import "strings"

// locate finds what the address is.
func (t *Table) locate(d *Dispatch) {
	domain := d.To.Domain()
	home := t.home(d)
	if inside := d.Session == nil && d.origin == nil; !inside && domain != home && t.Home(domain) != home {
		// The domains of one server never see one another.
		if d.Where = Remote; t.Home(domain) == "" {
			d.Peer = t.peer(domain, home)
		}
		return
	}
	if t.host.Directory.Domain(domain) == nil {
		d.Where = Remote
		if t.Home(domain) != "" {
			label, _ := cutLabel(domain)
			d.Where, d.Target = Service, t.services[label]
		} else if home != "" {
			d.Peer = t.peer(domain, home)
		}
		return
	}
	if d.To.Local() == "" {
		d.Where = Server
		return
	}
	d.User = t.host.Directory.User(d.To)
	if d.User == nil && t.alias != nil {
		d.Alias = t.host.Directory.ResolveAlias(d.To)
	}
	switch {
	case d.Alias != nil:
		d.Where, d.Target = Alias, t.alias
	case d.User == nil || d.User.Disabled:
		d.User, d.Where = nil, Nobody
	case d.To.IsFull():
		d.Where = Full
	case d.To == d.From.Bare():
		d.Where = Self
	default:
		d.Where = Account
	}
}

// home is the mail domain whose the sender of a stanza is, "" if there is none.
func (t *Table) home(d *Dispatch) string {
	switch {
	case d.Session != nil:
		return d.Session.JID().Domain()
	case d.origin != nil:
		return d.origin.Home()
	}
	return t.Home(d.From.Domain())
}

// Home is the mail domain that a domain of ours is, or is a service of; "" if it
// is not ours.
func (t *Table) Home(domain string) string {
	if t.host.Directory.Domain(domain) != nil {
		return domain
	}
	if label, parent := cutLabel(domain); t.services[label] != nil && t.host.Directory.Domain(parent) != nil {
		return parent
	}
	return ""
}

func cutLabel(domain string) (label, parent string) {
	label, parent, _ = strings.Cut(domain, ".")
	return label, parent
}
