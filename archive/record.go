package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"

	"confab/xmpp"
	"confab/xmpp/directory"
)

var errRecord = errors.New("archive: damaged record")

// Formats of records. A reader refuses those it does not know.
const (
	bodyFormat = 1
	tombFormat = 1
)

// body is a message as it is stored:
//
//	format, type: a byte each
//	flags: uvarint
//	owners: length and bytes; a uvarint each
//	tombstone: length and bytes; empty if there is none
//	stanza: the rest
type body struct {
	typ    xmpp.Type
	flags  Flags
	owners []byte
	tomb   []byte
	stanza []byte
}

func (b *body) append(dst []byte) []byte {
	dst = append(dst, bodyFormat, byte(b.typ))
	dst = binary.AppendUvarint(dst, uint64(b.flags))
	dst = appendBytes(dst, b.owners)
	dst = appendBytes(dst, b.tomb)
	return append(dst, b.stanza...)
}

func (b *body) decode(v []byte) error {
	if len(v) < 2 || v[0] != bodyFormat {
		return errRecord
	}
	d := decoder{v[2:], nil}
	*b = body{typ: xmpp.Type(v[1]), flags: Flags(d.uvarint()), owners: d.bytes(), tomb: d.bytes(), stanza: d.rest}
	return d.err
}

// ownerIDs yields those who had the message when it was kept.
func (b *body) ownerIDs() iter.Seq[directory.ID] {
	return func(yield func(directory.ID) bool) {
		for d := (decoder{b.owners, nil}); len(d.rest) > 0; {
			if o := d.uvarint(); d.err != nil || !yield(directory.ID(o)) {
				return
			}
		}
	}
}

func (b *body) tombstone() (*Tombstone, error) {
	if len(b.tomb) == 0 {
		return nil, nil
	}
	if b.tomb[0] != tombFormat {
		return nil, errRecord
	}
	d := decoder{b.tomb[1:], nil}
	t := &Tombstone{ID: d.uvarint()}
	by := d.bytes()
	if d.err != nil {
		return nil, d.err
	}
	if len(by) > 0 {
		var err error
		if t.By, err = xmpp.ParseJID(string(by)); err != nil {
			return nil, errRecord
		}
	}
	t.Inside = bytes.Clone(d.rest)
	return t, nil
}

func (t *Tombstone) append(dst []byte) []byte {
	dst = append(dst, tombFormat)
	dst = binary.AppendUvarint(dst, t.ID)
	dst = appendBytes(dst, []byte(t.By.String()))
	return append(dst, t.Inside...)
}

// row is how an owner sees a message, as it is stored:
//
//	ordinal in the archive: uvarint
//	direction: a byte
//	other side: length and bytes
//	edit: the rest; empty if the message is seen as it was sent
type row struct {
	ordinal  uint64
	incoming bool
	with     []byte
	edit     []byte
}

const rowIncoming = 1

// appendRow appends what of a record is known before the ordinal is.
func appendRow(dst []byte, r *Row) []byte {
	var direction byte
	if r.Incoming {
		direction = rowIncoming
	}
	dst = appendBytes(append(dst, direction), []byte(r.With.String()))
	if r.Edit != nil {
		dst = r.Edit.AppendBinary(dst)
	}
	return dst
}

func (r *row) decode(v []byte) error {
	d := decoder{v, nil}
	r.ordinal = d.uvarint()
	if len(d.rest) == 0 || d.rest[0]&^rowIncoming != 0 {
		return errRecord
	}
	r.incoming = d.rest[0] == rowIncoming
	d.rest = d.rest[1:]
	r.with = d.bytes()
	r.edit = d.rest
	return d.err
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// decoder reads a record; what it returns after an error is zero.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.rest, d.err = nil, errRecord
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.rest, d.err = nil, errRecord
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}
