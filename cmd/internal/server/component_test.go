package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// stranger is a peer that speaks for irc.example.com and keeps what it hears.
type stranger struct {
	mu    sync.Mutex
	heard []string
}

func (*stranger) Home() string    { return "example.com" }
func (*stranger) Connected() bool { return true }
func (s *stranger) Send(_ *router.Batch, stanza []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, string(stanza))
	return true
}

func (s *stranger) left() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.heard, "")
	s.heard = nil
	return all
}

// A component may ask anything of any address: it is answered, nothing panics,
// and it gets nothing of what belongs to a user.
func TestComponentAsksForEverything(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	s := newServer(t, Options{Log: slog.New(slog.NewTextHandler(locked{&mu, &log}, nil))})
	ctx := context.Background()
	if err := s.directory.Add(ctx, directory.NewUser{Domain: "example.com", Local: "romeo", Admin: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.directory.AddAliases(ctx, directory.NewAlias{Domain: "example.com", Local: "sales", Members: []directory.NewMember{{Address: "romeo"}}}); err != nil {
		t.Fatal(err)
	}
	p := new(stranger)
	b := s.table.NewPeerBatch(p, "")
	addresses := []string{"example.com", "romeo@example.com", "romeo@example.com/orchard", "sales@example.com", "nobody@example.com", "example.com/x"}
	s.table.Services(func(x *feature.Target) {
		addresses = append(addresses, x.Label+".example.com", "room@"+x.Label+".example.com", "room@"+x.Label+".example.com/nick")
	})
	n := 0
	say := func(stanza string) string {
		st, err := xmpp.Parse([]byte(stanza))
		if err != nil {
			t.Fatal(err)
		}
		s.table.Handle(b, st)
		s.table.Commit(b)
		n++
		return p.left()
	}
	for _, to := range addresses {
		head := " from='mercutio@irc.example.com/net' to='" + to + "' id='1'"
		for i := range s.table.Features() {
			for _, q := range s.table.Features()[i].IQ {
				got := say(fmt.Sprintf("<iq type='%v'%s><%s xmlns='%s'/></iq>", q.Type, head, q.Local, q.Space))
				if !strings.Contains(got, "id='1'") || strings.Contains(got, "internal-server-error") {
					t.Errorf("<%s xmlns='%s'/> to %s was answered by %q", q.Local, q.Space, to, got)
				}
				if self := q.Where == feature.Self; self && strings.Contains(got, "type='result'") {
					t.Errorf("<%s xmlns='%s'/> of %s was told to a component: %s", q.Local, q.Space, to, got)
				}
			}
		}
		for _, kind := range []string{"", "chat", "groupchat", "headline", "error"} {
			say("<message type='" + kind + "'" + head + "><subject>x</subject><body>x</body><x xmlns='http://jabber.org/protocol/muc#user'><invite to='romeo@example.com'/></x></message>")
			say("<message type='" + kind + "'" + head + "><retract xmlns='urn:xmpp:message-retract:1' id='x'/></message>")
		}
		for _, kind := range []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "unavailable", "error", "x"} {
			say("<presence type='" + kind + "'" + head + "/>")
		}
		say("<presence" + head + "><x xmlns='http://jabber.org/protocol/muc'/></presence>")
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(log.String(), "panic") {
		t.Errorf("logged: %s", log.String())
	}
	if n < 500 {
		t.Errorf("only %d stanzas were tried", n)
	}
}

type locked struct {
	*sync.Mutex
	b *bytes.Buffer
}

func (l locked) Write(b []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.b.Write(b)
}

// A name is taken by a service if, and only if, there is one with these settings.
func TestServices(t *testing.T) {
	for _, flags := range []map[string]string{{}, {"listen-proxy": "off"}, {"listen-https": "off"}, {"roster-domain": "off"}} {
		s := newServer(t, Options{}, flags)
		var labels []string
		s.table.Services(func(target *feature.Target) { labels = append(labels, target.Label) })
		want := services(s.settings.Load())
		slices.Sort(labels)
		slices.Sort(want)
		if !slices.Equal(labels, want) {
			t.Errorf("%v: there are %q, not %q", flags, labels, want)
		}
	}
}
