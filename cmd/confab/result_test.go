package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"confab/cmd/internal/admin"
	"confab/xmpp/directory"
)

// changes are what a client is told the result of, and how it asks for what there is.
var changes = map[string]struct{ change, told, ask, want string }{
	"roster": {
		"<iq type='set' id='c'><query xmlns='jabber:iq:roster'><item jid='nurse@example.com' name='Angelica'/></query></iq>", "result",
		"<query xmlns='jabber:iq:roster'/>", "Angelica",
	},
	"subscription": { // the result is a push
		"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence type='subscribe' to='juliet@example.com'/>", "set",
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

// What a client was told to be done is there when the server is killed at that moment.
func TestResultIsOnDisk(t *testing.T) {
	p := newProcess(t, map[string]string{"roster-domain": "off"})
	p.offline(t, func(a *admin.Admin) {
		for _, user := range []string{"romeo", "juliet"} {
			if err := a.Directory.Add(t.Context(), directory.NewUser{Domain: "example.com", Local: user}); err != nil {
				t.Fatal(err)
			}
			if err := a.Auth.SetPassword(t.Context(), a.Directory.Login("example.com", user).ID, "pw-"+user); err != nil {
				t.Fatal(err)
			}
		}
	})
	for name, c := range changes {
		server := p.start(t)
		romeo := mustOnline(t, p.addr, "romeo")
		romeo.must(t, c.change)
		for done := false; !done; {
			e, err := romeo.await("iq")
			if err != nil || e.attr("type") == "error" {
				t.Fatalf("%s: %+v, %v", name, e, err)
			}
			done = e.attr("type") == c.told && (c.told == "set" || e.attr("id") == "c")
		}
		server.Process.Signal(syscall.SIGKILL)
		<-p.ended

		server = p.start(t)
		romeo = mustOnline(t, p.addr, "romeo")
		romeo.must(t, "<iq type='get' id='a'>"+c.ask+"</iq>")
		e, err := romeo.await("iq")
		if got := fmt.Sprint(e); err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: behind the crash there is %s, %v", name, got, err)
		}
		server.Process.Signal(syscall.SIGKILL)
		<-p.ended
	}
}
