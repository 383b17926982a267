package feature

import (
	"sync"

	"confab/xmpp"
	"confab/xmpp/stream"
)

// MaxPending bounds the messages of a connection that wait for one commit.
const MaxPending = 64

// stanzaRings holds the stanzas of a read until they are on disk.
var stanzaRings = sync.Pool{New: func() any { return new([MaxPending]xmpp.Stanza) }}

// Serve reads the stanzas of a batch's connection up to the end of its stream, or
// of ours, which is always an error, and lets take hand them to Handle. What one
// read has brought, and what comes meanwhile, shares a commit.
func (t *Table) Serve(b *Batch, c *stream.Conn, take func(*xmpp.Stanza) error) error {
	var ring *[MaxPending]xmpp.Stanza
	rest := func() {
		if ring != nil {
			stanzaRings.Put(ring)
			ring = nil
		}
	}
	defer rest()
	for {
		if ring == nil {
			ring = stanzaRings.Get().(*[MaxPending]xmpp.Stanza)
		}
		st := &ring[b.Pending()] // those before it wait to be stored: Handle commits nothing when it keeps one
		ok, err := c.Next(st)
		if ok {
			c.Stanza()
			err = take(st)
		}
		switch {
		case err != nil:
			t.Commit(b)
			return err
		case ok && !c.Closing():
			if b.Pending() == MaxPending || b.Full() {
				t.Commit(b)
			}
			continue
		case !ok && b.Pending() > 0 && c.More():
			continue
		}
		t.Commit(b)
		if c.Buffered() == 0 {
			rest() // a connection at rest holds nothing
		}
		if err := c.Fill(); err != nil {
			return err
		}
	}
}
