package main

import (
	"context"
	"syscall"
	"testing"

	"confab/archive"
	"confab/cmd/internal/config"
	"confab/cmd/internal/dialogue"
	"confab/xmpp/store"
	"confab/xmpp/store/storetest"
	"confab/xmpp/xmpptest"
)

// promised starts a server for romeo and juliet whose history is in the hands of the test.
func promised(t *testing.T, wrap func(store.DB) store.DB) *world {
	w := &world{t: t, clock: new(xmpptest.Clock), wrap: wrap}
	w.settings = config.Source{Flags: map[string]string{
		"data": t.TempDir(), "domains": "example.com", "listen-starttls": "127.0.0.1:0", "listen-tls": "127.0.0.1:0", "listen-https": "127.0.0.1:0",
		"auth-iterations": "4096", "roster-domain": "off",
	}}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(dialogue.Orderly); err != nil {
			t.Error(err)
		}
	})
	w.populate(dialogue.Scene{Domains: []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{
		{Local: "romeo", Password: "pw-romeo"}, {Local: "juliet", Password: "pw-juliet"},
	}}}})
	return w
}

// Nothing is delivered, carbon-copied or acknowledged before it is on disk.
func TestHeldCommit(t *testing.T) {
	var held *storetest.Held
	w := promised(t, func(db store.DB) store.DB { held = storetest.Hold(db); return held })
	addr := w.Addr(dialogue.DirectTLS)
	romeo, balcony, juliet := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet")
	balcony.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
	if _, err := balcony.await("iq"); err != nil {
		t.Fatal(err)
	}
	romeo.send("<enable xmlns='urn:xmpp:sm:3'/>")
	if _, err := romeo.await("enabled"); err != nil {
		t.Fatal(err)
	}

	held.Hold()
	romeo.send("<message type='chat' to='juliet@example.com' id='1'><body>held</body></message><r xmlns='urn:xmpp:sm:3'/>")
	if !held.Await(1) {
		t.Fatal("the message did not reach the store")
	}
	// A chat state needs no store: it is heard while the commit is held, and nothing before it.
	juliet.send("<message type='chat' to='" + romeo.jid + "'><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
	for heard := false; !heard; {
		e, err := romeo.next()
		if err != nil || e.XMLName.Local == "a" {
			t.Fatalf("romeo heard %+v, %v while the commit was held", e, err)
		}
		heard = e.child("active").XMLName.Local != ""
	}
	for _, c := range []*client{juliet, balcony} {
		c.send("<iq type='get' id='fence' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
		for {
			e, err := c.next()
			if err != nil {
				t.Fatal(err)
			}
			if e.child("sent").XMLName.Local != "" || e.child("body").Text != "" {
				t.Fatalf("%s heard %+v while the commit was held", c.jid, e)
			}
			if e.XMLName.Local == "iq" && e.attr("id") == "fence" {
				break
			}
		}
	}
	held.Release()
	juliet.hears(t, "held")
	if e, err := romeo.await("a"); err != nil || e.attr("h") != "1" {
		t.Errorf("acknowledged %+v, %v", e, err)
	}
	for {
		e, err := balcony.await("message")
		if err != nil {
			t.Fatal(err)
		}
		if e.child("sent").child("forwarded").child("message").child("body").Text == "held" {
			break
		}
	}
}

// A full disk is an error to the sender and nothing to anybody else.
func TestFullDisk(t *testing.T) {
	var failing *storetest.Failing
	w := promised(t, func(db store.DB) store.DB { failing = storetest.Fail(db); return failing })
	addr := w.Addr(dialogue.DirectTLS)
	romeo, juliet := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet")
	failing.Fail(syscall.ENOSPC)
	romeo.send("<message type='chat' to='juliet@example.com' id='1'><body>lost</body></message>")
	e, err := romeo.await("message")
	if err != nil || e.attr("type") != "error" || e.attr("id") != "1" {
		t.Fatalf("romeo heard %+v, %v", e, err)
	}
	failure := e.child("error")
	if failure.child("internal-server-error").XMLName.Local == "" && failure.child("resource-constraint").XMLName.Local == "" {
		t.Errorf("the error is %+v", failure)
	}
	failing.Fail(nil)
	romeo.send("<message type='chat' to='juliet@example.com' id='2'><body>there is room again</body></message>")
	juliet.hears(t, "there is room again")

	user := w.server.Admin().Directory.Login("example.com", "juliet")
	r, err := w.server.Admin().Archive.Page(context.Background(), archive.Query{Owner: user.ID}, func(*archive.Item) error { return nil })
	if err != nil || r.Count != 1 {
		t.Errorf("%d messages in the history, want the one that was delivered; %v", r.Count, err)
	}
}
