package usersearch_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/usersearch"
)

type house struct {
	*featuretest.House
	romeo *featuretest.Person
}

func open(t *testing.T) *house {
	h := &house{House: featuretest.New(t, func(*feature.Host) []feature.Feature { return []feature.Feature{usersearch.New()} })}
	users := []directory.NewUser{
		{Local: "jmueller", Name: "Jürgen Müller"}, {Local: "o'brien", Name: "Miles Edward O'Brien"},
		{Local: "ghost", Name: "Jürgen Ghost", Hidden: true}, {Local: "left", Name: "Jürgen Left", Disabled: true},
		{Local: "noname"}, {Local: "xu", Name: "徐悲鸿"},
	}
	for i := range users {
		users[i].Domain = "example.com"
	}
	users = append(users, directory.NewUser{Domain: "capulet.example", Local: "jm", Name: "Jürgen Müller"})
	if err := h.Directory.Add(context.Background(), users...); err != nil {
		t.Fatal(err)
	}
	h.romeo = h.Connect(t, "romeo@example.com/orchard")
	return h
}

// ask sends a request and returns the answer.
func (h *house) ask(t *testing.T, kind, inside string) string {
	t.Helper()
	h.romeo.Sends("<iq type='" + kind + "' id='1' to='search.example.com'><query xmlns='jabber:iq:search'>" + inside + "</query></iq>")
	left := h.romeo.Conn.Left()
	if len(left) != 1 {
		t.Fatalf("heard %q", left)
	}
	return left[0]
}

var jids = regexp.MustCompile(`jid='([^']*)'|var='jid'[^>]*><value>([^<]*)`)

// found returns the localparts that an answer names.
func found(answer string) string {
	var list []string
	for _, m := range jids.FindAllStringSubmatch(answer, -1) {
		local, _, _ := strings.Cut(m[1]+m[2], "@")
		list = append(list, local)
	}
	return strings.Join(list, " ")
}

func TestFound(t *testing.T) {
	h := open(t)
	for _, test := range []struct{ inside, want string }{
		{"<first>jurgen</first>", "jmueller"},
		{"<first>JÜR</first>", "jmueller"},
		{"<last>müller</last>", "jmueller"},
		{"<first>jürgen</first><last>obrien</last>", ""},
		{"<nick>iles edw</nick>", `o\27brien`},
		{"<nick>o&apos;br</nick>", `o\27brien`},
		{"<email>mueller@example</email>", "jmueller"},
		{"<email>o'brien@</email>", `o\27brien`},
		{"<nick>noname</nick>", "noname"},
		{"<nick>悲</nick>", "xu"},
		{"<nick>*uelle*</nick>", "jmueller"},
		{"<nick>ghost</nick>", ""},
		{"<nick>left</nick>", ""},
		{"<email>capulet.example</email>", ""},
		{"<email>@example.com</email>", `alice bob jmueller juliet noname o\27brien romeo xu`},
		{"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>jabber:iq:search</value></field><field var='first'><value>jürgen</value></field><field var='x-other'><value>1</value></field></x>", "jmueller"},
		{"<x xmlns='jabber:x:data' type='submit'><field var='last'><value>nobody</value></field></x>", ""},
	} {
		got := h.ask(t, "set", test.inside)
		if found(got) != test.want || !strings.Contains(got, "type='result'") {
			t.Errorf("%s: %s", test.inside, got)
		}
	}
	// What changes is found at once.
	ctx, id := context.Background(), h.ID("noname@example.com")
	if err := h.Directory.Update(ctx, id, func(u *directory.User) { u.Name = "Somebody" }); err != nil {
		t.Fatal(err)
	}
	if got := h.ask(t, "set", "<first>some</first>"); found(got) != "noname" {
		t.Error(got)
	}
}

func TestAnswers(t *testing.T) {
	h := open(t)
	result := func(inside string) string {
		return "<iq type='result' id='1' from='search.example.com' to='romeo@example.com/orchard'>" + inside + "</iq>"
	}
	for _, test := range []struct{ inside, want string }{
		{"<first>miles</first>", "<query xmlns='jabber:iq:search'><item jid='o\\27brien@example.com'>" +
			"<first>Miles Edward</first><last>O'Brien</last><nick>Miles Edward O'Brien</nick><email>o'brien@example.com</email></item></query>"},
		{"<first>nobody</first>", "<query xmlns='jabber:iq:search'/>"},
		{"<nick>noname</nick><set xmlns='http://jabber.org/protocol/rsm'><max>5</max></set>",
			"<query xmlns='jabber:iq:search'><item jid='noname@example.com'><first/><last/><nick>noname</nick><email>noname@example.com</email></item>" +
				"<set xmlns='http://jabber.org/protocol/rsm'><first index='0'>noname</first><last>noname</last><count>1</count></set></query>"},
		{"<x xmlns='jabber:x:data' type='submit'><field var='nick'><value>xu</value></field></x>",
			"<query xmlns='jabber:iq:search'><x xmlns='jabber:x:data' type='result'>" +
				"<field var='FORM_TYPE' type='hidden'><value>jabber:iq:search</value></field><reported>" +
				"<field var='jid' type='jid-single' label='XMPP address'/><field var='first' type='text-single' label='Given name'/>" +
				"<field var='last' type='text-single' label='Family name'/><field var='nick' type='text-single' label='Name'/>" +
				"<field var='email' type='text-single' label='Address'/></reported><item><field var='jid'><value>xu@example.com</value></field>" +
				"<field var='first'><value>徐悲鸿</value></field><field var='last'><value/></field><field var='nick'><value>徐悲鸿</value></field>" +
				"<field var='email'><value>xu@example.com</value></field></item></x></query>"},
	} {
		h.romeo.Sends("<iq type='set' id='1' to='search.example.com'><query xmlns='jabber:iq:search'>" + test.inside + "</query></iq>")
		h.romeo.Hears(result(test.want))
	}
	if got := h.ask(t, "get", ""); !strings.Contains(got, "<first/><last/><nick/><email/><x xmlns='jabber:x:data' type='form'>") {
		t.Error(got)
	}
}

