package roster

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// get answers a request for the roster (RFC 6121 §2.1.3, §2.6). A client whose
// version can be brought up to date gets an empty result and then pushes of
// what changed; any other gets the whole.
func (r *Roster) get(q *feature.Query, dst []byte) ([]byte, error) {
	s, viewer := q.Session, q.User
	if s == nil || viewer == nil {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	c, err := r.contacts(s.Account())
	if err != nil {
		return nil, err
	}
	base, dst := r.answer(q, c, dst)
	// The session becomes interested only now: a push that overtook the result
	// would be undone by it. What changed in between is pushed here.
	q.Then(func() {
		out := batches.Get().(*router.Batch)
		defer flush(out)
		c.mu.Lock()
		defer c.mu.Unlock()
		s.Set(Interested)
		viewer := r.dir.ByID(s.User())
		if viewer == nil {
			return
		}
		if updates, ok := r.since(viewer, c, base); ok {
			r.update(out, s, base, updates)
		}
	})
	return dst, nil
}

// maxDelta is how many changes a client is told one by one: they go out as one piece each, the whole roster as one.
const maxDelta = 500

// answer appends the query element, or nothing if the client's version will
// do, and says from which version on the client is to be told of changes.
func (r *Roster) answer(q *feature.Query, c *contacts, dst []byte) (base version, _ []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text, ok := q.Payload.Attr("ver"); ok {
		if base, ok := parseVersion(text); ok {
			if updates, ok := r.since(q.User, c, base); ok && len(updates) <= maxDelta {
				r.Stats.Deltas.Add(1)
				return base, dst
			}
		}
	}
	snapshot := r.dir.Domain(q.User.Domain).Snapshot()
	base = r.versionAt(q.User.Domain, moment{r.reach(snapshot), snapshot.Revision})
	base.personal = c.meta.rev()
	dst = append(dst, "<query xmlns='jabber:iq:roster' ver='"...)
	dst = base.append(dst)
	dst = append(dst, "'>"...)
	dst = r.appendItems(dst, snapshot, q.User, c)
	r.Stats.Results.Add(1)
	return base, append(dst, "</query>"...)
}

// appendItems appends a whole list. Call with c.mu held.
func (r *Roster) appendItems(dst []byte, snapshot *directory.Snapshot, viewer *directory.User, c *contacts) []byte {
	skip := []string{viewer.Local}
	for j := range c.items {
		if j.Domain() == viewer.Domain && c.item(j) != nil {
			skip = append(skip, j.Local())
		}
	}
	slices.Sort(skip)
	dst = r.boards[viewer.Domain].commons.list(r, snapshot, viewer).appendWithout(dst, slices.Compact(skip))
	own := slices.SortedFunc(maps.Values(c.items), func(a, b *Item) int {
		return strings.Compare(a.JID.String(), b.JID.String())
	})
	for _, it := range own {
		if it.Removed {
			continue
		}
		var source *Contact
		if f, ok := r.foreign(viewer, it.JID); ok {
			source = &f
		}
		if s, ok := merge(source, it); ok {
			dst = s.append(dst)
		}
	}
	for _, src := range r.opts.Sources {
		for f := range src.Contacts(viewer) {
			if c.item(f.JID) == nil {
				s, _ := merge(&f, nil)
				dst = s.append(dst)
			}
		}
	}
	return dst
}

// update is a contact whose place in a viewer's list changed.
type update struct {
	source int // whose revision moved; -1: the list's own
	rev    uint64
	item   []byte
}

// update sends updates to one session. Each carries the version that the
// client has with it, so that a connection may end between any two: of several
// that belong to one revision the last one names it.
func (r *Roster) update(out *router.Batch, s *router.Session, base version, updates []update) {
	v := version{base.view, slices.Clone(base.sources), base.personal}
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	for i, u := range updates {
		switch more := i+1 < len(updates) && updates[i+1].source == u.source && updates[i+1].rev == u.rev; {
		case more:
		case u.source < 0:
			v.personal = u.rev
		default:
			v.sources[u.source] = u.rev
		}
		r.Stats.Pushes.Add(1)
		*buf = r.appendPush((*buf)[:0], s.JID(), &v, u.item)
		s.Send(out, *buf)
	}
}

// since returns what changed in a viewer's list after a version, each contact
// once, in the order of the changes. It is not ok if that cannot be told. Call
// with c.mu held.
func (r *Roster) since(viewer *directory.User, c *contacts, base version) (updates []update, ok bool) {
	snapshot := r.dir.Domain(viewer.Domain).Snapshot()
	e := r.reach(snapshot)
	now := r.versionAt(viewer.Domain, moment{e, snapshot.Revision})
	if base.view != now.view || len(base.sources) != len(now.sources) || !c.meta.knows(base.personal) {
		return nil, false
	}
	if e != nobody {
		changes, ok := r.dir.Changes(viewer.Domain, base.sources[0])
		if !ok {
			return nil, false
		}
		updates = r.directoryUpdates(stand{viewer, e}, c, base.sources[0], changes)
	}
	for i, src := range r.opts.Sources {
		changes, ok := src.Changes(viewer.Domain, base.sources[i+1])
		if !ok {
			return nil, false
		}
		updates = append(updates, r.sourceUpdates(i+1, viewer, c, changes)...)
	}
	return append(updates, r.ownUpdates(viewer, c, base.personal)...), true
}

// ownUpdates returns what the owner changed.
func (r *Roster) ownUpdates(viewer *directory.User, c *contacts, since uint64) (updates []update) {
	for j, it := range c.items {
		if it.Rev > since {
			updates = append(updates, update{-1, it.Rev, r.appendContact(nil, viewer, j, c.item(j))})
		}
	}
	slices.SortFunc(updates, func(a, b update) int { return cmp.Compare(a.rev, b.rev) })
	return updates
}

// sourceUpdates returns what a source changed for a viewer.
func (r *Roster) sourceUpdates(source int, viewer *directory.User, c *contacts, changes []Change) (updates []update) {
	for first, last := range latest(changes, func(ch *Change) xmpp.JID { return ch.JID }) {
		old, now := look(first.Old, viewer), look(last.New, viewer)
		for _, j := range difference(&old, &now) {
			updates = append(updates, update{source, last.Revision, r.appendContact(nil, viewer, j, c.item(j))})
		}
	}
	return updates
}

// latest yields, for each thing that changed, its first and its last change, in
// the order of the last ones.
func latest[C any, K comparable](changes []C, key func(*C) K) func(yield func(first, last *C) bool) {
	return func(yield func(first, last *C) bool) {
		first, last := map[K]int{}, map[K]int{}
		for i := range changes {
			k := key(&changes[i])
			if _, ok := first[k]; !ok {
				first[k] = i
			}
			last[k] = i
		}
		for i := range changes {
			k := key(&changes[i])
			if last[k] == i && !yield(&changes[first[k]], &changes[i]) {
				return
			}
		}
	}
}

// set answers a roster set (RFC 6121 §2.3, §2.4, §2.5). It is on disk, and
// pushed, before its result leaves.
func (r *Roster) set(q *feature.Query, dst []byte) ([]byte, error) {
	owner := q.User
	if q.Session == nil || owner == nil {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	req, err := parseSet(q.Payload.Node(), &r.opts.Limits)
	if err != nil {
		return nil, err
	}
	if req.jid == owner.JID {
		return nil, xmpp.NewError(xmpp.NotAllowed, "nobody is in their own roster")
	}
	source, covered := r.foreign(owner, req.jid)
	switch {
	case req.remove && covered:
		return nil, r.reshow(q.Session, owner, req.jid)
	case req.remove:
		deaf := r.deaf(owner, r.peer(owner, req.jid))
		err = r.deal(context.Background(), func(d *deal) error {
			d.deaf = deaf
			return d.remove(owner, req.jid)
		})
	default:
		err = r.deal(context.Background(), func(d *deal) error { return d.set(owner, &req, &source, covered) })
	}
	return dst, err
}

// reshow shows a client that a contact which it wanted to remove is still there.
func (r *Roster) reshow(s *router.Session, owner *directory.User, contact xmpp.JID) error {
	c, err := r.contacts(s.Account())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := r.announced(owner.Domain)
	v.personal = c.meta.rev()
	r.Stats.Pushes.Add(1)
	s.Send(nil, r.appendPush(nil, s.JID(), &v, r.appendContact(nil, owner, contact, c.item(contact))))
	return xmpp.NewError(xmpp.NotAllowed, "this contact is in the roster of everybody here and cannot be removed; it can be blocked")
}

// directoryUpdates returns what changed in the directory for a viewer since a revision.
func (r *Roster) directoryUpdates(viewer stand, c *contacts, since uint64, changes []directory.Change) (updates []update) {
	was := viewer.user // as he was then
	changed := map[directory.ID]bool{}
	for first, last := range latest(changes, userOf) {
		changed[userOf(last)] = true
		if userOf(last) == viewer.user.ID && first.Old != nil {
			was = first.Old
		}
	}
	add := func(rev uint64, old, now *directory.User) {
		before := r.sighting(stand{old, viewer.reach}, was)
		after := r.sighting(stand{now, viewer.reach}, viewer.user)
		for _, j := range difference(&before, &after) {
			updates = append(updates, update{0, rev, r.appendContact(nil, viewer.user, j, c.item(j))})
		}
	}
	if was != viewer.user {
		// What the viewer's own change makes of the others comes first, and
		// moves no version: it is not told by any one revision.
		for _, u := range r.dir.Domain(was.Domain).Snapshot().Users {
			if !changed[u.ID] {
				add(since, u, u)
			}
		}
	}
	for first, last := range latest(changes, userOf) {
		add(last.Revision, first.Old, last.New)
	}
	return updates
}

func userOf(c *directory.Change) directory.ID {
	if c.New != nil {
		return c.New.ID
	}
	return c.Old.ID
}
