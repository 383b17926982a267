package memtable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// model is what a table should hold as of one commit: nil for what was deleted.
type model map[string][]byte

// check compares a list with the model, in both directions and key by key.
func check(t *testing.T, l *List, seq uint64, want model) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	c := l.Cursor(seq)
	c.Seek(nil)
	for _, k := range keys {
		if string(c.Key()) != k || !same(c.Value(), want[k]) {
			t.Fatalf("as of %d: at %q, want %q", seq, c.Key(), k)
		}
		if v, ok := l.Get([]byte(k), seq); !ok || !same(v, want[k]) {
			t.Fatalf("as of %d: Get(%q) = %q, %v, want %q", seq, k, v, ok, want[k])
		}
		c.Next()
	}
	if c.Key() != nil {
		t.Fatalf("as of %d: %q follows the last", seq, c.Key())
	}
	c.SeekBefore(nil)
	for _, k := range slices.Backward(keys) {
		if string(c.Key()) != k {
			t.Fatalf("as of %d, backwards: at %q, want %q", seq, c.Key(), k)
		}
		c.Prev()
	}
	if c.Key() != nil {
		t.Fatalf("as of %d: %q is before the first", seq, c.Key())
	}
}

// checkLevels holds that each level leads to all nodes that are high enough, and that what the writer remembers of it is true.
func checkLevels(t *testing.T, l *List) {
	t.Helper()
	order := map[uint32]int{}
	var nodes []uint32
	for i := l.first; i != 0; i = l.t.nodes.at(i).next.Load() {
		order[i] = len(nodes)
		nodes = append(nodes, i)
	}
	for level := range maxHeight {
		last, before := l.first, l.first
		for _, i := range nodes[1:] {
			if int(l.t.nodes.at(i).height) <= level {
				continue
			}
			if next := l.t.link(l.t.nodes.at(last), level).Load(); next != i {
				t.Fatalf("on level %d, %d is followed by %d, want %d", level, last, next, i)
			}
			last = i
			if order[i] <= order[l.finger[0]] {
				before = i
			}
		}
		if next := l.t.link(l.t.nodes.at(last), level).Load(); next != 0 || l.tails[level] != last || l.finger[level] != before {
			t.Fatalf("level %d ends with %d, not %d, and the finger is at %d, not %d; %d follows", level, l.tails[level], last, l.finger[level], before, next)
		}
	}
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func randomKey(random *rand.Rand) []byte {
	switch random.IntN(4) {
	case 0:
		return fmt.Appendf(nil, "%d", random.IntN(300))
	case 1:
		return fmt.Appendf(nil, "the same long beginning %d", random.IntN(300))
	case 2:
		return fmt.Appendf(nil, "owner%03d%04d", random.IntN(5), random.IntN(300))
	}
	return bytes.Repeat([]byte{0}, 1+random.IntN(12))
}

func TestModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table := New()
	past := []model{{}}
	for seq := uint64(1); seq < 200; seq++ {
		now := maps.Clone(past[seq-1])
		for range random.IntN(6) {
			write := func(m model) {
				k, v := randomKey(random), make([]byte, random.IntN(40))
				if random.IntN(3) == 0 {
					table.List("s").Delete(k, seq)
					m[string(k)] = nil
				} else {
					table.List("s").Put(k, v, seq)
					m[string(k)] = bytes.Clone(v)
					clear(k)
				}
			}
			write(now)
			mark := table.Mark()
			for range random.IntN(3) {
				write(model{})
			}
			table.Rollback(mark)
		}
		table.Keep()
		past = append(past, now)
	}
	for seq, want := range past {
		check(t, table.Space("s"), uint64(seq), want)
	}
	checkLevels(t, table.Space("s"))
	l := table.Space("s")
	for range 2000 {
		k := randomKey(random)
		want := past[len(past)-1]
		keys := slices.Sorted(maps.Keys(want))
		i, _ := slices.BinarySearch(keys, string(k))
		at := func(i int) []byte {
			if i < 0 || i == len(keys) {
				return nil
			}
			return []byte(keys[i])
		}
		c := l.Cursor(1000)
		if c.Seek(k); !same(c.Key(), at(i)) {
			t.Fatalf("Seek(%q) went to %q, want %q", k, c.Key(), at(i))
		}
		if c.SeekBefore(k); !same(c.Key(), at(i-1)) {
			t.Fatalf("SeekBefore(%q) went to %q, want %q", k, c.Key(), at(i-1))
		}
	}
}

// TestAscending writes the keys of many in turn, which ascend for each, and takes some back: each has a hint, and some share it.
func TestAscending(t *testing.T) {
	const owners = 3 << hintBits
	table := New()
	list := table.List("s")
	want := model{}
	random := rand.New(rand.NewPCG(7, 8))
	for i := range 20_000 {
		owner := uint64(random.IntN(owners))
		k := binary.BigEndian.AppendUint64(nil, owner)
		if i%2 == 0 {
			k = append(k, "with somebody, whose address is long"...)
		}
		k = binary.BigEndian.AppendUint64(k, uint64(i))
		list.Put(k, k, uint64(i))
		if random.IntN(50) == 0 {
			c := list.WriterCursor(uint64(i))
			c.SeekBefore(k[:8])
		}
		if i%2000 == 0 {
			checkLevels(t, list)
		}
		switch random.IntN(10) {
		case 0:
			table.Rollback(table.Mark() - 1)
			continue
		case 1:
			table.Rollback(table.Mark() - 1)
			list.Put(k, k, uint64(i))
		}
		table.Keep()
		want[string(k)] = k
	}
	check(t, list, 20_000, want)
}

