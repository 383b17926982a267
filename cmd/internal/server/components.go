package server

import (
	"slices"
	"strings"

	"confab/cmd/internal/config"
	"confab/roster"
	"confab/xmpp"
	"confab/xmpp/component"
	"confab/xmpp/stream"
)

func (s *Server) newComponents() *component.Server {
	set := s.settings.Load()
	list := make([]component.Component, len(set.Components.Accept))
	for i, c := range set.Components.Accept {
		list[i] = component.Component{Name: c.Name, Home: c.Domain, Secret: string(c.Secret)}
	}
	return component.New(s.host, component.Options{Components: list, Stream: s.componentStream(set), Clock: s.opts.Clock, Log: s.opts.Log})
}

// componentStream is what bounds a component. It brings what all users of another network say: it is trusted with more than
// a client is, and not without bounds.
func (s *Server) componentStream(set *config.Loaded) *stream.Options {
	o := &stream.Options{
		BeforeLogin: xmpp.Limits{Bytes: int(set.Limits.StanzaBeforeLogin)},
		AfterLogin:  xmpp.Limits{Bytes: int(set.Limits.Stanza)},
		OutLimit:    8 * int(set.Limits.OutBuffer),
		OutTotal:    int64(set.Limits.OutBuffers),
		Log:         s.opts.Log,
		Stats:       &s.streams,
	}
	o.Prepare()
	return o
}

// services are the first labels of the addresses, below each mail domain, at which features answer with these settings.
func services(set *config.Loaded) []string {
	labels := []string{"conference", "pubsub"}
	if set.HasWeb() {
		labels = append(labels, "upload")
	}
	if len(set.Listen.Proxy) > 0 {
		labels = append(labels, "proxy")
	}
	if roster.Mode(set.Roster.Domain) != roster.Off {
		labels = append(labels, "search")
	}
	return labels
}

// CheckComponents looks whether a component has the address of a service of ours.
func CheckComponents(set *config.Loaded) error {
	for _, c := range set.Components.Accept {
		if serviceOf(set, c.Name) != "" {
			return &config.Error{Problems: []string{"components.accept: " + c.Name + " is an address of confab itself; give the component another name"}}
		}
	}
	return nil
}

// NameWarnings says which services nobody reaches, as their address is a mail domain.
func NameWarnings(set *config.Loaded) (list []string) {
	for _, name := range set.Domains {
		if domain := serviceOf(set, name); domain != "" {
			list = append(list, "the mail domain "+name+" has the address of a service of "+domain+", whose users cannot reach that: only one of these two domains can be served")
		}
	}
	return list
}

// serviceOf is the mail domain of which a name would be a service, "" if there is none.
func serviceOf(set *config.Loaded, name string) string {
	if label, parent, _ := strings.Cut(name, "."); slices.Contains(services(set), label) && slices.Contains(set.Domains, parent) {
		return parent
	}
	return ""
}
