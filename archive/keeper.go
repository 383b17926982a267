package archive

import (
	"context"

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
	messages := make([]*Message, len(batch))
	for i, d := range batch {
		m := &Message{Stanza: xmpp.Apply(nil, d.Stanza, &d.Edit), Type: d.Stanza.MessageType(), Rows: make([]Row, len(d.Copies))}
		_, m.Flags = Worth(d.Stanza)
		for j, c := range d.Copies {
			m.Rows[j] = Row{Owner: c.Owner, With: c.With, Incoming: c.Incoming, Edit: c.Edit, To: c.To}
		}
		messages[i] = m
	}
	next := 0
	also := Also{
		Count: Count{Key: c.Token, Handled: c.Handled},
		Deliver: func(m *Message) {
			d := batch[next]
			next++
			d.ID = m.ID
			deliver(d, &k.out)
		},
		Flush: k.flush,
	}
	if all := k.archive.retractions(batch, messages); len(all) > 0 {
		also.Write = func(tx store.Tx) error {
			for i := range all {
				if err := all[i].entomb(k.archive, tx); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return k.archive.Keep(context.Background(), messages, also)
}
