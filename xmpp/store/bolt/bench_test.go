package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
)

// The benchmarks write as an archive does: a body of 400 bytes under an ascending id, and for each of two random owners a row
// in all that he has and one in a conversation, each with the ordinal behind the last.
const (
	benchBody   store.Space = "bench.body"
	benchRow    store.Space = "bench.row"
	benchOwners             = 200
)

// benchMessage writes one message. It is called by the committer.
type benchMessage struct {
	random *rand.Rand
	body   []byte
	key    []byte
	value  [16]byte
}

func newBenchMessage(seed uint64) *benchMessage {
	return &benchMessage{random: rand.New(rand.NewPCG(seed, 1)), body: bytes.Repeat([]byte("a body "), 57), key: make([]byte, 0, 64)}
}

func (m *benchMessage) write(tx store.Tx, id uint64) error {
	m.key = binary.BigEndian.AppendUint64(m.key[:0], id)
	err := tx.Put(benchBody, m.key, m.body)
	for range 2 {
		owner := m.random.Uint64N(benchOwners)
		err = errors.Join(err, m.row(tx, owner, "", id), m.row(tx, owner, "somebody@example.com", id))
	}
	return err
}

func (m *benchMessage) row(tx store.Tx, owner uint64, with string, id uint64) error {
	m.key = append(binary.BigEndian.AppendUint64(m.key[:0], owner), with...)
	m.key = append(m.key, 0)
	ordinal := uint64(1)
	for _, v := range tx.Scan(benchRow, store.Range{Prefix: m.key, Reverse: true, Limit: 1}) {
		ordinal += binary.BigEndian.Uint64(v)
	}
	m.key = binary.BigEndian.AppendUint64(m.key, id)
	binary.BigEndian.PutUint64(m.value[:], ordinal)
	return tx.Put(benchRow, m.key, m.value[:])
}

// fill writes messages, some in each transaction.
func (m *benchMessage) fill(b *testing.B, db *bolt.DB, messages, together int) {
	for id := 0; id < messages; {
		err := db.Update(b.Context(), func(tx store.Tx) error {
			for range together {
				id++
				if err := m.write(tx, uint64(id)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommit has as many writers as make up a group, each with a message at a time.
func BenchmarkCommit(b *testing.B) {
	for _, noSync := range []bool{false, true} {
		for _, writers := range []int{1, 16, 300} {
			b.Run(fmt.Sprintf("fsync=%t/group=%d", !noSync, writers), func(b *testing.B) {
				db := open(b, path(b), bolt.Options{Append: []store.Space{benchBody}, NoSync: noSync})
				defer db.Close()
				var id uint64 // of the committer
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ReportAllocs()
				b.ResetTimer()
				var all sync.WaitGroup
				for w := range writers {
					m := newBenchMessage(uint64(w))
					fn := func(tx store.Tx) error { id++; return m.write(tx, id) }
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if err := db.Update(context.Background(), fn); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.StopTimer()
				s := db.Stats()
				b.ReportMetric(float64(s.Updates)/float64(max(1, s.Commits)), "msg/commit")
			})
		}
	}
}

// BenchmarkCheckpoint writes ten messages at a time, more than the layers hold, and takes all of it into the B-tree.
func BenchmarkCheckpoint(b *testing.B) {
	p := path(b)
	db := open(b, p, bolt.Options{Append: []store.Space{benchBody}, NoSync: true})
	m := newBenchMessage(1)
	b.ReportAllocs()
	b.ResetTimer()
	m.fill(b, db, b.N, 10)
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	file, err := os.Stat(p)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(file.Size())/float64(b.N), "file-B/msg")
}

// BenchmarkPage reads 50 rows of somebody's archive, the last first, with their bodies: from the B-tree, and from the layers
// over it.
func BenchmarkPage(b *testing.B) {
	for _, reopened := range []bool{true, false} {
		b.Run(fmt.Sprintf("reopened=%t", reopened), func(b *testing.B) {
			p := path(b)
			db := open(b, p, bolt.Options{NoSync: true})
			m := newBenchMessage(1)
			m.fill(b, db, 10_000, 100)
			if reopened {
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				db = open(b, p, bolt.Options{NoSync: true})
			}
			defer db.Close()
			b.ReportAllocs()
			for b.Loop() {
				err := db.View(b.Context(), func(tx store.Tx) error {
					prefix := append(binary.BigEndian.AppendUint64(nil, m.random.Uint64N(benchOwners)), 0)
					for k := range tx.Scan(benchRow, store.Range{Prefix: prefix, Reverse: true, Limit: 50}) {
						if tx.Get(benchBody, k[len(k)-8:]) == nil {
							return errors.New("a body is missing")
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
