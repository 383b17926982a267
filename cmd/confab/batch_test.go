package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"confab/cmd/internal/dialogue"
	"confab/xmpp/store"
)

// What a client sends while its first message is being stored makes up a batch, which shares a commit. Nobody can tell:
// answers, counts and deliveries are as if each stanza had been handled alone.

// gate is a store whose commits wait for the test.
type gate struct {
	store.DB
	shut    atomic.Bool
	came    chan struct{} // a commit is at the gate
	fate    chan error    // it passes, or fails
	over    chan struct{} // the test is
	commits atomic.Int64
}

func (g *gate) Update(ctx context.Context, fn func(store.Tx) error) error {
	return g.DB.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		g.commits.Add(1)
		if !g.shut.Load() {
			return nil
		}
		select {
		case g.came <- struct{}{}:
		case <-g.over:
			return nil
		}
		select {
		case err := <-g.fate:
			return err
		case <-g.over:
			return nil
		}
	})
}

// gated starts a server whose commits the test can hold, one by one.
func gated(t *testing.T) (*world, *gate) {
	g := &gate{came: make(chan struct{}), fate: make(chan error), over: make(chan struct{})}
	w := promised(t, func(db store.DB) store.DB { g.DB = db; return g })
	t.Cleanup(func() { close(g.over) }) // before the server is stopped
	return w, g
}

// await returns when a commit is at the gate; from then on those behind it wait.
func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.came:
	case <-t.Context().Done():
		t.Fatal("no commit came")
	}
}

// burst has a client send the first of some pieces, and the others, each in a record of TLS of its own, while that is
// being stored: they are there when the reader goes on.
func (g *gate) burst(t *testing.T, c *client, pieces []string) {
	t.Helper()
	g.shut.Store(true)
	c.must(t, pieces[0])
	g.await(t)
	for _, p := range pieces[1:] {
		c.must(t, p)
	}
	g.commits.Store(0)
}

// open lets the commit at the gate pass, and all that come.
func (g *gate) open() {
	g.shut.Store(false)
	g.fate <- nil
}

func (c *client) must(t *testing.T, s string) {
	t.Helper()
	if err := c.send(s); err != nil {
		t.Fatal(err)
	}
}

// line is a message of one line, which is its id too.
func line(to string, n int) string {
	return fmt.Sprintf("<message type='chat' to='%s' id='%d'><body>line %d</body></message>", to, n, n)
}

func linesTo(to string, from, below int) (all []string) {
	for n := from; n < below; n++ {
		all = append(all, line(to, n))
	}
	return all
}

const askCount = "<r xmlns='urn:xmpp:sm:3'/>"

