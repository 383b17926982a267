package roster

import (
	"slices"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
)

// RFC 6121 §4.2, §4.4, §4.5, among colleagues.
func TestBroadcast(t *testing.T) {
	h := newHouse(t, Options{})
	silent := h.connect("alice@example.com/silent") // never sent initial presence
	romeo := h.connect("romeo@example.com/orchard")
	romeo.Sends("<presence id='1'><show>dnd</show><priority> -1 </priority><x xmlns='test:x'/></presence>")
	rest := "<show>dnd</show><priority> -1 </priority><x xmlns='test:x'/></presence>"
	romeo.hears("<presence id='1' from='romeo@example.com/orchard' to='romeo@example.com'>" + rest)
	if p := romeo.Presence(); !p.Available || p.Priority != -1 || p.Show != "dnd" || !p.Since.Equal(h.Now()) {
		t.Errorf("romeo is %+v", p)
	}
	juliet := h.connect("juliet@example.com/balcony")
	juliet.Sends("<presence/>")
	juliet.hears("<presence from='juliet@example.com/balcony' to='juliet@example.com'/>",
		"<presence id='1' from='romeo@example.com/orchard' to='juliet@example.com'>"+rest)
	romeo.hears("<presence from='juliet@example.com/balcony' to='romeo@example.com'/>")
	// A second resource hears of the first, and the first of it.
	garden := h.connect("romeo@example.com/garden")
	garden.Sends("<presence/>")
	garden.hears("<presence from='romeo@example.com/garden' to='romeo@example.com'/>",
		"<presence from='juliet@example.com/balcony' to='romeo@example.com'/>",
		"<presence id='1' from='romeo@example.com/orchard' to='romeo@example.com'>"+rest)
	romeo.hears("<presence from='romeo@example.com/garden' to='romeo@example.com'/>")
	juliet.hears("<presence from='romeo@example.com/garden' to='juliet@example.com'/>")
	// Subsequent presence asks nobody anything.
	juliet.Sends("<presence><show>away</show></presence>")
	juliet.hears("<presence from='juliet@example.com/balcony' to='juliet@example.com'><show>away</show></presence>")
	for _, p := range []*person{romeo, garden} {
		p.hears("<presence from='juliet@example.com/balcony' to='romeo@example.com'><show>away</show></presence>")
	}
	juliet.Sends("<presence type='unavailable'><status>Good night</status></presence>")
	gone := "<presence from='juliet@example.com/balcony' type='unavailable' to='%@example.com'><status>Good night</status></presence>"
	juliet.hears(strings.ReplaceAll(gone, "%", "juliet"))
	romeo.hears(strings.ReplaceAll(gone, "%", "romeo"))
	romeo.Sends("<presence/>")
	juliet.hears() // she is not there
	juliet.Sends("<presence type='unavailable'/>")
	romeo.quiet()
	garden.quiet()
	// A session that leaves without a word.
	h.Table.End(romeo.Session)
	garden.hears("<presence from='romeo@example.com/orchard' type='unavailable' to='romeo@example.com'/>")
	romeo.Sends("<presence/>")
	garden.hears()
	silent.hears()
}

