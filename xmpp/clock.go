package xmpp

import "time"

// Clock makes time a parameter, so that a test can let 25 hours pass.
type Clock interface {
	Now() time.Time
	// AfterFunc runs f in a goroutine of its own when d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is one pending AfterFunc. Stop reports whether it kept f from running.
type Timer interface {
	Stop() bool
}

// SystemClock is the machine's clock.
var SystemClock Clock = systemClock{}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
