package muc_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
)

// viewer is a client that believes of a room what it is told, and nothing else.
type viewer struct {
	*featuretest.Person
	in   bool
	nick string
	sees map[string]string // by nick: affiliation and role
	jids map[string]string // the real addresses that it was shown
}

// listen takes in what the client has heard.
func (v *viewer) listen(t *testing.T, heard []string) {
	all, err := xmpp.ParseNode([]byte("<all>" + strings.Join(heard, "") + "</all>"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all.Children {
		if x := n.Child(xmpp.NSMUCUser, "x"); x != nil && n.Local == "presence" {
			v.presence(xmpp.MustJID(n.Attr("from")).Resource(), n.Attr("type") == "unavailable", x)
		}
	}
}

func (v *viewer) presence(nick string, gone bool, x *xmpp.Node) {
	codes := map[string]bool{}
	for _, n := range x.Children {
		codes[n.Attr("code")] = true
	}
	item := x.Child("", "item")
	switch {
	case !gone && codes["110"] && codes["170"] && !v.in: // the end of the roll
		v.in, v.nick = true, nick
	case !gone && codes["110"]:
		v.nick = nick
	case gone && codes["110"] && codes["303"]:
		v.nick = item.Attr("nick")
	case gone && codes["110"]:
		v.leave()
		return
	}
	if gone {
		delete(v.sees, nick)
		delete(v.jids, nick)
		return
	}
	v.sees[nick] = item.Attr("affiliation") + " " + item.Attr("role")
	if j := item.Attr("jid"); j != "" {
		v.jids[nick] = j
	}
}

func (v *viewer) leave() {
	v.in, v.nick, v.sees, v.jids = false, "", map[string]string{}, map[string]string{}
}

// check compares what the client believes with what is so.
func (v *viewer) check(d muc.Detail, blocked string) error {
	var own *muc.Present
	for i := range d.Present {
		if slices.Contains(d.Present[i].Clients, v.JID()) {
			own = &d.Present[i]
		}
	}
	if (own != nil) != v.in || own != nil && own.Nick != v.nick {
		return fmt.Errorf("believes to be in the room as %q (%v), and is %+v", v.nick, v.in, own)
	}
	if own == nil {
		return nil
	}
	want := map[string]string{}
	for i := range d.Present {
		o := &d.Present[i]
		if o.Nick == blocked && o != own {
			continue
		}
		if shown := d.Config.Broadcast&(1<<o.Role) != 0; shown || o == own {
			want[o.Nick] = o.Affiliation.String() + " " + o.Role.String()
		} else if o.JID == own.JID { // one's own under another nick may be shown or not
			delete(v.sees, o.Nick)
		}
		if _, known := v.jids[o.Nick]; own.Role == muc.Moderator && want[o.Nick] != "" && !known {
			return fmt.Errorf("is a moderator and does not know who %s is", o.Nick)
		}
	}
	if !maps.Equal(v.sees, want) {
		return fmt.Errorf("sees %v, and there are %v", v.sees, want)
	}
	return nil
}

// TestViewsAgree has people do in a room whatever comes to their minds. After each step everybody's client, which knows
// what it was told, knows who is there and what they are.
func TestViewsAgree(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { agree(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func agree(t *testing.T, r *rand.Rand) {
	blocked := map[directory.ID]string{} // whom somebody has blocked, by the nick
	h := newHouse(t, muc.Options{MayCreate: everybody, Blocks: func(u directory.ID, j xmpp.JID) bool {
		return j.IsFull() && blocked[u] == j.Resource()
	}})
	owner := cast(t, h, cave, []string{"persistentroom=1"}, "romeo@example.com/owner")[0]
	all := []*viewer{{Person: owner, in: true, nick: "romeo", sees: map[string]string{"romeo": "owner moderator"}, jids: map[string]string{"romeo": owner.JID().String()}}}
	for _, j := range []string{"romeo@example.com/b", "juliet@example.com/a", "juliet@example.com/b", "alice@example.com/a", "bob@example.com/a"} {
		v := &viewer{Person: h.Online(t, j)}
		v.leave()
		all = append(all, v)
	}
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	nick := func() string { return one("romeo", "juliet", "alice", "bob", "x", "Y") }
	do := func() string {
		switch r.IntN(12) {
		case 0, 1, 2, 3:
			return "<presence to='" + cave + "/" + nick() + "'>" + noLines + "</presence>"
		case 4:
			return "<presence to='" + cave + "/" + nick() + "'>" + one("", "<show>away</show>", "<show>dnd</show>", "<status>x</status>") + "</presence>"
		case 5:
			return "<presence type='unavailable' to='" + cave + "/" + nick() + "'/>"
		case 6:
			return admin("r", "<item nick='"+nick()+"' role='"+one("none", "visitor", "participant", "moderator", "moderator")+"'/>")
		case 7, 8:
			person := one("juliet", "alice", "bob", "romeo")
			return admin("a", "<item jid='"+person+"@example.com' affiliation='"+one("outcast", "none", "none", "member", "admin", "owner")+"'/>")
		case 9:
			return configured(cave, one("whois=anyone", "whois=moderators", "membersonly=0", "membersonly=0", "membersonly=1", "moderatedroom=1", "moderatedroom=0"))
		case 10:
			return configured(cave, "presencebroadcast="+one("moderator", "participant", "visitor"))
		}
		c := configured(cave, "presencebroadcast=moderator")
		return strings.Replace(c, "<value>moderator</value>", "<value>moderator</value><value>participant</value><value>visitor</value>", 1)
	}
	for step := range 400 {
		v := all[r.IntN(len(all))]
		if r.IntN(20) == 0 {
			h.Table.End(v.Session)
			v.Person = h.Online(t, v.JID().String())
			v.leave()
		}
		if r.IntN(20) == 0 {
			var out router.Batch
			whom := one("", nick())
			if !slices.ContainsFunc(all, func(w *viewer) bool { return w.User() == v.User() && w.nick == whom }) {
				h.Reblock(&out, h.Directory.ByID(v.User()), func() { blocked[v.User()] = whom })
			}
			out.Flush()
		}
		said := do()
		if b := blocked[v.User()]; b != "" && strings.HasPrefix(said, "<presence to='"+cave+"/"+b+"'") {
			continue
		}
		before := *v
		if strings.Contains(said, noLines) {
			v.leave() // all comes anew
		}
		v.Sends(said)
		heard := v.Conn.Left()
		if strings.Contains(strings.Join(heard, ""), " type='error'") {
			*v = before
		}
		v.listen(t, heard)
		d, _, err := h.Show(xmpp.MustJID(cave))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range all {
			w.listen(t, w.Conn.Left())
			if err := w.check(d, blocked[w.User()]); err != nil {
				t.Fatalf("step %d, after %s sent %s: %s %v", step, v.JID(), said, w.JID(), err)
			}
		}
	}
}
