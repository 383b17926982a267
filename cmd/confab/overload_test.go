package main

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/cmd/internal/dialogue"
	"confab/xmpp/directory"
)

// Overload, a test each: who costs too much is held back, a counter tells of it, what waits in memory has a bound, and
// everybody else is served. A single slow reader is in security_test.go, a room with one in stalled_test.go.

// dialFrom connects from an address of this machine, as somebody at another place would.
func dialFrom(t *testing.T, from, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		if from != "127.0.0.1" {
			t.Skipf("this machine has no %s: %v", from, err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func tlsOver(c net.Conn) net.Conn {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}})
}

// converse has two people exchange messages, each of which has to arrive.
func converse(t *testing.T, a, b *client, n int) {
	t.Helper()
	for i := range n {
		for _, way := range [][2]*client{{a, b}, {b, a}} {
			text := fmt.Sprint("line ", i)
			if err := way[0].send("<message type='chat' to='" + way[1].jid + "'><body>" + text + "</body></message>"); err != nil {
				t.Fatal(err)
			}
			way[1].hears(t, text)
		}
	}
}

// eventually asks again and again, with an answer of the server in between; it fails when that takes for ever.
func eventually(t *testing.T, asker *client, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
		if err := asker.send("<iq type='get' id='again' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"); err != nil {
			t.Fatal(err)
		}
		if _, err := asker.await("iq"); err != nil {
			t.Fatal(err)
		}
	}
}

// crowd is people without a client of their own, who take part in a test only by being there.
func (w *world) crowd(n int) (names []string) {
	w.t.Helper()
	for i := range n {
		names = append(names, fmt.Sprintf("guest%d", i))
		if err := w.server.Admin().Directory.Add(w.t.Context(), directory.NewUser{Domain: "example.com", Local: names[i]}); err != nil {
			w.t.Fatal(err)
		}
	}
	return names
}

// One who sends without end is read as slowly as the rate says.
func TestAFlood(t *testing.T) {
	const rate = 100 // a second, and ten seconds' worth at once
	w := secured(t, dialogue.Setting{Key: "limits.stanza_rate", Value: fmt.Sprint(rate)}, dialogue.Setting{Key: "roster.domain", Value: "off"})
	addr := w.Addr(dialogue.DirectTLS)
	romeo, juliet, flooder := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet"), mustOnline(t, addr, "romeo")
	counters := w.server.Admin().Live.Counters
	before := counters()["messages_received"]
	var sent int
	var wg sync.WaitGroup
	wg.Go(func() {
		line := strings.Repeat("<message type='headline' to='nobody@example.com'><body>flood</body></message>", 100)
		for flooder.send(line) == nil {
			sent += 100
		}
	})
	wg.Go(func() { io.Copy(io.Discard, flooder.conn) })
	// Juliet's own pings stay below the rate that holds for her too.
	for i := 0; counters()["throttled_reads"] == 0; i++ {
		converse(t, romeo, juliet, 1)
		if i == 400 {
			t.Fatal("nobody is slowed down")
		}
	}
	converse(t, romeo, juliet, 20)
	received := counters()["messages_received"] - before
	flooder.conn.(interface{ NetConn() net.Conn }).NetConn().Close()
	wg.Wait()
	if received >= int64(sent) {
		t.Errorf("of %d messages of the flood, %d were read while it lasted", sent, received)
	}
	if n := counters()["bytes_waiting"]; n > 1<<20 {
		t.Errorf("%d bytes wait", n)
	}
}

