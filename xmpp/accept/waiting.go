package accept

import (
	"net"
	"net/netip"
	"sync"
)

// Waiting counts the connections that have not shown yet what they are good for,
// by who is behind them. The zero value counts none.
type Waiting struct {
	mu  sync.Mutex
	all int
	by  map[netip.Addr]int
}

// Enter counts one more, unless there are max already, or a quarter of that of
// the same subscriber: nobody may keep everybody else out.
func (w *Waiting) Enter(who netip.Addr, max int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= max || w.by[who] >= (max+3)/4 {
		return false
	}
	if w.by == nil {
		w.by = map[netip.Addr]int{}
	}
	w.all++
	w.by[who]++
	return true
}

// Leave ends the counting of one.
func (w *Waiting) Leave(who netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.by[who]--; w.by[who] <= 0 {
		delete(w.by, who)
	}
}

// SubscriberOf names who is behind the network address of a connection; the zero Addr if it has none.
func SubscriberOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return Subscriber(ap.Addr())
}

// Subscriber names who has an address: of IPv6, the /64 that one subscriber has.
func Subscriber(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
