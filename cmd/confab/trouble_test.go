package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"confab/archive"
	"confab/cmd/internal/admin"
	"confab/cmd/internal/dialogue"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/store/storetest"
)

// kept is somebody's history: ids and texts, in its order.
func (w *world) kept(t *testing.T, user string) (ids []uint64, texts []string) {
	t.Helper()
	a := w.server.Admin()
	return kept(t, a, a.Directory.Login("example.com", user).ID)
}

func kept(t *testing.T, a *admin.Admin, owner directory.ID) (ids []uint64, texts []string) {
	t.Helper()
	return paged(t, a, archive.Query{Owner: owner})
}

// paged returns what a query finds, on all pages.
func paged(t *testing.T, a *admin.Admin, q archive.Query) (ids []uint64, texts []string) {
	t.Helper()
	q.Max = 250
	for {
		r, err := a.Archive.Page(context.Background(), q, func(it *archive.Item) error {
			st, err := xmpp.Parse(it.Stanza)
			if err == nil {
				ids, texts = append(ids, it.ID), append(texts, st.Child(xmpp.NSClient, "body").Text())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Complete {
			return ids, texts
		}
		q.After = r.Last
	}
}

// The disk is full for some of the time while many write. Each message is either heard once, and in the history of both
// once, or comes back to its sender as an error, and is nowhere; the log says it once.
func TestFullDiskUnderLoad(t *testing.T) {
	const senders, each, window = 8, 150, 10
	var failing *storetest.Failing
	w := promised(t, func(db store.DB) store.DB { failing = storetest.Fail(db); return failing })
	addr := w.Addr(dialogue.DirectTLS)
	juliet := mustOnline(t, addr, "juliet")
	var all []*client
	for range senders {
		all = append(all, mustOnline(t, addr, "romeo"))
	}

	var mu sync.Mutex
	heard, refused := map[string]int{}, map[string]int{}
	slots := map[string]chan struct{}{} // by the number of the sender
	settled := 0
	settle := func(in map[string]int, id string) {
		mu.Lock()
		defer mu.Unlock()
		in[id]++
		settled++
		switch settled % 120 { // what is under way when the disk fills up is caught by that in the middle
		case 40:
			failing.Fail(syscall.ENOSPC)
		case 80:
			failing.Fail(nil)
		}
		number, _, _ := strings.Cut(id, " ")
		<-slots[number]
	}
	for i := range all {
		slots[fmt.Sprint(i)] = make(chan struct{}, window)
	}
	var senderSide, receiverSide sync.WaitGroup
	receiverSide.Go(func() {
		for {
			e, err := juliet.next()
			if err != nil || e.attr("id") == "end" {
				return
			}
			if body := e.child("body").Text; e.XMLName.Local == "message" && e.attr("type") == "chat" && body != "" {
				settle(heard, body)
			}
		}
	})
	for i, c := range all {
		number := fmt.Sprint(i)
		senderSide.Go(func() {
			for n := range each {
				slots[number] <- struct{}{}
				text := fmt.Sprint(number, " ", n)
				if err := c.send("<message type='chat' to='juliet@example.com' id='" + text + "'><body>" + text + "</body></message>"); err != nil {
					t.Error(err)
					return
				}
			}
			for range window { // all of them are settled
				slots[number] <- struct{}{}
			}
			c.send("<iq type='get' id='end' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
		})
		senderSide.Go(func() {
			for {
				e, err := c.next()
				if err != nil {
					t.Errorf("sender %s: %v", number, err)
					return
				}
				if e.attr("id") == "end" {
					return
				}
				if e.XMLName.Local == "message" && e.attr("type") == "error" {
					settle(refused, e.attr("id"))
				}
			}
		})
	}
	senderSide.Wait()
	juliet.send("<iq type='get' id='end' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	receiverSide.Wait()
	if len(refused) == 0 || len(heard) == 0 {
		t.Errorf("%d heard, %d refused: the test showed nothing", len(heard), len(refused))
	}
	for _, owner := range []string{"romeo", "juliet"} {
		count := map[string]int{}
		_, texts := w.kept(t, owner)
		for _, text := range texts {
			count[text]++
		}
		for i := range senders {
			for n := range each {
				text := fmt.Sprint(i, " ", n)
				if heard[text]+refused[text] != 1 || count[text] != heard[text] {
					t.Errorf("%q was heard %d times and refused %d times, and is %d times in the history of %s", text, heard[text], refused[text], count[text], owner)
				}
			}
		}
	}
	counters := w.server.Admin().Live.Counters()
	if n := counters["history_failures"]; n != int64(len(refused)) {
		t.Errorf("%d failures were counted, %d messages came back", n, len(refused))
	}
	// The log is on a disk, too: in this second it has a line for each cause.
	if lines, errors := w.logged.Load(), counters["log_errors"]; lines == 0 || lines > 5 || errors < int64(len(refused)) {
		t.Errorf("the log has %d lines, and counted %d errors, %d messages came back", lines, errors, len(refused))
	}
	t.Logf("%d heard, %d refused", len(heard), len(refused))
}

// The clock is set, forwards and backwards, by hours, while people talk and across a restart: the history stays in the
// order in which things were said, and nothing of it is missing.
func TestHistoryWhenTheClockJumps(t *testing.T) {
	w := promised(t, nil)
	var want []string
	talk := func() {
		t.Helper()
		addr := w.Addr(dialogue.DirectTLS)
		romeo, juliet := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet")
		defer romeo.conn.Close()
		defer juliet.conn.Close()
		for _, jump := range []time.Duration{0, 5 * time.Hour, -12 * time.Hour, -time.Microsecond, 7 * time.Hour, time.Hour} {
			w.clock.Jump(jump)
			for range 3 {
				text := fmt.Sprint("line ", len(want))
				want = append(want, text)
				romeo.send("<message type='chat' to='juliet@example.com'><body>" + text + "</body></message>")
				juliet.hears(t, text)
			}
		}
	}
	talk()
	for _, jump := range []time.Duration{-30 * time.Hour, 48 * time.Hour} {
		if err := w.Stop(dialogue.Orderly); err != nil {
			t.Fatal(err)
		}
		w.clock.Jump(jump)
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		talk()
	}
	for _, user := range []string{"romeo", "juliet"} {
		ids, texts := w.kept(t, user)
		if got := strings.Join(texts, ","); got != strings.Join(want, ",") {
			t.Errorf("the history of %s is %s", user, got)
		}
		for i := 1; i < len(ids); i++ {
			if ids[i] <= ids[i-1] {
				t.Errorf("%s: id %d of %q comes behind %d", user, ids[i], texts[i], ids[i-1])
			}
		}
	}
}

// A session that lost its connection waits as long as it was promised, wherever the clock is set meanwhile: neither does
// a jump end it, nor does it live on, and a restart with the clock set back gives it no more than its time once again.
func TestSessionsWhenTheClockJumps(t *testing.T) {
	const wait = 10 * time.Minute
	w := promised(t, nil)
	lose := func() (token string) {
		t.Helper()
		c := mustOnline(t, w.Addr(dialogue.DirectTLS), "juliet")
		c.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
		e, err := c.await("enabled")
		if err != nil {
			t.Fatal(err)
		}
		before := w.server.Admin().Live.Counters()["sessions_hibernating"]
		c.conn.Close()
		romeo := mustOnline(t, w.Addr(dialogue.DirectTLS), "romeo")
		defer romeo.conn.Close()
		eventually(t, romeo, "the session does not wait", func() bool { return w.server.Admin().Live.Counters()["sessions_hibernating"] > before })
		return e.attr("id")
	}
	resumes := func(token string) bool {
		t.Helper()
		c, err := login(w.Addr(dialogue.DirectTLS), "example.com", "juliet", "pw-juliet")
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		c.send("<resume xmlns='urn:xmpp:sm:3' previd='" + token + "' h='0'/>")
		e, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		c.send("</stream:stream>") // with which the session is over
		io.Copy(io.Discard, c.conn)
		return e.XMLName.Local == "resumed"
	}
	for _, jump := range []time.Duration{5 * time.Hour, -5 * time.Hour} {
		token := lose()
		w.clock.Jump(jump)
		w.clock.Pass(wait - time.Second)
		if !resumes(token) {
			t.Errorf("a jump of %v ended a session", jump)
		}
		token = lose()
		w.clock.Jump(jump)
		w.clock.Pass(wait + time.Second)
		if resumes(token) {
			t.Errorf("after a jump of %v a session lives for ever", jump)
		}
	}
	for _, passes := range []time.Duration{wait - time.Second, wait + time.Second} {
		token := lose()
		if err := w.Stop(dialogue.Orderly); err != nil {
			t.Fatal(err)
		}
		w.clock.Jump(-5 * time.Hour)
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		mustOnline(t, w.Addr(dialogue.DirectTLS), "romeo").conn.Close() // people are served
		w.clock.Pass(passes)
		if got, want := resumes(token), passes < wait; got != want {
			t.Errorf("%v after a restart with the clock set back: resumed %v", passes, got)
		}
	}
}
