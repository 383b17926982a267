package server

import (
	"context"
	"os"
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

// littleGarbage is how much may be allocated before a collection, at least. Go collects when as much has been allocated as
// is in use, which is so little in a server of some hundred people that it would do so all the time while they talk.
const littleGarbage = 64 << 20

// TendMemory lets some garbage gather while there is work, and returns memory to the system whenever a busy time is over,
// until ctx is done. Go keeps what a rush of logins needed for the next one, which on a quiet evening is a third of all that
// the process has; the collection that finds it also halves the stacks of connections that are at rest. It is a matter of
// the process, so the program calls it, once. Who sets GOGC knows better how much garbage there may be.
func TendMemory(ctx context.Context) {
	var t tide
	_, told := os.LookupEnv("GOGC")
	last := 100
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
		live := samples[1].Value.Uint64()
		if p := percent(live); !told && (p > last*5/4 || p < last*4/5) {
			debug.SetGCPercent(p) // which stops everything for a moment
			last = p
		}
		if t.out(samples[0].Value.Uint64(), live) {
			runtime.GC() // pools keep what they have for one collection
			debug.FreeOSMemory()
		}
	}
}

// percent returns how much garbage may gather, in percent of what is in use.
func percent(live uint64) int {
	return int(max(100, littleGarbage*100/max(live, 1<<20)))
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
