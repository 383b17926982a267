package aliasbridge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
)

// sink is a connection that forgets.
type sink struct{ stanzas, bytes int }

func (s *sink) Append(b []byte) bool  { s.stanzas++; s.bytes += len(b); return false }
func (*sink) Flush()                  {}
func (*sink) Close(*xmpp.StreamError) {}

// crowd is an alias with n members who are all there; what the i-th says to it is handled by say.
func crowd(t testing.TB, n int) (say func(i int, stanza string), conns []*sink) {
	s := serve(t, Options{Rate: feature.Rate{Burst: 1 << 30, PerSecond: 1 << 30}})
	users := make([]directory.NewUser, n)
	members := make([]string, n)
	for i := range users {
		users[i] = directory.NewUser{Domain: "example.com", Local: fmt.Sprintf("m%03d", i)}
		members[i] = users[i].Local
	}
	if err := s.bridge.dir.Add(t.Context(), users...); err != nil {
		t.Fatal(err)
	}
	s.alias("sales", func(a *directory.NewAlias) { a.Settings.MaxFanout = n }, members...)
	var batches []*feature.Batch
	handle := func(b *feature.Batch, stanza string) {
		st, err := xmpp.Parse([]byte(stanza))
		if err != nil {
			t.Fatal(err)
		}
		s.Table.Handle(b, st)
		s.Table.Commit(b)
	}
	for _, m := range members {
		j := xmpp.MustJID(m + "@example.com/there")
		c := new(sink)
		session, _, err := s.Router.Bind(s.Directory.User(j), j, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := s.Table.NewBatch(session, "")
		handle(b, "<presence/>")
		conns, batches = append(conns, c), append(batches, b)
	}
	return func(i int, stanza string) { handle(batches[i], stanza) }, conns
}

const remark = "<message to='sales@example.com' type='chat' id='m1'><body>Thrice the brinded cat hath mew'd.</body><active xmlns='http://jabber.org/protocol/chatstates'/><origin-id xmlns='urn:xmpp:sid:0' id='m1'/></message>"

// What a message to an alias costs, from the sender's stanza to the out buffers of all who are online, the commit
// (without fsync) included; package muc measures the same of a room.
func BenchmarkFanOut(b *testing.B) {
	for _, of := range [][2]int{{100, 1}, {500, 1}, {500, 16}, {5000, 1}} {
		n, k := of[0], of[1]
		b.Run(fmt.Sprintf("%d/senders=%d", n, k), func(b *testing.B) {
			say, conns := crowd(b, n)
			before := conns[n-1].stanzas
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			for i := range k {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						say(i, remark)
					}
				})
			}
			all.Wait()
			b.StopTimer()
			if got := conns[n-1].stanzas - before; got != b.N {
				b.Fatalf("the last got %d of %d", got, b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/copy")
		})
	}
}

// TestFanOutAllocates bounds what one more member costs. The store's own work behind the log is in it, and what the archive
// notes of each, which grows now and then; hence the room.
func TestFanOutAllocates(t *testing.T) {
	cost := func(n int) float64 {
		say, _ := crowd(t, n)
		return testing.AllocsPerRun(80, func() { say(0, remark) })
	}
	few, many := cost(3), cost(203)
	if each := (many - few) / 200; each > 1 {
		t.Errorf("%.1f allocations for each member", each)
	}
}
