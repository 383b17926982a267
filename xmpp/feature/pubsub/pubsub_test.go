package pubsub_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/disco"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// stage is a house in which presence is only noted: who comes online is available,
// and all of the domain see one another.
type stage struct {
	*featuretest.House
	nodes *pubsub.PubSub
}

func open(t testing.TB) *stage { return openIn(t, t.TempDir()) }

func openIn(t testing.TB, folder string) *stage { return openRated(t, folder, feature.Rate{}) }

func openRated(t testing.TB, folder string, rate feature.Rate) *stage {
	t.Helper()
	s := &stage{}
	s.House = featuretest.Open(t, folder, func(h *feature.Host) []feature.Feature {
		maySee := func(owner directory.ID, contact xmpp.JID) bool {
			u := h.Directory.ByID(owner)
			return u != nil && u.Domain == contact.Domain()
		}
		s.nodes = pubsub.New(h, pubsub.Options{MaySee: maySee, Rate: rate, Limits: func(*directory.User) pubsub.Limits {
			return pubsub.Limits{Nodes: 2000, Bytes: 64 << 20}
		}})
		presence := feature.Feature{Name: "presence", Presence: func(d *feature.Dispatch) (bool, error) {
			if d.Session != nil && d.Stanza.To.IsZero() {
				d.Session.SetPresence(router.Presence{Available: d.Stanza.Type == xmpp.TypeNone, Stanza: d.Stanza.Raw})
			}
			return true, nil
		}}
		accounts := feature.Feature{Name: "accounts", IQ: s.nodes.IQ(feature.Self | feature.Account)}
		return []feature.Feature{s.nodes.Feature(), accounts, presence, disco.New(disco.Options{MaySee: maySee})}
	})
	return s
}

const service = "pubsub.example.com"

// iq makes a request to the service.
func iq(kind, inner string) string {
	return "<iq type='" + kind + "' id='1' to='" + service + "'><pubsub xmlns='" + xmpp.NSPubSub + "'>" + inner + "</pubsub></iq>"
}

// owner makes a request of an owner.
func owner(kind, inner string) string {
	return "<iq type='" + kind + "' id='1' to='" + service + "'><pubsub xmlns='" + xmpp.NSPubSubOwn + "'>" + inner + "</pubsub></iq>"
}

// asks sends a request and returns all that the person hears then.
func asks(t testing.TB, p *featuretest.Person, request string) string {
	t.Helper()
	p.Conn.Left()
	p.Sends(request)
	return strings.Join(p.Conn.Left(), "\n")
}

// does is asks for a request that must be answered by a result.
func does(t testing.TB, p *featuretest.Person, request string) string {
	t.Helper()
	got := asks(t, p, request)
	if !strings.Contains(got, "type='result'") {
		t.Fatalf("%.300s was answered by %.1000s", request, got)
	}
	return got
}

// refused is asks for a request that must be answered by an error.
func refused(t testing.TB, p *featuretest.Person, request, condition string) {
	t.Helper()
	if got := asks(t, p, request); !strings.Contains(got, "type='error'") || !strings.Contains(got, "<"+condition) {
		t.Errorf("%.300s was answered by %.1000s", request, got)
	}
}

// addUsers makes people on the domain.
func (s *stage) addUsers(t testing.TB, n int) {
	t.Helper()
	var all []directory.NewUser
	for i := range n {
		all = append(all, directory.NewUser{Domain: "example.com", Local: fmt.Sprintf("user%d", i)})
	}
	if err := s.Directory.Add(context.Background(), all...); err != nil {
		t.Fatal(err)
	}
}

