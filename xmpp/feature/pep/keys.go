package pep

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// The spaces. All keys begin with the owner's id, 8 bytes, so that what an
// account has is one range. Numbers are big-endian.
const (
	// spaceNodes: owner → account record; owner, name of a node → node record; both JSON.
	spaceNodes store.Space = "pep.nodes"
	// spaceItems: owner, number of the node, 4 bytes, sequence of the item, 8
	// bytes → item, see Item.encode. In the order of publication.
	spaceItems store.Space = "pep.items"
	// spaceIDs: owner, number of the node, id of an item → its sequence, 8 bytes.
	spaceIDs store.Space = "pep.ids"
	// spaceVCards: owner → the vCard without its photo.
	spaceVCards store.Space = "pep.vcards"
)

var spaces = []store.Space{spaceNodes, spaceItems, spaceIDs, spaceVCards}

// Bounds of what an account may have.
const (
	MaxNodes   = 512       // nodes of an account
	MaxItems   = 10_000    // items of a node
	MaxPayload = 256 << 10 // bytes of an item
	MaxBytes   = 24 << 20  // bytes of all items of an account
	maxName    = 1023      // bytes of the name of a node
	maxID      = 3071      // bytes of the id of an item: as long as an address may be
	maxText    = 1023      // bytes of a title, a description, the name of a group
	maxGroups  = 100
	maxMembers = 1000 // affiliations of a node, and subscriptions
)

func ownerKey(owner directory.ID) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 64), uint64(owner))
}

func nodeKey(owner directory.ID, name string) []byte { return append(ownerKey(owner), name...) }

func itemsKey(owner directory.ID, num uint32) []byte {
	return binary.BigEndian.AppendUint32(ownerKey(owner), num)
}

func itemKey(owner directory.ID, num uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(itemsKey(owner, num), seq)
}

func idKey(owner directory.ID, num uint32, id string) []byte {
	return append(itemsKey(owner, num), id...)
}

// accountRecord is what is kept of an account besides its nodes.
type accountRecord struct {
	Nodes int    `json:"nodes"` // how many there are
	Next  uint32 `json:"next"`  // number of the next one
	Bytes int64  `json:"bytes"` // of all items

	Avatar avatar `json:"avatar"`
}

// nodeRecord is a node.
type nodeRecord struct {
	Num     uint32 `json:"num"`
	Next    uint64 `json:"next"` // sequence of the next item
	Items   int    `json:"items"`
	Bytes   int64  `json:"bytes"`
	Created int64  `json:"created"` // seconds since 1970
	shape
}

// shape is what decides who sees a node. A shape in memory is never changed.
type shape struct {
	Config        Config                 `json:"config"`
	Affiliations  map[string]Affiliation `json:"affiliations,omitempty"`  // by bare address
	Subscriptions []string               `json:"subscriptions,omitempty"` // addresses that asked for it
}

// Affiliation is what somebody is to a node, besides its owner (XEP-0060 §4.1).
type Affiliation string

const (
	Member  Affiliation = "member"
	Outcast Affiliation = "outcast"
)

// Item is what is published.
type Item struct {
	ID        string // empty in what is to be published: the server finds one
	Payload   []byte // one self-contained element; nil: none
	Published time.Time
	seq       uint64
}

func (it *Item) size() int64 { return int64(len(it.ID) + len(it.Payload) + 64) }

// encode writes an item: the time in microseconds since 1970, 8 bytes, the
// length of the id, 2 bytes, the id, the payload.
func (it *Item) encode() []byte {
	b := make([]byte, 0, 10+len(it.ID)+len(it.Payload))
	b = binary.BigEndian.AppendUint64(b, uint64(it.Published.UnixMicro()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(it.ID)))
	return append(append(b, it.ID...), it.Payload...)
}

// decodeItem reads an item; its payload points into b.
func decodeItem(key, b []byte) (Item, error) {
	if len(b) < 10 || len(key) < 20 {
		return Item{}, errBroken
	}
	n := int(binary.BigEndian.Uint16(b[8:]))
	if len(b) < 10+n {
		return Item{}, errBroken
	}
	it := Item{
		ID:        string(b[10 : 10+n]),
		Published: time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC(),
		seq:       binary.BigEndian.Uint64(key[len(key)-8:]),
	}
	if p := b[10+n:]; len(p) > 0 {
		it.Payload = p
	}
	return it, nil
}

var errBroken = fmt.Errorf("pep: a record is broken")

func getNode(tx store.Tx, owner directory.ID, name string) (*nodeRecord, error) {
	b := tx.Get(spaceNodes, nodeKey(owner, name))
	if b == nil {
		return nil, nil
	}
	n := new(nodeRecord)
	return n, json.Unmarshal(b, n)
}

func getAccount(tx store.Tx, owner directory.ID) (a accountRecord, err error) {
	if b := tx.Get(spaceNodes, ownerKey(owner)); b != nil {
		err = json.Unmarshal(b, &a)
	}
	return a, err
}

func put(tx store.Tx, key []byte, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return tx.Put(spaceNodes, key, b)
}

// getItem returns an item by its id; its payload is valid as long as tx.
func getItem(tx store.Tx, owner directory.ID, num uint32, id string) (it Item, ok bool, err error) {
	seq := tx.Get(spaceIDs, idKey(owner, num, id))
	if len(seq) != 8 {
		return Item{}, false, nil
	}
	key := append(itemsKey(owner, num), seq...)
	it, err = decodeItem(key, tx.Get(spaceItems, key))
	return it, err == nil, err
}

// scanItems yields the items of a node, in the order of publication or, in
// reverse, the latest first.
func scanItems(tx store.Tx, owner directory.ID, num uint32, r store.Range) iter.Seq2[Item, error] {
	r.Prefix = itemsKey(owner, num)
	return func(yield func(Item, error) bool) {
		for k, v := range tx.Scan(spaceItems, r) {
			if it, err := decodeItem(k, v); !yield(it, err) {
				return
			}
		}
	}
}

// erase removes all that an account has, when its user is deleted.
func erase(tx store.Tx, owner directory.ID) error {
	for _, s := range spaces {
		for k := range tx.Scan(s, store.Range{Prefix: ownerKey(owner)}) {
			if err := tx.Delete(s, k); err != nil {
				return err
			}
		}
	}
	return nil
}

func splitNodeKey(k []byte) (directory.ID, string, error) {
	if len(k) < 8 {
		return 0, "", errBroken
	}
	return directory.ID(binary.BigEndian.Uint64(k)), string(k[8:]), nil
}
