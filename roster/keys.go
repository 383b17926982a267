package roster

import (
	"encoding/binary"
	"errors"

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

// meta is what is known of a list as a whole.
type meta struct {
	rev      uint64 // counts the changes that the list shows
	horizon  uint64 // removals up to this revision have no mark any more
	listed   uint64 // how many contacts the list has
	marks    uint64 // how many removals are remembered
	requests uint64 // how many people ask and are not in the list
}

func (m *meta) append(dst []byte) []byte {
	dst = append(dst, layout)
	for _, n := range []uint64{m.rev, m.horizon, m.listed, m.marks, m.requests} {
		dst = binary.AppendUvarint(dst, n)
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
	m = meta{r.uint(), r.uint(), r.uint(), r.uint(), r.uint()}
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
