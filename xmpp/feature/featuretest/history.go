package featuretest

import (
	"context"
	"strconv"

	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

const (
	spaceHistory store.Space = "history"
	spaceCount   store.Space = "count"
)

// history is the least that a feature.Keeper can be: messages by id, durably.
// Ids are 1, 2, 3 …
type history struct {
	db   store.DB
	next uint64 // of the committer's goroutine
	out  router.Batch
}

func (h *history) AppendID(dst []byte, id uint64) []byte { return strconv.AppendUint(dst, id, 10) }

func (h *history) Keep(batch []*feature.Dispatch, c feature.Count, deliver func(*feature.Dispatch, *router.Batch)) error {
	return h.db.Update(context.Background(), func(tx store.Tx) error {
		for _, d := range batch {
			h.next++
			d.ID = h.next
			key := h.AppendID(nil, d.ID)
			if err := tx.Put(spaceHistory, key, d.Stanza.Raw); err != nil {
				return err
			}
		}
		if c.Token != "" {
			if err := tx.Put(spaceCount, []byte(c.Token), strconv.AppendUint(nil, uint64(c.Handled), 10)); err != nil {
				return err
			}
		}
		tx.OnCommit(func() {
			for _, d := range batch {
				deliver(d, &h.out)
			}
		})
		tx.OnGroup(h, h.out.Flush)
		return nil
	})
}

// Keep is a feature that keeps messages with a body, for both sides.
func Keep() feature.Feature {
	return feature.Feature{Name: "keep", Keep: func(d *feature.Dispatch) error {
		if d.User == nil && d.Peer == nil || d.Stanza.Child("", "body") == nil {
			return nil
		}
		to, from := d.To.Bare(), d.From.Bare()
		if d.Session != nil && from != to {
			d.Copies = append(d.Copies, feature.Copy{Owner: d.Session.User(), OwnerJID: from, With: d.To})
		}
		if d.User != nil {
			d.Copies = append(d.Copies, feature.Copy{Owner: d.User.ID, OwnerJID: to, With: d.From, Incoming: true})
		}
		return nil
	}}
}
