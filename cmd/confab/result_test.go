package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"confab/cmd/internal/dialogue"
	"confab/xmpp/store"
	"confab/xmpp/store/storetest"
)

// changes are what a client is told the result of, and how it asks for what there is.
var changes = map[string]struct{ change, told, ask, want string }{
	"roster": {
		"<iq type='set' id='c'><query xmlns='jabber:iq:roster'><item jid='nurse@example.com' name='Angelica'/></query></iq>", "result",
		"<query xmlns='jabber:iq:roster'/>", "Angelica",
	},
	"subscription": { // the result is a push
		"<presence type='subscribe' to='juliet@example.com'/>", "set",
		"<query xmlns='jabber:iq:roster'/>", "subscribe",
	},
	"blocking": {
		"<iq type='set' id='c'><block xmlns='urn:xmpp:blocking'><item jid='tybalt@example.com'/></block></iq>", "result",
		"<blocklist xmlns='urn:xmpp:blocking'/>", "tybalt",
	},
	"PEP": {
		"<iq type='set' id='c'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='plays'><item id='1'><play xmlns='plays'>Cymbeline</play></item></publish></pubsub></iq>", "result",
		"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='plays'/></pubsub>", "Cymbeline",
	},
	"private": {
		"<iq type='set' id='c'><query xmlns='jabber:iq:private'><plays xmlns='plays'>Pericles</plays></query></iq>", "result",
		"<query xmlns='jabber:iq:private'><plays xmlns='plays'/></query>", "Pericles",
	},
	"vCard": {
		"<iq type='set' id='c'><vCard xmlns='vcard-temp'><FN>Romeo Montague</FN></vCard></iq>", "result",
		"<vCard xmlns='vcard-temp'/>", "Romeo Montague",
	},
}

// What a client is told to be done is on disk: nothing is heard of it while the commit is held, and it is there after a crash.
func TestResultIsOnDisk(t *testing.T) {
	w := promised(t, nil)
	var held *storetest.Held
	w.wrapState = func(db store.DB) store.DB { held = storetest.Hold(db); return held }
	again := func() (romeo, juliet *client) {
		if err := errors.Join(w.Stop(dialogue.Crash), w.Start()); err != nil {
			t.Fatal(err)
		}
		addr := w.Addr(dialogue.DirectTLS)
		return mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet")
	}
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			romeo, juliet := again()
			romeo.must(t, "<iq type='get' id='r'>"+c.ask+"</iq>") // whoever has asked is told of changes
			if _, err := romeo.await("iq"); err != nil {
				t.Fatal(err)
			}
			held.Hold()
			defer held.Release()
			romeo.must(t, c.change)
			if !held.Await(1) {
				t.Fatal("the change did not reach the store")
			}
			// A chat state needs no store: what was said before it is heard before it.
			juliet.must(t, "<message type='chat' to='"+romeo.jid+"'><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
			if e, err := romeo.next(); err != nil || e.child("active").XMLName.Local == "" {
				t.Fatalf("romeo heard %+v, %v while the commit was held", e, err)
			}
			held.Release()
			for done := false; !done; {
				e, err := romeo.await("iq")
				if err != nil || e.attr("type") == "error" {
					t.Fatalf("%+v, %v", e, err)
				}
				done = e.attr("type") == c.told && (c.told == "set" || e.attr("id") == "c")
			}

			romeo, _ = again()
			romeo.must(t, "<iq type='get' id='a'>"+c.ask+"</iq>")
			e, err := romeo.await("iq")
			if got := fmt.Sprint(e); err != nil || !strings.Contains(got, c.want) {
				t.Errorf("behind the crash there is %s, %v", got, err)
			}
		})
	}
}
