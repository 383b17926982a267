package roster

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"confab/xmpp/directory"
)

// colleague is an item of the domain roster.
func colleague(local, name, subscription string, groups ...string) string {
	s := "<item jid='" + local + "@example.com'"
	if name != "" {
		s += " name='" + name + "'"
	}
	s += " subscription='" + subscription + "'>"
	for _, g := range groups {
		s += "<group>" + g + "</group>"
	}
	return s + "</item>"
}

func TestDomainRoster(t *testing.T) {
	h := newHouse(t, Options{})
	h.update("alice@example.com", func(u *directory.User) { u.Name, u.Groups = "Alice <A>", []string{"Sales", "Board"} })
	h.update("bob@example.com", func(u *directory.User) { u.Hidden = true })
	for _, name := range []string{"romeo", "juliet"} {
		p := h.connect(name + "@example.com/x")
		other := map[string]string{"romeo": "juliet", "juliet": "romeo"}[name]
		p.Sends(get)
		p.hears(p.result("get", colleague("alice", "Alice &lt;A&gt;", "both", "Sales", "Board")+colleague(other, "", "both", "Colleagues")))
	}
	alice := h.connect("alice@example.com/x")
	alice.Sends(get)
	alice.hears(alice.result("get", colleague("juliet", "", "both", "Colleagues")+colleague("romeo", "", "both", "Colleagues")))
	// Bob sees them and is not seen.
	bob := h.connect("bob@example.com/x")
	bob.Sends(get)
	bob.hears(bob.result("get", colleague("alice", "Alice &lt;A&gt;", "to", "Sales", "Board")+
		colleague("juliet", "", "to", "Colleagues")+colleague("romeo", "", "to", "Colleagues")))
	juliet := h.connect("juliet@capulet.example/x")
	juliet.Sends(get)
	juliet.hears(juliet.result("get", ""))
}

// The user's own words lie over the directory's, which go on counting where the
// user said nothing else.
func TestOwnNameAndGroupsOfAColleague(t *testing.T) {
	folder := t.TempDir()
	t.Run("set", func(t *testing.T) {
		h := openHouse(t, folder, Options{})
		h.update("juliet@example.com", func(u *directory.User) { u.Name = "Juliet C" })
		romeo := h.online("romeo@example.com/orchard")
		romeo.Sends(set("1", "<item jid='juliet@example.com' name='Jule'><group>Love</group></item>"))
		romeo.hears(romeo.push(colleague("juliet", "Jule", "both", "Love")), romeo.done("1"))
		h.update("juliet@example.com", func(u *directory.User) { u.Name, u.Groups = "Juliet M", []string{"M"} })
		if got := romeo.heard(); strings.Contains(got, "Juliet M") || strings.Contains(got, "<group>M") {
			t.Errorf("heard %s", got)
		}
		romeo.Sends(set("2", "<item jid='juliet@example.com'><group>Love</group></item>"))
		romeo.hears(romeo.push(colleague("juliet", "Juliet M", "both", "Love")), romeo.done("2"))
		romeo.Sends(set("3", "<item jid='juliet@example.com' name='Juliet M'><group>M</group></item>"))
		romeo.hears(romeo.push(colleague("juliet", "Juliet M", "both", "M")), romeo.done("3"))
		h.update("juliet@example.com", func(u *directory.User) { u.Name = "Juliet C" })
		romeo.hears(romeo.push(colleague("juliet", "Juliet C", "both", "M")))
		romeo.Sends(set("4", "<item jid='juliet@example.com' name='J'><group>Love</group></item>"), set("5", "<item jid='nurse@elsewhere.example'/>"))
	})
	h := openHouse(t, folder, Options{})
	romeo := h.connect("romeo@example.com/orchard")
	romeo.Sends(get)
	romeo.hears(romeo.result("get", colleague("alice", "", "both", "Colleagues")+colleague("bob", "", "both", "Colleagues")+
		colleague("juliet", "J", "both", "Love")+"<item jid='nurse@elsewhere.example' subscription='none'/>"))
}

// Product §3: a colleague cannot be removed.
func TestRemovingAColleague(t *testing.T) {
	h := newHouse(t, Options{})
	romeo, other := h.online("romeo@example.com/orchard"), h.online("romeo@example.com/garden")
	romeo.quiet()
	romeo.Sends(set("r", "<item jid='juliet@example.com' subscription='remove'/>"))
	other.hears()
	got := romeo.heard()
	if !strings.HasPrefix(got, "<iq type='set' id='*'") || !strings.Contains(got, "<item jid='juliet@example.com' subscription='both'><group>Colleagues</group></item>") ||
		!strings.Contains(got, "<not-allowed ") {
		t.Errorf("heard %s", got)
	}
	juliet := h.online("juliet@example.com/balcony")
	romeo.quiet()
	for _, kind := range []string{"unsubscribe", "unsubscribed", "subscribed"} {
		romeo.Sends("<presence type='" + kind + "' to='juliet@example.com'/>")
		romeo.hears()
		juliet.hears()
	}
	romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	romeo.hears("<presence from='juliet@example.com' to='romeo@example.com' type='subscribed'/>")
	juliet.hears()
}

