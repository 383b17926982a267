package entitytime_test

import (
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/entitytime"
	"confab/xmpp/feature/featuretest"
)

// zone shows the time of a clock as it is elsewhere.
type zone struct {
	xmpp.Clock
	at *time.Location
}

func (z zone) Now() time.Time { return z.Clock.Now().In(z.at) }

func TestTime(t *testing.T) {
	h := featuretest.New(t, func(*feature.Host) []feature.Feature { return []feature.Feature{entitytime.New()} })
	romeo := h.Online(t, "romeo@example.com/orchard")
	h.Clock.Pass(90 * time.Minute)
	for _, test := range []struct {
		offset int
		tzo    string
	}{{0, "+00:00"}, {2 * 3600, "+02:00"}, {-(3*3600 + 1800), "-03:30"}} {
		h.Host.Clock = zone{h.Clock, time.FixedZone("there", test.offset)}
		romeo.Sends("<iq type='get' id='1' to='example.com'><time xmlns='urn:xmpp:time'/></iq>")
		romeo.Hears("<iq type='result' id='1' from='example.com' to='romeo@example.com/orchard'>" +
			"<time xmlns='urn:xmpp:time'><tzo>" + test.tzo + "</tzo><utc>2024-01-01T01:30:00Z</utc></time></iq>")
	}
}
