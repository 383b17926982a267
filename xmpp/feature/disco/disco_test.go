package disco_test

import (
	"errors"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/disco"
	"confab/xmpp/feature/featuretest"
)

// extra has something to say at every place.
func extra() feature.Feature {
	return feature.Feature{
		Name: "extra",
		Advertise: []feature.Advert{
			{Var: "urn:extra:server", Where: feature.Server},
			{Var: "urn:extra:account", Where: feature.Self | feature.Account},
			{Var: "urn:extra:self", Where: feature.Self},
			{Var: "urn:extra:service", Where: feature.Service},
			{Var: xmpp.NSDiscoInfo, Where: feature.Server}, // again
		},
		Identities: []feature.Identity{
			{Category: "pubsub", Type: "pep", Where: feature.Self | feature.Account},
			{Category: "server", Type: "im", Name: "another name", Where: feature.Server},
			{Category: "conference", Type: "text", Name: "Rooms & more", Where: feature.Service},
		},
		Targets: []feature.Target{{Where: feature.Service, Label: "rooms", Name: "Rooms & more"}},
		Info: func(q *feature.Query, dst []byte) ([]byte, error) {
			switch {
			case q.To.Local() == "garden":
				return append(dst, "<feature var='urn:garden'/>"...), nil
			case q.To.Local() == "broken":
				return nil, errors.New("broken")
			case q.Where == feature.Server:
				return append(dst, "<x xmlns='jabber:x:data' type='result'/>"...), nil
			}
			return dst, nil
		},
		Items: func(q *feature.Query, dst []byte) ([]byte, error) {
			if q.Where == feature.Self {
				return append(dst, "<item jid='romeo@example.com' node='urn:extra'/>"...), nil
			}
			return dst, nil
		},
		Nodes: func(q *feature.Query, node string, items bool, dst []byte) ([]byte, bool, error) {
			switch {
			case node != "urn:extra":
				return dst, false, nil
			case items:
				return append(dst, "<item jid='romeo@example.com' node='urn:extra' name='x'/>"...), true, nil
			}
			return append(dst, "<identity category='pubsub' type='leaf'/>"...), true, nil
		},
	}
}

// other has a service too, and nothing to do with the rooms.
func other() feature.Feature {
	return feature.Feature{
		Name:       "other",
		Advertise:  []feature.Advert{{Var: "urn:other", Where: feature.Service}},
		Identities: []feature.Identity{{Category: "store", Type: "file", Where: feature.Service}},
		Targets:    []feature.Target{{Where: feature.Service, Label: "upload"}},
	}
}

// open makes a house in which romeo may see juliet, and nobody anybody else.
func open(t *testing.T) (*featuretest.House, *featuretest.Person) {
	t.Helper()
	h := featuretest.New(t, func(h *feature.Host) []feature.Feature {
		maySee := func(owner directory.ID, contact xmpp.JID) bool {
			return h.Directory.ByID(owner).Local == "juliet" && contact.Local() == "romeo"
		}
		return []feature.Feature{disco.New(disco.Options{MaySee: maySee}), extra(), other()}
	})
	return h, h.Online(t, orchard)
}

const (
	orchard   = "romeo@example.com/orchard"
	nsInfo    = "http://jabber.org/protocol/disco#info"
	nsItems   = "http://jabber.org/protocol/disco#items"
	discoVars = "<feature var='" + nsInfo + "'/><feature var='" + nsItems + "'/>"
)

func ask(p *featuretest.Person, to, space, node string) {
	if to != "" {
		to = " to='" + to + "'"
	}
	if node != "" {
		node = " node='" + node + "'"
	}
	p.Sends("<iq type='get' id='1'" + to + "><query xmlns='" + space + "'" + node + "/></iq>")
}

func result(from, space, node, inside string) string {
	if from != "" {
		from = " from='" + from + "'"
	}
	if node != "" {
		node = " node='" + node + "'"
	}
	return "<iq type='result' id='1'" + from + " to='" + orchard + "'><query xmlns='" + space + "'" + node + ">" + inside + "</query></iq>"
}

func refusal(from, errorType, condition string) string {
	return "<iq type='error' id='1' from='" + from + "' to='" + orchard + "'><error type='" + errorType + "'><" + condition +
		" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
}

