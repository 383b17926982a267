package feature

import (
	"sync"
	"time"

	"confab/xmpp"
)

// Rate bounds how much one sender makes of what is sent once by having it go to
// many: copies at once, and how many a second after that.
type Rate struct{ Burst, PerSecond int }

// Budgets is what senders may still have copied. The zero value is ready.
type Budgets struct {
	mu sync.Mutex
	of map[xmpp.JID]*budget
}

type budget struct {
	left float64
	at   time.Time
}

// maxSenders bounds for how many something is remembered.
const maxSenders = 4096

// Take takes n copies out of the budget of a sender, by the bare address, if
// they are there. A full budget lets any one message pass, however many get it.
func (b *Budgets) Take(who xmpp.JID, n int, r Rate, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.refilled(who, r, now)
	if k.left < float64(min(n, r.Burst)) {
		return false
	}
	k.left -= float64(n)
	return true
}

// Spend takes n copies that were made already: how many there would be was not
// known before. Less than nothing may be left then, and Take of none reports false
// until that is made up for.
func (b *Budgets) Spend(who xmpp.JID, n int, r Rate, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refilled(who, r, now).left -= float64(n)
}

// refilled returns the budget of a sender as it is now. Call with b.mu held.
func (b *Budgets) refilled(who xmpp.JID, r Rate, now time.Time) *budget {
	if b.of == nil || len(b.of) >= maxSenders && b.of[who] == nil {
		b.of = map[xmpp.JID]*budget{}
	}
	k := b.of[who]
	if k == nil {
		k = &budget{float64(r.Burst), now}
		b.of[who] = k
	}
	k.left = min(float64(r.Burst), k.left+now.Sub(k.at).Seconds()*float64(r.PerSecond))
	k.at = now
	return k
}

// ErrTooMuch refuses what a sender's budget has nothing left for.
var ErrTooMuch = xmpp.NewError(xmpp.ResourceConstraint, "too much was sent to many people in a short time; try again in a minute").WithType(xmpp.ErrorWait)
