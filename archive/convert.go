package archive

import (
	"context"
	"errors"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/store/record"
)

// Before format 3 the rows of a message, and its places in conversations, were records of their own:
//
//	owner, NUL, id → row record
//	owner, address, NUL, id → ordinal
const spaceOldRow store.Space = "history.row"

const (
	oldBodyFormat   = 1
	oldSharedFormat = 2 // with an edit
	damagedFormat   = 0 // an old one that could not be read

	convertAtOnce = 500     // messages, in one transaction
	convertBytes  = 1 << 20 // of them, for it is held in memory
)

func isOld(v []byte) bool { return len(v) > 0 && (v[0] == oldBodyFormat || v[0] == oldSharedFormat) }

// convert writes old messages as they are written now, some from an id on, and returns how many.
func (a *Archive) convert(ctx context.Context, from uint64) (n int, err error) {
	err = a.db.Update(ctx, func(tx store.Tx) error {
		n = 0
		size := 0
		for k, v := range tx.Scan(spaceBody, store.Range{From: appendID(nil, from), Limit: convertAtOnce}) {
			if !isOld(v) {
				continue
			}
			id := idOf(k)
			b, err := a.converted(tx, id, v)
			if errors.Is(err, errRecord) {
				a.unreadable(id, err)
				b = append([]byte{damagedFormat}, v[1:]...)
			} else if err != nil {
				return err
			}
			if err := tx.Put(spaceBody, appendID(nil, id), b); err != nil {
				return err
			}
			n++
			if size += len(b); size >= convertBytes {
				break
			}
		}
		return nil
	})
	return n, err
}

// converted takes the rows of a message away, and returns it with them in it.
func (a *Archive) converted(tx store.Tx, id uint64, v []byte) ([]byte, error) {
	d := record.Read(v)
	shared := d.Byte() == oldSharedFormat
	b := body{typ: xmpp.Type(d.Byte()), flags: Flags(d.Uint())}
	owners := record.Read(d.Bytes())
	b.tomb = d.Bytes()
	if shared {
		b.edit = d.Bytes()
	}
	b.stanza = d.Rest()
	var edit *xmpp.Edit
	if len(b.edit) > 0 {
		edit = new(xmpp.Edit)
		if edit.UnmarshalBinary(b.edit) != nil {
			return nil, errRecord
		}
	}
	var rows []*Row
	for !owners.Done() && !owners.Failed() {
		o := directory.ID(owners.Uint())
		key := appendID(appendPlace(nil, place{owner: o}), id)
		v := tx.Get(spaceOldRow, key)
		if v == nil {
			continue // purged
		}
		r, err := readOldRow(o, v, edit)
		if err != nil {
			a.unreadable(id, err)
			continue // the others have it
		}
		rows = append(rows, r)
		if err := tx.Delete(spaceOldRow, key); err != nil {
			return nil, err
		}
		if with := r.With.Bare().String(); with != "" {
			if err := tx.Delete(spaceOldRow, appendID(appendPlace(nil, place{o, with}), id)); err != nil {
				return nil, err
			}
		}
	}
	if d.Failed() || owners.Failed() {
		return nil, errRecord
	}
	b.rows = appendRows(nil, rows, edit)
	return b.append(nil), nil
}

// readOldRow reads a row: its ordinal (uvarint), a byte whose bits say that the message came in and that the row shares the
// edit of the body, the other side (length and bytes), and the edit, or the address to which the shared one is addressed.
func readOldRow(o directory.ID, v []byte, shared *xmpp.Edit) (*Row, error) {
	const incoming, shares = 1, 2
	d := record.Read(v)
	d.Uint()
	kind := d.Byte()
	with, edit := d.Bytes(), d.Rest()
	r := &Row{Owner: o, Incoming: kind&incoming != 0}
	err := error(nil)
	if len(with) > 0 {
		r.With, err = xmpp.ParseJID(string(with))
	}
	switch {
	case d.Failed() || err != nil:
		return nil, errRecord
	case kind&shares != 0:
		r.Edit = shared
		r.To, err = xmpp.ParseJID(string(edit))
	case len(edit) > 0:
		r.Edit = new(xmpp.Edit)
		err = r.Edit.UnmarshalBinary(edit)
	}
	if err != nil || kind&shares != 0 && shared == nil {
		return nil, errRecord
	}
	return r, nil
}
