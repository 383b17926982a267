// Package entitytime tells the server's time (XEP-0202), by which a client can
// find out that its own clock is wrong.
package entitytime

import (
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
)

// New returns the feature.
func New() feature.Feature {
	return feature.Feature{
		Name:       "entitytime",
		Implements: []feature.XEP{feature.Implements(202, "2.0", feature.Complete, "")},
		Advertise:  []feature.Advert{{Var: xmpp.NSTime, Where: feature.Server}},
		IQ:         []feature.IQ{feature.Get(xmpp.NSTime, "time", feature.Server, now)},
	}
}

// now answers in the formats of XEP-0082: an offset and a moment in UTC.
func now(q *feature.Query, dst []byte) ([]byte, error) {
	t := q.Host().Now()
	dst = append(dst, "<time xmlns='"+xmpp.NSTime+"'><tzo>"...)
	dst = t.AppendFormat(dst, "-07:00")
	dst = append(dst, "</tzo><utc>"...)
	dst = t.UTC().AppendFormat(dst, time.RFC3339)
	return append(dst, "</utc></time>"...), nil
}
