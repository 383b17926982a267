package roster

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// Whatever two people do, in whatever order: their lists mirror each other, and each sees the other if and only if the
// subscription says so, both are there and neither has blocked the other.
func TestTwoListsAgree(t *testing.T) {
	for seed := range int64(50) {
		m := &model{rnd: rand.New(rand.NewSource(seed)), blocked: map[directory.ID]bool{}, seen: map[string]bool{}, people: map[string]*person{}}
		m.house = newHouse(t, Options{Mode: Off, Blocks: func(owner directory.ID, _ xmpp.JID) bool { return m.blocked[owner] }})
		for range 40 {
			if m.step(); m.wrong() != "" {
				t.Fatalf("seed %d: %s, after %s", seed, m.wrong(), strings.Join(m.done, ", "))
			}
		}
	}
}

type model struct {
	*house
	rnd     *rand.Rand
	blocked map[directory.ID]bool // the other one
	people  map[string]*person    // who is there
	seen    map[string]bool       // by each, the other one
	done    []string
}

var romeoAndJuliet = []string{"romeo", "juliet"}

func (m *model) user(name string) *directory.User {
	return m.Directory.User(xmpp.MustJID(name + "@example.com"))
}

// step has somebody do something.
func (m *model) step() {
	i := m.rnd.Intn(2)
	me, you := romeoAndJuliet[i], romeoAndJuliet[1-i]
	u, p := m.user(me), m.people[me]
	act := []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed", "set", "remove", "come", "come", "change", "go", "disable", "enable",
		"block", "unblock"}[m.rnd.Intn(14)]
	m.done = append(m.done, me+" "+act)
	switch act {
	case "come":
		if p == nil && !u.Disabled {
			m.people[me] = m.connect(me + "@example.com/x")
			m.people[me].Sends(get, "<presence><status/></presence>")
		}
	case "go", "disable":
		if p != nil {
			m.Table.End(p.Session)
			delete(m.people, me)
			delete(m.seen, me)
		}
		if act == "disable" {
			m.update(me+"@example.com", func(u *directory.User) { u.Disabled = true })
		}
	case "enable":
		m.update(me+"@example.com", func(u *directory.User) { u.Disabled = false })
	case "block", "unblock":
		var out router.Batch
		m.Reblock(&out, u, func() { m.blocked[u.ID] = act == "block" })
		out.Flush()
	default:
		if p != nil {
			p.Sends(map[string]string{
				"set":    set("s", fmt.Sprintf("<item jid='%s@example.com' name='%d'/>", you, len(m.done))),
				"remove": set("r", "<item jid='"+you+"@example.com' subscription='remove'/>"),
				"change": fmt.Sprintf("<presence><status>%d</status></presence>", len(m.done)),
			}[act] + map[bool]string{true: "<presence type='" + act + "' to='" + you + "@example.com'/>"}[strings.Contains(act, "subscribe")])
		}
	}
	for name, p := range m.people {
		for _, found := range presences.FindAllStringSubmatch(p.heard(), -1) {
			if !strings.HasPrefix(found[1], name) {
				m.seen[name] = found[2] != away
			}
		}
	}
}

// wrong says what does not agree.
func (m *model) wrong() string {
	romeo, juliet := m.user("romeo"), m.user("juliet")
	state := func(owner, contact *directory.User) (s State, request bool) {
		if it, err := m.item(owner, contact.JID); err != nil {
			m.test.Fatal(err)
		} else if it != nil {
			return it.State, it.Request != nil
		}
		return None, false
	}
	his, asked := state(romeo, juliet)
	hers, wasAsked := state(juliet, romeo)
	if his.HasTo() != hers.HasFrom() || his.HasFrom() != hers.HasTo() || his.PendingIn() && !hers.PendingOut() || hers.PendingIn() && !his.PendingOut() ||
		his.PendingIn() != asked || hers.PendingIn() != wasAsked {
		return fmt.Sprintf("his list says %v, hers %v", his, hers)
	}
	apart := m.blocked[romeo.ID] || m.blocked[juliet.ID]
	both := m.people["romeo"] != nil && m.people["juliet"] != nil
	if m.seen["romeo"] != (both && his.HasTo() && !apart) || m.seen["juliet"] != (both && hers.HasTo() && !apart) {
		return fmt.Sprintf("he sees her: %v, she sees him: %v; his list says %v, hers %v", m.seen["romeo"], m.seen["juliet"], his, hers)
	}
	return ""
}
