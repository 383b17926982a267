package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
)

// put writes the keys from, …, to-1, a commit each.
func put(t testing.TB, db store.DB, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := db.Update(context.Background(), func(tx store.Tx) error { return tx.Put(space, key(i), []byte("x")) }); err != nil {
			t.Fatal(err)
		}
	}
}

// await waits until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// checkpoint takes what is in the log into the B-tree.
func checkpoint(t testing.TB, db *bolt.DB) {
	t.Helper()
	before := db.Stats().Checkpoints
	db.Age()
	await(t, "a checkpoint", func() bool { return db.Stats().Checkpoints > before })
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// TestCloseLeavesNoLog closes a store: what was in the log is in the file alone.
func TestCloseLeavesNoLog(t *testing.T) {
	p := path(t)
	db := open(t, p, bolt.Options{})
	put(t, db, 0, 10)
	if s := db.Stats(); !exists(bolt.LogPaths(p)[1]) || s.LogBytes == 0 || s.OverlayBytes == 0 {
		t.Errorf("the commits are not in the log: %+v", s)
	}
	checkpoint(t, db)
	put(t, db, 10, 20)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, l := range bolt.LogPaths(p) {
		if exists(l) {
			t.Errorf("%s was left", l)
		}
	}
	db = open(t, p, bolt.Options{})
	defer db.Close()
	if n := count(t, db); n != 20 {
		t.Errorf("%d keys, want 20", n)
	}
	if exists(bolt.LogPaths(p)[0]) || exists(bolt.LogPaths(p)[1]) {
		t.Error("reading made a log")
	}
}

// TestCutTail cuts the log of a crashed store at each byte of its last commits.
func TestCutTail(t *testing.T) {
	p := path(t)
	db := open(t, p, bolt.Options{NoSync: true})
	defer db.Close()
	put(t, db, 0, 20)
	var ends []int64
	for i := 20; i < 24; i++ {
		ends = append(ends, db.Size())
		put(t, db, i, i+1)
	}
	base, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	log := bolt.LogPaths(p)[1]
	whole, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	for n := ends[0] - base.Size(); n <= whole.Size(); n++ {
		want := 19
		for _, end := range append(ends, base.Size()+whole.Size()) {
			if n+base.Size() >= end {
				want++
			}
		}
		copied := path(t)
		copyStore(t, p, copied)
		if err := os.Truncate(bolt.LogPaths(copied)[1], n); err != nil {
			t.Fatal(err)
		}
		db := open(t, copied, bolt.Options{NoSync: true})
		if got := count(t, db); got != want {
			t.Fatalf("cut at %d: %d keys, want %d", n, got, want)
		}
		put(t, db, want, want+1)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, copied, bolt.Options{NoSync: true})
		if got := count(t, db); got != want+1 {
			t.Fatalf("cut at %d and gone on: %d keys, want %d", n, got, want+1)
		}
		db.Close()
	}
}

// TestRecoverTwoSegments crashes while a checkpoint is under way.
func TestRecoverTwoSegments(t *testing.T) {
	p := path(t)
	db := open(t, p, bolt.Options{})
	put(t, db, 0, 10)
	checkpoint(t, db)
	put(t, db, 10, 20)
	release := db.HoldCheckpoints()
	db.Age()
	await(t, "the second segment", func() bool {
		put(t, db, 20, 21)
		return exists(bolt.LogPaths(p)[1])
	})
	put(t, db, 21, 30)
	copied := path(t)
	copyStore(t, p, copied)
	release()
	if err := db.Close(); err != nil {
		t.Error(err)
	}

	again := path(t)
	copyStore(t, copied, again)
	db = open(t, copied, bolt.Options{})
	if n := count(t, db); n != 30 {
		t.Errorf("%d keys, want 30", n)
	}
	await(t, "the checkpoint", func() bool { return db.Stats().Checkpoints > 0 })
	put(t, db, 30, 35)
	checkpoint(t, db)
	put(t, db, 35, 40)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	db = open(t, copied, bolt.Options{})
	defer db.Close()
	if n := count(t, db); n != 40 {
		t.Errorf("%d keys, want 40", n)
	}

	// Without the older segment, or with damage in it, something is missing.
	for name, harm := range map[string]func(string) error{
		"removed": os.Remove,
		"cut":     func(log string) error { return os.Truncate(log, 100) },
		"damaged": func(log string) error {
			image, err := os.ReadFile(log)
			image[100] ^= 1
			return errors.Join(err, os.WriteFile(log, image, 0o600))
		},
	} {
		p := path(t)
		copyStore(t, again, p)
		if err := harm(bolt.LogPaths(p)[0]); err != nil {
			t.Fatal(err)
		}
		if db, err := bolt.Open(p, quiet(bolt.Options{})); err == nil || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				db.Close()
			}
		}
	}
}

