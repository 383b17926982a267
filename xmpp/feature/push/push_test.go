package push_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/push"
	"confab/xmpp/router"
	"confab/xmpp/xmpptest"
)

// service is a push service at push.example.com, which answers all that it gets
// with the same.
type service struct {
	host *feature.Host

	mu     sync.Mutex
	answer string // an <error/>, "" for a result, "-" for nothing
	got    []string
}

func (s *service) feature() feature.Feature {
	return feature.Feature{Name: "service", Targets: []feature.Target{{Where: feature.Service, Label: "push", IQ: s.take}}}
}

func (s *service) take(d *feature.Dispatch) error {
	s.mu.Lock()
	s.got = append(s.got, string(xmpp.Apply(nil, d.Stanza, &d.Edit)))
	answer := s.answer
	s.mu.Unlock()
	if answer == "-" {
		return nil
	}
	return s.reply(string(d.Stanza.ID), answer)
}

func (s *service) reply(id, answer string) error {
	kind := "result"
	if answer != "" {
		kind = "error"
	}
	st, err := xmpp.Parse([]byte("<iq type='" + kind + "' to='example.com' id='" + id + "'>" + answer + "</iq>"))
	if err != nil {
		return err
	}
	return s.host.Table.Inject(xmpp.MustJID("push.example.com"), st)
}

func (s *service) says(answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *service) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// room is a room at conference.example.com that keeps what is said.
func room() feature.Feature {
	return feature.Feature{Name: "room", Targets: []feature.Target{{
		Where: feature.Service, Label: "conference",
		Message: func(d *feature.Dispatch) error {
			d.Copies = append(d.Copies, feature.Copy{Owner: 1000, OwnerJID: d.To, With: d.From, Incoming: true})
			return nil
		},
		Deliver: func(*feature.Dispatch, *router.Batch) {},
	}}}
}

type house struct {
	*featuretest.House
	*push.Push
	members []string  // of the rooms den and hall
	asked   chan bool // if not nil, who asks for them waits
	service *service
	t       *testing.T
}

func (h *house) audience(room xmpp.JID) (all []directory.ID, err error) {
	if room != xmpp.MustJID("den@conference.example.com") && room != xmpp.MustJID("hall@conference.example.com") {
		return nil, errors.New("no such room")
	}
	if h.asked != nil {
		h.asked <- true // that it is asked
		h.asked <- true // that it may be answered
	}
	for _, m := range h.members {
		all = append(all, h.ID(m))
	}
	return all, nil
}

func open(t *testing.T, folder string) *house {
	h := &house{service: new(service), t: t}
	h.House = featuretest.Open(t, folder, func(host *feature.Host) []feature.Feature {
		h.Push, h.service.host = push.New(host, push.Options{Audience: h.audience}), host
		return []feature.Feature{featuretest.Keep(), h.Push.Feature(), h.service.feature(), room()}
	})
	return h
}

// settled waits until all that is to be published was, and returns it.
func (h *house) settled() []string {
	h.t.Helper()
	h.Push.Settle()
	return h.service.heard()
}

// hears checks what the service gets: for each, the node and the count.
func (h *house) hears(want ...string) {
	h.t.Helper()
	var got []string
	for _, s := range h.settled() {
		n, err := xmpp.ParseNode([]byte(s))
		if err != nil {
			h.t.Fatal(err)
		}
		publish := n.Child(xmpp.NSPubSub, "pubsub").Child("", "publish")
		note := publish.Child("", "item").Child(xmpp.NSPush, "notification")
		count := ""
		for _, f := range note.Child(xmpp.NSDataForms, "x").Children {
			if f.Attr("var") == "message-count" {
				count = f.ChildText("", "value")
			}
		}
		got = append(got, publish.Attr("node")+" "+count)
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		h.t.Errorf("the service heard %q, and should have heard %q", got, want)
	}
}

func enable(node, options string) string {
	return "<iq type='set' id='1'><enable xmlns='urn:xmpp:push:0' jid='push.example.com' node='" + node + "'>" + options + "</enable></iq>"
}

func (h *house) enabled(p *featuretest.Person, nodes ...string) {
	h.t.Helper()
	for _, n := range nodes {
		p.Sends(enable(n, ""))
		p.Hears("<iq type='result' id='1' to='" + p.JID().String() + "'/>")
	}
}