// What waits for many slow readers together has a bound of its own, whatever each of them may have.
func TestManySlowReaders(t *testing.T) {
	const total, each, readers = 1 << 20, 512 << 10, 24
	w := secured(t, dialogue.Setting{Key: "limits.stanza", Value: "64KiB"}, dialogue.Setting{Key: "limits.out_buffer", Value: "512KiB"},
		dialogue.Setting{Key: "limits.out_buffers", Value: "1MiB"}, dialogue.Setting{Key: "limits.byte_rate", Value: "1000000000"},
		dialogue.Setting{Key: "limits.sessions", Value: "100"}, dialogue.Setting{Key: "roster.domain", Value: "off"})
	addr := w.Addr(dialogue.DirectTLS)
	romeo, listener := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "romeo")
	var slow []*client
	for range readers {
		c := mustOnline(t, addr, "juliet")
		c.conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
		slow = append(slow, c)
	}
	counters := w.server.Admin().Live.Counters
	body := bytes.Repeat([]byte("a"), 50<<10)
	most := int64(0)
	for round := 0; counters()["slow_peers"] < readers; round++ {
		if round == 400 {
			t.Fatalf("%d of %d are held to be slow; %d bytes wait", counters()["slow_peers"], readers, counters()["bytes_waiting"])
		}
		for _, c := range slow {
			fmt.Fprintf(romeo.conn, "<message type='headline' to='%s'><body>%s</body></message>", c.jid, body)
		}
		converse(t, romeo, listener, 1)
		most = max(most, counters()["bytes_waiting"])
	}
	// When too much waits, each may have a sixteenth; one stanza more may be on its way to each.
	if bound := int64(total + readers*(each/16+64<<10)); most > bound {
		t.Errorf("%d bytes waited, may be %d", most, bound)
	}
	if most < total/2 {
		t.Errorf("no more than %d bytes waited: the test showed nothing", most)
	}
}

// Thousands who begin a login and do not go on leave room for those at other places.
func TestHalfOpenHandshakes(t *testing.T) {
	const many, room = 2000, 1024 // of 4096 connections that have not logged in, one address has a quarter
	w := secured(t, dialogue.Setting{Key: "limits.tls_handshake", Value: "10m"})
	addr := w.Addr(dialogue.DirectTLS)
	counters := w.server.Admin().Live.Counters
	juliet := mustOnline(t, addr, "juliet") // was there before
	var all []net.Conn
	for range many {
		c := dialFrom(t, "127.0.0.9", addr)
		c.Write([]byte{0x16, 0x03, 0x01}) // a record begins
		all = append(all, c)
	}
	eventually(t, juliet, "nobody is refused", func() bool { return counters()["connections_refused"] >= many-room })
	romeo := mustOnline(t, addr, "romeo")
	converse(t, romeo, juliet, 5)
	if n := counters()["connections_refused"]; n != many-room {
		t.Errorf("%d were refused, want %d", n, many-room)
	}
	for _, c := range all {
		c.Close()
	}
	eventually(t, juliet, "the handshakes that broke off are not counted", func() bool { return counters()["tls_failures"] >= room })
	eventually(t, juliet, "who has gone counts as connected", func() bool { return counters()["connections"] <= 2 })
}

// attempt tries a login with PLAIN on a stream that is open, and says how it ended.
func attempt(c *client, user, password string) (string, error) {
	auth := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	if err := c.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + auth + "</auth>"); err != nil {
		return "", err
	}
	e, err := c.next()
	if err != nil {
		return "", err
	}
	if e.XMLName.Local == "failure" {
		return e.Children[0].XMLName.Local, nil
	}
	return e.XMLName.Local, nil
}