// Ten thousand affiliations and subscriptions in requests as large as stanzas may
// be: those that a node has no room for are refused, none of the request is done.
func TestManyPeople(t *testing.T) {
	h := open(t)
	romeo := h.Connect(t, "romeo@example.com/orchard")
	does(t, romeo, iq("set", "<create node='n'/>"))
	list := func(from, to int) string {
		var b strings.Builder
		b.WriteString("<affiliations node='n'>")
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "<affiliation jid='user%d@example.com' affiliation='member'/>", i)
		}
		return b.String() + "</affiliations>"
	}
	refused(t, romeo, owner("set", list(0, 10_000)), "resource-constraint")
	if got := does(t, romeo, owner("get", "<affiliations node='n'/>")); strings.Count(got, "<affiliation ") != 1 {
		t.Errorf("%.300s", got)
	}
	does(t, romeo, owner("set", list(0, pubsub.MaxAffiliations-1)))
	refused(t, romeo, owner("set", list(pubsub.MaxAffiliations-1, pubsub.MaxAffiliations)), "resource-constraint")
	if got := does(t, romeo, owner("get", "<affiliations node='n'/>")); strings.Count(got, "<affiliation ") != pubsub.MaxAffiliations {
		t.Errorf("%d are known", strings.Count(got, "<affiliation "))
	}

	const people = 6000
	h.addUsers(t, people)
	subscribe := func(from, to int) string {
		var b strings.Builder
		b.WriteString("<subscriptions node='n'>")
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "<subscription jid='user%d@example.com' subscription='subscribed'/>", i)
		}
		return b.String() + "</subscriptions>"
	}
	if got := asks(t, romeo, owner("set", subscribe(0, 10_000))); !strings.Contains(got, "<not-acceptable") || len(got) > 2<<20 {
		t.Errorf("%.300s", got) // 4,000 of them are nobody
	}
	does(t, romeo, owner("set", subscribe(0, people)))
	seen, after := 0, ""
	for range 10 {
		got := does(t, romeo, owner("get", "<subscriptions node='n'/><set xmlns='"+xmpp.NSRSM+"'>"+after+"</set>"))
		if len(got) > 1<<20 {
			t.Fatalf("an answer of %d bytes", len(got))
		}
		seen += strings.Count(got, "<subscription ")
		_, last, ok := strings.Cut(got, "<last>")
		if !ok {
			break
		}
		last, _, _ = strings.Cut(last, "</last>")
		after = "<after>" + last + "</after>"
	}
	if seen != people {
		t.Errorf("%d are listed", seen)
	}
	// Who is there is told, and nobody else is looked for for long.
	juliet := h.Connect(t, "user7@example.com/x")
	juliet.Sends("<presence/>")
	juliet.Conn.Left()
	does(t, romeo, iq("set", "<publish node='n'><item id='1'><x xmlns='urn:x'/></item></publish>"))
	if got := strings.Join(juliet.Conn.Left(), ""); strings.Count(got, "<x xmlns='urn:x'/>") != 1 {
		t.Error(got)
	}
}

// Somebody who makes nodes without end comes to one, and those who look get them
// page by page.
func TestManyNodes(t *testing.T) {
	h := open(t)
	romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	const most = 2000
	made := 0
	for i := range most + 10 {
		if strings.Contains(asks(t, romeo, iq("set", fmt.Sprintf("<create node='n%05d'/>", i))), "type='result'") {
			made++
		}
	}
	if made != most {
		t.Errorf("%d were made", made)
	}
	refused(t, romeo, iq("set", "<create/>"), "resource-constraint")
	got := asks(t, juliet, "<iq type='get' id='1' to='"+service+"'><query xmlns='"+xmpp.NSDiscoItems+"'/></iq>")
	if strings.Count(got, "<item ") != 1000 || !strings.Contains(got, "<count>2000</count>") || !strings.Contains(got, "<last>n00999</last>") {
		t.Errorf("%.300s", got)
	}
	got = asks(t, juliet, "<iq type='get' id='1' to='"+service+"'><query xmlns='"+xmpp.NSDiscoItems+"'><set xmlns='"+xmpp.NSRSM+"'><after>n00999</after></set></query></iq>")
	if strings.Count(got, "<item ") != 1000 || !strings.Contains(got, "<last>n01999</last>") {
		t.Errorf("%.300s", got)
	}
	// One who subscribes to all of them comes to an end, too.
	taken := 0
	for i := range most {
		got := asks(t, juliet, iq("set", fmt.Sprintf("<subscribe node='n%05d' jid='juliet@example.com'/>", i)))
		if strings.Contains(got, "type='result'") {
			taken++
		} else if !strings.Contains(got, "<too-many-subscriptions") {
			t.Fatal(got)
		}
	}
	if taken != pubsub.MaxSubscribed {
		t.Errorf("%d subscriptions", taken)
	}
	// Where nodes have moved is remembered of so many.
	for i := range most {
		does(t, romeo, owner("set", fmt.Sprintf("<delete node='n%05d'><redirect uri='xmpp:x'/></delete>", i)))
	}
	does(t, romeo, iq("set", "<create node='m'/>"))
	refused(t, romeo, owner("set", "<delete node='m'><redirect uri='xmpp:x'/></delete>"), "resource-constraint")
	does(t, romeo, owner("set", "<delete node='m'/>"))
	if got := does(t, juliet, iq("get", "<subscriptions/>")); strings.Contains(got, "<subscription ") {
		t.Errorf("%.300s", got)
	}
}

