// Package memtable is an ordered map, in named spaces, of what was written last and is not yet in the B-tree. One
// goroutine writes; any number read, each as of one moment, and nobody waits for anybody.
//
// A space is a skip list. A node is a key; on it hang the versions of its value, the newest first, each with the number of
// the commit that made it, so that a reader passes over what is younger than its snapshot. Nothing is ever taken away: what is
// rolled back loses its version and leaves a node without any.
package memtable

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"sync/atomic"
)

const (
	maxHeight = 12 // a quarter of each level is on the next: enough for 16 million
	deleted   = 1<<32 - 1
	own       = 1<<32 - 1 // stands for the first version of a node, other numbers for a change
	hintBits  = 10

	// MaxKey and MaxValue are how long a key and a value may be, in bytes.
	MaxKey   = 1 << 15
	MaxValue = 1 << 30
)

// Table is the map.
type Table struct {
	spaces  atomic.Pointer[map[string]*List] // replaced, never changed, when there is a new one
	data    blocks
	nodes   arena[node]
	links   arena[atomic.Uint32]
	changes arena[change]
	undo    []uint32 // nodes that were given a version since Keep
	random  uint32
	size    atomic.Int64
}

// node is a key. What is not atomic does not change once the node is linked, but for first, which does not once it is head.
// It is as long as a line of the processor's cache, and chunks begin with one.
type node struct {
	prefix prefix // of the key: most comparisons need no more
	key    uint32
	tower  uint32 // links: the next nodes on the levels above 0
	keyLen uint16
	height uint8
	next   atomic.Uint32 // on level 0
	prev   atomic.Uint32 // on level 0
	head   atomic.Uint32 // the newest version, 0 if there is none
	first  version       // what was written when the node was made: most keys are written once
}

// version is a value, or that there is none (length deleted).
type version struct {
	seq   uint64
	value uint32
	len   uint32
}

// change is a version that was written to a node that was there.
type change struct {
	version
	older uint32
}

// List is a space of a table.
type List struct {
	t      *Table
	first  uint32 // a node without a key, before all others
	height atomic.Int32
	tail   atomic.Uint32

	// Of the writer: the last node of each level, and those behind which it looked last. Who has looked for the end of a
	// range often writes there.
	tails, finger path

	// Of the writer: the last node written of the keys that begin alike, as those do that belong to somebody, and often
	// ascend while others write theirs in between.
	hints [1 << hintBits]uint32
}

// path is a place between nodes: on each level the last before it.
type path [maxHeight]uint32

// New returns an empty table.
func New() *Table {
	t := &Table{random: 0x9e3779b9}
	t.spaces.Store(new(map[string]*List))
	return t
}

// Space returns the list of a space, nil if nothing was ever written to it.
func (t *Table) Space(name string) *List { return (*t.spaces.Load())[name] }

// Spaces returns the names of the spaces in order.
func (t *Table) Spaces() []string { return slices.Sorted(maps.Keys(*t.spaces.Load())) }

// Size returns how many bytes the table holds in memory.
func (t *Table) Size() int64 { return t.size.Load() }

// Empty reports whether nothing was ever written.
func (t *Table) Empty() bool { return t.size.Load() == 0 }

// Fits reports whether a key and a value find room in the table.
func (t *Table) Fits(key, value []byte) bool {
	return t.data.fits(len(key)+len(value)) && t.nodes.end < 1<<30 && t.changes.end < 1<<30
}

// List returns the list of a space, which it makes if there is none.
func (t *Table) List(space string) *List {
	if l := t.Space(space); l != nil {
		return l
	}
	return t.addSpace(space)
}

// Put sets a value as of the commit seq, which is not before any other that was written. Key and value are copied.
func (l *List) Put(key, value []byte, seq uint64) {
	b, off := l.t.data.alloc(len(value))
	copy(b, value)
	l.write(key, version{seq: seq, value: off, len: uint32(len(value))})
}

// Delete notes that key has no value as of the commit seq.
func (l *List) Delete(key []byte, seq uint64) {
	l.write(key, version{seq: seq, len: deleted})
}

// Mark returns a place to which Rollback goes back.
func (t *Table) Mark() int { return len(t.undo) }

// Rollback takes back what was written since Mark, which was after Keep.
func (t *Table) Rollback(mark int) {
	for _, i := range slices.Backward(t.undo[mark:]) {
		n := t.nodes.at(i)
		if head := n.head.Load(); head == own {
			n.head.Store(0)
		} else {
			n.head.Store(t.changes.at(head).older)
		}
	}
	t.undo = t.undo[:mark]
}

// Keep makes all that was written stay.
func (t *Table) Keep() { t.undo = t.undo[:0] }

