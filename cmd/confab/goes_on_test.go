package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"confab/cmd/internal/admin"
	"confab/xmpp/directory"
)

// faithful is a client that goes on whatever happens to the server or the connection, as XEP-0198 has it: it resumes, and
// sends again what was not handled.
type faithful struct {
	addr, user string
	welcome    []string         // said when a session begins
	heard      func(e *element) // each stanza, on the goroutine of run

	over           atomic.Bool
	begun, resumed int // sessions; by run

	mu      sync.Mutex
	settled *sync.Cond
	c       *client
	token   string
	handled uint32   // of what the server sent
	acked   uint32   // of what was said in this session
	unacked []string // what came behind
}

func newFaithful(addr, user string) *faithful {
	f := &faithful{addr: addr, user: user}
	f.settled = sync.NewCond(&f.mu)
	return f
}

// run stays connected until the client is over.
func (f *faithful) run() {
	for !f.over.Load() {
		if f.connect() == nil {
			f.listen()
		}
		<-time.After(5 * time.Millisecond)
	}
}

// connect goes on with the session, or begins one.
func (f *faithful) connect() error {
	c, err := login(f.addr, "example.com", f.user, "pw-"+f.user)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over.Load() {
		c.conn.Close()
		return nil
	}
	f.c = c
	again := "resumed"
	if f.token != "" {
		c.send(fmt.Sprintf("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>", f.token, f.handled))
		e, err := c.next()
		if err != nil {
			return err
		}
		if e.attr("h") != "" {
			f.acknowledged(e)
		}
		again = e.XMLName.Local
	}
	if f.token != "" && again == "resumed" {
		f.resumed++
	} else if err := f.begin(); err != nil {
		return err
	}
	if len(f.unacked) > 0 {
		c.send(strings.Join(f.unacked, "") + askCount)
	}
	return nil
}

// begin begins a session. Of what was said in the one before, messages are said again.
func (f *faithful) begin() error {
	f.begun++
	f.token = ""
	f.c.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><enable xmlns='urn:xmpp:sm:3' resume='true'/>")
	e, err := f.c.await("enabled")
	if err != nil {
		return err
	}
	f.token, f.handled, f.acked = e.attr("id"), 0, 0
	rest := slices.DeleteFunc(f.unacked, func(s string) bool { return !strings.HasPrefix(s, "<message") })
	f.unacked = append(slices.Clone(f.welcome), rest...)
	f.settled.Broadcast()
	return nil
}

// listen hears until the connection ends.
func (f *faithful) listen() {
	for {
		e, err := f.c.next()
		if err != nil {
			f.c.conn.Close()
			return
		}
		f.mu.Lock()
		switch e.XMLName.Local {
		case "a":
			f.acknowledged(e)
		case "r":
			f.c.send(fmt.Sprintf("<a xmlns='urn:xmpp:sm:3' h='%d'/>", f.handled))
		case "message", "presence", "iq":
			f.handled++
			f.heard(e)
		}
		f.mu.Unlock()
	}
}

// acknowledged forgets what the server says it has handled.
func (f *faithful) acknowledged(e *element) {
	h, _ := strconv.ParseUint(e.attr("h"), 10, 32)
	n := min(int(uint32(h)-f.acked), len(f.unacked))
	f.unacked = f.unacked[n:]
	f.acked = uint32(h)
	f.settled.Broadcast()
}

// say sends a stanza when fewer than window are unacknowledged.
func (f *faithful) say(window int, stanza string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.unacked) >= window {
		f.settled.Wait()
	}
	f.unacked = append(f.unacked, stanza)
	if f.c == nil || f.token == "" {
		return
	}
	if rand.IntN(3) == 0 || len(f.unacked) == window {
		stanza += askCount
	}
	f.c.send(stanza) // if that fails, it is sent again
}

// enter waits until the first session has begun.
func (f *faithful) enter() {
	f.mu.Lock()
	for f.token == "" {
		f.settled.Wait()
	}
	f.mu.Unlock()
	f.end()
}

// end waits until all that was said is acknowledged.
func (f *faithful) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.unacked) > 0 {
		f.c.send(askCount)
		f.settled.Wait()
	}
}

const (
	talkers    = 5
	talkEach   = 300 // messages of each: to the next one, into a room, to an alias, in turn
	talkWindow = 12
)

