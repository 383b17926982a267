package push

import (
	"bytes"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// important reports whether somebody wants to be woken for a message: it has
// something to read, or somebody calls.
func important(st *xmpp.Stanza) bool {
	switch st.Type {
	case xmpp.TypeError, xmpp.TypeHeadline:
		return false
	}
	for i := range st.Children {
		e := &st.Children[i]
		switch {
		case e.Is(xmpp.NSClient, "body") && len(e.Inner) > 0:
			return true
		case e.Is(xmpp.NSOOB, "x"), e.Is(xmpp.NSFileShare, "file-sharing"): // a file, though nothing is said of it
			return true
		case e.Is(xmpp.NSJingleMsg, "propose"): // XEP-0353 §3.1
			return true
		case e.Is(xmpp.NSReference, "reference"): // XEP-0372
			if kind, _ := e.Attr("type"); kind == "mention" {
				return true
			}
		case e.Is(xmpp.NSOMEMO, "encrypted"), e.Is(xmpp.NSOMEMO2, "encrypted"):
			// Without a payload only keys are exchanged (XEP-0384 §4.7).
			if e.Node().Child("", "payload") != nil {
				return true
			}
		case e.Is(xmpp.NSOpenPGP, "openpgp"), e.Is("jabber:x:encrypted", "x"):
			return true
		}
	}
	return false
}

// importantBytes is important for a stanza as it was sent, which may be a copy
// of what another device got (XEP-0280 §7).
func importantBytes(b []byte) bool {
	if !bytes.HasPrefix(b, []byte("<message")) {
		return false
	}
	st, err := xmpp.Parse(b)
	if err != nil || st.Kind != xmpp.KindMessage {
		return false
	}
	if e := st.Child(xmpp.NSCarbons, "received"); e != nil {
		inner := e.Node().Child(xmpp.NSForward, "forwarded").Child(xmpp.NSClient, "message")
		if inner == nil {
			return false
		}
		if st, err = xmpp.Parse(inner.Append(nil)); err != nil {
			return false
		}
	}
	return important(st)
}

// after wakes the clients of somebody who was sent a message.
func (p *Push) after(d *feature.Dispatch, _ *router.Batch) {
	if d.Where == feature.Service && d.To.IsBare() && d.ID != 0 {
		p.inRoom(d)
		return
	}
	if d.User == nil || d.ID == 0 || d.From.Bare() == d.User.JID {
		return
	}
	incoming := slices.ContainsFunc(d.Copies, func(c feature.Copy) bool { return c.Owner == d.User.ID && c.Incoming })
	if incoming {
		p.Message(d.User.ID, d.Stanza)
	}
}

// said is that somebody has said something in a room.
type said struct{ room, by xmpp.JID }

// inRoom has the members of a room woken who are not there.
func (p *Push) inRoom(d *feature.Dispatch) {
	if p.opts.Audience == nil || !important(d.Stanza) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.owners) > 0 && !p.stopped {
		p.said[said{d.To, d.From.Bare()}]++
		p.begin()
	}
}

// count counts what was said in a room for those who are not there.
func (p *Push) count(s said, n int) {
	users, err := p.opts.Audience(s.room)
	if err != nil {
		p.host.Log.Error("nobody was woken for a room", "error", err, "room", s.room.String())
		return
	}
	by := p.host.Directory.User(s.by)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range users {
		if by != nil && id == by.ID {
			continue
		}
		for _, r := range p.owners[id] {
			if !r.connected() {
				r.count += n
				p.enqueue(r)
			}
		}
	}
}

// Message wakes the clients of a user for a message, unless they are connected
// or it is nothing to be woken for. It waits for nothing.
func (p *Push) Message(user directory.ID, st *xmpp.Stanza) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, worth := false, false
	for _, r := range p.owners[user] {
		if r.connected() {
			continue
		}
		if !known {
			known, worth = true, important(st)
		}
		if !worth {
			return
		}
		r.count++
		p.enqueue(r)
	}
}

// inactive wakes a client that has lost its connection for what it may not have
// got before that.
func (p *Push) inactive(s *router.Session) {
	p.lost(s, func() (n int) {
		s.EachUnacknowledged(func(stanza []byte) bool {
			if importantBytes(stanza) {
				n++
			}
			return true
		})
		return n
	}, false)
}

// ended does the same for a session that does not wait for its client.
func (p *Push) ended(s *router.Session, lost router.Unacknowledged) {
	p.lost(s, func() (n int) {
		for _, stanza := range lost.Stanzas {
			if importantBytes(stanza) {
				n++
			}
		}
		return n
	}, true)
}

func (p *Push) lost(s *router.Session, count func() int, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := -1
	for _, r := range p.owners[s.User()] {
		if r.session != s {
			continue
		}
		if !r.told {
			if n < 0 {
				n = count()
			}
			if r.told = true; n > 0 {
				r.count += n
				p.enqueue(r)
			}
		}
		if ended {
			r.session = nil
		}
	}
}

// resumed notes that a client is here again.
func (p *Push) resumed(s *router.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.owners[s.User()] {
		if r.session == s {
			r.told, r.count = false, 0
		}
	}
}
