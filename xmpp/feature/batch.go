package feature

import (
	"errors"
	"sync"

	"confab/xmpp"
	"confab/xmpp/router"
)

// Batch is what one read of a connection brought: messages that are on their
// way and not on disk yet. It belongs to the goroutine of the reader.
type Batch struct {
	session *router.Session // nil: of a peer, or of the server itself
	peer    Peer
	lang    string
	pending []*Dispatch
	reach   int    // of what is pending
	count   uint32 // stanzas since the last Commit, for XEP-0198
	out     router.Batch
}

// NewBatch makes the batch of a session's connection. lang is what the client
// said of its stream: that of every stanza that does not say (RFC 6120 §4.7.4).
func (t *Table) NewBatch(s *router.Session, lang string) *Batch {
	return &Batch{session: s, lang: lang}
}

// Pending is how many messages wait to be stored.
func (b *Batch) Pending() int { return len(b.pending) }

// maxReach bounds to how many people the messages of a batch go. One alone may go to more.
const maxReach = 512

// Full reports whether they go to so many people together that no more are to wait with them: everybody else's messages
// wait while they are stored and delivered, which is done in one piece.
func (b *Batch) Full() bool { return b.reach >= maxReach }

// Answer sends the batch's session the answer to a stanza that was handled
// elsewhere, in its turn, and counts the stanza.
func (t *Table) Answer(b *Batch, answer []byte) {
	b.count++
	t.Commit(b)
	b.session.Send(nil, answer)
}

// dispatches are those of stanzas that have gone their way. A connection at rest keeps none.
var dispatches = sync.Pool{New: func() any { return new(Dispatch) }}

func (d *Dispatch) release() {
	clear(d.Copies)
	clear(d.Got)
	*d = Dispatch{Copies: d.Copies[:0], Got: d.Got[:0]}
	dispatches.Put(d)
}

// Commit stores what waits in the batch, delivers it, and lets everything
// leave. What a failing store did not take goes back to its senders.
func (t *Table) Commit(b *Batch) {
	if len(b.pending) > 0 {
		if err := t.store(b); err != nil {
			var stanzaError *xmpp.Error
			if !errors.As(err, &stanzaError) {
				for range b.pending {
					t.host.Log.Error("the history did not take a message", "error", err) // a bounded log: one line for many
				}
				stanzaError = xmpp.NewError(xmpp.InternalServerError, "the message could not be stored, and was not delivered")
			}
			for _, d := range b.pending {
				t.refuse(b, d, stanzaError)
			}
		}
		for _, d := range b.pending {
			d.release()
		}
		b.pending, b.reach = b.pending[:0], 0
	}
	b.counted()
	b.out.Flush()
}

// counted counts what was handled, in which nothing waits to be stored.
func (b *Batch) counted() {
	if b.session != nil && b.count > 0 {
		b.session.Handled(b.count)
	}
	b.count = 0
}

func (t *Table) store(b *Batch) error {
	var c Count
	if b.session != nil {
		if _, token := b.session.Managed(); token != "" {
			c = Count{token, b.session.Handled(0) + b.count}
		}
	}
	return t.host.Keeper.Keep(b.pending, c, t.deliver)
}
