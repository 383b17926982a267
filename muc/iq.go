package muc

import (
	"context"
	"time"

	"confab/archive"
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// iq takes the requests that no feature answers: all about rooms and their occupants.
func (m *Rooms) iq(d *feature.Dispatch) error {
	request := d.Stanza.Type == xmpp.TypeGet || d.Stanza.Type == xmpp.TypeSet
	switch {
	case d.To.IsFull() && request:
		return m.by(d.To, m.ask(d))
	case d.To.IsFull():
		m.answered(d)
		return nil
	case !request:
		return nil
	}
	payload, answered, err := m.answer(d)
	if err != nil {
		return m.by(d.To, err)
	}
	if !answered {
		m.reply(d, payload)
	}
	return nil
}

func (m *Rooms) reply(d *feature.Dispatch, payload []byte) {
	d.Reply(nil, xmpp.AppendResult(nil, d.Stanza, payload))
}

// answer answers a request to a room or to the service. answered says that the result has left already.
func (m *Rooms) answer(d *feature.Dispatch) (payload []byte, answered bool, err error) {
	p := d.Stanza.Payload()
	get := d.Stanza.Type == xmpp.TypeGet
	if d.To.Local() == "" {
		if get && p.Is(xmpp.NSPing, "ping") {
			return nil, false, nil
		}
		return nil, false, errUnavailable
	}
	switch {
	case get && p.Is(xmpp.NSPing, "ping"):
		return nil, false, m.pinged(d)
	case p.Is(xmpp.NSMUCAdmin, "query") && get:
		payload, err = m.adminGet(d, p.Node())
	case p.Is(xmpp.NSMUCAdmin, "query"):
		answered, err = true, m.adminSet(d, p.Node())
	case p.Is(xmpp.NSMUCOwner, "query") && get:
		payload, err = m.ownerGet(d)
	case p.Is(xmpp.NSMUCOwner, "query"):
		answered, err = true, m.ownerSet(d, p.Node())
	case p.Is(xmpp.NSRegister, "query") && get:
		payload, err = m.registerGet(d)
	case p.Is(xmpp.NSRegister, "query"):
		answered, err = true, m.registerSet(d, p.Node())
	case p.Is(xmpp.NSVCard, "vCard") && get:
		payload, err = m.vcardGet(d)
	case p.Is(xmpp.NSVCard, "vCard"):
		answered, err = true, m.vcardSet(d, p.Node())
	case p.Is(xmpp.NSModerate, "moderate") && !get:
		err = m.moderate(d, p.Node())
	case p.Is(xmpp.NSMAM, "query") && get:
		if err = m.readable(d, nil); err == nil {
			payload = archive.AppendFields(nil)
		}
	case p.Is(xmpp.NSMAM, "query"):
		payload, err = m.query(d, p.Node())
	case p.Is(xmpp.NSMAM, "metadata") && get:
		payload, err = m.metadata(d)
	default:
		err = m.exist(d)
	}
	return payload, answered, err
}

var errUnavailable = xmpp.NewError(xmpp.ServiceUnavailable, "")

// exist is the error for a request that rooms do not answer.
func (m *Rooms) exist(d *feature.Dispatch) error {
	if err := m.pinged(d); err != nil {
		return err
	}
	return errUnavailable
}

// pinged answers a ping to a room for those who may know that it is there.
func (m *Rooms) pinged(d *feature.Dispatch) error {
	r, err := m.find(d.To, d.From)
	if err != nil {
		return err
	}
	r.mu.Unlock()
	return nil
}

// The archive of a room (XEP-0313 §6).

// view is what somebody may see of a room's archive.
type view struct {
	room  *room
	real  bool      // the real addresses
	since time.Time // not zero: nothing that was before
}

// mayRead reports whether somebody may read what is said in a room: who may enter may.
func (r *room) mayRead(client xmpp.JID) error {
	if err := r.mayEnter(client.Bare()); err != nil {
		if e, ok := err.(*xmpp.Error); ok && e.Condition != xmpp.ItemNotFound {
			return xmpp.NewError(xmpp.Forbidden, "the history of this room is for those who may enter it")
		}
		return err
	}
	if by := r.standingOf(client); r.config.Password != "" && by.role == NoRole && by.affiliation < Member {
		return xmpp.NewError(xmpp.Forbidden, "the history of this room is for those who have its password")
	}
	return nil
}

// readable checks that somebody may read a room's archive at this moment.
func (m *Rooms) readable(d *feature.Dispatch, v *view) error {
	r, err := m.find(d.To, d.From)
	if err != nil {
		return err
	}
	defer r.mu.Unlock()
	if err := r.mayRead(d.From); err != nil {
		return err
	}
	if v != nil {
		by := r.standingOf(d.From)
		*v = view{r, r.config.NonAnonymous || by.role == Moderator || by.affiliation >= Admin, r.since(d.From.Bare())}
	}
	return nil
}

// query answers with the items of a page, and then with where they lie.
func (m *Rooms) query(d *feature.Dispatch, n *xmpp.Node) ([]byte, error) {
	if d.Session == nil {
		return nil, xmpp.NewError(xmpp.Forbidden, "")
	}
	var v view
	if err := m.readable(d, &v); err != nil {
		return nil, err
	}
	q, err := archive.ParseRequest(n)
	if err != nil {
		return nil, err
	}
	if q.Node != "" {
		return nil, xmpp.NewError(xmpp.ItemNotFound, "the archive of a room has no nodes")
	}
	q.Owner = v.room.id
	if v.since.After(q.Start) {
		q.Start = v.since
	}
	if !q.With.IsZero() {
		if q.With, err = v.publisher(q.With, d.From.Bare()); err != nil {
			return nil, err
		}
		if q.With.IsZero() {
			return archive.AppendFin(nil, archive.Result{Index: -1, Complete: true}), nil
		}
	}
	to := archive.Delivery{From: v.room.jid, To: d.From, QueryID: q.QueryID}
	var out router.Batch
	defer out.Flush()
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	result, err := m.archive.Page(context.Background(), q.Query, func(it *archive.Item) error {
		if v.real {
			add(&it.Edit, appendReal(nil, v.room, it.With))
		}
		v.room.readdress(it)
		b, err := to.AppendResult((*buf)[:0], it)
		*buf = b[:0]
		if err != nil {
			// One that cannot be shown must not hide all others for ever.
			m.host.Log.Error("a message in the history of a room cannot be read", "room", v.room.jid.String(), "err", err)
			return nil
		}
		d.Session.Send(&out, b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return archive.AppendFin(nil, result), nil
}

// publisher is the real address behind the one that a query names: that of an occupant, or a real one for those who may
// know it. It is zero if there is nobody.
func (v *view) publisher(with, asker xmpp.JID) (xmpp.JID, error) {
	r := v.room
	if with.Bare() != r.jid {
		if !v.real && with.Bare() != asker {
			return xmpp.JID{}, xmpp.NewError(xmpp.Forbidden, "in this room the real addresses are not for you")
		}
		return with, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.at(with); o != nil {
		return o.user, nil
	}
	if r.given != nil {
		for p := range r.m.source.Members(r.id) {
			if p.Nick == with.Resource() {
				return p.JID, nil
			}
		}
	}
	if k, err := nickKey(with.Resource()); err == nil {
		return r.reserved[k], nil
	}
	return xmpp.JID{}, nil
}

// appendReal says who wrote a message (XEP-0313 §6.1).
func appendReal(dst []byte, r *room, person xmpp.JID) []byte {
	r.mu.Lock()
	a := r.affiliation(person.Bare())
	r.mu.Unlock()
	dst = append(dst, "<x xmlns='"+xmpp.NSMUCUser+"'>"...)
	return append(appendItem(dst, a.String(), person, "", ""), "/></x>"...)
}

// metadata answers what a room's archive spans (XEP-0313 §5).
func (m *Rooms) metadata(d *feature.Dispatch) ([]byte, error) {
	var v view
	if err := m.readable(d, &v); err != nil {
		return nil, err
	}
	ctx := context.Background()
	first, last, err := m.archive.Ends(ctx, v.room.id)
	if err == nil && !v.since.IsZero() {
		var page archive.Result
		page, err = m.archive.Page(ctx, archive.Query{Owner: v.room.id, Start: v.since, Max: 1}, func(*archive.Item) error { return nil })
		if first = page.First; first == 0 {
			last = 0
		}
	}
	if err != nil {
		return nil, err
	}
	return archive.AppendMetadata(nil, first, last), nil
}
