package bolt

import (
	"bytes"
	"iter"

	"go.etcd.io/bbolt"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt/internal/memtable"
)

// Scan implements store.Tx.
func (t *tx) Scan(s store.Space, r store.Range) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		i := t.space(s)
		m := merged{reverse: r.Reverse, bolt: t.take(i)}
		defer func() { t.give(i, m.bolt) }()
		m.lo, m.hi = r.Bounds()
		m.over(t, i)
		m.first()
		for n := 0; ; {
			k, v := m.next()
			if k == nil {
				return
			}
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
			if writes != t.writes {
				// What comes next may have been written since.
				m.over(t, i)
				m.behind(k)
			}
		}
	}
}

// merged goes through the layers of a space and the B-tree as if they were one. Of equal keys the first layer's counts.
type merged struct {
	lo, hi  []byte // in the range of the scan
	reverse bool
	layers  [2]memtable.Cursor
	n       int // of the layers
	bolt    *bbolt.Cursor
	k, v    []byte    // where bolt stands; nil: at the end
	keys    [2][]byte // where the layers stand
}

// over sets what is merged.
func (m *merged) over(t *tx, i int) {
	m.n = 0
	for layer, l := range t.spaces[i].lists {
		switch {
		case l == nil:
			continue
		case layer == 0 && t.job != nil:
			m.layers[m.n] = l.WriterCursor(t.seq)
		default:
			m.layers[m.n] = l.Cursor(t.seq)
		}
		m.n++
	}
}

// first goes to the beginning of the range.
func (m *merged) first() {
	if m.reverse {
		m.seekBefore(m.hi)
	} else {
		m.seek(m.lo)
	}
}

// behind goes to the nearest key behind k in the order of the scan.
func (m *merged) behind(k []byte) {
	if m.reverse {
		m.seekBefore(k)
		return
	}
	m.seek(k)
	for i := range m.n {
		if bytes.Equal(m.keys[i], k) {
			m.step(i)
		}
	}
	if bytes.Equal(m.k, k) {
		m.stepBolt()
	}
}

func (m *merged) seek(key []byte) {
	for i := range m.n {
		m.layers[i].Seek(key)
		m.keys[i] = m.inside(m.layers[i].Key())
	}
	if m.bolt == nil {
		return
	}
	if len(key) == 0 {
		m.k, m.v = m.bolt.First()
	} else {
		m.k, m.v = m.bolt.Seek(key)
	}
	m.k = m.inside(m.k)
}

// seekBefore goes to the last key before key; nil is behind all.
func (m *merged) seekBefore(key []byte) {
	for i := range m.n {
		m.layers[i].SeekBefore(key)
		m.keys[i] = m.inside(m.layers[i].Key())
	}
	if m.bolt == nil {
		return
	}
	if key == nil {
		m.k, m.v = m.bolt.Last()
	} else if k, _ := m.bolt.Seek(key); k == nil {
		m.k, m.v = m.bolt.Last()
	} else {
		m.k, m.v = m.bolt.Prev()
	}
	m.k = m.inside(m.k)
}

// inside returns nil for a key that is out of the range.
func (m *merged) inside(k []byte) []byte {
	if k == nil || m.reverse && bytes.Compare(k, m.lo) < 0 || !m.reverse && m.hi != nil && bytes.Compare(k, m.hi) >= 0 {
		return nil
	}
	return k
}

func (m *merged) step(i int) {
	if m.reverse {
		m.layers[i].Prev()
	} else {
		m.layers[i].Next()
	}
	m.keys[i] = m.inside(m.layers[i].Key())
}

func (m *merged) stepBolt() {
	if m.reverse {
		m.k, m.v = m.bolt.Prev()
	} else {
		m.k, m.v = m.bolt.Next()
	}
	m.k = m.inside(m.k)
}

// nearer reports whether k comes before other in the order of the scan.
func (m *merged) nearer(k, other []byte) bool {
	if m.reverse {
		return bytes.Compare(k, other) > 0
	}
	return bytes.Compare(k, other) < 0
}

// next returns the nearest key that was not deleted and goes beyond it; nil at the end.
func (m *merged) next() (k, v []byte) {
	for {
		k, from := m.k, -1
		for i := m.n - 1; i >= 0; i-- {
			if m.keys[i] != nil && (k == nil || !m.nearer(k, m.keys[i])) {
				k, from = m.keys[i], i
			}
		}
		if k == nil {
			return nil, nil
		}
		if from < 0 {
			v = m.v
			m.stepBolt()
			return k, v
		}
		v = m.layers[from].Value()
		for i := range m.n {
			if i == from || bytes.Equal(m.keys[i], k) {
				m.step(i)
			}
		}
		if bytes.Equal(m.k, k) {
			m.stepBolt()
		}
		if v != nil {
			return k, v
		}
	}
}
