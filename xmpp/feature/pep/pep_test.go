package pep_test

import (
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/disco"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/pep"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/router"
)

// stage is a house in which presence is only noted: who comes online is
// available, and all of the domain see one another but bob, whom nobody sees.
type stage struct {
	*featuretest.House
	*pep.PEP
}

func maySee(h *feature.Host) func(directory.ID, xmpp.JID) bool {
	return func(owner directory.ID, contact xmpp.JID) bool {
		u := h.Directory.ByID(owner)
		return u != nil && (u.Local != "bob" && contact.Local() != "bob" || contact.Bare() == u.JID)
	}
}

func open(t testing.TB) *stage { return openIn(t, t.TempDir()) }

func openIn(t testing.TB, folder string) *stage { return openWith(t, folder, func(*feature.Host) {}) }

func openWith(t testing.TB, folder string, change func(h *feature.Host)) *stage {
	t.Helper()
	s := &stage{}
	s.House = featuretest.Open(t, folder, func(h *feature.Host) []feature.Feature {
		change(h)
		nodes := pubsub.New(h, pubsub.Options{
			MaySee: maySee(h),
			Groups: func(_ directory.ID, contact xmpp.JID) []string { return []string{"G-" + contact.Local()} },
		})
		s.PEP = pep.New(h, nodes, pep.Options{})
		presence := feature.Feature{Name: "presence", Presence: func(d *feature.Dispatch) (bool, error) {
			if d.Session != nil && d.Stanza.To.IsZero() {
				d.Session.SetPresence(router.Presence{Available: d.Stanza.Type == xmpp.TypeNone, Stanza: d.Stanza.Raw})
			}
			return true, nil
		}}
		return []feature.Feature{nodes.Feature(), s.PEP.Feature(), presence, disco.New(disco.Options{MaySee: maySee(h)})}
	})
	return s
}

const info = "<identity category='client' type='pc' name='test'/>"

// comes has a person come online with a client that wants to hear of nodes. The
// hash is not one that can be verified, so each is asked.
func comes(t testing.TB, p *featuretest.Person, nodes ...string) {
	t.Helper()
	p.Sends("<presence><c xmlns='http://jabber.org/protocol/caps' hash='none' node='urn:test' ver='" + p.JID().Resource() + strings.Join(nodes, ",") + "'/></presence>")
	asked := p.Conn.Left()
	if len(asked) != 1 {
		t.Fatalf("%s was not asked once: %q", p.JID(), asked)
	}
	n, err := xmpp.ParseNode([]byte(asked[0]))
	if err != nil {
		t.Fatal(err)
	}
	answer := "<iq type='result' to='" + n.Attr("from") + "' id='" + n.Attr("id") + "'><query xmlns='http://jabber.org/protocol/disco#info'>" + info
	for _, name := range nodes {
		answer += "<feature var='" + name + "+notify'/>"
	}
	p.Sends(answer + "</query></iq>")
}

func publish(node, id, payload string) string {
	return "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" + node + "'><item id='" + id + "'>" + payload + "</item></publish></pubsub></iq>"
}

// heard returns what a person has heard, as one text.
func heard(p *featuretest.Person) string { return strings.Join(p.Conn.Left(), "\n") }

func TestPublishReachesWhoWantsIt(t *testing.T) {
	h := open(t)
	romeo, phone := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "romeo@example.com/phone")
	juliet, bob, alice := h.Connect(t, "juliet@example.com/balcony"), h.Connect(t, "bob@example.com/b"), h.Connect(t, "alice@example.com/a")
	for _, p := range []*featuretest.Person{romeo, phone, juliet, bob} {
		comes(t, p, "urn:mood")
	}
	comes(t, alice, "urn:other")
	romeo.Sends(publish("urn:mood", "1", "<mood xmlns='urn:mood'>happy</mood>"))
	for p, want := range map[*featuretest.Person]int{romeo: 1, phone: 1, juliet: 1, bob: 0, alice: 0} {
		got := heard(p)
		if n := strings.Count(got, "<mood xmlns='urn:mood'>happy</mood>"); n != want {
			t.Errorf("%s heard %d: %s", p.JID(), n, got)
		}
		if want > 0 && !strings.Contains(got, "type='headline'") {
			t.Error(got)
		}
	}
	// Whoever comes later hears the last item.
	carol := h.Connect(t, "juliet@example.com/garden")
	comes(t, carol, "urn:mood")
	if got := heard(carol); strings.Count(got, "happy") != 1 || !strings.Contains(got, "<delay xmlns='urn:xmpp:delay'") {
		t.Error(got)
	}
}
