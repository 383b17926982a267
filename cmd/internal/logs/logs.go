// Package logs keeps the log within bounds. A full disk refuses thousands of messages a second, and a peer can repeat for hours
// what is worth a line: neither may fill the disk that the log is on, nor bury what else there is to read.
//
// A cause is a line's level, text and error. What an error caused is said once a second, other events, each of which may name
// somebody else, a few times. The rest is counted, and a second later the last of it is said for all, with how many it stands for.
package logs

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
)

const (
	every     = time.Second
	maxEvents = 10 // lines of a cause that is no error, before they are counted only
	maxCauses = 32 // at a time; beyond, all share one line
)

// Stats counts lines, whether they were written or not.
type Stats struct {
	Errors   atomic.Int64 // of level ERROR
	Withheld atomic.Int64 // counted in another line instead of being written
}

// Bounded is a slog.Handler that hands on what is within bounds. Lines of level DEBUG are written only if somebody wants
// them all, and pass as they are.
type Bounded struct {
	next slog.Handler
	*book
}

// Bound makes a handler in front of another.
func Bound(next slog.Handler, clock xmpp.Clock) *Bounded {
	return &Bounded{next, &book{clock: clock, causes: map[string]*cause{}}}
}

// book is what was said in the last second. Handlers made of one another share it.
type book struct {
	Stats Stats

	clock  xmpp.Clock
	mu     sync.Mutex
	causes map[string]*cause
}

type cause struct {
	left     int // lines that may still be written
	withheld int
	last     slog.Record
	next     slog.Handler // for last
}

// Enabled implements slog.Handler.
func (h *Bounded) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs implements slog.Handler.
func (h *Bounded) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Bounded{h.next.WithAttrs(attrs), h.book}
}

// WithGroup implements slog.Handler.
func (h *Bounded) WithGroup(name string) slog.Handler {
	return &Bounded{h.next.WithGroup(name), h.book}
}

// Handle implements slog.Handler.
func (h *Bounded) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		h.Stats.Errors.Add(1)
	}
	if r.Level < slog.LevelInfo || h.admit(r, h.next) {
		return h.next.Handle(ctx, r)
	}
	h.Stats.Withheld.Add(1)
	return nil
}

// admit reports whether a line may be written; otherwise it is counted.
func (b *book) admit(r slog.Record, next slog.Handler) bool {
	key, lines := name(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.causes[key]
	if c == nil && len(b.causes) >= maxCauses {
		key, lines = "", 0
		c = b.causes[key]
		r = slog.NewRecord(r.Time, slog.LevelError, "too much goes wrong at once for a line about each", 0)
	}
	if c == nil {
		c = &cause{left: lines}
		b.causes[key] = c
		b.clock.AfterFunc(every, func() { b.turn(key, c) })
	}
	if c.left > 0 {
		c.left--
		return true
	}
	c.withheld++
	c.last, c.next = r.Clone(), next
	return false
}

// name is the cause of a line, and how many it may have in its first second.
func name(r slog.Record) (key string, lines int) {
	key, lines = r.Level.String()+" "+r.Message, maxEvents
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "error", "err", "panic":
			key, lines = key+": "+a.Value.String(), 1
			return false
		}
		return true
	})
	return key, lines
}

// turn ends a second of a cause. If nothing of it was withheld it is over.
func (b *book) turn(key string, c *cause) {
	b.mu.Lock()
	over := c.withheld == 0
	if over {
		delete(b.causes, key)
	} else {
		c.left = 0
		b.clock.AfterFunc(every, func() { b.turn(key, c) })
	}
	say := c.summary()
	b.mu.Unlock()
	say()
}

// summary returns what says the last line for all that were withheld.
func (c *cause) summary() func() {
	if c.withheld == 0 {
		return func() {}
	}
	r, next := c.last, c.next
	r.AddAttrs(slog.Int("times", c.withheld))
	c.withheld, c.last, c.next = 0, slog.Record{}, nil
	return func() { _ = next.Handle(context.Background(), r) }
}

// Flush says what is withheld now.
func (h *Bounded) Flush() {
	var say []func()
	h.mu.Lock()
	for _, c := range h.causes {
		say = append(say, c.summary())
	}
	h.mu.Unlock()
	for _, fn := range say {
		fn()
	}
}
