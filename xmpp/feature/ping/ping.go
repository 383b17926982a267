// Package ping answers pings (XEP-0199), by which a client finds out whether
// its stream still carries anything.
//
// It is the skeleton for features: copy it, rename it after what it does.
package ping

import (
	"confab/xmpp"
	"confab/xmpp/feature"
)

// New returns the feature.
func New() feature.Feature {
	// Another user's bare address does not answer: whoever gets a pong from
	// there would know that the account exists.
	const where = feature.Server | feature.Self
	return feature.Feature{
		Name:       "ping",
		Implements: []feature.XEP{feature.Implements(199, "2.0.1", feature.Complete, "")},
		Advertise:  []feature.Advert{{Var: xmpp.NSPing, Where: where}},
		IQ:         []feature.IQ{feature.Get(xmpp.NSPing, "ping", where, pong)},
	}
}

// pong is an empty result (XEP-0199 §4.2).
func pong(_ *feature.Query, dst []byte) ([]byte, error) { return dst, nil }
