package muc

import (
	"context"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"confab/archive"
	"confab/xmpp"
)

// welcome sends a newcomer history, subject and what has come meanwhile, in this order, and makes him live (§7.1).
func (m *Rooms) welcome(r *room, s *seat, h *history) {
	past := m.past(r, s, h)
	out := newBatch()
	defer flush(out)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[s.jid] != s {
		return
	}
	if s.live {
		past = run{}
	}
	s.line.SendRun(out, past.bytes, past.ends)
	s.line.Send(out, r.subjectFor(s))
	s.line.SendRun(out, s.waiting, s.ends)
	m.Stats.Sent.Add(int64(len(past.ends) + 1 + len(s.ends)))
	s.live, s.waiting, s.ends = true, nil, nil
}

// subjectFor is the room's subject; it is sent even if there is none (§7.2.15).
func (r *room) subjectFor(s *seat) []byte {
	sub := &r.subject
	from := r.jid
	if sub.nick != "" {
		if j, err := r.jid.WithResource(sub.nick); err == nil && !r.blocks(s, j) {
			from = j
		}
	}
	b := xmpp.AppendAttr([]byte("<message"), "from", from.String())
	b = append(append(b, s.to...), " type='groupchat'><subject>"...)
	b = append(xmpp.AppendText(b, sub.text), "</subject>"...)
	if sub.nick != "" {
		b = appendOccupantID(b, sub.id)
		b = archive.AppendDelay(b, r.jid, sub.at)
	}
	return append(b, "</message>"...)
}

// history is how much of what was said a newcomer wants (§7.2.14).
type history struct {
	chars, stanzas int // -1: no limit
	since          time.Time
	asked          bool
}

var wholeHistory = history{chars: -1, stanzas: -1}

// read takes what is said well; the rest is as if it were not there.
func (h *history) read(n *xmpp.Node, now time.Time) {
	number := func(name string) (int, bool) {
		v, err := strconv.ParseUint(n.Attr(name), 10, 31)
		h.asked = h.asked || err == nil
		return int(v), err == nil
	}
	if v, ok := number("maxchars"); ok {
		h.chars = v
	}
	if v, ok := number("maxstanzas"); ok {
		h.stanzas = v
	}
	if v, ok := number("seconds"); ok {
		h.since = now.Add(-time.Duration(v) * time.Second)
	}
	if t, err := time.Parse(time.RFC3339, n.Attr("since")); err == nil {
		h.asked = true
		if t.After(h.since) {
			h.since = t
		}
	}
}

// run is stanzas one after the other.
type run struct {
	bytes []byte
	ends  []int
}

// past reads the history for a newcomer, without a lock.
func (m *Rooms) past(r *room, s *seat, h *history) (past run) {
	r.mu.Lock()
	limit, after := r.config.History, s.after
	since := r.since(s.of.user)
	r.mu.Unlock()
	if h.stanzas >= 0 {
		limit = min(limit, h.stanzas)
	} else if !h.asked {
		limit = min(limit, defaultHistory)
	}
	if limit == 0 || h.chars == 0 || after == 0 {
		return past
	}
	if h.since.After(since) {
		since = h.since
	}
	q := archive.Query{Owner: r.id, Start: since, End: archive.IDTime(after), Last: true, Max: limit, Flip: true}
	var pieces [][]byte
	chars, size := 0, 0
	take := func(it *archive.Item) error {
		b, err := r.remembered(it, s)
		if err != nil {
			m.host.Log.Error("a message in the history of a room cannot be read", "room", r.jid.String(), "err", err)
		}
		if b == nil {
			return nil
		}
		chars += utf8.RuneCount(b)
		size += len(b)
		if len(pieces) == limit || size > maxPast || h.chars >= 0 && chars > h.chars {
			return errEnough
		}
		pieces = append(pieces, b)
		return nil
	}
	// Not everything in an archive is for newcomers: a few pages may be needed.
	for range 4 {
		page, err := m.archive.Page(context.Background(), q, take)
		if err != nil && err != errEnough {
			m.host.Log.Error("the history of a room cannot be read", "room", r.jid.String(), "err", err)
		}
		if err != nil || page.Complete || len(pieces) == limit {
			break
		}
		q.Before = page.First
	}
	for _, b := range slices.Backward(pieces) {
		past.bytes = append(past.bytes, b...)
		past.ends = append(past.ends, len(past.bytes))
	}
	return past
}

// maxPast bounds the bytes of the history that a newcomer is sent, so that they fit into his out buffer.
const maxPast = 512 << 10

var errEnough = xmpp.NewError(xmpp.PolicyViolation, "")

// remembered is a message of the history as a newcomer gets it, nil if it is none of those: subjects come by themselves
// (§7.2.13), and what has no text is for those who read the archive.
func (r *room) remembered(it *archive.Item, s *seat) ([]byte, error) {
	if it.Flags&(archive.HasBody|archive.Encrypted) == 0 || it.Tombstone != nil { // XEP-0424 §7
		return nil, nil
	}
	if st, err := xmpp.Parse(it.Stanza); err == nil && r.blocks(s, st.From) {
		return nil, nil
	}
	add := archive.AppendStanzaID(nil, r.jid, it.ID)
	add = archive.AppendDelay(add, r.jid, it.Time())
	it.Edit.To, it.Edit.NoTo = s.jid, false
	r.readdress(it)
	return it.Append(nil, "", add)
}

// readdress has a message come from the room as it is called now: the history of a given room goes on when it is renamed.
func (r *room) readdress(it *archive.Item) {
	if !r.lent {
		return
	}
	st, err := xmpp.Parse(it.Stanza)
	if err != nil || st.From.Bare() == r.jid {
		return
	}
	if j, err := r.jid.WithResource(st.From.Resource()); err == nil {
		it.Edit.From = j
	}
}

// since is the beginning of the history for somebody: a given room may keep what was before from new members.
func (r *room) since(person xmpp.JID) time.Time {
	if r.given != nil {
		if p, ok := r.m.source.Member(r.id, person); ok {
			return p.Since
		}
	}
	return time.Time{}
}
