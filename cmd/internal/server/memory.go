package server

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	lookAtMemory = 2 * time.Second
	// A server is quiet while it allocates less than that many bytes in lookAtMemory.
	quietBytes = 2 << 20
	// Less than that, or than an eighth of what is in use, is not worth a collection: that looks at all that is in use.
	worthBytes = 4 << 20
	worthPart  = 8
)

// GiveMemoryBack returns memory to the system whenever a busy time is over, until ctx is done. Go keeps what a rush of
// logins needed for the next one, which on a quiet evening is a third of all that the process has; the collection that
// finds it also halves the stacks of connections that are at rest. It is a matter of the process, so the program calls it,
// once.
func GiveMemoryBack(ctx context.Context) {
	var t tide
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(lookAtMemory)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		metrics.Read(samples)
		if t.out(samples[0].Value.Uint64(), samples[1].Value.Uint64()) {
			runtime.GC() // pools keep what they have for one collection
			debug.FreeOSMemory()
		}
	}
}

// tide follows how much was allocated.
type tide struct {
	before uint64 // all that had been allocated at the last look
	freed  uint64 // and when memory was last given back
}

// out reports whether a busy time is over, given how many bytes were ever allocated and how many are in use; it is called
// at each look.
func (t *tide) out(allocated, live uint64) bool {
	quiet := allocated-t.before < quietBytes
	t.before = allocated
	if !quiet || allocated-t.freed < max(worthBytes, live/worthPart) {
		return false
	}
	t.freed = allocated
	return true
}
