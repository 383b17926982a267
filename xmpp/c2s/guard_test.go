package c2s

import (
	"net"
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

func TestOneAddressCannotFillTheDoor(t *testing.T) {
	var v vestibule
	crowd, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	in := 0
	for v.enter(crowd, 8) {
		in++
	}
	if in != 2 {
		t.Errorf("%d of 8 places taken by one address", in)
	}
	if !v.enter(other, 8) {
		t.Error("there is no place left for anybody else")
	}
	v.leave(crowd)
	if !v.enter(crowd, 8) {
		t.Error("a place that was left is not free")
	}
	v.leave(crowd)
	v.leave(crowd)
	v.leave(other)
	if v.all != 0 || len(v.by) != 0 {
		t.Errorf("%d connections and %d addresses are still counted", v.all, len(v.by))
	}
}

func TestAddressesOfOneSubscriber(t *testing.T) {
	at := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	if addressOf(at("[2001:db8::1]:1")) != addressOf(at("[2001:db8::ffff:2]:2")) {
		t.Error("two addresses of a /64 are taken for two people")
	}
	if addressOf(at("192.0.2.1:1")) == addressOf(at("192.0.2.2:1")) {
		t.Error("two people are taken for one")
	}
	if addressOf(at("[::ffff:192.0.2.1]:1")) != addressOf(at("192.0.2.1:2")) {
		t.Error("one address in two forms is taken for two")
	}
}