func (l *List) write(key []byte, v version) {
	t := l.t
	i, made := l.node(key)
	n := t.nodes.at(i)
	if made {
		n.first = v
		n.head.Store(own)
	} else {
		c := t.changes.alloc(1)
		*t.changes.at(c) = change{version: v, older: n.head.Load()}
		n.head.Store(c)
	}
	t.undo = append(t.undo, i)
	t.size.Store(int64(t.data.total) + 64*int64(t.nodes.end) + 4*int64(t.links.end) + 24*int64(t.changes.end))
}

func (t *Table) addSpace(name string) *List {
	l := &List{t: t, first: t.newNode(nil, maxHeight)}
	l.height.Store(1)
	l.tail.Store(l.first)
	for i := range l.tails {
		l.tails[i], l.finger[i] = l.first, l.first
	}
	spaces := maps.Clone(*t.spaces.Load())
	if spaces == nil {
		spaces = make(map[string]*List)
	}
	spaces[name] = l
	t.spaces.Store(&spaces)
	return l
}

func (t *Table) newNode(key []byte, height int) uint32 {
	i := t.nodes.alloc(1)
	n := t.nodes.at(i)
	n.height = uint8(height)
	n.prefix = prefixOf(key)
	n.keyLen = uint16(len(key))
	if len(key) > 0 {
		b, off := t.data.alloc(len(key))
		copy(b, key)
		n.key = off
	}
	if height > 1 {
		n.tower = t.links.alloc(uint32(height - 1))
	}
	return i
}

// prefix is the first 24 bytes of a key as numbers: if those of two keys differ, they are ordered as the keys are.
type prefix struct{ a, b, c uint64 }

const prefixLen = 24

// hash returns the place of the hint for keys that begin and are as long as one does whose prefix this is.
func (p prefix) hash(length int) uint64 {
	return (p.a + uint64(length)<<48) * 0x9e3779b97f4a7c15 >> (64 - hintBits)
}

func prefixOf(key []byte) prefix {
	if len(key) < prefixLen {
		var b [prefixLen]byte
		copy(b[:], key)
		key = b[:]
	}
	return prefix{binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:]), binary.BigEndian.Uint64(key[16:])}
}

func (t *Table) link(n *node, level int) *atomic.Uint32 {
	if level == 0 {
		return &n.next
	}
	return t.links.at(n.tower + uint32(level-1))
}

func (t *Table) key(n *node) []byte { return t.data.at(n.key, uint32(n.keyLen)) }

// compare orders a node's key and key, whose prefix is given.
func (t *Table) compare(n *node, key []byte, p prefix) int {
	switch {
	case n.prefix.a != p.a:
		return cmp.Compare(n.prefix.a, p.a)
	case n.prefix.b != p.b:
		return cmp.Compare(n.prefix.b, p.b)
	case n.prefix.c != p.c:
		return cmp.Compare(n.prefix.c, p.c)
	case len(key) <= prefixLen || n.keyLen <= prefixLen:
		return cmp.Compare(int(n.keyLen), len(key))
	}
	return bytes.Compare(t.key(n)[prefixLen:], key[prefixLen:])
}

// before returns the last node whose key is less than key, which may be the first of all. If found is not nil, it gets the
// same for each level.
func (l *List) before(key []byte, found *path) uint32 {
	t, p := l.t, prefixOf(key)
	i, beyond := l.first, uint32(0)
	n := t.nodes.at(i)
	for level := int(l.height.Load()) - 1; level >= 0; level-- {
		for {
			next := t.link(n, level).Load()
			if next == 0 || next == beyond {
				break
			}
			at := t.nodes.at(next)
			if t.compare(at, key, p) >= 0 {
				beyond = next
				break
			}
			i, n = next, at
		}
		if found != nil {
			found[level] = i
		}
	}
	return i
}

// node returns the node of a key, and whether it made it.
func (l *List) node(key []byte) (i uint32, made bool) {
	p, height := prefixOf(key), l.t.randomHeight()
	hint := &l.hints[p.hash(len(key))]
	near := &l.tails
	i, ok := l.beside(near[0], key, p)
	if !ok && height == 1 && *hint != 0 {
		near = &path{*hint} // which knows no level but the lowest
		i, ok = l.beside(near[0], key, p)
	}
	if !ok {
		near = &l.finger
		i, ok = l.beside(near[0], key, p)
	}
	if !ok {
		i, _ = l.beside(l.before(key, near), key, p)
	}
	if made = i == 0; made {
		i = l.insert(key, near, height)
	}
	*hint = i
	return i, made
}

// beside returns the node of key if that is at or the one behind it, and 0 if key belongs between these two. ok is false if
// it is anywhere else.
func (l *List) beside(at uint32, key []byte, p prefix) (i uint32, ok bool) {
	t := l.t
	if order := t.compare(t.nodes.at(at), key, p); order >= 0 {
		return at, order == 0
	}
	next := t.nodes.at(at).next.Load()
	if next == 0 {
		return 0, true
	}
	switch order := t.compare(t.nodes.at(next), key, p); {
	case order == 0:
		return next, true
	case order > 0:
		return 0, true
	}
	return 0, false
}