// However long names are, an answer that lists them is one that a client can take,
// and the rest comes page by page.
func TestLongNames(t *testing.T) {
	h := open(t)
	romeo := h.Connect(t, "romeo@example.com/orchard")
	const nodes, items = 400, 300
	for i := range nodes {
		does(t, romeo, iq("set", fmt.Sprintf("<create node='%01023d'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#title'><value>%01023d</value></field></x></configure>", i, i)))
	}
	for i := range items {
		does(t, romeo, iq("set", fmt.Sprintf("<publish node='n'><item id='%03071d'><x xmlns='urn:x'/></item></publish>", i)))
	}
	for node, want := range map[string]int{"": nodes + 1, " node='n'": items} {
		for _, way := range [][2]string{{"<first index=", "before"}, {"<last>", "after"}} {
			seen, set := 0, "<set xmlns='"+xmpp.NSRSM+"'><"+way[1]+"/></set>"
			for range 10 {
				got := asks(t, romeo, "<iq type='get' id='1' to='"+service+"'><query xmlns='"+xmpp.NSDiscoItems+"'"+node+">"+set+"</query></iq>")
				if len(got) > pubsub.MaxAnswer+8<<10 {
					t.Fatalf("an answer of %d bytes", len(got))
				}
				seen += strings.Count(got, "<item ")
				_, id, more := strings.Cut(got, way[0])
				if !more {
					break
				}
				_, id, _ = strings.Cut("x>"+strings.TrimPrefix(id, "'"), ">")
				if at := strings.Index(id, ">"); way[1] == "before" {
					id = id[at+1:]
				}
				id, _, _ = strings.Cut(id, "<")
				set = "<set xmlns='" + xmpp.NSRSM + "'><" + way[1] + ">" + id + "</" + way[1] + "></set>"
			}
			if seen != want {
				t.Errorf("%s: %d of %d are listed", way[1], seen, want)
			}
		}
	}
}

// What has a limit is taken up to it, and not above.
func TestPayloadsAtTheLimits(t *testing.T) {
	h := open(t)
	romeo := h.Connect(t, "romeo@example.com/orchard")
	item := func(size int) string {
		const around = "<x xmlns='urn:x'></x>"
		return iq("set", "<publish node='n'><item id='1'><x xmlns='urn:x'>"+strings.Repeat("a", size-len(around))+"</x></item></publish>")
	}
	does(t, romeo, item(pubsub.MaxPayload))
	refused(t, romeo, item(pubsub.MaxPayload+1), "payload-too-big")
	does(t, romeo, iq("set", "<create node='"+strings.Repeat("n", 1023)+"'/>"))
	refused(t, romeo, iq("set", "<create node='"+strings.Repeat("n", 1024)+"'/>"), "not-acceptable")
	does(t, romeo, iq("set", "<publish node='n'><item id='"+strings.Repeat("i", 3071)+"'><x xmlns='urn:x'/></item></publish>"))
	refused(t, romeo, iq("set", "<publish node='n'><item id='"+strings.Repeat("i", 3072)+"'><x xmlns='urn:x'/></item></publish>"), "not-acceptable")
	var fields strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&fields, "<field var='f%d'><value>%d</value></field>", i, i)
	}
	form := func(fields string) string {
		return owner("set", "<configure node='n'><x xmlns='jabber:x:data' type='submit'>"+fields+"</x></configure>")
	}
	does(t, romeo, form(fields.String()))
	refused(t, romeo, form(fields.String()+"<field var='f7'/>"), "bad-request")
	refused(t, romeo, form("<field><value>1</value></field>"), "bad-request")
	refused(t, romeo, form("<field var='pubsub#title'><value>a</value><value>b</value></field>"), "bad-request")
	groups := strings.Repeat("<value>g</value>", 5000)
	does(t, romeo, form("<field var='pubsub#roster_groups_allowed'>"+groups+"</field>"))
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "<value>g%d</value>", i)
	}
	refused(t, romeo, form("<field var='pubsub#roster_groups_allowed'>"+many.String()+"</field>"), "not-acceptable")
	does(t, romeo, form("<field var='pubsub#title'/><field var='pubsub#max_items'/>")) // nothing said: nothing changed
}

