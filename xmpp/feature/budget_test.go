package feature

import (
	"testing"
	"time"

	"confab/xmpp"
)

func TestBudgets(t *testing.T) {
	var b Budgets
	who, now, r := xmpp.MustJID("romeo@example.com"), time.Unix(1000, 0), Rate{Burst: 100, PerSecond: 10}
	take := func(n int, want bool) {
		t.Helper()
		if got := b.Take(who, n, r, now); got != want {
			t.Errorf("%d copies: %v", n, got)
		}
	}
	take(60, true)
	take(60, false)
	now = now.Add(2 * time.Second)
	take(60, true)
	take(1, false)
	now = now.Add(time.Hour)
	take(5000, true) // no message is too large for ever
	take(1, false)
	now = now.Add(time.Hour)
	b.Spend(who, 150, r, now)
	take(0, false)
	now = now.Add(4 * time.Second)
	take(0, false)
	now = now.Add(2 * time.Second)
	take(0, true)
	if !b.Take(xmpp.MustJID("juliet@example.com"), 100, r, now) {
		t.Error("one sender's use counts for another")
	}
}
