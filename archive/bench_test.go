package archive

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store/bolt"
)

func benchArchive(b *testing.B) (*Archive, *bolt.DB) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "archive.db"), bolt.Options{Append: AppendSpaces(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	a, err := Open(b.Context(), db, Options{})
	if err != nil {
		b.Fatal(err)
	}
	return a, db
}

// traffic makes messages of 309 bytes between random people of a domain.
type traffic struct {
	users []xmpp.JID
}

func newTraffic(n int) *traffic {
	t := &traffic{}
	for i := range n {
		t.users = append(t.users, xmpp.MustJID(fmt.Sprintf("user%d@example.com", i)))
	}
	return t
}

func (t *traffic) message(random *rand.Rand) *Message {
	from, to := random.IntN(len(t.users)), random.IntN(len(t.users))
	m := &Message{Type: xmpp.TypeChat, Flags: HasBody}
	m.Stanza = fmt.Appendf(nil, "<message from='%s/orchard' to='%s' type='chat' id='%016x'><body>Neither, fair saint, if either thee dislike.</body>"+
		"<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>",
		t.users[from], t.users[to], random.Uint64())
	full, _ := t.users[from].WithResource("orchard")
	m.Rows = []Row{{Owner: directory.ID(from + 1), With: t.users[to]}, {Owner: directory.ID(to + 1), With: full, Incoming: true}}
	return m
}

// BenchmarkKeep has as many readers waiting as make up a group, each with one message, on a real disk.
func BenchmarkKeep(b *testing.B) {
	for _, users := range []int{200, 5000} {
		traffic := newTraffic(users)
		for _, readers := range []int{1, 64, 256, 2048} {
			b.Run(fmt.Sprintf("users=%d/readers=%d", users, readers), func(b *testing.B) {
				a, db := benchArchive(b)
				before := db.Size()
				var left atomic.Int64
				left.Store(int64(b.N))
				var group sync.WaitGroup
				for r := range readers {
					random := rand.New(rand.NewPCG(uint64(r), 1))
					m := traffic.message(random)
					group.Go(func() {
						for left.Add(-1) >= 0 {
							if err := a.Keep(context.Background(), []*Message{m}, Also{}); err != nil {
								b.Error(err)
								return
							}
							m = traffic.message(random)
						}
					})
				}
				group.Wait()
				s := db.Stats()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				b.ReportMetric(float64(s.Updates)/float64(max(1, s.Commits)), "msg/commit")
				b.ReportMetric(s.CommitTime.Seconds()*1e3/float64(max(1, s.Commits)), "ms/commit")
				b.ReportMetric(float64(db.Size()-before)/float64(b.N), "disk-B/msg")
			})
		}
	}
}

// BenchmarkPage reads pages of 50 from the archives of 200 people who have 500 messages each.
func BenchmarkPage(b *testing.B) {
	a, _ := benchArchive(b)
	traffic := newTraffic(200)
	random := rand.New(rand.NewPCG(5, 6))
	var batch []*Message
	for range 50_000 {
		if batch = append(batch, traffic.message(random)); len(batch) == 2000 {
			if err := a.Keep(b.Context(), batch, Also{}); err != nil {
				b.Fatal(err)
			}
			batch = nil
		}
	}
	d := Delivery{From: traffic.users[0], To: traffic.users[0], QueryID: "q"}
	for name, with := range map[string]bool{"archive": false, "conversation": true} {
		b.Run(name, func(b *testing.B) {
			var buf []byte
			n := 0
			for b.Loop() {
				q := Query{Owner: directory.ID(1 + random.IntN(200)), Last: true, Max: 50}
				if with {
					q.With = traffic.users[random.IntN(200)]
				}
				_, err := a.Page(b.Context(), q, func(it *Item) (err error) {
					n++
					buf, err = d.AppendResult(buf[:0], it)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/float64(b.N), "items/page")
		})
	}
}

// BenchmarkLookup pages through what 200 people said, 50,000 messages, by words: by the index, and without.
func BenchmarkLookup(b *testing.B) {
	h := open(b, b.TempDir())
	traffic := newTraffic(200)
	random := rand.New(rand.NewPCG(5, 6))
	zipf := rand.NewZipf(random, 1.2, 20, 50_000)
	for range 50 {
		var batch []*Message
		for range 1000 {
			m := traffic.message(random)
			said := fmt.Sprintf("w%x w%x w%x w%x", zipf.Uint64(), zipf.Uint64(), zipf.Uint64(), zipf.Uint64())
			m.Stanza = bytes.Replace(m.Stanza, []byte("Neither, fair saint"), []byte(said), 1)
			batch = append(batch, m)
		}
		h.keep(batch...)
	}
	look := func(b *testing.B) {
		for query, name := range map[string]string{`"w5"`: "word", `"w1 w2"`: "phrase", "w1a": "prefix", "nowhere": "nothing"} {
			q := Query{Text: text(query), Last: true, Max: 50}
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					q.Owner = directory.ID(1 + random.IntN(200))
					h.page(q)
				}
			})
		}
	}
	b.Run("no index", look)
	start := time.Now()
	h.catchUp()
	b.Logf("indexed %.0f messages/s", 50_000/time.Since(start).Seconds())
	b.Run("index", look)
}

// BenchmarkKeepPair keeps batches of messages between two people, as a connection reads them.
func BenchmarkKeepPair(b *testing.B) {
	for _, n := range []int{1, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db, err := bolt.Open(filepath.Join(b.TempDir(), "archive.db"), bolt.Options{NoSync: true, Append: AppendSpaces(), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			a, err := Open(b.Context(), db, Options{})
			if err != nil {
				b.Fatal(err)
			}
			random, traffic := rand.New(rand.NewPCG(1, 2)), newTraffic(200)
			batches := make([][]*Message, 50)
			for i := range batches {
				m := traffic.message(random)
				for range n {
					again := *m
					batches[i] = append(batches[i], &again)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if err := a.Keep(b.Context(), batches[i%len(batches)], Also{}); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/msg")
		})
	}
}
