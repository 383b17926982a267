package roster

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/store/storetest"
)

// lists is a Source: mailing lists that their members see.
type lists struct {
	mu      sync.Mutex
	members map[string][]string // by localpart
	changes []Change
}

func (l *lists) Revision(string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.changes))
}

func (l *lists) sees(list string, members []string) func(*directory.User) (Contact, bool) {
	return func(viewer *directory.User) (Contact, bool) {
		for _, m := range members {
			if m == viewer.Local {
				return Contact{xmpp.MustJID(list + "@example.com"), "List " + list, []string{"Groups"}, true, true}, true
			}
		}
		return Contact{}, false
	}
}

func (l *lists) set(list string, members ...string) Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := Change{uint64(len(l.changes) + 1), xmpp.MustJID(list + "@example.com"), l.sees(list, l.members[list]), l.sees(list, members)}
	l.members[list] = members
	l.changes = append(l.changes, c)
	return c
}

func (l *lists) Contacts(viewer *directory.User) iter.Seq[Contact] {
	return func(yield func(Contact) bool) {
		for _, list := range []string{"all", "sales"} {
			if c, ok := l.Contact(viewer, xmpp.MustJID(list+"@example.com")); ok && !yield(c) {
				return
			}
		}
	}
}

func (l *lists) Contact(viewer *directory.User, j xmpp.JID) (Contact, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sees(j.Local(), l.members[j.Local()])(viewer)
}

func (l *lists) Changes(_ string, since uint64) ([]Change, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since > uint64(len(l.changes)) {
		return nil, false
	}
	return l.changes[since:], true
}

func (l *lists) Reblock(*directory.User) func(*router.Batch) { return func(*router.Batch) {} }

func (l *lists) Presence(viewer *directory.User, _ xmpp.JID, yield func([]byte)) {
	for c := range l.Contacts(viewer) {
		yield([]byte("<presence from='" + c.JID.String() + "/@members'/>"))
	}
}

// Contacts that come from elsewhere are seen by whom they are meant for, live,
// in versions and with presence, and under the viewer's own words.
func TestContactsFromASource(t *testing.T) {
	l := &lists{members: map[string][]string{}}
	l.set("sales", "romeo", "juliet")
	h := newHouse(t, Options{Mode: Groups, Sources: []Source{l}})
	sales := "<item jid='sales@example.com' name='List sales' subscription='both'><group>Groups</group></item>"
	romeo, bob := h.connect("romeo@example.com/x"), h.online("bob@example.com/x")
	romeo.Sends(get, "<presence/>")
	romeo.hears(romeo.result("get", sales), "<presence from='romeo@example.com/x' to='romeo@example.com'/>",
		"<presence from='sales@example.com/@members' to='romeo@example.com'/>")
	romeo.Sends(set("1", "<item jid='sales@example.com' name='Mine'><group>Groups</group></item>"), set("2", "<item jid='sales@example.com' subscription='remove'/>"))
	mine := strings.Replace(sales, "List sales", "Mine", 1)
	if got := romeo.heard(); strings.Count(got, mine) != 2 || !strings.Contains(got, "<not-allowed ") {
		t.Errorf("romeo heard %s", got)
	}
	romeo.Sends("<presence type='subscribe' to='sales@example.com'/>", "<presence type='unsubscribe' to='sales@example.com'/>")
	romeo.hears("<presence from='sales@example.com' to='romeo@example.com' type='subscribed'/>")

	romeo.Sends(get)
	ver, _ := romeo.version()
	h.Changed(nil, "example.com", l.set("all", "romeo"))
	all := strings.ReplaceAll(sales, "sales", "all")
	romeo.hears(romeo.push(all))
	h.Changed(nil, "example.com", l.set("sales", "juliet", "bob"))
	romeo.hears(romeo.push("<item jid='sales@example.com' subscription='remove'/>"))
	bob.hears(bob.push(sales))
	h.Changed(nil, "elsewhere.example", Change{})
	romeo.Clear(Interested)
	romeo.Sends(getSince(ver))
	end, heard := romeo.version()
	if strings.Count(heard, "<item ") != 2 || !strings.Contains(heard, all) {
		t.Errorf("romeo heard %s", heard)
	}
	romeo.Sends(getSince(end))
	romeo.hears(romeo.done("get"))
	l.changes = nil
	romeo.Sends(getSince(end))
	if got := romeo.heard(); !strings.Contains(got, all) {
		t.Errorf("romeo heard %s", got)
	}
}

