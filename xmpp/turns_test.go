package xmpp

import (
	"testing"
	"time"
)

func TestTurns(t *testing.T) {
	turns := make(Turns, 1)
	if n := testing.AllocsPerRun(100, func() {
		if !turns.TakeWithin(time.Hour) {
			t.Fatal("a free turn was not to be had")
		}
		turns.Give()
	}); n > 0 {
		t.Errorf("%v allocations for a free turn", n)
	}
	turns.TakeWithin(0)
	if turns.TakeWithin(time.Nanosecond) {
		t.Error("two have the one turn")
	}
	had := make(chan bool)
	go func() { had <- turns.TakeWithin(time.Hour) }()
	turns.Give()
	if !<-had {
		t.Error("who waited got no turn")
	}
}