// Guessing passwords at a high rate ends at a bound for each address; others log in meanwhile, and the right password
// helps the one who guessed no sooner than after the wait.
func TestGuessedPasswords(t *testing.T) {
	const failures, hands, tries = 20, 16, 6
	w := secured(t, dialogue.Setting{Key: "limits.login_failures", Value: fmt.Sprint(failures)})
	addr := w.Addr(dialogue.DirectTLS)
	counters := w.server.Admin().Live.Counters
	from := func() (*client, error) {
		c := &client{conn: tlsOver(dialFrom(t, "127.0.0.9", addr))}
		return c, c.open("example.com")
	}
	var guessers []*client
	for range hands {
		c, err := from()
		if err != nil {
			t.Fatal(err)
		}
		guessers = append(guessers, c)
	}
	var wg sync.WaitGroup
	for i, c := range guessers {
		wg.Go(func() {
			for n := range tries {
				if how, err := attempt(c, "romeo", fmt.Sprint("guess ", i, n)); err != nil || how != "not-authorized" && how != "temporary-auth-failure" {
					t.Errorf("a wrong password: %s, %v", how, err)
					return
				}
			}
		})
	}
	romeo, juliet := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet")
	converse(t, romeo, juliet, 3)
	wg.Wait()
	// Attempts that were under way when the bound was reached are checked.
	wrong, throttled := counters()["logins_refused"], counters()["logins_throttled"]
	if wrong < failures || wrong > failures+hands || wrong+throttled != hands*tries {
		t.Errorf("of %d attempts, %d were checked and %d not; the bound is %d", hands*tries, wrong, throttled, failures)
	}
	c, err := from()
	if err != nil {
		t.Fatal(err)
	}
	if how, err := attempt(c, "romeo", "pw-romeo"); err != nil || how != "temporary-auth-failure" {
		t.Errorf("the right password after too many wrong ones: %s, %v", how, err)
	}
	w.clock.Pass(61 * time.Second)
	if c, err = from(); err != nil {
		t.Fatal(err)
	}
	if how, err := attempt(c, "romeo", "pw-romeo"); err != nil || how != "success" {
		t.Errorf("the right password after the wait: %s, %v", how, err)
	}
}

// One who writes to an alias of many in a loop has a budget of copies; what goes beyond is refused, and costs the
// members nothing.
func TestAliasBomb(t *testing.T) {
	const members, copies = 200, 20_000 // at once
	w := secured(t, dialogue.Setting{Key: "roster.domain", Value: "off"}, dialogue.Setting{Key: "limits.stanza_rate", Value: "1000000"})
	names := w.crowd(members - 2)
	for _, args := range [][]string{append([]string{"alias", "create", "inner", "juliet"}, names...), {"alias", "create", "everybody", "romeo", "inner"}, {"alias", "add", "inner", "everybody"}} {
		if out, err := w.Operate("", args...); err != nil {
			t.Fatal(out, err)
		}
	}
	addr := w.Addr(dialogue.DirectTLS)
	romeo, juliet := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet")
	other := mustOnline(t, addr, "romeo")
	const bombs = 150
	for i := range bombs {
		if err := romeo.send(fmt.Sprintf("<message type='chat' id='b%d' to='everybody@example.com'><body>bomb</body></message>", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := romeo.send("<iq type='get' id='behind' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for {
		e, err := romeo.next()
		if err != nil {
			t.Fatal(err)
		}
		if e.attr("id") == "behind" {
			break
		}
		if e.attr("type") == "error" {
			if e.child("error").child("resource-constraint").XMLName.Local == "" {
				t.Fatalf("refused with %+v", e.child("error"))
			}
			refused++
		}
	}
	passed := bombs - refused
	if refused == 0 || passed < copies/members || passed > copies/members+2 {
		t.Errorf("%d messages of %d copies each were let pass, want %d", passed, members, copies/members)
	}
	for range passed {
		juliet.hears(t, "romeo: bomb")
	}
	counters := w.server.Admin().Live.Counters()
	if n := counters["alias_messages_refused"]; n != int64(refused) {
		t.Errorf("%d were counted as refused, want %d", n, refused)
	}
	if n := counters["bytes_waiting"]; n > 1<<20 {
		t.Errorf("%d bytes wait", n)
	}
	if err := other.send("<message type='chat' to='" + juliet.jid + "'><body>art thou there</body></message>"); err != nil {
		t.Fatal(err)
	}
	juliet.hears(t, "art thou there")
}
