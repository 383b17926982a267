package roster

import (
	"slices"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// How fast changes of the directory are pushed: this many pushes at a time, and
// no more than so many to any one client, so that an import of 20,000 people
// keeps neither the server nor the clients from their work. A few changes are
// pushed at once.
const (
	livePushes  = 10_000
	liveChanges = 250
	liveEvery   = 50 * time.Millisecond
)

// live carries what changes in a domain's directory to the clients: the roster
// pushes, and presence both ways.
type live struct {
	r      *Roster
	domain *directory.Domain

	mu      sync.Mutex
	queue   []directory.ID
	before  map[directory.ID]stand // how those in the queue looked when clients last heard of them
	now     moment                 // when the queue is empty
	told    moment                 // up to here the clients know everything
	spent   int                    // pushes since the last pause
	working bool
	paused  bool
}

// moment tells the states of a domain apart.
type moment struct {
	reach    reach
	revision uint64
}

func newLive(r *Roster, m *directory.Domain) *live {
	s := m.Snapshot()
	now := moment{r.reach(s), s.Revision}
	return &live{r: r, domain: m, before: make(map[directory.ID]stand), now: now, told: now}
}

// announced is the version of everything but the personal part that all
// interested clients of a domain know: a push that names a later one would keep
// a client from hearing what is still in the queue.
func (r *Roster) announced(domain string) version {
	return r.versionAt(domain, r.live[domain].known())
}

// known is the moment up to which clients know everything.
func (l *live) known() moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

func (r *Roster) directoryChanged(c directory.Change) {
	u := c.New
	if u == nil {
		u = c.Old
	}
	if l := r.live[u.Domain]; l != nil {
		l.note(u.ID, c)
		l.work()
	}
}

// note puts a change into the queue.
func (l *live) note(id directory.ID, c directory.Change) {
	now := l.r.reach(l.domain.Snapshot())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.revision = max(l.now.revision, c.Revision)
	if _, ok := l.before[id]; !ok {
		l.before[id] = stand{c.Old, l.now.reach}
		l.queue = append(l.queue, id)
	}
	if now != l.now.reach { // everybody looks different to everybody
		for _, u := range l.domain.Snapshot().Users {
			if _, ok := l.before[u.ID]; !ok {
				l.before[u.ID] = stand{u, l.now.reach}
				l.queue = append(l.queue, u.ID)
			}
		}
		l.r.host.Log.Info("the domain roster changes over", "domain", l.domain.Name(), "users", l.domain.Len(),
			"groups", now == departments)
		l.now.reach = now
	}
	l.r.Stats.Waiting.Store(int64(len(l.queue)))
}

// work carries out what is in the queue, up to what may be pushed at a time. One
// goroutine does it, whichever comes first.
func (l *live) work() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.working || l.paused {
		return
	}
	l.working = true
	defer func() { l.working = false }()
	for len(l.queue) > 0 {
		if l.spent >= livePushes {
			l.paused = true
			return
		}
		if l.spent == 0 {
			l.r.host.Clock.AfterFunc(liveEvery, l.refill)
		}
		id := l.queue[0]
		l.queue = l.queue[1:]
		change := transition{id: id, old: l.before[id], now: stand{l.r.dir.ByID(id), l.now.reach}, told: l.told}
		delete(l.before, id)
		if len(l.queue) == 0 {
			change.told = l.now
			l.queue = nil
		}
		l.r.Stats.Waiting.Store(int64(len(l.queue)))
		n := l.outside(func() int { return l.carryOut(&change) })
		if n > 0 {
			n = max(n, livePushes/liveChanges)
		}
		l.spent += 1 + n
		l.told = change.told
	}
}

// outside runs fn without the lock.
func (l *live) outside(fn func() int) int {
	l.mu.Unlock()
	defer l.mu.Lock()
	return fn()
}

func (l *live) refill() {
	l.mu.Lock()
	l.spent, l.paused = 0, false
	l.mu.Unlock()
	l.work()
}

// view returns how clients know a user.
func (l *live) view(u *directory.User) stand {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v, ok := l.before[u.ID]; ok {
		return v
	}
	return stand{u, l.now.reach}
}

// transition is a change of one user that is being carried out.
type transition struct {
	id       directory.ID
	old, now stand  // user is nil if there is none
	told     moment // what clients know with it
}

// sighting is what a viewer sees of a contact.
type sighting struct {
	Contact
	there bool
}

// sighting is what a viewer sees of a subject; either may be missing.
func (r *Roster) sighting(subject stand, viewer *directory.User) (s sighting) {
	if subject.user != nil && viewer != nil {
		s.Contact, s.there = r.contact(subject.reach, viewer, subject.user)
	}
	return s
}

// carryOut tells everybody of a change, and returns how many pushes it took.
// Who goes out of sight goes offline first; who comes into sight is in the list first.
func (l *live) carryOut(t *transition) (n int) {
	if t.old.reach == nobody && t.now.reach == nobody && !t.returns() {
		return 0
	}
	out := batches.Get().(*router.Batch)
	defer flush(out)
	come := l.redraw(out, t)
	var news []sights
	for _, a := range l.r.host.Router.Domain(l.domain.Name()).Accounts() {
		u := l.r.dir.ByID(a.User)
		switch {
		case u == nil:
		case u.ID == t.id:
			pushed, seen := l.ownView(out, a, t)
			n += pushed
			news = append(news, sights{a, seen})
		default:
			viewer := l.view(u).user
			old, now := l.r.sighting(t.old, viewer), l.r.sighting(t.now, viewer)
			n += l.tell(out, a, u, t.told, difference(&old, &now))
			if t.old.user != nil && now.there && !old.there || t.returns() { // who is new has published nothing
				news = append(news, sights{a, []directory.ID{t.id}})
			}
		}
	}
	l.greet(out, come)
	if t.old.reach == t.now.reach {
		l.r.sighted(news)
	}
	return n
}