// managed is somebody online whose session can be resumed.
func (h *house) managed(full string) *featuretest.Person {
	p := h.Online(h.t, full)
	if err := p.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		h.t.Fatal(err)
	}
	p.Conn.Left()
	return p
}

func (h *house) hibernates(p *featuretest.Person) {
	h.t.Helper()
	if waits, mine := p.Hibernate(p.Conn, func() { h.Table.End(p.Session) }); !waits || !mine {
		h.t.Fatal("the session does not wait")
	}
	h.Table.Inactive(p.Session)
}

const (
	body   = "<message to='romeo@example.com' type='chat' id='m'><body>wherefore art thou</body></message>"
	typing = "<message to='romeo@example.com' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
)

// Who is connected is not woken; who is away is, and who is gone (§7).
func TestWhoIsWoken(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.managed("romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	juliet.Sends(body, typing)
	h.hears()
	if err := romeo.Acknowledge(3); err != nil {
		t.Fatal(err)
	}
	h.hibernates(romeo)
	h.hears()
	juliet.Sends(body)
	h.hears("n1 1")
	juliet.Sends(typing)
	h.hears()
	juliet.Sends(body)
	h.hears("n1 2")

	c := new(xmpptest.Conn)
	if err := romeo.Resume(c, romeo.SentCount(), func(uint32) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	h.Table.Resumed(romeo.Session)
	juliet.Sends(body)
	h.hears()
	if err := romeo.Acknowledge(romeo.SentCount()); err != nil {
		t.Fatal(err)
	}
	h.Table.End(romeo.Session)
	h.hears()
	juliet.Sends(body)
	h.hears("n1 1")

	// Another device of his is no reason to let the phone sleep.
	h.Online(t, "romeo@example.com/desk")
	juliet.Sends(body)
	h.hears("n1 2")
}

// What a client may not have got before its connection was lost wakes it, once.
func TestUnacknowledged(t *testing.T) {
	for _, gone := range []bool{false, true} {
		h := open(t, t.TempDir())
		romeo, juliet := h.managed("romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
		h.enabled(romeo, "n1")
		juliet.Sends(body, typing, body)
		if gone {
			h.Table.End(romeo.Session)
			h.hears("n1 2")
			continue
		}
		h.hibernates(romeo)
		h.hears("n1 2")
		h.Clock.Pass(2 * time.Minute)
		featuretest.Eventually(t, "the end of the session", func() bool { return !romeo.Alive() })
		h.hears()
	}
}

// What one is woken for.
func TestImportant(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.Connect(t, "romeo@example.com/phone")
	h.enabled(romeo, "n1")
	h.Table.End(romeo.Session)
	id := h.ID("romeo@example.com")
	for _, test := range []struct {
		inside string
		yes    bool
	}{
		{"<body>hi</body>", true},
		{"<body/>", false},
		{"<x xmlns='jabber:x:oob'><url>https://example.com/a.png</url></x>", true},
		{"<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'/></file-sharing>", true},
		{"<received xmlns='urn:xmpp:receipts' id='1'/>", false},
		{"<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", false},
		{"<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", true},
		{"<retract xmlns='urn:xmpp:jingle-message:0' id='1'/>", false},
		{"<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:romeo@example.com'/>", true},
		{"<reference xmlns='urn:xmpp:reference:0' type='data'/>", false},
		{"<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>x</payload></encrypted>", true},
		{"<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>", false},
		{"<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/><payload>x</payload></encrypted>", true},
		{"<subject>x</subject>", false},
	} {
		st, err := xmpp.Parse([]byte("<message from='juliet@example.com/balcony'>" + test.inside + "</message>"))
		if err != nil {
			t.Fatal(err)
		}
		h.Message(id, st)
		if got := len(h.settled()) == 1; got != test.yes {
			t.Errorf("%s: %v", test.inside, got)
		}
	}
}

// Nothing of what is written leaves the house, and neither who wrote it (§9).
func TestNoContent(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.Connect(t, "romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	const form = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>" +
		"<field var='secret'><value>eruio</value></field></x>"
	romeo.Sends(enable("yxs32", form))
	h.Table.End(romeo.Session)
	juliet.Sends(body)
	got := h.settled()
	want := "<iq type='set' id='push-1' from='example.com' to='push.example.com'><pubsub xmlns='http://jabber.org/protocol/pubsub'>" +
		"<publish node='yxs32'><item><notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:push:summary</value></field><field var='message-count'><value>1</value></field>" +
		"</x></notification></item></publish><publish-options>" + form + "</publish-options></pubsub></iq>"
	if len(got) != 1 {
		t.Fatalf("the service heard %q", got)
	}
	a, _ := xmpptest.Canonical(got[0])
	b, err := xmpptest.Canonical(want)
	if err != nil || a != b {
		t.Errorf("the service heard\n%s\nand should have heard\n%s", a, b)
	}
}

const (
	stanzas = " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
	away    = "<error type='wait'><remote-server-timeout" + stanzas
)

// A service that errs for good is not asked again, one whose error may pass is,
// however many there are (§7.1).
func TestErrors(t *testing.T) {
	folder := t.TempDir()
	h := open(t, folder)
	romeo, juliet := h.Connect(t, "romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	h.Table.End(romeo.Session)
	for i := range 100 {
		h.service.says([]string{
			away,
			"<error type='wait'><policy-violation" + stanzas,
			"<error type='cancel'><internal-server-error" + stanzas,
		}[i%3])
		juliet.Sends(body)
		if n := len(h.settled()); n != 1 {
			t.Fatalf("asked %d times", n)
		}
	}
	if n := h.Clock.Timers(); n > 1 {
		t.Errorf("there are %d timers for one registration", n)
	}
	h.service.says("")
	juliet.Sends(body)
	h.hears("n1 101")
	h.service.says("<error type='cancel'><item-not-found" + stanzas)
	juliet.Sends(body)
	h.hears("n1 102")
	h.service.says("")
	juliet.Sends(body)
	h.hears()
	if n := h.Stats.Disabled.Load(); n != 1 {
		t.Errorf("%d were disabled", n)
	}
	h.State.Close()
	h.Held.Close()
	h = open(t, folder)
	juliet = h.Online(t, "juliet@example.com/balcony")
	juliet.Sends(body)
	h.hears()
}

// What a service did not take for the moment it is given again, though nothing
// else comes, unless the client has been here meanwhile.
func TestRetried(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.managed("romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	h.hibernates(romeo)
	h.service.says(away)
	juliet.Sends(body)
	h.hears("n1 1")
	h.Clock.Pass(time.Minute)
	h.hears("n1 1")
	h.Clock.Pass(time.Minute)
	h.hears()
	h.service.says("")
	h.Clock.Pass(time.Minute)
	h.hears("n1 1")
	h.Clock.Pass(2 * time.Hour)
	h.hears()

	romeo = h.managed("romeo@example.com/phone")
	h.enabled(romeo, "n1")
	h.hibernates(romeo)
	h.service.says(away)
	juliet.Sends(body)
	h.hears("n1 1")
	if err := romeo.Resume(new(xmpptest.Conn), 0, func(uint32) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	h.Table.Resumed(romeo.Session)
	h.Clock.Pass(2 * time.Hour)
	h.hears()
}

// Neither is a client woken that was here meanwhile, has all, and is away again; nor
// anybody by a server that has stopped.
func TestNothingToRetry(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.managed("romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	h.hibernates(romeo)
	h.service.says(away)
	juliet.Sends(body)
	h.hears("n1 1")
	romeo.Conn = new(xmpptest.Conn)
	if err := romeo.Resume(romeo.Conn, 2, func(uint32) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	h.Table.Resumed(romeo.Session)
	h.hibernates(romeo)
	h.Clock.Pass(2 * time.Minute)
	h.hears()
	juliet.Sends(body)
	h.hears("n1 1")
	h.Table.Stop()
	h.Clock.Pass(2 * time.Hour)
	juliet.Sends(body)
	h.hears()
}

// A server that is stopping says nothing any more: that is no word of the service.
func TestStopping(t *testing.T) {
	folder := t.TempDir()
	h := open(t, folder)
	romeo, juliet := h.Connect(t, "romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	h.Table.End(romeo.Session)
	h.Table.Close()
	juliet.Sends(body)
	h.hears()
	h.Table.Stop()
	h.State.Close()
	h.Held.Close()
	h = open(t, folder)
	h.Online(t, "juliet@example.com/balcony").Sends(body)
	h.hears("n1 1")
}

// A service that has erred for a week is left alone, however seldom it was asked.
func TestTrouble(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.Connect(t, "romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	h.Table.End(romeo.Session)
	h.service.says(away)
	juliet.Sends(body)
	h.hears("n1 1")
	asked := 0
	for range 7 * 24 {
		if n := h.Stats.Disabled.Load(); n != 0 {
			t.Fatalf("%d were disabled", n)
		}
		h.Clock.Pass(time.Hour)
		asked += len(h.settled())
	}
	if asked < 7*24 || asked > 7*24+10 {
		t.Errorf("asked %d times in a week", asked)
	}
	h.Clock.Pass(2 * time.Hour)
	h.settled()
	if n, timers := h.Stats.Disabled.Load(), h.Clock.Timers(); n != 1 || timers > 0 {
		t.Errorf("%d were disabled, %d timers are left", n, timers)
	}
}

// Errors that lie a week apart, with nothing to publish in between since the client
// was here, are no week of errors.
func TestTroubleLongAgo(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.managed("romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	h.service.says(away)
	for range 3 {
		h.hibernates(romeo)
		h.settled() // of what he has not acknowledged
		juliet.Sends(body)
		if n := len(h.settled()); n != 1 {
			t.Fatalf("asked %d times", n)
		}
		romeo.Conn = new(xmpptest.Conn)
		if err := romeo.Resume(romeo.Conn, 0, func(uint32) []byte { return nil }); err != nil {
			t.Fatal(err)
		}
		h.Table.Resumed(romeo.Session)
		h.Clock.Pass(8 * 24 * time.Hour)
		h.hears()
	}
	if n := h.Stats.Disabled.Load(); n != 0 {
		t.Errorf("%d were disabled", n)
	}
}

// How long the next try is waited for begins anew with each trouble, and nobody
// waits for one that is not needed any more.
func TestRetriedAnew(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.Connect(t, "romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	h.Table.End(romeo.Session)
	h.service.says(away)
	juliet.Sends(body)
	for range 40 {
		h.settled()
		h.Clock.Pass(10 * time.Minute)
	}
	h.settled()
	h.service.says("")
	juliet.Sends(body)
	h.hears("n1 2")
	if n := h.Clock.Timers(); n != 0 {
		t.Errorf("%d timers wait for what has passed", n)
	}
	h.service.says(away)
	juliet.Sends(body)
	h.hears("n1 3")
	h.Clock.Pass(time.Minute)
	h.hears("n1 3")
	h.enabled(h.Connect(t, "romeo@example.com/phone"), "n1")
	if n := h.Clock.Timers(); n != 0 {
		t.Errorf("%d timers wait for a registration that is gone", n)
	}
}

// While a service thinks, messages are counted and not published one by one; a
// service that never answers is asked again later.
func TestPatience(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.Connect(t, "romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1")
	h.Table.End(romeo.Session)
	h.service.says("-")
	juliet.Sends(body)
	h.hears("n1 1")
	juliet.Sends(body, body)
	h.hears()

	// Somebody else's answer is none.
	st, err := xmpp.Parse([]byte("<iq type='result' to='example.com' id='push-1'/>"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Table.Inject(xmpp.MustJID("juliet@example.com/balcony"), st); err != nil {
		t.Fatal(err)
	}
	h.hears()
	if err := h.service.reply("push-1", ""); err != nil {
		t.Fatal(err)
	}
	h.hears("n1 3")
	juliet.Sends(body)
	h.hears()
	h.Clock.Pass(11 * time.Second)
	featuretest.Eventually(t, "the end of its patience", func() bool { return h.Stats.Lost.Load() == 1 })
	h.hears("n1 4")
}

// A service may say itself that it wants no more (§8).
func TestRevoked(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.Connect(t, "romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	h.enabled(romeo, "n1", "n2")
	h.Table.End(romeo.Session)
	tell := func(from, node string) error {
		st, err := xmpp.Parse([]byte("<message to='romeo@example.com'><pubsub xmlns='http://jabber.org/protocol/pubsub' node='" + node + "'>" +
			"<affiliation jid='romeo@example.com' affiliation='none'/></pubsub></message>"))
		if err != nil {
			t.Fatal(err)
		}
		return h.Table.Inject(xmpp.MustJID(from), st)
	}
	if err := tell("push.example.com", "n1"); err != feature.ErrDropped {
		t.Errorf("the news went on: %v", err)
	}
	if err := tell("other.example", "n2"); err != nil {
		t.Error(err)
	}
	h.settled()
	juliet.Sends(body)
	h.hears("n2 1")
}

// Members of a room who are not there are woken for what others say (§7).
func TestRoom(t *testing.T) {
	h := open(t, t.TempDir())
	h.members = []string{"romeo@example.com", "juliet@example.com", "alice@example.com"}
	juliet := h.Online(t, "juliet@example.com/balcony")
	for _, name := range []string{"romeo", "juliet", "alice", "bob"} {
		p := h.Connect(t, name+"@example.com/phone")
		h.enabled(p, name)
		if name != "alice" {
			h.Table.End(p.Session)
		}
	}
	juliet.Sends("<message to='den@conference.example.com' type='groupchat'><body>hi</body></message>",
		"<message to='den@conference.example.com' type='groupchat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	h.hears("romeo 1")
	juliet.Sends("<message to='other@conference.example.com' type='groupchat'><body>hi</body></message>")
	h.hears()
	if log := h.Logged(); !strings.Contains(log, "no such room") {
		t.Errorf("logged %s", log)
	}
}

// What is said in several rooms at once wakes a phone once, and that of somebody
// who is disabled never.
func TestRooms(t *testing.T) {
	h := open(t, t.TempDir())
	h.members, h.asked = []string{"romeo@example.com", "alice@example.com"}, make(chan bool)
	juliet := h.Online(t, "juliet@example.com/balcony")
	for _, name := range []string{"romeo", "alice"} {
		p := h.Connect(t, name+"@example.com/phone")
		h.enabled(p, name)
		h.Table.End(p.Session)
	}
	if err := h.Directory.Update(t.Context(), h.ID("alice@example.com"), func(u *directory.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	say := func(room string) {
		juliet.Sends("<message to='" + room + "@conference.example.com' type='groupchat'><body>hi</body></message>")
	}
	say("den")
	<-h.asked
	say("den")
	say("hall")
	<-h.asked
	go func() {
		for range h.asked {
		}
	}()
	h.hears("romeo 1", "romeo 3")
}

// Registrations survive, are replaced, and can be ended one by one or all.
func TestEnableAndDisable(t *testing.T) {
	folder := t.TempDir()
	h := open(t, folder)
	romeo := h.Connect(t, "romeo@example.com/phone")
	h.enabled(romeo, "n1", "n2", "n1", "n3")
	h.State.Close()
	h.Held.Close()

	h = open(t, folder)
	juliet := h.Online(t, "juliet@example.com/balcony")
	juliet.Sends(body)
	h.hears("n1 1", "n2 1", "n3 1")
	romeo = h.Connect(t, "romeo@example.com/phone")
	disable := func(rest string) {
		romeo.Sends("<iq type='set' id='1'><disable xmlns='urn:xmpp:push:0' jid='push.example.com'" + rest + "/></iq>")
		romeo.Hears("<iq type='result' id='1' to='romeo@example.com/phone'/>")
	}
	disable(" node='n2'")
	disable(" node='never'")
	juliet.Sends(body)
	h.hears("n1 2", "n3 2")
	disable("")
	juliet.Sends(body)
	h.hears()
}

// The number of registrations is bounded: the oldest goes.
func TestTooMany(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.Connect(t, "romeo@example.com/phone"), h.Online(t, "juliet@example.com/balcony")
	for i := range 12 {
		h.Clock.Pass(time.Second)
		h.enabled(romeo, fmt.Sprint("n", i))
	}
	h.Table.End(romeo.Session)
	juliet.Sends(body)
	h.hears("n2 1", "n3 1", "n4 1", "n5 1", "n6 1", "n7 1", "n8 1", "n9 1", "n10 1", "n11 1")
}

// Nobody is woken who was deleted or may not log in.
func TestDeleted(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.Connect(t, "romeo@example.com/phone")
	h.enabled(romeo, "n1")
	h.Table.End(romeo.Session)
	id := h.ID("romeo@example.com")
	if err := h.Directory.Delete(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	st, err := xmpp.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	h.Message(id, st)
	h.hears()
}
