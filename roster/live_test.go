package roster

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"confab/xmpp/directory"
)

type directoryUser = directory.User

// Product S4: what the administrator does is seen at once, with presence both ways.
func TestDirectoryChangesAreSeenAtOnce(t *testing.T) {
	h := newHouse(t, Options{})
	ctx := context.Background()
	romeo, ignorant := h.online("romeo@example.com/orchard"), h.connect("juliet@example.com/balcony")
	if err := h.Directory.Add(ctx, directory.NewUser{Domain: "example.com", Local: "dave", Name: "Dave"}); err != nil {
		t.Fatal(err)
	}
	romeo.hears(romeo.push(colleague("dave", "Dave", "both", "Colleagues")))
	ignorant.hears()
	dave := h.online("dave@example.com/desk")
	romeo.hears("<presence from='dave@example.com/desk' to='romeo@example.com'/>")

	h.update("dave@example.com", func(u *directory.User) { u.Name, u.Groups = "David", []string{"Sales"} })
	romeo.hears(romeo.push(colleague("dave", "David", "both", "Sales")))
	dave.hears()

	h.update("dave@example.com", func(u *directory.User) { u.Hidden = true })
	romeo.hears("<presence from='dave@example.com/desk' type='unavailable' to='romeo@example.com'/>",
		romeo.push("<item jid='dave@example.com' subscription='remove'/>"))
	got := dave.heard()
	if strings.Count(got, "subscription='to'") != 4 || strings.Contains(got, "<presence") {
		t.Errorf("dave heard %s", got)
	}
	dave.Sends("<presence><show>away</show></presence>")
	romeo.hears()
	dave.quiet()

	h.update("dave@example.com", func(u *directory.User) { u.Hidden = false })
	romeo.hears(romeo.push(colleague("dave", "David", "both", "Sales")),
		"<presence from='dave@example.com/desk' to='romeo@example.com'><show>away</show></presence>")

	h.update("dave@example.com", func(u *directory.User) { u.Disabled = true })
	romeo.hears("<presence from='dave@example.com/desk' type='unavailable' to='romeo@example.com'/>",
		romeo.push("<item jid='dave@example.com' subscription='remove'/>"))
	h.Table.End(dave.Session)
	romeo.hears()
	h.update("dave@example.com", func(u *directory.User) { u.Disabled = false })
	romeo.quiet()
	dave = h.online("dave@example.com/desk")
	romeo.quiet()
	if err := h.Directory.Delete(ctx, h.ID("dave@example.com")); err != nil {
		t.Fatal(err)
	}
	romeo.hears("<presence from='dave@example.com/desk' type='unavailable' to='romeo@example.com'/>",
		romeo.push("<item jid='dave@example.com' subscription='remove'/>"))
	h.Table.End(dave.Session)
	romeo.hears()
}

// Who is subscribed on top of being a colleague goes on seeing.
func TestSubscriberStaysWhenAColleagueHides(t *testing.T) {
	h := newHouse(t, Options{})
	h.update("bob@example.com", func(u *directory.User) { u.Hidden = true })
	romeo, bob := h.online("romeo@example.com/orchard"), h.online("bob@example.com/desk")
	romeo.Sends("<presence type='subscribe' to='bob@example.com'/>")
	bob.Sends("<presence type='subscribed' to='romeo@example.com'/>")
	h.update("bob@example.com", func(u *directory.User) { u.Hidden = false })
	romeo.quiet()
	h.update("bob@example.com", func(u *directory.User) { u.Hidden = true })
	romeo.hears(romeo.push("<item jid='bob@example.com' subscription='to'/>"))
	bob.Sends("<presence><show>away</show></presence>")
	romeo.hears("<presence from='bob@example.com/desk' to='romeo@example.com'><show>away</show></presence>")
}

// Both ways: who moves to another department sees and is seen by others.
func TestMovingToAnotherGroup(t *testing.T) {
	h := newHouse(t, Options{Mode: Groups})
	h.update("juliet@example.com", func(u *directory.User) { u.Groups = []string{"A"} })
	h.update("alice@example.com", func(u *directory.User) { u.Groups = []string{"B"} })
	h.update("romeo@example.com", func(u *directory.User) { u.Groups = []string{"A"} })
	romeo, juliet, alice := h.online("romeo@example.com/x"), h.online("juliet@example.com/x"), h.online("alice@example.com/x")
	romeo.quiet()
	h.update("romeo@example.com", func(u *directory.User) { u.Groups = []string{"B"} })
	juliet.hears("<presence from='romeo@example.com/x' type='unavailable' to='juliet@example.com'/>",
		juliet.push("<item jid='romeo@example.com' subscription='remove'/>"))
	alice.hears(alice.push(colleague("romeo", "", "both", "B")), "<presence from='romeo@example.com/x' to='alice@example.com'/>")
	romeo.hears("<presence from='juliet@example.com/x' type='unavailable' to='romeo@example.com'/>",
		romeo.push(colleague("alice", "", "both", "B")), romeo.push("<item jid='juliet@example.com' subscription='remove'/>"),
		"<presence from='alice@example.com/x' to='romeo@example.com'/>")
	h.update("romeo@example.com", func(u *directory.User) { u.Groups = []string{"A", "B"} })
	juliet.hears(juliet.push(colleague("romeo", "", "both", "A")), "<presence from='romeo@example.com/x' to='juliet@example.com'/>")
	alice.hears()
}

// Deleting a user ends what he had with others (RFC 6121 §2.5.2), and leaves nothing.
func TestDeletedUserHadSubscriptions(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	mutual(romeo, juliet)
	id := h.ID("romeo@example.com")
	if err := h.Directory.Delete(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	if got := juliet.heard(); !strings.HasSuffix(got, "<item jid='romeo@example.com' subscription='none'/></query></iq>") ||
		!strings.Contains(got, "type='unavailable'") {
		t.Errorf("juliet heard %s", got)
	}
	if n := h.records(id); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// An import does not keep anybody from working: it is pushed in portions, and
// everybody hears everything in the end.
func TestImportIsPaced(t *testing.T) {
	for _, watchers := range []int{20, 2} {
		t.Run(fmt.Sprint(watchers), func(t *testing.T) { testImport(t, watchers) })
	}
}

func testImport(t *testing.T, watchers int) {
	h := newHouse(t, Options{Mode: All})
	const users = 1500
	people := make([]*person, watchers)
	for i := range people {
		people[i] = h.online(fmt.Sprintf("romeo@example.com/r%d", i))
	}
	for _, p := range people {
		p.quiet()
	}
	old, _ := func() (string, string) { people[0].Sends(get); return people[0].version() }()
	h.populate(users)
	heard := make([]int, watchers)
	count := func() (most int) {
		for i, p := range people {
			heard[i] += strings.Count(p.heard(), "<item ")
			most = max(most, heard[i])
		}
		return most
	}
	if first := count(); first == 0 || first > liveChanges || first*watchers > livePushes+watchers {
		t.Errorf("each heard %d at once", first)
	}
	h.Clock.Pass(10 * liveEvery)
	count()
	for i := range people {
		if heard[i] != users {
			t.Errorf("%d heard of %d users", i, heard[i])
		}
	}
	if n := h.Stats.Waiting.Load(); n != 0 {
		t.Errorf("%d changes are left", n)
	}
	h.update("user7@example.com", func(u *directory.User) { u.Name = "N" })
	now, _ := people[0].version()
	if now == old || now == "" {
		t.Errorf("version %q", now)
	}
	people[1].quiet()
	people[1].Sends(getSince(now))
	people[1].hears(people[1].done("get"))
}