// insert makes a node behind those of near, which needs to know as many levels as the node is high, and moves near there. A
// reader may come past at any moment: each link leads to a node that is complete, and readers who see but a part of the
// links pass over what is younger than they anyway.
func (l *List) insert(key []byte, near *path, height int) uint32 {
	t := l.t
	i := t.newNode(key, height)
	n := t.nodes.at(i)
	prev := near[0]
	next := t.nodes.at(prev).next.Load()
	n.prev.Store(prev)
	for level := range height {
		t.link(n, level).Store(t.link(t.nodes.at(near[level]), level).Load())
	}
	for level := range height {
		t.link(t.nodes.at(near[level]), level).Store(i)
		if l.tails[level] == near[level] {
			l.tails[level] = i
		}
		near[level] = i
	}
	if l.finger[0] == prev {
		copy(l.finger[:height], near[:height])
	}
	if next == 0 {
		l.tail.Store(i)
	} else {
		t.nodes.at(next).prev.Store(i)
	}
	if int32(height) > l.height.Load() {
		l.height.Store(int32(height))
	}
	return i
}

func (t *Table) randomHeight() int {
	t.random ^= t.random << 13
	t.random ^= t.random >> 17
	t.random ^= t.random << 5
	height := 1
	for r := t.random; height < maxHeight && r&3 == 0; r >>= 2 {
		height++
	}
	return height
}

// visible returns what a node holds as of the commit seq.
func (t *Table) visible(n *node, seq uint64) *version {
	for i := n.head.Load(); i != 0; {
		if i == own {
			if n.first.seq <= seq {
				return &n.first
			}
			break
		}
		c := t.changes.at(i)
		if c.seq <= seq {
			return &c.version
		}
		i = c.older
	}
	return nil
}

// value returns nil for what was deleted.
func (t *Table) value(v *version) []byte {
	switch v.len {
	case deleted:
		return nil
	case 0:
		return []byte{}
	}
	return t.data.at(v.value, v.len)
}

// Get returns the value of key as of the commit seq, nil if it was deleted; ok is false if the list does not know the key.
func (l *List) Get(key []byte, seq uint64) (value []byte, ok bool) {
	t := l.t
	p := prefixOf(key)
	for i := t.nodes.at(l.before(key, nil)).next.Load(); i != 0; {
		n := t.nodes.at(i)
		switch order := t.compare(n, key, p); {
		case order > 0:
			return nil, false
		case order < 0: // written since before looked
			i = n.next.Load()
			continue
		}
		v := t.visible(n, seq)
		if v == nil {
			return nil, false
		}
		return t.value(v), true
	}
	return nil, false
}

// Cursor goes through a list as of one commit. The zero value stands nowhere.
type Cursor struct {
	l   *List
	seq uint64
	n   uint32 // 0 or l.first: nowhere
	v   *version

	path *path
}

// Cursor returns a cursor that stands nowhere. The list may be nil.
func (l *List) Cursor(seq uint64) Cursor { return Cursor{l: l, seq: seq} }

// WriterCursor returns a cursor of the writer, who may write where it stands.
func (l *List) WriterCursor(seq uint64) Cursor { return Cursor{l: l, seq: seq, path: &l.finger} }

// Seek goes to the first key that is not before key.
func (c *Cursor) Seek(key []byte) {
	if c.l != nil {
		c.n = c.l.before(key, c.path)
		c.Next()
	}
}

// SeekBefore goes to the last key before key; nil stands for the end.
func (c *Cursor) SeekBefore(key []byte) {
	switch {
	case c.l == nil:
	case key == nil:
		c.n = c.l.tail.Load()
		c.settleBack()
	default:
		c.n = c.l.before(key, c.path)
		c.settleBack()
	}
}

// Next goes to the next key.
func (c *Cursor) Next() {
	for c.n != 0 {
		c.n = c.l.t.nodes.at(c.n).next.Load()
		if c.n == 0 {
			return
		}
		if c.v = c.l.t.visible(c.l.t.nodes.at(c.n), c.seq); c.v != nil {
			return
		}
	}
}

// Prev goes to the key before.
func (c *Cursor) Prev() {
	if c.n != 0 {
		c.n = c.l.t.nodes.at(c.n).prev.Load()
		c.settleBack()
	}
}

func (c *Cursor) settleBack() {
	for c.n != c.l.first {
		n := c.l.t.nodes.at(c.n)
		if c.v = c.l.t.visible(n, c.seq); c.v != nil {
			return
		}
		c.n = n.prev.Load()
	}
	c.n = 0
}

// Key returns the key where the cursor stands, nil if it stands nowhere.
func (c *Cursor) Key() []byte {
	if c.n == 0 {
		return nil
	}
	return c.l.t.key(c.l.t.nodes.at(c.n))
}

// Value returns the value where the cursor stands, nil if it was deleted.
func (c *Cursor) Value() []byte { return c.l.t.value(c.v) }
