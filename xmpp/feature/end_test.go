package feature_test

import (
	"strings"
	"testing"
	"time"

	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
)

// A commit of what came before a request does not count the request, which has
// not been handled: after a crash the client would take it for done.
func TestWhatWasNotHandledIsNotCounted(t *testing.T) {
	var h *featuretest.House
	var token string
	var s *router.Session
	handled := false
	h = house(t, feature.Feature{
		Name: "all",
		Keep: func(d *feature.Dispatch) error {
			d.Copies = append(d.Copies, feature.Copy{Owner: d.User.ID, OwnerJID: d.User.JID, With: d.From, Incoming: true})
			return nil
		},
		IQ: []feature.IQ{feature.Set("a", "b", feature.Server, func(_ *feature.Query, dst []byte) ([]byte, error) {
			handled = true
			if on := h.Count(t, token); on != "1" {
				t.Errorf("%s stanzas count as handled on disk", on)
			}
			if n := s.Handled(0); n != 1 {
				t.Errorf("%d stanzas count as handled", n)
			}
			return dst, nil
		})},
	})
	romeo := h.Online(t, "romeo@example.com/orchard")
	s = romeo.Session
	if err := s.EnableManagement(time.Minute, func(id string) []byte { token = id; return nil }); err != nil {
		t.Fatal(err)
	}
	romeo.Sends("<message to='juliet@example.com' type='chat'><body>hi</body></message>",
		"<iq type='set' id='1' to='example.com'><b xmlns='a'/></iq>")
	if n := s.Handled(0); n != 2 || !handled {
		t.Errorf("%d stanzas count as handled, the request too: %v", n, handled)
	}
}

// A session ends while its reader has a message in hand: that is stored, and so it is counted. Else the client, told of
// the count, would send it again.
func TestWhatIsStoredAfterTheEndIsCounted(t *testing.T) {
	var h *featuretest.House
	h = house(t, featuretest.Keep(), feature.Feature{Name: "end", Keep: func(d *feature.Dispatch) error {
		if string(d.Stanza.ID) == "2" {
			h.Table.End(d.Session)
		}
		return nil
	}})
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	var token string
	if err := romeo.EnableManagement(time.Minute, func(id string) []byte { token = id; return nil }); err != nil {
		t.Fatal(err)
	}
	romeo.Sends("<message to='juliet@example.com' id='1'><body>one</body></message>", "<message to='juliet@example.com' id='2'><body>two</body></message>")
	if got := juliet.Conn.Left(); len(got) != 2 {
		t.Errorf("juliet heard %q", got)
	}
	if on := h.Count(t, token); on != "2" {
		t.Errorf("two messages are stored, the count with them is %s", on)
	}
}

// A bug in one feature keeps neither the others nor the server from going on.
func TestPanicAtTheEndOfASession(t *testing.T) {
	told := false
	h := house(t,
		feature.Feature{Name: "wrong", Ended: func(*router.Session, router.Unacknowledged) { panic("a bug") }},
		feature.Feature{Name: "right", Ended: func(*router.Session, router.Unacknowledged) { told = true }})
	romeo := h.Online(t, "romeo@example.com/orchard")
	h.Table.End(romeo.Session)
	if !told || !strings.Contains(h.Logged(), "a bug") {
		t.Errorf("told: %v, logged: %s", told, h.Logged())
	}
}
