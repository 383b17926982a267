package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// place is where a message is found: in the archive of an owner, or in one of its conversations.
type place struct {
	owner directory.ID
	with  string // the bare address of the other side; empty: the whole archive
}

// byKey puts places into the order of their keys.
func byKey(x, y place) int {
	return cmp.Or(cmp.Compare(x.owner, y.owner), strings.Compare(x.with, y.with))
}

// index lists the messages of a place, oldest first, and numbers them: the ordinals of neighbours differ by one. On disk it
// is blocks of at most blockIDs ids. The key of a block ends with the first of them; its value has
//
//	ordinal of the first: uvarint
//	the ids behind it: a uvarint each, less the one before
//
// What was kept lately is in memory only, see recent.
type index struct {
	prefix []byte
	recent []uint64 // ascending; the first of them may be on disk, too
}

const blockIDs = 64

// entry is an element of an index.
type entry struct{ id, ordinal uint64 }

// index returns that of an archive, or of a conversation in it, as it is: it is called before the View in which it is
// read, since what is settled meanwhile is still in it and what was before is on disk.
func (a *Archive) index(o directory.ID, with xmpp.JID) index {
	p := place{o, with.Bare().String()}
	return index{appendPlace(nil, p), a.recent.ids(p)}
}

// list is an index as a transaction sees it.
type list struct {
	index
	tx      store.Tx
	lately  []uint64 // what is not on disk
	ordinal uint64   // of the first of them
}

func (x index) in(tx store.Tx) list {
	l := list{index: x, tx: tx}
	if len(x.recent) > 0 {
		var last entry
		for last = range x.onDisk(tx, 0, maxID, true) {
			break
		}
		l.lately = x.recent[len(until(x.recent, last.id)):]
		l.ordinal = last.ordinal + 1
	}
	return l
}

// scan yields the entries with ids from lo up to, not including, hi, in either direction.
func (l list) scan(lo, hi uint64, backward bool) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		if lo >= hi {
			return
		}
		from, _ := slices.BinarySearch(l.lately, lo)
		to, _ := slices.BinarySearch(l.lately, hi)
		for i := to - 1; backward && i >= from; i-- {
			if !yield(entry{l.lately[i], l.ordinal + uint64(i)}) {
				return
			}
		}
		for e := range l.onDisk(l.tx, lo, hi, backward) {
			if !yield(e) {
				return
			}
		}
		for i := from; !backward && i < to; i++ {
			if !yield(entry{l.lately[i], l.ordinal + uint64(i)}) {
				return
			}
		}
	}
}

// onDisk yields the entries that are on disk, as scan does.
func (x index) onDisk(tx store.Tx, lo, hi uint64, backward bool) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		r := store.Range{Prefix: x.prefix, Reverse: backward}
		if hi < maxID {
			r.To = x.key(hi)
		}
		if lo > 0 { // lo is in the last block that begins before it, or behind that
			before := store.Range{Prefix: x.prefix, To: x.key(lo), Reverse: true, Limit: 1}
			for k := range tx.Scan(spaceIndex, before) {
				r.From = bytes.Clone(k)
			}
		}
		var block []entry
		for k, v := range tx.Scan(spaceIndex, r) {
			block, _ = appendEntries(block[:0], k, v)
			if backward {
				slices.Reverse(block)
			}
			for _, e := range block {
				if lo <= e.id && e.id < hi && !yield(e) {
					return
				}
			}
		}
	}
}

// key returns where the block is that begins with an id.
func (x index) key(id uint64) []byte { return appendID(bytes.Clone(x.prefix), id) }

// appendEntries appends the entries of a block. whole is false for one that is damaged: there may be fewer.
func appendEntries(dst []entry, k, v []byte) (entries []entry, whole bool) {
	dst = slices.Grow(dst, min(len(v), blockIDs))
	n, size := binary.Uvarint(v)
	for e := (entry{idOf(k), n}); size > 0; {
		dst = append(dst, e)
		v = v[size:]
		n, size = binary.Uvarint(v)
		e.id += n
		e.ordinal++
	}
	return dst, len(v) == 0 && len(dst) > 0
}

