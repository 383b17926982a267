package blocking

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"confab/xmpp"
)

// list is what somebody blocks. One that is in force does not change.
type list struct {
	items   map[xmpp.JID]struct{}
	domains int // items of the form domain/resource, which are rare
}

func newList() *list { return &list{items: map[xmpp.JID]struct{}{}} }

func (l *list) add(j xmpp.JID) {
	if _, has := l.items[j]; has {
		return
	}
	l.items[j] = struct{}{}
	if j.IsFull() && j.Local() == "" {
		l.domains++
	}
}

// covers reports whether the list names an address or what it belongs to (§5).
func (l *list) covers(j xmpp.JID) bool {
	if len(l.items) == 0 {
		return false
	}
	if l.has(j) || l.has(j.DomainJID()) || j.IsFull() && l.has(j.Bare()) {
		return true
	}
	if l.domains == 0 || !j.IsFull() || j.Local() == "" {
		return false
	}
	r, err := j.DomainJID().WithResource(j.Resource())
	return err == nil && l.has(r)
}

func (l *list) has(j xmpp.JID) bool {
	_, has := l.items[j]
	return has
}

// covering returns the addresses that cover an address; some may be zero.
func covering(j xmpp.JID) (c [4]xmpp.JID) {
	c[0], c[1] = j, j.DomainJID()
	if j.IsFull() && j.Local() != "" {
		c[2] = j.Bare()
		if r, err := j.DomainJID().WithResource(j.Resource()); err == nil {
			c[3] = r
		}
	}
	return c
}

// with returns the list with items, without returns it without them.
func (l *list) with(items []xmpp.JID) *list {
	next := &list{items: maps.Clone(l.items), domains: l.domains}
	for _, j := range items {
		next.add(j)
	}
	return next
}

func (l *list) without(items []xmpp.JID) *list {
	next := newList()
	for j := range l.items {
		if !slices.Contains(items, j) {
			next.add(j)
		}
	}
	return next
}

// length is how many bytes the addresses have.
func (l *list) length() (n int) {
	for j := range l.items {
		n += len(j.String())
	}
	return n
}

// minus returns what is in a list and not in another, in order.
func (l *list) minus(other *list) (rest []xmpp.JID) {
	for j := range l.items {
		if !other.has(j) {
			rest = append(rest, j)
		}
	}
	slices.SortFunc(rest, func(a, b xmpp.JID) int { return cmp.Compare(a.String(), b.String()) })
	return rest
}

// all is what the list names, in order.
func (l *list) all() iter.Seq[xmpp.JID] { return slices.Values(l.minus(newList())) }

// appendItems appends <item/> elements.
func appendItems(dst []byte, items iter.Seq[xmpp.JID]) []byte {
	for j := range items {
		dst = append(xmpp.AppendAttr(append(dst, "<item"...), "jid", j.String()), "/>"...)
	}
	return dst
}