func TestRosterOfOnesGroups(t *testing.T) {
	h := newHouse(t, Options{Mode: Groups})
	h.update("romeo@example.com", func(u *directory.User) { u.Groups = []string{"Sales", "Board"} })
	h.update("juliet@example.com", func(u *directory.User) { u.Groups = []string{"Board", "Sales", "Secret"} })
	h.update("alice@example.com", func(u *directory.User) { u.Groups = []string{"Secret"} })
	romeo, juliet, bob := h.connect("romeo@example.com/x"), h.connect("juliet@example.com/x"), h.connect("bob@example.com/x")
	romeo.Sends(get, "<presence/>")
	romeo.hears(romeo.result("get", colleague("juliet", "", "both", "Board", "Sales")),
		"<presence from='romeo@example.com/x' to='romeo@example.com'/>")
	bob.Sends(get, "<presence/>")
	bob.hears(bob.result("get", ""), "<presence from='bob@example.com/x' to='bob@example.com'/>")
	romeo.hears()
	juliet.Sends(get, "<presence/>")
	juliet.hears(juliet.result("get", colleague("alice", "", "both", "Secret")+colleague("romeo", "", "both", "Sales", "Board")),
		"<presence from='juliet@example.com/x' to='juliet@example.com'/>", "<presence from='romeo@example.com/x' to='juliet@example.com'/>")
	romeo.hears("<presence from='juliet@example.com/x' to='romeo@example.com'/>")
	bob.hears()
	// Somebody who is not in the list can be added as anybody else.
	bob.Sends("<presence type='subscribe' to='romeo@example.com'/>")
	romeo.hears("<presence from='bob@example.com' to='romeo@example.com' type='subscribe'/>")
}

// The result is written once for all, without the one who reads it.
func TestSharedItems(t *testing.T) {
	h := newHouse(t, Options{})
	d := h.Directory.Domain("example.com")
	k := &h.boards["example.com"].commons
	s := d.Snapshot()
	l := k.list(h.Roster, s, h.Directory.ByID(h.ID("romeo@example.com")))
	if again := k.list(h.Roster, s, h.Directory.ByID(h.ID("juliet@example.com"))); again != l {
		t.Error("it was written twice")
	}
	all := []string{"alice", "bob", "juliet", "romeo"}
	for mask := range 1 << len(all) {
		var skip []string
		want := ""
		for i, local := range all {
			if mask&(1<<i) != 0 {
				skip = append(skip, local)
			} else {
				want += colleague(local, "", "both", "Colleagues")
			}
		}
		skip = append([]string{"aaa"}, append(skip, "zzz")...)
		if got := string(l.appendWithout(nil, skip)); got != want {
			t.Errorf("without %v: %s", skip, got)
		}
	}
	h.update("bob@example.com", func(u *directory.User) { u.Name = "B" })
	if again := k.list(h.Roster, d.Snapshot(), h.Directory.ByID(h.ID("romeo@example.com"))); again == l {
		t.Error("a change of the directory changed nothing")
	}
}

// Auto is everybody up to a limit, and one's own groups beyond it; going over it
// is a change like any other.
func TestDomainGrowsOverTheLimit(t *testing.T) {
	h := newHouse(t, Options{AutoLimit: 4})
	for _, name := range []string{"romeo", "juliet"} {
		h.update(name+"@example.com", func(u *directory.User) { u.Groups = []string{"G"} })
	}
	romeo, bob := h.online("romeo@example.com/x"), h.online("bob@example.com/x")
	romeo.quiet()
	before, _ := func() (string, string) { romeo.Sends(get); return romeo.version() }()
	// Who is in nobody's list does not count, and neither does carol, who is disabled.
	if err := h.Directory.Add(context.Background(), directory.NewUser{Domain: "example.com", Local: "ghost", Hidden: true}); err != nil {
		t.Fatal(err)
	}
	if romeo.hears(); h.Roster.Parted("example.com") {
		t.Error("a hidden user was one too many")
	}
	if err := h.Directory.Add(context.Background(), directory.NewUser{Domain: "example.com", Local: "dave"}); err != nil {
		t.Fatal(err)
	}
	got := romeo.heard()
	if !h.Roster.Parted("example.com") || h.Roster.Parted("capulet.example") {
		t.Error("it does not say that it changed")
	}
	for _, gone := range []string{"alice", "bob"} {
		if !strings.Contains(got, "<item jid='"+gone+"@example.com' subscription='remove'/>") {
			t.Errorf("%s stays: %s", gone, got)
		}
	}
	if !strings.Contains(got, "<presence to='romeo@example.com' from='bob@example.com/x' type='unavailable'/>") ||
		strings.Contains(got, "<item jid='juliet@example.com' subscription='remove'") || strings.Contains(got, "dave") {
		t.Errorf("heard %s", got)
	}
	bob.Sends("<presence><show>away</show></presence>")
	romeo.hears()
	romeo.Sends(getSince(before))
	romeo.hears(romeo.result("get", colleague("juliet", "", "both", "G")))
	if err := h.Directory.Delete(context.Background(), h.ID("dave@example.com")); err != nil {
		t.Fatal(err)
	}
	got = romeo.heard()
	if !strings.Contains(got, colleague("bob", "", "both", "Colleagues")) ||
		!strings.Contains(got, "<presence to='romeo@example.com' from='bob@example.com/x'><show>away</show></presence>") {
		t.Errorf("heard %s", got)
	}
}

