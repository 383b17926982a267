package muc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/store/record"
)

// Over a restart of the server, clients that can resume their sessions stay in
// their rooms, and nobody sees them go or come. Each session takes its seats
// along; a temporary room is written down with those who are in it.

// everyRoom calls fn for the rooms in memory, locked.
func (m *Rooms) everyRoom(fn func(out *router.Batch, r *room)) {
	m.mu.RLock()
	rooms := make([]*room, 0, len(m.loaded))
	for _, r := range m.loaded {
		rooms = append(rooms, r)
	}
	m.mu.RUnlock()
	out := newBatch()
	defer flush(out)
	for _, r := range rooms {
		r.mu.Lock()
		if !r.gone {
			fn(out, r)
		}
		r.mu.Unlock()
	}
}

// Shutdown tells everybody in all rooms whose client cannot stay over a restart
// that the service ends (§11.2). Call it before the sessions are closed.
func (m *Rooms) Shutdown() {
	m.everyRoom(func(out *router.Batch, r *room) {
		var gone []sight
		for _, s := range slices.Clone(r.seats) {
			if session, ok := s.line.(*router.Session); ok && session.CanResume() {
				continue
			}
			o, jid := s.of, s.jid
			led := o.seats[0] == s
			if r.expel(out, s, destruction{codes: []int{332}}) {
				gone = append(gone, sight{o, &goodbye, jid, note{gone: true}})
			} else if led {
				r.lead(o)
				r.presentLead(out, o, nil)
			}
		}
		for _, v := range gone {
			if r.config.Broadcast.has(v.of.role) {
				r.present(out, v, r.seats)
			}
		}
		r.emptied(out)
	})
}

// place is a seat as a session takes it along.
type place struct {
	room xmpp.JID
	id   directory.ID
	nick string
	standing
	led  bool
	card card

	questions []question // of sessions
}

// layoutAsked is a place with questions.
const layoutAsked = 2

func (p *place) append(dst []byte) []byte {
	kind := byte(layout)
	if len(p.questions) > 0 {
		kind = layoutAsked
	}
	dst = record.AppendString(append(dst, kind), p.room.String())
	dst = record.AppendString(dst, keyOf('i', p.id))
	dst = record.AppendString(dst, p.nick)
	dst = record.AppendFlags(append(dst, byte(p.affiliation-Outcast), byte(p.role)), p.led)
	dst = record.AppendString(append(dst, byte(p.card.rank)), p.card.middle)
	if kind == layoutAsked {
		dst = appendQuestions(dst, p.questions)
	}
	return dst
}

func readPlace(d *record.Reader) (p place, ok bool) {
	kind := d.Byte()
	if kind != layout && kind != layoutAsked {
		return p, false
	}
	address, key := d.String(), d.Bytes()
	p.nick = d.String()
	affiliation := d.Byte()
	p.role = Role(d.Byte())
	d.Flags(&p.led)
	p.card.rank = int8(d.Byte())
	p.card.middle = bytes.Clone(d.Bytes())
	if kind == layoutAsked {
		p.questions = readQuestions(d)
	}
	if d.Failed() || int(affiliation) >= len(affiliationNames) || p.role > Moderator || len(key) != 9 {
		return p, false
	}
	p.affiliation = Outcast + Affiliation(affiliation)
	p.id = directory.ID(binary.BigEndian.Uint64(key[1:]))
	var err error
	p.room, err = xmpp.ParseJID(address)
	return p, err == nil
}

// save returns the seats of a session (feature.Restart).
func (m *Rooms) save(s *router.Session) (saved []byte) {
	m.mu.RLock()
	rooms := slices.Clone(m.joined[s.JID()])
	m.mu.RUnlock()
	for _, r := range rooms {
		r.mu.Lock()
		if x := r.clients[s.JID()]; x != nil && x.line == receiver(s) {
			p := place{r.jid, r.id, x.of.nick, x.of.standing, x.of.seats[0] == x, x.card, ofSessions(x.questions)}
			saved = p.append(saved)
		}
		r.mu.Unlock()
	}
	return saved
}

