// Package xmpptest holds what tests of other packages share.
package xmpptest

import (
	"slices"
	"sync"
	"time"

	"confab/xmpp"
)

// Clock is a clock that stands still until it is moved. The zero value stands
// at the first of January 2024.
type Clock struct {
	mu     sync.Mutex
	passed time.Duration
	jumped time.Duration
	timers []*timer
}

type timer struct {
	clock *Clock
	due   time.Duration
	fn    func()
}

var _ xmpp.Clock = (*Clock)(nil)

var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Now implements xmpp.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return epoch.Add(c.passed + c.jumped)
}

// AfterFunc implements xmpp.Clock; a d that is not above zero has fn run at once.
func (c *Clock) AfterFunc(d time.Duration, fn func()) xmpp.Timer {
	t := &timer{clock: c, fn: fn}
	if d <= 0 {
		go fn()
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.due = c.passed + d
	c.timers = append(c.timers, t)
	return t
}

// Stop implements xmpp.Timer.
func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	i := slices.Index(t.clock.timers, t)
	if i < 0 {
		return false
	}
	t.clock.timers = slices.Delete(t.clock.timers, i, i+1)
	return true
}

// Jump sets the clock forwards, or backwards if d is below zero, as somebody does whose machine had the wrong time.
// Timers don't notice.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jumped += d
}

// Timers is how many timers are set.
func (c *Clock) Timers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// Pass moves the clock. What falls due meanwhile has run when it returns, in
// its order, timers that were set on the way included.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	until := c.passed + d
	for {
		var next *timer
		for _, t := range c.timers {
			if t.due <= until && (next == nil || t.due < next.due) {
				next = t
			}
		}
		if next == nil {
			break
		}
		c.timers = slices.DeleteFunc(c.timers, func(t *timer) bool { return t == next })
		c.passed = max(c.passed, next.due)
		c.mu.Unlock()
		next.fn()
		c.mu.Lock()
	}
	c.passed = until
	c.mu.Unlock()
}
