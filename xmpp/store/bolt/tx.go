package bolt

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt/internal/memtable"
	"confab/xmpp/store/bolt/internal/wal"
)

// tx is a transaction as one fn sees it. The fns of a group share it, one after the other.
type tx struct {
	db     *DB
	bolt   *bbolt.Tx // read-only
	snap   *snapshot
	seq    uint64 // what is younger is not seen; in a group this is its own number
	spaces []space
	job    *job // nil in a View
	writes int  // Puts and Deletes so far: a cursor that was set before is out of date
}

// space is what a transaction knows of one space.
type space struct {
	name   store.Space
	lists  [2]*memtable.List // of the layers
	bucket *bbolt.Bucket     // nil: the B-tree does not know it
	cursor *bbolt.Cursor     // nil: not made yet, or taken
}

// space returns the index of a space.
func (t *tx) space(s store.Space) int {
	for i := range t.spaces {
		if t.spaces[i].name == s {
			return i
		}
	}
	sp := space{name: s, bucket: t.bolt.Bucket([]byte(s))}
	for i, l := range t.snap.layers {
		if l != nil {
			sp.lists[i] = l.Space(string(s))
		}
	}
	t.spaces = append(t.spaces, sp)
	return len(t.spaces) - 1
}

// take returns a cursor of the B-tree's part of a space, nil if it has none.
func (t *tx) take(i int) (c *bbolt.Cursor) {
	sp := &t.spaces[i]
	if c, sp.cursor = sp.cursor, nil; c == nil && sp.bucket != nil {
		c = sp.bucket.Cursor()
	}
	return c
}

// give returns a cursor that is not needed any more.
func (t *tx) give(i int, c *bbolt.Cursor) {
	if i < len(t.spaces) {
		t.spaces[i].cursor = c
	}
}

// end makes a transaction that somebody kept unusable.
func (t *tx) end() { t.bolt, t.snap, t.spaces = nil, nil, nil }

func (t *tx) Get(s store.Space, key []byte) []byte {
	i := t.space(s)
	for _, l := range t.spaces[i].lists {
		if l != nil {
			if v, ok := l.Get(key, t.seq); ok {
				return v
			}
		}
	}
	c := t.take(i)
	if c == nil {
		return nil
	}
	k, v := c.Seek(key)
	t.give(i, c)
	if !bytes.Equal(k, key) {
		return nil
	}
	return v
}

func (t *tx) Put(s store.Space, key, value []byte) error {
	if err := t.writable(s, key, value); err != nil {
		return err
	}
	t.db.record.Put(string(s), key, value)
	t.written(s).Put(key, value, t.seq)
	return nil
}

func (t *tx) Delete(s store.Space, key []byte) error {
	if t.job != nil && len(key) == 0 {
		return nil
	}
	if err := t.writable(s, key, nil); err != nil {
		return err
	}
	t.db.record.Delete(string(s), key)
	t.written(s).Delete(key, t.seq)
	return nil
}

// writable refuses what could not be written, or not be taken into the B-tree later.
func (t *tx) writable(s store.Space, key, value []byte) error {
	switch {
	case t.job == nil:
		return store.ErrReadOnly
	case s == metaBucket || len(s) == 0 || len(s) > memtable.MaxKey:
		return fmt.Errorf("store: %q cannot name a space", s)
	case len(key) == 0:
		return berrors.ErrKeyRequired
	case len(key) > memtable.MaxKey:
		return berrors.ErrKeyTooLarge
	case len(value) > memtable.MaxValue:
		return berrors.ErrValueTooLarge
	case !t.db.record.Fits(key, value) || !t.snap.layers[0].Fits(key, value):
		return fmt.Errorf("store: %w", wal.ErrTooLarge)
	}
	return nil
}

// written returns the list of a space that is about to be written to, which may be new.
func (t *tx) written(s store.Space) *memtable.List {
	t.writes++
	sp := &t.spaces[t.space(s)]
	if sp.lists[0] == nil {
		sp.lists[0] = t.snap.layers[0].List(string(s))
	}
	return sp.lists[0]
}

func (t *tx) OnCommit(fn func()) {
	if t.job != nil {
		t.job.commits = append(t.job.commits, fn)
	}
}

func (t *tx) OnGroup(key any, fn func()) {
	if t.job != nil {
		t.job.groups = append(t.job.groups, hook{key, fn})
	}
}