// What the store does not take is an error to the sender and nothing to anybody else.
func TestFailedCommit(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	failing := storetest.Fail(h.State)
	h.Roster.db = failing
	failing.Fail(storetest.ErrFull)
	romeo.Sends(set("1", "<item jid='nurse@elsewhere.example'/>"), "<presence type='subscribe' to='juliet@example.com' id='2'/>")
	if got := romeo.heard(); strings.Count(got, "<internal-server-error ") != 2 || strings.Contains(got, "push") {
		t.Errorf("romeo heard %s", got)
	}
	juliet.hears()
	failing.Fail(nil)
	romeo.Sends(get)
	romeo.hears(romeo.result("get", ""))
}

// Nothing is told before it is on disk.
func TestNothingIsToldBeforeItIsOnDisk(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	hold := storetest.Hold(h.State)
	h.Roster.db = hold
	hold.Hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	}()
	if !hold.Await(1) {
		t.Fatal("nothing is to be stored")
	}
	romeo.hears()
	juliet.hears()
	hold.Release()
	<-done
	romeo.hears(romeo.push("<item jid='juliet@example.com' subscription='none' ask='subscribe'/>"))
	juliet.hears("<presence from='romeo@example.com' to='juliet@example.com' type='subscribe'/>")
}

// A list that is read while it changes is not the old one afterwards.
func TestListReadWhileItChanges(t *testing.T) {
	h := newHouse(t, plain)
	romeo := h.online("romeo@example.com/orchard")
	juliet := h.connect("juliet@example.com/balcony") // nothing is read of hers yet
	c := new(contacts)
	slot.Put(juliet.Account(), c)
	asked := false
	h.Roster.db = interrupted{h.State, func() {
		if !asked {
			asked = true
			romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
		}
	}}
	juliet.Sends("<presence/>")
	if got := juliet.heard(); !strings.Contains(got, "type='subscribe'") {
		t.Errorf("juliet heard %s", got)
	}
}

// interrupted is a store in which something happens between a reading and its use.
type interrupted struct {
	store.DB
	after func()
}

func (db interrupted) View(ctx context.Context, fn func(store.Tx) error) error {
	err := db.DB.View(ctx, fn)
	db.after()
	return err
}

func FuzzRosterSet(f *testing.F) {
	for _, s := range []string{
		"<item jid='a@example.com' name='x'><group>g</group></item>", "<item jid='a@b/c' subscription='remove'/>",
		"<item/>", "<item jid=''/>", "<item xmlns='' jid='x'/>", "<item jid='x'><group/></item>", "<item jid='x'>&amp;<group>&#65;<b/></group></item>",
	} {
		f.Add(s)
	}
	l := Limits{}.orDefault()
	f.Fuzz(func(t *testing.T, s string) {
		st, err := xmpp.Parse([]byte(set("1", s)))
		if err != nil || len(st.Children) != 1 {
			return
		}
		w, err := parseSet(st.Payload().Node(), &l)
		var refused *xmpp.Error
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("an error that is none for peers: %v", err)
		}
		if err == nil && (w.jid.IsZero() || w.jid.IsFull() || len(w.groups) > l.Groups) {
			t.Fatalf("read as %+v", w)
		}
		if err == nil {
			it := Item{JID: w.jid, Listed: true, Name: w.name, Groups: w.groups}
			item, _ := merge(nil, &it)
			if _, err := xmpp.ParseNode(item.append(nil)); err != nil {
				t.Fatalf("written as %s: %v", item.append(nil), err)
			}
		}
	})
}