// TestNodeFillsLine holds what the order of the fields is for.
func TestNodeFillsLine(t *testing.T) {
	if n := unsafe.Sizeof(node{}); n != 64 {
		t.Errorf("a node has %d bytes", n)
	}
}

// TestReadersWhileWriting has readers check that each sees one commit, whole, while keys are added, changed and rolled back.
func TestReadersWhileWriting(t *testing.T) {
	table := New()
	var last atomic.Uint64
	var readers sync.WaitGroup
	commit := func(random *rand.Rand, seq uint64) {
		v := fmt.Appendf(nil, "%d", seq)
		for _, i := range random.Perm(100)[:10] {
			table.List("s").Put(fmt.Appendf(nil, "%d", i), v, seq)
		}
		table.List("s").Put([]byte("first"), v, seq)
		table.List("s").Put(fmt.Appendf(nil, "n%09d", seq), v, seq)
		table.List("s").Put([]byte("~last"), v, seq)
	}
	commit(rand.New(rand.NewPCG(1, 1)), 1)
	table.Keep()
	last.Store(1)
	for range 4 {
		readers.Go(func() {
			for seq := uint64(0); seq < 400; {
				seq = last.Load()
				l := table.Space("s")
				want := fmt.Sprint(seq)
				n := 0
				c := l.Cursor(seq)
				for c.Seek([]byte("n")); len(c.Key()) == 10; c.Next() {
					n++
				}
				a, _ := l.Get([]byte("first"), seq)
				b, _ := l.Get([]byte("~last"), seq)
				back := 0
				for c.SeekBefore(nil); c.Key() != nil; c.Prev() {
					if len(c.Key()) == 10 {
						back++
					}
				}
				if string(a) != want || string(b) != want || uint64(n) != seq || uint64(back) != seq {
					t.Errorf("as of %d: %q, %q, %d keys, backwards %d", seq, a, b, n, back)
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(3, 4))
	for seq := uint64(2); seq <= 400; seq++ {
		commit(random, seq)
		table.Rollback(0)
		commit(random, seq)
		table.Keep()
		last.Store(seq)
	}
	readers.Wait()
}

// TestGetWhileWriting looks a key up while others are written right before it.
func TestGetWhileWriting(t *testing.T) {
	table := New()
	table.List("s").Put([]byte("z"), []byte("v"), 1)
	l := table.Space("s")
	var ended atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !ended.Load() {
				if v, ok := l.Get([]byte("z"), 1); !ok || string(v) != "v" {
					t.Errorf("Get = %q, %v", v, ok)
					return
				}
			}
		})
	}
	for i := range 200_000 {
		table.List("s").Put(fmt.Appendf(nil, "k%06d", i), nil, 2)
	}
	ended.Store(true)
	wg.Wait()
}

// TestLargeValues mixes values that need blocks of their own with small ones.
func TestLargeValues(t *testing.T) {
	table := New()
	random := rand.New(rand.NewPCG(5, 6))
	want := model{}
	for i := range 200 {
		k, v := fmt.Appendf(nil, "%d", i), make([]byte, random.IntN(3*slotSize)>>random.IntN(18))
		for j := range v {
			v[j] = byte(i + j)
		}
		table.List("s").Put(k, v, 1)
		want[string(k)] = v
	}
	check(t, table.Space("s"), 1, want)
	if !table.Fits(make([]byte, MaxKey), make([]byte, MaxValue)) {
		t.Error("there is no room for the largest value")
	}
	if table.data.fits(1 << 32) {
		t.Error("there is room for what has no offset")
	}
}

// BenchmarkPut writes as an archive does: somebody's messages ten at a time, and of each a body, and for both sides a row and
// one in their conversation. A table takes 20,000 messages.
func BenchmarkPut(b *testing.B) {
	for _, owners := range []uint64{100, 5000} {
		b.Run(fmt.Sprintf("owners=%d", owners), func(b *testing.B) {
			var table *Table
			key, value := make([]byte, 0, 64), make([]byte, 400)
			put := func(l *List, id uint64, n int) {
				key = binary.BigEndian.AppendUint64(key, id)
				l.Put(key, value[:n], id)
			}
			for id := uint64(0); b.Loop(); id += 10 {
				if id%20_000 == 0 {
					table = New()
				}
				bodies, rows := table.List("body"), table.List("row")
				from := id / 10 * 7919 % owners
				sides := []uint64{from, from ^ 1}
				for i := range uint64(10) {
					key = key[:0]
					put(bodies, id+i, 330)
				}
				for i := range uint64(10) {
					for _, owner := range sides {
						key = append(binary.BigEndian.AppendUint64(key[:0], owner), 0)
						put(rows, id+i, 18)
					}
				}
				for _, owner := range sides {
					for i := range uint64(10) {
						key = append(binary.BigEndian.AppendUint64(key[:0], owner), "somebody@example.com\x00"...)
						put(rows, id+i, 2)
					}
				}
				table.Keep()
			}
		})
	}
}
