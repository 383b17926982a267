package aliasbridge

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
)

// viewer is a client that believes of aliases what it is told.
type viewer struct {
	*featuretest.Person
	sees map[string]status // by address
}

func (v *viewer) listen(t *testing.T) {
	all, err := xmpp.ParseNode([]byte("<all>" + strings.Join(v.Conn.Left(), "") + "</all>"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all.Children {
		from, ours := strings.CutSuffix(n.Attr("from"), "/"+membersResource)
		if n.Local != "presence" || !ours {
			continue
		}
		switch n.ChildText("", "show") {
		case "away":
			v.sees[from] = away
		case "dnd":
			v.sees[from] = busy
		default:
			v.sees[from] = here
		}
		if n.Attr("type") == "unavailable" {
			delete(v.sees, from)
		}
	}
}

// Whatever happens to people and aliases: soon everybody's client, which knows what it was told, sees aliases as they are.
func TestViewsAgree(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { agree(t, rand.New(rand.NewPCG(seed, 3))) })
	}
}

func agree(t *testing.T, r *rand.Rand) {
	var blocked sync.Map // by user: the alias that he has blocked
	blocks := func(u, alias directory.ID) bool {
		v, _ := blocked.Load(u)
		return v == alias
	}
	var s *server
	s = serve(t, Options{Blocks: func(u directory.ID, j xmpp.JID) bool {
		a := s.bridge.dir.Alias(j)
		return a != nil && blocks(u, a.ID)
	}})
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	aliases := []*directory.Alias{s.alias("inner", nil, "juliet"), s.alias("sales", nil, "inner", "romeo", "carol")}
	names := []string{"romeo", "juliet", "alice", "bob", "carol"}
	people := map[string]*viewer{}
	connect := func(name string) {
		people[name] = &viewer{s.Connect(t, name+"@example.com/home"), map[string]status{}}
		people[name].Sends("<presence/>")
	}
	for _, name := range names[:4] {
		connect(name)
	}
	said := ""
	for step := range 150 {
		name, a := one(names...), aliases[r.IntN(2)]
		v, id := people[name], s.ID(name+"@example.com")
		update := func(what string, m directory.Membership, fn func(*directory.Alias)) {
			said = what
			_ = s.bridge.dir.UpdateAlias(context.Background(), a.ID, m, func(a *directory.Alias) error { fn(a); return nil })
		}
		nothing := func(*directory.Alias) {}
		switch op := r.IntN(12); {
		case op < 4 && v != nil:
			said = one("<presence/>", "<presence><show>away</show></presence>", "<presence><show>dnd</show></presence>", "<presence type='unavailable'/>")
			v.Sends(said)
			v.listen(t)
			if strings.Contains(said, "unavailable") {
				v.sees = map[string]status{}
			}
		case op == 4:
			update("mode", directory.Membership{}, func(a *directory.Alias) {
				a.Settings.Presence = one(directory.PresenceAggregate, directory.PresenceAggregate, directory.PresenceAlways, directory.PresenceNone)
			})
		case op == 5:
			update("visible", directory.Membership{}, func(a *directory.Alias) {
				a.Settings.Visible = one(directory.VisibleDomain, directory.VisibleMembers, directory.VisibleMembers, directory.VisibleHidden)
			})
		case op == 6:
			update("add "+name, directory.Membership{Add: []directory.NewMember{{Address: name}}}, nothing)
		case op == 7:
			update("remove "+name, directory.Membership{Remove: []string{name}}, nothing)
		case op == 8:
			update("rename", directory.Membership{}, func(a *directory.Alias) { a.Local = one("inner", "sales", "orders", "team") })
		case op == 9:
			update("convert", directory.Membership{}, func(a *directory.Alias) {
				a.Kind = directory.Kind(one(string(directory.ContactAlias), string(directory.ContactAlias), string(directory.RoomAlias)))
			})
		case op == 10 && v != nil:
			said = "block"
			after := contacts{s.bridge}.Reblock(s.bridge.dir.ByID(id))
			blocked.Store(id, []directory.ID{0, a.ID}[r.IntN(2)])
			var out router.Batch
			after(&out)
			out.Flush()
		case op == 11:
			said = "enable or disable " + name
			if err := s.bridge.dir.Update(t.Context(), id, func(u *directory.User) { u.Disabled = v != nil }); err != nil {
				t.Fatal(err)
			}
			if v != nil {
				s.Table.End(v.Session)
				delete(people, name)
			} else {
				connect(name)
			}
		}
		if r.IntN(3) == 0 { // the next thing happens before viewers are told
			continue
		}
		s.Clock.Pass(settle)
		for name, v := range people {
			v.listen(t)
			want := map[string]status{}
			for _, a := range aliases {
				a := s.bridge.dir.AliasByID(a.ID)
				s.bridge.mu.Lock()
				st := newShown(s.bridge, a).to(s.bridge.dir.ByID(v.User()))
				s.bridge.mu.Unlock()
				if st != gone && !blocks(v.User(), a.ID) && v.Presence().Available {
					want[a.JID.String()] = st
				}
			}
			if !maps.Equal(v.sees, want) {
				t.Fatalf("step %d, after %s: %s sees %v, and it is %v", step, said, name, v.sees, want)
			}
		}
	}
}
