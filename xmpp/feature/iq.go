package feature

import "confab/xmpp"

// passIQ takes a request to its handler, or an IQ to the client that it names.
func (t *Table) passIQ(b *Batch, d *Dispatch) error {
	st := d.Stanza
	request := st.Type == xmpp.TypeGet || st.Type == xmpp.TypeSet
	switch { // RFC 6120 §8.2.3
	case !request && st.Type != xmpp.TypeResult && st.Type != xmpp.TypeError:
		return xmpp.NewError(xmpp.BadRequest, "an IQ has the type get, set, result or error")
	case len(st.ID) == 0:
		return xmpp.NewError(xmpp.BadRequest, "an IQ has an id")
	case request && len(st.Children) != 1:
		return xmpp.NewError(xmpp.BadRequest, "a request has exactly one child element")
	}
	switch d.Where {
	case Full:
		return t.routeIQ(b, d, request)
	case Remote:
		switch {
		case d.Peer != nil:
			return t.forward(&b.out, d)
		case request:
			return xmpp.NewError(xmpp.RemoteServerNotFound, "")
		}
		return nil
	}
	if !request {
		if d.Target != nil && d.Target.IQ != nil {
			return d.Target.IQ(d)
		}
		return nil // the answer to a push; nothing waits for it
	}
	if d.Where == Service && d.To.IsFull() && d.Target.IQ != nil {
		// What is below a service, such as an occupant of a room, is not the server's to answer for.
		return d.Target.IQ(d)
	}
	q := Query{Dispatch: d, Payload: st.Payload()}
	if h := t.handler(&q); h != nil {
		buf := xmpp.GetBuffer()
		defer xmpp.PutBuffer(buf)
		payload, err := h(&q, *buf)
		if err != nil {
			return err
		}
		t.answer(b, d, payload)
		if payload != nil {
			*buf = payload
		}
		return nil
	}
	if d.Target != nil && d.Target.IQ != nil {
		return d.Target.IQ(d)
	}
	return xmpp.NewError(xmpp.ServiceUnavailable, "")
}

// handler returns what answers a request, nil if nothing does.
func (t *Table) handler(q *Query) Handler {
	for _, h := range t.iq[iqKey{string(q.Payload.Space), string(q.Payload.Local), q.Stanza.Type == xmpp.TypeSet}] {
		if h.Where&q.Where != 0 {
			return h.Handle
		}
	}
	return nil
}

// AnswerFor returns what the bare address to answers to a request that somebody made elsewhere, where a service speaks for
// it: what anybody is told, since it is not said who asks.
func (t *Table) AnswerFor(to xmpp.JID, request *xmpp.Stanza) (payload []byte, err error) {
	q := t.host.Ask(to)
	q.Stanza, q.Payload = request, request.Payload()
	h := t.handler(q)
	if h == nil {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	return h(q, nil)
}

// routeIQ hands an IQ to the client that it names (RFC 6121 §8.5.3).
func (t *Table) routeIQ(b *Batch, d *Dispatch, request bool) error {
	s := t.host.Router.Session(d.To)
	if s == nil {
		if request { // §8.5.3.2.3
			return xmpp.NewError(xmpp.ServiceUnavailable, "")
		}
		return nil
	}
	buf := xmpp.GetBuffer()
	*buf = xmpp.Apply((*buf)[:0], d.Stanza, &d.Edit)
	s.Send(&b.out, *buf)
	xmpp.PutBuffer(buf)
	return nil
}

func (t *Table) answer(b *Batch, d *Dispatch, payload []byte) {
	if d.Session == nil && d.origin == nil {
		return
	}
	if len(payload) > maxAsked && d.Session != nil {
		d.Session.Drain(0) // so that it does not come on top of what waits
	}
	buf := xmpp.GetBuffer()
	*buf = xmpp.AppendResult((*buf)[:0], d.Stanza, payload)
	d.Reply(&b.out, *buf)
	xmpp.PutBuffer(buf)
}
