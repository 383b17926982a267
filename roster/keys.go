package roster

import (
	"encoding/binary"
	"errors"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Space roster, by the first byte of the key:
//
//	m ID        what is known of a list as a whole
//	i ID jid    a contact, or the mark of one that was removed
//
// IDs are 8 bytes, big endian, so that the contacts of one owner lie together.
const space store.Space = "roster"

func keyMeta(owner directory.ID) []byte {
	return binary.BigEndian.AppendUint64([]byte("m"), uint64(owner))
}

func prefixItems(owner directory.ID) []byte {
	return binary.BigEndian.AppendUint64([]byte("i"), uint64(owner))
}

func keyItem(owner directory.ID, contact xmpp.JID) []byte {
	return append(prefixItems(owner), contact.String()...)
}

const prefixLen = 1 + 8

var errRecord = errors.New("roster: damaged record")

const layout = 1

// keepRecent is how many revisions of a list are known one by one.
const keepRecent = 64

// meta is what is known of a list as a whole. Revisions are times in
// microseconds, so that a store which went back to a backup does not come again
// to those that it gave out in between; a revision that is not among the recent
// ones may be such a lost one, and nothing can be told from it.
type meta struct {
	recent   []uint64 // the last revisions, the latest at the end; not changed in place
	listed   uint64   // how many contacts the list has
	marks    uint64   // how many removals are remembered
	requests uint64   // how many people ask and are not in the list
}

// rev is the list's revision: every change that it shows moves it up.
func (m *meta) rev() uint64 {
	if len(m.recent) == 0 {
		return 0
	}
	return m.recent[len(m.recent)-1]
}

// next moves the revision up.
func (m *meta) next(now uint64) {
	keep := m.recent[max(0, len(m.recent)-keepRecent+1):]
	m.recent = append(append(make([]uint64, 0, len(keep)+1), keep...), max(now, m.rev()+1))
}

// knows reports whether the changes since a revision can be told.
func (m *meta) knows(rev uint64) bool {
	// Revision 0 is a list that was never touched: all there is came later.
	if rev == 0 {
		return true
	}
	_, found := slices.BinarySearch(m.recent, rev)
	return found
}

func (m *meta) append(dst []byte) []byte {
	dst = append(dst, layout)
	for _, n := range []uint64{m.listed, m.marks, m.requests, uint64(len(m.recent))} {
		dst = binary.AppendUvarint(dst, n)
	}
	last := uint64(0)
	for _, n := range m.recent {
		dst = binary.AppendUvarint(dst, n-last)
		last = n
	}
	return dst
}

func parseMeta(b []byte) (m meta, err error) {
	if b == nil {
		return meta{}, nil
	}
	r := reader{b: b}
	if r.byte() != layout {
		return meta{}, errRecord
	}
	m.listed, m.marks, m.requests = r.uint(), r.uint(), r.uint()
	last := uint64(0)
	for n := r.uint(); n > 0 && !r.failed; n-- {
		last += r.uint()
		m.recent = append(m.recent, last)
	}
	if r.failed || len(r.b) > 0 {
		return meta{}, errRecord
	}
	return m, nil
}

const (
	flagListed = 1 << iota
	flagRemoved
	flagApproved
	flagOwnName
	flagOwnGroups
)

func (it *Item) append(dst []byte) []byte {
	var flags byte
	for _, f := range []struct {
		on  bool
		bit byte
	}{
		{it.Listed, flagListed}, {it.Removed, flagRemoved}, {it.Approved, flagApproved},
		{it.OwnName, flagOwnName}, {it.OwnGroups, flagOwnGroups},
	} {
		if f.on {
			flags |= f.bit
		}
	}
	dst = append(dst, layout, flags, byte(it.State))
	dst = binary.AppendUvarint(dst, it.Rev)
	dst = appendString(dst, it.Name)
	dst = binary.AppendUvarint(dst, uint64(len(it.Groups)))
	for _, g := range it.Groups {
		dst = appendString(dst, g)
	}
	return appendString(dst, it.Request)
}

func appendString[S []byte | string](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// parseItem reads a record and its key; it shares nothing with them.
func parseItem(key, value []byte) (*Item, error) {
	jid, err := xmpp.ParseJID(string(key[prefixLen:]))
	if err != nil {
		return nil, errRecord
	}
	r := reader{b: value}
	if r.byte() != layout {
		return nil, errRecord
	}
	flags := r.byte()
	it := &Item{
		JID: jid, Listed: flags&flagListed != 0, Removed: flags&flagRemoved != 0, Approved: flags&flagApproved != 0,
		OwnName: flags&flagOwnName != 0, OwnGroups: flags&flagOwnGroups != 0,
		State: State(r.byte()), Rev: r.uint(), Name: string(r.bytes()),
	}
	for n := r.uint(); n > 0 && !r.failed; n-- {
		it.Groups = append(it.Groups, string(r.bytes()))
	}
	if b := r.bytes(); len(b) > 0 {
		it.Request = append([]byte(nil), b...)
	}
	if r.failed || len(r.b) > 0 || it.State > Both {
		return nil, errRecord
	}
	return it, nil
}

// reader takes values off the front of a record, zero ones once it has failed.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) fail() { r.b, r.failed = nil, true }
