package feature_test

import (
	"context"
	"errors"
	"testing"

	"confab/xmpp"
	"confab/xmpp/feature"
)

func TestGateStopsNobodyHalfway(t *testing.T) {
	var g feature.Gate
	if !g.Enter() {
		t.Fatal("a gate that is open let nobody in")
	}
	impatient, cancel := context.WithCancel(context.Background())
	cancel()
	g.Close(impatient) // returns, though somebody is inside
	if !g.Enter() {
		t.Error("somebody was stopped halfway")
	}
	g.Leave()
	g.Leave()
	if g.Enter() {
		t.Error("a gate that is closed let somebody in")
	}
}

// Once the table is closed, the server says nothing any more: it is in nobody's history, and reaches nobody.
func TestClosedTable(t *testing.T) {
	h := house(t)
	from := xmpp.MustJID("example.com")
	romeo := h.Online(t, "romeo@example.com/orchard")
	st := func() *xmpp.Stanza { return parse(t, "<message to='romeo@example.com'><body>hello</body></message>") }
	if err := h.Table.Inject(from, st()); err != nil {
		t.Fatal(err)
	}
	romeo.Conn.Left()
	h.Table.Close()
	var e *xmpp.Error
	if err := h.Table.Inject(from, st()); !errors.As(err, &e) || e.Condition != xmpp.ServiceUnavailable {
		t.Errorf("what came too late got %v", err)
	}
	if n, err := h.Table.InjectAll(from, []*xmpp.Stanza{st()}); n != 0 || err == nil {
		t.Errorf("of what came too late %d were taken, %v", n, err)
	}
	romeo.Hears()
}
