package bolt

import (
	"sync/atomic"
	"time"
)

// Stats count what happened since the file was opened.
type Stats struct {
	Commits      uint64        // groups committed
	Updates      uint64        // transactions in them
	Failed       uint64        // transactions that were not committed
	Reruns       uint64        // groups run again because one of them failed
	Panics       uint64        // recovered
	LargestGroup uint64        // transactions
	CommitTime   time.Duration // total
	LongestSync  time.Duration // the longest commit
	Waiting      int64         // Updates waiting now
	Views        uint64
	SlowViews    uint64 // longer than 50 ms
}

type counters struct {
	commits, updates, failed, reruns, panics atomic.Uint64
	largest, views, slowViews                atomic.Uint64
	commitTime, longest, waiting             atomic.Int64
}

// Stats returns the counts so far.
func (db *DB) Stats() Stats {
	c := &db.stats
	return Stats{
		Commits:      c.commits.Load(),
		Updates:      c.updates.Load(),
		Failed:       c.failed.Load(),
		Reruns:       c.reruns.Load(),
		Panics:       c.panics.Load(),
		LargestGroup: c.largest.Load(),
		CommitTime:   time.Duration(c.commitTime.Load()),
		LongestSync:  time.Duration(c.longest.Load()),
		Waiting:      c.waiting.Load(),
		Views:        c.views.Load(),
		SlowViews:    c.slowViews.Load(),
	}
}

// committed is called by the committer alone.
func (c *counters) committed(jobs int, d time.Duration) {
	c.commits.Add(1)
	c.updates.Add(uint64(jobs))
	c.commitTime.Add(int64(d))
	c.largest.Store(max(c.largest.Load(), uint64(jobs)))
	c.longest.Store(max(c.longest.Load(), int64(d)))
}

func (c *counters) viewed(d time.Duration) {
	c.views.Add(1)
	if d > slowView {
		c.slowViews.Add(1)
	}
}