func TestRefused(t *testing.T) {
	h := open(t)
	for _, test := range []struct{ inside, condition string }{
		{"", "bad-request"},
		{"<first/>", "bad-request"},
		{"<first> * </first>", "bad-request"},
		{"<first>" + strings.Repeat("x", 201) + "</first>", "not-acceptable"},
		{"<x xmlns='jabber:x:data' type='cancel'/>", "bad-request"},
		{"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>other</value></field><field var='first'><value>x</value></field></x>", "bad-request"},
		{"<x xmlns='jabber:x:data' type='submit'><field var='first'><value>x</value><value>y</value></field></x>", "bad-request"},
		{"<first>a</first><set xmlns='http://jabber.org/protocol/rsm'><max>x</max></set>", "bad-request"},
		{"<first>a</first><set xmlns='http://jabber.org/protocol/rsm'><after>nobody</after></set>", "item-not-found"},
		{"<first>a</first><set xmlns='http://jabber.org/protocol/rsm'><index>99</index></set>", "item-not-found"},
	} {
		if got := h.ask(t, "set", test.inside); !strings.Contains(got, "<"+test.condition+" ") {
			t.Errorf("%.80s: %s", test.inside, got)
		}
	}
	// It is for the people of the domain, at its one address.
	capulet := h.Connect(t, "juliet@capulet.example/balcony")
	capulet.Sends("<iq type='set' id='1' to='search.example.com'><query xmlns='jabber:iq:search'><first>a</first></query></iq>")
	if got := strings.Join(capulet.Conn.Left(), ""); !strings.Contains(got, "type='error'") {
		t.Errorf("the other domain hears %s", got)
	}
	h.romeo.Sends("<iq type='get' id='1' to='x@search.example.com'><query xmlns='jabber:iq:search'/></iq>")
	if got := strings.Join(h.romeo.Conn.Left(), ""); !strings.Contains(got, "<service-unavailable ") {
		t.Error(got)
	}
	st, err := xmpp.Parse([]byte("<iq type='set' id='1' to='search.example.com'><query xmlns='jabber:iq:search'><first>a</first></query></iq>"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Table.Inject(xmpp.MustJID("somebody@elsewhere.example"), st); err == nil {
		t.Error("somebody from elsewhere gets an answer")
	}
}

// An answer is bounded, and the rest is had page by page (XEP-0059).
func TestPages(t *testing.T) {
	h := open(t)
	var users []directory.NewUser
	for i := range 250 {
		users = append(users, directory.NewUser{Domain: "example.com", Local: fmt.Sprintf("user%03d", i), Name: "Many"})
	}
	if err := h.Directory.Add(context.Background(), users...); err != nil {
		t.Fatal(err)
	}
	count := func(set string) (n int, answer string) {
		answer = h.ask(t, "set", "<first>many</first>"+set)
		return strings.Count(answer, "<item "), answer
	}
	if n, _ := count(""); n != 100 {
		t.Errorf("%d without a page", n)
	}
	for _, test := range []struct {
		set, first, last string
		index, n         int
	}{
		{"<max>1000</max>", "user000", "user099", 0, 100},
		{"<max>10</max><after>user099</after>", "user100", "user109", 100, 10},
		{"<max>100</max><after>user239</after>", "user240", "user249", 240, 10},
		{"<max>10</max><before/>", "user240", "user249", 240, 10},
		{"<max>10</max><before>user005</before>", "user000", "user004", 0, 5},
		{"<max>10</max><index>7</index>", "user007", "user016", 7, 10},
	} {
		n, answer := count("<set xmlns='http://jabber.org/protocol/rsm'>" + test.set + "</set>")
		want := fmt.Sprintf("<first index='%d'>%s</first><last>%s</last><count>250</count>", test.index, test.first, test.last)
		if n != test.n || !strings.Contains(answer, want) {
			t.Errorf("%s: %d items, %s", test.set, n, answer[max(0, len(answer)-200):])
		}
	}
	if n, answer := count("<set xmlns='http://jabber.org/protocol/rsm'><max>0</max></set>"); n != 0 || !strings.Contains(answer, "<count>250</count>") {
		t.Errorf("counting only: %s", answer)
	}
}