func TestInfo(t *testing.T) {
	_, romeo := open(t)
	const account = "<identity category='account' type='registered'/><identity category='pubsub' type='pep'/>"
	self := account + discoVars + "<feature var='urn:extra:account'/><feature var='urn:extra:self'/>"
	for _, test := range []struct{ to, node, want string }{
		{"example.com", "", result("example.com", nsInfo, "", "<identity category='server' type='im' name='confab'/>"+
			"<feature var='http://jabber.org/protocol/caps'/>"+discoVars+"<feature var='urn:extra:server'/><x xmlns='jabber:x:data' type='result'/>")},
		{"", "", result("", nsInfo, "", self)},
		{"romeo@example.com", "", result("romeo@example.com", nsInfo, "", self)},
		{"juliet@example.com", "", result("juliet@example.com", nsInfo, "", account+discoVars+"<feature var='urn:extra:account'/>")},
		{"rooms.example.com", "", result("rooms.example.com", nsInfo, "",
			"<identity category='conference' type='text' name='Rooms &amp; more'/>"+discoVars+"<feature var='urn:extra:service'/>")},
		{"upload.example.com", "", result("upload.example.com", nsInfo, "",
			"<identity category='store' type='file'/>"+discoVars+"<feature var='urn:other'/>")},
		{"garden@rooms.example.com", "", result("garden@rooms.example.com", nsInfo, "", "<feature var='urn:garden'/>")},
		{"nothing@rooms.example.com", "", refusal("nothing@rooms.example.com", "cancel", "item-not-found")},
		{"broken@rooms.example.com", "", refusal("broken@rooms.example.com", "cancel", "internal-server-error")},
		{"x@upload.example.com", "", refusal("x@upload.example.com", "cancel", "item-not-found")},

		{"romeo@example.com", "urn:extra", result("romeo@example.com", nsInfo, "urn:extra", "<identity category='pubsub' type='leaf'/>")},
		{"romeo@example.com", "urn:unknown", refusal("romeo@example.com", "cancel", "item-not-found")},
		{"example.com", "urn:unknown", refusal("example.com", "cancel", "item-not-found")},
		{"upload.example.com", "urn:extra", refusal("upload.example.com", "cancel", "item-not-found")},

		// XEP-0030 §8, rule 1: these three must not be told apart.
		{"alice@example.com", "", refusal("alice@example.com", "cancel", "service-unavailable")},
		{"nobody@example.com", "", refusal("nobody@example.com", "cancel", "service-unavailable")},
		{"carol@example.com", "", refusal("carol@example.com", "cancel", "service-unavailable")},
		{"alice@example.com", "urn:extra", refusal("alice@example.com", "cancel", "service-unavailable")},
		{"nobody@example.com", "urn:extra", refusal("nobody@example.com", "cancel", "service-unavailable")},
	} {
		t.Log(test.to, test.node)
		ask(romeo, test.to, nsInfo, test.node)
		romeo.Hears(test.want)
	}
}

func TestItems(t *testing.T) {
	h, romeo := open(t)
	h.Online(t, "juliet@example.com/balcony")
	h.Connect(t, "juliet@example.com/not available")
	h.Online(t, "alice@example.com/x")
	for _, test := range []struct{ to, node, want string }{
		{"example.com", "", result("example.com", nsItems, "",
			"<item jid='rooms.example.com' name='Rooms &amp; more'/><item jid='upload.example.com'/>")},
		{"", "", result("", nsItems, "", "<item jid='"+orchard+"'/><item jid='romeo@example.com' node='urn:extra'/>")},
		{"juliet@example.com", "", result("juliet@example.com", nsItems, "", "<item jid='juliet@example.com/balcony'/>")},
		{"rooms.example.com", "", result("rooms.example.com", nsItems, "", "")},

		{"romeo@example.com", "urn:extra", result("romeo@example.com", nsItems, "urn:extra",
			"<item jid='romeo@example.com' node='urn:extra' name='x'/>")},
		{"example.com", "urn:unknown", refusal("example.com", "cancel", "item-not-found")},

		// XEP-0030 §8, rule 2: these three must not be told apart.
		{"alice@example.com", "", result("alice@example.com", nsItems, "", "")},
		{"nobody@example.com", "", result("nobody@example.com", nsItems, "", "")},
		{"carol@example.com", "", result("carol@example.com", nsItems, "", "")},
		{"alice@example.com", "urn:extra", result("alice@example.com", nsItems, "urn:extra", "")},
		{"nobody@example.com", "urn:extra", result("nobody@example.com", nsItems, "urn:extra", "")},
	} {
		t.Log(test.to, test.node)
		ask(romeo, test.to, nsItems, test.node)
		romeo.Hears(test.want)
	}
}

// XEP-0115 §6.3: the hash in the stream features is that of the answer, and of
// its node.
func TestCapabilities(t *testing.T) {
	h, romeo := open(t)
	c, err := xmpp.ParseNode(h.Table.StreamFeatures("example.com", nil))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Is("http://jabber.org/protocol/caps", "c") || c.Attr("hash") != "sha-1" || c.Attr("node") == "" || len(c.Attr("ver")) != 28 {
		t.Errorf("offered: %+v", c)
	}
	ask(romeo, "example.com", nsInfo, "")
	plain := romeo.Conn.Left()[0]
	node := c.Attr("node") + "#" + c.Attr("ver")
	ask(romeo, "example.com", nsInfo, node)
	romeo.Hears(strings.Replace(plain, "disco#info'>", "disco#info' node='"+node+"'>", 1))

	for _, wrong := range []struct{ to, node string }{
		{"example.com", c.Attr("node") + "#"}, {"example.com", c.Attr("node") + "#QgayPKawpkPSDYmwT/WM94uAlu0="},
		{"example.com", c.Attr("node")}, {"romeo@example.com", node},
	} {
		ask(romeo, wrong.to, nsInfo, wrong.node)
		romeo.Hears(refusal(wrong.to, "cancel", "item-not-found"))
	}
}
