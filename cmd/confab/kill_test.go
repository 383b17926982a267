package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"confab/archive"
	"confab/cmd/internal/admin"
	"confab/xmpp"
	"confab/xmpp/directory"
)

const (
	killPairs  = 6
	killWindow = 12
	killAsk    = 5         // messages, after which the sender asks for the count: so many make up a batch
	killLarge  = 100 << 10 // bytes that go with a message in some rounds, so that the log is taken into the file meanwhile
)

// TestKill kills the server under load, again and again, and while it reads what the last one left. What is in the
// history of either side is the beginning of what was sent, each message once and in its order; what a client saw or
// had acknowledged is in it, and what the server says after the crash that it had handled is exactly what it has.
// CONFAB_KILL_ROUNDS sets how often.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	if s := os.Getenv("CONFAB_KILL_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("CONFAB_KILL_ROUNDS is %q", s)
		}
		rounds = n
	}
	k := newKilled(t)
	for round := range rounds {
		k.round(t, round)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rounds: %d messages sent, %d acknowledged, %d seen", rounds, k.sent, k.acked, k.seen)
	if k.acked == 0 || k.seen == 0 {
		t.Error("nothing was acknowledged or seen: the test showed nothing")
	}
}

type killed struct {
	*process
	tokens            map[string]string // by sender: the session of the last round
	sent, acked, seen int
}

