package carbons_test

import (
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/carbons"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
)

func open(t testing.TB) *featuretest.House {
	t.Helper()
	return featuretest.New(t, func(*feature.Host) []feature.Feature {
		rooms := feature.Target{
			Where: feature.Service, Label: "rooms",
			Message: func(*feature.Dispatch) error { return nil },
			Deliver: func(*feature.Dispatch, *router.Batch) {},
		}
		return []feature.Feature{featuretest.Keep(), carbons.New(), {Name: "rooms", Targets: []feature.Target{rooms}}}
	})
}

const (
	orchard = "romeo@example.com/orchard"
	phone   = "romeo@example.com/phone"
	tablet  = "romeo@example.com/tablet"
	balcony = "juliet@example.com/balcony"
	watch   = "juliet@example.com/watch"
)

// enable lets people have copies.
func enable(people ...*featuretest.Person) {
	for _, p := range people {
		p.Sends("<iq type='set' id='e'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
		p.Hears("<iq type='result' id='e' to='" + p.JID().String() + "'/>")
	}
}

// carbon is a copy as its receiver hears it.
func carbon(direction, to, attrs, inner string) string {
	bare := xmpp.MustJID(to).Bare().String()
	return "<message from='" + bare + "' to='" + to + "'" + attrs + "><" + direction + " xmlns='urn:xmpp:carbons:2'>" +
		"<forwarded xmlns='urn:xmpp:forward:0'>" + inner + "</forwarded></" + direction + "></message>"
}

// message is a message from romeo to juliet in jabber:client.
func message(to, attrs, inside string) string {
	return "<message xmlns='jabber:client' from='" + orchard + "' to='" + to + "'" + attrs + ">" + inside + "</message>"
}

func sid(by, id string) string {
	return "<stanza-id xmlns='urn:xmpp:sid:0' by='" + by + "' id='" + id + "'/>"
}

func TestConversation(t *testing.T) {
	h := open(t)
	romeo, romeosPhone := h.Online(t, orchard), h.Online(t, phone)
	juliet, julietsWatch := h.Online(t, balcony), h.Connect(t, watch) // it never said that it is available
	enable(romeosPhone, julietsWatch)

	const to, attrs = "juliet@example.com", " type='chat' id='1'"
	body := "<body>hi &amp; ho</body>"
	romeo.Sends("<message to='" + to + "'" + attrs + ">" + body + "</message>")
	juliet.Hears(message(to, attrs, body+sid("juliet@example.com", "1")))
	julietsWatch.Hears(carbon("received", watch, " type='chat'", message(to, attrs, body+sid("juliet@example.com", "1"))))
	romeosPhone.Hears(carbon("sent", phone, " type='chat'", message(to, attrs, body+sid("romeo@example.com", "1"))))
	romeo.Hears() // has not asked, and has sent it
}

// §7: to a full address that one gets it, and the others a copy; nobody both.
func TestFullAddress(t *testing.T) {
	h := open(t)
	romeo, juliet, julietsWatch := h.Online(t, orchard), h.Online(t, balcony), h.Online(t, watch)
	enable(romeo, juliet, julietsWatch)
	romeo.Sends("<message to='" + balcony + "' type='chat'><body>hi</body></message>")
	inner := "<body>hi</body>" + sid("juliet@example.com", "1")
	juliet.Hears(message(balcony, " type='chat'", inner))
	julietsWatch.Hears(carbon("received", watch, " type='chat'", message(balcony, " type='chat'", inner)))
	romeo.Hears()

	// To the bare address both get it themselves.
	romeo.Sends("<message to='juliet@example.com' type='chat'><body>hi</body></message>")
	inner = "<body>hi</body>" + sid("juliet@example.com", "2")
	juliet.Hears(message("juliet@example.com", " type='chat'", inner))
	julietsWatch.Hears(message("juliet@example.com", " type='chat'", inner))
}

// §4, §5, §10.1: again and again, for the session that asks.
func TestEnableAndDisable(t *testing.T) {
	h := open(t)
	romeo, romeosPhone, romeosTablet := h.Online(t, orchard), h.Online(t, phone), h.Online(t, tablet)
	say := func() {
		t.Helper()
		romeo.Sends("<message to='bob@example.com' type='chat'><body>hi</body></message>")
		romeo.Hears()
	}
	hears := func(p *featuretest.Person, want int) {
		t.Helper()
		if got := p.Conn.Left(); len(got) != want {
			t.Errorf("%s heard %q", p.JID(), got)
		}
	}
	say()
	hears(romeosPhone, 0)
	enable(romeosPhone, romeosPhone)
	say()
	hears(romeosPhone, 1)
	hears(romeosTablet, 0)
	for range 2 {
		romeosPhone.Sends("<iq type='set' id='d' to='romeo@example.com'><disable xmlns='urn:xmpp:carbons:2'/></iq>")
		romeosPhone.Hears("<iq type='result' id='d' from='romeo@example.com' to='" + phone + "'/>")
	}
	say()
	hears(romeosPhone, 0)

	for _, to := range []string{"juliet@example.com", "nobody@example.com"} {
		romeosPhone.Sends("<iq type='set' id='e' to='" + to + "'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
		if got := romeosPhone.Conn.Left(); len(got) != 1 || !strings.Contains(got[0], "type='error'") {
			t.Errorf("enabling them at %s was answered with %q", to, got)
		}
	}
}

// §6.1, message by message: what does alice's second device get of what romeo
// sends her first, and romeo's second?
func TestRules(t *testing.T) {
	h := open(t)
	romeo, romeosPhone := h.Online(t, orchard), h.Online(t, phone)
	alice, alicesPhone := h.Online(t, "alice@example.com/a"), h.Online(t, "alice@example.com/b")
	enable(romeosPhone, alicesPhone)
	const (
		muc    = "http://jabber.org/protocol/muc#user"
		to     = "alice@example.com/a"
		nobody = "none"
	)
	for _, test := range []struct{ name, to, kind, inside, want string }{
		{"chat without a body", to, "chat", "<active xmlns='http://jabber.org/protocol/chatstates'/>", "both"},
		{"chat with nothing", to, "chat", "", "both"},
		{"normal with a body", to, "normal", "<body>x</body>", "both"},
		{"no type, with a body", to, "", "<body>x</body>", "both"},
		{"unknown type, with a body", to, "x", "<body>x</body>", "both"},
		{"normal without a body", to, "normal", "<x xmlns='urn:x'/>", nobody},
		{"a body of another namespace", to, "normal", "<body xmlns='urn:x'>x</body>", nobody},
		{"receipt", to, "normal", "<received xmlns='urn:xmpp:receipts' id='1'/>", "both"},
		{"chat state", to, "normal", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", "both"},
		{"marker", to, "", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", "both"},
		{"call", to, "", "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", "both"},
		{"headline", to, "headline", "<body>x</body>", "history"},
		{"headline without a body", to, "headline", "", nobody},
		{"groupchat", to, "groupchat", "<body>x</body>", nobody},
		{"error that answers nothing", to, "error", "<body>x</body><error type='cancel'/>", nobody},
		{"direct invitation", to, "normal", "<x xmlns='jabber:x:conference' jid='r@rooms.example.com'/>", "both"},
		{"mediated invitation", to, "normal", "<x xmlns='" + muc + "'><invite from='r@x.example'/></x>", "both"},
		{"from an occupant", to, "chat", "<body>x</body><x xmlns='" + muc + "'/>", "sent"},
		{"to an occupant", "r@rooms.example.com/nick", "chat", "<body>x</body><x xmlns='" + muc + "'/>", "sent"},
		{"to an occupant, without a mark", "r@rooms.example.com/nick", "chat", "<body>x</body>", "sent"},
		{"to an occupant, of no type", "r@rooms.example.com/nick", "", "<x xmlns='" + muc + "'/>", "sent"},
		{"to a room", "r@rooms.example.com", "groupchat", "<body>x</body>", nobody},
		{"invitation through a room", "r@rooms.example.com", "", "<x xmlns='" + muc + "'><invite to='a@x.example'/></x>", "sent"},
		{"private", to, "chat", "<body>x</body><private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>", nobody},
		{"private without a hint", to, "chat", "<body>x</body><private xmlns='urn:xmpp:carbons:2'/>", nobody},
		{"hint alone", to, "chat", "<body>x</body><no-copy xmlns='urn:xmpp:hints'/>", nobody},
		{"private elsewhere", to, "chat", "<body>x</body><private xmlns='jabber:iq:private'/>", "both"},
	} {
		kind := ""
		if test.kind != "" {
			kind = " type='" + test.kind + "'"
		}
		romeo.Sends("<message to='" + test.to + "'" + kind + " id='1'>" + test.inside + "</message>")
		sent, received := romeosPhone.Conn.Left(), alicesPhone.Conn.Left()
		want := map[string][2]int{"both": {1, 1}, nobody: {0, 0}, "sent": {1, 0}, "history": {1, 1}}[test.want]
		if len(sent) != want[0] || len(received) != want[1] {
			t.Errorf("%s: sent %q, received %q", test.name, sent, received)
		}
		if got := alice.Conn.Left(); test.to == to && len(got) != 1 {
			t.Errorf("%s: alice heard %q", test.name, got)
		}
		romeo.Hears()
	}
}

func TestMessageToOneself(t *testing.T) {
	h := open(t)
	romeo, romeosPhone, romeosTablet := h.Online(t, orchard), h.Online(t, phone), h.Connect(t, tablet)
	enable(romeo, romeosPhone, romeosTablet)
	romeo.Sends("<message type='chat'><body>buy milk</body></message>")
	note := "<message xmlns='jabber:client' from='" + orchard + "' to='romeo@example.com' type='chat'><body>buy milk</body>" +
		sid("romeo@example.com", "1") + "</message>"
	romeosPhone.Hears(note)
	romeosTablet.Hears(carbon("sent", tablet, " type='chat'", note)) // it is not available, and gets no messages
	romeo.Hears()

	romeo.Sends("<message to='" + phone + "' type='chat'><body>buy milk</body></message>")
	note = "<message xmlns='jabber:client' from='" + orchard + "' to='" + phone + "' type='chat'><body>buy milk</body>" +
		sid("romeo@example.com", "2") + "</message>"
	romeosPhone.Hears(note)
	romeosTablet.Hears(carbon("sent", tablet, " type='chat'", note))
	romeo.Hears()
}

// §6.1, fourth rule, and §10.3.
func TestErrors(t *testing.T) {
	h := open(t)
	romeo, romeosPhone := h.Online(t, orchard), h.Online(t, phone)
	juliet, julietsWatch := h.Online(t, balcony), h.Online(t, watch)
	enable(romeo, romeosPhone, juliet, julietsWatch)
	romeo.Sends("<message to='" + balcony + "' type='chat' id='1'><active xmlns='http://jabber.org/protocol/chatstates'/></message>")
	for _, p := range []*featuretest.Person{juliet, romeosPhone, julietsWatch} {
		if got := p.Conn.Left(); len(got) != 1 {
			t.Fatalf("%s heard %q", p.JID(), got)
		}
	}

	const failure = " type='error' id='1'><error type='cancel'/></message>"
	juliet.Sends("<message to='" + orchard + "'" + failure)
	inner := "<message xmlns='jabber:client' from='" + balcony + "' to='" + orchard + "'" + failure
	romeo.Hears(inner)
	romeosPhone.Hears(carbon("received", phone, "", inner))
	julietsWatch.Hears(carbon("sent", watch, "", inner))
	juliet.Hears()

	// An error does not make another one eligible.
	romeo.Sends("<message to='" + balcony + "'" + failure)
	romeosPhone.Hears()
	julietsWatch.Hears()
	if got := juliet.Conn.Left(); len(got) != 1 {
		t.Errorf("juliet heard %q", got)
	}

	// Not an error that answers something else, or comes from somebody else.
	juliet.Sends("<message to='" + orchard + "' type='error' id='2'><error type='cancel'/></message>")
	romeosPhone.Hears()
	julietsWatch.Hears()
	bob := h.Online(t, "bob@example.com/x")
	bob.Sends("<message to='" + orchard + "'" + failure)
	romeosPhone.Hears()

	// An error that a device sends on a copy goes nowhere (§10.3).
	romeo.Conn.Left()
	romeosPhone.Sends("<message to='romeo@example.com'" + failure)
	romeo.Hears()
	romeosPhone.Hears()
	juliet.Hears()
}

// §11: what a client says is a copy is none.
func TestForgedCopies(t *testing.T) {
	h := open(t)
	romeo, romeosPhone := h.Online(t, orchard), h.Online(t, phone)
	juliet, julietsWatch := h.Online(t, balcony), h.Connect(t, watch)
	enable(romeosPhone, julietsWatch)
	for _, direction := range []string{"received", "sent"} {
		romeo.Sends("<message to='juliet@example.com' type='chat'><" + direction + " xmlns='urn:xmpp:carbons:2'>" +
			"<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='juliet@example.com/x' to='bob@example.com'>" +
			"<body>forged</body></message></forwarded></" + direction + "><body>seen</body></message>")
		if got := juliet.Conn.Left(); len(got) != 1 || strings.Contains(got[0], "forged") || !strings.Contains(got[0], "seen") {
			t.Errorf("juliet heard %q", got)
		}
		romeosPhone.Hears()
		julietsWatch.Hears()
		romeo.Hears()
	}
}

// What a feature holds back for those who are there reaches them later, and
// then as a message: a copy would be there before what was sent earlier.
func TestHeldMessage(t *testing.T) {
	h := featuretest.New(t, func(*feature.Host) []feature.Feature {
		return []feature.Feature{featuretest.Keep(), carbons.New(),
			{Name: "hold", Hold: func(*feature.Dispatch) bool { return true }}}
	})
	romeo, juliet := h.Online(t, orchard), h.Online(t, balcony)
	julietsWatch := h.Online(t, watch)
	julietsWatch.SetPresence(router.Presence{Available: true, Priority: -1})
	enable(juliet, julietsWatch)
	romeo.Sends("<message to='juliet@example.com' type='chat'><body>hi</body></message>")
	juliet.Hears()
	if got := julietsWatch.Conn.Left(); len(got) != 1 {
		t.Errorf("the watch, to which no messages go, heard %q", got)
	}
}

// A copy that cannot leave now waits as a stanza of its session.
func TestHibernatingDevice(t *testing.T) {
	h := open(t)
	romeo, romeosPhone := h.Online(t, orchard), h.Online(t, phone)
	enable(romeosPhone)
	if err := romeosPhone.EnableManagement(3600e9, func(string) []byte { return []byte("<enabled/>") }); err != nil {
		t.Fatal(err)
	}
	romeosPhone.Conn.Left()
	if waits, _ := romeosPhone.Hibernate(romeosPhone.Conn, func() {}); !waits {
		t.Fatal("the session does not wait")
	}
	romeo.Sends("<message to='bob@example.com' type='chat'><body>hi</body></message>")
	if err := romeosPhone.Resume(romeosPhone.Conn, 0, func(uint32) []byte { return []byte("<resumed/>") }); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(romeosPhone.Conn.Left(), ""); !strings.Contains(got, "<sent xmlns='urn:xmpp:carbons:2'>") {
		t.Errorf("after the resumption the phone heard %s", got)
	}
}

// Where nobody has asked for copies, a message costs nothing more.
func TestNoCopiesNoCost(t *testing.T) {
	f := carbons.New()
	after, allocations := f.After, -1.0
	f.After = func(d *feature.Dispatch, out *router.Batch) {
		allocations = testing.AllocsPerRun(100, func() { f.Amend(d); after(d, out) })
	}
	h := featuretest.New(t, func(*feature.Host) []feature.Feature { return []feature.Feature{featuretest.Keep(), f} })
	romeo := h.Online(t, orchard)
	h.Online(t, phone)
	h.Online(t, balcony)
	h.Connect(t, watch)
	romeo.Sends("<message to='juliet@example.com' type='chat'><body>hi</body></message>")
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
