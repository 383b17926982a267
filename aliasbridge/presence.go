package aliasbridge

import (
	"maps"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// status is how available somebody is, reduced to what an alias tells of its members.
type status uint8

const (
	gone status = iota
	away
	busy
	here
)

var shows = [...]string{away: "<show>away</show>", busy: "<show>dnd</show>", here: ""}

// settle is how long changes of presence are gathered before an alias tells of them.
const settle = 2 * time.Second

// membersResource is the one resource that an alias has.
const membersResource = "@members"

// statusOf is the best of an account's sessions.
func (b *Bridge) statusOf(j xmpp.JID) (best status) {
	a := b.host.Router.Account(j)
	if a == nil {
		return gone
	}
	a.Each(func(s *router.Session) {
		p := s.PresenceLocked()
		now := gone
		switch {
		case !p.Available:
		case p.Show == "away" || p.Show == "xa":
			now = away
		case p.Show == "dnd":
			now = busy
		default:
			now = here
		}
		best = max(best, now)
	})
	return best
}

// tally counts people by their status.
type tally [here + 1]int

// status is what an alias shows of those who are counted.
func (t *tally) status() status {
	switch {
	case t[here] > 0:
		return here
	case t[away] > 0:
		return away
	case t[busy] > 0:
		return busy
	}
	return gone
}

// shown is what viewers know of an alias's presence.
type shown struct {
	view  *view
	reach *directory.Reach // as of which it was counted
	jid   xmpp.JID         // with the resource
	mode  string
	told  map[directory.ID]status // of members who are online
	count tally
}

func newShown(b *Bridge, a *directory.Alias) *shown {
	s := &shown{view: b.look(a, nil), reach: b.dir.Reach(a.ID), mode: a.Settings.Get("presence"), told: map[directory.ID]status{}}
	s.jid, _ = a.JID.WithResource(membersResource)
	if s.reach == nil {
		return s
	}
	count := func(id directory.ID) {
		if st := b.online[id]; st != gone && b.counts(s.reach, id) {
			s.told[id] = st
			s.count[st]++
		}
	}
	if len(s.reach.Users) > len(b.online) {
		for id := range b.online {
			count(id)
		}
		return s
	}
	for i := range s.reach.Users {
		count(s.reach.Users[i].User.ID)
	}
	return s
}

// counts reports whether somebody who is online is there for who writes to an alias: its members are, but for those who
// have blocked it, which is opting out of it.
func (b *Bridge) counts(r *directory.Reach, id directory.ID) bool {
	_, member := r.Member(id)
	return member && !b.opts.Blocks(id, r.Alias.JID)
}

// to is what a viewer is shown: nobody is shown himself.
func (s *shown) to(viewer *directory.User) status {
	if s == nil || !s.view.sees(viewer) {
		return gone
	}
	switch s.mode {
	case directory.PresenceAlways:
		return here
	case directory.PresenceNone:
		return gone
	}
	count := s.count
	if own, ok := s.told[viewer.ID]; ok {
		count[own]--
	}
	return count.status()
}

// stanza is a presence without to.
func (s *shown) stanza(st status) []byte {
	b := xmpp.AppendAttr([]byte("<presence"), "from", s.jid.String())
	if st == gone {
		return append(b, " type='unavailable'/>"...)
	}
	update := photoUpdate(&s.view.alias.Avatar)
	if st == here && update == "" {
		return append(b, "/>"...)
	}
	return append(append(append(append(b, '>'), shows[st]...), update...), "</presence>"...)
}

// show yields the presences that a viewer has to have, of one alias or of all.
func (b *Bridge) show(viewer *directory.User, contact xmpp.JID, yield func([]byte)) {
	m := b.dir.Domain(viewer.Domain)
	if m == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	one := func(a *directory.Alias) {
		s := b.shown[a.ID]
		if s == nil || b.opts.Blocks(viewer.ID, s.jid) || s.view.alias != a && !b.look(a, nil).sees(viewer) { // reveal tells no more of it
			return
		}
		if st := s.to(viewer); st != gone || !contact.IsZero() {
			yield(s.stanza(st))
		}
	}
	if contact.IsZero() {
		all, _ := m.Aliases()
		for _, a := range all {
			one(a)
		}
	} else if a := b.dir.Alias(contact); a != nil {
		one(a)
	}
}

// presenceChanged notes that somebody's presence is another one. The roster's lock on that user is held.
func (b *Bridge) presenceChanged(s *router.Session, _, _ router.Presence) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, now := s.User(), b.statusOf(s.JID())
	if b.online[id] == now {
		return
	}
	if now == gone {
		delete(b.online, id)
	} else {
		b.online[id] = now
	}
	b.touch(id)
}

// touch has aliases look again at somebody soon.
func (b *Bridge) touch(id directory.ID) {
	b.dirty[id] = true
	if !b.timer {
		b.timer = true
		b.host.Clock.AfterFunc(settle, b.tell)
	}
}

