// Package version says which software this is (XEP-0092).
package version

import (
	"confab/xmpp"
	"confab/xmpp/feature"
)

// New returns the feature. The operating system is nobody's business and left
// out (XEP-0092 §5).
func New(version string) feature.Feature {
	b := []byte("<query xmlns='" + xmpp.NSVersion + "'><name>confab</name><version>")
	answer := append(xmpp.AppendText(b, version), "</version></query>"...)
	return feature.Feature{
		Name:       "version",
		Implements: []feature.XEP{feature.Implements(92, "1.1", feature.Complete, "without the operating system")},
		Advertise:  []feature.Advert{{Var: xmpp.NSVersion, Where: feature.Server}},
		IQ: []feature.IQ{feature.Get(xmpp.NSVersion, "query", feature.Server,
			func(_ *feature.Query, dst []byte) ([]byte, error) { return append(dst, answer...), nil })},
	}
}
