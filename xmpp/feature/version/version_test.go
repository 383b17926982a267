package version_test

import (
	"testing"

	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/version"
)

func TestVersion(t *testing.T) {
	h := featuretest.New(t, func(*feature.Host) []feature.Feature { return []feature.Feature{version.New("1.0 <&>")} })
	romeo := h.Online(t, "romeo@example.com/orchard")
	for range 2 {
		romeo.Sends("<iq type='get' id='1' to='example.com'><query xmlns='jabber:iq:version'/></iq>")
		romeo.Hears("<iq type='result' id='1' from='example.com' to='romeo@example.com/orchard'>" +
			"<query xmlns='jabber:iq:version'><name>confab</name><version>1.0 &lt;&amp;&gt;</version></query></iq>")
	}
}
