package server

import (
	"fmt"

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
	// A component brings what all users of another network say: it is trusted
	// with more than a client is, and not without bounds.
	o := &stream.Options{
		BeforeLogin: xmpp.Limits{Bytes: int(set.Limits.StanzaBeforeLogin)},
		AfterLogin:  xmpp.Limits{Bytes: int(set.Limits.Stanza)},
		OutLimit:    8 * int(set.Limits.OutBuffer),
		OutTotal:    int64(set.Limits.OutBuffers),
		Log:         s.opts.Log,
		Stats:       &s.streams,
	}
	o.Prepare()
	return component.New(s.host, component.Options{Components: list, Stream: o, Clock: s.opts.Clock, Log: s.opts.Log})
}

// checkComponents looks whether a component has the address of a service of ours.
func (s *Server) checkComponents() error {
	for _, c := range s.settings.Load().Components.Accept {
		if s.table.Home(c.Name) != "" {
			return fmt.Errorf("components.accept: %s is an address of confab itself; give the component another name", c.Name)
		}
	}
	return nil
}
