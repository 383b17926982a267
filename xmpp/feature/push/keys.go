package push

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// space holds the registrations: the id of the user, 8 bytes, big endian, the
// address of the service, a zero byte and the node. A record is its layout, the
// time in microseconds since 1970, 8 bytes, and the form that goes with each
// publication, which may be empty.
const space store.Space = "push"

const (
	prefixLen = 8
	layout    = 1
)

var errRecord = errors.New("push: damaged record")

func prefix(owner directory.ID) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(owner))
}

func key(owner directory.ID, service xmpp.JID, node string) []byte {
	return append(append(append(prefix(owner), service.String()...), 0), node...)
}

func (r *registration) key() []byte { return key(r.owner, r.service, r.node) }

func (r *registration) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{layout}, uint64(r.enabled.UnixMicro()))
	return append(b, r.options...)
}

func decode(k, v []byte) (*registration, error) {
	if len(k) < prefixLen || len(v) < 9 || v[0] != layout {
		return nil, errRecord
	}
	service, node, ok := strings.Cut(string(k[prefixLen:]), "\x00")
	j, err := xmpp.ParseJID(service)
	if err != nil || !ok {
		return nil, errRecord
	}
	return &registration{
		owner: directory.ID(binary.BigEndian.Uint64(k)), service: j, node: node,
		enabled: time.UnixMicro(int64(binary.BigEndian.Uint64(v[1:]))), options: string(v[9:]),
	}, nil
}

func erase(tx store.Tx, owner directory.ID) error {
	for k := range tx.Scan(space, store.Range{Prefix: prefix(owner)}) {
		if err := tx.Delete(space, k); err != nil {
			return err
		}
	}
	return nil
}
