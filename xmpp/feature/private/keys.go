package private

import (
	"encoding/binary"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// space holds what users keep: the id of the user, 8 bytes, big endian, the
// namespace of the element, a zero byte and its name; as value the XML of the
// element, or of several one after the other.
const space store.Space = "private"

func prefix(owner directory.ID) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(owner))
}

func (n Name) key(owner directory.ID) []byte {
	return append(append(append(prefix(owner), n.Space...), 0), n.Local...)
}

func erase(tx store.Tx, owner directory.ID) error {
	for k := range tx.Scan(space, store.Range{Prefix: prefix(owner)}) {
		if err := tx.Delete(space, k); err != nil {
			return err
		}
	}
	return nil
}

// size is what a user keeps, elements of some names not counted.
func size(tx store.Tx, owner directory.ID, but map[string]bool) (elements, bytes int) {
	for k, v := range tx.Scan(space, store.Range{Prefix: prefix(owner)}) {
		if !but[string(k)] {
			elements++
			bytes += len(v)
		}
	}
	return elements, bytes
}
