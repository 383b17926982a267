// Package record is how records are written that are kept in a store: values one behind the other, without names. What they
// mean, and a layout at their beginning by which a later version knows them, is the business of who keeps them.
package record

import (
	"encoding/binary"
	"time"
)

// AppendUint appends a number.
func AppendUint(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }

// AppendString appends a text, or bytes.
func AppendString[S []byte | string](dst []byte, s S) []byte {
	return append(AppendUint(dst, uint64(len(s))), s...)
}

// AppendStrings appends a list of texts.
func AppendStrings(dst []byte, list []string) []byte {
	dst = AppendUint(dst, uint64(len(list)))
	for _, s := range list {
		dst = AppendString(dst, s)
	}
	return dst
}

// AppendTime appends a time in microseconds, or that there is none.
func AppendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(dst, 0)
	}
	return binary.AppendVarint(dst, t.UnixMicro())
}

// AppendFlags appends up to eight answers in a byte.
func AppendFlags(dst []byte, flags ...bool) []byte {
	b := byte(0)
	for i, on := range flags {
		if on {
			b |= 1 << i
		}
	}
	return append(dst, b)
}

// Reader takes values off the front of a record, zero ones once it has failed.
type Reader struct {
	rest   []byte
	failed bool
}

// Read begins to read a record.
func Read(b []byte) Reader { return Reader{rest: b} }

// Fail says that the record is no good, whatever is in it.
func (r *Reader) Fail() { r.rest, r.failed = nil, true }

// Failed reports whether something was missing.
func (r *Reader) Failed() bool { return r.failed }

// Done reports whether the record had all that was read, and no more.
func (r *Reader) Done() bool { return !r.failed && len(r.rest) == 0 }

// Byte reads a byte.
func (r *Reader) Byte() byte {
	if len(r.rest) == 0 {
		r.Fail()
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

// Flags reads what AppendFlags has written.
func (r *Reader) Flags(flags ...*bool) {
	b := r.Byte()
	for i, on := range flags {
		*on = b&(1<<i) != 0
	}
}

// Uint reads a number.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Bytes reads bytes, which are those of the record.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.rest)) {
		r.Fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Rest reads all bytes that are left, which are those of the record.
func (r *Reader) Rest() []byte {
	b := r.rest
	r.rest = nil
	return b
}

// String reads a text.
func (r *Reader) String() string { return string(r.Bytes()) }

// Strings reads a list of texts, nil if there are none.
func (r *Reader) Strings() (list []string) {
	for n := r.Uint(); n > 0 && !r.failed; n-- {
		list = append(list, r.String())
	}
	if r.failed {
		return nil
	}
	return list
}

// Time reads a time, the zero one if there was none.
func (r *Reader) Time() time.Time {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.Fail()
		return time.Time{}
	}
	r.rest = r.rest[n:]
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}