// TestRestoredFile puts an old file beside a newer log.
func TestRestoredFile(t *testing.T) {
	p := path(t)
	db := open(t, p, bolt.Options{})
	put(t, db, 0, 5)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	backup := path(t)
	copyStore(t, p, backup)
	db = open(t, p, bolt.Options{})
	put(t, db, 5, 10)
	checkpoint(t, db)
	put(t, db, 10, 15)
	crashed := path(t)
	copyStore(t, p, crashed)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(backup)
	if err == nil {
		err = os.WriteFile(crashed, image, 0o600)
	}
	_ = os.Remove(bolt.LogPaths(crashed)[0])
	if err != nil {
		t.Fatal(err)
	}
	if db, err := bolt.Open(crashed, quiet(bolt.Options{})); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("the log of a later file: %v", err)
		if err == nil {
			db.Close()
		}
	}
	if err := os.Remove(crashed); err != nil {
		t.Fatal(err)
	}
	if db, err := bolt.Open(crashed, quiet(bolt.Options{})); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("the log of another file: %v", err)
		if err == nil {
			db.Close()
		}
	}
}

// TestViewsThroughCheckpoints has Views open while what they see is written, frozen, and taken into the B-tree.
func TestViewsThroughCheckpoints(t *testing.T) {
	db := open(t, path(t), bolt.Options{NoSync: true, Readers: 10})
	defer db.Close()
	step := make([]chan struct{}, 6)
	for i := range step {
		step[i] = make(chan struct{})
	}
	results := make(chan error, len(step))
	begun := make(chan struct{})
	put(t, db, 0, 1)
	for i := range step {
		n := 1 + 10*i
		put(t, db, n, n+10)
		go func() {
			results <- db.View(context.Background(), func(tx store.Tx) error {
				begun <- struct{}{}
				for range step[i] {
					got := 0
					for k := range tx.Scan(space, store.Range{}) {
						if !bytes.Equal(k, key(got)) {
							return fmt.Errorf("view %d: key %d is %x", i, got, k)
						}
						got++
					}
					if tx.Get(space, key(n+10)) != nil || tx.Get(space, key(n+9)) == nil || got != n+10 {
						return fmt.Errorf("view %d has %d keys, want %d", i, got, n+10)
					}
					step[i] <- struct{}{}
				}
				return nil
			})
		}()
		<-begun
		if i%2 == 1 {
			checkpoint(t, db)
		}
		for _, s := range step[:i+1] {
			select {
			case s <- struct{}{}:
				select {
				case <-s:
				case err := <-results:
					t.Fatal(err)
				}
			case err := <-results:
				t.Fatal(err)
			}
		}
	}
	for _, s := range step {
		close(s)
	}
	for range step {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestBrokenLog fails to put a commit on disk.
func TestBrokenLog(t *testing.T) {
	p := path(t)
	var failure error
	db := open(t, p, bolt.WithSync(bolt.Options{}, func(*os.File) error { return failure }))
	put(t, db, 0, 5)
	write := func(tx store.Tx) error {
		tx.OnCommit(func() { t.Error("OnCommit was called for what may not be on disk") })
		return tx.Put(space, key(5), nil)
	}
	failure = syscall.ENOSPC
	if err := db.Update(t.Context(), write); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, want no space", err)
	}
	if err := db.Update(t.Context(), write); !errors.Is(err, store.ErrBroken) {
		t.Errorf("then %v, want ErrBroken, as the record could not be taken back", err)
	}
	if n := count(t, db); n != 5 {
		t.Errorf("%d keys are seen, want 5", n)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	db = open(t, p, bolt.Options{})
	defer db.Close()
	if n := count(t, db); n < 5 || n > 6 {
		t.Errorf("%d keys after opening again", n)
	}
	put(t, db, 6, 7)
}

// TestTooMuch writes faster than a checkpoint can follow: Updates wait, and nothing is lost.
func TestTooMuch(t *testing.T) {
	const limit = 64 << 10
	db := open(t, path(t), bolt.Options{NoSync: true, CheckpointBytes: limit})
	defer db.Close()
	put(t, db, 0, 1)
	release := db.HoldCheckpoints()
	written := make(chan error, 1)
	go func() {
		for i := range 200 {
			err := db.Update(context.Background(), func(tx store.Tx) error { return tx.Put(space, key(i), make([]byte, 2<<10)) })
			if err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	await(t, "a stall", func() bool { return db.Stats().Stalls > 0 })
	if held := db.Stats().OverlayBytes; held > 4*limit+64<<10 {
		t.Errorf("%d bytes are held", held)
	}
	select {
	case err := <-written:
		t.Errorf("everything was written while no checkpoint was: %v", err)
	default:
	}
	release()
	if err := <-written; err != nil {
		t.Error(err)
	}
	if n := count(t, db); n != 200 {
		t.Errorf("%d keys, want 200", n)
	}
}

func TestRefusedWrites(t *testing.T) {
	p := path(t)
	db := open(t, p, bolt.Options{})
	long := make([]byte, 1<<15)
	err := db.Update(t.Context(), func(tx store.Tx) error {
		for what, err := range map[string]error{
			"a key that is too long":   tx.Put(space, make([]byte, 1<<15+1), nil),
			"no space":                 tx.Put("", []byte("k"), nil),
			"the space of the log":     tx.Put("\x00log", []byte("k"), nil),
			"a space that is too long": tx.Put(store.Space(make([]byte, 1<<15+1)), []byte("k"), nil),
		} {
			if err == nil {
				t.Errorf("%s was accepted", what)
			}
		}
		return errors.Join(tx.Put(space, long, nil), tx.Put(store.Space(long), []byte("k"), []byte("v")), tx.Delete(space, nil))
	})
	if err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, p, bolt.Options{})
	defer db.Close()
	_ = db.View(t.Context(), func(tx store.Tx) error {
		if tx.Get(space, long) == nil || string(tx.Get(store.Space(long), []byte("k"))) != "v" {
			t.Error("what is just short enough did not reach the file")
		}
		return nil
	})
}

// modelled is a store and what should be in it.
type modelled struct {
	*testing.T
	random *rand.Rand
	db     *bolt.DB
	path   string
	want   map[store.Space]map[string]string
}

var modelSpaces = []store.Space{"a", "b", "c"}

// TestModel does anything in any order, and the store agrees with a map.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := &modelled{T: t, random: rand.New(rand.NewPCG(seed, 1)), path: path(t), want: map[store.Space]map[string]string{}}
			for _, s := range modelSpaces {
				m.want[s] = map[string]string{}
			}
			m.open()
			for range 400 {
				switch m.random.IntN(40) {
				case 0:
					m.reopen()
				case 1:
					m.crash()
				case 2, 3:
					m.db.Age()
				case 4, 5, 6, 7, 8, 9, 10, 11:
					m.view()
				default:
					m.update()
				}
			}
			m.reopen()
			m.view()
			if err := m.db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (m *modelled) open() {
	m.Helper()
	m.db = open(m, m.path, bolt.Options{NoSync: true, CheckpointBytes: 4 << 10, Append: []store.Space{"c"}})
}

func (m *modelled) reopen() {
	m.Helper()
	if err := m.db.Close(); err != nil {
		m.Fatal(err)
	}
	m.open()
}

// crash goes on with a copy of the files as they are while no checkpoint writes.
func (m *modelled) crash() {
	m.Helper()
	release := m.db.HoldCheckpoints()
	copied := path(m)
	copyStore(m, m.path, copied)
	release()
	m.db.Close()
	m.path = copied
	m.open()
}

func (m *modelled) key() []byte { return fmt.Appendf(nil, "%03d", m.random.IntN(400)) }

func (m *modelled) space() store.Space { return modelSpaces[m.random.IntN(len(modelSpaces))] }

func (m *modelled) update() {
	after := map[store.Space]map[string]string{}
	for s, keys := range m.want {
		after[s] = maps.Clone(keys)
	}
	failure := errors.New("failure")
	fails := m.random.IntN(5) == 0
	err := m.db.Update(m.Context(), func(tx store.Tx) error {
		for range 1 + m.random.IntN(20) {
			switch s := m.space(); m.random.IntN(8) {
			case 0, 1:
				k := m.key()
				delete(after[s], string(k))
				if err := tx.Delete(s, k); err != nil {
					return err
				}
			case 2:
				m.look(tx, after)
			case 3:
				m.scanWriting(tx, s, after[s])
			default:
				k, v := m.key(), strings.Repeat("v", m.random.IntN(60))
				after[s][string(k)] = v
				if err := tx.Put(s, k, []byte(v)); err != nil {
					return err
				}
			}
		}
		if fails {
			return failure
		}
		return nil
	})
	switch {
	case fails && !errors.Is(err, failure), !fails && err != nil:
		m.Fatal(err)
	case !fails:
		m.want = after
	}
}

// scanWriting puts and deletes around where a scan stands.
func (m *modelled) scanWriting(tx store.Tx, s store.Space, keys map[string]string) {
	reverse := m.random.IntN(2) == 0
	var at string
	for k := range tx.Scan(s, store.Range{Reverse: reverse, Limit: 30}) {
		next, ok := nextKey(keys, at, reverse)
		if at = string(k); !ok || at != next {
			m.Fatalf("a scan came to %q, want %q", at, next)
		}
		if m.random.IntN(3) == 0 {
			n := int(k[0]-'0')*100 + int(k[1]-'0')*10 + int(k[2]-'0')
			changed := fmt.Sprintf("%03d", max(0, n-3+m.random.IntN(7)))
			if m.random.IntN(2) == 0 {
				delete(keys, changed)
				_ = tx.Delete(s, []byte(changed))
			} else {
				keys[changed] = "new"
				_ = tx.Put(s, []byte(changed), []byte("new"))
			}
		}
	}
}

// nextKey returns the key behind at; no at is the beginning.
func nextKey(keys map[string]string, at string, reverse bool) (next string, ok bool) {
	for k := range keys {
		behind := at == "" || !reverse && k > at || reverse && k < at
		if behind && (!ok || (k < next) != reverse) {
			next, ok = k, true
		}
	}
	return next, ok
}

func (m *modelled) view() {
	err := m.db.View(m.Context(), func(tx store.Tx) error { m.look(tx, m.want); return nil })
	if err != nil {
		m.Fatal(err)
	}
}

// look compares some keys and some ranges.
func (m *modelled) look(tx store.Tx, want map[store.Space]map[string]string) {
	m.Helper()
	for range 5 {
		s, k := m.space(), m.key()
		v, ok := want[s][string(k)]
		if got := tx.Get(s, k); string(got) != v || (got != nil) != ok {
			m.Fatalf("%s/%s is %q, want %q, %v", s, k, got, v, ok)
		}
		r := store.Range{Reverse: m.random.IntN(2) == 0, Limit: m.random.IntN(4) * m.random.IntN(20)}
		if m.random.IntN(2) == 0 {
			r.Prefix = k[:m.random.IntN(4)]
		}
		if m.random.IntN(2) == 0 {
			r.From = m.key()
		}
		if m.random.IntN(2) == 0 {
			r.To = m.key()
		}
		lo, hi := r.Bounds()
		var expected []string
		for _, k := range slices.Sorted(maps.Keys(want[s])) {
			if k >= string(lo) && (hi == nil || k < string(hi)) {
				expected = append(expected, k+"="+want[s][k])
			}
		}
		if r.Reverse {
			slices.Reverse(expected)
		}
		if r.Limit > 0 && len(expected) > r.Limit {
			expected = expected[:r.Limit]
		}
		var got []string
		for k, v := range tx.Scan(s, r) {
			got = append(got, string(k)+"="+string(v))
		}
		if !slices.Equal(got, expected) {
			m.Fatalf("%s %+v: %q, want %q", s, r, got, expected)
		}
	}
}