// A new address is written where the old one was, and the account it is of stays
// the same.
func TestRenamedUser(t *testing.T) {
	h := open(t)
	romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	does(t, juliet, iq("set", "<create node='hers'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>whitelist</value></field></x></configure>"))
	does(t, juliet, owner("set", "<affiliations node='hers'><affiliation jid='romeo@example.com' affiliation='publisher'/></affiliations>"))
	does(t, romeo, iq("set", "<subscribe node='hers' jid='romeo@example.com/orchard'/>"))
	does(t, romeo, iq("set", "<create node='his'/>"))
	if err := h.Directory.Update(context.Background(), h.ID("romeo@example.com"), func(u *directory.User) { u.Local = "montague" }); err != nil {
		t.Fatal(err)
	}
	got := does(t, juliet, owner("get", "<affiliations node='hers'/>"))
	if !strings.Contains(got, "jid='montague@example.com' affiliation='publisher'") || strings.Contains(got, "romeo") {
		t.Error(got)
	}
	if got := does(t, juliet, owner("get", "<subscriptions node='hers'/>")); !strings.Contains(got, "jid='montague@example.com/orchard'") {
		t.Error(got)
	}
	montague := h.Connect(t, "montague@example.com/x")
	does(t, montague, owner("set", "<delete node='his'/>"))
}

// What somebody has published where everybody may is not another's to replace or
// retract: neither a stranger's, nor that of who has the address now.
func TestOthersItems(t *testing.T) {
	h := open(t)
	alice, romeo, juliet := h.Connect(t, "alice@example.com/a"), h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	does(t, alice, iq("set", "<create node='wall'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#publish_model'><value>open</value></field></x></configure>"))
	publish, retract := iq("set", "<publish node='wall'><item id='1'><x xmlns='urn:x'/></item></publish>"), iq("set", "<retract node='wall'><item id='1'/></retract>")
	does(t, romeo, publish)
	does(t, romeo, publish)
	refused(t, juliet, publish, "forbidden")
	refused(t, juliet, retract, "forbidden")

	h.Clock.Pass(time.Minute)
	rename := func(old, now string) {
		t.Helper()
		if err := h.Directory.Update(context.Background(), h.ID(old), func(u *directory.User) { u.Local, _, _ = strings.Cut(now, "@") }); err != nil {
			t.Fatal(err)
		}
	}
	rename("romeo@example.com", "montague@example.com")
	rename("juliet@example.com", "romeo@example.com")
	namesake, montague := h.Connect(t, "romeo@example.com/x"), h.Connect(t, "montague@example.com/x")
	refused(t, namesake, publish, "forbidden")
	refused(t, namesake, retract, "forbidden")
	if err := h.Directory.Delete(context.Background(), h.ID("romeo@example.com")); err != nil {
		t.Fatal(err)
	}
	if err := h.Directory.Add(context.Background(), directory.NewUser{Domain: "example.com", Local: "romeo"}); err != nil {
		t.Fatal(err)
	}
	refused(t, h.Connect(t, "romeo@example.com/y"), retract, "forbidden")
	does(t, montague, publish)
	does(t, alice, publish)
	refused(t, montague, retract, "forbidden") // it is hers now
}

// A new address that was not written where the old one was, because the process
// ended, is written at the next start: who gets the old one later inherits nothing.
func TestRenamedBeforeACrash(t *testing.T) {
	folder := t.TempDir()
	t.Run("before", func(t *testing.T) {
		h := openIn(t, folder)
		juliet := h.Connect(t, "juliet@example.com/balcony")
		does(t, juliet, iq("set", "<create node='hers'/>"))
		does(t, juliet, owner("set", "<affiliations node='hers'><affiliation jid='romeo@example.com' affiliation='publisher'/></affiliations>"))
	})
	t.Run("crash", func(t *testing.T) {
		h := featuretest.Open(t, folder, func(*feature.Host) []feature.Feature { return nil })
		if err := h.Directory.Update(context.Background(), h.ID("romeo@example.com"), func(u *directory.User) { u.Local = "montague" }); err != nil {
			t.Fatal(err)
		}
	})
	h := openIn(t, folder)
	juliet := h.Connect(t, "juliet@example.com/balcony")
	if got := does(t, juliet, owner("get", "<affiliations node='hers'/>")); !strings.Contains(got, "jid='montague@example.com' affiliation='publisher'") || strings.Contains(got, "romeo") {
		t.Error(got)
	}
}

