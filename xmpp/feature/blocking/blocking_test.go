package blocking_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"confab/roster"
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/blocking"
	"confab/xmpp/feature/featuretest"
)

const unavailable = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

type house struct {
	*featuretest.House
	*blocking.Blocking
}

func open(t *testing.T, folder string) *house {
	h := new(house)
	h.House = featuretest.Open(t, folder, func(host *feature.Host) []feature.Feature {
		b := blocking.New(host)
		h.Blocking = b
		contacts := roster.New(host, roster.Options{Blocks: b.Blocks})
		return []feature.Feature{b.Feature(contacts.Reblock), contacts.Feature(), featuretest.Keep()}
	})
	return h
}

// online connects and says so, in silence.
func (h *house) online(t *testing.T, full string) *featuretest.Person {
	p := h.Connect(t, full)
	p.Sends("<presence/>")
	p.Conn.Left()
	return p
}

func request(what string, jids ...string) string {
	var b strings.Builder
	for _, j := range jids {
		fmt.Fprintf(&b, "<item jid='%s'/>", j)
	}
	return "<iq type='set' id='1'><" + what + " xmlns='urn:xmpp:blocking'>" + b.String() + "</" + what + "></iq>"
}

func (h *house) does(t *testing.T, p *featuretest.Person, what string, jids ...string) {
	t.Helper()
	p.Sends(request(what, jids...))
	left := p.Conn.Left()
	if len(left) == 0 || !strings.Contains(left[len(left)-1], "type='result'") {
		t.Fatalf("%s %v: %q", what, jids, left)
	}
}

// What covers what (XEP-0191 §5).
func TestBlocks(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.online(t, "romeo@example.com/orchard")
	id := h.ID("romeo@example.com")
	for _, test := range []struct {
		item  string
		yes   []string
		never []string
	}{
		{"a@x.example/r", []string{"a@x.example/r"}, []string{"a@x.example", "a@x.example/s", "x.example"}},
		{"a@x.example", []string{"a@x.example", "a@x.example/r"}, []string{"b@x.example", "x.example", "x.example/r"}},
		{"x.example/r", []string{"x.example/r", "a@x.example/r"}, []string{"x.example", "a@x.example", "x.example/s"}},
		{"x.example", []string{"x.example", "a@x.example", "a@x.example/r", "x.example/r"}, []string{"sub.x.example", "y.example"}},
	} {
		check := func(when string) {
			t.Helper()
			for _, j := range test.yes {
				if !h.Blocks(id, xmpp.MustJID(j)) {
					t.Errorf("%s: %s does not cover %s", when, test.item, j)
				}
			}
			for _, j := range test.never {
				if h.Blocks(id, xmpp.MustJID(j)) {
					t.Errorf("%s: %s covers %s", when, test.item, j)
				}
			}
		}
		h.does(t, romeo, "block", test.item)
		check("online")
		h.Table.End(romeo.Session)
		check("offline")
		romeo = h.online(t, "romeo@example.com/orchard")
		check("back")
		h.does(t, romeo, "unblock", test.item)
		if h.Blocks(id, xmpp.MustJID(test.yes[0])) {
			t.Errorf("%s stays", test.item)
		}
	}
}

