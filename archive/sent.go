package archive

import (
	"context"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

const (
	maxSentWalk = 500 // how far back in a conversation a message is looked for
	sentRows    = 64  // in one View
)

// Sent reports whether the newest messages that the sender of d sent to the same address include one with the attribute
// 'id'. Those that came with d and are not in the archive yet count.
func (a *Archive) Sent(ctx context.Context, d *feature.Dispatch, id string) (bool, error) {
	if d.Session == nil {
		return false, nil
	}
	s := sentBy(d, id)
	if s.among(d.Ahead()) >= 0 {
		return true, nil
	}
	found, err := a.findSent(ctx, s)
	return found != 0, err
}

// sent is a message that is looked for: the newest that somebody sent in a conversation with an attribute 'id', which is how
// corrections (XEP-0308 §3) and retractions (XEP-0424 §5) name it.
type sent struct {
	owner directory.ID
	with  xmpp.JID
	self  bool // sent to oneself
	attr  string
}

// sentBy is one that the sender of d sent to where d goes.
func sentBy(d *feature.Dispatch, attr string) sent {
	to := d.To.Bare()
	return sent{d.Session.User(), d.Host().Directory.Conversation(to), to == d.From.Bare(), attr}
}

// among returns which of some messages that are not in the archive yet it is, -1 if it is none.
func (s *sent) among(waiting []*feature.Dispatch) int {
	for i := len(waiting) - 1; i >= 0; i-- {
		d := waiting[i]
		if string(d.Stanza.ID) == s.attr && slices.ContainsFunc(d.Copies, func(c feature.Copy) bool {
			return c.Owner == s.owner && c.With.Bare() == s.with && (!c.Incoming || s.self)
		}) {
			return i
		}
	}
	return -1
}

// findSent returns the id under which a message is kept, 0 if it is not found.
func (a *Archive) findSent(ctx context.Context, s sent) (found uint64, err error) {
	x := a.index(s.owner, s.with)
	before := uint64(maxID)
	for left := maxSentWalk; left > 0 && found == 0; {
		n := 0
		err = a.db.View(ctx, func(tx store.Tx) error {
			for e := range x.in(tx).scan(0, before, true) {
				n++
				before = e.id
				is, err := s.is(tx, before)
				if err != nil {
					a.unreadable(before, err)
				}
				if is {
					found = before
				}
				if is || n == min(left, sentRows) {
					return nil
				}
			}
			return nil
		})
		if left -= n; err != nil || n < sentRows {
			break
		}
	}
	return found, err
}

// is reports whether it is the one with an id. Of a stanza only the start tag is looked at.
func (s *sent) is(tx store.Tx, id uint64) (bool, error) {
	var b body
	if r, ok, err := b.of(tx, s.owner, id); err != nil || !ok || r.incoming && !s.self {
		return false, err
	}
	st := xmpp.Stanza{Raw: b.stanza}
	attr, _ := st.Attr("id")
	return attr == s.attr, nil
}
