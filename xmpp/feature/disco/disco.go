// Package disco tells what an address is, what it can do and what belongs to it
// (XEP-0030). It knows nothing of that itself: it gathers what the features of
// the table say.
//
// What is said of an account is said to those who may see its presence. To
// others the account looks like one that does not exist (XEP-0030 §8).
package disco

import (
	"cmp"
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// Options are what the feature needs of others.
type Options struct {
	// MaySee reports whether a contact is sent the presence of a user.
	MaySee func(owner directory.ID, contact xmpp.JID) bool
	// MaySeeAlias is the same for an alias; nil: nobody does.
	MaySeeAlias func(a *directory.Alias, contact xmpp.JID) bool
}

const (
	accounts = feature.Self | feature.Account | feature.Alias
	where    = feature.Server | feature.Service | accounts
)

// New returns the feature.
func New(o Options) feature.Feature {
	s := &source{maySee: o.MaySee, maySeeAlias: o.MaySeeAlias}
	return feature.Feature{
		Name: "disco",
		Implements: []feature.XEP{
			feature.Implements(30, "2.5.0", feature.Complete, ""),
			feature.Implements(115, "1.6.0", feature.Partial, "the server's own capabilities; those of clients are verified for notifications"),
		},
		Advertise: []feature.Advert{
			{Var: xmpp.NSDiscoInfo, Where: where},
			{Var: xmpp.NSDiscoItems, Where: where},
			{Var: xmpp.NSCaps, Where: feature.Server},
		},
		Identities: []feature.Identity{
			{Category: "server", Type: "im", Name: "confab", Where: feature.Server},
			{Category: "account", Type: "registered", Where: accounts},
		},
		IQ: []feature.IQ{
			feature.Get(xmpp.NSDiscoInfo, "query", where|feature.Nobody, s.info),
			feature.Get(xmpp.NSDiscoItems, "query", where|feature.Nobody, s.items),
		},
		StreamFeatures: s.streamFeatures,
		Start:          s.start,
	}
}

// source is what the answers are made of.
type source struct {
	maySee      func(directory.ID, xmpp.JID) bool
	maySeeAlias func(*directory.Alias, xmpp.JID) bool
	host        *feature.Host
	features    []feature.Feature

	// What does not change while the server runs.
	fixed    map[feature.Where][]byte
	services map[*feature.Target]service

	verified sync.Map // domain → *verified
}

// service is a domain below the mail domain and the feature that serves it.
type service struct {
	owner *feature.Feature
	fixed []byte
}

func (s *source) start(h *feature.Host) error {
	s.host, s.features = h, h.Table.Features()
	s.fixed = map[feature.Where][]byte{}
	for _, w := range []feature.Where{feature.Server, feature.Self, feature.Account, feature.Alias} {
		all := make([]*feature.Feature, len(s.features))
		for i := range s.features {
			all[i] = &s.features[i]
		}
		s.fixed[w] = compose(w, all...)
	}
	self := feature.Feature{Advertise: []feature.Advert{
		{Var: xmpp.NSDiscoInfo, Where: feature.Service}, {Var: xmpp.NSDiscoItems, Where: feature.Service},
	}}
	s.services = map[*feature.Target]service{}
	for i := range s.features {
		f := &s.features[i]
		for j := range f.Targets {
			s.services[&f.Targets[j]] = service{f, compose(feature.Service, &self, f)}
		}
	}
	return nil
}

// compose writes the identities and, sorted, the features that are announced
// at a kind of address. Nothing is in it twice: clients refuse the hash of an
// answer in which something is (XEP-0115 §5.4).
func compose(w feature.Where, features ...*feature.Feature) []byte {
	var identities []feature.Identity
	var vars []string
	for _, f := range features {
		for _, id := range f.Identities {
			same := func(o feature.Identity) bool { return o.Category == id.Category && o.Type == id.Type }
			if id.Where&w != 0 && !slices.ContainsFunc(identities, same) {
				identities = append(identities, id)
			}
		}
		for _, a := range f.Advertise {
			if a.Where&w != 0 {
				vars = append(vars, a.Var)
			}
		}
	}
	slices.SortStableFunc(identities, func(a, b feature.Identity) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Type, b.Type))
	})
	slices.Sort(vars)
	var b []byte
	for _, id := range identities {
		b = append(b, "<identity"...)
		b = xmpp.AppendAttr(b, "category", id.Category)
		b = xmpp.AppendAttr(b, "type", id.Type)
		if id.Name != "" {
			b = xmpp.AppendAttr(b, "name", id.Name)
		}
		b = append(b, "/>"...)
	}
	for _, v := range slices.Compact(vars) {
		b = append(xmpp.AppendAttr(append(b, "<feature"...), "var", v), "/>"...)
	}
	return b
}

