package bolt

import (
	"sync/atomic"
	"time"
)

// Stats count what happened since the file was opened. CommitTime over Commits is how long a commit takes, Updates over
// Commits how large a group is.
type Stats struct {
	Commits      uint64        // groups committed
	Updates      uint64        // transactions in them
	Failed       uint64        // transactions that were not committed
	Panics       uint64        // recovered
	LargestGroup uint64        // transactions
	CommitTime   time.Duration // total
	LongestSync  time.Duration // the longest commit
	Waiting      int64         // Updates waiting now
	Views        uint64
	SlowViews    uint64 // longer than 50 ms

	LogBytes          uint64 // appended to the log
	OverlayBytes      int64  // of memory: what is not yet in the B-tree
	Checkpoints       uint64 // finished
	FailedCheckpoints uint64 // they are tried again
	CheckpointBytes   uint64 // of keys and values taken into the B-tree
	CheckpointTime    time.Duration
	Stalls            uint64 // groups that waited for a checkpoint
	StallTime         time.Duration
}

type counters struct {
	commits, updates, failed, panics      atomic.Uint64
	largest, views, slowViews, logBytes   atomic.Uint64
	checkpoints, failedCheckpoints        atomic.Uint64
	checkpointBytes, stalls               atomic.Uint64
	commitTime, longest, waiting, overlay atomic.Int64
	checkpointTime, stallTime             atomic.Int64
}

// Stats returns the counts so far.
func (db *DB) Stats() Stats {
	c := &db.stats
	return Stats{
		Commits:      c.commits.Load(),
		Updates:      c.updates.Load(),
		Failed:       c.failed.Load(),
		Panics:       c.panics.Load(),
		LargestGroup: c.largest.Load(),
		CommitTime:   time.Duration(c.commitTime.Load()),
		LongestSync:  time.Duration(c.longest.Load()),
		Waiting:      c.waiting.Load(),
		Views:        c.views.Load(),
		SlowViews:    c.slowViews.Load(),

		LogBytes:          c.logBytes.Load(),
		OverlayBytes:      c.overlay.Load(),
		Checkpoints:       c.checkpoints.Load(),
		FailedCheckpoints: c.failedCheckpoints.Load(),
		CheckpointBytes:   c.checkpointBytes.Load(),
		CheckpointTime:    time.Duration(c.checkpointTime.Load()),
		Stalls:            c.stalls.Load(),
		StallTime:         time.Duration(c.stallTime.Load()),
	}
}

// committed is called by the committer alone.
func (c *counters) committed(jobs, logged int, d time.Duration) {
	c.logBytes.Add(uint64(logged))
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
