package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	magic      = "confab log 1\n\x00\x00\x00"
	headerSize = 64
)

// Header is the beginning of a segment.
type Header struct {
	Store  [16]byte // which store it belongs to
	Number uint64   // of the segment
	First  uint64   // number of the first commit in it
}

// encode returns the header: magic, store, number, first commit, CRC32C.
func (h Header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = append(b, h.Store[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.Number)
	b = binary.LittleEndian.AppendUint64(b, h.First)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:headerSize]
}

// seed is what the sums of the segment's records begin with, so that no record of another segment, nor bytes that somebody
// sent, pass for one of this.
func (h Header) seed() uint32 { return binary.LittleEndian.Uint32(h.encode()[48:]) }

// DamageError says that a log cannot be read.
type DamageError struct {
	Path   string
	Next   string // the file of the segment behind it, if there is one
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	mend := fmt.Sprintf("truncate -s %d %s", e.Offset, e.Path)
	if e.Next != "" {
		mend += " && rm " + e.Next
	}
	return fmt.Sprintf("%s is damaged at byte %d: %s. It holds what was committed last, so restore the data from a backup. "+
		"To go on without what was committed from there on: keep a copy of the data, then %s", e.Path, e.Offset, e.Reason, mend)
}

// readHeader reads the beginning of a file. ok is false for a file that was not written to before the process ended.
func readHeader(b []byte) (h Header, ok bool, reason string) {
	if len(b) < headerSize {
		return h, false, ""
	}
	b = b[:headerSize]
	if len(bytes.TrimLeft(b, "\x00")) == 0 {
		return h, false, ""
	}
	if string(b[:16]) != magic {
		return h, false, "it does not begin as a log does"
	}
	h.Number = binary.LittleEndian.Uint64(b[32:])
	h.First = binary.LittleEndian.Uint64(b[40:])
	copy(h.Store[:], b[16:])
	if !bytes.Equal(h.encode(), b) {
		return h, false, "its header has a wrong sum"
	}
	return h, true, ""
}

// readRecords calls fn for the records of a segment, in order, and returns the number of the last commit in it and where it
// ends. What comes behind the last good record is zeros, or was left by an earlier segment, or is a record that was being
// written when the process ended; a later record of this segment shows that it is damage instead.
func readRecords(image []byte, h Header, fn func(seq uint64, payload []byte) error) (last uint64, end int64, reason string, err error) {
	seed := h.seed()
	end, last = headerSize, h.First-1
	for {
		payload, ok := record(image[end:], seed, last+1)
		if !ok {
			break
		}
		if err := fn(last+1, payload); err != nil {
			return last, end, "", err
		}
		last++
		end += recordHead + int64(len(payload))
	}
	for i := end + 1; i+recordHead <= int64(len(image)); i++ {
		seq := binary.LittleEndian.Uint64(image[i+8:])
		if seq <= last || seq-last > uint64(len(image)) {
			continue
		}
		if _, ok := record(image[i:], seed, seq); ok {
			return last, end, fmt.Sprintf("the record of commit %d cannot be read, but that of %d behind it can", last+1, seq), nil
		}
	}
	return last, end, "", nil
}

// record reads the record of a commit at the beginning of b.
func record(b []byte, seed uint32, seq uint64) (payload []byte, ok bool) {
	if len(b) < recordHead || binary.LittleEndian.Uint64(b[8:]) != seq {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n == 0 || n > maxPayload || int(n) > len(b)-recordHead {
		return nil, false
	}
	end := recordHead + int(n)
	if crc32.Update(seed, castagnoli, b[4:end]) != binary.LittleEndian.Uint32(b) {
		return nil, false
	}
	return b[recordHead:end:end], true
}
