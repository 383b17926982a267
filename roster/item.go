package roster

import (
	"bytes"
	"slices"

	"confab/xmpp"
)

// Item is what a list keeps of one contact: the owner's words for it and where
// the two stand. An Item does not change once it is in a list; a change makes a
// new one.
type Item struct {
	JID xmpp.JID // bare
	Rev uint64   // the revision of the list that last changed what it shows of the contact

	Listed  bool // the owner has the contact in the list
	Removed bool // the mark of a removal, for those who were not there to see it

	Name   string
	Groups []string
	// OwnName and OwnGroups: of a contact that comes from elsewhere, the owner
	// wants these and not what its source says.
	OwnName, OwnGroups bool

	State    State
	Approved bool // the contact may subscribe without asking (RFC 6121 §3.4)

	// Request is the contact's <presence type='subscribe'/> as it came, kept
	// until it is answered (§3.1.3).
	Request []byte
}

// empty reports whether nothing is left to be kept.
func (it *Item) empty() bool { return !it.Listed && it.State == None && !it.Approved }

// onlyWords reports whether an item is nothing but what the owner calls a contact
// that comes from elsewhere: without that there is nobody whom it is for.
func (it *Item) onlyWords() bool {
	return (it.OwnName || it.OwnGroups) && it.State.bits() == 0 && !it.State.PendingOut() && !it.Approved
}

// looksLike reports whether a list shows the same of both, either of which may be nil.
func (it *Item) looksLike(other *Item) bool {
	a, b := it != nil && it.Listed, other != nil && other.Listed
	if !a || !b {
		return a == b
	}
	return it.Name == other.Name && slices.Equal(it.Groups, other.Groups) &&
		it.OwnName == other.OwnName && it.OwnGroups == other.OwnGroups &&
		it.State.bits() == other.State.bits() && it.State.PendingOut() == other.State.PendingOut() &&
		it.Approved == other.Approved
}

func (it *Item) equal(other *Item) bool {
	if it == nil || other == nil {
		return it == other
	}
	return it.Listed == other.Listed && it.Removed == other.Removed && it.State == other.State &&
		it.Approved == other.Approved && it.looksLike(other) && bytes.Equal(it.Request, other.Request)
}

// Contact is somebody who is in a list because a Source says so.
type Contact struct {
	JID    xmpp.JID
	Name   string
	Groups []string
	To     bool // the viewer gets the contact's presence
	From   bool // the contact gets the viewer's presence
}

// shown is a contact as a list shows it: a Contact, an Item or one over the other.
type shown struct {
	jid      xmpp.JID
	name     string
	groups   []string
	bits     uint8
	ask      bool
	approved bool
}

// merge lays an item over what a source says of the same contact; either may
// be missing. It is not ok if the list does not show the contact.
func merge(c *Contact, it *Item) (s shown, ok bool) {
	if c == nil && it != nil && (!it.Listed || it.onlyWords()) {
		return shown{}, false
	}
	switch {
	case c == nil && it == nil:
		return shown{}, false
	case c == nil:
		return shown{it.JID, it.Name, it.Groups, it.State.bits(), it.State.PendingOut(), it.Approved}, true
	}
	s = shown{jid: c.JID, name: c.Name, groups: c.Groups}
	if c.To {
		s.bits |= bitTo
	}
	if c.From {
		s.bits |= bitFrom
	}
	if it == nil {
		return s, true
	}
	if it.OwnName {
		s.name = it.Name
	}
	if it.OwnGroups {
		s.groups = it.Groups
	}
	s.bits |= it.State.bits()
	s.ask = it.State.PendingOut() && s.bits&bitTo == 0
	s.approved = it.Approved && s.bits&bitFrom == 0
	return s, true
}

// append appends the <item/> (RFC 6121 §2.1.2).
func (s *shown) append(dst []byte) []byte {
	dst = append(dst, "<item"...)
	dst = xmpp.AppendAttr(dst, "jid", s.jid.String())
	if s.name != "" {
		dst = xmpp.AppendAttr(dst, "name", s.name)
	}
	dst = append(dst, " subscription='"...)
	dst = append(dst, subscriptions[s.bits]...)
	dst = append(dst, '\'')
	if s.ask {
		dst = append(dst, " ask='subscribe'"...)
	}
	if s.approved {
		dst = append(dst, " approved='true'"...)
	}
	if len(s.groups) == 0 {
		return append(dst, "/>"...)
	}
	dst = append(dst, '>')
	for _, g := range s.groups {
		dst = append(dst, "<group>"...)
		dst = xmpp.AppendText(dst, g)
		dst = append(dst, "</group>"...)
	}
	return append(dst, "</item>"...)
}

// appendRemoved appends the <item/> of a contact that is not in the list (any more).
func appendRemoved(dst []byte, j xmpp.JID) []byte {
	dst = append(dst, "<item"...)
	dst = xmpp.AppendAttr(dst, "jid", j.String())
	return append(dst, " subscription='remove'/>"...)
}