// managed is mustOnline with stream management; token is that of the session.
func managed(t *testing.T, addr, user string) (c *client, token string) {
	t.Helper()
	c = mustOnline(t, addr, user)
	c.must(t, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
	e, err := c.await("enabled")
	if err != nil {
		t.Fatal(err)
	}
	return c, e.attr("id")
}

// resumes takes a session up again and returns the answer.
func resumes(t *testing.T, addr, user, token string) (*client, *element) {
	t.Helper()
	c, err := login(addr, "example.com", user, "pw-"+user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	c.must(t, "<resume xmlns='urn:xmpp:sm:3' previd='"+token+"' h='0'/>")
	e, err := c.next()
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

// brief tells an element in a word or two.
func brief(e *element) string {
	switch {
	case e.XMLName.Local == "a":
		return "h " + e.attr("h")
	case e.attr("type") == "error":
		return "refused " + e.attr("id")
	case e.XMLName.Local == "iq":
		return e.attr("type") + " " + e.attr("id")
	case e.XMLName.Local == "presence":
		return "presence " + e.child("status").Text
	case e.child("active").XMLName.Local != "":
		return "active"
	}
	return e.child("body").Text
}

// tells reads what comes up to what the last of want is, but for presence that nobody sent on purpose and requests for
// acknowledgements, and compares it.
func (c *client) tells(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for len(got) < len(want) {
		e, err := c.next()
		if err != nil {
			t.Fatalf("%v, behind %q; want %q", err, got, want)
		}
		if s := brief(e); e.XMLName.Local != "r" && s != "presence " {
			got = append(got, s)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s hears %q, want %q", c.jid, got, want)
	}
}

// keeps fails unless these lines, and no others, are in the histories of both, in this order.
func (w *world) keeps(t *testing.T, want ...string) {
	t.Helper()
	for _, user := range []string{"romeo", "juliet"} {
		if _, texts := w.kept(t, user); !slices.Equal(texts, want) {
			t.Errorf("in the history of %s is %q, want %q", user, texts, want)
		}
	}
}

// Stanzas of all kinds, refused ones and questions for the count between messages are answered in their order, and each
// count is that of its moment.
func TestBatchAnswersInOrder(t *testing.T) {
	for name, joined := range map[string]bool{"a record each": false, "one record": true} {
		t.Run(name, func(t *testing.T) {
			w, g := gated(t)
			addr := w.Addr(dialogue.DirectTLS)
			romeo, _ := managed(t, addr, "romeo")
			juliet := mustOnline(t, addr, "juliet")
			to := juliet.jid
			pieces := []string{
				line(to, 1),
				line(to, 2), "<iq type='get' id='ping' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>", line(to, 3), askCount,
				line(to, 4), line("nobody@example.com", 5), line(to, 6), "<presence to='" + to + "'><status>between</status></presence>", line(to, 7),
				"<a xmlns='urn:xmpp:sm:3' h='0'/>", line(to, 8), askCount,
				"<iq type='get' id='odd' to='example.com'><odd xmlns='odd'/></iq>", line(to, 9),
				"<message type='chat' to='" + to + "'><active xmlns='http://jabber.org/protocol/chatstates'/></message>", line(to, 10),
				"<iq type='get' id='through' to='" + to + "'><odd xmlns='odd'/></iq>", line(to, 11), line("malformed@@example.com", 12), line(to, 13), line(to, 14), line(to, 15), askCount,
			}
			if joined {
				pieces = []string{pieces[0], strings.Join(pieces[1:], "")}
			}
			g.burst(t, romeo, pieces)
			g.open()
			romeo.tells(t, "result ping", "h 4", "refused 5", "h 10", "refused odd", "refused 12", "h 20")
			juliet.tells(t, "line 1", "line 2", "line 3", "line 4", "line 6", "presence between", "line 7", "line 8", "line 9", "active", "line 10",
				"get through", "line 11", "line 13", "line 14", "line 15")
			w.keeps(t, "line 1", "line 2", "line 3", "line 4", "line 6", "line 7", "line 8", "line 9", "line 10", "line 11", "line 13", "line 14", "line 15")
			if n := g.commits.Load(); n >= 12 {
				t.Errorf("%d commits for 12 messages: no two messages shared one, and the test showed nothing", n)
			}
		})
	}
}

// A count comes when all of the batch before it is on disk, and so does the answer to the end of a stream.
func TestBatchIsAcknowledgedWhenItIsStored(t *testing.T) {
	for name, last := range map[string]string{"count": askCount, "end": "</stream:stream>"} {
		t.Run(name, func(t *testing.T) {
			w, g := gated(t)
			addr := w.Addr(dialogue.DirectTLS)
			romeo, _ := managed(t, addr, "romeo")
			juliet := mustOnline(t, addr, "juliet")
			g.burst(t, romeo, append(linesTo(juliet.jid, 1, 5), last))
			g.fate <- nil // the first, and no other
			g.await(t)
			juliet.tells(t, "line 1")
			juliet.must(t, "<message type='chat' to='"+romeo.jid+"'><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
			romeo.tells(t, "active")
			g.open()
			juliet.tells(t, "line 2", "line 3", "line 4")
			if last == askCount {
				romeo.tells(t, "h 4")
			} else if e, err := romeo.next(); err != io.EOF {
				t.Errorf("at the end romeo heard %+v, %v", e, err)
			}
			if n := g.commits.Load(); n != 1 {
				t.Errorf("%d commits: three messages did not share one", n)
			}
		})
	}
}

// What came before the end of a connection, whatever that is, is stored, delivered and counted.
func TestBatchIsCut(t *testing.T) {
	plain := func(c *client) net.Conn { return c.conn.(interface{ NetConn() net.Conn }).NetConn() }
	for name, cut := range map[string]func(c *client) error{
		"closing tag": func(c *client) error { return c.send("</stream:stream>") },
		"TLS closed":  func(c *client) error { return c.conn.(interface{ CloseWrite() error }).CloseWrite() },
		"TCP closed":  func(c *client) error { return plain(c).(*net.TCPConn).CloseWrite() },
		"reset":       func(c *client) error { return errors.Join(plain(c).(*net.TCPConn).SetLinger(0), plain(c).Close()) },
		"no record":   func(c *client) error { _, err := io.WriteString(plain(c), "this is not TLS at all"); return err },
		"cut record": func(c *client) error {
			_, err := plain(c).Write([]byte{23, 3, 3, 1, 0, 42})
			plain(c).Close()
			return err
		},
		"ill-formed": func(c *client) error { return c.send("<message><body>x</message>" + line("juliet@example.com", 99)) },
		"too large":  func(c *client) error { return c.send("<message><body>" + strings.Repeat("x", 300<<10)) },
		"half a one": func(c *client) error { c.send("<message><body>x"); return plain(c).Close() },
		"unknown":    func(c *client) error { return c.send("<odd xmlns='odd'/>" + line("juliet@example.com", 99)) },
		"forged": func(c *client) error {
			return c.send("<message from='juliet@example.com' to='juliet@example.com'><body>x</body></message>")
		},
		"not declared": func(c *client) error { return c.send("<message><x:odd/></message>") },
		"h too high": func(c *client) error {
			return c.send("<a xmlns='urn:xmpp:sm:3' h='77'/>" + line("juliet@example.com", 99))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, g := gated(t)
			addr := w.Addr(dialogue.DirectTLS)
			romeo, token := managed(t, addr, "romeo")
			juliet := mustOnline(t, addr, "juliet")
			g.burst(t, romeo, linesTo(juliet.jid, 1, 6))
			if err := cut(romeo); err != nil {
				t.Fatal(err)
			}
			g.open()
			juliet.tells(t, "line 1", "line 2", "line 3", "line 4", "line 5")
			again, e := resumes(t, addr, "romeo", token)
			want := "resumed"
			if name == "closing tag" {
				want = "failed"
			}
			if e.XMLName.Local != want || e.attr("h") != "5" {
				t.Errorf("behind it romeo hears %+v", e)
			}
			if want == "resumed" {
				again.must(t, line(juliet.jid, 6)+askCount)
				again.tells(t, "h 6")
				juliet.tells(t, "line 6")
				w.keeps(t, "line 1", "line 2", "line 3", "line 4", "line 5", "line 6")
			}
		})
	}
}

// Somebody resumes a session while its old connection still stores what it read: the count waits for that.
func TestResumedWhileABatchIsStored(t *testing.T) {
	for name, failure := range map[string]error{"stored": nil, "refused": syscall.ENOSPC} {
		t.Run(name, func(t *testing.T) {
			w, g := gated(t)
			addr := w.Addr(dialogue.DirectTLS)
			romeo, token := managed(t, addr, "romeo")
			juliet := mustOnline(t, addr, "juliet")
			again, err := login(addr, "example.com", "romeo", "pw-romeo")
			if err != nil {
				t.Fatal(err)
			}
			defer again.conn.Close()
			again.jid = romeo.jid
			g.burst(t, romeo, linesTo(juliet.jid, 1, 6))
			g.fate <- nil
			g.await(t)
			again.must(t, "<resume xmlns='urn:xmpp:sm:3' previd='"+token+"' h='0'/>")
			for e := new(element); e.XMLName.Local != "conflict"; { // it has come to the old connection
				if e, err = romeo.next(); err != nil {
					t.Fatal(err)
				}
				e = e.child("conflict")
			}
			g.shut.Store(false)
			g.fate <- failure
			e, err := again.next()
			if err != nil || e.XMLName.Local != "resumed" || e.attr("h") != "5" {
				t.Fatalf("romeo hears %+v, %v", e, err)
			}
			again.must(t, line(juliet.jid, 6)+askCount)
			if failure == nil {
				again.tells(t, "h 6")
				juliet.tells(t, "line 1", "line 2", "line 3", "line 4", "line 5", "line 6")
				w.keeps(t, "line 1", "line 2", "line 3", "line 4", "line 5", "line 6")
			} else {
				again.tells(t, "refused 2", "refused 3", "refused 4", "refused 5", "h 6")
				juliet.tells(t, "line 1", "line 6")
				w.keeps(t, "line 1", "line 6")
			}
		})
	}
}

// A commit of several messages fails: each comes back, in its order, and nobody gets any of them.
func TestBatchIsRefused(t *testing.T) {
	w, g := gated(t)
	addr := w.Addr(dialogue.DirectTLS)
	romeo, _ := managed(t, addr, "romeo")
	juliet := mustOnline(t, addr, "juliet")
	pieces := append(linesTo(juliet.jid, 1, 6), "<iq type='get' id='ping' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>", line(juliet.jid, 6), line(juliet.jid, 7), askCount)
	g.burst(t, romeo, pieces)
	g.fate <- nil
	g.await(t)
	g.fate <- syscall.ENOSPC
	g.await(t)
	g.open()
	romeo.tells(t, "refused 2", "refused 3", "refused 4", "refused 5", "result ping", "h 8")
	juliet.tells(t, "line 1", "line 6", "line 7")
	w.keeps(t, "line 1", "line 6", "line 7")
}

// More than a batch takes, in messages of all sizes, with questions for the count between them.
func TestManyBatches(t *testing.T) {
	for name, joined := range map[string]bool{"a record each": false, "one write": true} {
		t.Run(name, func(t *testing.T) {
			w, g := gated(t)
			addr := w.Addr(dialogue.DirectTLS)
			romeo, _ := managed(t, addr, "romeo")
			juliet := mustOnline(t, addr, "juliet")
			const many = 300
			sizes := []int{1, 60, 900, 14 << 10, 3, 17 << 10, 200, 5 << 10, 40 << 10, 7, 7, 7}
			var pieces, counts, want []string
			for n := 1; n <= many; n++ {
				body := fmt.Sprint("line ", n)
				want = append(want, body)
				size := 0
				if n > 1 && n < 100 {
					size = sizes[n%len(sizes)]
				}
				pieces = append(pieces, fmt.Sprintf("<message type='chat' to='%s' id='%d'><body>%s</body><x xmlns='x'>%s</x></message>", juliet.jid, n, body, strings.Repeat("x", size)))
				if n%7 == 0 || n == many {
					pieces = append(pieces, askCount)
					counts = append(counts, fmt.Sprint("h ", n))
				}
			}
			if joined {
				pieces = []string{pieces[0], strings.Join(pieces[1:], "")}
			}
			g.shut.Store(true)
			romeo.must(t, pieces[0])
			g.await(t)
			go func() { // more than the socket takes
				for _, p := range pieces[1:] {
					romeo.send(p)
				}
			}()
			g.open()
			var wg sync.WaitGroup
			wg.Go(func() { juliet.tells(t, want...) })
			romeo.tells(t, counts...)
			wg.Wait()
			w.keeps(t, want...)
		})
	}
}

// A session ends by somebody else's doing while what it sent is being stored: the count that its client is told is that of
// what is in the history, so that nothing is sent twice.
func TestSessionEndsWhileABatchIsStored(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, w *world, jid string){
		"kicked": func(t *testing.T, w *world, jid string) {
			if out, err := w.Operate("", "user", "kick", jid); err != nil {
				t.Fatal(out, err)
			}
		},
		"replaced": func(t *testing.T, w *world, jid string) {
			c, err := login(w.Addr(dialogue.DirectTLS), "example.com", "romeo", "pw-romeo")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.conn.Close() })
			_, resource, _ := strings.Cut(jid, "/")
			c.must(t, "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>"+resource+"</resource></bind></iq>")
			if _, err := c.await("iq"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, g := gated(t)
			addr := w.Addr(dialogue.DirectTLS)
			romeo, token := managed(t, addr, "romeo")
			juliet := mustOnline(t, addr, "juliet")
			g.burst(t, romeo, linesTo(juliet.jid, 1, 6))
			g.fate <- nil
			g.await(t)
			end(t, w, romeo.jid)
			g.open()
			if _, err := io.Copy(io.Discard, romeo.conn); err != nil {
				t.Fatal(err)
			}
			juliet.tells(t, "line 1", "line 2", "line 3", "line 4", "line 5")
			if _, e := resumes(t, addr, "romeo", token); e.XMLName.Local != "failed" || e.attr("h") != "5" {
				t.Errorf("romeo hears %+v", e)
			}
		})
	}
}

// Who sends more than his rate waits, but what was read of him does not: it is stored, delivered and counted.
func TestBatchOfAFlood(t *testing.T) {
	w := secured(t, dialogue.Setting{Key: "limits.stanza_rate", Value: "1"}, dialogue.Setting{Key: "roster.domain", Value: "off"})
	addr := w.Addr(dialogue.DirectTLS)
	romeo, _ := managed(t, addr, "romeo")
	juliet := mustOnline(t, addr, "juliet")
	const many = 50 // as much as a record of TLS takes; with waits between them they would last longer than the test may
	var want []string
	for n := 1; n <= many; n++ {
		want = append(want, fmt.Sprint("line ", n))
	}
	romeo.must(t, strings.Join(linesTo(juliet.jid, 1, many+1), "")+askCount)
	juliet.tells(t, want...)
	romeo.tells(t, fmt.Sprint("h ", many))
	w.keeps(t, want...)
}
