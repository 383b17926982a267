package xmpp

import (
	"context"
	"runtime"
	"time"
)

// Turns bounds how many goroutines do something at a time. Who waits gets a turn in the order of coming.
type Turns chan struct{}

// Take waits for a turn; an error is that of ctx.
func (t Turns) Take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TakeWithin is Take for no longer than d. A turn that is free costs no timer.
func (t Turns) TakeWithin(d time.Duration) (ok bool) {
	select {
	case t <- struct{}{}:
		return true
	default:
	}
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case t <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

// Give ends a turn.
func (t Turns) Give() { <-t }

// Heavy is for what strangers can have computed that takes a good part of a millisecond and more: handshakes of TLS,
// hashes of passwords. The scheduler of Go has no priorities, and who has but a message to pass on would wait behind all
// of them. So one processor is left to everybody else, where there are two. It is one for the process, as the processors are.
var Heavy = make(Turns, max(1, min(runtime.NumCPU(), runtime.GOMAXPROCS(0))-1))
