package feature

import (
	"encoding/binary"
	"errors"
	"fmt"

	"confab/xmpp/router"
)

// Restart is how a feature takes what it holds of sessions over a restart of the
// server: those that can be resumed (XEP-0198) do not notice it, and nobody
// else notices that of them. Each may be nil. Flags of sessions, and what the
// router knows of them, need no help.
type Restart struct {
	// Save returns what the feature holds of a session that is about to rest;
	// nil: nothing. All sessions that are left hibernate, and nothing happens
	// any more but what the Save of a feature does.
	Save func(s *router.Session) []byte

	// Restore takes that back, nil if there was nothing. Others must not hear
	// of it: they know. It is called for each session that was saved, while not
	// all are there; in the order of the features. With an error the session
	// ends when all are there, as if it had expired.
	Restore func(s *router.Session, saved []byte) error

	// Restored is called when all are there, before the first connection.
	Restored func()
}

// Save asks the features what they hold of a session that is about to rest, and
// returns the record of that.
func (t *Table) Save(s *router.Session) (record []byte) {
	for i := range t.features {
		f := &t.features[i]
		if f.Restart.Save == nil {
			continue
		}
		var saved []byte
		t.guarded(s, func() { saved = f.Restart.Save(s) })
		if saved != nil {
			record = appendPiece(appendPiece(record, []byte(f.Name)), saved)
		}
	}
	return record
}

// Restore hands the features back what Save returned. What belonged to a feature
// that is not there any more is dropped.
func (t *Table) Restore(s *router.Session, record []byte) error {
	saved := map[string][]byte{}
	for len(record) > 0 {
		var name, value []byte
		var ok, fine bool
		name, record, ok = cutPiece(record)
		value, record, fine = cutPiece(record)
		if !ok || !fine {
			return errors.New("the record of a session is damaged")
		}
		saved[string(name)] = value
	}
	var errs []error
	for i := range t.features {
		f := &t.features[i]
		if f.Restart.Restore == nil {
			continue
		}
		t.guarded(s, func() {
			if err := f.Restart.Restore(s, saved[f.Name]); err != nil {
				errs = append(errs, fmt.Errorf("%v: %w", f, err))
			}
		})
	}
	return errors.Join(errs...)
}

// Restored tells the features that all sessions are there.
func (t *Table) Restored() {
	for i := range t.features {
		if f := t.features[i].Restart.Restored; f != nil {
			f()
		}
	}
}

func appendPiece(dst, piece []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(piece))), piece...)
}

func cutPiece(b []byte) (piece, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	b = b[size:]
	return b[:n:n], b[n:], true
}
