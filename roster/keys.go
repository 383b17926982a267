package roster

import (
	"encoding/binary"
	"errors"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/store/record"
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
		dst = record.AppendUint(dst, n)
	}
	last := uint64(0)
	for _, n := range m.recent {
		dst = record.AppendUint(dst, n-last)
		last = n
	}
	return dst
}

func parseMeta(b []byte) (m meta, err error) {
	if b == nil {
		return meta{}, nil
	}
	r := record.Read(b)
	if r.Byte() != layout {
		return meta{}, errRecord
	}
	m.listed, m.marks, m.requests = r.Uint(), r.Uint(), r.Uint()
	last := uint64(0)
	for n := r.Uint(); n > 0 && !r.Failed(); n-- {
		last += r.Uint()
		m.recent = append(m.recent, last)
	}
	if !r.Done() {
		return meta{}, errRecord
	}
	return m, nil
}

func (it *Item) append(dst []byte) []byte {
	dst = record.AppendFlags(append(dst, layout), it.Listed, it.Removed, it.Approved, it.OwnName, it.OwnGroups)
	dst = record.AppendUint(append(dst, byte(it.State)), it.Rev)
	dst = record.AppendStrings(record.AppendString(dst, it.Name), it.Groups)
	return record.AppendString(dst, it.Request)
}

// parseItem reads a record and its key; it shares nothing with them.
func parseItem(key, value []byte) (*Item, error) {
	jid, err := xmpp.ParseJID(string(key[prefixLen:]))
	if err != nil {
		return nil, errRecord
	}
	r := record.Read(value)
	if r.Byte() != layout {
		return nil, errRecord
	}
	it := &Item{JID: jid}
	r.Flags(&it.Listed, &it.Removed, &it.Approved, &it.OwnName, &it.OwnGroups)
	it.State, it.Rev, it.Name, it.Groups = State(r.Byte()), r.Uint(), r.String(), r.Strings()
	if b := r.Bytes(); len(b) > 0 {
		it.Request = append([]byte(nil), b...)
	}
	if !r.Done() || it.State > Both {
		return nil, errRecord
	}
	return it, nil
}
