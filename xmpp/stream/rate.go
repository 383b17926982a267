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

func (b *bucket) spendBytes(n int) { spend(&b.bytes, time.Duration(n)*b.perByte) }

func (b *bucket) spendStanza() { spend(&b.stanzas, b.perStanza) }

// spend takes tokens worth cost, whether they are there or not.
func spend(full *time.Time, cost time.Duration) {
	if cost == 0 {
		return
	}
	if now := time.Now(); full.Before(now) {
		*full = now
	}
	*full = full.Add(cost)
}

// owes is how long it takes until no more is spent than there was.
func (b *bucket) owes() time.Duration {
	if b.perByte == 0 && b.perStanza == 0 {
		return 0
	}
	full := b.bytes
	if b.stanzas.After(full) {
		full = b.stanzas
	}
	return time.Until(full.Add(-burst))
}