// What is blocked survives a restart, and goes with its owner.
func TestOnDisk(t *testing.T) {
	folder := t.TempDir()
	h := open(t, folder)
	romeo := h.online(t, "romeo@example.com/orchard")
	h.does(t, romeo, "block", "juliet@example.com")
	id := h.ID("romeo@example.com")
	h.State.Close()
	h.Held.Close()

	h = open(t, folder)
	juliet := xmpp.MustJID("juliet@example.com/balcony")
	if !h.Blocks(id, juliet) {
		t.Error("it is forgotten")
	}
	if err := h.Directory.Delete(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	if h.Blocks(id, juliet) {
		t.Error("it is kept of somebody who was deleted")
	}
	h.State.Close()
	h.Held.Close()
	if h = open(t, folder); h.Blocks(id, juliet) {
		t.Error("it is kept on disk")
	}
}

// Nobody's list grows without end.
func TestTooMany(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.online(t, "romeo@example.com/orchard")
	var jids []string
	for i := range 2000 {
		jids = append(jids, fmt.Sprintf("spam%d@x.example", i))
	}
	h.does(t, romeo, "block", jids...)
	h.does(t, romeo, "block", jids[:10]...)
	romeo.Sends(request("block", "one@more.example"))
	romeo.Hears("<iq type='error' id='1' to='romeo@example.com/orchard'><error type='wait'>" +
		"<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xml:lang='en' xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>" +
		"no more than 2000 addresses can be blocked, nor more than 262144 bytes of them; a domain can be blocked as a whole</text></error></iq>")
	if h.Blocks(h.ID("romeo@example.com"), xmpp.MustJID("one@more.example")) {
		t.Error("it is blocked nevertheless")
	}
	h.does(t, romeo, "unblock")
	if h.Blocks(h.ID("romeo@example.com"), xmpp.MustJID("spam7@x.example")) {
		t.Error("something stays")
	}
	for i := range jids[:300] {
		jids[i] = fmt.Sprintf("spam%d@x.example/%s", i, strings.Repeat("x", 1000))
	}
	h.does(t, romeo, "block", jids[:200]...)
	romeo.Sends(request("block", jids[200:300]...))
	if got := strings.Join(romeo.Conn.Left(), ""); !strings.Contains(got, "<resource-constraint ") {
		t.Errorf("more than may be was answered with %.300s", got)
	}
}

// A message from somebody who is blocked is neither delivered nor kept, whether
// the receiver is there or not.
func TestMessages(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.online(t, "romeo@example.com/orchard")
	h.does(t, romeo, "block", "juliet@example.com")
	juliet := h.online(t, "juliet@example.com/balcony")
	romeo.Conn.Left()
	for range 2 {
		juliet.Sends("<message to='romeo@example.com' type='chat' id='2'><body>hi</body></message>")
		juliet.Hears("<message type='error' id='2' from='romeo@example.com' to='juliet@example.com/balcony'>" + unavailable + "</message>")
		juliet.Sends("<message to='romeo@example.com' type='error' id='3'/>", "<iq type='result' id='4' to='romeo@example.com/orchard'/>",
			"<presence to='romeo@example.com'/>", "<presence to='romeo@example.com' type='probe'/>")
		juliet.Hears()
		romeo.Hears()
		h.Table.End(romeo.Session)
	}
}

// A report reaches the log of the server, whatever people write into it.
func TestReport(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.online(t, "romeo@example.com/orchard")
	report := func(body string) {
		romeo.Sends("<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='x@y.example'>" + body + "</item></block></iq>")
	}
	report("<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.com' id='77'/>" +
		"<text xml:lang='en'> " + strings.Repeat("never came trouble ", 1000) + "</text></report>")
	romeo.Hears("<iq type='result' id='1' to='romeo@example.com/orchard'/>")
	log := h.Logged()
	for _, want := range []string{"by=romeo@example.com", "about=x@y.example", "reason=urn:xmpp:reporting:spam", "never came", "77"} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in the log", want)
		}
	}
	if len(log) > 4000 {
		t.Errorf("%d bytes were logged", len(log))
	}
	report("<report xmlns='urn:xmpp:reporting:1'/>")
	romeo.Hears("<iq type='error' id='1' to='romeo@example.com/orchard'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" +
		"<text xml:lang='en' xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>a &lt;report/&gt; has a 'reason'</text></error></iq>")
}

// Asking whether somebody is blocked costs nothing on the way of a message.
func TestAllocations(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.online(t, "romeo@example.com/orchard")
	h.does(t, romeo, "block", "x.example", "spam@y.example")
	id, juliet := h.ID("romeo@example.com"), xmpp.MustJID("juliet@example.com/balcony")
	if n := testing.AllocsPerRun(100, func() { h.Blocks(id, juliet) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
