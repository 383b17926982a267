package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
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
)

// TestKill kills the server under load, again and again. What a client saw or
// had acknowledged must be in the history of both sides once, and what the
// server says after the crash that it had handled must be exactly what it has.
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
	k := &killed{newProcess(t, map[string]string{"roster-domain": "off"}), map[string]string{}, 0, 0, 0}
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
	time.AfterFunc(time.Duration(50+rand.IntN(250))*time.Millisecond, func() { server.Process.Signal(syscall.SIGKILL) })
	wg.Wait()
	for i, o := range outcomes {
		if o.err != nil {
			t.Errorf("round %d, %s: %v", round, sender(i), o.err)
		}
	}
	k.offline(t, func(a *admin.Admin) {
		for i := range outcomes {
			k.check(t, a, round, i, &outcomes[i])
		}
	})
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
	for n := 0; ; n++ {
		select {
		case slots <- struct{}{}:
		case <-gone:
			wg.Wait()
			return o
		}
		text := mark + "message " + strconv.Itoa(n)
		o.sent = append(o.sent, text)
		if from.send("<message type='chat' to='"+receiver(pair)+"@example.com' id='"+strconv.Itoa(n)+"'><body>"+text+"</body></message><r xmlns='urn:xmpp:sm:3'/>") != nil {
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
	sentRows := k.bodies(t, a, sender(pair), mark)
	receivedRows := k.bodies(t, a, receiver(pair), mark)
	for text, n := range sentRows {
		if n != 1 || receivedRows[text] != 1 {
			t.Errorf("%q is %d times in the sender's history and %d times in the recipient's", text, n, receivedRows[text])
		}
	}
	for i, text := range o.sent {
		if i < o.acked && sentRows[text] == 0 {
			t.Errorf("%q was acknowledged and is lost", text)
		}
	}
	for _, text := range o.seen {
		if receivedRows[text] == 0 {
			t.Errorf("%q was seen and is lost", text)
		}
	}
	// What is on disk is the beginning of what was sent: the count tells where it ends.
	stored := 0
	for i, text := range o.sent {
		if sentRows[text] > 0 {
			if i != stored {
				t.Errorf("%q is in the history and an earlier message is not", text)
			}
			stored = i + 1
		}
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

// bodies counts the messages of one round in somebody's history.
func (k *killed) bodies(t *testing.T, a *admin.Admin, user, mark string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	q := archive.Query{Owner: a.Directory.Login("example.com", user).ID, Max: 250}
	for {
		r, err := a.Archive.Page(context.Background(), q, func(it *archive.Item) error {
			st, err := xmpp.Parse(it.Stanza)
			if err != nil {
				return err
			}
			if body := st.Child(xmpp.NSClient, "body").Text(); strings.HasPrefix(body, mark) {
				counts[body]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Complete {
			return counts
		}
		q.After = r.Last
	}
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