func talker(i int) string { return "romeo" + strconv.Itoa(i%talkers) }

// company is everybody in conversation with everybody.
type company struct {
	*process
	all   []*faithful
	mu    sync.Mutex
	heard [talkers][]string // in the order in which it came
}

// newCompany makes people, a room and an alias of theirs.
func newCompany(t *testing.T) *company {
	k := &company{process: newProcess(t, map[string]string{"roster-domain": "off"})}
	var names []string
	k.offline(t, func(a *admin.Admin) {
		for i := range talkers {
			names = append(names, talker(i))
			if err := a.Directory.Add(t.Context(), directory.NewUser{Domain: "example.com", Local: talker(i)}); err != nil {
				t.Fatal(err)
			}
			if err := a.Auth.SetPassword(t.Context(), a.Directory.Login("example.com", talker(i)).ID, "pw-"+talker(i)); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, args := range [][]string{{"alias", "create", "team", "--room"}, {"alias", "create", "sales"}} {
		var out strings.Builder
		cli := &app{in: strings.NewReader(""), out: &out, err: &out, env: k.env}
		if code := cli.run(t.Context(), append(args, names...)); code != exitOK {
			t.Fatal(out.String())
		}
	}
	for i := range talkers {
		f := newFaithful(k.addr, talker(i))
		f.welcome = []string{"<presence/>", "<presence to='team@conference.example.com/" + talker(i) + "'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"}
		f.heard = func(e *element) {
			if text := spoken(e.child("body").Text); e.XMLName.Local == "message" && text != "" {
				if e.attr("type") == "error" {
					text = "refused " + text
				}
				k.mu.Lock()
				k.heard[i] = append(k.heard[i], text)
				k.mu.Unlock()
			}
		}
		k.all = append(k.all, f)
	}
	return k
}

// spoken is the text of a message without the label that an alias puts before it.
func spoken(body string) string {
	if at := strings.Index(body, "line "); at >= 0 {
		return body[at:]
	}
	return ""
}

// speech is what talker i says as the nth, and to whom.
func speech(i, n int) (to, typ, text string) {
	switch n % 3 {
	case 0:
		return talker(i+1) + "@example.com", "chat", fmt.Sprintf("line to the next, %d of %d", n, i)
	case 1:
		return "team@conference.example.com", "groupchat", fmt.Sprintf("line in the room, %d of %d", n, i)
	}
	return "sales@example.com", "chat", fmt.Sprintf("line to the alias, %d of %d", n, i)
}

// run has all of them talk, while the server is ended and started again, once for each signal.
func (k *company) run(t *testing.T, signals ...syscall.Signal) {
	server := k.start(t)
	var connected, talking sync.WaitGroup
	var said atomic.Int64
	due := make(chan struct{}, len(signals))
	each := int64(talkers*talkEach) / int64(len(signals)+1)
	for _, f := range k.all {
		connected.Go(f.run)
	}
	for _, f := range k.all {
		f.enter()
	}
	for i, f := range k.all {
		talking.Go(func() {
			for n := range talkEach {
				to, typ, text := speech(i, n)
				f.say(talkWindow, "<message type='"+typ+"' to='"+to+"' id='"+strconv.Itoa(n)+"'><body>"+text+"</body></message>")
				if now := said.Add(1); now%each == 0 && now/each <= int64(len(signals)) {
					due <- struct{}{}
				}
			}
			f.end()
		})
	}
	for _, s := range signals {
		<-due
		server.Process.Signal(s)
		<-k.ended
		server = k.start(t)
	}
	talking.Wait()
	k.everythingIsHeard(t)
	server.Process.Signal(syscall.SIGTERM)
	<-k.ended
	for _, f := range k.all {
		f.over.Store(true)
		f.mu.Lock()
		f.c.conn.Close()
		f.mu.Unlock()
	}
	connected.Wait()
}

// everythingIsHeard waits until everybody has heard what was said to him by himself or through the alias.
func (k *company) everythingIsHeard(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		var missing []string
		k.mu.Lock()
		for i := range talkers {
			heard := map[string]bool{}
			for _, text := range k.heard[i] {
				heard[text] = true
			}
			for from := range talkers {
				for n := range talkEach {
					to, typ, text := speech(from, n)
					if (to == talker(i)+"@example.com" || typ == "chat" && to == "sales@example.com" && from != i) && !heard[text] {
						missing = append(missing, talker(i)+": "+text)
					}
				}
			}
		}
		k.mu.Unlock()
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d messages were never heard: %q", len(missing), missing[:min(len(missing), 5)])
			return
		}
	}
}

// histories checks that in everybody's history, and in that of the room, is all that was said there, once, in the order of
// each speaker; and that what many have is in the same order for all. It returns what the room has.
func (k *company) histories(t *testing.T) (room []string) {
	t.Helper()
	k.offline(t, func(a *admin.Admin) {
		history := func(owner directory.ID) (texts []string) {
			_, bodies := kept(t, a, owner)
			for _, b := range bodies {
				texts = append(texts, spoken(b))
			}
			return texts
		}
		room = history(a.Directory.FindAlias("example.com", "team").ID)
		inOrder(t, "the room", room, func(_ int, to string) bool { return strings.HasPrefix(to, "team@") })
		var first []string
		for i := range talkers {
			texts := history(a.Directory.Login("example.com", talker(i)).ID)
			inOrder(t, talker(i), texts, func(from int, to string) bool {
				return to == "sales@example.com" || to == talker(i)+"@example.com" || from == i && !strings.HasPrefix(to, "team@")
			})
			alias := slices.DeleteFunc(texts, func(s string) bool { return !strings.HasPrefix(s, "line to the alias") })
			if first == nil {
				first = alias
			}
			if !slices.Equal(alias, first) {
				t.Errorf("%s has the messages to the alias in another order than %s", talker(i), talker(0))
			}
		}
	})
	return room
}

// inOrder checks a history: what is due of each speaker, in its order, and nothing else.
func inOrder(t *testing.T, whose string, texts []string, due func(from int, to string) bool) {
	t.Helper()
	total := 0
	for from := range talkers {
		var want []string
		for n := range talkEach {
			if to, _, text := speech(from, n); due(from, to) {
				want = append(want, text)
			}
		}
		total += len(want)
		of := fmt.Sprintf(" of %d", from)
		got := slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return !strings.HasSuffix(s, of) })
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Errorf("the history of %s has %d messages%s, not %d, and differs from %d on: %q, not %q", whose, len(got), of, len(want), i,
					got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
				break
			}
		}
	}
	if len(texts) != total {
		t.Errorf("the history of %s has %d messages, not %d", whose, len(texts), total)
	}
}

