package muc

import (
	"slices"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

var errNotOwner = xmpp.NewError(xmpp.Forbidden, "you do not own this room") // §10.2, §10.9

// ownerGet answers with the configuration of a room as a form (§10.1.3, §10.2).
func (m *Rooms) ownerGet(d *feature.Dispatch) ([]byte, error) {
	r, err := m.find(d.To, d.From)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	if r.affiliation(d.From.Bare()) != Owner {
		return nil, errNotOwner
	}
	dst := []byte("<query xmlns='" + xmpp.NSMUCOwner + "'>")
	c := r.config
	dst = c.form(r.jid, people{owners: addressesOf(r.holders(Owner)), admins: addressesOf(r.holders(Admin))}).Append(dst)
	return append(dst, "</query>"...), nil
}

func addressesOf(all []affiliationChange) []xmpp.JID {
	list := make([]xmpp.JID, len(all))
	for i := range all {
		list[i] = all[i].person
	}
	return list
}

// ownerSet configures a room, or destroys it.
func (m *Rooms) ownerSet(d *feature.Dispatch, q *xmpp.Node) error {
	if n := q.Child("", "destroy"); n != nil {
		return m.ownerDestroy(d, n)
	}
	n := q.Child(xmpp.NSDataForms, "x")
	if n == nil {
		return badRequest("there is neither a form nor <destroy/> in the request")
	}
	f, err := form.Parse(n)
	if err != nil {
		return err
	}
	if f.Type == form.TypeCancel {
		return m.cancel(d)
	}
	if f.Type != form.TypeSubmit {
		return badRequest("the form is to be of the type submit")
	}
	return m.configure(d, f)
}

// cancel leaves the configuration as it is (§10.2). A room that never had one goes (§10.1.3).
func (m *Rooms) cancel(d *feature.Dispatch) error {
	return m.changeFor(d, func(r *room, q request) (act, error) {
		if q.by.affiliation != Owner {
			return act{}, errNotOwner
		}
		return act{apply: func(out *router.Batch) {
			q.succeed(out)
			if r.locked && !r.gone {
				r.destroy(out, destruction{})
			}
		}}, nil
	})
}

// configure puts a form in force that an owner filled in. An empty one accepts what the room has (§10.1.2).
func (m *Rooms) configure(d *feature.Dispatch, f *form.Form) error {
	return m.changeFor(d, func(r *room, q request) (act, error) {
		if q.by.affiliation != Owner {
			return act{}, errNotOwner
		}
		next := r.config
		if err := next.submit(f); err != nil {
			return act{}, err
		}
		changes, err := r.listed(f)
		if err != nil {
			return act{}, err
		}
		if err := r.spend(d.From, r.countPresent(changes)+r.countAffected(&next)); err != nil {
			return act{}, err
		}
		a, err := r.affiliate(changes, q.nick)
		if err != nil {
			return act{}, err
		}
		return r.reconfigure(next, changes, a.apply, q.succeed), nil
	})
}

// listed compares the full lists of owners and admins of a form with those that the room has (§10.2).
func (r *room) listed(f *form.Form) ([]affiliationChange, error) {
	p, owners, admins, err := submitPeople(f)
	if err != nil {
		return nil, err
	}
	next := map[xmpp.JID]Affiliation{}
	mark := func(given bool, list []xmpp.JID, a Affiliation) {
		if !given {
			return
		}
		for _, h := range r.holders(a) {
			if _, there := next[h.person]; !there {
				next[h.person] = Member
			}
		}
		for _, j := range list {
			next[j] = max(next[j], a)
		}
	}
	mark(owners, p.owners, Owner)
	mark(admins, p.admins, Admin)
	var changes []affiliationChange
	for j, a := range next {
		before := r.affiliates[j]
		if before.Affiliation == a || !admins && before.Affiliation == Admin && a < Admin || !owners && before.Affiliation == Owner {
			continue // the list that he is on is not in the form
		}
		if before == (affiliate{}) && !r.m.exists(r.jid, j) {
			return nil, unacceptable("there is nobody of the address %s", j)
		}
		changes = append(changes, affiliationChange{person: j, to: affiliate{Affiliation: a, nick: before.nick}})
	}
	slices.SortFunc(changes, byAddress)
	return changes, r.ownersRemain(changes)
}

// reconfigure plans the change to another configuration, and of affiliations, which affiliated puts in force. first is
// what is done before anybody is told.
func (r *room) reconfigure(next Config, changes []affiliationChange, affiliated, first func(*router.Batch)) act {
	before := r.config
	rec := &stored{r.id, r.created, r.maker, next}
	var a act
	switch {
	case next.Persistent:
		a.write = r.writeAll(rec, changes)
	case before.Persistent:
		a.write = func(tx store.Tx) error {
			if err := tx.Delete(space, keyRoom(r.jid)); err != nil {
				return err
			}
			return eraseIn(tx, r.id)
		}
	}
	a.apply = func(out *router.Batch) {
		fresh := r.locked
		r.config, r.locked = next, false
		r.setVCard(r.vcard)
		r.m.note(r, rec)
		first(out)
		if affiliated != nil {
			affiliated(out)
		}
		r.conform(out, &before)
		if !fresh {
			r.notify(out, changeCodes(&before, &next)...)
		}
		r.emptied(out)
	}
	return a
}

// writeAll puts a room on disk, with some changes of affiliations. One that was not there comes with all that it has.
func (r *room) writeAll(rec *stored, changes []affiliationChange) func(store.Tx) error {
	sub, card, fresh := r.subject, r.vcard, !r.config.Persistent
	if fresh {
		var everybody []affiliationChange
		for j, a := range r.affiliates {
			everybody = append(everybody, affiliationChange{person: j, to: a})
		}
		changes = append(everybody, changes...)
	}
	people := r.writeAffiliations(changes)
	return func(tx store.Tx) error {
		if err := tx.Put(space, keyRoom(r.jid), rec.append(nil)); err != nil {
			return err
		}
		if fresh && sub.nick != "" {
			if err := tx.Put(space, keyOf('s', r.id), sub.append(nil)); err != nil {
				return err
			}
		}
		if fresh && card.size > 0 {
			if err := writeVCard(r, card)(tx); err != nil {
				return err
			}
		}
		return people(tx)
	}
}

// note keeps the list of the persistent rooms.
func (m *Rooms) note(r *room, rec *stored) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rec != nil && rec.config.Persistent {
		m.kept[r.jid] = rec
	} else if have := m.kept[r.jid]; have != nil && have.id == r.id {
		delete(m.kept, r.jid)
	}
}

