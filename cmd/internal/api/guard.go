package api

import (
	"sync"
	"time"

	"confab/xmpp"
)

// bucket is how many requests somebody may make: burst at once, and then as
// many in each time of refill.
type bucket struct {
	burst  float64
	refill time.Duration
}

var (
	failures = bucket{20, time.Minute}  // without a token, of one address
	requests = bucket{200, time.Second} // of one token
)

// maxBuckets bounds those that are remembered.
const maxBuckets = 10_000

// guard counts requests.
type guard struct {
	clock xmpp.Clock
	mu    sync.Mutex
	left  map[string]level
}

type level struct {
	tokens float64
	at     time.Time
}

func newGuard(c xmpp.Clock) *guard {
	if c == nil {
		c = xmpp.SystemClock
	}
	return &guard{clock: c, left: map[string]level{}}
}

// allow takes one of somebody's bucket, if one is left.
func (g *guard) allow(who string, b bucket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	l, known := g.left[who]
	if !known {
		if len(g.left) >= maxBuckets {
			clear(g.left)
		}
		l = level{b.burst, now}
	}
	l.tokens = min(b.burst, l.tokens+b.burst*float64(now.Sub(l.at))/float64(b.refill))
	l.at = now
	ok := l.tokens >= 1
	if ok {
		l.tokens--
	}
	g.left[who] = l
	return ok
}