// The server is stopped and started while people talk, in a room and through an alias as well: their sessions go on,
// everybody hears everything once, in the order of the history.
func TestTalkGoesOnWhenTheServerIsStopped(t *testing.T) {
	k := newCompany(t)
	k.run(t, syscall.SIGTERM, syscall.SIGTERM, syscall.SIGTERM)
	room := k.histories(t)
	resumed := 0
	for i, f := range k.all {
		if f.begun != 1 {
			t.Errorf("%s began %d sessions", talker(i), f.begun)
		}
		resumed += f.resumed
		var inRoom []string
		count := map[string]int{}
		for _, text := range k.heard[i] {
			if count[text]++; count[text] == 2 || strings.HasPrefix(text, "refused") {
				t.Errorf("%s heard %q, which is too much", talker(i), text)
			}
			if strings.HasPrefix(text, "line in the room") {
				inRoom = append(inRoom, text)
			}
		}
		if !slices.Equal(inRoom, room) {
			t.Errorf("%s heard %d messages in the room, which are not the %d of its history", talker(i), len(inRoom), len(room))
		}
	}
	if resumed < talkers {
		t.Errorf("%d resumptions: the test showed nothing", resumed)
	}
}

// The server is killed while people talk, and once stopped: who says again what was not handled has said everything once.
func TestTalkGoesOnWhenTheServerIsKilled(t *testing.T) {
	k := newCompany(t)
	k.run(t, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL)
	k.histories(t)
	for i, f := range k.all {
		if f.begun < 2 {
			t.Errorf("%s began %d sessions", talker(i), f.begun)
		}
		for _, text := range k.heard[i] {
			if strings.HasPrefix(text, "refused") {
				t.Errorf("%s was %s", talker(i), text)
			}
		}
	}
}
