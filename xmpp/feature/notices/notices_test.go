package notices_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/notices"
	"confab/xmpp/router"
)

type house struct {
	*featuretest.House
	*notices.Notices
	kept  int // messages that have copies
	after int // the history fails when there are so many; 0: never
}

func open(t *testing.T, folder string) *house {
	t.Helper()
	x := new(house)
	x.House = featuretest.Open(t, folder, func(h *feature.Host) []feature.Feature {
		x.Notices = notices.New(h)
		archive := feature.Feature{Name: "archive", Keep: func(d *feature.Dispatch) error {
			d.Copies = append(d.Copies, feature.Copy{Owner: d.User.ID, OwnerJID: d.To.Bare(), With: d.From, Incoming: true})
			if x.kept++; x.kept == x.after {
				x.Failing.Fail(errors.New("full"))
			}
			return nil
		}}
		return []feature.Feature{archive, x.Notices.Feature()}
	})
	return x
}

// comes has somebody come online, as the roster tells of it.
func (x *house) comes(t *testing.T, full string) *featuretest.Person {
	t.Helper()
	p := x.Online(t, full)
	x.Present(p.Session, router.Presence{}, p.Presence())
	x.settle(t, p)
	return p
}

// settle waits until nothing is on its way to somebody.
func (x *house) settle(t *testing.T, p *featuretest.Person) {
	t.Helper()
	if _, _, err := x.Attendance(context.Background(), p.User()); err != nil {
		t.Fatal(err)
	}
}

