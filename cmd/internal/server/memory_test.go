package server

import "testing"

func TestMemoryIsGivenBackWhenABusyTimeIsOver(t *testing.T) {
	const mib = 1 << 20
	var at tide
	var allocated uint64
	for i, step := range []struct {
		allocates uint64
		out       bool
	}{
		{1 * mib, false}, // not worth it
		{90 * mib, false},
		{50 * mib, false},
		{1 * mib, true}, // it is quiet again
		{1 * mib, false},
		{1 * mib, false},
		{1 * mib, false},
		{1 * mib, true}, // a little at a time adds up
		{0, false},
		{10 * mib, false},
		{0, true},
	} {
		allocated += step.allocates
		if got := at.out(allocated, 16*mib); got != step.out {
			t.Errorf("look %d: given back: %v", i, got)
		}
	}
	at.out(allocated+100*mib, 1024*mib) // a busy time
	if at.out(allocated+100*mib, 1024*mib) {
		t.Error("little was used of much, and all was looked at for it")
	}
	if !at.out(allocated+100*mib, 800*mib) {
		t.Error("it is worth it, and nothing was given back")
	}
}

func TestGarbage(t *testing.T) {
	const mib = 1 << 20
	for live, want := range map[uint64]int{0: 6400, 16 * mib: 400, 64 * mib: 100, 1 << 40: 100} {
		if got := percent(live); got != want {
			t.Errorf("%d MiB are in use, and %d percent of it may be garbage", live/mib, got)
		}
	}
}
