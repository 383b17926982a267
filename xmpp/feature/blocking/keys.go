package blocking

import (
	"encoding/binary"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// space holds an empty record for every address that somebody blocks: the id of
// the user, 8 bytes, big endian, and the address.
const space store.Space = "blocking"

const prefixLen = 8

func prefix(owner directory.ID) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(owner))
}

func key(owner directory.ID, j xmpp.JID) []byte { return append(prefix(owner), j.String()...) }

// readOwners calls fn for everybody who blocks somebody, up to limit of them
// from a user on, and returns with whom to go on, 0 at the end.
func readOwners(tx store.Tx, from directory.ID, limit int, fn func(directory.ID)) (next directory.ID) {
	for range limit {
		found := false
		for k := range tx.Scan(space, store.Range{From: prefix(from), Limit: 1}) {
			found = true
			from = directory.ID(binary.BigEndian.Uint64(k))
		}
		if !found {
			return 0
		}
		fn(from)
		from++
	}
	return from
}

func readList(tx store.Tx, owner directory.ID) (*list, error) {
	l := newList()
	for k := range tx.Scan(space, store.Range{Prefix: prefix(owner)}) {
		j, err := xmpp.ParseJID(string(k[prefixLen:]))
		if err != nil {
			return nil, err
		}
		l.add(j)
	}
	return l, nil
}

// find reports whether a list on disk covers an address.
func find(tx store.Tx, owner directory.ID, j xmpp.JID) bool {
	for _, c := range covering(j) {
		if !c.IsZero() && tx.Get(space, key(owner, c)) != nil {
			return true
		}
	}
	return false
}

func erase(tx store.Tx, owner directory.ID) error {
	for k := range tx.Scan(space, store.Range{Prefix: prefix(owner)}) {
		if err := tx.Delete(space, k); err != nil {
			return err
		}
	}
	return nil
}