func bodies(p *featuretest.Person) string {
	var all []string
	for _, s := range p.Conn.Left() {
		_, rest, _ := strings.Cut(s, "<body>")
		body, _, _ := strings.Cut(rest, "</body>")
		all = append(all, body)
	}
	return strings.Join(all, "|")
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const orchard = "romeo@example.com/orchard"

func TestOnce(t *testing.T) {
	ctx, folder := context.Background(), t.TempDir()
	x := open(t, folder)
	must(t, x.Set(ctx, "example.com", notices.Welcome, "welcome\r\n"))
	must(t, x.Set(ctx, "example.com", notices.MOTD, "first"))
	romeo := x.comes(t, orchard)
	same(t, bodies(romeo), "welcome|first")
	cell := x.comes(t, "romeo@example.com/cell")
	same(t, bodies(cell), "")
	must(t, x.Set(ctx, "example.com", notices.MOTD, "second")) // at the same moment of the clock
	x.settle(t, romeo)
	same(t, bodies(romeo), "second")
	if ok, err := x.Edit(ctx, "example.com", notices.MOTD, "corrected"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	x.settle(t, romeo)
	same(t, bodies(romeo), "")
	x.Table.Stop()
	x.State.Close()
	x.Held.Close()

	x = open(t, folder)
	same(t, bodies(x.comes(t, orchard)), "")
	same(t, bodies(x.comes(t, "juliet@example.com/b")), "welcome|corrected")
	same(t, bodies(x.comes(t, "juliet@capulet.example/b")), "") // another domain
	for _, want := range []bool{true, false} {
		if ok, err := x.Delete(ctx, "example.com", notices.MOTD); ok != want || err != nil {
			t.Error(ok, err)
		}
	}
	if ok, err := x.Edit(ctx, "example.com", notices.MOTD, "x"); ok || err != nil {
		t.Error(ok, err)
	}
	same(t, bodies(x.comes(t, "alice@example.com/a")), "welcome")
	must(t, x.Set(ctx, "example.com", notices.MOTD, "third"))
	same(t, bodies(x.comes(t, "bob@example.com/a")), "welcome|third")
}

// Who was here before there was a welcome is not new.
func TestOldUsersAreNotWelcomed(t *testing.T) {
	x := open(t, t.TempDir())
	x.comes(t, orchard)
	must(t, x.Set(context.Background(), "example.com", notices.Welcome, "welcome"))
	same(t, bodies(x.comes(t, "romeo@example.com/cell")), "")
}

// What the history did not take was not told, and comes with the next login.
func TestHistoryFails(t *testing.T) {
	x := open(t, t.TempDir())
	must(t, x.Set(context.Background(), "example.com", notices.MOTD, "motd"))
	x.Failing.Fail(errors.New("full"))
	same(t, bodies(x.comes(t, orchard)), "")
	if _, err := x.Announce("example.com", "hear"); err == nil {
		t.Error("an announcement was made that is not on disk")
	}
	x.Failing.Fail(nil)
	same(t, bodies(x.comes(t, "romeo@example.com/cell")), "motd")
}

func TestAnnouncement(t *testing.T) {
	x := open(t, t.TempDir())
	romeo, cell, juliet := x.Online(t, orchard), x.Online(t, "romeo@example.com/cell"), x.Online(t, "juliet@example.com/b")
	other := x.Online(t, "juliet@capulet.example/b")
	n, err := x.Announce("example.com", "a <b> & c")
	if n != 2 || err != nil || x.kept != 2 {
		t.Errorf("%d told, %d kept: %v", n, x.kept, err)
	}
	for _, p := range []*featuretest.Person{romeo, cell, juliet} {
		same(t, bodies(p), "a &lt;b&gt; &amp; c")
	}
	same(t, bodies(other), "")
	for _, text := range []string{"", " \n", "a\x00", "a\x1b[0m", "\xff", strings.Repeat("x", notices.MaxText+1), "\ufffe"} {
		if _, err := x.Announce("example.com", text); !errors.Is(err, notices.ErrText) {
			t.Errorf("%.20q: %v", text, err)
		}
		if err := x.Set(context.Background(), "example.com", notices.MOTD, text); !errors.Is(err, notices.ErrText) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// arrivals is where many people's messages come together, in order.
type arrivals struct {
	mu  sync.Mutex
	all []string
}

// someone is a connection of somebody whose messages are only noted.
type someone struct{ *arrivals }

func (c someone) Append(b []byte) bool {
	_, body, _ := strings.Cut(string(b), "<body>")
	body, _, _ = strings.Cut(body, "</body>")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, body)
	return false
}
func (someone) Flush()                  {}
func (someone) Close(*xmpp.StreamError) {}

// crowd has many people online.
func (x *house) crowd(t *testing.T, people int) *arrivals {
	t.Helper()
	got := new(arrivals)
	var all []directory.NewUser
	for i := range people {
		all = append(all, directory.NewUser{Domain: "example.com", Local: fmt.Sprint("user", i)})
	}
	must(t, x.Directory.Add(context.Background(), all...))
	for _, u := range all {
		j := xmpp.MustJID(u.Local + "@example.com/x")
		s, _, err := x.Router.Bind(x.Directory.User(j), j, someone{got}, nil)
		must(t, err)
		s.SetPresence(router.Presence{Available: true})
	}
	return got
}

// An announcement to very many leaves room for what others say meanwhile.
func TestAnnouncementToVeryMany(t *testing.T) {
	const people = 700
	x := open(t, t.TempDir())
	got := x.crowd(t, people)
	alice := x.Online(t, "alice@example.com/a")
	x.Held.Hold()
	var all sync.WaitGroup
	all.Go(func() {
		if n, err := x.Announce("example.com", "hear"); n != people+1 || err != nil {
			t.Errorf("%d told: %v", n, err)
		}
	})
	if !x.Held.Await(1) {
		t.Fatal("nothing was announced")
	}
	all.Go(func() {
		alice.Sends("<message to='user0@example.com/x' type='chat'><body>meanwhile</body></message>")
	})
	if !x.Held.Await(2) {
		t.Fatal("nothing was said")
	}
	x.Held.Release()
	all.Wait()
	if at := slices.Index(got.all, "meanwhile"); at < 0 || at > people/2 {
		t.Errorf("what was said meanwhile came as number %d of %d", at, len(got.all))
	}
	if len(got.all) != people+1 {
		t.Errorf("%d messages came to %d people", len(got.all), people)
	}
}

// Where the history fails, who was told before has it, and the others nothing.
func TestAnnouncementThatFailsHalfway(t *testing.T) {
	const people = 700
	x := open(t, t.TempDir())
	got := x.crowd(t, people)
	x.after = 300
	n, err := x.Announce("example.com", "hear")
	if err == nil || n == 0 || n >= people || n != len(got.all) || !strings.Contains(err.Error(), fmt.Sprintf("%d of %d", n, people)) {
		t.Errorf("%d told, %d heard: %v", n, len(got.all), err)
	}
}

func TestAttendance(t *testing.T) {
	ctx := context.Background()
	x := open(t, t.TempDir())
	id := x.ID("romeo@example.com")
	if _, ok, err := x.Attendance(ctx, id); ok || err != nil {
		t.Error("he was never here", err)
	}
	first := x.Now()
	x.Connect(t, orchard) // a client that is not available has logged in, too
	x.Clock.Pass(time.Hour)
	x.Connect(t, orchard)
	a, ok, err := x.Attendance(ctx, id)
	if !ok || err != nil || !a.First.Equal(first) || !a.Last.Equal(first.Add(time.Hour)) || a.Logins != 2 {
		t.Errorf("%+v %v", a, err)
	}
	// Nothing is left of somebody who was deleted.
	must(t, x.Directory.Delete(ctx, id))
	if _, ok, err := x.Attendance(ctx, id); ok || err != nil {
		t.Error("something is left", err)
	}
	must(t, x.Directory.Add(ctx, directory.NewUser{Domain: "example.com", Local: "romeo"}))
}