// returns reports whether somebody may log in again: what he has published was
// nobody's to see, whether he is a colleague or a contact by subscription.
func (t *transition) returns() bool {
	return t.old.user != nil && t.old.user.Disabled && t.now.user != nil && !t.now.user.Disabled
}

// sights are colleagues who came into an account's sight.
type sights struct {
	viewer   *router.Account
	subjects []directory.ID
}

func (r *Roster) sighted(news []sights) {
	for _, s := range news {
		for _, fn := range r.sight {
			fn(s.viewer, s.subjects)
		}
	}
}

// difference returns the addresses whose items differ between two looks at a
// contact: none, one, or both if it has another address now.
func difference(old, now *sighting) (jids []xmpp.JID) {
	if old.there && (!now.there || old.JID != now.JID) {
		jids = append(jids, old.JID)
	}
	if now.there && (!old.there || !old.equal(&now.Contact)) {
		jids = append(jids, now.JID)
	}
	return jids
}

// ownView tells a user what he sees otherwise because he himself changed, and
// returns who came into his sight.
func (l *live) ownView(out *router.Batch, a *router.Account, t *transition) (n int, seen []directory.ID) {
	if t.old.user == nil || t.now.user == nil ||
		t.old.user.Hidden == t.now.user.Hidden && slices.Equal(t.old.user.Groups, t.now.user.Groups) {
		return 0, nil
	}
	var contacts []xmpp.JID
	for _, u := range l.domain.Snapshot().Users {
		if u.ID == t.id {
			continue
		}
		subject := l.view(u)
		old, now := l.r.sighting(subject, t.old.user), l.r.sighting(subject, t.now.user)
		contacts = append(contacts, difference(&old, &now)...)
		if now.there && !old.there {
			seen = append(seen, u.ID)
		}
	}
	return l.tell(out, a, t.now.user, t.told, contacts), seen
}

// tell pushes contacts of a viewer's list as they are now. The last push names
// the moment that the clients know everything of with it.
func (l *live) tell(out *router.Batch, a *router.Account, viewer *directory.User, told moment, contacts []xmpp.JID) (n int) {
	if len(contacts) == 0 {
		return 0
	}
	c, ok := slot.Peek(a)
	if !ok {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded {
		return 0
	}
	v := l.r.announced(l.domain.Name())
	for i, j := range contacts {
		if i == len(contacts)-1 {
			v = l.r.versionAt(l.domain.Name(), told)
		}
		v.personal = c.meta.rev()
		n += l.r.push(out, a, &v, l.r.appendContact(nil, viewer, j, c.item(j)))
	}
	return n
}

// sight is somebody in somebody's sight, now or before.
type sight struct {
	viewer, subject *row
	saw             bool
}

// redraw puts a change into force on the board. Those who go out of sight go
// offline, in both directions; those who come into sight are returned.
func (l *live) redraw(out *router.Batch, t *transition) (come []sight) {
	b := l.r.boards[l.domain.Name()]
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.rows {
		if w.user.ID != t.id {
			continue
		}
		old := w.stand
		if t.now.user != nil {
			w.stand = t.now
		} else {
			deleted := *w.user
			deleted.Disabled = true
			w.user = &deleted
		}
		for _, v := range b.rows {
			if v.user.ID == t.id {
				continue
			}
			come = l.compare(out, come, sight{v, w, v.sees(&old)})
			come = l.compare(out, come, sight{w, v, old.sees(&v.stand)})
		}
	}
	return come
}

// compare ends a sight that was, and adds one that begins to those that come.
func (l *live) compare(out *router.Batch, come []sight, s sight) []sight {
	viewer, subject := s.viewer.user, s.subject.user
	switch sees := s.viewer.sees(&s.subject.stand); {
	case sees && !s.saw:
		return append(come, s)
	case sees || !s.saw:
	case viewer.Disabled, l.r.parted(s.subject.session, s.viewer.session): // has nothing to hear
	case !subject.Disabled && l.r.subscribed(subject, viewer.JID):
	default:
		s.viewer.session.Send(out, appendTo(nil, unavailable(s.subject.session.JID()), s.viewer.to))
	}
	return come
}

// subscribed reports whether a contact gets the presence of a user who is
// online because the user's own list says so.
func (r *Roster) subscribed(owner *directory.User, contact xmpp.JID) bool {
	c := r.known(owner)
	return c != nil && slices.Contains(c.subscribers(), contact)
}

// greet shows those to one another who came into sight.
func (l *live) greet(out *router.Batch, come []sight) {
	if len(come) == 0 {
		return
	}
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	b := l.r.boards[l.domain.Name()]
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range come {
		if s.subject.index >= 0 && s.viewer.index >= 0 && s.viewer.sees(&s.subject.stand) && !b.parted(s.subject.session, s.viewer.session) {
			*buf = appendTo((*buf)[:0], s.subject.stanza, s.viewer.to)
			s.viewer.session.Send(out, *buf)
		}
	}
	l.r.Stats.Presences.Add(int64(len(come)))
}

// Changed pushes a change of a Source's contact to all of the domain for whom it
// makes a difference. Presence is the source's own to send.
func (r *Roster) Changed(out *router.Batch, domain string, ch Change) {
	l := r.live[domain]
	if l == nil {
		return
	}
	for _, a := range r.host.Router.Domain(domain).Accounts() {
		u := r.dir.ByID(a.User)
		if u == nil {
			continue
		}
		old, now := look(ch.Old, u), look(ch.New, u)
		l.tell(out, a, u, l.known(), difference(&old, &now))
	}
}
