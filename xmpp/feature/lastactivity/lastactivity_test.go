package lastactivity_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/lastactivity"
	"confab/xmpp/store"
)

// open makes a house in which romeo may see juliet, and nobody anybody else.
func open(t *testing.T, folder string) *featuretest.House {
	t.Helper()
	return featuretest.Open(t, folder, func(h *feature.Host) []feature.Feature {
		maySee := func(owner directory.ID, contact xmpp.JID) bool {
			return h.Directory.ByID(owner).Local == "juliet" && contact.Local() == "romeo"
		}
		handled := feature.Feature{Name: "presence", Presence: func(*feature.Dispatch) (bool, error) { return true, nil }}
		return []feature.Feature{handled, lastactivity.New(lastactivity.Options{MaySee: maySee})}
	})
}

func ask(p *featuretest.Person, to string) {
	p.Sends("<iq type='get' id='1' to='" + to + "'><query xmlns='jabber:iq:last'/></iq>")
}

func answer(from, to, seconds, status string) string {
	return "<iq type='result' id='1' from='" + from + "' to='" + to + "'><query xmlns='jabber:iq:last' seconds='" + seconds + "'>" +
		status + "</query></iq>"
}

func refusal(from, to, errorType, condition string) string {
	return "<iq type='error' id='1' from='" + from + "' to='" + to + "'><error type='" + errorType + "'><" + condition +
		" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
}

const (
	orchard = "romeo@example.com/orchard"
	balcony = "juliet@example.com/balcony"
	phone   = "juliet@example.com/phone"
)

func TestUptime(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.Online(t, orchard)
	h.Clock.Pass(34*time.Hour + 900*time.Millisecond)
	ask(romeo, "example.com")
	romeo.Hears(answer("example.com", orchard, "122400", ""))
}

func TestLogout(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.Online(t, orchard)
	ask(romeo, "juliet@example.com")
	if got := romeo.Conn.Left(); len(got) != 1 || !strings.Contains(got[0], "<item-not-found") {
		t.Errorf("of somebody who was never here: %q", got)
	}

	one, two := h.Online(t, balcony), h.Online(t, phone)
	ask(romeo, "juliet@example.com")
	romeo.Hears(answer("juliet@example.com", orchard, "0", ""))

	one.Sends("<presence type='unavailable'><status>Heading Home</status></presence>")
	h.Table.End(one.Session)
	h.Clock.Pass(time.Minute)
	ask(romeo, "juliet@example.com")
	romeo.Hears(answer("juliet@example.com", orchard, "0", "")) // the phone is still there

	two.Sends("<presence type='unavailable'><status>Off &amp; away</status></presence>")
	h.Clock.Pass(time.Minute)
	h.Table.End(two.Session)
	h.Clock.Pass(15*time.Minute + 3*time.Second)
	ask(romeo, "juliet@example.com")
	romeo.Hears(answer("juliet@example.com", orchard, "903", "Off &amp; away"))
}

// A status of an earlier day does not belong to a logout without a word.
func TestStatusIsThatOfTheLogout(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet := h.Online(t, orchard), h.Online(t, balcony)
	juliet.Sends("<presence type='unavailable'><status>brb</status></presence>", "<presence/>")
	h.Table.End(juliet.Session)
	ask(romeo, "juliet@example.com")
	romeo.Hears(answer("juliet@example.com", orchard, "0", ""))

	juliet = h.Online(t, balcony)
	juliet.Sends("<presence type='unavailable'><status>" + strings.Repeat("é", 1000) + "</status></presence>")
	juliet.Sends("<presence to='romeo@example.com' type='unavailable'><status>to you alone</status></presence>")
	h.Table.End(juliet.Session)
	ask(romeo, "juliet@example.com")
	romeo.Hears(answer("juliet@example.com", orchard, "0", strings.Repeat("é", 512))) // it is bounded
}

// XEP-0012 §3, §4, §9: who may not see the presence does not learn anything,
// not even who has an account.
func TestStrangersAreRefused(t *testing.T) {
	h := open(t, t.TempDir())
	romeo, juliet, alice := h.Online(t, orchard), h.Online(t, balcony), h.Online(t, "alice@example.com/x")
	const x = "alice@example.com/x"
	for _, to := range []string{"juliet@example.com", "nobody@example.com", "carol@example.com", balcony,
		"juliet@example.com/gone", "nobody@example.com/x", "romeo@example.com"} {
		ask(alice, to)
		alice.Hears(refusal(to, x, "auth", "forbidden"))
	}
	juliet.Hears()

	ask(romeo, balcony) // a friend reaches the client
	juliet.Hears("<iq from='" + orchard + "' to='" + balcony + "' type='get' id='1'><query xmlns='jabber:iq:last'/></iq>")
	ask(romeo, "juliet@example.com/gone")
	romeo.Hears(refusal("juliet@example.com/gone", orchard, "cancel", "service-unavailable"))
	ask(alice, "alice@example.com") // and everybody themselves
	alice.Hears(answer("alice@example.com", x, "0", ""))
	ask(alice, x)
	alice.Hears("<iq from='" + x + "' to='" + x + "' type='get' id='1'><query xmlns='jabber:iq:last'/></iq>")
}

func records(t *testing.T, h *featuretest.House) (n int) {
	t.Helper()
	err := h.State.View(context.Background(), func(tx store.Tx) error {
		for range tx.Scan("lastactivity", store.Range{}) {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLogoutsAreOnDisk(t *testing.T) {
	folder := t.TempDir()
	h := open(t, folder)
	var people []*featuretest.Person
	for _, name := range []string{"juliet", "romeo", "alice", "bob"} {
		people = append(people, h.Online(t, name+"@example.com/x"))
	}
	for _, p := range people {
		p.Sends("<presence type='unavailable'><status>bye</status></presence>")
		h.Table.End(p.Session)
	}
	h.Table.Stop()
	h.State.Close()
	h.Held.Close()

	h = open(t, folder)
	h.Clock.Pass(time.Minute)
	romeo := h.Online(t, orchard)
	ask(romeo, "juliet@example.com")
	romeo.Hears(answer("juliet@example.com", orchard, "60", "bye"))

	if n := records(t, h); n != 4 {
		t.Errorf("%d records are kept, not 4", n)
	}
	if err := h.Directory.Delete(context.Background(), h.ID("juliet@example.com")); err != nil {
		t.Fatal(err)
	}
	if n := records(t, h); n != 3 {
		t.Errorf("after one of the users was deleted %d records are kept, not 3", n)
	}
	if err := h.Directory.Add(context.Background(), directory.NewUser{Domain: "example.com", Local: "juliet"}); err != nil {
		t.Fatal(err)
	}
	ask(romeo, "juliet@example.com") // a namesake inherits nothing
	if got := romeo.Conn.Left(); len(got) != 1 || !strings.Contains(got[0], "<item-not-found") {
		t.Errorf("of somebody who was never here: %q", got)
	}
}
