package memtable

import "sync/atomic"

// Arenas hold what a table is made of in chunks without pointers, so that the collector has nothing to walk through. An
// index or offset stays what it is. One goroutine allocates; others read what they found an index of.

const (
	chunkBits = 10
	chunkSize = 1 << chunkBits
)

// arena holds elements of one type. Index 0 is never given away.
type arena[T any] struct {
	chunks atomic.Pointer[[]*[chunkSize]T] // replaced, never changed, when it grows
	end    uint32                          // of the writer
}

func (a *arena[T]) at(i uint32) *T {
	return &(*a.chunks.Load())[i>>chunkBits][i&(chunkSize-1)]
}

// alloc returns the index of the first of n elements in a row.
func (a *arena[T]) alloc(n uint32) uint32 {
	var chunks []*[chunkSize]T
	if p := a.chunks.Load(); p != nil {
		chunks = *p
	}
	if a.end == 0 {
		a.end = 1
	}
	if a.end>>chunkBits != (a.end+n-1)>>chunkBits {
		a.end = (a.end + n - 1) &^ (chunkSize - 1) // the rest of a chunk is too short
	}
	if int(a.end>>chunkBits) == len(chunks) {
		grown := append(chunks[:len(chunks):len(chunks)], new([chunkSize]T))
		a.chunks.Store(&grown)
	}
	i := a.end
	a.end += n
	return i
}

const (
	slotBits   = 18
	slotSize   = 1 << slotBits
	firstBlock = 16 << 10
	maxSlots   = 1 << (32 - slotBits)
)

// blocks hold bytes. An offset is made of the number of a slot and a place in the block that begins there; a block that
// is longer than a slot takes the numbers of several.
type blocks struct {
	slots atomic.Pointer[[][]byte] // replaced, never changed, when it grows
	last  []byte                   // of the writer: the block that is being filled
	base  uint32                   // its offset
	used  int                      // bytes of it
	total int
}

// fits reports whether there are offsets left for n bytes.
func (b *blocks) fits(n int) bool {
	taken := 0
	if p := b.slots.Load(); p != nil {
		taken = len(*p)
	}
	return taken+(n+slotSize-1)>>slotBits+1 < maxSlots
}

// alloc returns n bytes to be filled and their offset.
func (b *blocks) alloc(n int) ([]byte, uint32) {
	if b.used+n > len(b.last) {
		b.grow(n)
	}
	from := b.used
	b.used += n
	b.total += n
	return b.last[from:b.used:b.used], b.base + uint32(from)
}

func (b *blocks) grow(n int) {
	var slots [][]byte
	if p := b.slots.Load(); p != nil {
		slots = *p
	}
	size := min(slotSize, max(firstBlock, 2*len(b.last)))
	b.last, b.used = make([]byte, max(n, size)), 0
	b.base = uint32(len(slots)) << slotBits
	slots = append(slots[:len(slots):len(slots)], b.last)
	for taken := slotSize; taken < len(b.last); taken += slotSize {
		slots = append(slots, nil)
	}
	b.slots.Store(&slots)
}

func (b *blocks) at(off, n uint32) []byte {
	from := off & (slotSize - 1)
	return (*b.slots.Load())[off>>slotBits][from : from+n : from+n]
}
