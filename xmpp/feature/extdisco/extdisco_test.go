package extdisco

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
)

// The user name tells until when and, to nobody, of whom; the password follows
// from it and the secret as TURN servers compute it.
func TestIssue(t *testing.T) {
	s := Service{Secret: "north"}
	user, password := s.issue(xmpp.MustJID("romeo@example.com"), time.Unix(1433895918, 0))
	if !regexp.MustCompile(`^1433895918:[0-9a-f]{16}$`).MatchString(user) {
		t.Errorf("the user name is %s", user)
	}
	again, _ := s.issue(xmpp.MustJID("romeo@example.com"), time.Unix(1433895918, 0))
	other, otherPassword := s.issue(xmpp.MustJID("juliet@example.com"), time.Unix(1433895918, 0))
	if again != user || other == user || otherPassword == password || strings.Contains(user, "romeo") {
		t.Errorf("romeo is %s and %s, juliet %s", user, again, other)
	}
	// RFC 2202 §3, test case 2.
	if got := sign("Jefe", "what do ya want for nothing?"); string(got) != "\xef\xfc\xdf\x6a\xe5\xeb\x2f\xa2\xd2\x74\x16\xd5\xf1\x84\xdf\x9c\x25\x9a\x7c\x79" {
		t.Errorf("the HMAC is %x", got)
	}
}

// Credentials end when they say: each request gets fresh ones.
func TestFresh(t *testing.T) {
	h := featuretest.New(t, func(*feature.Host) []feature.Feature {
		return []feature.Feature{New(func() []Service {
			return []Service{{Type: "turn", Host: "t.example.com", Port: 3478, Transport: "udp", Secret: "north", TTL: time.Hour}}
		})}
	})
	romeo := h.Online(t, "romeo@example.com/orchard")
	expires := func() string {
		romeo.Sends("<iq type='get' id='1' to='example.com'><services xmlns='urn:xmpp:extdisco:2'/></iq>")
		heard := strings.Join(romeo.Conn.Left(), "")
		m := regexp.MustCompile(`expires='([^']*)'`).FindStringSubmatch(heard)
		if m == nil {
			t.Fatalf("heard %s", heard)
		}
		return m[1]
	}
	before, now := expires(), h.Now()
	if want := now.Add(time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339); before != want {
		t.Errorf("they end at %s, and should at %s", before, want)
	}
	h.Clock.Pass(30 * time.Minute)
	if after := expires(); after <= before {
		t.Errorf("then they end at %s", after)
	}
}
