package aliasbridge

import (
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// There is no end of guests: who has been silent for the longest time is one no more.
func TestTooManyGuests(t *testing.T) {
	s := serve(t, Options{})
	g := &s.bridge.guests
	for user := directory.ID(1000); user < 1000+maxGuests+5; user++ {
		g.wrote(s.Host, 1, user)
		s.Clock.Pass(time.Millisecond)
	}
	var least directory.ID
	for user := range g.last[1] {
		if least == 0 || user < least {
			least = user
		}
	}
	if len(g.last[1]) != maxGuests || len(g.noted[1]) != maxGuests || least != 1005 {
		t.Errorf("%d guests, %d of them noted, from %d on", len(g.last[1]), len(g.noted[1]), least)
	}
}

// A room of other people of other servers is another room.
func TestSameRoom(t *testing.T) {
	s := serve(t, Options{})
	inner := s.alias("inner", nil, "xmpp:nurse@elsewhere.example")
	outer := s.alias("outer", func(n *directory.NewAlias) { n.Kind = directory.RoomAlias }, "inner", "romeo")
	before := s.bridge.dir.Reach(outer.ID)
	if len(before.Foreign) != 1 {
		t.Fatalf("%+v", before)
	}
	s.update(inner, directory.Membership{
		Add: []directory.NewMember{{Address: "xmpp:friar@elsewhere.example"}}, Remove: []string{"xmpp:nurse@elsewhere.example"},
	}, nil)
	if sameRoom(before, s.bridge.dir.Reach(outer.ID)) {
		t.Error("the nurse is taken for the friar")
	}
}

// Of ids as long as a client likes nothing is held in memory; a correction finds its message nevertheless.
func TestLongIDs(t *testing.T) {
	s := serve(t, Options{})
	s.alias("sales", nil, "romeo", "juliet")
	romeo, juliet := s.online("romeo@example.com/orchard"), s.online("juliet@example.com/balcony")
	id := strings.Repeat("x", 100_000)
	romeo.Sends("<message to='sales@example.com' type='chat' id='"+id+"'><body>teh quote</body></message>",
		"<message to='sales@example.com' type='chat' id='2'><body>the quote</body><replace xmlns='urn:xmpp:message-correct:0' id='"+id+"'/></message>")
	if got := strings.Join(juliet.Conn.Left(), ""); strings.Count(got, "<replace ") != 1 {
		t.Errorf("juliet hears %.300q", got)
	}
	for k, ids := range s.bridge.sent.ids {
		if n := len(strings.Join(ids, "")); n > sentPerUser*maxSentID {
			t.Errorf("%d bytes are held of %v", n, k)
		}
	}
}

// peer is a component.
type peer struct{ heard []string }

func (*peer) Home() string    { return "example.com" }
func (*peer) Connected() bool { return true }
func (p *peer) Send(_ *router.Batch, stanza []byte) bool {
	p.heard = append(p.heard, string(stanza))
	return true
}

// A member behind a component, who has no history here, corrects what he wrote himself and nothing else.
func TestCorrectionFromElsewhere(t *testing.T) {
	s := serve(t, Options{})
	s.alias("sales", nil, "juliet", "romeo", "xmpp:nurse@irc.example.com")
	juliet := s.online("juliet@example.com/balcony")
	p := new(peer)
	b := s.Table.NewPeerBatch(p, "")
	say := func(id, replaced string) {
		t.Helper()
		st, err := xmpp.Parse([]byte("<message from='nurse@irc.example.com/x' to='sales@example.com' type='chat' id='" + id + "'><body>x</body><replace xmlns='urn:xmpp:message-correct:0' id='" + replaced + "'/></message>"))
		if err != nil {
			t.Fatal(err)
		}
		s.Table.Handle(b, st)
		s.Table.Commit(b)
	}
	juliet.Sends("<message to='sales@example.com' type='chat' id='hers'><body>x</body></message>")
	for _, test := range []struct {
		id, replaced string
		want         int
	}{{"1", "hers", 0}, {"2", "unknown", 0}, {"3", "1", 1}, {"4", "2", 1}} {
		say(test.id, test.replaced)
		got := juliet.Conn.Left()
		if len(got) != 1 || strings.Count(got[0], "<replace ") != test.want {
			t.Errorf("%s for %s: juliet hears %q, the nurse %q", test.id, test.replaced, got, p.heard)
		}
	}
}
