package roster

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// Many come, change and go at once. In the end everybody who is there must know
// the last presence of everybody else, and of nobody who is gone.
func TestEverybodySeesTheLastOfEverybody(t *testing.T) {
	for _, mode := range []Mode{All, Off} {
		h := newHouse(t, Options{Mode: mode})
		const users, rounds = 12, 30
		h.populate(users)
		people := make([]*person, users)
		for i := range people {
			people[i] = h.connect(fmt.Sprintf("user%d@example.com/x", i))
		}
		if mode == Off {
			for i := range people {
				for j := range i {
					mutual(people[i], people[j])
				}
			}
		}
		var wait sync.WaitGroup
		for i, p := range people {
			wait.Go(func() {
				for round := range rounds {
					p.Sends(fmt.Sprintf("<presence><status>%d</status></presence>", round))
					if (i+round)%3 == 0 {
						p.Sends("<presence type='unavailable'/>")
					}
				}
				if i%4 == 0 {
					h.Table.End(p.Session)
				}
			})
		}
		wait.Wait()
		for i, p := range people {
			if !p.Presence().Available || !p.Alive() {
				continue
			}
			known := map[string]string{}
			for _, m := range presences.FindAllStringSubmatch(strings.Join(p.Conn.Left(), ""), -1) {
				if known[m[1]] = m[2]; m[1] == p.JID().String() && m[2] == away {
					clear(known) // who is away hears nothing, and starts anew when back
				}
			}
			for j, other := range people {
				got, want := known[other.JID().String()], "gone"
				if now := other.Presence(); now.Available && other.Alive() {
					want = presences.FindStringSubmatch(string(appendTo(nil, now.Stanza, toAttr(p.JID()))))[2]
				}
				if got == away || got == "" {
					got = "gone"
				}
				if got != want {
					t.Errorf("%s: user%d knows of user%d %q, which is %q", mode, i, j, got, want)
				}
			}
		}
	}
}

const away = " type='unavailable'/>"

var presences = regexp.MustCompile(`<presence to='[^']*' from='([^']*)'( type='unavailable'/>|>.*?</presence>)`)

// sink is a connection whose client reads everything at once.
type sink struct{ stanzas, bytes int }

func (s *sink) Append(b []byte) bool         { s.bytes += len(b); s.stanzas++; return false }
func (s *sink) Flush()                       {}
func (s *sink) Close(*xmpp.StreamError)      {}
func (h *house) sink(full string) *benchUser { return h.bench(full, new(sink)) }

type benchUser struct {
	*router.Session
	batch *feature.Batch
	house *house
}

func (h *house) bench(full string, c router.Conn) *benchUser {
	j := xmpp.MustJID(full)
	s, _, err := h.Router.Bind(h.Directory.User(j), j, c, nil)
	if err != nil {
		h.test.Fatal(err)
	}
	return &benchUser{s, h.Table.NewBatch(s, ""), h}
}

func (u *benchUser) sends(st *xmpp.Stanza) {
	u.house.Table.Handle(u.batch, st)
	u.house.Table.Commit(u.batch)
}

func parsed(tb testing.TB, s string) *xmpp.Stanza {
	st, err := xmpp.Parse([]byte(s))
	if err != nil {
		tb.Fatal(err)
	}
	return st
}

const usual = "<presence id='p1'><show>away</show><status>in a meeting</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.org' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>"

// A presence to 1,000 colleagues costs no more memory than a presence to one.
func TestFanOutAllocations(t *testing.T) {
	cost := func(n int) float64 {
		h := newHouse(t, Options{Mode: All})
		h.populate(n)
		var people []*benchUser
		for i := range n {
			people = append(people, h.sink(fmt.Sprintf("user%d@example.com/x", i)))
			people[i].sends(parsed(t, "<presence/>"))
		}
		st := parsed(t, usual)
		return testing.AllocsPerRun(20, func() { people[0].sends(st) })
	}
	if one, many := cost(2), cost(1000); many > one+2 || many > 12 {
		t.Errorf("a presence to one colleague takes %.0f allocations, one to 999 %.0f", one, many)
	}
}

func BenchmarkPresence(b *testing.B) {
	h := newHouse(b, Options{Mode: All, Rate: feature.Rate{Burst: 1 << 40}})
	h.populate(1000)
	var people []*benchUser
	for i := range 1000 {
		people = append(people, h.sink(fmt.Sprintf("user%d@example.com/x", i)))
		people[i].sends(parsed(b, "<presence/>"))
	}
	away, gone, back := parsed(b, usual), parsed(b, "<presence type='unavailable'/>"), parsed(b, "<presence/>")
	b.Run("to 1000 colleagues", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			people[0].sends(away)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/delivery")
	})
	b.Run("gone and back", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			people[0].sends(gone)
			people[0].sends(back)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/3000, "ns/delivery")
	})
}

