package archive

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
	"confab/xmpp/xmpptest"
)

// away is a house where messages wait for romeo while he is away.
type away struct {
	*featuretest.House
	held    *storetest.Held
	offline feature.Feature
	after   func(*feature.Dispatch) // may be nil
}

func newAway(t *testing.T) *away {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "archive.db"), bolt.Options{NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &away{held: storetest.Hold(db)}
	w.House = featuretest.New(t, func(h *feature.Host) []feature.Feature {
		a, err := Open(t.Context(), w.held, Options{Clock: h.Clock, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		h.Keeper = a.Keeper()
		w.offline = NewOffline(h, a)
		presence := feature.Feature{
			Name: "presence",
			Presence: func(d *feature.Dispatch) (bool, error) {
				p := router.Presence{Available: d.Stanza.Type == xmpp.TypeNone, Since: h.Now()}
				if d.Stanza.Child("", "priority") != nil {
					p.Priority = -1
				}
				d.Session.SetPresence(p)
				return true, nil
			},
			After: func(d *feature.Dispatch, _ *router.Batch) {
				if w.after != nil {
					w.after(d)
				}
			},
		}
		return []feature.Feature{w.offline, presence, New(h, a)}
	})
	return w
}

// slow is a connection whose client takes nothing of what waited for it until it is told to.
type slow struct {
	xmpptest.Conn
	waiting, goOn chan struct{}
}

func (c *slow) Drain(n int) error {
	if n != replayPage { // nothing waits before it has asked
		return nil
	}
	select {
	case c.waiting <- struct{}{}:
	default:
	}
	<-c.goOn
	return nil
}

// comesSlowly brings romeo online and returns when he waits for his own socket; done is closed when he goes on.
func (w *away) comesSlowly(t *testing.T, full string) (s *router.Session, c *slow, done chan struct{}) {
	t.Helper()
	c = &slow{waiting: make(chan struct{}, 1), goOn: make(chan struct{})}
	j := xmpp.MustJID(full)
	s, _, err := w.Router.Bind(w.Directory.User(j), j, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan struct{})
	go func() {
		defer close(done)
		st, err := xmpp.Parse([]byte("<presence/>"))
		if err != nil {
			t.Error(err)
			return
		}
		b := w.Table.NewBatch(s, "")
		w.Table.Handle(b, st)
		w.Table.Commit(b)
	}()
	select {
	case <-c.waiting:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was sent that waited")
	}
	return s, c, done
}

func (w *away) says(p *featuretest.Person, to string, bodies ...string) {
	for _, b := range bodies {
		p.Sends("<message to='" + to + "' type='chat'><body>" + b + "</body></message>")
	}
}

// texts is what was said in what left on a connection.
func texts(left []string) string {
	var b strings.Builder
	for _, s := range left {
		for _, part := range strings.Split(s, "<body>")[1:] {
			text, _, _ := strings.Cut(part, "</body>")
			b.WriteString(text + " ")
		}
	}
	return b.String()
}

// hears waits until somebody has heard all that is expected, in this order and once.
func hears(t *testing.T, c interface{ Left() []string }, want string) {
	t.Helper()
	var got string
	deadline := time.Now().Add(10 * time.Second)
	for len(got) < len(want) && time.Now().Before(deadline) {
		got += texts(c.Left())
	}
	if got += texts(c.Left()); got != want {
		t.Errorf("heard %q and not %q", got, want)
	}
}

// A session that is replaced while it is sent what waits does not take that along, nor keep the next from it.
func TestReplacedWhileItIsSentWhatWaits(t *testing.T) {
	w := newAway(t)
	juliet := w.Online(t, "juliet@example.com/balcony")
	w.says(juliet, "romeo@example.com", "1", "2", "3")
	_, c, done := w.comesSlowly(t, "romeo@example.com/orchard")
	next := w.Connect(t, "romeo@example.com/orchard") // ends the other
	next.Sends("<presence/>")
	w.says(juliet, "romeo@example.com", "4")
	close(c.goOn)
	<-done
	hears(t, next.Conn, "1 2 3 4 ")
	w.says(juliet, "romeo@example.com", "5")
	hears(t, next.Conn, "5 ")
}

// Who comes while another session is sent what waits gets what is sent from then on.
func TestComingWhileAnotherIsSentWhatWaits(t *testing.T) {
	w := newAway(t)
	juliet := w.Online(t, "juliet@example.com/balcony")
	w.says(juliet, "romeo@example.com", "1", "2")
	_, c, done := w.comesSlowly(t, "romeo@example.com/orchard")
	other := w.Connect(t, "romeo@example.com/desk")
	other.Sends("<presence/>")
	w.says(juliet, "romeo@example.com", "3")
	close(c.goOn)
	<-done
	w.says(juliet, "romeo@example.com", "4")
	hears(t, c, "1 2 3 4 ")
	hears(t, other.Conn, "3 4 ")
}

// managed lets a person's unacknowledged stanzas be known.
func managed(t *testing.T, s *router.Session) {
	t.Helper()
	if err := s.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
}

// What a session with a negative priority got for itself and never acknowledged waits with what waited before.
func TestDirectAndNeverAcknowledged(t *testing.T) {
	w := newAway(t)
	juliet := w.Online(t, "juliet@example.com/balcony")
	w.says(juliet, "romeo@example.com", "1", "2")
	shy := w.Connect(t, "romeo@example.com/shy")
	managed(t, shy.Session)
	shy.Sends("<presence><priority>-1</priority></presence>")
	w.says(juliet, "romeo@example.com/shy", "3")
	hears(t, shy.Conn, "3 ")
	w.Table.End(shy.Session)
	romeo := w.Connect(t, "romeo@example.com/orchard")
	romeo.Sends("<presence/>")
	hears(t, romeo.Conn, "1 2 3 ")
}

// What was delivered to a session that ended before anybody noted it waits, if it was not acknowledged.
func TestEndRightAfterADelivery(t *testing.T) {
	w := newAway(t)
	juliet := w.Online(t, "juliet@example.com/balcony")
	first := w.Connect(t, "romeo@example.com/orchard")
	managed(t, first.Session)
	first.Sends("<presence/>")
	w.after = func(d *feature.Dispatch) {
		w.after = nil
		go w.Table.End(first.Session)
		next := &feature.Dispatch{ID: 1, User: d.User, To: d.To}
		featuretest.Eventually(t, "the end of the session", func() bool { return w.offline.Hold(next) })
	}
	w.says(juliet, "romeo@example.com", "1")
	romeo := w.Connect(t, "romeo@example.com/desk")
	romeo.Sends("<presence/>")
	hears(t, romeo.Conn, "1 ")
}

// What was put back and then read in the history does not come again.
func TestReadingAfterAnEnd(t *testing.T) {
	w := newAway(t)
	juliet := w.Online(t, "juliet@example.com/balcony")
	first := w.Connect(t, "romeo@example.com/orchard")
	managed(t, first.Session)
	first.Sends("<presence/>")
	w.says(juliet, "romeo@example.com", "1", "2")
	w.Table.End(first.Session)
	romeo := w.Connect(t, "romeo@example.com/desk")
	romeo.Sends("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>", "<presence/>")
	hears(t, romeo.Conn, "1 2 ")
}

// Who comes while it is being written down that somebody did not get something gets that once, and at once.
func TestComingBeforeAnEndIsOnDisk(t *testing.T) {
	w := newAway(t)
	juliet := w.Online(t, "juliet@example.com/balcony")
	first := w.Connect(t, "romeo@example.com/orchard")
	managed(t, first.Session)
	first.Sends("<presence/>")
	w.says(juliet, "romeo@example.com", "1", "2")
	w.held.Hold()
	ended, came := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); w.Table.End(first.Session) }()
	w.held.Await(1)
	romeo := w.Connect(t, "romeo@example.com/desk")
	go func() { defer close(came); romeo.Sends("<presence/>") }()
	w.held.Await(2)
	w.held.Release()
	<-ended
	<-came
	w.says(juliet, "romeo@example.com", "3")
	hears(t, romeo.Conn, "1 2 3 ")
	if l := w.Logged(); l != "" {
		t.Error(l)
	}
}

