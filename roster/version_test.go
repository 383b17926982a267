package roster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

func TestVersionsAsText(t *testing.T) {
	for _, v := range []version{{"EPOCHx", []uint64{0}, 0}, {"E", []uint64{1, 36, 1 << 60}, 37}} {
		text := string(v.append(nil))
		got, ok := parseVersion(text)
		if !ok || got.view != v.view || fmt.Sprint(got.sources) != fmt.Sprint(v.sources) || got.personal != v.personal {
			t.Errorf("%s reads as %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "1", "a.b", "a.1.2.3", "a..1", "a.1.", "a.1-.1", "a.-.1", "a.!.1", strings.Repeat("a", 600) + ".1.1"} {
		if v, ok := parseVersion(text); ok {
			t.Errorf("%q reads as %+v", text, v)
		}
	}
}

// RFC 6121 §2.6.3.
func TestUnchangedRosterIsEmptyResult(t *testing.T) {
	for _, mode := range []Mode{Off, All, Groups} {
		folder := t.TempDir()
		var ver string
		t.Run("before", func(t *testing.T) {
			h := openHouse(t, folder, Options{Mode: mode})
			romeo := h.connect("romeo@example.com/orchard")
			romeo.Sends(getSince(""))
			var heard string
			if ver, heard = romeo.version(); !strings.Contains(heard, "<query") {
				t.Fatalf("%s: %s", mode, heard)
			}
			romeo.Sends(getSince(ver))
			romeo.hears(romeo.done("get"))
			romeo.Sends(set("1", "<item jid='nurse@elsewhere.example'/>"))
			ver, _ = romeo.version()
			h.update("alice@example.com", func(u *directory.User) { u.Admin = true }) // nobody's business
		})
		h := openHouse(t, folder, Options{Mode: mode})
		romeo := h.connect("romeo@example.com/orchard")
		romeo.Sends(getSince(ver))
		romeo.hears(romeo.done("get"))
		h.connect("alice@example.com/desk") // the client is interested even so
		romeo.Sends(set("1", "<item jid='nurse@elsewhere.example' name='N'/>"))
		romeo.hears(romeo.push("<item jid='nurse@elsewhere.example' name='N' subscription='none'/>"), romeo.done("1"))
		for _, other := range []string{"x" + ver, ver + "0", "1", "a.b.c"} {
			romeo.Sends(getSince(other))
			if got := romeo.heard(); !strings.Contains(got, "<query") || strings.Contains(got, "push") {
				t.Errorf("%s: version %q: %s", mode, other, got)
			}
		}
		stranger := newHouse(t, Options{Mode: mode}).connect("romeo@example.com/orchard")
		stranger.Sends(getSince(ver))
		if got := stranger.heard(); !strings.Contains(got, "<query") {
			t.Errorf("%s: in another store: %s", mode, got)
		}
	}
}

// One push for each contact that changed, in the order of the changes, and each
// with the version that the client has with it.
func TestChangesSinceAVersion(t *testing.T) {
	h := newHouse(t, plain)
	romeo, other := h.connect("romeo@example.com/orchard"), h.online("romeo@example.com/garden")
	for i := range 4 {
		other.Sends(set("s", fmt.Sprintf("<item jid='c%d@elsewhere.example'/>", i)))
	}
	romeo.Sends(get)
	start, first := romeo.version()
	romeo.Clear(Interested)
	other.Sends(set("s", "<item jid='c2@elsewhere.example' name='first'/>"),
		set("s", "<item jid='c0@elsewhere.example' subscription='remove'/>"),
		set("s", "<item jid='c1@elsewhere.example' name='one'/>"),
		set("s", "<item jid='new@elsewhere.example'/>"),
		set("s", "<item jid='new@elsewhere.example' subscription='remove'/>"),
		set("s", "<item jid='c2@elsewhere.example' name='two'/>"))
	romeo.Sends(getSince(start))
	end, heard := romeo.version()
	pushes := []string{
		romeo.push("<item jid='c0@elsewhere.example' subscription='remove'/>"),
		romeo.push("<item jid='c1@elsewhere.example' name='one' subscription='none'/>"),
		romeo.push("<item jid='new@elsewhere.example' subscription='remove'/>"),
		romeo.push("<item jid='c2@elsewhere.example' name='two' subscription='none'/>"),
	}
	masked := verText.ReplaceAllString(pushID.ReplaceAllString(heard, "id='*'"), "ver='*'")
	if want := romeo.done("get") + strings.Join(pushes, ""); canonical(t, masked) != canonical(t, want) {
		t.Errorf("heard\n%s\nwant\n%s", masked, want)
	}
	romeo.breaksAnywhere(first, heard)
	romeo.Sends(getSince(end))
	romeo.hears(romeo.done("get"))
}

// What is too long ago is told as a whole; removals are not kept forever.
func TestVersionTooOld(t *testing.T) {
	h := newHouse(t, plain)
	romeo := h.online("romeo@example.com/orchard")
	romeo.Sends(set("s", "<item jid='first@elsewhere.example'/>"))
	old, _ := romeo.version()
	for i := range 2*keepMarks + 3 {
		jid := fmt.Sprintf("c%d@elsewhere.example", i)
		romeo.Sends(set("s", "<item jid='"+jid+"'/>"), set("s", "<item jid='"+jid+"' subscription='remove'/>"))
	}
	romeo.quiet()
	romeo.Sends(getSince(old))
	romeo.hears(romeo.result("get", "<item jid='first@elsewhere.example' subscription='none'/>"))
	err := h.State.View(context.Background(), func(tx store.Tx) error {
		m, items, err := readBook(tx, h.ID("romeo@example.com"))
		if len(items) != int(m.marks+m.listed+m.requests) || m.listed != 1 || m.marks > keepMarks || len(m.recent) != keepRecent {
			t.Errorf("%d records: %+v", len(items), m)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A store that was restored from a backup does not know what it gave out.
func TestRestoredBackup(t *testing.T) {
	h := newHouse(t, plain)
	romeo := h.online("romeo@example.com/orchard")
	romeo.Sends(set("s", "<item jid='a@elsewhere.example'/>"))
	romeo.quiet()
	id := h.ID("romeo@example.com")
	var backup []byte
	err := h.State.View(context.Background(), func(tx store.Tx) error {
		backup = append(backup, tx.Get(space, keyMeta(id))...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	romeo.Sends(set("s", "<item jid='b@elsewhere.example'/>"))
	lost, _ := romeo.version()
	h.Table.End(romeo.Session)
	err = h.State.Update(context.Background(), func(tx store.Tx) error {
		if err := tx.Delete(space, keyItem(id, xmpp.MustJID("b@elsewhere.example"))); err != nil {
			return err
		}
		return tx.Put(space, keyMeta(id), backup)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Clock.Pass(time.Second)
	romeo = h.connect("romeo@example.com/orchard")
	romeo.Sends(set("s", "<item jid='c@elsewhere.example'/>"), getSince(lost))
	romeo.hears(romeo.done("s"), romeo.result("get",
		"<item jid='a@elsewhere.example' subscription='none'/><item jid='c@elsewhere.example' subscription='none'/>"))
}

func TestRecordsRoundTrip(t *testing.T) {
	for _, it := range []*Item{
		{JID: xmpp.MustJID("a@example.com"), Rev: 1 << 50, Listed: true, Name: "Ä", Groups: []string{"x", "y"}, State: FromPendingOut, Approved: true, OwnName: true},
		{JID: xmpp.MustJID("example.com"), State: ToPendingIn, Request: []byte("<presence/>"), OwnGroups: true},
		{JID: xmpp.MustJID("a@example.com"), Removed: true, Rev: 7},
	} {
		value := it.append(nil)
		got, err := parseItem(keyItem(3, it.JID), value)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", it) {
			t.Errorf("%+v reads as %+v, %v", it, got, err)
		}
		for n := range value {
			if got, err := parseItem(keyItem(3, it.JID), value[:n]); err == nil {
				t.Errorf("a record cut off at %d reads as %+v", n, got)
			}
		}
	}
	m := meta{recent: []uint64{5, 9, 1 << 50}, listed: 1, marks: 2, requests: 3}
	value := m.append(nil)
	if got, err := parseMeta(value); err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
		t.Errorf("%v reads as %v, %v", m, got, err)
	}
	for n := range value {
		if n > 0 {
			if got, err := parseMeta(value[:n]); err == nil {
				t.Errorf("a record cut off at %d reads as %v", n, got)
			}
		}
	}
}

// A client that missed very much gets the whole roster, which is one piece, and not so many pushes that its connection
// does not take them.
func TestMuchWasMissed(t *testing.T) {
	h := newHouse(t, Options{Mode: All, AutoLimit: 10_000})
	romeo := h.connect("romeo@example.com/orchard")
	romeo.Sends(getSince(""))
	ver, _ := romeo.version()
	romeo.Clear(Interested)
	h.populate(2000)
	romeo.Sends(getSince(ver))
	got := romeo.Conn.Left()
	if len(got) != 1 || strings.Count(got[0], "<item ") != 2003 {
		t.Errorf("romeo heard %d stanzas, first %.300s", len(got), got[0])
	}
}
