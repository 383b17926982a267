package api

import (
	"strconv"
	"testing"
	"time"

	"confab/xmpp/xmpptest"
)

func TestGuard(t *testing.T) {
	clock := new(xmpptest.Clock)
	g := newGuard(clock)
	take := func(who string) (n int) {
		for g.allow(who, failures) {
			n++
		}
		return n
	}
	if n := take("a"); n != 20 {
		t.Errorf("%d at first", n)
	}
	if n := take("b"); n != 20 {
		t.Errorf("%d of somebody else", n)
	}
	clock.Pass(3 * time.Second)
	if n := take("a"); n != 1 {
		t.Errorf("%d after 3 s", n)
	}
	clock.Pass(time.Hour)
	if n := take("a"); n != 20 {
		t.Errorf("%d after an hour", n)
	}
	for i := range 3 * maxBuckets {
		g.allow(strconv.Itoa(i), failures)
	}
	if len(g.left) > maxBuckets {
		t.Errorf("%d are remembered", len(g.left))
	}
}
