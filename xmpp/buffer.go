package xmpp

import "sync"

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// maxPooled keeps a rare large stanza from staying in memory.
const maxPooled = 64 << 10

// GetBuffer returns an empty buffer to build stanzas in.
func GetBuffer() *[]byte {
	b := buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// PutBuffer gives a buffer back; its bytes must not be used any more.
func PutBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		buffers.Put(b)
	}
}
