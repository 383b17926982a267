package pubsub_test

import (
	"strings"
	"testing"
	"time"

	"confab/xmpp/feature"
)

// What one user has many be told of is bounded: who has had too much told of waits,
// and nobody else does.
func TestRate(t *testing.T) {
	h := openRated(t, t.TempDir(), feature.Rate{Burst: 100, PerSecond: 2})
	romeo, juliet, alice := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony"), h.Connect(t, "alice@example.com/mirror")
	juliet.Sends("<presence/>")
	alice.Sends("<presence/>")
	open := "<configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#publish_model'><value>open</value></field></x></configure>"
	does(t, romeo, iq("set", "<create node='n'/>"+open))
	does(t, juliet, iq("set", "<subscribe node='n' jid='juliet@example.com'/>"))
	does(t, alice, iq("set", "<subscribe node='n' jid='alice@example.com'/>"))
	publish := func(id string, size int) string {
		return iq("set", "<publish node='n'><item id='"+id+"'><x xmlns='urn:x'>"+strings.Repeat("x", size)+"</x></item></publish>")
	}
	heard := func(want int) {
		t.Helper()
		if got := strings.Count(strings.Join(juliet.Conn.Left(), ""), "<event"); got != want {
			t.Errorf("juliet heard of %d, not of %d", got, want)
		}
	}
	heard(0)
	does(t, romeo, publish("i", 60<<10)) // 122 of 100
	heard(1)
	for _, request := range []string{publish("i", 1), iq("set", "<retract node='n'><item id='i'/></retract>"), owner("set", "<purge node='n'/>")} {
		if got := asks(t, romeo, request); !strings.Contains(got, "<error type='wait'><resource-constraint") {
			t.Errorf("%s was answered by %s", request, got)
		}
	}
	does(t, romeo, iq("get", "<items node='n'/>"))
	does(t, alice, publish("a", 1)) // on a node of romeo's, but it is alice who does
	heard(1)
	h.Clock.Pass(10 * time.Second)
	refused(t, romeo, publish("i", 1), "resource-constraint")
	h.Clock.Pass(2 * time.Second)
	for range 3 { // 4 for each
		does(t, romeo, publish("i", 1))
		h.Clock.Pass(2 * time.Second)
	}
	heard(3)
}

// Neither does one request, nor asking again and again to be let in, have many hear much.
func TestRateOfOthers(t *testing.T) {
	h := openRated(t, t.TempDir(), feature.Rate{Burst: 100, PerSecond: 1})
	romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	romeo.Sends("<presence/>")
	does(t, romeo, iq("set", "<create node='n'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>authorize</value></field></x></configure>"))
	asked := 0
	for range 200 {
		for _, what := range []string{"subscribe", "unsubscribe"} {
			if got := asks(t, juliet, iq("set", "<"+what+" node='n' jid='juliet@example.com'/>")); strings.Contains(got, "<resource-constraint") {
				break
			}
			asked++
		}
	}
	if asked < 100 || asked > 250 {
		t.Errorf("she was heard %d times", asked)
	}
	retract := func(n int) string {
		return iq("set", "<retract node='n' notify='1'>"+strings.Repeat("<item id='i'/>", n)+"</retract>")
	}
	refused(t, romeo, retract(100), "item-not-found")
	if got := asks(t, romeo, retract(101)); !strings.Contains(got, "<error type='cancel'><not-allowed") || !strings.Contains(got, "<max-items-exceeded") {
		t.Error(got)
	}
}