func newKilled(t *testing.T) *killed {
	k := &killed{newProcess(t, map[string]string{"roster-domain": "off", "limits-byte-rate": "1000000000"}), map[string]string{}, 0, 0, 0}
	k.offline(t, func(a *admin.Admin) {
		for i := range killPairs {
			for _, user := range []string{sender(i), receiver(i)} {
				if err := a.Directory.Add(context.Background(), directory.NewUser{Domain: "example.com", Local: user}); err != nil {
					t.Fatal(err)
				}
				if err := a.Auth.SetPassword(context.Background(), a.Directory.Login("example.com", user).ID, "pw-"+user); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	return k
}

func sender(i int) string   { return "romeo" + strconv.Itoa(i) }
func receiver(i int) string { return "juliet" + strconv.Itoa(i) }

// large reports whether the messages of a round are, and it is longer.
func large(round int) bool { return round%4 == 2 }

// outcome is what a pair knows of its messages when the server is gone.
type outcome struct {
	err   error
	token string
	sent  []string
	acked int // how many of sent
	seen  []string
}

func (k *killed) round(t *testing.T, round int) {
	t.Helper()
	server := k.start(t)
	k.resume(t)
	outcomes := make([]outcome, killPairs)
	var wg, ready sync.WaitGroup
	ready.Add(killPairs)
	for i := range outcomes {
		wg.Go(func() { outcomes[i] = k.talk(round, i, &ready) })
	}
	ready.Wait()
	after := 50 + rand.IntN(250)
	if large(round) {
		after *= 4
	}
	time.AfterFunc(time.Duration(after)*time.Millisecond, func() { server.Process.Signal(syscall.SIGKILL) })
	wg.Wait()
	for i, o := range outcomes {
		if o.err != nil {
			t.Errorf("round %d, %s: %v", round, sender(i), o.err)
		}
	}
	for range round % 3 {
		k.startAndKill(t, time.Duration(5+rand.IntN(60))*time.Millisecond)
	}
	k.offline(t, func(a *admin.Admin) {
		for i := range outcomes {
			k.check(t, a, round, i, &outcomes[i])
		}
		if round%2 == 1 {
			k.audit(t, a)
		}
	})
}

// audit counts conversations, which has the indices written: the next round puts more behind them.
func (k *killed) audit(t *testing.T, a *admin.Admin) {
	t.Helper()
	u, err := a.Archive.Audit(context.Background(), "nurse", "test", nil)
	for i := 0; i < killPairs && err == nil; i++ {
		all := k.bodies(t, a, receiver(i), sender(i), "")
		err = u.Conversations(context.Background(), a.Directory.Login("example.com", receiver(i)).ID, func(c archive.Conversation) error {
			if c.With.Local() != sender(i) || c.Messages != len(all) {
				t.Errorf("%s has %d messages with %s, not %d", receiver(i), c.Messages, c.With, len(all))
			}
			return nil
		})
	}
	if err != nil {
		t.Error(err)
	}
}

// talk logs a pair in and has one side write to the other until the server is gone.
func (k *killed) talk(round, pair int, ready *sync.WaitGroup) (o outcome) {
	from, to, err := k.pair(pair)
	if err == nil {
		err = from.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
	}
	var enabled *element
	if err == nil {
		enabled, err = from.await("enabled")
	}
	ready.Done()
	if err != nil {
		o.err = err
		return o
	}
	defer from.conn.Close()
	defer to.conn.Close()
	o.token = enabled.attr("id")

	mark := fmt.Sprintf("round %d pair %d ", round, pair)
	var wg sync.WaitGroup
	slots := make(chan struct{}, killWindow)
	gone := make(chan struct{})
	wg.Go(func() { // the sender's ear: acknowledgements
		defer close(gone)
		for {
			e, err := from.next()
			if err != nil {
				return
			}
			if e.XMLName.Local == "a" {
				h, _ := strconv.Atoi(e.attr("h"))
				o.acked = max(o.acked, h)
			}
		}
	})
	wg.Go(func() {
		for {
			e, err := to.next()
			if err != nil {
				return
			}
			// After a crash, what may not have arrived comes again; it is of an earlier round.
			if body := e.child("body").Text; strings.HasPrefix(body, mark) {
				o.seen = append(o.seen, body)
				<-slots
			}
		}
	})
	var padding string
	if large(round) {
		padding = "<x xmlns='x'>" + strings.Repeat("x", killLarge) + "</x>"
	}
	for n := 0; ; n++ {
		select {
		case slots <- struct{}{}:
		case <-gone:
			wg.Wait()
			return o
		}
		text := mark + "message " + strconv.Itoa(n)
		o.sent = append(o.sent, text)
		piece := "<message type='chat' to='" + receiver(pair) + "@example.com' id='" + strconv.Itoa(n) + "'><body>" + text + "</body>" + padding + "</message>"
		if n%killAsk == killAsk-1 {
			piece += askCount
		}
		if from.send(piece) != nil {
			wg.Wait()
			return o
		}
	}
}

func (k *killed) pair(i int) (from, to *client, err error) {
	if to, err = online(k.addr, "example.com", receiver(i), "pw-"+receiver(i)); err != nil {
		return nil, nil, err
	}
	if from, err = online(k.addr, "example.com", sender(i), "pw-"+sender(i)); err != nil {
		return nil, nil, err
	}
	return from, to, nil
}

// check holds what a pair knows against the history on disk.
func (k *killed) check(t *testing.T, a *admin.Admin, round, pair int, o *outcome) {
	t.Helper()
	mark := fmt.Sprintf("round %d pair %d ", round, pair)
	rows := k.bodies(t, a, sender(pair), "", mark)
	histories := map[string][]string{"the sender's history": rows, "what was seen": o.seen,
		"the sender's conversation":    k.bodies(t, a, sender(pair), receiver(pair), mark),
		"the recipient's history":      k.bodies(t, a, receiver(pair), "", mark),
		"the recipient's conversation": k.bodies(t, a, receiver(pair), sender(pair), mark),
	}
	for whose, got := range histories {
		for i, text := range got {
			if i == len(o.sent) || text != o.sent[i] {
				t.Errorf("%q is at place %d of %s", text, i, whose)
				break
			}
		}
		if whose == "what was seen" && len(got) > len(rows) || whose != "what was seen" && len(got) != len(rows) {
			t.Errorf("%d messages are in the sender's history, %d in %s", len(rows), len(got), whose)
		}
	}
	stored := len(rows)
	if o.acked > stored {
		t.Errorf("%d messages were acknowledged, %d are on disk", o.acked, stored)
	}
	h, ok, err := a.Archive.Count(context.Background(), o.token)
	if err != nil || stored > 0 && (!ok || int(h) != stored) {
		t.Errorf("pair %d: %d messages are on disk, the count there is %d (%v, %v)", pair, stored, h, ok, err)
	}
	k.tokens[sender(pair)] = o.token + " " + strconv.Itoa(stored)
	k.sent += len(o.sent)
	k.acked += o.acked
	k.seen += len(o.seen)
}

// bodies returns the messages of one round in somebody's history, with somebody if that is said.
func (k *killed) bodies(t *testing.T, a *admin.Admin, user, with, mark string) (texts []string) {
	t.Helper()
	q := archive.Query{Owner: a.Directory.Login("example.com", user).ID}
	if with != "" {
		q.With = xmpp.MustJID(with + "@example.com")
	}
	_, all := paged(t, a, q)
	return slices.DeleteFunc(all, func(text string) bool { return !strings.HasPrefix(text, mark) })
}

// resume asks the new process for the sessions of the old one: they are gone,
// and the count that comes with that is exact.
func (k *killed) resume(t *testing.T) {
	t.Helper()
	for user, known := range k.tokens {
		token, stored, _ := strings.Cut(known, " ")
		c, err := login(k.addr, "example.com", user, "pw-"+user)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.send("<resume xmlns='urn:xmpp:sm:3' previd='" + token + "' h='0'/>"); err != nil {
			t.Fatal(err)
		}
		failed, err := c.next()
		if err != nil || failed.XMLName.Local != "failed" || stored != "0" && failed.attr("h") != stored {
			t.Errorf("%s: %+v, %v; %s messages are on disk", user, failed, err, stored)
		}
		io.WriteString(c.conn, "</stream:stream>")
		c.conn.Close()
	}
}
