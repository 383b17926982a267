package archive

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
)

// server is a house whose history is an archive.
type server struct {
	*featuretest.House
	*Archive
	t       testing.TB
	failing *storetest.Failing
}

func serve(t testing.TB, more ...feature.Feature) *server {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "archive.db"), bolt.Options{NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &server{t: t, failing: storetest.Fail(db)}
	s.House = featuretest.New(t, func(h *feature.Host) []feature.Feature {
		if s.Archive, err = Open(t.Context(), s.failing, Options{Clock: h.Clock, Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		h.Keeper = s.Archive.Keeper()
		return append([]feature.Feature{New(h, s.Archive)}, more...)
	})
	return s
}

// id is the text of the nth id that is given away while the clock stands.
func (s *server) id(n int) string { return FormatID(TimeID(s.Clock.Now()) + uint64(n)) }

func (s *server) ids(o directory.ID) (ids []string) {
	s.t.Helper()
	_, err := s.Page(s.t.Context(), Query{Owner: o}, func(it *Item) error {
		ids = append(ids, FormatID(it.ID))
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

func sid(by, id string) string {
	return "<stanza-id xmlns='urn:xmpp:sid:0' by='" + by + "' id='" + id + "'/>"
}

func result(full, id, stamp, stanza string) string {
	bare, _, _ := strings.Cut(full, "/")
	return "<message from='" + bare + "' to='" + full + "'><result xmlns='urn:xmpp:mam:2' queryid='f27' id='" + id + "'>" +
		"<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='" + stamp + "'/>" + strings.Replace(stanza, "<message", "<message xmlns='jabber:client'", 1) + "</forwarded></result></message>"
}

const stamp = "2024-01-01T00:00:00.00000" // and a digit

func TestLiveIDsAreThoseOfTheArchive(t *testing.T) {
	s := serve(t)
	romeo, juliet := s.Online(t, "romeo@example.com/orchard"), s.Online(t, "juliet@example.com/balcony")
	romeo.Sends("<message to='juliet@example.com' type='chat' id='a'><body>hi</body><origin-id xmlns='urn:xmpp:sid:0' id='a'/></message>")
	inside := "<body>hi</body><origin-id xmlns='urn:xmpp:sid:0' id='a'/>"
	live := "<message from='romeo@example.com/orchard' to='juliet@example.com' type='chat' id='a'>" + inside
	juliet.Hears(live + sid("juliet@example.com", s.id(0)) + "</message>")
	romeo.Hears()

	ask := "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' queryid='f27'/></iq>"
	fin := func(full string) string {
		return "<iq type='result' to='" + full + "' id='q'><fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'>" +
			"<first index='0'>" + s.id(0) + "</first><last>" + s.id(0) + "</last><count>1</count></set></fin></iq>"
	}
	for _, p := range []*featuretest.Person{romeo, juliet} {
		p.Sends(ask)
		full := p.JID().String()
		p.Hears(result(full, s.id(0), stamp+"0Z", live+"</message>"), fin(full))
	}
}

func TestMessageToOneself(t *testing.T) {
	s := serve(t)
	desk, phone := s.Online(t, "romeo@example.com/desk"), s.Online(t, "romeo@example.com/phone")
	juliet := s.Online(t, "juliet@example.com/balcony")
	juliet.Sends("<message to='romeo@example.com' type='chat'><body>not this</body></message>")
	desk.Conn.Left()
	phone.Conn.Left()
	desk.Sends("<message to='romeo@example.com' type='chat'><body>milk</body></message>")
	live := "<message from='romeo@example.com/desk' to='romeo@example.com' type='chat'><body>milk</body>"
	phone.Hears(live + sid("romeo@example.com", s.id(1)) + "</message>")
	desk.Sends("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' queryid='f27'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='with'><value>romeo@example.com</value></field></x></query></iq>")
	desk.Hears(result("romeo@example.com/desk", s.id(1), stamp+"1Z", live+"</message>"),
		"<iq type='result' to='romeo@example.com/desk' id='q'><fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'>"+
			"<first index='0'>"+s.id(1)+"</first><last>"+s.id(1)+"</last><count>1</count></set></fin></iq>")
}

func TestForgedStanzaIDs(t *testing.T) {
	s := serve(t)
	romeo, juliet := s.Online(t, "romeo@example.com/orchard"), s.Online(t, "juliet@example.com/balcony")
	romeo.Sends("<message to='juliet@example.com'><body>1</body>" + sid("juliet@example.com", "1") + sid("Romeo@Example.com", "2") +
		sid("room@conference.example.com", "3") + sid("room@conference.example.org", "4") + sid("juliet@capulet.example/x", "5") + "</message>")
	juliet.Hears("<message from='romeo@example.com/orchard' to='juliet@example.com'><body>1</body>" + sid("room@conference.example.org", "4") +
		sid("juliet@example.com", s.id(0)) + "</message>")
	romeo.Sends("<message to='juliet@example.com'><body>2</body><stanza-id xmlns='urn:xmpp:sid:0' id='1'/></message>")
	juliet.Hears("<message from='romeo@example.com/orchard' to='juliet@example.com'><body>2</body>" + sid("juliet@example.com", s.id(1)) + "</message>")
}

// TestWhatIsKept tells what belongs into the history; see also TestForgedStanzaIDs for a message without a type.
func TestWhatIsKept(t *testing.T) {
	s := serve(t)
	romeo := s.Online(t, "romeo@example.com/orchard")
	s.Online(t, "juliet@example.com/balcony")
	n := 0
	for _, test := range []struct {
		typ, inside string
		kept        bool
	}{
		{"chat", "<body>x</body>", true},
		{"normal", "<body>x</body>", true},
		{"chat", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", true},
		{"chat", "<body/>", true},
		{"normal", "<subject>x</subject>", true},
		{"chat", "<x xmlns='jabber:x:oob'><url>https://example.com/a.png</url></x>", true},
		{"chat", "<reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing xmlns='urn:xmpp:sims:1'/></reference>", true},
		{"chat", "<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:alice@example.com'/>", false},
		{"headline", "<body>x</body>", false},
		{"error", "<body>x</body><error type='cancel'/>", false},
		{"chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", false},
		{"chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>", true},
		{"chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", true},
		{"chat", "<request xmlns='urn:xmpp:receipts'/>", false},
		{"chat", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", true},
		{"chat", "<received xmlns='urn:xmpp:chat-markers:0' id='1'/>", false},
		{"chat", "<encrypted xmlns='eu.siacs.conversations.axolotl'/>", true},
		{"chat", "<encrypted xmlns='urn:xmpp:omemo:2'/>", true},
		{"chat", "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>", true},
		{"chat", "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>", true},
		{"chat", "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", true},
		{"normal", "<x xmlns='jabber:x:conference' jid='room@conference.example.com'/>", true},
		{"normal", "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='juliet@example.com'/></x>", true},
		{"normal", "<x xmlns='http://jabber.org/protocol/muc#user'/>", false},
		{"headline", "<event xmlns='http://jabber.org/protocol/pubsub#event'/>", false},
		{"chat", "<attention xmlns='urn:xmpp:attention:0'/>", false},
	} {
		romeo.Sends("<message to='juliet@example.com' type='" + test.typ + "'>" + test.inside + "</message>")
		if test.kept {
			n++
		}
		if got := len(s.ids(s.ID("juliet@example.com"))); got != n {
			t.Errorf("%s %s: %d messages are kept, want %d", test.typ, test.inside, got, n)
			n = got
		}
	}
}

// What one person says to another is kept by whatever type it goes that could be a conversation.
func TestGroupchatBetweenTwo(t *testing.T) {
	s := serve(t)
	romeo, juliet := s.Online(t, "romeo@example.com/orchard"), s.Online(t, "juliet@example.com/balcony")
	romeo.Sends("<message to='juliet@example.com/balcony' type='groupchat'><body>x</body></message>")
	heard := len(juliet.Conn.Left())
	for _, who := range []string{"romeo@example.com", "juliet@example.com"} {
		if n := len(s.ids(s.ID(who))); n != heard {
			t.Errorf("%s has %d messages, and juliet heard %d", who, n, heard)
		}
	}
}

func TestRequests(t *testing.T) {
	s := serve(t)
	romeo := s.Online(t, "romeo@example.com/orchard")
	s.Online(t, "juliet@example.com/balcony")
	head := "to='romeo@example.com/orchard' id='q'"
	romeo.Sends("<iq type='get' id='q'><metadata xmlns='urn:xmpp:mam:2'/></iq>")
	romeo.Hears("<iq type='result' " + head + "><metadata xmlns='urn:xmpp:mam:2'/></iq>")
	romeo.Sends("<message to='juliet@example.com' type='chat'><body>1</body></message>", "<message to='juliet@example.com' type='chat'><body>2</body></message>",
		"<iq type='get' id='q'><metadata xmlns='urn:xmpp:mam:2'/></iq>")
	romeo.Hears("<iq type='result' " + head + "><metadata xmlns='urn:xmpp:mam:2'><start id='" + s.id(0) + "' timestamp='" + stamp + "0Z'/>" +
		"<end id='" + s.id(1) + "' timestamp='" + stamp + "1Z'/></metadata></iq>")
	romeo.Sends("<iq type='get' id='q'><prefs xmlns='urn:xmpp:mam:2'/></iq>")
	romeo.Hears("<iq type='result' " + head + "><prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never/></prefs></iq>")
	romeo.Sends("<iq type='get' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
	romeo.Hears("<iq type='result' " + head + ">" + string(AppendFields(nil)) + "</iq>")
	for request, want := range map[string]xmpp.Condition{
		"<iq type='set' id='q'><prefs xmlns='urn:xmpp:mam:2' default='never'/></iq>":                       xmpp.NotAllowed,
		"<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' node='x'/></iq>":                              xmpp.ItemNotFound,
		"<iq type='set' id='q' to='juliet@example.com'><query xmlns='urn:xmpp:mam:2'/></iq>":               xmpp.ServiceUnavailable,
		"<iq type='set' id='q'>" + rsm("<after>nonsense</after>") + "</iq>":                                xmpp.ItemNotFound,
		"<iq type='set' id='q'>" + fields("<field var='unknown'><value>x</value></field>") + "</iq>":       xmpp.FeatureNotImplemented,
		"<iq type='set' id='q'>" + fields("<field var='start'><value>yesterday</value></field>") + "</iq>": xmpp.BadRequest,
	} {
		romeo.Sends(request)
		got := romeo.Conn.Left()
		if len(got) != 1 || !strings.Contains(got[0], "<"+string(want)+" ") || !strings.Contains(got[0], "type='error'") {
			t.Errorf("%s is answered by %q, want %s", request, got, want)
		}
	}
}

func TestFailedCommitIsAnErrorToTheSender(t *testing.T) {
	s := serve(t)
	romeo, juliet := s.Online(t, "romeo@example.com/orchard"), s.Online(t, "juliet@example.com/balcony")
	s.failing.Fail(storetest.ErrFull)
	romeo.Sends("<message to='juliet@example.com' type='chat' id='a'><body>lost</body></message>")
	juliet.Hears()
	if got := romeo.Conn.Left(); len(got) != 1 || !strings.Contains(got[0], "<internal-server-error ") {
		t.Errorf("the sender heard %q", got)
	}
}

func TestReadingMovesTheMarker(t *testing.T) {
	s := serve(t)
	romeo := s.Online(t, "romeo@example.com/orchard")
	o := s.ID("juliet@example.com")
	for range 10 {
		romeo.Sends("<message to='juliet@example.com' type='chat'><body>1</body></message>")
		s.Clock.Pass(time.Second)
	}
	ids := s.ids(o)
	marker := func() string {
		t.Helper()
		m, err := s.Marker(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return FormatID(m)
	}
	juliet := s.Connect(t, "juliet@example.com/balcony")
	ask := func(form, set string) {
		t.Helper()
		juliet.Sends("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>" + form + "</x>" +
			"<set xmlns='http://jabber.org/protocol/rsm'>" + set + "</set></query></iq>")
		juliet.Conn.Left()
	}
	field := func(name, value string) string {
		return "<field var='" + name + "'><value>" + value + "</value></field>"
	}
	zero := FormatID(0)
	ask(field("with", "romeo@example.com"), "<max>3</max>")
	ask(field("ids", ids[9]), "")
	ask(field("end", "2024-01-01T00:00:03Z"), "<max>3</max>")
	ask(field("start", "2024-01-01T00:00:03Z"), "<max>3</max>")
	ask(field("start", "2024-01-01T00:00:03Z"), "<max>3</max><after>"+ids[5]+"</after>")
	ask(field("start", "2034-01-01T00:00:03Z"), "")
	ask(field("start", "2034-01-01T00:00:03Z"), "<before/>")
	if juliet.Session.Has(caughtUp) {
		t.Error("who reads nothing is said to have read all")
	}
	ask("", "<max>3</max><before>"+ids[9]+"</before>")
	ask("", "<max>0</max>")
	if m := marker(); m != zero {
		t.Errorf("pages that leave out something moved the marker to %s", m)
	}
	ask("", "<max>3</max>")
	if m := marker(); m != ids[2] {
		t.Errorf("after the first page the marker is %s, want %s", m, ids[2])
	}
	ask(field("start", "2024-01-01T00:00:01Z"), "<max>3</max>")
	if m := marker(); m != ids[3] {
		t.Errorf("after a page from before the marker it is %s, want %s", m, ids[3])
	}
	ask(field("after-id", ids[3]), "<max>2</max>")
	if m := marker(); m != ids[5] {
		t.Errorf("after the next page it is %s, want %s", m, ids[5])
	}
	ask("", "<max>2</max><before/>")
	if m := marker(); m != ids[9] || !juliet.Session.Has(caughtUp) {
		t.Errorf("after the last page it is %s, want %s", m, ids[9])
	}
}
