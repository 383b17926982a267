package muc_test

import (
	"fmt"
	"testing"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// sink is a connection that forgets.
type sink struct{ stanzas, bytes int }

func (s *sink) Append(b []byte) bool { s.stanzas++; s.bytes += len(b); return false }
func (*sink) Flush()                 {}
func (*sink) Close(*xmpp.StreamError) {
}

// crowd is a room with n people in it; what the first says is handled by say.
func crowd(t testing.TB, n int) (say func(stanza string), conns []*sink) {
	h := newHouse(t, muc.Options{MayCreate: everybody, Rate: feature.Rate{Burst: 1 << 40, PerSecond: 1 << 40}})
	var users []directory.NewUser
	for i := range n {
		users = append(users, directory.NewUser{Domain: "example.com", Local: fmt.Sprintf("u%03d", i)})
	}
	if err := h.Directory.Add(t.Context(), users...); err != nil {
		t.Fatal(err)
	}
	var batches []*feature.Batch
	handle := func(i int, stanza string) {
		st, err := xmpp.Parse([]byte(stanza))
		if err != nil {
			t.Fatal(err)
		}
		h.Table.Handle(batches[i], st)
		h.Table.Commit(batches[i])
	}
	for i, u := range users {
		j := xmpp.MustJID(u.Local + "@example.com/there")
		c := new(sink)
		s, _, err := h.Router.Bind(h.Directory.User(j), j, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.SetPresence(router.Presence{Available: true})
		conns, batches = append(conns, c), append(batches, h.Table.NewBatch(s, ""))
		handle(i, "<presence to='"+cave+"/"+u.Local+"'>"+noLines+"</presence>")
		if i == 0 {
			handle(i, configured(cave))
		}
	}
	return func(stanza string) { handle(0, stanza) }, conns
}

const (
	composing = "<message to='" + cave + "' type='groupchat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
	remark    = "<message to='" + cave + "' type='groupchat' id='m1'><body>Thrice the brinded cat hath mew'd.</body><active xmlns='http://jabber.org/protocol/chatstates'/><origin-id xmlns='urn:xmpp:sid:0' id='m1'/></message>"
)

func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{100, 500} {
		for _, kind := range []struct{ name, stanza string }{{"live", composing}, {"kept", remark}} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				say, conns := crowd(b, n)
				before := conns[n-1].stanzas
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					say(kind.stanza)
				}
				b.StopTimer()
				if got := conns[n-1].stanzas - before; got != b.N {
					b.Fatalf("the last got %d of %d", got, b.N)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/copy")
			})
		}
	}
}

// BenchmarkEnter measures the entering of one more into a full room, and his leaving.
func BenchmarkEnter(b *testing.B) {
	for _, n := range []int{100, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			say, _ := crowd(b, n)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				say("<presence to='" + cave + "/u000' type='unavailable'/>")
				say("<presence to='" + cave + "/u000'>" + noLines + "</presence>")
			}
		})
	}
}

// TestFanOutAllocates holds the cost of a copy to nothing: what a message costs does not depend on how many hear it.
func TestFanOutAllocates(t *testing.T) {
	cost := func(n int) float64 {
		say, _ := crowd(t, n)
		return testing.AllocsPerRun(100, func() { say(composing) })
	}
	few, many := cost(2), cost(200)
	if many > few+1 {
		t.Errorf("%v allocations with 2 occupants, %v with 200", few, many)
	}
}
