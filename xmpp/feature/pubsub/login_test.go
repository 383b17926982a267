package pubsub_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// counting counts how often the store is read.
type counting struct {
	store.DB
	views atomic.Int64
}

func (c *counting) View(ctx context.Context, fn func(store.Tx) error) error {
	c.views.Add(1)
	return c.DB.View(ctx, fn)
}

// company is a domain of people who all have an avatar and a list of devices, in
// departments: they see those of their own, or everybody.
type company struct {
	*featuretest.House
	db    *counting
	looks atomic.Int64 // at whether somebody sees somebody
	users []*directory.User
}

// nodes are what everybody has published and wants to hear of.
var nodes = []string{xmpp.NSOMEMO + ".devicelist", xmpp.NSAvatarMD}

// newCompany makes a company; a department of 0 is everybody.
func newCompany(t testing.TB, people, department int) *company {
	t.Helper()
	c := &company{}
	var p *pubsub.PubSub
	c.House = featuretest.New(t, func(h *feature.Host) []feature.Feature {
		c.db = &counting{DB: h.State}
		h.State = c.db
		same := func(a, b *directory.User) bool { return department == 0 || a.Name == b.Name }
		p = pubsub.New(h, pubsub.Options{
			MaySee: func(owner directory.ID, contact xmpp.JID) bool {
				c.looks.Add(1)
				a, b := h.Directory.ByID(owner), h.Directory.User(contact)
				return a != nil && b != nil && same(a, b)
			},
			Seen: func(viewer *directory.User) (seen []directory.ID, everyone bool) {
				if department == 0 {
					return nil, true
				}
				for _, u := range c.users {
					if same(u, viewer) {
						seen = append(seen, u.ID)
					}
				}
				return seen, false
			},
		})
		presence := feature.Feature{Name: "presence", Presence: func(d *feature.Dispatch) (bool, error) {
			d.Session.SetPresence(router.Presence{Available: d.Stanza.Type == xmpp.TypeNone, Stanza: d.Stanza.Raw})
			return true, nil
		}}
		return []feature.Feature{p.Feature(), presence}
	})
	var all []directory.NewUser
	for i := range people {
		all = append(all, directory.NewUser{Domain: "example.com", Local: fmt.Sprintf("user%d", i), Name: fmt.Sprintf("Department %d", i/max(department, 1))})
	}
	if err := c.Directory.Add(context.Background(), all...); err != nil {
		t.Fatal(err)
	}
	at := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for _, u := range all {
		user := c.Directory.User(xmpp.MustJID(u.Local + "@example.com"))
		c.users = append(c.users, user)
		at <- struct{}{}
		wg.Go(func() {
			defer func() { <-at }()
			for _, node := range nodes {
				if err := p.Publish(context.Background(), user.ID, node, pubsub.Item{ID: "current", Payload: []byte("<x xmlns='urn:x'/>")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return c
}

// sink is a connection that counts what is sent on it.
type sink struct {
	got   atomic.Int64
	asked atomic.Pointer[string]
}

func (s *sink) Append(b []byte) bool {
	if bytes.HasPrefix(b, []byte("<message")) {
		s.got.Add(1)
	} else {
		text := string(b)
		s.asked.Store(&text)
	}
	return false
}
func (s *sink) Flush()                  {}
func (s *sink) Close(*xmpp.StreamError) {}

// info is what all clients can do, and its hash (XEP-0115 §5.1).
func info() (query, hash string) {
	sum := "client/pc//x<"
	query = "<identity category='client' type='pc' name='x'/>"
	for _, n := range nodes { // in the order of bytes
		sum += n + "+notify<"
		query += "<feature var='" + n + "+notify'/>"
	}
	h := sha1.Sum([]byte(sum))
	return query, base64.StdEncoding.EncodeToString(h[:])
}

// login has everybody come online at the same time, and time pass until all is
// sent. It returns how many items were.
func (c *company) login(t testing.TB) (sent int64) {
	t.Helper()
	query, hash := info()
	sinks := make([]*sink, len(c.users))
	for i, u := range c.users {
		full, err := u.JID.WithResource("x")
		if err != nil {
			t.Fatal(err)
		}
		sinks[i] = &sink{}
		s, _, err := c.Router.Bind(u, full, sinks[i], nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Table.End(s) })
		batch := c.Table.NewBatch(s, "")
		handle := func(text string) {
			st, err := xmpp.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			c.Table.Handle(batch, st)
		}
		handle("<presence><c xmlns='" + xmpp.NSCaps + "' hash='sha-1' node='urn:x' ver='" + hash + "'/></presence>")
		if asked := sinks[i].asked.Load(); asked != nil {
			n, err := xmpp.ParseNode([]byte(*asked))
			if err != nil || i > 0 {
				t.Fatalf("%d was asked again: %v", i, err)
			}
			handle("<iq type='result' to='example.com' id='" + n.Attr("id") + "'><query xmlns='" + xmpp.NSDiscoInfo + "'>" + query + "</query></iq>")
		}
	}
	for idle := 0; idle < 3; { // some turns may send nothing
		before := sent
		c.Clock.Pass(20 * time.Millisecond)
		sent = 0
		for _, s := range sinks {
			sent += s.got.Load()
		}
		if idle++; sent != before {
			idle = 0
		}
	}
	return sent
}

// When everybody of a domain of a thousand comes online at once, all get what they
// are to get, and nothing more is done for it: the store is not read, nobody is
// looked at who is not seen, and nobody is asked what is known of others.
func TestMassLogin(t *testing.T) {
	for _, test := range []struct {
		name               string
		people, department int
		want               int64
	}{
		{"everybody", 300, 0, 300 * 300 * 2},
		{"departments", 1000, 20, 1000 * 20 * 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCompany(t, test.people, test.department)
			views := c.db.views.Load()
			c.looks.Store(0)
			if got := c.login(t); got != test.want {
				t.Errorf("%d items came, not %d", got, test.want)
			}
			if n := c.db.views.Load() - views; n != 0 {
				t.Errorf("the store was read %d times", n)
			}
			if n := c.looks.Load(); n > test.want {
				t.Errorf("%d looks for %d items", n, test.want)
			}
		})
	}
}

// Whoever gets the last item of a node gets the same bytes but for the address.
func TestLastItemsAreWrittenOnce(t *testing.T) {
	h := open(t)
	romeo := h.Connect(t, "romeo@example.com/orchard")
	does(t, romeo, iq("set", "<create node='n'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#send_last_published_item'><value>on_sub_and_presence</value></field></x></configure>"))
	does(t, romeo, iq("set", "<publish node='n'><item id='1'><x xmlns='urn:x'/></item></publish>"))
	var seen []string
	for _, name := range []string{"juliet", "alice"} {
		p := h.Connect(t, name+"@example.com/x")
		does(t, p, iq("set", "<subscribe node='n' jid='"+name+"@example.com'/>"))
		p.Sends("<presence/>")
		seen = append(seen, strings.ReplaceAll(strings.Join(p.Conn.Left(), ""), name, "NAME"))
	}
	if seen[0] != seen[1] || !strings.Contains(seen[0], "urn:x") {
		t.Errorf("%q", seen)
	}
}

// BenchmarkMassLogin has a whole domain come online at once. What an item costs is
// to stay the same, however many there are.
func BenchmarkMassLogin(b *testing.B) {
	for _, size := range []struct{ people, department int }{{100, 0}, {300, 0}, {1000, 0}, {1000, 20}, {4000, 20}} {
		b.Run(fmt.Sprintf("%d-by-%d", size.people, size.department), func(b *testing.B) {
			c := newCompany(b, size.people, size.department)
			var items int64
			b.ResetTimer()
			for range b.N {
				items += c.login(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(items), "ns/item")
			b.ReportMetric(float64(items)/float64(b.N), "items/op")
		})
	}
}
