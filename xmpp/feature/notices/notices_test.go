package notices_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/notices"
	"confab/xmpp/router"
)

type house struct {
	*featuretest.House
	*notices.Notices
	kept int // messages that have copies
}

func open(t *testing.T, folder string) *house {
	t.Helper()
	x := new(house)
	x.House = featuretest.Open(t, folder, func(h *feature.Host) []feature.Feature {
		x.Notices = notices.New(h)
		archive := feature.Feature{Name: "archive", Keep: func(d *feature.Dispatch) error {
			d.Copies = append(d.Copies, feature.Copy{Owner: d.User.ID, OwnerJID: d.To.Bare(), With: d.From, Incoming: true})
			x.kept++
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
