package c2s

import (
	"net/netip"
	"testing"
	"time"

	"confab/xmpp/xmpptest"
)

func TestGuardRefusesWhoGuesses(t *testing.T) {
	clock := new(xmpptest.Clock)
	var g guard
	g.init(Guard{Failures: 3, Window: time.Minute}, clock)
	guesser, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 3 {
		if !g.allow(guesser) {
			t.Fatal("refused before the limit")
		}
		g.failed(guesser)
	}
	if g.allow(guesser) {
		t.Error("a fourth guess within the window was let in")
	}
	if !g.allow(other) {
		t.Error("somebody else was refused")
	}
	clock.Pass(time.Minute + time.Second)
	if !g.allow(guesser) {
		t.Error("refused after the window")
	}
}