// lost has romeo's first session, which acknowledges nothing, end after it got 1 and 2 alone, and 3 with another that
// came later and sent what is given first. It returns that other one, who has heard what came until then.
func (w *away) lost(t *testing.T, more ...string) *featuretest.Person {
	t.Helper()
	juliet := w.Online(t, "juliet@example.com/balcony")
	first := w.Connect(t, "romeo@example.com/orchard")
	managed(t, first.Session)
	first.Sends("<presence/>")
	w.says(juliet, "romeo@example.com", "1", "2")
	other := w.Connect(t, "romeo@example.com/desk")
	other.Sends(append(more, "<presence/>")...)
	other.Conn.Left()
	w.says(juliet, "romeo@example.com", "3")
	hears(t, other.Conn, "3 ")
	w.Table.End(first.Session)
	return other
}

// What a lost session never acknowledged goes to one that came after that was sent, and nothing else does.
func TestLostToOneThatCameLater(t *testing.T) {
	w := newAway(t)
	other := w.lost(t)
	hears(t, other.Conn, "1 2 ")
	juliet := w.Online(t, "juliet@example.com/balcony")
	w.says(juliet, "romeo@example.com", "4")
	hears(t, other.Conn, "4 ")
}

// One that reads the history has it already.
func TestLostAndReadInTheHistory(t *testing.T) {
	w := newAway(t)
	other := w.lost(t, "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
	juliet := w.Online(t, "juliet@example.com/balcony")
	w.says(juliet, "romeo@example.com", "4")
	hears(t, other.Conn, "4 ")
}
