package muc_test

import (
	"context"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"confab/archive"
	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/carbons"
	"confab/xmpp/feature/disco"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/picture"
	"confab/xmpp/router"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
	"confab/xmpp/xmpptest"
)

// house is a server with rooms and nothing else that would be heard.
type house struct {
	*featuretest.House
	*muc.Rooms
	archive *archive.Archive
	history *storetest.Held
	stored  func() // if it is set: runs between the storing of a message and its delivery
}

// keeper stores messages and lets something happen before they are delivered.
type keeper struct {
	feature.Keeper
	house *house
}

func (k keeper) Keep(batch []*feature.Dispatch, c feature.Count, deliver func(*feature.Dispatch, *router.Batch)) error {
	return k.Keeper.Keep(batch, c, func(d *feature.Dispatch, out *router.Batch) {
		if k.house.stored != nil {
			k.house.stored()
		}
		deliver(d, out)
	})
}

// closeHistory has the history take nothing any more.
func (h *house) closeHistory() error { return h.history.Close() }

// closeState has nothing else be written down any more.
func (h *house) closeState(t testing.TB) {
	if err := h.State.Close(); err != nil {
		t.Fatal(err)
	}
}

func newHouse(t testing.TB, o muc.Options) *house { return openHouse(t, t.TempDir(), o, nil) }

func everybody(*directory.User) bool { return true }

func openHouse(t testing.TB, folder string, o muc.Options, src muc.Source) *house {
	t.Helper()
	x := &house{}
	x.House = featuretest.Open(t, folder, func(h *feature.Host) []feature.Feature {
		db, err := bolt.Open(filepath.Join(folder, "history.db"), bolt.Options{NoSync: true, InitialMmapSize: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		x.history = storetest.Hold(db)
		if x.archive, err = archive.Open(context.Background(), x.history, archive.Options{Clock: h.Clock, Log: h.Log}); err != nil {
			t.Fatal(err)
		}
		h.Keeper = keeper{x.archive.Keeper(), x}
		x.Rooms = muc.New(h, x.archive, o)
		if src != nil {
			x.Rooms.SetSource(src)
		}
		return []feature.Feature{
			archive.New(h, x.archive), carbons.New(), x.Rooms.Feature(),
			disco.New(disco.Options{MaySee: func(directory.ID, xmpp.JID) bool { return true }}),
		}
	})
	return x
}

// What differs from run to run is written short, here and in what is expected: <o/> for an occupant id, <sid/> with by for
// the id in an archive, <late/> for a delay of the room's.
var masks = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`<occupant-id xmlns='urn:xmpp:occupant-id:0' id='[^']+'/>`), "<o/>"},
	{regexp.MustCompile(`<stanza-id xmlns='urn:xmpp:sid:0' by='([^']+)' id='[^']+'/>`), "<sid by='$1'/>"},
	{regexp.MustCompile(`<delay xmlns='urn:xmpp:delay' from='[^']+' stamp='[^']+'/>`), "<late/>"},
}

func mask(s string) string {
	for _, m := range masks {
		s = m.from.ReplaceAllString(s, m.to)
	}
	return s
}

func canonical(t testing.TB, s string) string {
	t.Helper()
	c, err := xmpptest.Canonical(mask(s))
	if err != nil {
		t.Errorf("%s: %v", s, err)
	}
	return c
}

// heard returns what a person has heard since the last call.
func heard(t testing.TB, p *featuretest.Person) string {
	t.Helper()
	if n := p.Conn.Waiting(); n != 0 {
		t.Errorf("%s: %d elements were never flushed", p.JID(), n)
	}
	return strings.Join(p.Conn.Left(), "")
}

// hears checks what a person has heard since the last call, in this order.
func hears(t testing.TB, p *featuretest.Person, want ...string) {
	t.Helper()
	got := heard(t, p)
	if canonical(t, got) != canonical(t, strings.Join(want, "")) {
		t.Errorf("%s heard\n\t%s\nand should have heard\n\t%s", p.JID(), mask(got), strings.Join(want, "\n\t"))
	}
}

// quiet forgets what people have heard.
func quiet(all ...*featuretest.Person) {
	for _, p := range all {
		p.Conn.Left()
	}
}

const (
	cave    = "cave@conference.example.com"
	mucX    = "<x xmlns='http://jabber.org/protocol/muc'/>"
	noLines = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
)

// join has a person enter a room under the name of the account.
func join(p *featuretest.Person, room string) {
	p.Sends("<presence to='" + room + "/" + p.JID().Local() + "'>" + noLines + "</presence>")
}

// instant is the request that takes a room as it is.
func instant(room string) string {
	return "<iq type='set' id='open' to='" + room + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>"
}

// configured is the request that configures a room.
func configured(room string, fields ...string) string {
	b := "<iq type='set' id='conf' to='" + room + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		if !strings.Contains(name, "#") {
			name = "muc#roomconfig_" + name
		}
		b += "<field var='" + name + "'>"
		if value != "" || strings.Contains(f, "=") {
			b += "<value>" + value + "</value>"
		}
		b += "</field>"
	}
	return b + "</x></query></iq>"
}

func result(p *featuretest.Person, room, id string) string {
	return "<iq type='result' id='" + id + "' from='" + room + "' to='" + p.JID().String() + "'/>"
}

// cast is people in a room that the first of them has made.
func cast(t testing.TB, h *house, room string, fields []string, names ...string) []*featuretest.Person {
	t.Helper()
	var all []*featuretest.Person
	for i, name := range names {
		p := h.Online(t, name)
		all = append(all, p)
		join(p, room)
		if i == 0 {
			quiet(p)
			p.Sends(configured(room, fields...))
			hears(t, p, result(p, room, "conf"))
		}
	}
	quiet(all...)
	return all
}

// alias is a source with one room, in whose members the tests meddle.
type alias struct {
	room    muc.Given
	members []muc.Person
	hidden  bool
}

func (a *alias) Room(j xmpp.JID) *muc.Given {
	if j != a.room.JID || j.IsZero() {
		return nil
	}
	g := a.room
	return &g
}

func (a *alias) Rooms(service string) iter.Seq[*muc.Given] {
	return func(yield func(*muc.Given) bool) {
		if g := a.Room(a.room.JID); g != nil && a.room.JID.Domain() == service {
			yield(g)
		}
	}
}

func (a *alias) Member(_ directory.ID, person xmpp.JID) (muc.Person, bool) {
	i := slices.IndexFunc(a.members, func(p muc.Person) bool { return p.JID == person })
	if i < 0 {
		return muc.Person{}, false
	}
	return a.members[i], true
}

func (a *alias) Members(directory.ID) iter.Seq[muc.Person] { return slices.Values(a.members) }

func (a *alias) Shown(_ directory.ID, person xmpp.JID) bool {
	_, member := a.Member(0, person)
	return member || !a.hidden
}

func (a *alias) Picture(directory.ID) (picture.Picture, error) { return picture.Picture{}, nil }

const sales = "sales@conference.example.com"

func newAlias(names ...string) *alias {
	a := &alias{room: muc.Given{ID: 4711, JID: xmpp.MustJID(sales), Name: "Sales"}}
	for _, name := range names {
		a.members = append(a.members, muc.Person{JID: xmpp.MustJID(name + "@example.com"), Nick: name, Affiliation: muc.Member})
	}
	return a
}