// A thousand people come to work.
func BenchmarkMassLogin(b *testing.B) {
	h := newHouse(b, Options{Mode: All})
	h.populate(1000)
	st := parsed(b, usual)
	b.ReportAllocs()
	for b.Loop() {
		var people []*benchUser
		for i := range 1000 {
			people = append(people, h.sink(fmt.Sprintf("user%d@example.com/x", i)))
		}
		for _, p := range people {
			p.sends(st)
		}
		b.StopTimer()
		for _, p := range people {
			p.SetPresence(router.Presence{})
			h.boards["example.com"].remove(p.Session)
			p.End(nil)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/delivery")
}

// socket is a connection of a client that reads when it is waited for.
type socket struct{ waiting, most int }

func (s *socket) Append(b []byte) bool {
	s.waiting += len(b)
	s.most = max(s.most, s.waiting)
	return false
}
func (s *socket) Flush()                  {}
func (s *socket) Close(*xmpp.StreamError) {}
func (s *socket) Waiting() int            { return s.waiting }
func (s *socket) Drain(int) error         { s.waiting = 0; return nil }

// However many have something to say to somebody who comes online, it is never more at a time than a connection takes:
// contacts of one's own, and those who ask for a subscription.
func TestALoginIsNotTooMuchAtOnce(t *testing.T) {
	h := newHouse(t, plain)
	const users = 100
	h.populate(users)
	juliet := h.connect("juliet@example.com/balcony")
	bytes := 0
	for i := range users {
		p := h.connect(fmt.Sprintf("user%d@example.com/x", i))
		if i%2 == 0 {
			mutual(p, juliet)
			p.Sends("<presence><status>" + strings.Repeat("x", 12_000) + "</status></presence>")
			bytes += 12_000
		} else {
			p.Sends("<presence type='subscribe' to='juliet@example.com'><status>" + strings.Repeat("x", 3_900) + "</status></presence>")
			bytes += 3_900
		}
	}
	s := new(socket)
	h.bench("juliet@example.com/chamber", s).sends(parsed(t, "<presence/>"))
	if s.most > 100_000 {
		t.Errorf("%d of %d bytes waited at a time", s.most, bytes)
	}
}

// What goes to everybody, and is kept for those who come, is no longer than that needs to be.
func TestAPresenceIsNotLong(t *testing.T) {
	h := newHouse(t, Options{})
	romeo := h.connect("romeo@example.com/orchard")
	romeo.Sends("<presence id='1'><status>" + strings.Repeat("x", 17_000) + "</status></presence>")
	if got := romeo.heard(); !strings.Contains(got, "<policy-violation ") || romeo.Presence().Available {
		t.Errorf("romeo heard %.300s", got)
	}
	romeo.Sends("<presence><status>" + strings.Repeat("x", 16_000) + "</status></presence>")
	if !romeo.Presence().Available {
		t.Errorf("romeo heard %.300s", romeo.heard())
	}
	romeo.quiet()
	romeo.Sends("<presence type='unavailable'><status>" + strings.Repeat("x", 17_000) + "</status></presence>")
	romeo.hears("<presence from='romeo@example.com/orchard' type='unavailable' to='romeo@example.com'/>")
}

// Nobody keeps all the others busy by a presence: beyond a measure it is refused. To leave is always possible.
func TestAFloodOfPresence(t *testing.T) {
	h := newHouse(t, Options{})
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	garden := h.online("romeo@example.com/garden")
	romeo.quiet()
	juliet.quiet()
	for range 100 {
		romeo.Sends("<presence id='1'/>")
		garden.Sends("<presence id='2'/>")
	}
	if got := strings.Count(juliet.heard(), "<presence "); got != 98 {
		t.Errorf("juliet heard %d", got)
	}
	if got := romeo.heard(); !strings.Contains(got, "<resource-constraint ") || !strings.Contains(got, "type='wait'") {
		t.Errorf("romeo heard %.300s", got)
	}
	h.Clock.Pass(400 * time.Millisecond)
	romeo.Sends("<presence id='3'/>", "<presence id='4'/>", "<presence id='5'/>", "<presence type='unavailable' id='6'/>")
	juliet.hears("<presence id='3' from='romeo@example.com/orchard' to='juliet@example.com'/>", "<presence id='4' from='romeo@example.com/orchard' to='juliet@example.com'/>",
		"<presence id='6' from='romeo@example.com/orchard' to='juliet@example.com' type='unavailable'/>")
}
