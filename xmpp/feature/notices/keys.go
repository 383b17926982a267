package notices

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Space notices, by the first byte of the key:
//
//	s kind domain   a notice that stands: the time it was set, 8 bytes, and the text
//	u ID            what is kept of a user: see record
//
// Numbers are 8 bytes, big endian; times are in microseconds.
const space store.Space = "notices"

const (
	prefixStanding = 's'
	prefixUser     = 'u'
)

func keyStanding(n name) []byte {
	return append([]byte{prefixStanding, byte(n.kind)}, n.domain...)
}

func (s Standing) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(s.Set.UnixMicro())), s.Text...)
}

func parseStanding(key, value []byte) (n name, s Standing, ok bool) {
	if len(key) < 3 || len(value) < 8 {
		return n, s, false
	}
	n = name{string(key[2:]), Kind(key[1])}
	return n, Standing{string(value[8:]), time.UnixMicro(int64(binary.BigEndian.Uint64(value))).UTC()}, true
}

func keyUser(id directory.ID) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixUser}, uint64(id))
}

// record is what is kept of a user: five numbers.
type record struct {
	first, last int64 // logins
	logins      int64
	motd        int64 // when the message of the day was set that the user got
	welcomed    int64 // 1: has been here, and was welcomed if there was a welcome
}

func (r *record) fields() []*int64 {
	return []*int64{&r.first, &r.last, &r.logins, &r.motd, &r.welcomed}
}

func (r *record) encode() []byte {
	var b []byte
	for _, f := range r.fields() {
		b = binary.BigEndian.AppendUint64(b, uint64(*f))
	}
	return b
}

func parseRecord(b []byte) (r record) {
	for i, f := range r.fields() {
		if len(b) >= 8*(i+1) {
			*f = int64(binary.BigEndian.Uint64(b[8*i:]))
		}
	}
	return r
}

func newID() string { return rand.Text() }
