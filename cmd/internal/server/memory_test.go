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
		if got := at.out(allocated); got != step.out {
			t.Errorf("look %d: given back: %v", i, got)
		}
	}
}
