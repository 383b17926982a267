package roster

import (
	"fmt"
	"strings"
	"testing"

	"confab/xmpp/directory"
)

var plain = Options{Mode: Off}

// RFC 6121 §3.1: juliet subscribes to romeo and he to her.
func TestSubscribing(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")

	juliet.Sends("<presence type='subscribe' to='romeo@example.com/orchard' id='s'><status>Hi</status></presence>")
	romeo.hears("<presence from='juliet@example.com' to='romeo@example.com' type='subscribe' id='s'><status>Hi</status></presence>")
	juliet.hears(juliet.push("<item jid='romeo@example.com' subscription='none' ask='subscribe'/>"))

	romeo.Sends("<presence type='subscribed' to='juliet@example.com'/>")
	romeo.hears(romeo.push("<item jid='juliet@example.com' subscription='from'/>"))
	juliet.hears("<presence from='romeo@example.com' to='juliet@example.com' type='subscribed'/>",
		juliet.push("<item jid='romeo@example.com' subscription='to'/>"),
		"<presence from='romeo@example.com/orchard' to='juliet@example.com'/>")

	romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	juliet.quiet()
	juliet.Sends("<presence type='subscribed' to='romeo@example.com'/>")
	juliet.hears(juliet.push("<item jid='romeo@example.com' subscription='both'/>"))
	romeo.hears(romeo.push("<item jid='juliet@example.com' subscription='from' ask='subscribe'/>"),
		"<presence from='juliet@example.com' to='romeo@example.com' type='subscribed'/>",
		romeo.push("<item jid='juliet@example.com' subscription='both'/>"),
		"<presence from='juliet@example.com/balcony' to='romeo@example.com'/>")

	// Asked again, the server answers for her, and his state has no use for it (§A.3.1, §A.3.3).
	romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	juliet.hears()
	romeo.hears()

	// §3.2: she no longer lets him see her.
	juliet.Sends("<presence type='unsubscribed' to='romeo@example.com'/>")
	juliet.hears(juliet.push("<item jid='romeo@example.com' subscription='to'/>"))
	romeo.hears("<presence from='juliet@example.com/balcony' type='unavailable' to='romeo@example.com'/>",
		"<presence from='juliet@example.com' to='romeo@example.com' type='unsubscribed'/>",
		romeo.push("<item jid='juliet@example.com' subscription='from'/>"))

	// §3.3: she no longer wants to see him.
	juliet.Sends("<presence type='unsubscribe' to='romeo@example.com'/>")
	romeo.hears("<presence from='juliet@example.com' to='romeo@example.com' type='unsubscribe'/>",
		romeo.push("<item jid='juliet@example.com' subscription='none'/>"))
	juliet.hears("<presence from='romeo@example.com/orchard' type='unavailable' to='juliet@example.com'/>",
		juliet.push("<item jid='romeo@example.com' subscription='none'/>"))
}

// mutual makes two people each other's contacts.
func mutual(a, b *person) {
	for _, p := range [][2]*person{{a, b}, {b, a}} {
		p[0].Sends("<presence type='subscribe' to='" + p[1].JID().Bare().String() + "'/>")
		p[1].Sends("<presence type='subscribed' to='" + p[0].JID().Bare().String() + "'/>")
	}
	a.quiet()
	b.quiet()
}

// RFC 6121 §2.5.2: removing a contact cancels both subscriptions.
func TestRemovingAContact(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	mutual(romeo, juliet)
	romeo.Sends(set("r", "<item jid='juliet@example.com' subscription='remove'/>"))
	romeo.hears("<presence from='juliet@example.com/balcony' type='unavailable' to='romeo@example.com'/>",
		romeo.push("<item jid='juliet@example.com' subscription='remove'/>"), romeo.done("r"))
	juliet.hears("<presence from='romeo@example.com/orchard' type='unavailable' to='juliet@example.com'/>",
		"<presence from='romeo@example.com' to='juliet@example.com' type='unsubscribe'/>",
		juliet.push("<item jid='romeo@example.com' subscription='to'/>"),
		"<presence from='romeo@example.com' to='juliet@example.com' type='unsubscribed'/>",
		juliet.push("<item jid='romeo@example.com' subscription='none'/>"))
	romeo.Sends("<presence><show>away</show></presence>")
	juliet.hears()
}