// layDown writes the temporary rooms down that somebody rests in.
func (m *Rooms) layDown() {
	records := map[xmpp.JID][]byte{}
	m.everyRoom(func(_ *router.Batch, r *room) {
		if !r.lent && !r.config.Persistent && len(r.seats) > 0 {
			records[r.jid] = r.record()
		}
	})
	err := m.store.db.Update(context.Background(), func(tx store.Tx) error {
		for k := range tx.Scan(space, store.Range{Prefix: []byte("t")}) {
			if err := tx.Delete(space, k); err != nil {
				return err
			}
		}
		for address, b := range records {
			if err := tx.Put(space, append([]byte("t"), address.String()...), b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.host.Log.Error("temporary rooms were not kept for the next start", "error", err)
	}
}

// record is all that a temporary room is but for those who are in it.
func (r *room) record() []byte {
	rec := stored{r.id, r.created, r.maker, r.config}
	b := record.AppendFlags(record.AppendString(nil, rec.append(nil)), r.locked)
	b = record.AppendString(b, r.subject.append(nil))
	b = record.AppendString(b, r.vcard.append(nil))
	for person, a := range r.affiliates {
		w := r.m.whoIs(person)
		b = record.AppendString(b, keyAffiliation(r.id, w)[9:])
		b = record.AppendString(b, a.append(nil))
	}
	return b
}

// revive puts a temporary room into memory that was written down.
func (m *Rooms) revive(address xmpp.JID) error {
	var b []byte
	err := m.store.db.View(context.Background(), func(tx store.Tx) error {
		b = slices.Clone(tx.Get(space, append([]byte("t"), address.String()...)))
		return nil
	})
	if err != nil || b == nil {
		return err
	}
	d := record.Read(b)
	rec, err := parseStored(d.Bytes())
	if err != nil {
		return err
	}
	r := m.newRoom(address, rec.id, rec.config)
	r.created, r.maker = rec.created, rec.maker
	d.Flags(&r.locked)
	var errs []error
	r.subject, err = parseSubject(d.Bytes())
	errs = append(errs, err)
	r.written = r.subject.text
	v, err := parseVCard(d.Bytes())
	errs = append(errs, err)
	r.setVCard(v)
	for !d.Done() && !d.Failed() {
		w, err := parseWho(d.Bytes())
		errs = append(errs, err)
		a, err := parseAffiliate(d.Bytes())
		errs = append(errs, err)
		if j, ok := m.addressOf(w); ok && err == nil {
			r.setAffiliate(j, a)
		}
	}
	if err := errors.Join(errs...); err != nil || d.Failed() {
		return errors.Join(err, errRecord)
	}
	m.place(r, nil)
	return nil
}

// restore gives a session its seats back. Nobody hears of it.
func (m *Rooms) restore(s *router.Session, saved []byte) error {
	d := record.Read(saved)
	for !d.Done() {
		p, ok := readPlace(&d)
		if !ok {
			return errRecord
		}
		r, err := m.hold(p.room)
		if r == nil && err == nil {
			if err = m.revive(p.room); err == nil {
				r, err = m.hold(p.room)
			}
		}
		if err != nil {
			return err
		}
		seated := false
		if r != nil {
			seated = r.id == p.id && r.reseat(s, &p)
			r.mu.Unlock()
		}
		if !seated { // it is another room, or none
			if occupant, err := p.room.WithResource(p.nick); err == nil {
				m.notIn(&entry{client: s.JID(), line: s}, occupant)
			}
			m.stray = append(m.stray, p.questions...)
		}
	}
	return nil
}

// reseat gives a session its seat back, and reports whether it could.
func (r *room) reseat(s *router.Session, p *place) bool {
	if r.clients[s.JID()] != nil {
		return false
	}
	user := s.JID().Bare()
	o := r.byNick(p.nick)
	if o == nil {
		o = &occupant{nick: p.nick, user: user, id: r.occupantID(user), standing: p.standing}
		o.mark = appendOccupantID(nil, o.id)
		var err error
		if o.jid, err = r.jid.WithResource(p.nick); err != nil || r.admit(o) != nil {
			return false
		}
	} else if o.user != user {
		return false
	}
	x := &seat{jid: s.JID(), line: s, user: s.User(), to: toAttr(s.JID()), card: p.card, questions: p.questions, live: true}
	r.m.enters(x, r)
	r.seatAt(o, x)
	if p.led {
		o.seats = slices.Insert(o.seats[:len(o.seats)-1], 0, x)
	}
	return true
}

// restored lets what was changed while the server was down come to those who
// were in a room all the time.
func (m *Rooms) restored() {
	out := newBatch()
	m.unanswered(out, m.stray)
	flush(out)
	m.stray = nil
	m.everyRoom(func(out *router.Batch, r *room) {
		if r.given != nil {
			r.reconsider(out)
			return
		}
		for _, o := range slices.Clone(r.order) {
			switch now := r.affiliation(o.user); {
			case now == o.affiliation:
			case now == Outcast:
				r.remove(out, o, removal{affiliation: Outcast, codes: []int{301}})
			case r.mayEnter(o.user) != nil:
				r.remove(out, o, removal{affiliation: now, codes: []int{321}})
			default:
				r.assign(out, o, standing{now, roleFor(now, r.config.Moderated)}, note{})
			}
		}
	})
}
