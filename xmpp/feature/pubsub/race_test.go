package pubsub_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Of two who publish to a node that is not there yet one makes it, and the other
// may not publish to it (XEP-0060 §7.1.3.1).
func TestTwoMakeANode(t *testing.T) {
	h := open(t)
	romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	for i := range 300 {
		publish := iq("set", fmt.Sprintf("<publish node='n%d'><item><x xmlns='urn:x'/></item></publish>", i))
		var both sync.WaitGroup
		var his, hers string
		both.Go(func() { his = asks(t, romeo, publish) })
		both.Go(func() { hers = asks(t, juliet, publish) })
		both.Wait()
		if strings.Contains(his, "type='result'") == strings.Contains(hers, "type='result'") {
			t.Fatalf("%d: %s\n%s", i, his, hers)
		}
	}
}
