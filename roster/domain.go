package roster

import (
	"slices"
	"strings"
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// Mode says who is in people's lists because they are on the same domain.
type Mode string

const (
	Auto   Mode = "auto"   // All, or Groups on a domain of very many users
	All    Mode = "all"    // everybody
	Groups Mode = "groups" // those who share a group of the directory
	Off    Mode = "off"    // nobody: a plain RFC 6121 server
)

// reach is a Mode in force on a domain.
type reach uint8

const (
	nobody reach = iota
	departments
	everybody
)

// reach tells how far people see on a domain at s.
func (r *Roster) reach(s *directory.Snapshot) reach {
	switch r.opts.Mode {
	case Off:
		return nobody
	case Groups:
		return departments
	case Auto:
		if s.Listed > r.opts.AutoLimit { // who is in nobody's list does not make lists long
			return departments
		}
	}
	return everybody
}

// sees reports whether a viewer gets the presence of a subject, another user of
// the same domain. Hidden users see and are not seen.
func (e reach) sees(viewer, subject *directory.User) bool {
	if e == nobody || subject.Hidden || subject.Disabled || viewer.Disabled ||
		viewer.ID == subject.ID || viewer.Domain != subject.Domain {
		return false
	}
	return e == everybody || shareGroup(viewer, subject)
}

func shareGroup(a, b *directory.User) bool {
	for _, g := range a.Groups {
		if slices.Contains(b.Groups, g) {
			return true
		}
	}
	return false
}

// contact is a subject as a viewer's list has it.
func (r *Roster) contact(e reach, viewer, subject *directory.User) (c Contact, ok bool) {
	if !e.sees(viewer, subject) {
		return Contact{}, false
	}
	c = Contact{JID: subject.JID, Name: subject.Name, Groups: subject.Groups, To: true, From: e.sees(subject, viewer)}
	switch {
	case len(c.Groups) == 0:
		c.Groups = []string{r.opts.Group}
	case e == departments: // the other groups of a colleague are not the viewer's
		c.Groups = slices.DeleteFunc(slices.Clone(c.Groups), func(g string) bool {
			return !slices.Contains(viewer.Groups, g)
		})
	}
	return c, true
}

func (c *Contact) equal(other *Contact) bool {
	return c.JID == other.JID && c.Name == other.Name && c.To == other.To && c.From == other.From &&
		slices.Equal(c.Groups, other.Groups)
}

// commons is what the viewers of a domain have in common in their rosters: the
// items, written once for each revision and each kind of viewer.
type commons struct {
	mu    sync.Mutex
	at    *directory.Snapshot
	lists map[string]*list // by what tells kinds of viewers apart
}

// maxLists bounds the kinds of viewers whose lists are kept.
const maxLists = 64

// list is the items of all users whom a kind of viewer sees, the viewers
// themselves among them.
type list struct {
	bytes  []byte
	locals []string // in order
	ends   []int    // where the item of each ends
}

// list returns the items for viewers like this one.
func (k *commons) list(r *Roster, s *directory.Snapshot, viewer *directory.User) *list {
	e := r.reach(s)
	kind := ""
	if e == departments {
		groups := slices.Clone(viewer.Groups)
		slices.Sort(groups)
		kind = strings.Join(groups, "\x00")
	}
	if viewer.Hidden {
		kind = "\x01" + kind
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at != s {
		k.at, k.lists = s, map[string]*list{}
	}
	l := k.lists[kind]
	if l == nil {
		if len(k.lists) >= maxLists {
			clear(k.lists)
		}
		l = r.write(s, e, viewer)
		k.lists[kind] = l
	}
	return l
}

// write writes the list of a kind of viewer.
func (r *Roster) write(s *directory.Snapshot, e reach, viewer *directory.User) *list {
	anyone := *viewer
	anyone.ID, anyone.JID, anyone.Local = 0, xmpp.JID{}, "" // sees the viewer too
	l := &list{}
	for _, u := range s.Users {
		c, ok := r.contact(e, &anyone, u)
		if !ok {
			continue
		}
		it, _ := merge(&c, nil)
		l.bytes = it.append(l.bytes)
		l.locals = append(l.locals, u.Local)
		l.ends = append(l.ends, len(l.bytes))
	}
	return l
}

// appendWithout appends the items of all but some localparts, given in order.
func (l *list) appendWithout(dst []byte, skip []string) []byte {
	dst = slices.Grow(dst, len(l.bytes))
	from := 0
	for _, local := range skip {
		i, found := slices.BinarySearch(l.locals, local)
		if !found {
			continue
		}
		start := 0
		if i > 0 {
			start = l.ends[i-1]
		}
		dst = append(dst, l.bytes[from:start]...)
		from = l.ends[i]
	}
	return append(dst, l.bytes[from:]...)
}