// has reports whether the index has an id.
func (x index) has(tx store.Tx, id uint64) bool {
	_, found := slices.BinarySearch(x.recent, id)
	if found || id == maxID {
		return found
	}
	for k, v := range tx.Scan(spaceIndex, store.Range{Prefix: x.prefix, To: x.key(id + 1), Reverse: true, Limit: 1}) {
		var block [blockIDs]entry // so it takes no memory
		entries, _ := appendEntries(block[:0], k, v)
		found = slices.ContainsFunc(entries, func(e entry) bool { return e.id == id })
	}
	return found
}

// end returns the first or the last entry of a range.
func (l list) end(lo, hi uint64, last bool) (e entry, ok bool) {
	for e := range l.scan(lo, hi, last) {
		return e, true
	}
	return entry{}, false
}

// ends returns the first and the last id, zero if there is none.
func (l list) ends() (first, last uint64) {
	f, _ := l.end(0, maxID, false)
	t, _ := l.end(0, maxID, true)
	return f.id, t.id
}

// seek returns the id of the entry with an ordinal that lies between those of first and last, by halving the ids
// between them.
func (l list) seek(first, last entry, ordinal uint64) uint64 {
	for first.ordinal < ordinal && first.id < last.id { // there is a gap where a block is damaged
		e, ok := l.end(first.id+(last.id-first.id+1)/2, last.id+1, false)
		switch {
		case !ok:
			return last.id
		case e.ordinal <= ordinal:
			first = e
		default: // e is behind, and so is everything from the middle on
			mid := first.id + (last.id-first.id+1)/2
			if last, ok = l.end(first.id, mid, true); !ok {
				return first.id
			}
		}
	}
	return first.id
}

// extend puts on disk those of the ids, ascending, that come behind what is there.
func (x index) extend(tx store.Tx, ids []uint64) error {
	var key, block []byte
	var last entry
	n, damaged := 0, false
	for k, v := range tx.Scan(spaceIndex, store.Range{Prefix: x.prefix, Reverse: true}) {
		all, whole := appendEntries(nil, k, v)
		if len(all) == 0 {
			damaged = true
			continue
		}
		key, block, n, last = bytes.Clone(k), bytes.Clone(v), len(all), all[len(all)-1]
		if damaged || !whole {
			n = blockIDs // nothing is written behind what cannot be read
		}
		break
	}
	changed := false
	for _, id := range ids {
		if id <= last.id {
			continue
		}
		if n == blockIDs && changed {
			if err := tx.Put(spaceIndex, key, block); err != nil {
				return err
			}
		}
		if n == 0 || n == blockIDs {
			key, block, n = x.key(id), binary.AppendUvarint(nil, last.ordinal+1), 0
		} else {
			block = binary.AppendUvarint(block, id-last.id)
		}
		last = entry{id, last.ordinal + 1}
		n++
		changed = true
	}
	if !changed {
		return nil
	}
	return tx.Put(spaceIndex, key, block)
}

// trim takes what comes before an id off the disk.
func (x index) trim(tx store.Tx, before uint64) error {
	for k, v := range tx.Scan(spaceIndex, store.Range{Prefix: x.prefix, To: x.key(before)}) {
		all, _ := appendEntries(nil, k, v)
		rest, _ := slices.BinarySearchFunc(all, before, func(e entry, id uint64) int {
			if e.id < id {
				return -1
			}
			return 1
		})
		if err := tx.Delete(spaceIndex, k); err != nil {
			return err
		}
		if all = all[rest:]; len(all) == 0 {
			continue
		}
		block := binary.AppendUvarint(nil, all[0].ordinal)
		for i := 1; i < len(all); i++ {
			block = binary.AppendUvarint(block, all[i].id-all[i-1].id)
		}
		if err := tx.Put(spaceIndex, x.key(all[0].id), block); err != nil {
			return err
		}
	}
	return nil
}
