package directory

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"confab/xmpp"
)

// Domain is one domain that is served here. Domains never see one another.
type Domain struct {
	directory *Directory
	jid       xmpp.JID
	state     atomic.Pointer[Snapshot]
	aliases   atomic.Pointer[aliasSnapshot]
}

// Snapshot is a domain at one moment.
type Snapshot struct {
	Revision uint64
	Users    []*User // by localpart, not to be changed
	Listed   int     // how many of them others may see: neither hidden nor disabled

	log []Change // the latest changes, oldest first; grows by appending only
}

// Change is a change of one user. Old is nil if it was added, New is nil if it
// was deleted. Revision is that of the domain after it.
type Change struct {
	Revision uint64
	Old, New *User
}

// Name returns the domain's name.
func (m *Domain) Name() string { return m.jid.Domain() }

// JID returns the domain's address.
func (m *Domain) JID() xmpp.JID { return m.jid }

// Snapshot returns the revision and the users that belong together.
func (m *Domain) Snapshot() *Snapshot { return m.state.Load() }

// Revision tells states of the domain apart: every change that others can see
// moves it up.
func (m *Domain) Revision() uint64 { return m.state.Load().Revision }

// Len is the number of users.
func (m *Domain) Len() int { return len(m.state.Load().Users) }

// Users walks the users in the order of their localparts, as they were when the
// walk began.
func (m *Domain) Users() iter.Seq[*User] { return slices.Values(m.state.Load().Users) }

// Changes returns what others could see change in a domain after the revision
// since, oldest first; a user may be in it several times. It is not ok if since
// is too old or is no revision of this store, so that nothing can be said but
// the whole; a store that was restored from a backup does not know the
// revisions that are lost.
func (d *Directory) Changes(domain string, since uint64) (changes []Change, ok bool) {
	m := d.Domain(domain)
	if m == nil {
		return nil, false
	}
	s := m.Snapshot()
	if since == s.Revision {
		return nil, true
	}
	i, found := slices.BinarySearchFunc(s.log, since, func(c Change, r uint64) int {
		return cmp.Compare(c.Revision, r)
	})
	if !found {
		return nil, false
	}
	return slices.Clip(s.log[i+1:]), true
}

// with returns the snapshot of a domain after edits, those of other domains left
// out; keep is the length of its log.
func (s *Snapshot) with(edits []edit, domain string, keep int) *Snapshot {
	next := &Snapshot{Revision: s.Revision, log: s.log}
	gone := make(map[ID]bool, len(edits))
	var come []*User
	for i := range edits {
		e := &edits[i]
		if e.record.Domain != domain {
			continue
		}
		gone[e.record.ID] = true
		if e.New != nil {
			come = append(come, e.New)
		}
		if e.logged {
			next.Revision = e.Revision
			next.log = append(next.log, e.Change)
		}
	}
	if over := len(next.log) - keep; over > 0 {
		next.log = next.log[over:]
	}
	slices.SortFunc(come, byLocal)
	next.Users = make([]*User, 0, len(s.Users)+len(come))
	for _, u := range s.Users {
		if gone[u.ID] {
			continue
		}
		for len(come) > 0 && come[0].Local < u.Local {
			next.Users = append(next.Users, come[0])
			come = come[1:]
		}
		next.Users = append(next.Users, u)
	}
	next.Users = append(next.Users, come...)
	next.count()
	return next
}

func (s *Snapshot) count() {
	s.Listed = 0
	for _, u := range s.Users {
		if !u.Hidden && !u.Disabled {
			s.Listed++
		}
	}
}

func byLocal(a, b *User) int { return strings.Compare(a.Local, b.Local) }
