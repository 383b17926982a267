package archive

import (
	"context"
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Keeper makes the archive the place where the feature table stores messages.
func (a *Archive) Keeper() feature.Keeper {
	k := &keeper{archive: a}
	k.flush = k.out.Flush
	return k
}

type keeper struct {
	archive *Archive
	out     router.Batch // of the committer's goroutine
	flush   func()
}

func (k *keeper) AppendID(dst []byte, id uint64) []byte { return AppendID(dst, id) }

// Keep stores every message with its sender stamped and forged ids taken out; the copies' edits come on top of that.
func (k *keeper) Keep(batch []*feature.Dispatch, c feature.Count, deliver func(*feature.Dispatch, *router.Batch)) error {
	h := handovers.Get().(*handover)
	defer h.release()
	h.batch, h.deliver, h.out, h.next = batch, deliver, &k.out, 0
	h.take()
	also := Also{Count: Count{Key: c.Token, Handled: c.Handled}, Deliver: h.delivers, Flush: k.flush}
	if all := k.archive.retractions(batch, h.named); len(all) > 0 {
		also.Write = func(tx store.Tx) error {
			for i := range all {
				if err := all[i].entomb(k.archive, tx); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return k.archive.Keep(context.Background(), h.named, also)
}

// handover is a batch of the feature table as the archive takes it.
type handover struct {
	batch   []*feature.Dispatch
	deliver func(*feature.Dispatch, *router.Batch)
	out     *router.Batch
	next    int // to be delivered

	messages []Message
	named    []*Message // the same
	rows     []Row      // of all of them
	stanzas  []byte     // of all of them
	delivers func(*Message)
}

var handovers = sync.Pool{New: func() any {
	h := new(handover)
	h.delivers = h.delivered
	return h
}}

// take makes the messages of the batch.
func (h *handover) take() {
	h.messages = slices.Grow(h.messages[:0], len(h.batch))[:len(h.batch)]
	h.named, h.rows, h.stanzas = h.named[:0], h.rows[:0], h.stanzas[:0]
	for i, d := range h.batch {
		stanza, row := len(h.stanzas), len(h.rows)
		h.stanzas = xmpp.Apply(h.stanzas, d.Stanza, &d.Edit)
		for _, c := range d.Copies {
			h.rows = append(h.rows, Row{Owner: c.Owner, With: c.With, Incoming: c.Incoming, Edit: c.Edit, To: c.To})
		}
		m := &h.messages[i]
		*m = Message{Stanza: h.stanzas[stanza:len(h.stanzas):len(h.stanzas)], Type: d.Stanza.MessageType(), Rows: h.rows[row:len(h.rows):len(h.rows)]}
		_, m.Flags = Worth(d.Stanza)
		h.named = append(h.named, m)
	}
}

// delivered is called for one message after the other.
func (h *handover) delivered(m *Message) {
	d := h.batch[h.next]
	h.next++
	d.ID = m.ID
	h.deliver(d, h.out)
}

// What is larger is not kept for the next batch.
const (
	maxSpareStanzas = 256 << 10
	maxSpareRows    = 4096
)

func (h *handover) release() {
	if cap(h.stanzas) > maxSpareStanzas || cap(h.rows) > maxSpareRows {
		return
	}
	clear(h.messages)
	clear(h.rows)
	h.batch, h.deliver, h.out = nil, nil, nil
	handovers.Put(h)
}
