package router

import "confab/xmpp"

// Fate is the one thing that becomes of a message to an account (RFC 6121 §8.5).
type Fate uint8

const (
	Deliver Fate = iota // some session gets it
	Later               // nobody is there: it waits in the history
	Bounce              // the sender gets <service-unavailable/>
	Ignore              // nothing happens
)

// MessageFate decides what becomes of a message to a user of ours, from the
// sessions at this moment.
func (r *Router) MessageFate(to xmpp.JID, t xmpp.Type) Fate {
	a := r.Account(to)
	if to.IsFull() {
		if a != nil && a.Session(to.Resource()) != nil { // §8.5.3.1
			return Deliver
		}
		switch t { // §8.5.3.2.1
		case xmpp.TypeChat:
		case xmpp.TypeError:
			return Ignore
		default:
			return Bounce
		}
	}
	switch t { // §8.5.2.1.1, §8.5.2.2.1
	case xmpp.TypeGroupchat:
		return Bounce
	case xmpp.TypeError:
		return Ignore
	}
	there := false
	if a != nil {
		a.Each(func(s *Session) { there = there || s.reachable() })
	}
	switch {
	case there:
		return Deliver
	case t == xmpp.TypeHeadline:
		return Ignore
	}
	return Later
}

// reachable reports whether messages to the bare address go to the session: it
// is available with a priority that is not negative. Call with account.mu held.
func (s *Session) reachable() bool { return s.presence.Available && s.presence.Priority >= 0 }

// Message is a message on its way to one account, as bytes that every session of it gets alike.
type Message struct {
	To    xmpp.JID
	Bytes []byte
	ID    uint64   // in the history, 0: none
	Exact bool     // for the session that it names and no other (RFC 6121 §8.5.3.2.1)
	Not   *Session // does not get it; nil: nobody is left out
}

// DeliverMessage sends a message to the session that it names or, failing that
// or if it names none, to all that are available with a priority that is not
// negative (RFC 6121 §8.5.2.1.1 leaves the choice; with carbons and history on
// every device, all of them). The sessions that got it are appended to got; one
// that ends at this moment did not.
func (r *Router) DeliverMessage(out *Batch, m *Message, got []*Session) []*Session {
	a := r.Account(m.To)
	if a == nil {
		return got
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.To.IsFull() {
		if s := a.find(m.To.Resource()); s != nil && s.SendKept(out, m.Bytes, m.ID) {
			return append(got, s)
		}
		if m.Exact {
			return got
		}
	}
	for _, s := range a.sessions {
		if s.reachable() && s != m.Not && s.SendKept(out, m.Bytes, m.ID) {
			got = append(got, s)
		}
	}
	return got
}