// conform makes the occupants fit the configuration that is in force now.
func (r *room) conform(out *router.Batch, before *Config) {
	if r.config.Moderated != before.Moderated {
		r.voices = nil
	}
	for _, o := range slices.Clone(r.order) {
		r.unveil(out, o, before)
		switch {
		case r.config.MembersOnly && !before.MembersOnly && o.affiliation < Member: // §10.2
			r.remove(out, o, removal{affiliation: o.affiliation, codes: []int{322}})
		case before.Moderated && !r.config.Moderated && o.role == Visitor: // §5.1.2
			r.assign(out, o, standing{o.affiliation, Participant}, note{})
		}
	}
}

// countAffected is how many occupants look different to others in another configuration, see conform.
func (r *room) countAffected(next *Config) (n int) {
	for _, o := range r.order {
		if r.config.Broadcast.has(o.role) != next.Broadcast.has(o.role) || o.role == Visitor && r.config.Moderated && !next.Moderated {
			n++
		}
	}
	return n
}

// unveil has others see an occupant come whose presence is shown from now on, and go whose is not any more (§5.1).
func (r *room) unveil(out *router.Batch, o *occupant, before *Config) {
	v, shown := o.sight(), r.config.Broadcast.has(o.role)
	if shown == before.Broadcast.has(o.role) {
		return
	}
	if !shown {
		v = sight{o, &goodbye, v.jid, note{gone: true}}
	}
	r.present(out, v, r.others(o))
}

// changeCodes says what of a configuration has changed (§10.2.1).
func changeCodes(before, now *Config) (codes []int) {
	if *before == *now {
		return nil
	}
	if before.NonAnonymous != now.NonAnonymous {
		code := 173
		if now.NonAnonymous {
			code = 172
		}
		codes = append(codes, code)
	}
	same := *before
	same.NonAnonymous = now.NonAnonymous
	if same != *now {
		codes = append(codes, 104)
	}
	return codes
}

// ownerDestroy closes a room (§10.9).
func (m *Rooms) ownerDestroy(d *feature.Dispatch, n *xmpp.Node) error {
	why := destruction{reason: n.ChildText("", "reason"), password: n.ChildText("", "password")}
	if j := n.Attr("jid"); j != "" {
		var err error
		if why.alternate, err = xmpp.ParseJID(j); err != nil {
			return err
		}
	}
	if len(why.reason) > maxText || len(why.password) > maxText {
		return unacceptable("the reason is too long")
	}
	return m.changeFor(d, func(r *room, q request) (act, error) {
		if r.given != nil || q.by.affiliation != Owner {
			return act{}, errNotOwner
		}
		return r.end(why, q.succeed), nil
	})
}

// end plans the end of a room that people made. Its history stays, under an id that no other room gets.
func (r *room) end(why destruction, last func(*router.Batch)) act {
	return act{
		write: func(tx store.Tx) error {
			if err := tx.Delete(space, keyRoom(r.jid)); err != nil {
				return err
			}
			return eraseIn(tx, r.id)
		},
		apply: func(out *router.Batch) {
			r.m.note(r, nil)
			if !r.gone {
				r.destroy(out, why)
			}
			last(out)
		},
	}
}
