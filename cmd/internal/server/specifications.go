package server

import (
	"cmp"
	"slices"

	"confab/xmpp/feature"
)

// core is what no feature states, as it is built into streams and sessions.
var core = []feature.XEP{
	feature.Implements(4, "2.13.2", feature.Complete, "as other specifications use it"),
	feature.Implements(59, "1.0", feature.Complete, "in the history"),
	feature.Implements(106, "1.1.1", feature.Complete, "mail addresses as localparts"),
	feature.Implements(198, "1.6.3", feature.Complete, ""),
	feature.Implements(368, "1.1.0", feature.Complete, "for clients"),
	feature.Implements(440, "1.0.0", feature.Complete, "tls-exporter, tls-server-end-point"),
	feature.Implements(474, "0.5.0", feature.Complete, ""),
}

// Specifications lists the XEPs that the server speaks, by number.
func (s *Server) Specifications() []feature.XEP {
	list := slices.Clone(core)
	for _, f := range s.table.Features() {
		list = append(list, f.Implements...)
	}
	slices.SortStableFunc(list, func(a, b feature.XEP) int { return cmp.Compare(a.Number, b.Number) })
	return list
}