// hidden reports whether an address does not exist for the one who asks.
func (s *source) hidden(q *feature.Query) bool {
	switch q.Where {
	case feature.Nobody:
		return true
	case feature.Account:
		return !s.maySee(q.User.ID, q.From)
	case feature.Alias:
		return s.maySeeAlias == nil || !s.maySeeAlias(q.Alias, q.From)
	}
	return false
}

// asked are the features that have a say about an address.
func (s *source) asked(q *feature.Query) []feature.Feature {
	if q.Where == feature.Service {
		return []feature.Feature{*s.services[q.Target].owner}
	}
	return s.features
}

func (s *source) info(q *feature.Query, dst []byte) ([]byte, error) {
	if s.hidden(q) { // §8, rule 1, with a node or without
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	dst, node := open(dst, xmpp.NSDiscoInfo, q)
	if node != "" && !s.isCaps(q, node) {
		return s.node(q, node, false, dst)
	}
	dst, err := s.describe(q, dst)
	if err != nil {
		return nil, err
	}
	return shut(dst), nil
}

// describe appends the identities, features and forms of an address.
func (s *source) describe(q *feature.Query, dst []byte) ([]byte, error) {
	before := len(dst)
	if q.Where != feature.Service {
		dst = append(dst, s.fixed[q.Where]...)
	} else if q.To.IsDomain() {
		dst = append(dst, s.services[q.Target].fixed...)
	}
	var err error
	for _, f := range s.asked(q) {
		if f.Info != nil {
			if dst, err = f.Info(q, dst); err != nil {
				return nil, err
			}
		}
	}
	if len(dst) == before { // something below a service of which the service knows nothing
		return nil, xmpp.NewError(xmpp.ItemNotFound, "")
	}
	return dst, nil
}

func (s *source) items(q *feature.Query, dst []byte) ([]byte, error) {
	dst, node := open(dst, xmpp.NSDiscoItems, q)
	if s.hidden(q) { // §8, rule 2
		return shut(dst), nil
	}
	if node != "" {
		return s.node(q, node, true, dst)
	}
	switch q.Where {
	case feature.Server:
		dst = s.appendServices(dst, q.To)
	case feature.Self, feature.Account:
		dst = appendResources(dst, q.Host().Router.Account(q.To))
	}
	var err error
	for _, f := range s.asked(q) {
		if f.Items != nil {
			if dst, err = f.Items(q, dst); err != nil {
				return nil, err
			}
		}
	}
	return shut(dst), nil
}

// node answers for what has no address of its own (§3.2, §4.2).
func (s *source) node(q *feature.Query, node string, items bool, dst []byte) ([]byte, error) {
	for _, f := range s.asked(q) {
		if f.Nodes == nil {
			continue
		}
		out, handled, err := f.Nodes(q, node, items, dst)
		if err != nil {
			return nil, err
		}
		if handled {
			return shut(out), nil
		}
	}
	return nil, xmpp.NewError(xmpp.ItemNotFound, "")
}

func (s *source) appendServices(dst []byte, domain xmpp.JID) []byte {
	for i := range s.features {
		for _, t := range s.features[i].Targets {
			if t.Where != feature.Service {
				continue
			}
			dst = xmpp.AppendAttr(append(dst, "<item"...), "jid", t.Label+"."+domain.Domain())
			if t.Name != "" {
				dst = xmpp.AppendAttr(dst, "name", t.Name)
			}
			dst = append(dst, "/>"...)
		}
	}
	return dst
}

// appendResources names the resources that are available (§4.1).
func appendResources(dst []byte, a *router.Account) []byte {
	if a == nil {
		return dst
	}
	for _, s := range a.Available(nil) {
		dst = append(xmpp.AppendAttr(append(dst, "<item"...), "jid", s.JID().String()), "/>"...)
	}
	return dst
}

// open begins an answer, which names the node that was asked for.
func open(dst []byte, space string, q *feature.Query) (out []byte, node string) {
	dst = append(dst, "<query"...)
	dst = xmpp.AppendAttr(dst, "xmlns", space)
	if node, _ = q.Payload.Attr("node"); node != "" {
		dst = xmpp.AppendAttr(dst, "node", node)
	}
	return append(dst, '>'), node
}

func shut(dst []byte) []byte { return append(dst, "</query>"...) }