// A hibernating session stays available and keeps what it is told.
func TestHibernatingSessionsStayAvailable(t *testing.T) {
	h := newHouse(t, Options{})
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	if err := juliet.EnableManagement(1e9, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	if waits, mine := juliet.Hibernate(juliet.Conn, func() { h.Table.End(juliet.Session) }); !waits || !mine {
		t.Fatal("she does not hibernate")
	}
	romeo.quiet()
	alice := h.online("alice@example.com/desk")
	alice.Sends("<presence type='probe' to='juliet@example.com'/>")
	alice.hears("<presence from='juliet@example.com/balcony' to='alice@example.com/desk'/>")
	romeo.quiet()
	h.Clock.Pass(2e9)
	if got := romeo.heard(); !strings.Contains(got, "from='juliet@example.com/balcony' type='unavailable'") {
		t.Errorf("when she expired, romeo heard %q", got)
	}
	lost, _ := juliet.End(nil)
	if lost.Stanzas != nil {
		t.Error("the session had not ended")
	}
}

// The same address, ended and bound again: the old one's end says nothing of the new one.
func TestSessionReplaced(t *testing.T) {
	h := newHouse(t, Options{})
	romeo, old := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	romeo.quiet()
	_, first := old.End(nil)
	again := h.online("juliet@example.com/balcony")
	romeo.quiet()
	if !first {
		t.Fatal("ended already")
	}
	h.ended(old.Session, router.Unacknowledged{})
	romeo.hears()
	again.Sends("<presence type='unavailable'/>")
	romeo.hears("<presence from='juliet@example.com/balcony' type='unavailable' to='romeo@example.com'/>")
}

func TestPresenceErrors(t *testing.T) {
	h := newHouse(t, Options{})
	romeo, juliet := h.connect("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	for _, stanza := range []string{
		"<presence><priority>128</priority></presence>",
		"<presence><priority>-129</priority></presence>",
		"<presence><priority>high</priority></presence>",
		"<presence><priority/></presence>",
		"<presence type='subscribe'/>", "<presence type='subscribed'/>", "<presence type='unsubscribe'/>", "<presence type='unsubscribed'/>",
		"<presence type='probe'/>", "<presence type='available'/>", "<presence type='x' to='juliet@example.com'/>",
	} {
		romeo.Sends(stanza)
		if got := romeo.heard(); !strings.Contains(got, "type='error'") || !strings.Contains(got, "<bad-request ") {
			t.Errorf("%s: %s", stanza, got)
		}
		juliet.hears()
	}
	if romeo.Presence().Available {
		t.Error("he became available")
	}
	for _, priority := range []string{"-128", "127", "0"} {
		romeo.Sends("<presence><show>strange</show><priority>" + priority + "</priority></presence>")
		juliet.hears("<presence from='romeo@example.com/orchard' to='juliet@example.com'><show>strange</show><priority>" + priority + "</priority></presence>")
	}
	// An error is for the client that it names.
	romeo.quiet()
	juliet.Sends("<presence type='error' to='romeo@example.com/orchard' id='e'/>", "<presence type='error' to='romeo@example.com'/>", "<presence type='error'/>")
	romeo.hears("<presence type='error' id='e' from='juliet@example.com/balcony' to='romeo@example.com/orchard'/>")
}

// RFC 6121 §4.6.
func TestDirectedPresence(t *testing.T) {
	h := newHouse(t, Options{Mode: Off, Limits: Limits{Directed: 2}})
	romeo, juliet := h.connect("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	alice, garden := h.online("alice@example.com/desk"), h.connect("romeo@example.com/garden")
	romeo.Sends("<presence to='juliet@example.com/balcony'><show>chat</show></presence>", "<presence to='juliet@example.com/none'/>",
		"<presence to='alice@example.com'/>")
	juliet.hears("<presence from='romeo@example.com/orchard' to='juliet@example.com/balcony'><show>chat</show></presence>")
	alice.hears()
	if got := romeo.heard(); !strings.Contains(got, "<resource-constraint ") {
		t.Errorf("beyond the limit: %s", got)
	}
	romeo.Sends("<presence type='unavailable' to='juliet@example.com/none'/>", "<presence to='alice@example.com'/>", "<presence/>")
	alice.hears("<presence from='romeo@example.com/orchard' to='alice@example.com'/>")
	juliet.hears() // a broadcast is not for her
	// §4.6.6: who was told may ask whether he is still there.
	juliet.Sends("<presence type='probe' to='romeo@example.com/orchard'/>")
	juliet.hears("<presence from='romeo@example.com/orchard' to='juliet@example.com/balcony'/>")
	romeo.Sends("<presence type='unavailable' to='alice@example.com'/>")
	alice.hears("<presence from='romeo@example.com/orchard' to='alice@example.com' type='unavailable'/>")
	romeo.Sends("<presence type='unavailable'/>")
	alice.hears()
	juliet.hears("<presence from='romeo@example.com/orchard' to='juliet@example.com/balcony' type='unavailable'/>")
	romeo.quiet()
	romeo.Sends("<presence to='juliet@example.com/" + strings.Repeat("x", 200) + "'/>")
	if got := romeo.heard(); !strings.Contains(got, "<resource-constraint ") {
		t.Errorf("with a long address: %s", got)
	}
	// It counts until the session ends, available or not.
	garden.Sends("<presence to='juliet@example.com'/>")
	juliet.quiet()
	h.Table.End(garden.Session)
	juliet.hears("<presence from='romeo@example.com/garden' to='juliet@example.com' type='unavailable'/>")
	// To oneself it is not a broadcast.
	romeo.Sends("<presence/>")
	romeo.quiet()
	hall := h.connect("romeo@example.com/hall")
	hall.Sends("<presence to='romeo@example.com'/>")
	romeo.hears("<presence from='romeo@example.com/hall' to='romeo@example.com'/>")
	if hall.Presence().Available {
		t.Error("it became available")
	}
}

// A service hears of the end of a session that sent it presence.
func TestDirectedPresenceToAService(t *testing.T) {
	var heard []string
	target := feature.Target{Where: feature.Service, Label: "conference", Presence: func(d *feature.Dispatch) error {
		heard = append(heard, d.From.String()+" "+d.Stanza.Type.String()+" "+d.To.String())
		return nil
	}}
	h := newHouse(t, Options{})
	table, err := feature.NewTable(h.Host, h.Roster.Feature(), feature.Feature{Name: "rooms", Targets: []feature.Target{target}})
	if err != nil {
		t.Fatal(err)
	}
	h.House.Table = table
	romeo := h.connect("romeo@example.com/orchard")
	romeo.Sends("<presence to='room@conference.example.com/Romeo'/>", "<presence type='subscribe' to='room@conference.example.com'/>",
		"<presence type='probe' to='room@conference.example.com'/>")
	h.Table.End(romeo.Session)
	want := "romeo@example.com/orchard  room@conference.example.com/Romeo, romeo@example.com/orchard subscribe room@conference.example.com, " +
		"romeo@example.com/orchard probe room@conference.example.com, romeo@example.com/orchard unavailable room@conference.example.com/Romeo"
	if got := strings.Join(heard, ", "); got != want {
		t.Errorf("the service heard %s", got)
	}
}

// RFC 6121 §4.3.2.
func TestProbes(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	probe := "<presence type='probe' to='juliet@example.com'/>"
	romeo.Sends(probe)
	romeo.hears("<presence from='juliet@example.com' to='romeo@example.com' type='unsubscribed'/>")
	mutual(romeo, juliet)
	romeo.Sends(probe)
	romeo.hears("<presence from='juliet@example.com/balcony' to='romeo@example.com/orchard'/>")
	juliet.Sends("<presence type='unavailable'/>")
	romeo.quiet()
	romeo.Sends(probe, "<presence type='probe' to='romeo@example.com'/>")
	romeo.hears("<presence from='juliet@example.com' to='romeo@example.com/orchard' type='unavailable'/>",
		"<presence from='romeo@example.com/orchard' to='romeo@example.com/orchard'/>")
	h.Table.End(juliet.Session)
	romeo.Sends(probe)
	romeo.hears("<presence from='juliet@example.com' to='romeo@example.com/orchard' type='unavailable'/>")
	if !h.MaySee(h.ID("juliet@example.com"), romeo.JID()) || h.MaySee(h.ID("juliet@example.com"), xmpp.MustJID("alice@example.com")) ||
		!h.MaySee(h.ID("juliet@example.com"), juliet.JID()) || h.MaySee(999, romeo.JID()) {
		t.Error("MaySee errs on somebody who is offline")
	}
}

// RFC 6121 §4.2.2, §4.3.1 between subscribers: who comes online hears of those
// he is subscribed to, and is heard by his subscribers only.
func TestPresenceBetweenSubscribers(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet, alice := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony"), h.online("alice@example.com/desk")
	mutual(romeo, juliet)
	alice.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	juliet.Sends("<presence type='subscribed' to='alice@example.com'/>")
	h.Table.End(juliet.Session)
	romeo.quiet()
	alice.quiet()
	juliet = h.connect("juliet@example.com/chamber")
	juliet.Sends("<presence/>")
	juliet.hears("<presence from='juliet@example.com/chamber' to='juliet@example.com'/>",
		"<presence from='romeo@example.com/orchard' to='juliet@example.com'/>")
	romeo.hears("<presence from='juliet@example.com/chamber' to='romeo@example.com'/>")
	alice.hears("<presence from='juliet@example.com/chamber' to='alice@example.com'/>")
	alice.Sends("<presence><show>xa</show></presence>")
	juliet.hears()
}

// Somebody hidden is seen by those only whom they let see.
func TestHiddenUserHasSubscribers(t *testing.T) {
	h := newHouse(t, Options{})
	h.update("bob@example.com", func(u *directoryUser) { u.Hidden = true })
	romeo, bob := h.online("romeo@example.com/orchard"), h.online("bob@example.com/desk")
	romeo.hears()
	romeo.Sends("<presence type='subscribe' to='bob@example.com'/>")
	romeo.hears(romeo.push("<item jid='bob@example.com' subscription='none' ask='subscribe'/>"))
	bob.hears("<presence from='romeo@example.com' to='bob@example.com' type='subscribe'/>")
	bob.Sends("<presence type='subscribed' to='romeo@example.com'/>")
	romeo.hears("<presence from='bob@example.com' to='romeo@example.com' type='subscribed'/>",
		romeo.push("<item jid='bob@example.com' subscription='to'/>"),
		"<presence from='bob@example.com/desk' to='romeo@example.com'/>")
	bob.hears(bob.push(colleague("romeo", "", "both", "Colleagues")))
	bob.Sends("<presence><show>away</show></presence>")
	romeo.hears("<presence from='bob@example.com/desk' to='romeo@example.com'><show>away</show></presence>")
	bob.quiet()
	romeo.Sends("<presence><show>dnd</show></presence>")
	bob.hears("<presence from='romeo@example.com/orchard' to='bob@example.com'><show>dnd</show></presence>")
}

// Who hears of it anyway is not told twice (RFC 6121 §4.6.3).
func TestDirectedPresenceToASubscriber(t *testing.T) {
	for _, mode := range []Mode{Off, All} {
		h := newHouse(t, Options{Mode: mode})
		romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
		quiet := h.connect("juliet@example.com/quiet")
		mutual(romeo, juliet)
		romeo.Sends("<presence to='juliet@example.com'/>", "<presence to='juliet@example.com/balcony'/>", "<presence to='juliet@example.com/quiet'/>")
		juliet.quiet()
		quiet.quiet()
		h.Table.End(romeo.Session)
		juliet.hears("<presence from='romeo@example.com/orchard' type='unavailable' to='juliet@example.com'/>")
		quiet.hears("<presence from='romeo@example.com/orchard' type='unavailable' to='juliet@example.com/quiet'/>")
	}
}

// Who has come back under the address of a session whose end takes long is not shown as gone by it: not to those who see
// the presence, and not where it was sent directly.
func TestBackBeforeTheEndWasTold(t *testing.T) {
	var rooms []string
	var meanwhile func()
	h := &house{test: t}
	h.House = featuretest.New(t, func(host *feature.Host) []feature.Feature {
		h.Roster = New(host, Options{Mode: Off})
		return []feature.Feature{
			{Name: "slow", Ended: func(*router.Session, router.Unacknowledged) { meanwhile() }},
			h.Roster.Feature(),
			{Name: "rooms", Targets: []feature.Target{{Where: feature.Service, Label: "rooms", Presence: func(d *feature.Dispatch) error {
				rooms = append(rooms, d.To.String()+" "+d.Stanza.Type.String())
				return nil
			}}}},
		}
	})
	juliet, alice, romeo := h.online("juliet@example.com/balcony"), h.online("alice@example.com/desk"), h.online("romeo@example.com/orchard")
	mutual(romeo, juliet)
	direct := func(p *person, room string) {
		p.Sends("<presence to='juliet@example.com'/>", "<presence to='alice@example.com'/>", "<presence to='rooms.example.com'/>",
			"<presence to='"+room+"@rooms.example.com/romeo'/>")
	}
	direct(romeo, "verona")
	var back *person
	meanwhile = func() {
		juliet.quiet()
		alice.quiet()
		rooms = nil
		back = h.connect("romeo@example.com/orchard")
		back.Sends("<presence/>", "<presence to='alice@example.com'/>", "<presence to='verona@rooms.example.com/Romeo'/>")
		meanwhile = func() {}
	}
	h.Table.End(romeo.Session)
	here := "<presence from='romeo@example.com/orchard' to='%@example.com'/>"
	juliet.hears(strings.Replace(here, "%", "juliet", 1))
	alice.hears(strings.Replace(here, "%", "alice", 1))
	if want := []string{"verona@rooms.example.com/Romeo ", "rooms.example.com unavailable"}; !slices.Equal(rooms, want) {
		t.Errorf("the rooms heard %q", rooms)
	}
	h.Table.End(back.Session)
	juliet.hears("<presence from='romeo@example.com/orchard' type='unavailable' to='juliet@example.com'/>")
	alice.hears("<presence from='romeo@example.com/orchard' type='unavailable' to='alice@example.com'/>")
}
