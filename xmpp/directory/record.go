package directory

import (
	"encoding/binary"
	"errors"
	"time"

	"confab/xmpp"
)

// Space directory, by the first byte of the key:
//
//	e                           the epoch
//	n                           the next ID, 8 bytes
//	u ID                        a user or the tombstone of one
//	c domain 0 revision         a change, see Domain.Changes
//	a ID                        an alias or the tombstone of one
//	p ID                        the picture of an alias
//	r domain                    the revision of the aliases, 8 bytes
//
// Numbers in keys are 8 bytes, big endian.
const space = "directory"

var (
	keyEpoch = []byte("e")
	keyNext  = []byte("n")
)

func keyUser(id ID) []byte {
	return binary.BigEndian.AppendUint64([]byte("u"), uint64(id))
}

func keyChange(domain string, revision uint64) []byte {
	return binary.BigEndian.AppendUint64(prefixChanges(domain), revision)
}

func prefixChanges(domain string) []byte {
	return append(append([]byte("c"), domain...), 0)
}

// A record begins with its layout and with the kind of what has the localpart,
// since users share these with whatever else may have an address.
const (
	layout   = 1
	kindUser = 'u'
)

const (
	flagHidden = 1 << iota
	flagDisabled
	flagAdmin
)

var errRecord = errors.New("directory: damaged record")

func appendUser(dst []byte, u *User) []byte {
	var flags byte
	for _, f := range []struct {
		on  bool
		bit byte
	}{{u.Hidden, flagHidden}, {u.Disabled, flagDisabled}, {u.Admin, flagAdmin}} {
		if f.on {
			flags |= f.bit
		}
	}
	dst = append(dst, layout, kindUser, flags)
	dst = binary.AppendUvarint(dst, uint64(u.ID))
	for _, t := range []time.Time{u.Created, u.Deleted, u.Renamed} {
		dst = appendTime(dst, t)
	}
	for _, s := range []string{u.Domain, u.Local, u.Name, u.Former} {
		dst = appendString(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(u.Groups)))
	for _, g := range u.Groups {
		dst = appendString(dst, g)
	}
	return dst
}

func parseUser(b []byte) (*User, error) {
	r := reader{b: b}
	u := r.user()
	if r.failed || len(r.b) > 0 {
		return nil, errRecord
	}
	return u, nil
}

// A change is its old and its new user, each behind a byte that says if it is there.
func appendChange(dst []byte, c Change) []byte {
	for _, u := range []*User{c.Old, c.New} {
		if u == nil {
			dst = append(dst, 0)
		} else {
			dst = appendUser(append(dst, 1), u)
		}
	}
	return dst
}

func parseChange(revision uint64, b []byte) (Change, error) {
	r := reader{b: b}
	c := Change{Revision: revision}
	for _, u := range []**User{&c.Old, &c.New} {
		if r.byte() == 1 {
			*u = r.user()
		}
	}
	if r.failed || len(r.b) > 0 {
		return Change{}, errRecord
	}
	return c, nil
}

// Times are kept in microseconds; 0 is the zero time.
func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(dst, 0)
	}
	return binary.AppendVarint(dst, t.UnixMicro())
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader takes values off the front of a record, zero ones once it has failed.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) user() *User {
	if r.byte() != layout || r.byte() != kindUser {
		r.fail()
		return nil
	}
	flags := r.byte()
	u := &User{
		ID:     ID(r.uint()),
		Hidden: flags&flagHidden != 0, Disabled: flags&flagDisabled != 0, Admin: flags&flagAdmin != 0,
		Created: r.time(), Deleted: r.time(), Renamed: r.time(),
		Domain: r.string(), Local: r.string(), Name: r.string(), Former: r.string(),
	}
	for n := r.uint(); n > 0 && !r.failed; n-- {
		u.Groups = append(u.Groups, r.string())
	}
	var err error
	if u.JID, err = xmpp.NewJID(u.Local, u.Domain, ""); err != nil || r.failed {
		r.fail()
		return nil
	}
	return u
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

func (r *reader) time() time.Time {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return time.Time{}
	}
	r.b = r.b[n:]
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}

func (r *reader) string() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) fail() {
	r.b, r.failed = nil, true
}
