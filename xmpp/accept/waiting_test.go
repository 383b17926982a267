package accept_test

import (
	"net"
	"net/netip"
	"testing"

	"confab/xmpp/accept"
)

func TestOneAddressCannotTakeAllPlaces(t *testing.T) {
	var v accept.Waiting
	crowd, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	in := 0
	for v.Enter(crowd, 8) {
		in++
	}
	if in != 2 {
		t.Errorf("%d of 8 places taken by one address", in)
	}
	if !v.Enter(other, 8) {
		t.Error("there is no place left for anybody else")
	}
	v.Leave(crowd)
	if !v.Enter(crowd, 8) {
		t.Error("a place that was left is not free")
	}
	v.Leave(crowd)
	v.Leave(crowd)
	v.Leave(other)
	in = 0
	for range 8 {
		for _, who := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"} {
			if v.Enter(netip.MustParseAddr(who), 8) {
				in++
			}
		}
	}
	if in != 8 {
		t.Errorf("%d of 8 places are there when all have left", in)
	}
}

func TestAddressesOfOneSubscriber(t *testing.T) {
	at := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	if accept.SubscriberOf(at("[2001:db8::1]:1")) != accept.SubscriberOf(at("[2001:db8::ffff:2]:2")) {
		t.Error("two addresses of a /64 are taken for two people")
	}
	if accept.SubscriberOf(at("192.0.2.1:1")) == accept.SubscriberOf(at("192.0.2.2:1")) {
		t.Error("two people are taken for one")
	}
	if accept.SubscriberOf(at("[::ffff:192.0.2.1]:1")) != accept.SubscriberOf(at("192.0.2.1:2")) {
		t.Error("one address in two forms is taken for two")
	}
}
