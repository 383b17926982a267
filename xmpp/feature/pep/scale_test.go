package pep_test

import (
	"context"
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
	"confab/xmpp/store"
	"confab/xmpp/xmpptest"
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

// crowd makes people on the domain who all have an avatar and a list of devices.
func crowd(t testing.TB, h *stage, n int) {
	t.Helper()
	var all []directory.NewUser
	for i := range n {
		all = append(all, directory.NewUser{Domain: "example.com", Local: fmt.Sprintf("user%d", i)})
	}
	if err := h.Directory.Add(context.Background(), all...); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, u := range all {
		id := h.ID(u.Local + "@example.com")
		wg.Go(func() {
			for _, node := range []string{xmpp.NSAvatarMD, xmpp.NSOMEMO + ".devicelist"} {
				payload := "<metadata xmlns='urn:xmpp:avatar:metadata'/>"
				if err := h.Publish(context.Background(), id, node, pubsub.Item{ID: "current", Payload: []byte(payload)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Whoever logs in on a large domain gets all last items, a few at a time, and the
// store is not read for them.
func TestLastItemsOfManyArePaced(t *testing.T) {
	const people = 300
	var db *counting
	h := openWith(t, t.TempDir(), func(h *feature.Host) {
		db = &counting{DB: h.State}
		h.State = db
	})
	crowd(t, h, people)
	romeo := h.Connect(t, "romeo@example.com/orchard")
	before := db.views.Load()
	comes(t, romeo, xmpp.NSAvatarMD, xmpp.NSOMEMO+".devicelist")
	first := len(romeo.Conn.Left())
	if first == 0 || first > 64 {
		t.Errorf("%d items came at once", first)
	}
	total := first
	for range 2 * people {
		h.Clock.Pass(time.Millisecond)
		n := len(romeo.Conn.Left())
		if n > 64 {
			t.Errorf("%d items came in a turn", n)
		}
		total += n
	}
	if total != 2*people {
		t.Errorf("%d items came", total)
	}
	if n := db.views.Load() - before; n != 0 {
		t.Errorf("the store was read %d times", n)
	}
}

// A session that comes back is sent what it had not been sent yet, and nothing again.
func TestNothingTwiceOnResume(t *testing.T) {
	const people = 100
	h := open(t)
	crowd(t, h, people)
	romeo := h.Connect(t, "romeo@example.com/orchard")
	if err := romeo.EnableManagement(time.Hour, func(string) []byte { return []byte("<enabled/>") }); err != nil {
		t.Fatal(err)
	}
	romeo.Conn.Left()
	comes(t, romeo, xmpp.NSAvatarMD)
	_, token := romeo.Managed()
	got := strings.Count(heard(romeo), "<message")
	romeo.Hibernate(romeo.Conn, func() {})
	h.Table.Inactive(romeo.Session)
	h.Clock.Pass(time.Second)
	back := new(xmpptest.Conn)
	s := h.Router.Resumable(token)
	if s == nil {
		t.Fatal("the session is gone")
	}
	if err := s.Resume(back, s.SentCount(), func(uint32) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	h.Table.Resumed(s)
	for range people {
		h.Clock.Pass(20 * time.Millisecond)
	}
	back.Flush()
	rest := strings.Count(strings.Join(back.Left(), ""), "<message")
	if got == 0 || got+rest != people {
		t.Errorf("%d before, %d after", got, rest)
	}
	// And once more: nothing.
	h.Table.Resumed(s)
	h.Clock.Pass(time.Second)
	if left := back.Left(); len(left) > 0 {
		t.Errorf("again: %q", left)
	}
}

// Many devices publish at once: everybody hears the items in the order in which
// they are stored, the last one last.
func TestOrder(t *testing.T) {
	h := open(t)
	juliet := h.Connect(t, "juliet@example.com/balcony")
	comes(t, juliet, "urn:x")
	id := h.ID("romeo@example.com")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				payload := fmt.Sprintf("<x xmlns='urn:x'>%d-%d</x>", w, i)
				if err := h.Publish(context.Background(), id, "urn:x", pubsub.Item{ID: "current", Payload: []byte(payload)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	late := h.Connect(t, "alice@example.com/a")
	comes(t, late, "urn:x")
	wg.Wait()
	it, err := h.Item(context.Background(), id, "urn:x", "current")
	if err != nil || it == nil {
		t.Fatal(it, err)
	}
	for _, p := range []*featuretest.Person{juliet, late} {
		all := p.Conn.Left()
		if len(all) == 0 || !strings.Contains(all[len(all)-1], string(it.Payload)) {
			t.Errorf("%s heard %d, the last was %q, stored is %s", p.JID(), len(all), all[len(all)-1:], it.Payload)
		}
	}
}

// Ten thousand bookmarks are kept and read page by page. An old list of more is
// refused whole; for one more, the oldest goes, and everybody hears of it.
func TestManyBookmarks(t *testing.T) {
	h := open(t)
	ctx, id := context.Background(), h.ID("romeo@example.com")
	list := func(n int) *xmpp.Node {
		storage := &xmpp.Node{Space: xmpp.NSBookmarks, Local: "storage"}
		for i := range n {
			c := &xmpp.Node{Space: xmpp.NSBookmarks, Local: "conference"}
			c.SetAttr("jid", fmt.Sprintf("room%d@rooms.example", i))
			storage.Children = append(storage.Children, c)
		}
		return storage
	}
	if err := h.SetBookmarks(ctx, id, list(pubsub.MaxItems+1)); err == nil {
		t.Error("too many were taken")
	}
	if items, err := h.Items(ctx, id, xmpp.NSBookmark2); err != nil || len(items) != 0 {
		t.Error(len(items), err)
	}
	if err := h.SetBookmarks(ctx, id, list(pubsub.MaxItems)); err != nil {
		t.Fatal(err)
	}
	romeo := h.Connect(t, "romeo@example.com/orchard")
	comes(t, romeo, xmpp.NSBookmark2)
	romeo.Conn.Left()
	romeo.Sends(publish(xmpp.NSBookmark2, "room10000@rooms.example", "<conference xmlns='urn:xmpp:bookmarks:1'/>"))
	gone, came := "<retract id='room0@rooms.example'/>", "<item id='room10000@rooms.example'"
	if got := strings.Join(romeo.Conn.Left(), ""); !strings.Contains(got, gone) || strings.Index(got, came) < strings.Index(got, gone) {
		t.Error(got)
	}
	after, seen := "", 0
	for range 100 {
		romeo.Sends("<iq type='get' id='g'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/>" +
			"<set xmlns='http://jabber.org/protocol/rsm'>" + after + "</set></pubsub></iq>")
		got := heard(romeo)
		if len(got) > 1<<20 {
			t.Fatalf("an answer of %d bytes", len(got))
		}
		seen += strings.Count(got, "<item ")
		_, last, ok := strings.Cut(got, "<last>")
		if !ok {
			break
		}
		last, _, _ = strings.Cut(last, "</last>")
		after = "<after>" + last + "</after>"
	}
	if seen != pubsub.MaxItems {
		t.Errorf("%d were read", seen)
	}
	// Of what has not changed nobody is told, however long the list.
	for _, told := range []int{2, 0} {
		if err := h.SetBookmarks(ctx, id, list(pubsub.MaxItems)); err != nil {
			t.Fatal(err)
		}
		if left := romeo.Conn.Left(); len(left) != told {
			t.Errorf("told of %d", len(left))
		}
	}
}

func TestBounds(t *testing.T) {
	h := open(t)
	ctx, id := context.Background(), h.ID("romeo@example.com")
	x := []byte("<x xmlns='urn:x'/>")
	for i := range pubsub.MaxNodes {
		if err := h.Publish(ctx, id, fmt.Sprintf("urn:x:%d", i), pubsub.Item{ID: "1", Payload: x}); err != nil {
			t.Fatal(err)
		}
	}
	romeo := h.Connect(t, "romeo@example.com/orchard")
	romeo.Sends(publish("urn:y", "1", "<x xmlns='urn:x'/>"))
	if got := heard(romeo); !strings.Contains(got, "<resource-constraint") {
		t.Error(got)
	}
	big := []byte("<x xmlns='urn:x'>" + strings.Repeat("a", 250<<10) + "</x>")
	full := false
	for i := range pubsub.MaxBytes/len(big) + 2 {
		romeo.Conn.Left()
		romeo.Sends(publish(fmt.Sprintf("urn:x:%d", i), "1", string(big)))
		if got := heard(romeo); strings.Contains(got, "<resource-constraint") {
			full = true
			break
		}
	}
	if !full {
		t.Error("an account may have any number of bytes")
	}
	// What is taken away makes room.
	if err := h.Retract(ctx, id, "urn:x:0", "1"); err != nil {
		t.Fatal(err)
	}
	if err := h.Publish(ctx, id, "urn:x:0", pubsub.Item{ID: "1", Payload: big}); err != nil {
		t.Error(err)
	}
	huge := []byte("<x xmlns='urn:x'>" + strings.Repeat("a", pubsub.MaxPayload) + "</x>")
	if err := h.Publish(ctx, id, "urn:x:1", pubsub.Item{ID: "1", Payload: huge}); err == nil || !strings.Contains(err.Error(), "not-acceptable") {
		t.Error(err)
	}
}

// failing is a store that takes nothing.
type failing struct {
	store.DB
	on atomic.Bool
}

func (f *failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.on.Load() {
		return fmt.Errorf("the disk is full")
	}
	return f.DB.Update(ctx, fn)
}

// What is not on disk, nobody has heard of.
func TestNothingIsToldThatIsNotStored(t *testing.T) {
	var db *failing
	h := openWith(t, t.TempDir(), func(h *feature.Host) {
		db = &failing{DB: h.State}
		h.State = db
	})
	romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	comes(t, juliet, "urn:x")
	db.on.Store(true)
	romeo.Sends(publish("urn:x", "1", "<x xmlns='urn:x'/>"))
	if got := heard(romeo); !strings.Contains(got, "<internal-server-error") {
		t.Error(got)
	}
	juliet.Hears()
	db.on.Store(false)
	if items, err := h.Items(context.Background(), h.ID("romeo@example.com"), "urn:x"); len(items) != 0 || err != nil {
		t.Error(items, err)
	}
}

// What another feature publishes for somebody goes the way of clients.
func TestEvents(t *testing.T) {
	h := open(t)
	var mu sync.Mutex
	var events []string
	h.OnEvent(func(ev pubsub.Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf("%d %s %s", ev.Kind, ev.Node, ev.Item.ID))
	})
	juliet := h.Connect(t, "juliet@example.com/balcony")
	comes(t, juliet, "urn:x")
	ctx, id := context.Background(), h.ID("romeo@example.com")
	if err := h.Publish(ctx, id, "urn:x", pubsub.Item{ID: "1", Payload: []byte("<x xmlns='urn:x'/>")}); err != nil {
		t.Fatal(err)
	}
	if err := h.Retract(ctx, id, "urn:x", "nothing", "1"); err != nil {
		t.Fatal(err)
	}
	if err := h.Retract(ctx, id, "urn:nothing", "1"); err != nil {
		t.Fatal(err)
	}
	if got := heard(juliet); strings.Count(got, "<message") != 2 || !strings.Contains(got, "<retract id='1'/>") {
		t.Error(got)
	}
	if want := fmt.Sprint([]string{"0 urn:x 1", "1 urn:x 1"}); fmt.Sprint(events) != want {
		t.Error(events)
	}
	if err := h.Directory.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := h.Publish(ctx, id, "urn:x", pubsub.Item{ID: "1", Payload: []byte("<x xmlns='urn:x'/>")}); err == nil {
		t.Error("published for somebody who is deleted")
	}
	err := h.State.View(ctx, func(tx store.Tx) error {
		for _, s := range []store.Space{"pubsub.nodes", "pubsub.usage", "pubsub.items", "pubsub.ids", "pubsub.people", "pep.avatars", "pep.vcards"} {
			for k := range tx.Scan(s, store.Range{}) {
				t.Errorf("%s: %x was left", s, k)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A restart reads back what is needed in memory, the hash of the avatar too.
func TestRestart(t *testing.T) {
	folder := t.TempDir()
	t.Run("before", func(t *testing.T) {
		h := openIn(t, folder)
		romeo := h.Connect(t, "romeo@example.com/orchard")
		romeo.Sends("<iq type='set' id='1'><vCard xmlns='vcard-temp'><PHOTO><BINVAL>iVBORw0KGgo=</BINVAL></PHOTO></vCard></iq>", publish("urn:x", "1", "<x xmlns='urn:x'/>"))
		if got := heard(romeo); strings.Count(got, "type='result'") != 2 {
			t.Error(got)
		}
	})
	h := openIn(t, folder)
	juliet, romeo := h.Connect(t, "juliet@example.com/balcony"), h.Connect(t, "romeo@example.com/orchard")
	comes(t, juliet, "urn:x", xmpp.NSAvatarMD)
	if got := heard(juliet); strings.Count(got, "<message") != 2 || !strings.Contains(got, "type='image/png'") {
		t.Error(got)
	}
	romeo.Sends("<presence/>")
	if got := string(romeo.Presence().Stanza); !strings.Contains(got, "<photo>4caece539b039b16e16206ea2478f8c5ffb2ca05</photo>") {
		t.Error(got)
	}
}
