package c2s

import (
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/router"
)

// take handles what the client of a bound session sends.
func (c *client) take(st *xmpp.Stanza) error {
	if st.Kind == xmpp.KindOther {
		if string(st.Space) == xmpp.NSSM {
			return c.manage(st)
		}
		if c.srv.opts.Table.Nonza(c.batch, st) {
			return nil
		}
		return &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
	}
	// RFC 6120 §8.1.2.1: a client speaks for its own account only. What resource it
	// names is overridden. COMPAT(Converse.js 14): after a resumption it names the one
	// that it would have bound.
	if st.FromErr != nil || !st.From.IsZero() && st.From.Bare() != c.session.JID().Bare() {
		return &xmpp.StreamError{Condition: xmpp.StreamInvalidFrom}
	}
	st.From = c.session.JID() // to whom answers go
	if st.Kind == xmpp.KindIQ && st.Type == xmpp.TypeSet {
		if p := st.Payload(); p != nil && c.rebind(st, p) {
			return nil
		}
	}
	c.srv.opts.Table.Handle(c.batch, st)
	return nil
}

// rebind answers what belongs to the negotiation and comes after it.
func (c *client) rebind(st *xmpp.Stanza, p *xmpp.Element) bool {
	switch {
	case !st.To.IsZero() && st.To != c.session.JID().Bare() && st.To != c.session.JID().DomainJID():
		return false
	case p.Is(xmpp.NSBind, "bind"):
		c.srv.opts.Table.Answer(c.batch, xmpp.AppendError(nil, st, xmpp.NewError(xmpp.NotAllowed, "a resource is bound already")))
	case p.Is(xmpp.NSSession, "session"):
		// RFC 3921 §3 asked for it; there is nothing to do.
		c.srv.opts.Table.Answer(c.batch, xmpp.AppendResult(nil, st, nil))
	default:
		return false
	}
	return true
}

// manage handles stream management on a bound session (XEP-0198).
func (c *client) manage(st *xmpp.Stanza) error {
	table, n := c.srv.opts.Table, st.Node()
	table.Commit(c.batch)
	switch n.Local {
	case "r": // §4
		if on, _ := c.session.Managed(); on {
			b := append([]byte(nil), "<a xmlns='"+xmpp.NSSM+"' h='"...)
			b = strconv.AppendUint(b, uint64(c.session.Handled(0)), 10)
			c.session.SendNonza(append(b, "'/>"...))
			return nil
		}
		c.Send(smFailed("unexpected-request", ""))
	case "a":
		h, err := strconv.ParseUint(n.Attr("h"), 10, 32)
		if err != nil {
			return &xmpp.StreamError{Condition: xmpp.StreamPolicyViolation, Text: "h is not a number of 32 bits"}
		}
		return c.acknowledged(uint32(h))
	case "enable": // §3
		max := c.resumable(n)
		if err := c.session.EnableManagement(max, func(token string) []byte { return smEnabled(token, max) }); err != nil {
			c.Send(smFailed("unexpected-request", ""))
		}
	case "resume": // §5: only before binding
		c.Send(smFailed("unexpected-request", ""))
	default:
		return &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
	}
	return nil
}

// resumable is for how long a session can be resumed that asks for management
// by n (XEP-0198 §3).
func (c *client) resumable(n *xmpp.Node) (max time.Duration) {
	if resume := n.Attr("resume"); resume == "true" || resume == "1" {
		max = c.srv.opts.Resume
		if wish, err := strconv.ParseUint(n.Attr("max"), 10, 31); err == nil && wish > 0 {
			max = min(max, time.Duration(wish)*time.Second)
		}
	}
	return max
}

func (c *client) acknowledged(h uint32) error {
	if on, _ := c.session.Managed(); !on {
		return nil
	}
	if c.session.Acknowledge(h) != nil {
		return tooHigh(h, c.session)
	}
	return nil
}

// tooHigh is XEP-0198 §4, an h beyond what was sent.
func tooHigh(h uint32, s *router.Session) *xmpp.StreamError {
	app := append([]byte(nil), "<handled-count-too-high xmlns='"+xmpp.NSSM+"' h='"...)
	app = strconv.AppendUint(app, uint64(h), 10)
	app = append(app, "' send-count='"...)
	app = strconv.AppendUint(app, uint64(s.SentCount()), 10)
	return &xmpp.StreamError{Condition: xmpp.StreamUndefinedCondition, App: append(app, "'/>"...),
		Text: "you acknowledged more stanzas than were sent"}
}

func smEnabled(token string, max time.Duration) []byte {
	b := append([]byte(nil), "<enabled xmlns='"+xmpp.NSSM+"'"...)
	if token != "" {
		b = xmpp.AppendAttr(b, "id", token)
		b = append(b, " resume='true' max='"...)
		b = append(strconv.AppendInt(b, int64(max/time.Second), 10), '\'')
	}
	return append(b, "/>"...)
}

func smFailed(condition, h string) []byte {
	b := append([]byte(nil), "<failed xmlns='"+xmpp.NSSM+"'"...)
	if h != "" {
		b = xmpp.AppendAttr(b, "h", h)
	}
	return append(b, "><"+condition+" xmlns='"+xmpp.NSStanzas+"'/></failed>"...)
}
