package aliasbridge

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"confab/roster"
	"confab/xmpp"
	"confab/xmpp/directory"
)

// view is an alias at a moment, as it looks in rosters.
type view struct {
	alias *directory.Alias
	reach *directory.Reach // for those that only members see
}

// sees reports whether a viewer has the alias in the roster.
func (v *view) sees(viewer *directory.User) bool {
	if v == nil || v.alias.Kind != directory.ContactAlias || viewer.Domain != v.alias.Domain {
		return false
	}
	switch v.alias.Settings.Get("visible") {
	case directory.VisibleHidden:
		return false
	case directory.VisibleMembers:
		if v.reach == nil {
			return false
		}
		_, member := v.reach.Member(viewer.ID)
		return member
	}
	return true
}

// like reports whether two views look the same to everybody.
func (v *view) like(o *view) bool {
	if v == nil || o == nil {
		return v == o
	}
	a, b := v.alias, o.alias
	if a.JID != b.JID || a.Shown() != b.Shown() || a.Kind != b.Kind || a.Settings.Get("visible") != b.Settings.Get("visible") {
		return false
	}
	return a.Settings.Get("visible") != directory.VisibleMembers || sameUsers(v.reach, o.reach)
}

func sameUsers(a, b *directory.Reach) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return slices.EqualFunc(a.Users, b.Users, func(x, y directory.Reached) bool { return x.User.ID == y.User.ID })
}

// maxLog is how many changes of a domain's contacts are kept, for rosters that are brought up to date.
const maxLog = 2000

// book is what a domain's rosters know of its aliases.
type book struct {
	domain *directory.Domain

	revision atomic.Uint64 // up to which rosters were told

	mu    sync.Mutex // guards the log
	log   []roster.Change
	since uint64 // the log holds everything behind this revision

	views map[directory.ID]*view // of the goroutine that the directory calls
}

func newBook(b *Bridge, m *directory.Domain) *book {
	k := &book{domain: m, views: map[directory.ID]*view{}}
	all, revision := m.Aliases()
	for _, a := range all {
		k.views[a.ID] = b.look(a, nil)
	}
	k.since = revision
	k.revision.Store(revision)
	return k
}

// look looks at an alias; it is the view from before, which may be nil, if that is the same.
func (b *Bridge) look(a *directory.Alias, before *view) *view {
	v := &view{alias: a}
	if a.Settings.Get("visible") == directory.VisibleMembers {
		v.reach = b.dir.Reach(a.ID)
	}
	if before != nil && *before == *v {
		return before
	}
	return v
}

// difference brings the views up to date and returns how they changed: first those that are gone, then the others in the
// order of their addresses.
func (k *book) difference(b *Bridge) (changes []roster.Change) {
	all, revision := k.domain.Aliases()
	next := make(map[directory.ID]*view, len(all))
	revise := func(old, now *view) {
		if old == now || old.like(now) {
			return
		}
		ch := roster.Change{}
		if old != nil {
			ch.JID, ch.Old = old.alias.JID, b.contactIn(old)
		}
		if now != nil {
			ch.JID, ch.New = now.alias.JID, b.contactIn(now)
		}
		changes = append(changes, ch)
	}
	for id, old := range k.views {
		if b.dir.AliasByID(id) == nil {
			revise(old, nil)
		}
	}
	for _, a := range all {
		next[a.ID] = b.look(a, k.views[a.ID])
		revise(k.views[a.ID], next[a.ID])
	}
	k.views = next
	first := k.revision.Load() + 1
	for i := range changes {
		changes[i].Revision = first + uint64(i)
		if i == len(changes)-1 {
			changes[i].Revision = max(revision, changes[i].Revision)
		}
	}
	return changes
}

// write puts a change into the log; from now on rosters are at its revision.
func (k *book) write(ch roster.Change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.log = append(k.log, ch); len(k.log) > maxLog {
		k.since = k.log[len(k.log)-maxLog-1].Revision
		k.log = slices.Clone(k.log[len(k.log)-maxLog:])
	}
	k.revision.Store(ch.Revision)
}

func (b *Bridge) contactIn(v *view) func(*directory.User) (roster.Contact, bool) {
	return func(viewer *directory.User) (roster.Contact, bool) {
		if !v.sees(viewer) {
			return roster.Contact{}, false
		}
		return roster.Contact{JID: v.alias.JID, Name: v.alias.Shown(), Groups: []string{b.opts.Group}, To: true, From: true}, true
	}
}

// contacts is the Bridge as a roster.Source.
type contacts struct{ b *Bridge }

// Contacts returns the aliases that are in rosters.
func (b *Bridge) Contacts() roster.Source { return contacts{b} }

func (c contacts) Revision(domain string) uint64 {
	if k := c.b.books[domain]; k != nil {
		return k.revision.Load()
	}
	return 0
}

func (c contacts) Contacts(viewer *directory.User) iter.Seq[roster.Contact] {
	return func(yield func(roster.Contact) bool) {
		m := c.b.dir.Domain(viewer.Domain)
		if m == nil {
			return
		}
		all, _ := m.Aliases()
		for _, a := range all {
			if contact, ok := c.b.contactIn(c.b.look(a, nil))(viewer); ok && !yield(contact) {
				return
			}
		}
	}
}

func (c contacts) Contact(viewer *directory.User, contact xmpp.JID) (roster.Contact, bool) {
	a := c.b.dir.Alias(contact)
	if a == nil {
		return roster.Contact{}, false
	}
	return c.b.contactIn(c.b.look(a, nil))(viewer)
}

func (c contacts) Changes(domain string, since uint64) ([]roster.Change, bool) {
	k := c.b.books[domain]
	if k == nil {
		return nil, since == 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if since == k.revision.Load() {
		return nil, true
	}
	if since == k.since {
		return slices.Clone(k.log), true
	}
	for i := range k.log {
		if k.log[i].Revision == since {
			return slices.Clone(k.log[i+1:]), true
		}
	}
	return nil, false
}

func (c contacts) Presence(viewer *directory.User, contact xmpp.JID, yield func([]byte)) {
	c.b.show(viewer, contact, yield)
}
