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
	bodyFormat       = 1
	sharedBodyFormat = 2 // with an edit
	tombFormat       = 1
)

// body is a message as it is stored:
//
//	format, type: a byte each
//	flags: uvarint
//	owners: length and bytes; a uvarint each
//	tombstone: length and bytes; empty if there is none
//	edit: length and bytes; in sharedBodyFormat only
//	stanza: the rest
//
// The edit is that of the rows that have none of their own: of a message to hundreds it would be most of each row.
type body struct {
	typ    xmpp.Type
	flags  Flags
	owners []byte
	tomb   []byte
	edit   []byte
	stanza []byte
}

func (b *body) append(dst []byte) []byte {
	format := byte(bodyFormat)
	if len(b.edit) > 0 {
		format = sharedBodyFormat
	}
	dst = append(dst, format, byte(b.typ))
	dst = binary.AppendUvarint(dst, uint64(b.flags))
	dst = appendBytes(dst, b.owners)
	dst = appendBytes(dst, b.tomb)
	if len(b.edit) > 0 {
		dst = appendBytes(dst, b.edit)
	}
	return append(dst, b.stanza...)
}

func (b *body) decode(v []byte) error {
	if len(v) < 2 || v[0] != bodyFormat && v[0] != sharedBodyFormat {
		return errRecord
	}
	d := decoder{v[2:], nil}
	*b = body{typ: xmpp.Type(v[1]), flags: Flags(d.uvarint()), owners: d.bytes(), tomb: d.bytes()}
	if v[0] == sharedBodyFormat {
		b.edit = d.bytes()
	}
	b.stanza = d.rest
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
	dst = appendBytes(dst, t.By.String())
	return append(dst, t.Inside...)
}

// row is how an owner sees a message, as it is stored:
//
//	ordinal in the archive: uvarint
//	kind: a byte
//	other side: length and bytes
//	edit: the rest; empty if the message is seen as it was sent. If the row shares the body's, the address to which that
//	one is addressed
type row struct {
	ordinal  uint64
	incoming bool
	shares   bool
	with     []byte
	edit     []byte
}

// Bits of the kind of a row.
const (
	rowIncoming = 1 << iota
	rowShares
)

// appendRow appends what of a record is known before the ordinal is. shared is the edit that the body has.
func appendRow(dst []byte, r *Row, shared *xmpp.Edit) []byte {
	var kind byte
	if r.Incoming {
		kind = rowIncoming
	}
	shares := shared != nil && r.Edit == shared && !r.To.IsZero()
	if shares {
		kind |= rowShares
	}
	dst = append(dst, kind)
	dst = appendBytes(dst, r.With.String())
	switch {
	case shares:
		return append(dst, r.To.String()...)
	case r.Edit == nil:
		return dst
	}
	e := *r.Edit
	if !r.To.IsZero() {
		e.To = r.To
	}
	return e.AppendBinary(dst)
}

func (r *row) decode(v []byte) error {
	d := decoder{v, nil}
	r.ordinal = d.uvarint()
	if len(d.rest) == 0 || d.rest[0]&^(rowIncoming|rowShares) != 0 {
		return errRecord
	}
	r.incoming, r.shares = d.rest[0]&rowIncoming != 0, d.rest[0]&rowShares != 0
	d.rest = d.rest[1:]
	r.with = d.bytes()
	r.edit = d.rest
	return d.err
}

// readEdit reads the edit of a row whose message is b.
func (r *row) readEdit(b *body) (e xmpp.Edit, err error) {
	switch {
	case !r.shares && len(r.edit) == 0:
	case !r.shares:
		err = e.UnmarshalBinary(r.edit)
	default:
		if err = e.UnmarshalBinary(b.edit); err == nil {
			e.To, err = xmpp.ParseJID(string(r.edit))
		}
	}
	if err != nil {
		return xmpp.Edit{}, errRecord
	}
	return e, nil
}

func appendBytes[S []byte | string](dst []byte, b S) []byte {
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