// RFC 6121 §3.1.3: a request waits until it is answered, and is delivered
// whenever a resource becomes available, with all that was in it.
func TestRequestsWaitForAnAnswer(t *testing.T) {
	folder := t.TempDir()
	t.Run("asked while juliet is away", func(t *testing.T) {
		h := openHouse(t, folder, plain)
		romeo := h.online("romeo@example.com/orchard")
		romeo.Sends("<presence type='subscribe' to='juliet@example.com'><x xmlns='test:x'>Hi</x></presence>",
			"<presence type='subscribe' to='juliet@example.com'><x xmlns='test:x'>again</x></presence>")
		romeo.hears(romeo.push("<item jid='juliet@example.com' subscription='none' ask='subscribe'/>"))
	})
	h := openHouse(t, folder, plain)
	request := "<presence from='romeo@example.com' to='juliet@example.com' type='subscribe'><x xmlns='test:x'>Hi</x></presence>"
	for _, resource := range []string{"/balcony", "/chamber"} {
		juliet := h.connect("juliet@example.com" + resource)
		juliet.Sends(get)
		juliet.hears(juliet.result("get", "")) // §A.1: not in the list before it is answered
		juliet.Sends("<presence/>")
		if got := juliet.heard(); strings.Count(got, request) != 1 {
			t.Errorf("%s heard %s", juliet.JID(), got)
		}
		juliet.Sends("<presence/>")
		if got := juliet.heard(); strings.Contains(got, "subscribe") {
			t.Errorf("%s heard %s", juliet.JID(), got)
		}
	}
	juliet := h.online("juliet@example.com/garden")
	juliet.Sends("<presence type='unsubscribed' to='romeo@example.com'/>")
	juliet.hears()
	juliet = h.connect("juliet@example.com/hall")
	juliet.Sends("<presence/>")
	if got := juliet.heard(); strings.Contains(got, "subscribe") {
		t.Errorf("after the refusal: %s", got)
	}
	romeo := h.connect("romeo@example.com/orchard")
	romeo.Sends(get)
	romeo.hears(romeo.result("get", "<item jid='juliet@example.com' subscription='none'/>"))
}

// RFC 6121 §3.4: the answer before the question.
func TestPreApproval(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	juliet.Sends("<presence type='subscribed' to='romeo@example.com'/>")
	juliet.hears(juliet.push("<item jid='romeo@example.com' subscription='none' approved='true'/>"))
	romeo.hears()
	juliet.Sends("<presence type='unsubscribed' to='romeo@example.com'/>")
	juliet.hears(juliet.push("<item jid='romeo@example.com' subscription='none'/>"))
	romeo.hears()
	juliet.Sends("<presence type='subscribed' to='romeo@example.com'/>")
	juliet.quiet()

	romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	juliet.hears(juliet.push("<item jid='romeo@example.com' subscription='from'/>"))
	romeo.hears(romeo.push("<item jid='juliet@example.com' subscription='none' ask='subscribe'/>"),
		"<presence from='juliet@example.com' to='romeo@example.com' type='subscribed'/>",
		romeo.push("<item jid='juliet@example.com' subscription='to'/>"),
		"<presence from='juliet@example.com/balcony' to='romeo@example.com'/>")
}

