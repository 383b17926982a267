package archive

import (
	"context"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
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

func (k *keeper) Keep(batch []*feature.Dispatch, c feature.Count, deliver func(*feature.Dispatch, *router.Batch)) error {
	messages := make([]*Message, len(batch))
	for i, d := range batch {
		m := &Message{Stanza: xmpp.Apply(nil, d.Stanza, &d.Edit), Type: d.Stanza.MessageType()}
		_, m.Flags = Worth(d.Stanza)
		for _, c := range d.Copies {
			m.Rows = append(m.Rows, Row{Owner: c.Owner, With: c.With, Incoming: c.Incoming, Edit: c.Edit})
		}
		messages[i] = m
	}
	next := 0
	return k.archive.Keep(context.Background(), messages, Also{
		Count: Count{Key: c.Token, Handled: c.Handled},
		Deliver: func(m *Message) {
			d := batch[next]
			next++
			d.ID = m.ID
			deliver(d, &k.out)
		},
		Flush: k.flush,
	})
}

// New is the history as a feature: what is kept of messages between people, and the queries of clients (XEP-0313).
func New(h *feature.Host, a *Archive) feature.Feature {
	return feature.Feature{
		Name:  "archive",
		Amend: amend,
		Keep:  keep,
	}
}

// amend takes away what would pass for ids of ours (XEP-0359 §6, trap: forged stanza-ids).
func amend(d *feature.Dispatch) {
	by := d.From.Bare()
	for i := range d.Stanza.Children {
		if d.Stanza.Children[i].Is(xmpp.NSSID, "stanza-id") {
			d.Edit.Strip = append(d.Edit.Strip, xmpp.Match{Space: xmpp.NSSID, Local: "stanza-id", By: by.String()},
				xmpp.Match{Space: xmpp.NSSID, Local: "stanza-id", By: d.To.Bare().String()})
			return
		}
	}
}

// keep names the archives of a message between people: the sender's and the recipient's.
func keep(d *feature.Dispatch) error {
	if d.User == nil {
		return nil
	}
	if worth, _ := Worth(d.Stanza); !worth {
		return nil
	}
	to := d.To.Bare()
	if d.Session != nil && d.From.Bare() != to {
		d.Copies = append(d.Copies, feature.Copy{Owner: d.Session.User(), OwnerJID: d.From.Bare(), With: d.To})
	}
	d.Copies = append(d.Copies, feature.Copy{Owner: d.User.ID, OwnerJID: to, With: d.From, Incoming: true})
	return nil
}
