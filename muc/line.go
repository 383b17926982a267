package muc

import (
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// receiver is how stanzas reach a client in a room: its session, or the peer that
// speaks for it.
type receiver interface {
	Send(out *router.Batch, stanza []byte)
	SendRun(out *router.Batch, b []byte, ends []int)
	Alive() bool
}

// distant is the line to a client behind a peer.
type distant struct{ peer feature.Peer }

func (d distant) Send(out *router.Batch, stanza []byte) { d.peer.Send(out, stanza) }

func (d distant) SendRun(out *router.Batch, b []byte, ends []int) {
	start := 0
	for _, end := range ends {
		d.peer.Send(out, b[start:end])
		start = end
	}
}

func (d distant) Alive() bool { return d.peer.Connected() }

// lineTo is how the sender of a stanza is reached, nil if that is unknown.
func lineTo(d *feature.Dispatch) receiver {
	if d.Session != nil {
		return d.Session
	}
	if p := d.Origin(); p != nil {
		return distant{p}
	}
	if s := d.Host().Router.Session(d.From); s != nil {
		return s
	}
	return nil
}

// peerGone takes the clients out of their rooms that a peer spoke for (§11.1).
func (m *Rooms) peerGone(_ feature.Peer, domain string) {
	var seats []*seat
	m.mu.RLock()
	rooms := map[*room]bool{}
	for j, in := range m.joined {
		if j.Domain() == domain {
			for _, r := range in {
				rooms[r] = true
			}
		}
	}
	m.mu.RUnlock()
	for r := range rooms {
		out := newBatch()
		r.mu.Lock()
		seats = seats[:0]
		for j, s := range r.clients {
			if j.Domain() == domain {
				seats = append(seats, s)
			}
		}
		for _, s := range seats {
			r.leave(out, s, goodbye, []int{333})
		}
		r.mu.Unlock()
		flush(out)
	}
}
