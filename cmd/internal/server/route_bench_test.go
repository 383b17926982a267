package server

import (
	"fmt"
	"sync/atomic"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
)

// sink is a connection that forgets.
type sink struct{ stanzas atomic.Int64 }

func (s *sink) Append([]byte) bool { s.stanzas.Add(1); return false }
func (*sink) Flush()               {}
func (*sink) Close(*xmpp.StreamError) {
}

func parse(t testing.TB, stanza string) *xmpp.Stanza {
	st, err := xmpp.Parse([]byte(stanza))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// BenchmarkRoute is the way of a message from one client to another through all the features of the server, from the end of
// the lexer to the out buffer: of one that is not kept, and of those that are on disk before they are delivered, alone and
// as many at a time as one client's reader takes.
func BenchmarkRoute(b *testing.B) {
	s := newServer(b, Options{})
	bind := func(local string) (*feature.Batch, *sink) {
		if err := s.directory.Add(b.Context(), directory.NewUser{Domain: "example.com", Local: local}); err != nil {
			b.Fatal(err)
		}
		j := xmpp.MustJID(local + "@example.com/there")
		c := new(sink)
		session, _, err := s.router.Bind(s.directory.User(j), j, c, nil)
		if err != nil {
			b.Fatal(err)
		}
		batch := s.table.NewBatch(session, "")
		s.table.Bound(session)
		s.table.Handle(batch, parse(b, "<presence/>"))
		return batch, c
	}
	romeo, _ := bind("romeo")
	_, juliet := bind("juliet")
	const head = "<message to='juliet@example.com' type='chat' id='m1'>"
	typing := parse(b, head+"<composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	said := parse(b, head+"<body>Neither, fair saint, if either thee dislike.</body><active xmlns='http://jabber.org/protocol/chatstates'/>"+
		"<request xmlns='urn:xmpp:receipts'/></message>")
	for before := juliet.stanzas.Load(); juliet.stanzas.Load() == before; { // until she has what waited for her
		s.table.Handle(romeo, said)
		s.table.Commit(romeo)
	}
	run := func(name string, st *xmpp.Stanza, together int) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := juliet.stanzas.Load()
			for i := range b.N {
				s.table.Handle(romeo, st)
				if (i+1)%together == 0 || i == b.N-1 {
					s.table.Commit(romeo)
				}
			}
			if got := juliet.stanzas.Load() - before; got != int64(b.N) {
				b.Errorf("%d messages arrived, not %d", got, b.N)
			}
		})
	}
	run("chat state", typing, 1)
	for _, together := range []int{1, 8, 64} {
		run(fmt.Sprintf("message/together=%d", together), said, together)
	}
}
