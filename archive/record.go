package archive

import (
	"bytes"
	"errors"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store/record"
)

var errRecord = errors.New("archive: damaged record")

// Formats of records. A reader refuses those it does not know.
const (
	bodyFormat = 3 // those before it: convert.go
	tombFormat = 1
)

// body is a message as it is stored:
//
//	format, type: a byte each
//	flags: uvarint
//	rows: length and bytes
//	tombstone: length and bytes; empty if there is none
//	edit: length and bytes; that of the rows that share it: of a message to hundreds it would be most of each row
//	stanza: the rest
type body struct {
	typ    xmpp.Type
	flags  Flags
	rows   []byte
	tomb   []byte
	edit   []byte
	stanza []byte
}

func (b *body) append(dst []byte) []byte {
	dst = append(dst, bodyFormat, byte(b.typ))
	dst = record.AppendUint(dst, uint64(b.flags))
	dst = record.AppendString(dst, b.rows)
	dst = record.AppendString(dst, b.tomb)
	dst = record.AppendString(dst, b.edit)
	return append(dst, b.stanza...)
}

func (b *body) decode(v []byte) error {
	d := record.Read(v)
	if d.Byte() != bodyFormat {
		return errRecord
	}
	*b = body{typ: xmpp.Type(d.Byte()), flags: Flags(d.Uint()), rows: d.Bytes(), tomb: d.Bytes(), edit: d.Bytes(), stanza: d.Rest()}
	if d.Failed() {
		return errRecord
	}
	return nil
}

func (b *body) tombstone() (*Tombstone, error) {
	if len(b.tomb) == 0 {
		return nil, nil
	}
	if b.tomb[0] != tombFormat {
		return nil, errRecord
	}
	d := record.Read(b.tomb[1:])
	t := &Tombstone{ID: d.Uint()}
	by := d.String()
	t.Inside = bytes.Clone(d.Rest())
	if d.Failed() {
		return nil, errRecord
	}
	if by != "" {
		var err error
		if t.By, err = xmpp.ParseJID(by); err != nil {
			return nil, errRecord
		}
	}
	return t, nil
}

func (t *Tombstone) append(dst []byte) []byte {
	dst = append(dst, tombFormat)
	dst = record.AppendUint(dst, t.ID)
	dst = record.AppendString(dst, t.By.String())
	return append(dst, t.Inside...)
}

// row is how an owner sees a message, as it is stored, in the order of the owners:
//
//	owner: uvarint, less that of the row before
//	kind: a byte
//	other side: length and bytes; left out if it is that of the row before
//	edit: length and bytes; left out if the message is seen as it was sent. If the row shares the body's, the address to
//	which that one is addressed
type row struct {
	owner    directory.ID
	incoming bool
	shares   bool
	with     []byte
	edit     []byte
}

// Bits of the kind of a row.
const (
	rowIncoming = 1 << iota
	rowEdited
	rowShares
	rowSameWith
	rowKinds // none of them
)

// appendRows appends the rows of a message, which are in the order of their owners. shared is the edit that the body has.
func appendRows(dst []byte, rows []*Row, shared *xmpp.Edit) []byte {
	before := new(Row)
	for _, r := range rows {
		dst = appendRow(dst, before, r, shared)
		before = r
	}
	return dst
}

// appendRow appends a row behind another.
func appendRow(dst []byte, before, r *Row, shared *xmpp.Edit) []byte {
	var kind byte
	if r.Incoming {
		kind |= rowIncoming
	}
	if r.Edit != nil {
		kind |= rowEdited
	}
	shares := r.Edit != nil && r.Edit == shared && !r.To.IsZero()
	if shares {
		kind |= rowShares
	}
	if r.With == before.With {
		kind |= rowSameWith
	}
	dst = record.AppendUint(dst, uint64(r.Owner-before.Owner))
	dst = append(dst, kind)
	if r.With != before.With {
		dst = record.AppendString(dst, r.With.String())
	}
	switch {
	case shares:
		dst = record.AppendString(dst, r.To.String())
	case r.Edit != nil:
		e := *r.Edit
		if !r.To.IsZero() {
			e.To = r.To
		}
		dst = record.AppendString(dst, e.AppendBinary(nil))
	}
	return dst
}

// eachRow calls fn for the rows of a body until it returns false.
func (b *body) eachRow(fn func(*row) bool) error {
	var r row
	for d := record.Read(b.rows); !d.Done(); {
		r.owner += directory.ID(d.Uint())
		kind := d.Byte()
		r.incoming, r.shares, r.edit = kind&rowIncoming != 0, kind&rowShares != 0, nil
		if kind&rowSameWith == 0 {
			r.with = d.Bytes()
		}
		if kind&rowEdited != 0 {
			r.edit = d.Bytes()
		}
		if d.Failed() || kind >= rowKinds {
			return errRecord
		}
		if !fn(&r) {
			return nil
		}
	}
	return nil
}

// rowOf finds the row of an owner. ok is false if there is none.
func (b *body) rowOf(o directory.ID) (found row, ok bool, err error) {
	err = b.eachRow(func(r *row) bool {
		if r.owner == o {
			found, ok = *r, true
		}
		return r.owner < o
	})
	return found, ok, err
}

// readEdit reads the edit of a row of b.
func (b *body) readEdit(r *row) (e xmpp.Edit, err error) {
	switch {
	case r.shares:
		if err = e.UnmarshalBinary(b.edit); err == nil {
			e.To, err = xmpp.ParseJID(string(r.edit))
		}
	case len(r.edit) > 0:
		err = e.UnmarshalBinary(r.edit)
	}
	if err != nil {
		return xmpp.Edit{}, errRecord
	}
	return e, nil
}

// bareOf cuts the resource off the text of an address.
func bareOf(jid []byte) []byte {
	bare, _, _ := bytes.Cut(jid, []byte{'/'})
	return bare
}
