package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature/featuretest"
)

// Clients that remember what they are told of nodes agree at any time with what is
// in them, whatever is done to the nodes; and nobody is told of what he may not read.
func TestTold(t *testing.T) {
	for seed := range uint64(5) {
		w := newTold(t, seed, t.TempDir())
		for range 150 {
			if w.step(); t.Failed() {
				t.Logf("seed %d:\n%s", seed, strings.Join(w.done, "\n"))
				return
			}
		}
	}
}

// What is counted of nodes, and what is in memory of them, is what is on disk,
// whatever is done, also to who owns them.
func TestCounted(t *testing.T) {
	for seed := range uint64(5) {
		folder := t.TempDir()
		w := newTold(t, seed, folder)
		w.wild = true
		for i := range 300 {
			w.n++
			by := pick(w, w.all...)
			switch w.rand.IntN(60) {
			case 0:
				w.becomes(by, func(u *directory.User) error {
					return w.Directory.Update(context.Background(), u.ID, func(u *directory.User) { u.Local = fmt.Sprint("somebody", w.n) })
				}, fmt.Sprint("somebody", w.n))
			case 1:
				name, _, _ := strings.Cut(by.bare, "@")
				w.becomes(by, func(u *directory.User) error {
					if err := w.Directory.Delete(context.Background(), u.ID); err != nil {
						return err
					}
					return w.Directory.Add(context.Background(), directory.NewUser{Domain: "example.com", Local: name})
				}, name)
			default:
				home := pick(w, service, w.all[0].bare, w.all[1].bare)
				w.do(by, spot{home, pick(w, "a", "b", "c")})
			}
			for _, k := range w.all {
				k.Conn.Left()
			}
			w.Clock.Pass(pick(w, 0, time.Second, time.Minute))
			if err := w.nodes.Audit(); err != nil {
				t.Fatalf("seed %d, step %d: %v\n%s", seed, i, err, strings.Join(w.done, "\n"))
			}
		}
		w.Clock.Pass(3 * time.Hour) // all that is to go by itself has gone
		err := w.nodes.Audit()
		w.State.Close()
		w.Held.Close()
		if err = errors.Join(err, openIn(t, folder).nodes.Audit()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The same, with everybody at it at once.
func TestCountedAtOnce(t *testing.T) {
	w := newTold(t, 1, t.TempDir())
	var all sync.WaitGroup
	for i, k := range w.all {
		mine := *w
		mine.wild, mine.rand = true, rand.New(rand.NewPCG(uint64(i), 2))
		all.Go(func() {
			for range 300 {
				mine.n++
				mine.do(k, pick(&mine, spots...))
				k.Conn.Left()
			}
		})
	}
	all.Wait()
	if err := w.nodes.Audit(); err != nil {
		t.Error(err)
	}
}

// becomes changes who somebody is, who comes online as that.
func (w *told) becomes(k *knowing, change func(*directory.User) error, name string) {
	w.t.Helper()
	w.Table.End(k.Session)
	if err := change(w.Directory.User(xmpp.MustJID(k.bare))); err != nil {
		w.t.Fatal(err)
	}
	w.done = append(w.done, k.bare+" is "+name+" now, or anew")
	k.bare = name + "@example.com"
	k.Person = w.Connect(w.t, k.bare+"/x")
	w.appear(k)
}

// told is a world of four people, each with one client, and the nodes a and b of
// two of them and of the service.
type told struct {
	*stage
	t    *testing.T
	rand *rand.Rand
	all  []*knowing
	done []string
	n    int
	wild bool // more is done than everybody is told of
}

// knowing is a client that remembers what it is told.
type knowing struct {
	*featuretest.Person
	bare       string
	online     bool
	views      map[spot]map[string]string // of what it listens to: payloads by id
	heard      map[spot]string            // in this step, the id of the last item
	came       bool                       // in this step, as the next
	subscribed spot
}

type spot struct{ home, node string }

var spots = []spot{
	{"romeo@example.com", "a"}, {"romeo@example.com", "b"}, {"juliet@example.com", "a"}, {"juliet@example.com", "b"}, {service, "a"}, {service, "b"},
}

func newTold(t *testing.T, seed uint64, folder string) *told {
	w := &told{stage: openIn(t, folder), t: t, rand: rand.New(rand.NewPCG(seed, 1))}
	for _, name := range []string{"romeo", "juliet", "alice", "bob"} {
		k := &knowing{Person: w.Connect(t, name+"@example.com/x"), bare: name + "@example.com", views: map[spot]map[string]string{}, heard: map[spot]string{}}
		w.all = append(w.all, k)
		w.appear(k)
	}
	return w
}

// appear has a client come online, and say that it wants to hear of a and b.
func (w *told) appear(k *knowing) {
	k.online = true
	k.Sends("<presence><c xmlns='" + xmpp.NSCaps + "' hash='none' node='urn:x' ver='" + fmt.Sprint(w.rand.Uint64()) + "'/></presence>")
	for _, s := range k.Conn.Left() {
		n, err := xmpp.ParseNode([]byte(s))
		if err != nil {
			w.t.Fatal(err)
		}
		if n.Local == "iq" {
			k.Sends("<iq type='result' to='example.com' id='" + n.Attr("id") + "'><query xmlns='" + xmpp.NSDiscoInfo +
				"'><identity category='client' type='pc'/><feature var='a+notify'/><feature var='b+notify'/></query></iq>")
			continue
		}
		w.hear(k, n)
	}
}

func pick[T any](w *told, all ...T) T { return all[w.rand.IntN(len(all))] }

// step does something, and checks what everybody knows.
func (w *told) step() {
	for _, k := range w.all {
		k.heard, k.came, k.subscribed = map[spot]string{}, false, spot{}
	}
	w.n++
	by, at := pick(w, w.all...), pick(w, spots...)
	reset := w.do(by, at)
	w.Clock.Pass(time.Second)
	for _, k := range w.all {
		w.listen(k)
		if reset {
			delete(k.views, at)
		}
	}
	for _, k := range w.all {
		for _, at := range spots {
			w.check(k, at)
		}
	}
}

// do has somebody do something. reset says that not everybody is told all of it.
func (w *told) do(by *knowing, at spot) (reset bool) {
	other := pick(w, w.all...)
	ask := func(space, inner string) {
		request := "<iq type='set' id='do' to='" + at.home + "'><pubsub xmlns='" + space + "'>" + inner + "</pubsub></iq>"
		by.Sends(request)
		w.done = append(w.done, by.bare+": "+request)
	}
	node := " node='" + at.node + "'"
	id := pick(w, "1", "2", "3", "4")
	config := "<x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>" + pick(w, "open", "presence", "whitelist", "authorize") +
		"</value></field><field var='pubsub#max_items'><value>" + pick(w, "2", "3", "max") +
		"</value></field><field var='pubsub#publish_model'><value>" + pick(w, "open", "publishers", "subscribers") + "</value></field></x>"
	if w.wild && w.rand.IntN(3) == 0 {
		config = strings.Replace(config, "</x>", "<field var='pubsub#item_expire'><value>"+pick(w, "2", "60", "5000")+"</value></field>"+
			"<field var='pubsub#persist_items'><value>"+pick(w, "1", "1", "0")+"</value></field></x>", 1)
	}
	switch w.rand.IntN(14) {
	case 0, 1, 2, 3:
		ask(xmpp.NSPubSub, fmt.Sprintf("<publish%s><item id='%s'><x xmlns='urn:x'>%d</x></item></publish>", node, id, w.n))
		return !w.wild && w.single(at)
	case 4, 5:
		ask(xmpp.NSPubSub, "<retract notify='1'"+node+"><item id='"+id+"'/></retract>")
	case 6:
		ask(xmpp.NSPubSubOwn, "<purge"+node+"/>")
	case 7:
		if w.rand.IntN(4) == 0 {
			ask(xmpp.NSPubSubOwn, "<delete"+node+">"+pick(w, "", "<redirect uri='xmpp:elsewhere'/>")+"</delete>")
		}
	case 8:
		ask(xmpp.NSPubSub, "<create"+node+"/><configure>"+config+"</configure>")
	case 9:
		ask(xmpp.NSPubSubOwn, "<configure"+node+">"+config+"</configure>")
		return true // fewer may be kept
	case 10:
		ask(xmpp.NSPubSubOwn, "<affiliations"+node+"><affiliation jid='"+other.bare+"' affiliation='"+
			pick(w, "none", "member", "publisher", "publish-only", "outcast", "owner")+"'/></affiliations>")
	case 11:
		what, jid := pick(w, "subscribe", "subscribe", "unsubscribe"), by.bare
		if w.wild {
			jid += pick(w, "", "/x", "/y")
		}
		ask(xmpp.NSPubSub, "<"+what+node+" jid='"+jid+"'/>")
		if what == "subscribe" && at.home == service {
			by.subscribed = at
		}
	case 12:
		ask(xmpp.NSPubSubOwn, "<subscriptions"+node+"><subscription jid='"+other.bare+"' subscription='"+pick(w, "none", "subscribed")+"'/></subscriptions>")
	case 13:
		w.done = append(w.done, by.bare+" goes or comes")
		if by.online {
			by.online, by.views = false, map[spot]map[string]string{}
			by.Sends("<presence type='unavailable'/>")
		} else {
			by.came = true
			w.appear(by)
		}
	}
	return false
}

// single reports whether a node keeps one item, the old one of which goes unsaid.
func (w *told) single(at spot) bool {
	return slices.ContainsFunc(w.all, func(k *knowing) bool {
		return strings.Contains(w.get(k, at, xmpp.NSPubSubOwn, "configure"), "pubsub#max_items' type='text-single' label='How many items are kept'><value>1<")
	})
}

// get asks for something of a node, and returns the answer.
func (w *told) get(k *knowing, at spot, space, what string) string {
	w.listen(k)
	k.Sends("<iq type='get' id='get' to='" + at.home + "'><pubsub xmlns='" + space + "'><" + what + " node='" + at.node + "'/></pubsub></iq>")
	return strings.Join(k.Conn.Left(), "")
}

// listen takes note of what a client has been told.
func (w *told) listen(k *knowing) {
	for _, s := range k.Conn.Left() {
		n, err := xmpp.ParseNode([]byte(s))
		if err != nil {
			w.t.Fatal(err)
		}
		w.hear(k, n)
	}
}

func (w *told) hear(k *knowing, n *xmpp.Node) {
	event := n.Child(xmpp.NSPubSubEv, "event")
	if event == nil {
		return
	}
	e := event.Children[0]
	at := spot{n.Attr("from"), e.Attr("node")}
	view := k.views[at]
	if !k.online {
		w.t.Errorf("%s is offline and hears %s", k.bare, n.Append(nil))
	}
	switch e.Local {
	case "items":
		for _, c := range e.Children {
			if c.Local == "item" {
				k.heard[at] = c.Attr("id")
			}
			switch {
			case view == nil:
			case c.Local == "item":
				view[c.Attr("id")] = c.ChildText("urn:x", "x")
			case c.Local == "retract":
				delete(view, c.Attr("id"))
			}
		}
	case "purge", "delete":
		clear(view)
	}
}

// check holds what a client knows against what it may read.
func (w *told) check(k *knowing, at spot) {
	answer := w.get(k, at, xmpp.NSPubSub, "items")
	n, err := xmpp.ParseNode([]byte(answer))
	if err != nil {
		w.t.Fatalf("%s: %v", answer, err)
	}
	if n.Attr("type") == "error" {
		gone := strings.Contains(answer, "<item-not-found") || strings.Contains(answer, "<gone")
		if k.heard[at] != "" && !gone {
			w.t.Errorf("%s hears of %s what he may not read: %s", k.bare, at, answer)
		}
		if len(k.views[at]) > 0 && gone {
			w.t.Errorf("%s believes that there is %s: %v", k.bare, at, k.views[at])
		}
		delete(k.views, at)
		return
	}
	there, last := map[string]string{}, ""
	for _, c := range n.Child(xmpp.NSPubSub, "pubsub").Child(xmpp.NSPubSub, "items").Children {
		last = c.Attr("id")
		there[last] = c.ChildText("urn:x", "x")
	}
	if at.home == service && !strings.Contains(w.get(k, at, xmpp.NSPubSub, "subscriptions"), "subscription='subscribed'") || !k.online {
		delete(k.views, at)
		return
	}
	if (k.came || k.subscribed == at) && k.heard[at] != last {
		w.t.Errorf("%s has come and heard of %q, not of %q as the last of %s", k.bare, k.heard[at], last, at)
	}
	if view := k.views[at]; view == nil {
		k.views[at] = there
	} else if !maps.Equal(view, there) {
		w.t.Errorf("%s believes that %s has %v, and it has %v", k.bare, at, view, there)
	}
}
