package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A record is what one commit wrote: a head of 16 bytes (CRC32C of all that follows, length of the payload, number of the
// commit; little-endian), then entries: an operation, then its operands, each with its length before it. A space holds for
// the entries behind it.
const (
	recordHead = 16
	maxPayload = 1 << 30

	opSpace  = 1 // name
	opPut    = 2 // key, value
	opDelete = 3 // key
)

// ErrTooLarge is returned for a commit that makes no record.
var ErrTooLarge = errors.New("the transaction is too large")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is made while a group runs. The zero value is empty.
type Record struct {
	buf   []byte // begins with room for the head
	space string
}

// Mark is a place in a record to which Rollback goes back.
type Mark struct {
	len   int
	space string
}

// keepBuffer is how much memory a record keeps for the next.
const keepBuffer = 4 << 20

// Reset makes the record empty.
func (r *Record) Reset() {
	if cap(r.buf) < recordHead || cap(r.buf) > keepBuffer {
		r.buf = make([]byte, recordHead, 4096)
	}
	r.buf, r.space = r.buf[:recordHead], ""
}

// Len returns the length of the payload.
func (r *Record) Len() int { return max(0, len(r.buf)-recordHead) }

// Mark returns where the record ends.
func (r *Record) Mark() Mark { return Mark{len(r.buf), r.space} }

// Rollback takes back what came after the mark.
func (r *Record) Rollback(m Mark) { r.buf, r.space = r.buf[:m.len], m.space }

// Fits reports whether there is room for one more key and value.
func (r *Record) Fits(key, value []byte) bool {
	return len(r.buf)+len(key)+len(value)+1<<17 < maxPayload
}

// Put adds that key got a value.
func (r *Record) Put(space string, key, value []byte) {
	r.in(space)
	r.buf = append(r.buf, opPut)
	r.operand(key)
	r.operand(value)
}

// Delete adds that key was deleted.
func (r *Record) Delete(space string, key []byte) {
	r.in(space)
	r.buf = append(r.buf, opDelete)
	r.operand(key)
}

func (r *Record) in(space string) {
	if space == r.space {
		return
	}
	r.space = space
	r.buf = append(r.buf, opSpace)
	r.buf = binary.AppendUvarint(r.buf, uint64(len(space)))
	r.buf = append(r.buf, space...)
}

func (r *Record) operand(b []byte) {
	r.buf = binary.AppendUvarint(r.buf, uint64(len(b)))
	r.buf = append(r.buf, b...)
}

// seal fills in the head.
func (r *Record) seal(seq uint64, seed uint32) []byte {
	binary.LittleEndian.PutUint32(r.buf[4:], uint32(len(r.buf)-recordHead))
	binary.LittleEndian.PutUint64(r.buf[8:], seq)
	binary.LittleEndian.PutUint32(r.buf, crc32.Update(seed, castagnoli, r.buf[4:]))
	return r.buf
}

// Entry is one operation of a record; Value is nil if the key was deleted.
type Entry struct {
	Space      string
	Key, Value []byte
}

// errEntry says that a payload, whose sum is right, makes no sense.
var errEntry = errors.New("an entry cannot be read")

// Entries calls fn for each entry of a payload. Key and value are parts of it.
func Entries(payload []byte, fn func(Entry) error) error {
	space := ""
	for len(payload) > 0 {
		op := payload[0]
		first, rest, ok := operand(payload[1:])
		if !ok || len(first) == 0 {
			return errEntry
		}
		payload = rest
		e := Entry{Space: space, Key: first}
		switch op {
		case opSpace:
			space = string(first)
			continue
		case opPut:
			if e.Value, payload, ok = operand(payload); !ok {
				return errEntry
			}
		case opDelete:
		default:
			return fmt.Errorf("%w: operation %d", errEntry, op)
		}
		if space == "" {
			return errEntry
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func operand(b []byte) (operand, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, false
	}
	end := k + int(n)
	return b[k:end:end], b[end:], true
}
