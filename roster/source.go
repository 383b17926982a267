package roster

import (
	"hash/fnv"
	"iter"
	"strconv"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// Source is contacts that come from elsewhere than people's own lists. They are
// merged into a list when it is read. What a viewer sees depends on the viewer,
// and may change while he looks: the source tells by Roster.Changed.
type Source interface {
	// Revision counts what changes in a domain's contacts. It must not come
	// again to a value that it had in another past, as before the restoration
	// of a backup.
	Revision(domain string) uint64
	// Contacts yields what a viewer has from here.
	Contacts(viewer *directory.User) iter.Seq[Contact]
	// Contact returns one of them.
	Contact(viewer *directory.User, contact xmpp.JID) (Contact, bool)
	// Changes returns what happened after a revision, in order; a contact may
	// be in it several times. It is not ok if that cannot be told.
	Changes(domain string, since uint64) (changes []Change, ok bool)
	// Presence calls yield with each presence that a viewer has to have of a
	// contact, or of all contacts if it is zero: whole stanzas with from and
	// without to.
	Presence(viewer *directory.User, contact xmpp.JID, yield func(stanza []byte))
	// Reblock is called before a change of what a user blocks. What it returns
	// is called once the change is in force, and has presence follow it; both
	// run under locks of the roster.
	Reblock(owner *directory.User) (after func(out *router.Batch))
}

// Change says how a contact of a Source looked to each viewer and how it looks
// now. A nil function means that nobody sees or saw it.
type Change struct {
	Revision uint64
	JID      xmpp.JID
	Old, New func(viewer *directory.User) (Contact, bool)
}

func look(at func(*directory.User) (Contact, bool), viewer *directory.User) (s sighting) {
	if at != nil {
		s.Contact, s.there = at(viewer)
	}
	return s
}

// covered reports which directions of presence between a user and a contact
// are not theirs to decide: to, that the user gets the contact's, and from.
func (r *Roster) covered(user *directory.User, contact xmpp.JID) (to, from bool) {
	if contact.Domain() == user.Domain && contact.Local() != "" {
		if other := r.dir.User(contact); other != nil {
			e := r.reach(r.dir.Domain(user.Domain).Snapshot())
			return e.sees(user, other), e.sees(other, user)
		}
	}
	for _, src := range r.opts.Sources {
		if c, ok := src.Contact(user, contact); ok {
			return c.To, c.From
		}
	}
	return false, false
}

// foreign returns the contact as a source has it.
func (r *Roster) foreign(viewer *directory.User, contact xmpp.JID) (Contact, bool) {
	if contact.Domain() == viewer.Domain && contact.Local() != "" {
		if other := r.dir.User(contact); other != nil {
			return r.contact(r.reach(r.dir.Domain(viewer.Domain).Snapshot()), viewer, other)
		}
	}
	for _, src := range r.opts.Sources {
		if c, ok := src.Contact(viewer, contact); ok {
			return c, true
		}
	}
	return Contact{}, false
}

// versionAt is the version of everything but the personal part, for a domain at a moment.
func (r *Roster) versionAt(domain string, at moment) version {
	v := version{view: r.view(at.reach), sources: make([]uint64, 1, 1+len(r.opts.Sources))}
	if at.reach != nobody {
		v.sources[0] = at.revision
	}
	for _, src := range r.opts.Sources {
		v.sources = append(v.sources, src.Revision(domain))
	}
	return v
}

// view names the store and what the settings make of it.
func (r *Roster) view(e reach) string {
	h := fnv.New32a()
	h.Write([]byte{byte(e)})
	h.Write([]byte(r.opts.Group))
	return r.dir.Epoch() + strconv.FormatUint(uint64(h.Sum32()), 36)
}
