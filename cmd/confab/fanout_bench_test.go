package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/cmd/internal/admin"
	"confab/xmpp/directory"
)

const (
	fanoutPeople  = 500
	fanoutSenders = 5  // at a time; each waits until all have what he sent
	fanoutTurn    = 20 // messages until another takes over: an alias lets nobody have too much copied
	fanoutRoom    = "cave@conference.example.com"
)

// BenchmarkFanOut measures what is said in a room and what is written to a contact alias, both of 500 people, over TLS,
// against a server that runs as a process of its own. An op is a message until all have it. It fails if anybody misses
// one, or has one twice or out of order.
func BenchmarkFanOut(b *testing.B) {
	var names []directory.NewMember
	for i := range fanoutPeople {
		names = append(names, directory.NewMember{Address: "user" + strconv.Itoa(i)})
	}
	p := newProcess(b, map[string]string{"roster-domain": "off", "rooms-create": "users", "log-level": "error"})
	p.offline(b, func(a *admin.Admin) {
		populate(b, a, fanoutPeople)
		if err := a.Directory.AddAliases(context.Background(), directory.NewAlias{Domain: "example.com", Local: "sales", Members: names}); err != nil {
			b.Fatal(err)
		}
	})
	c := &listeners{pid: p.start(b).Process.Pid}
	c.connect(b, p.addr)
	b.Run("room", func(b *testing.B) { c.measure(b, "type='groupchat' to='"+fanoutRoom+"'", fanoutPeople) })
	b.Run("alias", func(b *testing.B) { c.measure(b, "type='chat' to='sales@example.com'", fanoutPeople-1) })
}

// listeners are people who count what they hear.
type listeners struct {
	pid     int // of the server
	people  []*client
	failed  atomic.Pointer[string]
	waits   [fanoutSenders]sync.WaitGroup // for the message of each sender
	next    [fanoutPeople][fanoutSenders]int
	first   int                // the number of the first message of a run
	sent    [fanoutSenders]int // in all runs
	entered sync.WaitGroup
}

func (l *listeners) fail(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	l.failed.CompareAndSwap(nil, &s)
}

// connect has everybody come online and enter the room.
func (l *listeners) connect(b *testing.B, addr string) {
	var readers sync.WaitGroup
	b.Cleanup(func() {
		for _, c := range l.people {
			c.conn.Close()
		}
		readers.Wait()
	})
	for i := range fanoutPeople {
		c, err := bound(addr, "user"+strconv.Itoa(i))
		if err != nil {
			b.Fatal(err)
		}
		l.people = append(l.people, c)
		l.entered.Add(1)
		readers.Go(func() { l.listen(i) })
		if err := c.send("<presence/><presence to='" + fanoutRoom + "/user" + strconv.Itoa(i) + "'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"); err != nil {
			b.Fatal(err)
		}
		if i > 0 {
			continue
		}
		if err := c.send("<iq type='set' id='conf' to='" + fanoutRoom + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>"); err != nil {
			b.Fatal(err)
		}
		l.fence(b)
	}
	l.fence(b)
}

// fence waits until everybody has everything that was sent to him before.
func (l *listeners) fence(b *testing.B) {
	for _, c := range l.people {
		if err := c.send(fence); err != nil {
			b.Fatal(err)
		}
	}
	l.entered.Wait()
	l.entered.Add(len(l.people))
}

// listen reads what comes to one of the people, and looks no further than it has to: the clients share the machine with the server.
func (l *listeners) listen(i int) {
	buf := make([]byte, 0, 16<<10)
	for {
		buf = slices.Grow(buf, 4<<10)
		n, err := l.people[i].conn.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			at := bytes.Index(rest, []byte(" id='f"))
			if at < 0 || bytes.IndexByte(rest[at+6:], '\'') < 0 {
				break
			}
			id, left, _ := bytes.Cut(rest[at+6:], []byte("'"))
			l.hear(i, string(id))
			rest = left
		}
		if len(rest) > 64 && !bytes.Contains(rest, []byte(" id='f")) {
			rest = rest[len(rest)-64:] // an id may have begun
		}
		buf = buf[:copy(buf, rest)]
	}
}

// hear takes note of an id without the f before it: of a message, the sender and its number.
func (l *listeners) hear(i int, id string) {
	if id == "ence" {
		l.entered.Done()
		return
	}
	by, number, _ := strings.Cut(id, "-")
	sender, err1 := strconv.Atoi(by)
	n, err2 := strconv.Atoi(number)
	if err1 != nil || err2 != nil || sender >= fanoutSenders {
		return
	}
	next := &l.next[i][sender]
	if n <= *next {
		l.fail("user%d has %s after %d", i, id, *next)
		return
	}
	*next = n
	l.waits[sender].Done()
}

func (l *listeners) measure(b *testing.B, to string, receivers int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	first := l.first
	l.first += b.N
	before := l.serverTime()
	b.ResetTimer()
	var senders sync.WaitGroup
	for k := range fanoutSenders {
		senders.Go(func() {
			for n := 0; left.Add(-1) >= 0 && l.failed.Load() == nil; n++ {
				l.waits[k].Add(receivers)
				from := l.people[(l.sent[k]/fanoutTurn*fanoutSenders+k)%fanoutPeople]
				l.sent[k]++
				if err := from.send(fmt.Sprintf("<message %s id='f%d-%d'><body>Thrice the brinded cat hath mew'd.</body></message>", to, k, first+n+1)); err != nil {
					l.fail("%v", err)
					return
				}
				if !finished(&l.waits[k]) {
					l.fail("a message did not come to everybody in 20 s")
				}
			}
		})
	}
	senders.Wait()
	b.StopTimer()
	cpu := l.serverTime() - before
	l.fence(b) // what comes twice comes before it
	if f := l.failed.Load(); f != nil {
		b.Fatal(*f)
	}
	deliveries := float64(b.N * receivers)
	b.ReportMetric(deliveries/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(cpu.Microseconds())/deliveries, "server-µs/delivery")
}

// serverTime is the processor time that the server has used, 0 where that is not known.
func (l *listeners) serverTime() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// finished waits, but not for ever.
func finished(wg *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}
