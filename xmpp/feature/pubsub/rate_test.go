package pubsub_test

import (
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
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

// Who lets others in by another access model, which sends them the last item, has
// them told of it too.
func TestRateOfAdmission(t *testing.T) {
	h := openRated(t, t.TempDir(), feature.Rate{Burst: 100, PerSecond: 1})
	romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	own := func(request string) string { return strings.Replace(request, " to='"+service+"'", "", 1) }
	wants(t, juliet, "n")
	access := func(model string) string {
		return own(owner("set", "<configure node='n'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#node_config</value></field>"+
			"<field var='pubsub#access_model'><value>"+model+"</value></field></x></configure>"))
	}
	does(t, romeo, own(iq("set", "<publish node='n'><item id='i'><x xmlns='urn:x'>"+strings.Repeat("x", 60<<10)+"</x></item></publish>")))
	juliet.Conn.Left()
	does(t, romeo, access("whitelist"))
	does(t, romeo, access("presence"))
	if got := strings.Count(strings.Join(juliet.Conn.Left(), ""), "<item id='i'"); got != 1 {
		t.Fatalf("juliet was told %d times", got)
	}
	refused(t, romeo, access("whitelist"), "resource-constraint")
}

// wants has a person come online with a client that wants to hear of a node.
func wants(t *testing.T, p *featuretest.Person, node string) {
	t.Helper()
	p.Sends("<presence><c xmlns='" + xmpp.NSCaps + "' hash='none' node='urn:x' ver='" + p.JID().String() + "'/></presence>")
	asked := p.Conn.Left()
	if len(asked) != 1 {
		t.Fatalf("%s was not asked once: %q", p.JID(), asked)
	}
	n, err := xmpp.ParseNode([]byte(asked[0]))
	if err != nil {
		t.Fatal(err)
	}
	p.Sends("<iq type='result' to='example.com' id='" + n.Attr("id") + "'><query xmlns='" + xmpp.NSDiscoInfo +
		"'><identity category='client' type='pc'/><feature var='" + node + "+notify'/></query></iq>")
}
