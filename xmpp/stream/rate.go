package stream

import "time"

// Rate bounds what a peer may send. A peer that sends more is not closed: its
// reader waits, and TCP tells it to slow down.
type Rate struct {
	Bytes   int // a second, with ten seconds' worth in one burst; 0: not bounded
	Stanzas int // likewise
}

// bucket is two token buckets, held as the time at which each will be full again.
type bucket struct {
	perByte, perStanza time.Duration
	bytes, stanzas     time.Time
}

const burst = 10 * time.Second

func newBucket(r Rate) bucket {
	var b bucket
	if r.Bytes > 0 {
		b.perByte = time.Second / time.Duration(r.Bytes)
	}
	if r.Stanzas > 0 {
		b.perStanza = time.Second / time.Duration(r.Stanzas)
	}
	return b
}

func (b *bucket) spendBytes(n int) bool { return spend(&b.bytes, time.Duration(n)*b.perByte) }

func (b *bucket) spendStanza() bool { return spend(&b.stanzas, b.perStanza) }

// spend takes tokens worth cost and waits until they are there.
func spend(full *time.Time, cost time.Duration) (waited bool) {
	if cost == 0 {
		return false
	}
	now := time.Now()
	if full.Before(now) {
		*full = now
	}
	*full = full.Add(cost)
	if over := full.Sub(now) - burst; over > 0 {
		time.Sleep(over)
		return true
	}
	return false
}