// tell tells viewers of what became of the aliases' presence.
func (b *Bridge) tell() {
	b.telling.Lock()
	defer b.telling.Unlock()
	b.mu.Lock()
	dirty := b.dirty
	b.dirty, b.timer = map[directory.ID]bool{}, false
	b.mu.Unlock()
	if len(dirty) == 0 {
		return
	}
	for _, m := range b.dir.Domains() {
		b.inTurn(m.Name(), func(out *router.Batch, all audience, a *directory.Alias) {
			if s := b.shown[a.ID]; s != nil && (s.mode == directory.PresenceAggregate || s.view.reach != nil) {
				b.refresh(out, all, s, dirty)
			}
		})
	}
}

// refresh counts those anew who changed, and tells who is shown something else. With a user who is enabled or deleted it can
// be other people who see an alias, too.
func (b *Bridge) refresh(out *router.Batch, all audience, s *shown, dirty map[directory.ID]bool) {
	r := b.dir.Reach(s.view.alias.ID)
	if r == nil || r.Alias != s.view.alias { // aliasesChanged is at it, and counts anew
		return
	}
	if r != s.reach {
		b.replace(out, all, s, newShown(b, s.view.alias))
		return
	}
	next := *s
	recounted := false
	recount := func(id directory.ID) {
		now := gone
		if b.counts(r, id) {
			now = b.online[id]
		}
		was := s.told[id]
		if was == now {
			return
		}
		if !recounted {
			next.told, recounted = maps.Clone(s.told), true
		}
		if was != gone {
			next.count[was]--
		}
		if delete(next.told, id); now != gone {
			next.count[now]++
			next.told[id] = now
		}
	}
	if len(dirty) <= len(r.Users) {
		for id := range dirty {
			recount(id)
		}
	} else { // all of a domain come, and most aliases are of few of them
		for i := range r.Users {
			if id := r.Users[i].User.ID; dirty[id] {
				recount(id)
			}
		}
	}
	if recounted {
		b.replace(out, all, s, &next)
	}
}

// replace puts what viewers are shown of an alias in the place of what they were shown; either may be missing.
func (b *Bridge) replace(out *router.Batch, all audience, old, now *shown) {
	s := old
	if now != nil {
		s = now
		b.shown[now.view.alias.ID] = now
	} else {
		delete(b.shown, old.view.alias.ID)
	}
	for _, l := range all() {
		if is := now.to(l.user); is != old.to(l.user) {
			b.send(out, l.account, s, is)
		}
	}
}

// send tells an account's sessions how an alias is, unless it is blocked. That is asked with the account locked, as it is
// changed: nothing comes behind the farewell.
func (b *Bridge) send(out *router.Batch, account *router.Account, s *shown, is status) {
	b.post(out, account, s.stanza(is), func() bool { return !b.opts.Blocks(account.User, s.jid) })
}

// post sends an account's available sessions a stanza that is without to. allowed is asked with the account locked.
func (b *Bridge) post(out *router.Batch, account *router.Account, stanza []byte, allowed func() bool) {
	stanza = withTo(nil, stanza, account.JID)
	account.Each(func(x *router.Session) {
		if x.PresenceLocked().Available && allowed() {
			x.Send(out, stanza)
			b.Stats.Presences.Add(1)
		}
	})
}

// Reblock follows a change of what a user blocks: who opts out of an alias does not see it any more and is not seen behind
// it, and who opts in again does and is. What it returns is called when the change is in force.
func (c contacts) Reblock(owner *directory.User) (after func(out *router.Batch)) {
	b := c.b
	blocked := func() map[directory.ID]bool {
		now := map[directory.ID]bool{}
		for id, s := range b.shown {
			if s.view.alias.Domain == owner.Domain && b.opts.Blocks(owner.ID, s.jid) {
				now[id] = true
			}
		}
		return now
	}
	b.mu.Lock()
	before := blocked()
	b.mu.Unlock()
	return func(out *router.Batch) {
		b.mu.Lock()
		defer b.mu.Unlock()
		account, now := b.host.Router.Account(owner.JID), blocked()
		for id, s := range b.shown {
			if before[id] == now[id] {
				continue
			}
			b.touch(owner.ID)
			is := s.to(owner)
			if account == nil || is == gone {
				continue
			}
			if now[id] {
				is = gone
			}
			b.post(out, account, s.stanza(is), func() bool { return true })
		}
	}
}

// save tells what is waiting to be told, so that sessions rest with what is true (feature.Restart).
func (b *Bridge) save(*router.Session) []byte {
	b.tell()
	return nil
}

// restore counts a session that is back from its rest. Viewers know of it.
func (b *Bridge) restore(s *router.Session, _ []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, now := s.User(), b.statusOf(s.JID())
	was := b.online[id]
	if was == now {
		return nil
	}
	b.online[id] = now
	for aliasID, shown := range b.shown {
		r := b.dir.Reach(aliasID)
		if r == nil || !b.counts(r, id) {
			continue
		}
		if was != gone {
			shown.count[was]--
		}
		shown.count[now]++
		shown.told[id] = now
	}
	return nil
}
