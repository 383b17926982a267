package roster

import (
	"context"
	"maps"
	"regexp"
	"strings"
	"testing"

	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/store"
	"confab/xmpp/xmpptest"
)

// house is a server with rosters: romeo, juliet, alice and bob are on
// example.com, carol is disabled; capulet.example has another juliet.
type house struct {
	*featuretest.House
	*Roster
	test testing.TB
}

func newHouse(t testing.TB, o Options) *house { return openHouse(t, t.TempDir(), o) }

func openHouse(t testing.TB, folder string, o Options) *house {
	h := &house{test: t}
	h.House = featuretest.Open(t, folder, func(host *feature.Host) []feature.Feature {
		h.Roster = New(host, o)
		return []feature.Feature{h.Roster.Feature()}
	})
	t.Cleanup(func() {
		if logged := h.Logged(); strings.Contains(logged, "panic") {
			t.Error(logged)
		}
	})
	return h
}

// connect binds sessions that have done nothing yet.
func (h *house) connect(full string) *person {
	return &person{h.Connect(h.test, full), h.test}
}

// online binds a session that knows its roster and is available; what it hears
// of it is passed over.
func (h *house) online(full string) *person {
	h.test.Helper()
	p := h.connect(full)
	p.Sends("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>", "<presence/>")
	p.quiet()
	return p
}

func (h *house) update(bare string, fn func(*directory.User)) {
	h.test.Helper()
	if err := h.Directory.Update(context.Background(), h.ID(bare), fn); err != nil {
		h.test.Fatal(err)
	}
}

type person struct {
	*featuretest.Person
	test testing.TB
}

// hears checks what a person has heard since the last call, in this order. The
// ids of pushes and the versions are stars.
func (p *person) hears(want ...string) {
	p.test.Helper()
	got := p.heard()
	if canonical(p.test, got) != canonical(p.test, strings.Join(want, "")) {
		p.test.Errorf("%s heard\n\t%s\nand should have heard\n\t%s", p.JID(),
			strings.ReplaceAll(got, "><", ">\n\t<"), strings.Join(want, "\n\t"))
	}
}

// quiet passes over what a person has heard.
func (p *person) quiet() { p.Conn.Left() }

var (
	pushID  = regexp.MustCompile(`id='push\w+'`)
	verText = regexp.MustCompile(`ver='[^']+'`)
)

func (p *person) heard() string {
	got := strings.Join(p.Conn.Left(), "")
	return verText.ReplaceAllString(pushID.ReplaceAllString(got, "id='*'"), "ver='*'")
}

// version returns the version of the last roster or push that a person heard,
// and all that was heard since the last look.
func (p *person) version() (ver, heard string) {
	heard = strings.Join(p.Conn.Left(), "")
	all := verText.FindAllString(heard, -1)
	if len(all) == 0 {
		return "", heard
	}
	last := all[len(all)-1]
	return last[len("ver='") : len(last)-1], heard
}

var items = regexp.MustCompile(`<item jid='([^']*)'(?: \w+='[^']*')*(?:/>|>.*?</item>)`)

// apply makes of a client's roster what a result or pushes say.
func apply(roster map[string]string, heard string) map[string]string {
	next := maps.Clone(roster)
	for _, m := range items.FindAllStringSubmatch(heard, -1) {
		if next[m[1]] = m[0]; strings.Contains(m[0], "subscription='remove'") {
			delete(next, m[1])
		}
	}
	return next
}

// breaksAnywhere checks that a client which lost its connection after any of the
// pushes it heard comes to the same roster in the end. first is the result
// that it had before.
func (p *person) breaksAnywhere(first, heard string) {
	p.test.Helper()
	roster := apply(map[string]string{}, first)
	want := apply(roster, heard)
	ver := verText.FindString(first)
	pushes := strings.SplitAfter(heard, "</iq>")
	for i, push := range pushes {
		if v := verText.FindString(push); v != "" {
			ver = v
		}
		roster = apply(roster, push)
		p.Sends(getSince(ver[len("ver='") : len(ver)-1]))
		if got := apply(roster, p.heard()); !maps.Equal(got, want) {
			p.test.Errorf("broken after %q, the roster is\n\t%v\nand should be\n\t%v", pushes[:i+1], got, want)
		}
	}
}

// push is a push of items as a person hears it.
func (p *person) push(item string) string {
	return "<iq type='set' id='*' to='" + p.JID().String() + "'><query xmlns='jabber:iq:roster' ver='*'>" + item + "</query></iq>"
}

func (p *person) result(id, items string) string {
	return "<iq type='result' id='" + id + "' to='" + p.JID().String() + "'><query xmlns='jabber:iq:roster' ver='*'>" + items + "</query></iq>"
}

func (p *person) done(id string) string {
	return "<iq type='result' id='" + id + "' to='" + p.JID().String() + "'/>"
}

func canonical(t testing.TB, s string) string {
	t.Helper()
	c, err := xmpptest.Canonical(s)
	if err != nil {
		t.Errorf("%s: %v", s, err)
	}
	return strings.ReplaceAll(c, "><", ">\n<")
}

func set(id, item string) string {
	return "<iq type='set' id='" + id + "'><query xmlns='jabber:iq:roster'>" + item + "</query></iq>"
}

const get = "<iq type='get' id='get'><query xmlns='jabber:iq:roster'/></iq>"

func getSince(ver string) string {
	return "<iq type='get' id='get'><query xmlns='jabber:iq:roster' ver='" + ver + "'/></iq>"
}

// records counts what the store keeps of a user's list.
func (h *house) records(id directory.ID) (n int) {
	err := h.State.View(context.Background(), func(tx store.Tx) error {
		if tx.Get(space, keyMeta(id)) != nil {
			n++
		}
		for range tx.Scan(space, store.Range{Prefix: prefixItems(id)}) {
			n++
		}
		return nil
	})
	if err != nil {
		h.test.Error(err)
	}
	return n
}
