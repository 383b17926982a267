// Package csi leaves clients alone that say that nobody looks at them (XEP-0352):
// presence, chat states and the news of other people's accounts wait until
// something comes that does not, or until somebody looks again. A phone that is
// woken for each of them is empty by the evening.
//
// What waits is sent in its order, before whatever comes after it; of a
// presence, a chat state or an item that has been replaced meanwhile only the
// latest is sent. It waits with the session, see router.Session.Hold.
package csi

import (
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// New returns the feature.
func New() feature.Feature {
	return feature.Feature{
		Name:       "csi",
		Implements: []feature.XEP{feature.Implements(352, "1.0.0", feature.Complete, "holds back presence, chat states and other people's events")},
		Nonzas: []feature.Nonza{
			{Space: xmpp.NSCSI, Local: "inactive", Handle: inactive},
			{Space: xmpp.NSCSI, Local: "active", Handle: func(s *router.Session) { s.Release() }},
		},
		Inline: []feature.Inline{{Var: xmpp.NSCSI, Space: xmpp.NSCSI, Turn: turn}},
		StreamFeatures: func(_ string, dst []byte) []byte {
			return append(dst, "<csi xmlns='"+xmpp.NSCSI+"'/>"...)
		},
	}
}

func inactive(s *router.Session) {
	own := s.JID().Bare().String()
	s.Hold(func(stanza []byte) (key string, waits bool) { return judge(own, stanza) })
}

// turn is the state that a session begins with (XEP-0386 §3.2).
func turn(s *router.Session, request *xmpp.Node, dst []byte) []byte {
	if request.Local == "inactive" {
		inactive(s)
	}
	return dst
}
