package directory

import (
	"encoding/binary"
	"errors"
	"time"

	"confab/xmpp"
	"confab/xmpp/store/record"
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

var errRecord = errors.New("directory: damaged record")

func appendUser(dst []byte, u *User) []byte {
	dst = record.AppendFlags(append(dst, layout, kindUser), u.Hidden, u.Disabled, u.Admin)
	dst = record.AppendUint(dst, uint64(u.ID))
	for _, t := range []time.Time{u.Created, u.Deleted, u.Renamed} {
		dst = record.AppendTime(dst, t)
	}
	for _, s := range []string{u.Domain, u.Local, u.Name, u.Former} {
		dst = record.AppendString(dst, s)
	}
	return record.AppendStrings(dst, u.Groups)
}

func parseUser(b []byte) (*User, error) {
	r := record.Read(b)
	u := readUser(&r)
	if !r.Done() {
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
	r := record.Read(b)
	c := Change{Revision: revision}
	for _, u := range []**User{&c.Old, &c.New} {
		if r.Byte() == 1 {
			*u = readUser(&r)
		}
	}
	if !r.Done() {
		return Change{}, errRecord
	}
	return c, nil
}

// readUser reads a user off the front of a record, nil if there is none.
func readUser(r *record.Reader) *User {
	if r.Byte() != layout || r.Byte() != kindUser {
		r.Fail()
		return nil
	}
	u := new(User)
	r.Flags(&u.Hidden, &u.Disabled, &u.Admin)
	u.ID = ID(r.Uint())
	u.Created, u.Deleted, u.Renamed = r.Time(), r.Time(), r.Time()
	u.Domain, u.Local, u.Name, u.Former = r.String(), r.String(), r.String(), r.String()
	u.Groups = r.Strings()
	var err error
	if u.JID, err = xmpp.NewJID(u.Local, u.Domain, ""); err != nil || r.Failed() {
		r.Fail()
		return nil
	}
	return u
}
