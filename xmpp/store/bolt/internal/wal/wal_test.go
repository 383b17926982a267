package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var mark = [16]byte{1, 2, 3}

// reopened is what a log says when it is opened.
type reopened struct {
	*Log
	found   []Found
	entries []string // "commit space key value"
}

func open(path string, o Options) (*reopened, error) {
	o.Store = mark
	r := &reopened{}
	var err error
	r.Log, r.found, err = Open(path, o, func(Header) {}, func(seq uint64, e Entry) error {
		r.entries = append(r.entries, fmt.Sprintf("%d %s %s %q", seq, e.Space, e.Key, e.Value))
		return nil
	})
	return r, err
}

func mustOpen(t testing.TB, path string, o Options) *reopened {
	t.Helper()
	r, err := open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// newPath returns the path of a store, whose owner the log gets.
func newPath(t testing.TB) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(p, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// commit appends what number seq stands for.
func commit(l *Log, seq uint64) error {
	var r Record
	r.Reset()
	r.Put("a", fmt.Appendf(nil, "key %d", seq), bytes.Repeat([]byte{byte(seq)}, int(seq*7%50)))
	m := r.Mark()
	r.Put("b", []byte("taken back"), nil)
	r.Rollback(m)
	r.Delete("a", []byte("deleted"))
	r.Delete("c", fmt.Appendf(nil, "%d", seq))
	_, err := l.Append(seq, &r)
	return err
}

// entries are those of the commits from, …, to.
func entries(from, to uint64) (want []string) {
	for seq := from; seq <= to; seq++ {
		want = append(want, fmt.Sprintf("%d a key %d %q", seq, seq, bytes.Repeat([]byte{byte(seq)}, int(seq*7%50))),
			fmt.Sprintf("%d a deleted %q", seq, ""), fmt.Sprintf("%d c %d %q", seq, seq, ""))
	}
	return want
}

// fill starts a segment and commits to it.
func fill(t testing.TB, l *Log, number, from, to uint64) {
	t.Helper()
	if err := l.Start(Header{Store: mark, Number: number, First: from}); err != nil {
		t.Fatal(err)
	}
	for seq := from; seq <= to; seq++ {
		if err := commit(l, seq); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadAgain(t *testing.T) {
	p := newPath(t)
	l := mustOpen(t, p, Options{Sync: Datasync})
	if len(l.found) != 0 {
		t.Errorf("found %v in an empty folder", l.found)
	}
	fill(t, l.Log, 1, 1, 9)
	fill(t, l.Log, 2, 10, 12)
	again := mustOpen(t, p, Options{Sync: Datasync})
	if !slices.Equal(again.entries, entries(1, 12)) || len(again.found) != 2 || again.found[0].Last != 9 || again.found[1].Last != 12 {
		t.Errorf("found %v: %q", again.found, again.entries)
	}
	for seq := uint64(13); seq < 20; seq++ {
		if err := commit(again.Log, seq); err != nil {
			t.Fatal(err)
		}
	}
	// The first is contained in the B-tree now; its file is written over.
	fill(t, again.Log, 3, 20, 21)
	third := mustOpen(t, p, Options{Contained: 1, Last: 9})
	if !slices.Equal(third.entries, entries(10, 21)) || third.Number() != 3 {
		t.Errorf("found %v: %q", third.found, third.entries)
	}
	// Both are contained.
	if r := mustOpen(t, p, Options{Contained: 3, Last: 21}); len(r.entries) != 0 || r.Number() != 0 {
		t.Errorf("read what is in the B-tree: %q", r.entries)
	}
	if err := third.Remove(); err != nil {
		t.Error(err)
	}
	if names, _ := filepath.Glob(p + "?*"); len(names) != 0 {
		t.Errorf("%q were left", names)
	}
}

// TestCutAnywhere cuts a log at each byte: what is whole is read, and the log goes on behind it.
func TestCutAnywhere(t *testing.T) {
	p := newPath(t)
	l := mustOpen(t, p, Options{})
	fill(t, l.Log, 1, 1, 9)
	file := Paths(p)[1]
	image, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ends := recordEnds(image)
	for n := range image {
		for _, tail := range []string{"", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "left from before, and what not"} {
			if tail != "" && n < headerSize {
				continue
			}
			if err := os.WriteFile(file, append(image[:n:n], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			whole := uint64(0)
			for whole < 9 && ends[whole+1] <= n {
				whole++
			}
			r, err := open(p, Options{})
			if err != nil {
				t.Fatalf("cut at %d: %v", n, err)
			}
			if !slices.Equal(r.entries, entries(1, whole)) {
				t.Fatalf("cut at %d: %q, want %d commits", n, r.entries, whole)
			}
			if n < headerSize {
				r.Close()
				continue
			}
			if err := commit(r.Log, whole+1); err != nil {
				t.Fatal(err)
			}
			r.Close()
			r, err = open(p, Options{})
			if err != nil || !slices.Equal(r.entries, entries(1, whole+1)) {
				t.Fatalf("cut at %d, then went on: %v, %q", n, err, r.entries)
			}
			r.Close()
		}
	}
}

// recordEnds returns where the header and the records end.
func recordEnds(image []byte) []int {
	ends := []int{headerSize}
	for at := headerSize; at < len(image); {
		at += recordHead + int(binary.LittleEndian.Uint32(image[at+4:]))
		ends = append(ends, at)
	}
	return ends
}

// TestDamageAnywhere changes each byte: the last record is taken for one that was being written, everything else is damage,
// and what the error says helps.
func TestDamageAnywhere(t *testing.T) {
	p := newPath(t)
	l := mustOpen(t, p, Options{})
	fill(t, l.Log, 1, 1, 4)
	file := Paths(p)[1]
	image, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ends := recordEnds(image)
	for i := range image {
		damaged := bytes.Clone(image)
		damaged[i] ^= 0x20
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := open(p, Options{})
		if i >= ends[3] {
			if err != nil || !slices.Equal(r.entries, entries(1, 3)) {
				t.Fatalf("byte %d, of the last record: %v, %q", i, err, r.entries)
			}
			r.Close()
			continue
		}
		var damage *DamageError
		if !errors.As(err, &damage) || !strings.Contains(err.Error(), "truncate -s ") {
			if i >= headerSize-12 && i < headerSize && err != nil {
				continue
			}
			t.Fatalf("byte %d: %v", i, err)
		}
		if err := os.Truncate(damage.Path, damage.Offset); err != nil {
			t.Fatal(err)
		}
		r, err = open(p, Options{})
		if err != nil || i >= headerSize && len(r.entries) == 0 && i >= ends[1] {
			t.Fatalf("byte %d, when the damage was cut off: %v, %q", i, err, r.entries)
		}
		r.Close()
	}
}

func TestWhatDoesNotBelong(t *testing.T) {
	p := newPath(t)
	l := mustOpen(t, p, Options{})
	fill(t, l.Log, 1, 1, 4)
	fill(t, l.Log, 2, 5, 6)
	says := func(want string, o Options) {
		t.Helper()
		if r, err := open(p, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %q, want %q", err, r.entries, want)
		}
	}
	if _, _, err := Open(p, Options{}, func(Header) {}, nil); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("the log of another store: %v", err)
	}
	file := func(n int) string { return Paths(p)[n%2] }
	keep := func(n int) (restore func()) {
		image, err := os.ReadFile(file(n))
		if err != nil {
			t.Fatal(err)
		}
		return func() { _ = os.WriteFile(file(n), image, 0o600) }
	}
	restore := keep(1)
	_ = os.Truncate(file(1), int64(headerSize+recordHead))
	says("the next segment begins with 5", Options{})
	_ = os.Remove(file(1))
	says("missing", Options{})
	restore()
	restore = keep(2)
	_ = os.Truncate(file(2), 0)
	if r := mustOpen(t, p, Options{}); !slices.Equal(r.entries, entries(1, 4)) {
		t.Errorf("with a file that was only just made: %q", r.entries)
	}
	restore()
	zeroed, _ := os.ReadFile(file(2))
	clear(zeroed[:headerSize])
	_ = os.WriteFile(file(2), zeroed, 0o600)
	says("header is gone", Options{})
}

func TestFailures(t *testing.T) {
	var failure error
	cuts := 0
	p := newPath(t)
	l := mustOpen(t, p, Options{Sync: func(*os.File) error {
		cuts++
		err := failure
		if errors.Is(err, syscall.ENOSPC) {
			failure = nil // once it is cut off there is room
		}
		return err
	}})
	fill(t, l.Log, 1, 1, 2)
	failure = syscall.ENOSPC
	cuts = 0
	if err := commit(l.Log, 3); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrUnknown) || cuts != 2 {
		t.Errorf("a sync without room: %v", err)
	}
	if r := mustOpen(t, p, Options{}); !slices.Equal(r.entries, entries(1, 2)) {
		t.Errorf("after it: %q", r.entries)
	}
	if err := commit(l.Log, 3); err != nil {
		t.Errorf("with room again: %v", err)
	}
	failure = syscall.EIO
	if err := l.Start(Header{Store: mark, Number: 2, First: 4}); !errors.Is(err, syscall.EIO) || l.Number() != 1 {
		t.Errorf("a start that failed: %v, in segment %d", err, l.Number())
	}
	failure = nil
	fill(t, l.Log, 2, 4, 4)
	failure = syscall.EIO
	if err := commit(l.Log, 5); !errors.Is(err, ErrUnknown) || !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync that failed: %v", err)
	}
	if r := mustOpen(t, p, Options{}); !slices.Equal(r.entries[:12], entries(1, 4)) {
		t.Errorf("in the end: %q", r.entries)
	}
}

// FuzzRead reads what pretends to be a segment: what is read is at its beginning, and is read alike when the rest is cut off.
func FuzzRead(f *testing.F) {
	p := newPath(f)
	l := mustOpen(f, p, Options{})
	fill(f, l.Log, 1, 1, 3)
	image, err := os.ReadFile(Paths(p)[1])
	if err != nil {
		f.Fatal(err)
	}
	h, _, _ := readHeader(image)
	f.Add(image[headerSize:], false)
	f.Add(image[headerSize+recordHead:], true)
	read := func(image []byte) (got []string, last uint64, end int64, reason string, err error) {
		last, end, reason, err = readRecords(image, h, func(seq uint64, payload []byte) error {
			return Entries(payload, func(e Entry) error {
				got = append(got, fmt.Sprintf("%d %q %q %q", seq, e.Space, e.Key, e.Value))
				return nil
			})
		})
		return got, last, end, reason, err
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		_, _, _ = readHeader(b)
		all := append(h.encode(), b...)
		if sealed { // in a record whose sum is right, so that entries are tried too
			r := Record{buf: append(make([]byte, recordHead), b...)}
			all = append(h.encode(), r.seal(1, h.seed())...)
		}
		got, last, end, _, err := read(all)
		if end < headerSize || end > int64(len(all)) || err != nil && !errors.Is(err, errEntry) {
			t.Fatalf("ended at %d of %d: %v", end, len(all), err)
		}
		if err != nil {
			return
		}
		again, lastAgain, endAgain, reason, err := read(all[:end])
		if err != nil || reason != "" || lastAgain != last || endAgain != end || !slices.Equal(again, got) {
			t.Errorf("%q up to %d, then %q up to %d: %s %v", got, end, again, endAgain, reason, err)
		}
	})
}

// TestForged puts the bytes of a record into a value: they are no record of the log.
func TestForged(t *testing.T) {
	p := newPath(t)
	l := mustOpen(t, p, Options{})
	fill(t, l.Log, 1, 1, 1)
	var forged Record
	forged.Reset()
	forged.Put("a", []byte("forged"), nil)
	value := bytes.Clone(forged.seal(3, crc32.Checksum(nil, castagnoli)))
	var r Record
	r.Reset()
	r.Put("a", []byte("k"), value)
	if _, err := l.Append(2, &r); err != nil {
		t.Fatal(err)
	}
	// As if the second commit had been torn.
	file := Paths(p)[1]
	image, _ := os.ReadFile(file)
	image[recordEnds(image)[1]] ^= 1
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	if again := mustOpen(t, p, Options{}); !slices.Equal(again.entries, entries(1, 1)) {
		t.Errorf("%q", again.entries)
	}
}
