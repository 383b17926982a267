package archive

import "sync/atomic"

// Stats count what happened since the archive was opened.
type Stats struct {
	Messages uint64 // kept
	Rows     uint64 // of them
	Failed   uint64 // messages that the store did not take
	Queries  uint64
	Items    uint64 // that queries returned
}

type counters struct{ messages, rows, failed, queries, items atomic.Uint64 }

// Stats returns the counts so far.
func (a *Archive) Stats() Stats {
	c := &a.stats
	return Stats{
		Messages: c.messages.Load(),
		Rows:     c.rows.Load(),
		Failed:   c.failed.Load(),
		Queries:  c.queries.Load(),
		Items:    c.items.Load(),
	}
}
