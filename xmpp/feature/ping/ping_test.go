package ping_test

import (
	"testing"

	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/ping"
)

func TestPing(t *testing.T) {
	h := featuretest.New(t, func(*feature.Host) []feature.Feature { return []feature.Feature{ping.New()} })
	romeo := h.Online(t, "romeo@example.com/orchard")

	romeo.Sends("<iq type='get' id='1' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	romeo.Hears("<iq type='result' id='1' from='example.com' to='romeo@example.com/orchard'/>")

	romeo.Sends("<iq type='get' id='2' to='romeo@example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	romeo.Hears("<iq type='result' id='2' from='romeo@example.com' to='romeo@example.com/orchard'/>")

	// It must not tell who has an account.
	for _, to := range []string{"juliet@example.com", "nobody@example.com"} {
		romeo.Sends("<iq type='get' id='3' to='" + to + "'><ping xmlns='urn:xmpp:ping'/></iq>")
		romeo.Hears("<iq type='error' id='3' from='" + to + "' to='romeo@example.com/orchard'>" +
			"<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
	}
}
