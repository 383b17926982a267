package archive

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/store/storetest"
)

// seen is how somebody sees the messages of an archive.
func (s *server) seen(o directory.ID) (all []string) {
	s.t.Helper()
	_, err := s.Page(s.t.Context(), Query{Owner: o, Max: 250}, func(it *Item) error {
		b, err := it.Append(nil, "", nil)
		all = append(all, string(b))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func retracting(id string) string {
	return "<message to='juliet@example.com' type='chat' id='r" + id + "'><retract xmlns='urn:xmpp:message-retract:1' id='" + id + "'/></message>"
}

func TestRetraction(t *testing.T) {
	s := serve(t)
	romeo, juliet := s.Online(t, "romeo@example.com/orchard"), s.Online(t, "juliet@example.com/balcony")
	romeo.Sends("<message to='juliet@example.com' type='chat' id='a'><body>mine</body></message>")
	juliet.Sends("<message to='romeo@example.com' type='chat' id='b'><body>hers</body></message>")
	romeo.Sends(retracting("a"), retracting("b"), retracting("unknown"))
	got := s.seen(s.ID("juliet@example.com"))
	if len(got) != 5 {
		t.Fatalf("%q", got)
	}
	same(t, []byte(got[0]), "<message from='romeo@example.com/orchard' to='juliet@example.com' type='chat' id='a'>"+
		"<retracted xmlns='urn:xmpp:message-retract:1' stamp='"+stamp+"2Z' id='ra'/></message>")
	same(t, []byte(got[1]), "<message from='juliet@example.com/balcony' to='romeo@example.com' type='chat' id='b'><body>hers</body></message>")
}

// A note to oneself is sent and received in one, and can be corrected and taken back.
func TestRetractionOfANote(t *testing.T) {
	s := serve(t)
	romeo := s.Online(t, "romeo@example.com/orchard")
	romeo.Sends("<message to='romeo@example.com' type='chat' id='a'><body>mine</body></message>")
	romeo.Sends(strings.ReplaceAll(retracting("a"), "juliet", "romeo"))
	if got := s.seen(s.ID("romeo@example.com")); len(got) != 2 || !strings.Contains(got[0], "<retracted") {
		t.Errorf("the archive shows %q", got)
	}
}

// A retraction that has no id of its own is found by the one that it has in the archive.
func TestRetractionWithoutID(t *testing.T) {
	s := serve(t)
	romeo := s.Online(t, "romeo@example.com/orchard")
	romeo.Sends("<message to='juliet@example.com' type='chat' id='a'><body>mine</body></message>",
		"<message to='juliet@example.com' type='chat'><retract xmlns='urn:xmpp:message-retract:1' id='a'/></message>")
	got := s.seen(s.ID("juliet@example.com"))
	if len(got) != 2 || !strings.Contains(got[0], "Z' id='"+FormatID(s.Last())+"'>") {
		t.Errorf("the archive shows %q", got)
	}
}

// Whoever has heard of a retraction does not find the text any more, whatever happens next.
func TestRetractionIsOneTransaction(t *testing.T) {
	var s *server
	s = serve(t, feature.Feature{Name: "full disk", After: func(d *feature.Dispatch, _ *router.Batch) {
		if d.Stanza.Child(xmpp.NSRetract, "retract") != nil {
			s.failing.Fail(storetest.ErrFull)
		}
	}})
	romeo := s.Online(t, "romeo@example.com/orchard")
	romeo.Sends("<message to='juliet@example.com' type='chat' id='a'><body>mine</body></message>")
	romeo.Sends(retracting("a"))
	if got := s.seen(s.ID("juliet@example.com")); len(got) != 2 || strings.Contains(got[0], "mine") {
		t.Errorf("the archive shows %q", got)
	}
}

// What is taken back at once comes with its retraction, in one batch.
func TestRetractionInOneBatch(t *testing.T) {
	s := serve(t)
	romeo := s.Online(t, "romeo@example.com/orchard")
	say := func(to, id, text string) string {
		return "<message to='" + to + "@example.com' type='chat' id='" + id + "'><body>" + text + "</body></message>"
	}
	romeo.Sends(say("juliet", "a", "kept"), say("juliet", "a", "taken back"), say("alice", "a", "to another"), retracting("a"), say("juliet", "a", "later"))
	got := strings.Join(s.seen(s.ID("romeo@example.com")), "")
	for text, want := range map[string]int{"kept": 1, "taken back": 0, "to another": 1, "later": 1, "<retracted": 1} {
		if n := strings.Count(got, text); n != want {
			t.Errorf("%q is there %d times, not %d: %s", text, n, want, got)
		}
	}
}

// A message is found among many, however its id is written, and not beyond a bound.
func TestRetractionFarBack(t *testing.T) {
	s := serve(t)
	romeo := s.Online(t, "romeo@example.com/orchard")
	for _, id := range []string{"far", "a&amp;b"} {
		romeo.Sends("<message to='juliet@example.com' type='chat' id='" + id + "'><body>secret</body></message>")
	}
	for n := range maxSentWalk - 2 {
		romeo.Sends(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='%d'><body>x</body></message>", n))
	}
	o := s.ID("juliet@example.com")
	romeo.Sends(retracting("a&#38;b"))
	if got := s.seen(o); strings.Contains(got[1], "secret") {
		t.Errorf("the archive still shows %s", got[1])
	}
	romeo.Sends(retracting("far"))
	if got := s.seen(o); !strings.Contains(got[0], "secret") {
		t.Errorf("a message was found beyond the bound: %s", got[0])
	}
}

// A message that cannot be read hides none that came before it from who corrects or takes back.
func TestRetractionBehindADamagedMessage(t *testing.T) {
	s := serve(t)
	romeo := s.Online(t, "romeo@example.com/orchard")
	for _, id := range []string{"a", "b"} {
		romeo.Sends("<message to='juliet@example.com' type='chat' id='" + id + "'><body>" + id + "</body></message>")
	}
	err := s.db.Update(t.Context(), func(tx store.Tx) error { return tx.Put(spaceBody, appendID(nil, s.Last()), []byte{99}) })
	if err != nil {
		t.Fatal(err)
	}
	romeo.Sends(retracting("a"))
	if got := s.seen(s.ID("juliet@example.com")); len(got) != 2 || !strings.Contains(got[0], "<retracted") {
		t.Errorf("the archive shows %q", got)
	}
}

// What somebody sent is known from when it is on its way into the history, which is what what comes along with it asks for.
func TestSent(t *testing.T) {
	var s *server
	var known []string
	s = serve(t, feature.Feature{Name: "references", Amend: func(d *feature.Dispatch) {
		if e := d.Stanza.Child(xmpp.NSCorrect, "replace"); e != nil {
			id, _ := e.Attr("id")
			if own, err := s.Sent(t.Context(), d, id); err != nil || own {
				known = append(known, fmt.Sprint(string(d.Stanza.ID), " ", id, " ", err))
			}
		}
	}})
	romeo, juliet := s.Online(t, "romeo@example.com/orchard"), s.Online(t, "juliet@example.com/balcony")
	say := func(to, id, replaced string) string {
		return "<message to='" + to + "@example.com' type='chat' id='" + id + "'><body>x</body><replace xmlns='urn:xmpp:message-correct:0' id='" + replaced + "'/></message>"
	}
	juliet.Sends(say("romeo", "hers", "1"))
	romeo.Sends(say("juliet", "1", "hers"), say("juliet", "2", "1"), say("alice", "3", "1"), say("juliet", "4", "2"), say("juliet", "5", "5"))
	romeo.Sends(say("juliet", "6", "4"), say("juliet", "6", "hers"))
	romeo.Sends(say("romeo", "own", "6"), say("romeo", "7", "own"))
	juliet.Sends(say("romeo", "8", "1"), say("romeo", "9", "hers"))
	if want := []string{"2 1 <nil>", "4 2 <nil>", "6 4 <nil>", "7 own <nil>", "9 hers <nil>"}; !slices.Equal(known, want) {
		t.Errorf("known are %q, not %q", known, want)
	}
}

func BenchmarkFindSent(b *testing.B) {
	var last *feature.Dispatch
	s := serve(b, feature.Feature{Name: "watch", After: func(d *feature.Dispatch, _ *router.Batch) { last = d }})
	romeo := s.Online(b, "romeo@example.com/orchard")
	for n := range maxSentWalk {
		romeo.Sends(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='%d'><body>What light through yonder window breaks?</body></message>", n))
	}
	b.ReportAllocs()
	for b.Loop() {
		if id, err := s.findSent(b.Context(), sentBy(last, "none")); id != 0 || err != nil {
			b.Fatal(id, err)
		}
	}
}
