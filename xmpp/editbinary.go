package xmpp

import (
	"encoding/binary"
	"errors"
)

// The stored form of an Edit: a version, a byte that says which fields follow, and the fields in the order of the
// struct. Texts have their length before them. Records of every version that was ever written must stay readable.
const editVersion = 1

const (
	editFrom = 1 << iota
	editTo
	editNoTo
	editType
	editLabel
	editStrip
	editAdd
	editDeclare
)

var errBadEdit = errors.New("xmpp: a stored edit is damaged")

// AppendBinary appends the form for storage.
func (e *Edit) AppendBinary(dst []byte) []byte {
	dst = append(dst, editVersion, 0)
	fields := len(dst) - 1
	text := func(field byte, s string) {
		if s != "" {
			dst[fields] |= field
			dst = appendCounted(dst, s)
		}
	}
	text(editFrom, e.From.String())
	text(editTo, e.To.String())
	if e.NoTo {
		dst[fields] |= editNoTo
	}
	if e.setsType() {
		dst[fields] |= editType
		dst = append(dst, byte(e.Type))
	}
	text(editLabel, e.Label)
	if len(e.Strip) > 0 {
		dst[fields] |= editStrip
		dst = binary.AppendUvarint(dst, uint64(len(e.Strip)))
		for _, m := range e.Strip {
			dst = appendCounted(appendCounted(appendCounted(dst, m.Space), m.Local), m.By)
		}
	}
	if len(e.Add) > 0 {
		dst[fields] |= editAdd
		dst = appendCounted(dst, e.Add)
	}
	text(editDeclare, e.Declare)
	return dst
}

func appendCounted[S []byte | string](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// UnmarshalBinary reads what AppendBinary wrote. Nothing of b is kept.
func (e *Edit) UnmarshalBinary(b []byte) error {
	*e = Edit{}
	if len(b) < 2 || b[0] != editVersion {
		return errBadEdit
	}
	d := decoder{b: b[2:]}
	fields := b[1]
	if fields&editFrom != 0 {
		e.From = d.jid()
	}
	if fields&editTo != 0 {
		e.To = d.jid()
	}
	e.NoTo = fields&editNoTo != 0
	if fields&editType != 0 {
		e.Type = d.kind()
	}
	if fields&editLabel != 0 {
		e.Label = d.text()
	}
	if fields&editStrip != 0 {
		n := d.uvarint()
		for range n {
			if d.failed {
				break
			}
			e.Strip = append(e.Strip, Match{Space: d.text(), Local: d.text(), By: d.text()})
		}
	}
	if fields&editAdd != 0 {
		if s := d.text(); s != "" {
			e.Add = []byte(s)
		}
	}
	if fields&editDeclare != 0 {
		e.Declare = d.text()
	}
	if d.failed || len(d.b) > 0 {
		*e = Edit{}
		return errBadEdit
	}
	return nil
}

// decoder reads the fields of a record; after a mistake it reads zero values.
type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.failed, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.failed, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) kind() Type {
	if len(d.b) == 0 || Type(d.b[0]) == TypeNone || Type(d.b[0]) >= TypeInvalid {
		d.failed, d.b = true, nil
		return TypeNone
	}
	t := Type(d.b[0])
	d.b = d.b[1:]
	return t
}

func (d *decoder) jid() JID {
	s := d.text()
	j, err := ParseJID(s)
	if err != nil {
		d.failed, d.b = true, nil
	}
	return j
}