// What changed on the domain while somebody was away, as that person sees it.
func TestChangesOfTheDirectorySinceAVersion(t *testing.T) {
	h := newHouse(t, Options{})
	romeo := h.connect("romeo@example.com/x")
	romeo.Sends(get)
	ver, first := romeo.version()
	romeo.Clear(Interested)
	h.update("alice@example.com", func(u *directory.User) { u.Name = "A" })
	h.update("juliet@example.com", func(u *directory.User) { u.Hidden = true })
	h.update("alice@example.com", func(u *directory.User) { u.Name = "Alice" })
	if err := h.Directory.Add(context.Background(), directory.NewUser{Domain: "example.com", Local: "secret", Hidden: true},
		directory.NewUser{Domain: "example.com", Local: "brief"}, directory.NewUser{Domain: "example.com", Local: "new"}); err != nil {
		t.Fatal(err)
	}
	if err := h.Directory.Delete(context.Background(), h.ID("brief@example.com")); err != nil {
		t.Fatal(err)
	}
	h.update("bob@example.com", func(u *directory.User) { u.Local = "robert" })
	romeo.Sends(set("s", "<item jid='alice@example.com' name='Al'><group>Colleagues</group></item>"))
	romeo.Sends(getSince(ver))
	want := []string{romeo.done("s"), romeo.done("get"),
		romeo.push("<item jid='juliet@example.com' subscription='remove'/>"),
		romeo.push(colleague("alice", "Al", "both", "Colleagues")),
		romeo.push(colleague("new", "", "both", "Colleagues")),
		romeo.push("<item jid='bob@example.com' subscription='remove'/>"),
		romeo.push(colleague("robert", "", "both", "Colleagues")),
		romeo.push(colleague("alice", "Al", "both", "Colleagues")),
	}
	end, heard := romeo.version()
	masked := verText.ReplaceAllString(pushID.ReplaceAllString(heard, "id='*'"), "ver='*'")
	if canonical(t, masked) != canonical(t, strings.Join(want, "")) {
		t.Errorf("heard\n%s\nwant\n%s", strings.ReplaceAll(masked, "><", ">\n<"), strings.Join(want, "\n"))
	}
	romeo.breaksAnywhere(first, heard)
	romeo.Sends(getSince(end))
	romeo.hears(romeo.done("get"))
}

// Whose own groups changed meanwhile sees others than before.
func TestOwnGroupsChangedSinceAVersion(t *testing.T) {
	h := newHouse(t, Options{Mode: Groups})
	for name, groups := range map[string][]string{"romeo": {"A", "B"}, "juliet": {"A"}, "alice": {"B", "C"}, "bob": {"C"}} {
		h.update(name+"@example.com", func(u *directory.User) { u.Groups = groups })
	}
	romeo := h.connect("romeo@example.com/x")
	romeo.Sends(get)
	ver, first := romeo.version()
	romeo.Clear(Interested)
	h.update("bob@example.com", func(u *directory.User) { u.Groups = []string{"B", "D"} })
	h.update("romeo@example.com", func(u *directory.User) { u.Groups = []string{"B", "C"} })
	h.update("juliet@example.com", func(u *directory.User) { u.Groups = []string{"A", "D"} })
	h.update("bob@example.com", func(u *directory.User) { u.Groups = []string{"C"} })
	h.update("carol@example.com", func(u *directory.User) { u.Name = "C" })
	romeo.Sends(getSince(ver))
	_, heard := romeo.version()
	for _, want := range []string{colleague("alice", "", "both", "B", "C"), colleague("bob", "", "both", "C"), "<item jid='juliet@example.com' subscription='remove'/>"} {
		if strings.Count(heard, want) != 1 {
			t.Errorf("heard %s, without %s", heard, want)
		}
	}
	romeo.breaksAnywhere(first, heard)
}

func BenchmarkRosterResult(b *testing.B) {
	for _, n := range []int{1000, 20000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHouse(b, Options{Mode: All})
			h.populate(n)
			u := h.Directory.ByID(h.ID("romeo@example.com"))
			p := h.connect("romeo@example.com/x")
			c, err := h.contacts(p.Account())
			if err != nil {
				b.Fatal(err)
			}
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = h.appendItems(dst[:0], h.Directory.Domain("example.com").Snapshot(), u, c)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}

// populate adds n users, user0 to the last.
func (h *house) populate(n int) {
	h.test.Helper()
	users := make([]directory.NewUser, n)
	for i := range users {
		users[i] = directory.NewUser{Domain: "example.com", Local: fmt.Sprintf("user%d", i), Name: fmt.Sprintf("User Number %d", i)}
	}
	if err := h.Directory.AddAll(context.Background(), users, directory.Batch{}); err != nil {
		h.test.Fatal(err)
	}
}