// All that was known is known after a restart: people, counts, the service itself.
func TestRestart(t *testing.T) {
	folder := t.TempDir()
	t.Run("before", func(t *testing.T) {
		h := openIn(t, folder)
		romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
		does(t, romeo, iq("set", "<create node='n'/>"))
		does(t, romeo, owner("set", "<affiliations node='n'><affiliation jid='alice@example.com' affiliation='outcast'/></affiliations>"))
		does(t, juliet, iq("set", "<subscribe node='n' jid='juliet@example.com'/>"))
		does(t, romeo, iq("set", "<create node='away'/>"))
		does(t, romeo, owner("set", "<delete node='away'><redirect uri='xmpp:elsewhere'/></delete>"))
	})
	h := openIn(t, folder)
	romeo, juliet, alice := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony"), h.Connect(t, "alice@example.com/a")
	juliet.Sends("<presence/>")
	refused(t, alice, iq("get", "<items node='n'/>"), "forbidden")
	refused(t, alice, iq("get", "<items node='away'/>"), "gone")
	does(t, juliet, iq("set", "<create node='away'/>"))
	does(t, juliet, owner("set", "<delete node='away'/>"))
	does(t, romeo, iq("set", "<publish node='n'><item id='1'><x xmlns='urn:x'/></item></publish>"))
	if got := strings.Join(juliet.Conn.Left(), ""); !strings.Contains(got, "<x xmlns='urn:x'/>") {
		t.Error(got)
	}
	if err := h.Directory.Delete(context.Background(), h.ID("romeo@example.com")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(juliet.Conn.Left(), ""); !strings.Contains(got, "<delete node='n'") {
		t.Error(got)
	}
	err := h.State.View(context.Background(), func(tx store.Tx) error {
		for _, s := range []store.Space{"pubsub.usage", "pubsub.items", "pubsub.ids", "pubsub.people"} {
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

// Nothing is left of somebody who was deleted, nor of where his nodes had gone.
func TestDeletedUser(t *testing.T) {
	h := open(t)
	romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	for _, redirect := range []string{"<redirect uri='xmpp:elsewhere'/>", ""} {
		does(t, romeo, iq("set", "<create node='n'/>"))
		does(t, romeo, owner("set", "<delete node='n'>"+redirect+"</delete>"))
		does(t, romeo, iq("set", "<create node='away'/>"))
		does(t, romeo, owner("set", "<delete node='away'><redirect uri='xmpp:elsewhere'/></delete>"))
	}
	does(t, romeo, iq("set", "<create node='left'/>"))
	alice := h.Connect(t, "alice@example.com/a")
	does(t, alice, iq("set", "<create node='hers'/>"))
	does(t, alice, owner("set", "<delete node='hers'><redirect uri='xmpp:elsewhere'/></delete>"))
	refused(t, juliet, iq("get", "<items node='away'/>"), "gone")
	for _, name := range []string{"romeo", "alice"} {
		if err := h.Directory.Delete(context.Background(), h.ID(name+"@example.com")); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, juliet, iq("get", "<items node='away'/>"), "item-not-found")
	err := h.State.View(context.Background(), func(tx store.Tx) error {
		for _, s := range []store.Space{"pubsub.usage", "pubsub.moved"} {
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

// Domains never see one another: neither the nodes of the other's service, nor
// its users as subscribers or members who can read.
func TestOtherDomain(t *testing.T) {
	h := open(t)
	romeo, other := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@capulet.example/balcony")
	does(t, romeo, iq("set", "<create node='n'/>"))
	refused(t, other, iq("get", "<items node='n'/>"), "remote-server-not-found")
	refused(t, romeo, owner("set", "<subscriptions node='n'><subscription jid='juliet@capulet.example' subscription='subscribed'/></subscriptions>"), "not-acceptable")
	own := strings.ReplaceAll(iq("set", "<create node='n'/>"), service, "pubsub.capulet.example")
	does(t, other, own)
}

func FuzzRequest(f *testing.F) {
	for _, inner := range []string{
		"<create node='m'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#max_items'><value>max</value></field></x></configure>",
		"<publish node='n'><item id='1'><x xmlns='urn:x'/></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>open</value></field></x></publish-options>",
		"<retract node='n' notify='1'><item id='1'/></retract>",
		"<subscribe node='n' jid='romeo@example.com'/>", "<unsubscribe node='n' jid='romeo@example.com/x'/>",
		"<items node='n' max_items='1'><item id='1'/></items><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set>",
		"<affiliations node='n'><affiliation jid='juliet@example.com' affiliation='owner'/></affiliations>",
		"<subscriptions node='n'><subscription jid='juliet@example.com' subscription='subscribed'/></subscriptions>",
		"<configure node='n'><x xmlns='jabber:x:data' type='submit'/></configure>", "<default/>", "<options/>", "<purge node='n'/>",
		"<delete node='n'><redirect uri='x'/></delete>",
	} {
		f.Add(inner)
	}
	h := open(f)
	f.Fuzz(func(t *testing.T, inner string) {
		romeo := h.Connect(t, "romeo@example.com/orchard")
		romeo.Sends("<presence/>", iq("set", "<create node='n'/>"))
		for _, request := range []string{iq("get", inner), iq("set", inner), owner("get", inner), owner("set", inner)} {
			for _, text := range []string{request, strings.Replace(request, " to='"+service+"'", "", 1)} {
				st, err := xmpp.Parse([]byte(text))
				if err != nil || len(st.Children) != 1 {
					return
				}
				romeo.Conn.Left()
				romeo.Sends(text)
				answers := 0
				for _, got := range romeo.Conn.Left() {
					n, err := xmpp.ParseNode([]byte(got))
					if err != nil {
						t.Fatalf("%s was answered by %s: %v", text, got, err)
					}
					if n.Local == "iq" {
						answers++
					}
				}
				if answers != 1 {
					t.Fatalf("%s was answered %d times: %s", text, answers, h.Logged())
				}
			}
		}
	})
}

func FuzzApproval(f *testing.F) {
	f.Add("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#subscribe_authorization</value></field><field var='pubsub#node'><value>n</value></field><field var='pubsub#subscriber_jid'><value>juliet@example.com</value></field><field var='pubsub#allow'><value>1</value></field></x>")
	h := open(f)
	f.Fuzz(func(t *testing.T, inner string) {
		romeo := h.Connect(t, "romeo@example.com/orchard")
		romeo.Sends("<presence/>", iq("set", "<create node='n'/>"))
		romeo.Conn.Left()
		for _, to := range []string{service, "romeo@example.com"} {
			text := "<message id='1' to='" + to + "'>" + inner + "</message>"
			if _, err := xmpp.Parse([]byte(text)); err != nil {
				return
			}
			romeo.Sends(text)
			for _, got := range romeo.Conn.Left() {
				if _, err := xmpp.ParseNode([]byte(got)); err != nil {
					t.Fatalf("%s was answered by %s: %v", text, got, err)
				}
			}
		}
	})
}

// What was in a node that keeps nothing any more is gone, also when it keeps things again.
func TestTransient(t *testing.T) {
	h := open(t)
	romeo := h.Connect(t, "romeo@example.com/orchard")
	does(t, romeo, iq("set", "<publish node='n'><item id='i'><x xmlns='urn:x'/></item></publish>"))
	persist := func(v string) {
		t.Helper()
		does(t, romeo, owner("set", "<configure node='n'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#node_config</value></field>"+
			"<field var='pubsub#persist_items'><value>"+v+"</value></field></x></configure>"))
	}
	persist("0")
	refused(t, romeo, iq("get", "<items node='n'/>"), "feature-not-implemented")
	persist("1")
	if got := does(t, romeo, iq("get", "<items node='n'/>")); strings.Contains(got, "<item ") {
		t.Error(got)
	}
	if err := h.nodes.Audit(); err != nil {
		t.Error(err)
	}
}

// Where subscribers publish, who may not read the node any more does not, though he
// is still one.
func TestSubscribersPublish(t *testing.T) {
	h := open(t)
	romeo, juliet := h.Connect(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	does(t, romeo, iq("set", "<create node='n'/><configure><x xmlns='jabber:x:data' type='submit'>"+
		"<field var='pubsub#access_model'><value>whitelist</value></field><field var='pubsub#publish_model'><value>subscribers</value></field></x></configure>"))
	affiliation := func(what string) {
		t.Helper()
		does(t, romeo, owner("set", "<affiliations node='n'><affiliation jid='juliet@example.com' affiliation='"+what+"'/></affiliations>"))
	}
	publish := iq("set", "<publish node='n'><item id='i'><x xmlns='urn:x'/></item></publish>")
	affiliation("member")
	refused(t, juliet, publish, "forbidden")
	does(t, juliet, iq("set", "<subscribe node='n' jid='juliet@example.com'/>"))
	does(t, juliet, publish)
	affiliation("none")
	refused(t, juliet, publish, "forbidden")
	affiliation("member")
	does(t, juliet, publish)
}
