package pubsub

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// The spaces. All keys begin with the id of the address that has the nodes, 8
// bytes, so that what an address has is one range: it is the user's of an
// account, and one of its own of a service. Numbers are big-endian.
const (
	// spaceServices: domain → the id of its service.
	spaceServices store.Space = "pubsub.services"
	// spaceNodes: address → address record; address, name of a node → node record; both JSON.
	spaceNodes store.Space = "pubsub.nodes"
	// spaceUsage: address, user → what the user has there, JSON.
	spaceUsage store.Space = "pubsub.usage"
	// spaceItems: address, number of the node, 4 bytes, sequence of the item, 8
	// bytes → item, see Item.encode. In the order of publication.
	spaceItems store.Space = "pubsub.items"
	// spaceIDs: address, number of the node, id of an item → its sequence, 8 bytes.
	spaceIDs store.Space = "pubsub.ids"
	// spacePeople: address, number of the node, somebody's address → person, see person.encode.
	spacePeople store.Space = "pubsub.people"
	// spaceMoved: address, name of a node that was deleted → where it is now, JSON.
	spaceMoved store.Space = "pubsub.moved"
)

var spaces = []store.Space{spaceNodes, spaceUsage, spaceItems, spaceIDs, spacePeople, spaceMoved}

// Bounds.
const (
	MaxNodes        = 512       // nodes of an account
	MaxItems        = 10_000    // items of a node
	MaxPayload      = 256 << 10 // bytes of an item
	MaxBytes        = 24 << 20  // bytes of all items of an account, and of those who are known to its nodes
	MaxAffiliations = 1000      // of a node
	MaxSubscribers  = 10_000    // of a node
	MaxSubscribed   = 1000      // nodes that somebody has subscribed to
	maxName         = 1023      // bytes of the name of a node
	maxID           = 3071      // bytes of the id of an item: as long as an address may be
	maxText         = 1023      // bytes of a title, a description, the name of a group, a URI
	maxGroups       = 100
	maxResources    = 8   // subscriptions of one account to a node
	personSize      = 256 // bytes that one person counts for, as with what is kept in memory
)

func homeKey(home directory.ID) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 64), uint64(home))
}

func nodeKey(home directory.ID, name string) []byte { return append(homeKey(home), name...) }

func usageKey(home, user directory.ID) []byte {
	return binary.BigEndian.AppendUint64(homeKey(home), uint64(user))
}

// numberKey begins what belongs to a node: items, ids, people.
func numberKey(home directory.ID, num uint32) []byte {
	return binary.BigEndian.AppendUint32(homeKey(home), num)
}

func itemKey(home directory.ID, num uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(numberKey(home, num), seq)
}

func idKey(home directory.ID, num uint32, id string) []byte {
	return append(numberKey(home, num), id...)
}

func personKey(home directory.ID, num uint32, jid string) []byte {
	return append(numberKey(home, num), jid...)
}

// homeRecord is what is kept of an address besides its nodes.
type homeRecord struct {
	Next uint32 `json:"next"` // number of the next node
}

// usage is what somebody has at an address.
type usage struct {
	Nodes int   `json:"nodes"`
	Bytes int64 `json:"bytes"`
	Moved int   `json:"moved,omitempty"` // nodes that are elsewhere now
}

// moved says where a node is now.
type moved struct {
	Creator directory.ID `json:"creator"`
	URI     string       `json:"uri"`
}

// nodeRecord is a node.
type nodeRecord struct {
	Num         uint32       `json:"num"`
	Creator     directory.ID `json:"creator"` // on whose account it is
	Created     int64        `json:"created"` // seconds since 1970
	Next        uint64       `json:"next"`    // sequence of the next item
	Items       int          `json:"items"`
	Bytes       int64        `json:"bytes"` // of items and people
	People      int          `json:"people,omitempty"`
	Owners      int          `json:"owners,omitempty"`
	Affiliated  int          `json:"affiliated,omitempty"`
	Subscribers int          `json:"subscribers,omitempty"` // those whose request is pending, too
	Config      Config       `json:"config"`
}

// Item is what is published.
type Item struct {
	ID        string // empty in what is to be published: the server finds one
	Payload   []byte // one self-contained element; nil: none
	Published time.Time
	Publisher string // bare address; empty: the account's own user
	seq       uint64
}

func (it *Item) size() int64 { return int64(len(it.ID) + len(it.Payload) + len(it.Publisher) + 64) }

// encode writes an item: the time in microseconds since 1970, 8 bytes, the
// lengths of id and publisher, 2 bytes each, id, publisher, payload.
func (it *Item) encode() []byte {
	b := make([]byte, 0, 12+len(it.ID)+len(it.Publisher)+len(it.Payload))
	b = binary.BigEndian.AppendUint64(b, uint64(it.Published.UnixMicro()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(it.ID)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(it.Publisher)))
	return append(append(append(b, it.ID...), it.Publisher...), it.Payload...)
}

// decodeItem reads an item; its payload points into b.
func decodeItem(key, b []byte) (Item, error) {
	if len(b) < 12 || len(key) < 20 {
		return Item{}, errBroken
	}
	id := 12 + int(binary.BigEndian.Uint16(b[8:]))
	publisher := id + int(binary.BigEndian.Uint16(b[10:]))
	if len(b) < publisher {
		return Item{}, errBroken
	}
	it := Item{
		ID:        string(b[12:id]),
		Publisher: string(b[id:publisher]),
		Published: time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC(),
		seq:       binary.BigEndian.Uint64(key[len(key)-8:]),
	}
	if p := b[publisher:]; len(p) > 0 {
		it.Payload = p
	}
	return it, nil
}

var errBroken = fmt.Errorf("pubsub: a record is broken")

func getNode(tx store.Tx, home directory.ID, name string) (*nodeRecord, error) {
	b := tx.Get(spaceNodes, nodeKey(home, name))
	if b == nil {
		return nil, nil
	}
	n := new(nodeRecord)
	return n, json.Unmarshal(b, n)
}

// get reads a record that is JSON; one that is not there is zero.
func get[T any](tx store.Tx, s store.Space, key []byte) (record T, err error) {
	if b := tx.Get(s, key); b != nil {
		err = json.Unmarshal(b, &record)
	}
	return record, err
}

func put(tx store.Tx, s store.Space, key []byte, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return tx.Put(s, key, b)
}

// getItem returns an item by its id; its payload is valid as long as tx.
func getItem(tx store.Tx, home directory.ID, num uint32, id string) (it Item, ok bool, err error) {
	seq := tx.Get(spaceIDs, idKey(home, num, id))
	if len(seq) != 8 {
		return Item{}, false, nil
	}
	key := append(numberKey(home, num), seq...)
	it, err = decodeItem(key, tx.Get(spaceItems, key))
	return it, err == nil, err
}

// scanItems yields the items of a node, in the order of publication or, in
// reverse, the latest first.
func scanItems(tx store.Tx, home directory.ID, num uint32, r store.Range) iter.Seq2[Item, error] {
	r.Prefix = numberKey(home, num)
	return func(yield func(Item, error) bool) {
		for k, v := range tx.Scan(spaceItems, r) {
			if it, err := decodeItem(k, v); !yield(it, err) {
				return
			}
		}
	}
}

// erase removes all that an address has.
func erase(tx store.Tx, home directory.ID) error {
	for _, s := range spaces {
		for k := range tx.Scan(s, store.Range{Prefix: homeKey(home)}) {
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

func seqOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }
