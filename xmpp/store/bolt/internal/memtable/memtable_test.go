package memtable

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
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

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func randomKey(random *rand.Rand) []byte {
	switch random.IntN(3) {
	case 0:
		return fmt.Appendf(nil, "%d", random.IntN(300))
	case 1:
		return fmt.Appendf(nil, "the same beginning %d", random.IntN(300))
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
					table.Delete("s", k, seq)
					m[string(k)] = nil
				} else {
					table.Put("s", k, v, seq)
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

// TestReadersWhileWriting has readers check that each sees one commit, whole, while keys are added, changed and rolled back.
func TestReadersWhileWriting(t *testing.T) {
	table := New()
	var last atomic.Uint64
	var readers sync.WaitGroup
	commit := func(random *rand.Rand, seq uint64) {
		v := fmt.Appendf(nil, "%d", seq)
		for _, i := range random.Perm(100)[:10] {
			table.Put("s", fmt.Appendf(nil, "%d", i), v, seq)
		}
		table.Put("s", []byte("first"), v, seq)
		table.Put("s", fmt.Appendf(nil, "n%09d", seq), v, seq)
		table.Put("s", []byte("~last"), v, seq)
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
	table.Put("s", []byte("z"), []byte("v"), 1)
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
		table.Put("s", fmt.Appendf(nil, "k%06d", i), nil, 2)
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
		table.Put("s", k, v, 1)
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

func BenchmarkPut(b *testing.B) {
	table := New()
	random := rand.New(rand.NewPCG(1, 2))
	key, value := make([]byte, 17), make([]byte, 60)
	for i := 0; b.Loop(); i++ {
		if i%100_000 == 0 {
			table = New()
		}
		key[7] = byte(random.Uint32())
		for j := range 8 {
			key[9+j] = byte(i >> (56 - 8*j))
		}
		table.Put("s", key, value, uint64(i))
		table.Keep()
	}
}
