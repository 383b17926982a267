package csi

import (
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/ping"
	"confab/xmpp/xmpptest"
)

// What can wait, and of what only the latest is of interest.
func TestJudge(t *testing.T) {
	const (
		active  = "<active xmlns='http://jabber.org/protocol/chatstates'/>"
		forward = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='a@b/c' to='romeo@example.com/x' type='chat'>"
		event   = "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'>"
	)
	for _, test := range []struct {
		stanza, key string
		waits       bool
	}{
		{"<presence from='a@b/c' to='d'/>", "pa@b/c", true},
		{"<presence  to = \"d\" from = \"a@b/c\"\n type='unavailable'><status>x</status></presence>", "pa@b/c", true},
		{"<presence xml:lang='en' from='a@b/it&apos;s'><show>away</show></presence>", "pa@b/it&apos;s", true},
		{"<presence from='a@b' type='subscribe'/>", "", false},
		{"<presence from='a@b' type='subscribed'/>", "", false},
		{"<presence from='r@c/n' type='error'/>", "", false},
		{"<presence to='d'/>", "", false},
		{"<presence from='r@c/n'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/></x></presence>", "pr@c/n", true},
		{"<presence from='r@c/n'><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x></presence>", "", false},
		{"<message from='a@b/c' type='chat'>" + active + "</message>", "sa@b/c", true},
		{"<message from='a@b/c' type='chat'><thread>1</thread>" + active + "<no-store xmlns='urn:xmpp:hints'/></message>", "sa@b/c", true},
		{"<message from='a@b/c' type='chat'>" + active + "<body>hi</body></message>", "", false},
		{"<message from='r@c/n' type='groupchat'>" + active + "</message>", "sr@c/n", true},
		{"<message from='r@c' type='groupchat'><subject/></message>", "", false},
		{"<message from='a@b/c'><attention xmlns='urn:xmpp:attention:0'/></message>", "", false},
		{"<message from='a@b/c' type='error'>" + active + "</message>", "", false},
		{"<message from='a@b/c'/>", "", false},
		{"<message from='romeo@example.com'><received xmlns='urn:xmpp:carbons:2'>" + forward + active + "</message></forwarded></received></message>", "ca@b/c romeo@example.com/x", true},
		{"<message from='romeo@example.com'><sent xmlns='urn:xmpp:carbons:2'>" + forward + "<body>x</body></message></forwarded></sent></message>", "", false},
		{"<message from='romeo@example.com'><sent xmlns='urn:xmpp:carbons:2'/></message>", "", false},
		{"<message from='a@b' type='headline'>" + event + "<item id='1'/></items></event></message>", "ea@b n 1", true},
		{"<message from='a@b' type='headline'>" + event + "<retract id='1'/></items></event></message>", "ea@b n 1", true},
		{"<message from='a@b' type='headline'>" + event + "<item id='1'/><item id='2'/></items></event></message>", "", true},
		{"<message from='romeo@example.com' type='headline'>" + event + "<item id='1'/></items></event></message>", "", false},
		{"<iq from='a@b/c' type='result' id='1'/>", "", false},
		{"<message from='a@b", "", false},
		{"<presence from='a@b", "", false},
		{"<presence from=", "", false},
		{"<presence from", "", false},
		{"<presence ", "", false},
	} {
		key, waits := judge("romeo@example.com", []byte(test.stanza))
		if waits != test.waits || waits && key != test.key {
			t.Errorf("%s: %q, %v", test.stanza, key, waits)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add([]byte("<presence from='a@b/c' to='d'/>"))
	f.Add([]byte("<message from='a@b/c'><received xmlns='urn:xmpp:carbons:2'/></message>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if key, waits := judge("romeo@example.com", b); waits && len(key) > 2*len(b)+10 {
			t.Errorf("%q: %q", b, key)
		}
	})
}

type house struct {
	*featuretest.House
	romeo, juliet *featuretest.Person
}

func open(t *testing.T) *house {
	h := &house{House: featuretest.New(t, func(*feature.Host) []feature.Feature {
		return []feature.Feature{New(), featuretest.Keep(), ping.New()}
	})}
	h.romeo, h.juliet = h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	return h
}

const (
	typing = "<message to='romeo@example.com' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
	paused = "<message to='romeo@example.com' type='chat'><paused xmlns='http://jabber.org/protocol/chatstates'/></message>"
	body   = "<message to='romeo@example.com' type='chat'><body>hi</body></message>"
)

func from(stanza string) string {
	return strings.Replace(stanza, "<message", "<message from='juliet@example.com/balcony'", 1)
}

const heard = "<message from='juliet@example.com/balcony' to='romeo@example.com' type='chat'><body>hi</body><stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.com' id='1'/></message>"

// A client that is not looked at hears of a chat state with the message behind
// it, and before anything that it asks for after it became active (XEP-0352 §5.1).
func TestInactive(t *testing.T) {
	h := open(t)
	inactive(h.romeo.Session)
	h.juliet.Sends(typing, paused, typing)
	h.romeo.Hears()
	h.juliet.Sends(body)
	h.romeo.Hears(from(typing), heard)
	h.juliet.Sends(paused)
	h.romeo.Sends("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
	h.romeo.Hears(from(paused), "<iq type='result' id='1' to='romeo@example.com/orchard'/>")
	h.juliet.Sends(typing)
	h.romeo.Release()
	h.romeo.Hears(from(typing))
	h.juliet.Sends(paused)
	h.romeo.Hears(from(paused))
}

// Who comes back is active.
func TestResumed(t *testing.T) {
	h := open(t)
	if err := h.romeo.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	h.romeo.Conn.Left()
	inactive(h.romeo.Session)
	h.juliet.Sends(typing)
	h.romeo.Hibernate(h.romeo.Conn, func() {})
	h.juliet.Sends(paused)
	c := new(xmpptest.Conn)
	if err := h.romeo.Resume(c, 0, func(uint32) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	h.juliet.Sends(typing)
	got := strings.Join(c.Left(), "")
	if strings.Count(got, "<composing") != 2 || strings.Count(got, "<paused") != 1 {
		t.Errorf("heard %s", got)
	}
}

// A session may begin with nobody looking at it (XEP-0386 §3.2).
func TestInline(t *testing.T) {
	h := open(t)
	n, err := xmpp.ParseNode([]byte("<bind xmlns='urn:xmpp:bind:0'><inactive xmlns='urn:xmpp:csi:0'/></bind>"))
	if err != nil {
		t.Fatal(err)
	}
	if b := h.Table.Turn(h.romeo.Session, n, nil); len(b) != 0 {
		t.Errorf("bound says %s", b)
	}
	h.juliet.Sends(typing)
	h.romeo.Hears()
}