// RFC 6121 §2.1.5, §2.3.3, §2.5.3, and what the limits are.
func TestRosterSetErrors(t *testing.T) {
	h := newHouse(t, Options{Mode: Off, Limits: Limits{Contacts: 2, NameBytes: 20, Groups: 5}})
	romeo := h.online("romeo@example.com/orchard")
	long, seventeen := strings.Repeat("x", 21), strings.Repeat("x", 17)
	for _, c := range []struct{ name, item, condition string }{
		{"no item", "", "bad-request"},
		{"something else", "<x xmlns='test:x'/>", "bad-request"},
		{"two items", "<item jid='a@example.com'/><item jid='b@example.com'/>", "bad-request"},
		{"no jid", "<item name='Nurse'/>", "bad-request"},
		{"malformed jid", "<item jid='@example.com'/>", "jid-malformed"},
		{"empty jid", "<item jid=''/>", "jid-malformed"},
		{"full jid", "<item jid='a@example.com/x'/>", "bad-request"},
		{"duplicate groups", "<item jid='a@example.com'><group>x</group><group>x</group></item>", "bad-request"},
		{"empty group", "<item jid='a@example.com'><group/></item>", "not-acceptable"},
		{"long group", "<item jid='a@example.com'><group>" + long + "</group></item>", "not-acceptable"},
		{"many groups", "<item jid='a@example.com'><group>1</group><group>2</group><group>3</group><group>4</group><group>5</group><group>6</group></item>", "not-acceptable"},
		{"much of groups", "<item jid='a@example.com'><group>" + strings.Join([]string{seventeen + "1", seventeen + "2", seventeen + "3", seventeen + "4", seventeen + "5"}, "</group><group>") + "</group></item>", "not-acceptable"},
		{"long name", "<item jid='a@example.com' name='" + long + "'/>", "not-acceptable"},
		{"oneself", "<item jid='romeo@example.com'/>", "not-allowed"},
		{"removing nobody", "<item jid='a@example.com' subscription='remove'/>", "item-not-found"},
	} {
		romeo.Sends(set("s", c.item))
		got := romeo.heard()
		if !strings.Contains(got, "type='error'") || !strings.Contains(got, "<"+c.condition+" ") || strings.Contains(got, "push") {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	for _, request := range []string{"set", "get"} {
		romeo.Sends("<iq type='" + request + "' id='s' to='juliet@example.com'><query xmlns='jabber:iq:roster'><item jid='a@example.com'/></query></iq>")
		if got := romeo.heard(); !strings.Contains(got, "<forbidden ") {
			t.Errorf("%s of somebody else's roster: %s", request, got)
		}
	}
	romeo.Sends(get)
	romeo.hears(romeo.result("get", ""))

	// §2.1.2.5: the subscription is the server's to say.
	romeo.Sends(set("1", "<item jid='a@example.com' subscription='both' ask='subscribe' approved='true'/>"), set("2", "<item jid='b@example.com' subscription='x'/>"))
	romeo.hears(romeo.push("<item jid='a@example.com' subscription='none'/>"), romeo.done("1"),
		romeo.push("<item jid='b@example.com' subscription='none'/>"), romeo.done("2"))
	romeo.Sends(set("3", "<item jid='c@example.com'/>"), "<presence type='subscribe' to='juliet@example.com'/>")
	if got := romeo.heard(); strings.Count(got, "<resource-constraint ") != 2 {
		t.Errorf("beyond the limit: %s", got)
	}
}

// RFC 6121 §2.3, §2.4: an item is what the last set says, on disk.
func TestRosterSets(t *testing.T) {
	folder := t.TempDir()
	t.Run("set", func(t *testing.T) {
		h := openHouse(t, folder, plain)
		romeo, other, ignorant := h.online("romeo@example.com/orchard"), h.online("romeo@example.com/garden"), h.connect("romeo@example.com/hall")
		romeo.Sends("<presence type='unavailable'/>") // interested it stays (§2.2)
		romeo.quiet()
		other.quiet()
		romeo.Sends(set("1", "<item jid='Nurse@Example.com' name='Angelica &amp; co'><group>Servants</group><group>&lt;x></group></item>"))
		item := "<item jid='nurse@example.com' name='Angelica &amp; co' subscription='none'><group>Servants</group><group>&lt;x></group></item>"
		romeo.hears(romeo.push(item), romeo.done("1"))
		other.hears(other.push(item))
		ignorant.hears()
		romeo.Sends(set("2", "<item jid='nurse@example.com'/>"), set("3", "<item jid='nurse@example.com'/>"))
		bare := "<item jid='nurse@example.com' subscription='none'/>"
		romeo.hears(romeo.push(bare), romeo.done("2"), romeo.push(bare), romeo.done("3"))
		romeo.Sends(set("4", "<item jid='nurse@example.com' name='Nurse'><group>G</group></item>"))
	})
	h := openHouse(t, folder, plain)
	romeo := h.connect("romeo@example.com/orchard")
	romeo.Sends(get)
	romeo.hears(romeo.result("get", "<item jid='nurse@example.com' name='Nurse' subscription='none'><group>G</group></item>"))
	if n := h.Stats.Loads.Load(); n != 1 {
		t.Errorf("the list was read %d times", n)
	}
	romeo.Sends("<presence/>", "<presence><show>away</show></presence>", get)
	if n := h.Stats.Loads.Load(); n != 1 {
		t.Errorf("the list was read %d times", n)
	}
}

// A flood of requests ends at a limit, and its senders are told.
func TestRequestsAreBounded(t *testing.T) {
	h := newHouse(t, Options{Mode: Off, Limits: Limits{Requests: 1, Request: 200}})
	romeo, alice := h.online("romeo@example.com/orchard"), h.online("alice@example.com/desk")
	romeo.Sends(fmt.Sprintf("<presence type='subscribe' to='juliet@example.com'><status>%200d</status></presence>", 1))
	if got := romeo.heard(); !strings.Contains(got, "<policy-violation ") || strings.Contains(got, "push") {
		t.Error(got)
	}
	romeo.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	romeo.quiet()
	alice.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	if got := alice.heard(); !strings.Contains(got, "<resource-constraint ") || strings.Contains(got, "push") {
		t.Error(got)
	}
	romeo.Sends("<presence type='unsubscribe' to='juliet@example.com'/>")
	alice.Sends("<presence type='subscribe' to='juliet@example.com'/>")
	if got := alice.heard(); !strings.Contains(got, "ask='subscribe'") {
		t.Error(got)
	}
}

// RFC 6121 §8.5.1, §3.1.2: nobody there, nobody reachable.
func TestSubscribingToNobody(t *testing.T) {
	h := newHouse(t, plain)
	romeo := h.online("romeo@example.com/orchard")
	for _, to := range []string{"nobody@example.com", "carol@example.com"} {
		romeo.Sends("<presence type='subscribe' to='" + to + "'/>")
		romeo.hears(romeo.push("<item jid='" + to + "' subscription='none' ask='subscribe'/>"))
		romeo.Sends("<presence to='"+to+"'/>", "<presence type='unavailable' to='"+to+"'/>", "<presence type='subscribed' to='"+to+"/x'/>", "<presence type='probe' to='"+to+"'/>")
		romeo.hears(romeo.push("<item jid='" + to + "' subscription='none' ask='subscribe' approved='true'/>"))
	}
	for _, to := range []string{"juliet@capulet.example", "juliet@elsewhere.example"} {
		romeo.Sends("<presence type='subscribe' to='"+to+"'/>", "<presence to='"+to+"'/>", "<presence type='unavailable' to='"+to+"'/>")
		if got := romeo.heard(); strings.Count(got, "<remote-server-not-found ") != 2 || strings.Contains(got, "push") {
			t.Errorf("%s: %s", to, got)
		}
	}
	romeo.Sends("<presence type='subscribe' to='romeo@example.com'/>", "<presence type='subscribe' to='example.com'/>")
	romeo.hears()
}

// What is done to a contact who is disabled is done to the contact's list, too: who comes back does not see somebody who
// has taken the subscription back meanwhile, and finds the requests that were made.
func TestAContactWhoIsDisabled(t *testing.T) {
	h := newHouse(t, plain)
	romeo, juliet := h.online("romeo@example.com/orchard"), h.online("juliet@example.com/balcony")
	mutual(romeo, juliet)
	disable := func(bare string, disabled bool) {
		h.update(bare, func(u *directory.User) { u.Disabled = disabled })
	}
	disable("juliet@example.com", true)
	h.Table.End(juliet.Session)
	romeo.quiet()
	romeo.Sends("<presence type='unsubscribed' to='juliet@example.com'/>", "<presence type='unsubscribe' to='juliet@example.com'/>",
		"<presence type='subscribe' to='carol@example.com'/>")
	romeo.hears(romeo.push("<item jid='juliet@example.com' subscription='to'/>"), romeo.push("<item jid='juliet@example.com' subscription='none'/>"),
		romeo.push("<item jid='carol@example.com' subscription='none' ask='subscribe'/>"))
	disable("juliet@example.com", false)
	disable("carol@example.com", false)

	juliet = h.connect("juliet@example.com/balcony")
	juliet.Sends(get, "<presence/>")
	juliet.hears(juliet.result("get", "<item jid='romeo@example.com' subscription='none'/>"),
		"<presence from='juliet@example.com/balcony' to='juliet@example.com'/>")
	romeo.hears()
	carol := h.connect("carol@example.com/x")
	carol.Sends("<presence/>")
	carol.hears("<presence from='carol@example.com/x' to='carol@example.com'/>",
		"<presence from='romeo@example.com' to='carol@example.com' type='subscribe'/>")
}
