package bolt

import (
	"bytes"
	"iter"

	"go.etcd.io/bbolt"

	"confab/xmpp/store"
)

// tx is a transaction as one fn sees it. The fns of a group share the bbolt transaction below, one after the other.
type tx struct {
	db      *DB
	bolt    *bbolt.Tx
	buckets []bucket
	job     *job // nil in a View
	writes  int  // Puts and Deletes so far: a cursor that was set before is out of date
	bytes   int  // written so far
}

type bucket struct {
	space store.Space
	b     *bbolt.Bucket
}

// fillAppend is how full pages of a space become whose keys only ascend.
const fillAppend = 0.95

func (t *tx) bucket(s store.Space) *bbolt.Bucket {
	for i := range t.buckets {
		if t.buckets[i].space == s {
			return t.buckets[i].b
		}
	}
	b := t.bolt.Bucket([]byte(s))
	if b != nil {
		t.keep(s, b)
	}
	return b
}

func (t *tx) keep(s store.Space, b *bbolt.Bucket) {
	if t.db.appends[s] {
		b.FillPercent = fillAppend
	}
	t.buckets = append(t.buckets, bucket{s, b})
}

// end makes a transaction that somebody kept unusable.
func (t *tx) end() { t.bolt, t.buckets = nil, nil }

func (t *tx) Get(s store.Space, key []byte) []byte {
	b := t.bucket(s)
	if b == nil {
		return nil
	}
	return b.Get(key)
}

func (t *tx) Put(s store.Space, key, value []byte) error {
	if t.job == nil {
		return store.ErrReadOnly
	}
	b := t.bucket(s)
	if b == nil {
		var err error
		if b, err = t.bolt.CreateBucketIfNotExists([]byte(s)); err != nil {
			return err
		}
		t.keep(s, b)
	}
	t.wrote(len(key) + len(value))
	return b.Put(key, value)
}

func (t *tx) Delete(s store.Space, key []byte) error {
	if t.job == nil {
		return store.ErrReadOnly
	}
	b := t.bucket(s)
	if b == nil {
		return nil
	}
	t.wrote(len(key))
	return b.Delete(key)
}

func (t *tx) wrote(n int) {
	t.job.dirty = true
	t.writes++
	t.bytes += n
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

func (t *tx) Scan(s store.Space, r store.Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		b := t.bucket(s)
		if b == nil {
			return
		}
		lo, hi := r.Bounds()
		c := b.Cursor()
		k, v := first(c, lo, hi, r.Reverse)
		for n := 0; k != nil && within(k, lo, hi); {
			if n++; r.Limit > 0 && n > r.Limit {
				return
			}
			writes := t.writes
			if !yield(k, v) {
				return
			}
			if t.bolt == nil {
				panic("store: Scan went on after its transaction ended")
			}
			if writes == t.writes {
				k, v = step(c, k, r.Reverse)
			} else {
				// A write may move what a cursor stands on: look for the next key anew.
				c = b.Cursor()
				k, v = beyond(c, k, r.Reverse)
			}
		}
	}
}

func within(k, lo, hi []byte) bool {
	return bytes.Compare(k, lo) >= 0 && (hi == nil || bytes.Compare(k, hi) < 0)
}

// first sets the cursor on the first key of a range in the order of the scan.
func first(c *bbolt.Cursor, lo, hi []byte, reverse bool) (k, v []byte) {
	switch {
	case !reverse && len(lo) == 0:
		return c.First()
	case !reverse:
		return c.Seek(lo)
	case hi == nil:
		return last(c)
	}
	return beyond(c, hi, true)
}

// beyond sets the cursor on the nearest key behind key in the order of the scan.
func beyond(c *bbolt.Cursor, key []byte, reverse bool) (k, v []byte) {
	k, v = c.Seek(key)
	switch {
	case !reverse && k != nil && bytes.Equal(k, key):
		return c.Next()
	case !reverse:
		return k, v
	case k == nil:
		return last(c)
	}
	return prev(c, key)
}

func step(c *bbolt.Cursor, k []byte, reverse bool) (_, _ []byte) {
	if reverse {
		return prev(c, k)
	}
	return c.Next()
}

// Pages that a transaction emptied stay in the tree until it is committed, and bbolt's way back is not prepared for
// them: Last goes round for ever if there is nothing else, and Prev reports the beginning at each.

func last(c *bbolt.Cursor) (k, v []byte) {
	if k, _ := c.First(); k == nil {
		return nil, nil
	}
	return c.Last()
}

// prev moves the cursor from where it stands, at key or behind it, to the nearest key before.
func prev(c *bbolt.Cursor, key []byte) (k, v []byte) {
	if k, v = c.Prev(); k != nil || !c.Bucket().Writable() {
		return k, v
	}
	lowest, _ := c.Bucket().Cursor().First()
	for k == nil && lowest != nil && bytes.Compare(lowest, key) < 0 {
		k, v = c.Prev()
	}
	return k, v
}
