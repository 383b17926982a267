package notices

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// visit is something that was seen of a user.
type visit struct {
	user  directory.ID
	login time.Time // not zero: logged in
	here  bool      // became available
}

// book keeps the records of users, and has them told what they have not heard.
// Nobody who logs in waits for that: those who come within a moment share a
// commit, unless there may be something to tell.
type book struct {
	*Notices

	mu      sync.Mutex
	idle    *sync.Cond // the work has stopped
	queue   []visit
	pause   xmpp.Timer // not nil: the queue waits for more
	working bool
}

const gathering = time.Second

func (b *book) open(n *Notices) {
	b.Notices = n
	b.idle = sync.NewCond(&b.mu)
	n.host.Directory.OnDelete(func(tx store.Tx, id directory.ID) error { return tx.Delete(space, keyUser(id)) })
}

func (b *book) note(v visit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, v)
	b.next(v.here && b.stands(v.user))
}

// next sees to it that the queue is worked off: now or in a moment. Call with
// b.mu held.
func (b *book) next(now bool) {
	switch {
	case b.working || len(b.queue) == 0:
	case now:
		if b.pause != nil {
			b.pause.Stop()
			b.pause = nil
		}
		b.working = true
		go b.work()
	case b.pause == nil:
		b.pause = b.host.Clock.AfterFunc(gathering, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.next(true)
		})
	}
}

// stands reports whether a notice stands that a user might not have heard.
func (b *book) stands(id directory.ID) bool {
	u := b.host.Directory.ByID(id)
	if u == nil {
		return false
	}
	_, welcome := b.Standing(u.Domain, Welcome)
	_, motd := b.Standing(u.Domain, MOTD)
	return welcome || motd
}

// work works off what is in the queue.
func (b *book) work() {
	b.mu.Lock()
	batch := b.queue
	b.queue = nil
	b.mu.Unlock()
	if err := b.receive(batch); err != nil {
		b.host.Log.Error("visits of users could not be noted", "users", len(batch), "error", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.working = false
	b.idle.Broadcast()
	b.next(slices.ContainsFunc(b.queue, func(v visit) bool { return v.here && b.stands(v.user) }))
}

// flush waits until everything is written.
func (b *book) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.working || len(b.queue) > 0 {
		b.next(true)
		b.idle.Wait()
	}
}

// receive notes visits and tells the visitors what they have not heard.
func (b *book) receive(batch []visit) error {
	ctx := context.Background()
	records := map[directory.ID]*record{}
	err := b.host.State.View(ctx, func(tx store.Tx) error {
		for _, v := range batch {
			r := parseRecord(tx.Get(space, keyUser(v.user)))
			records[v.user] = &r
		}
		return nil
	})
	if err != nil {
		return err
	}
	before := map[directory.ID]record{}
	for id, r := range records {
		before[id] = *r
	}
	here := map[directory.ID]bool{}
	for _, v := range batch {
		r := records[v.user]
		if !v.login.IsZero() {
			r.logins, r.last = r.logins+1, v.login.UnixMicro()
			if r.first == 0 {
				r.first = r.last
			}
		}
		if v.here {
			here[v.user] = true
		}
	}
	b.tell(here, records)
	maps.DeleteFunc(records, func(id directory.ID, r *record) bool { return *r == before[id] || b.host.Directory.ByID(id) == nil })
	if len(records) == 0 {
		return nil
	}
	return b.host.State.Update(ctx, func(tx store.Tx) error {
		for id, r := range records {
			if err := tx.Put(space, keyUser(id), r.encode()); err != nil {
				return err
			}
		}
		return nil
	})
}

// tell sends what users have not heard, and notes that they have: after it is in
// their history, so that a crash repeats it rather than losing it.
func (b *book) tell(here map[directory.ID]bool, records map[directory.ID]*record) {
	all := map[string][]letter{}
	marks := map[string][]func(){}
	for id := range here {
		u, r := b.host.Directory.ByID(id), records[id]
		if u == nil {
			continue
		}
		if r.welcomed == 0 {
			if s, ok := b.Standing(u.Domain, Welcome); ok {
				all[u.Domain] = append(all[u.Domain], letter{u, s.Text})
			}
			marks[u.Domain] = append(marks[u.Domain], func() { r.welcomed = 1 })
		}
		if s, ok := b.Standing(u.Domain, MOTD); ok && r.motd != s.Set.UnixMicro() {
			all[u.Domain] = append(all[u.Domain], letter{u, s.Text})
			marks[u.Domain] = append(marks[u.Domain], func() { r.motd = s.Set.UnixMicro() })
		}
	}
	for domain, done := range marks {
		if _, err := b.send(domain, all[domain]); err != nil {
			b.host.Log.Error("notices could not be sent", "domain", domain, "error", err)
			continue
		}
		for _, mark := range done {
			mark()
		}
	}
}

// Attendance is when somebody logged in.
type Attendance struct {
	First, Last time.Time
	Logins      int64
}

// Attendance returns when a user logged in; ok is false if that never happened.
func (n *Notices) Attendance(ctx context.Context, id directory.ID) (a Attendance, ok bool, err error) {
	n.book.flush()
	var r record
	err = n.host.State.View(ctx, func(tx store.Tx) error {
		r = parseRecord(tx.Get(space, keyUser(id)))
		return nil
	})
	if err != nil || r.logins == 0 {
		return a, false, err
	}
	return Attendance{time.UnixMicro(r.first).UTC(), time.UnixMicro(r.last).UTC(), r.logins}, true, nil
}
