package aliasbridge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/store"
)

// What becomes of a bookmark: what was written, what there is by now, what is wanted.
func TestRewrite(t *testing.T) {
	const ours = "<conference xmlns='urn:xmpp:bookmarks:1' name='Old' autojoin='true'><nick>romeo</nick></conference>"
	old, named, moved := &mark{"a@r", "Old", "romeo"}, &mark{"a@r", "New", "romeo"}, &mark{"b@r", "New", "romeo"}
	renamed := strings.Replace(ours, "Old", "New", 1)
	own := strings.Replace(ours, "Old", "Mine", 1)
	extended := strings.Replace(ours, "</nick>", "</nick><extensions><x xmlns='urn:x'/></extensions>", 1)
	cleared := strings.Replace(ours, "true", "false", 1)
	for _, test := range []struct {
		name      string
		was, want *mark
		have, get map[string]string // "": retracted
		now       *mark
	}{
		{"nothing", nil, nil, nil, nil, nil},
		{"begins", nil, old, nil, map[string]string{"a@r": ours}, old},
		{"begins, has one", nil, old, map[string]string{"a@r": own}, nil, old},
		{"ends", old, nil, map[string]string{"a@r": own}, map[string]string{"a@r": ""}, nil},
		{"another name", old, named, map[string]string{"a@r": ours}, map[string]string{"a@r": renamed}, named},
		{"another name, extended", old, named, map[string]string{"a@r": extended}, map[string]string{"a@r": strings.Replace(extended, "Old", "New", 1)}, named},
		{"another name, has his own", old, named, map[string]string{"a@r": own}, nil, named},
		{"another name, deleted", old, named, nil, nil, named},
		{"another name, autojoin cleared", old, named, map[string]string{"a@r": cleared}, nil, old},
		{"another nick", old, &mark{"a@r", "Old", "montague"}, map[string]string{"a@r": own}, map[string]string{"a@r": strings.Replace(own, "romeo", "montague", 1)}, &mark{"a@r", "Old", "montague"}},
		{"moves", old, moved, map[string]string{"a@r": ours}, map[string]string{"a@r": "", "b@r": renamed}, moved},
		{"moves, autojoin cleared", old, moved, map[string]string{"a@r": cleared}, map[string]string{"a@r": "", "b@r": strings.Replace(cleared, "Old", "New", 1)}, moved},
		{"moves, deleted", old, moved, nil, nil, moved},
		{"moves, has one there", old, moved, map[string]string{"a@r": ours, "b@r": own}, map[string]string{"a@r": ""}, moved},
	} {
		items, now, err := rewrite(test.was, test.want, func(id string) ([]byte, error) {
			if v, ok := test.have[id]; ok {
				return []byte(v), nil
			}
			return nil, nil
		})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if fmt.Sprint(now) != fmt.Sprint(test.now) {
			t.Errorf("%s: %v counts as written, want %v", test.name, now, test.now)
		}
		if len(items) != len(test.get) {
			t.Errorf("%s: changes %q", test.name, items)
		}
		for id, want := range test.get {
			got, there := items[id]
			if !there || (want == "") != (got == nil) || want != "" && canonical(t, string(got)) != canonical(t, want) {
				t.Errorf("%s: %s becomes %s", test.name, id, got)
			}
		}
	}
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	n, err := xmpp.ParseNode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(n.Append(nil))
}

// rooms returns the rooms that a user has bookmarks of.
func (s *server) marked(user string) []string {
	s.t.Helper()
	items, err := s.events.Items(context.Background(), s.ID(user), xmpp.NSBookmark2)
	if err != nil {
		s.t.Fatal(err)
	}
	ids := []string{}
	for i := range items {
		ids = append(ids, items[i].ID)
	}
	slices.Sort(ids)
	return ids
}

// worked waits until no bookmarks are left to be looked at; the clock stands still.
func (s *server) worked() {
	s.t.Helper()
	featuretest.Eventually(s.t, "the bookmarks", func() bool {
		s.bridge.marks.mu.Lock()
		defer s.bridge.marks.mu.Unlock()
		return !s.bridge.marks.running
	})
}

func (s *server) has(user string, want ...string) {
	s.t.Helper()
	s.worked()
	if got := s.marked(user); !slices.Equal(got, want) {
		s.t.Errorf("%s has bookmarks of %q, want %q", user, got, want)
	}
}

// written counts what is kept of bookmarks.
func (s *server) written() (n int) {
	s.t.Helper()
	err := s.Host.State.View(context.Background(), func(tx store.Tx) error {
		for range tx.Scan(spaceMarks, store.Range{}) {
			n++
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func room(n *directory.NewAlias) { n.Kind = directory.RoomAlias }

func TestBookmarksFollowMembership(t *testing.T) {
	s := serve(t, Options{})
	const romeo, juliet, alice = "romeo@example.com", "juliet@example.com", "alice@example.com"
	a := s.alias("family", room, "romeo")
	s.has(romeo, "family@conference.example.com")
	s.has(juliet)
	inner := s.alias("inner", nil, "juliet")
	a = s.update(a, directory.Membership{Add: []directory.NewMember{{Address: "inner"}}}, nil)
	s.has(juliet, "family@conference.example.com")
	s.update(inner, directory.Membership{Remove: []string{"juliet"}}, nil)
	s.has(juliet)

	// Converted there and back.
	a = s.update(a, directory.Membership{}, func(a *directory.Alias) error { a.Kind = directory.ContactAlias; return nil })
	s.has(romeo)
	a = s.update(a, directory.Membership{}, func(a *directory.Alias) error { a.Kind = directory.RoomAlias; return nil })
	s.has(romeo, "family@conference.example.com")

	// A name that one leaves and another takes.
	a = s.update(a, directory.Membership{}, func(a *directory.Alias) error { a.Local = "clan"; return nil })
	s.alias("family", room, "romeo")
	s.has(romeo, "clan@conference.example.com", "family@conference.example.com")

	// Deleted by him; not again before he is a member anew.
	if err := s.events.Retract(t.Context(), s.ID(romeo), xmpp.NSBookmark2, "clan@conference.example.com"); err != nil {
		t.Fatal(err)
	}
	a = s.update(a, directory.Membership{Add: []directory.NewMember{{Address: "alice"}}}, func(a *directory.Alias) error { a.Name = "Clan"; return nil })
	s.has(alice, "clan@conference.example.com")
	s.has(romeo, "family@conference.example.com")
	a = s.update(a, directory.Membership{Remove: []string{"romeo"}}, nil)
	s.has(romeo, "family@conference.example.com")
	a = s.update(a, directory.Membership{Add: []directory.NewMember{{Address: "romeo"}}}, nil)
	s.has(romeo, "clan@conference.example.com", "family@conference.example.com")

	// Who cannot log in keeps what he has, and is brought up to date when he can.
	dir, id := s.bridge.dir, s.ID(romeo)
	disable := func(is bool) {
		t.Helper()
		if err := dir.Update(t.Context(), id, func(u *directory.User) { u.Disabled = is }); err != nil {
			t.Fatal(err)
		}
	}
	disable(true)
	s.has(romeo, "clan@conference.example.com", "family@conference.example.com")
	a = s.update(a, directory.Membership{Remove: []string{"romeo"}}, nil)
	disable(false)
	s.has(romeo, "family@conference.example.com")

	if n := s.written(); n != 2 {
		t.Errorf("%d bookmarks are remembered, want 2", n)
	}
	if err := dir.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := dir.DeleteAlias(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	s.has(alice)
	if n := s.written(); n != 0 {
		t.Errorf("%d bookmarks are remembered of nobody and nothing", n)
	}
}

// Blocking an alias is opting out of it.
func TestNoBookmarkForWhoOptedOut(t *testing.T) {
	var romeo directory.ID
	s := serve(t, Options{Blocks: func(user directory.ID, j xmpp.JID) bool {
		return user == romeo && j == xmpp.MustJID("family@example.com")
	}})
	romeo = s.ID("romeo@example.com")
	s.alias("family", room, "romeo", "juliet")
	s.has("juliet@example.com", "family@conference.example.com")
	s.has("romeo@example.com")
}

// The bookmarks of a whole domain are written in turns.
func TestBookmarksInTurns(t *testing.T) {
	s := serve(t, Options{})
	const n = 3*marksPerTurn + 1
	users := make([]directory.NewUser, n)
	members := make([]string, n)
	for i := range users {
		members[i] = fmt.Sprintf("m%03d", i)
		users[i] = directory.NewUser{Domain: "example.com", Local: members[i]}
	}
	if err := s.bridge.dir.Add(t.Context(), users...); err != nil {
		t.Fatal(err)
	}
	s.alias("everybody", room, members...)
	// waiting is true between two turns.
	waiting := func(want int) {
		t.Helper()
		featuretest.Eventually(t, "a turn", func() bool { return s.written() == want })
		func() {
			s.bridge.marks.work.Lock() // the turn has set its timer
			defer s.bridge.marks.work.Unlock()
		}()
	}
	for turn := 1; turn <= 3; turn++ {
		waiting(turn * marksPerTurn)
		s.Clock.Pass(markPause - time.Millisecond)
		if got := s.written(); got != turn*marksPerTurn {
			t.Errorf("%d bookmarks before the next turn", got)
		}
		s.Clock.Pass(time.Millisecond)
	}
	s.has("m192@example.com", "everybody@conference.example.com")
	if got := s.written(); got != n {
		t.Errorf("%d bookmarks", got)
	}
	if logged := s.Logged(); logged != "" {
		t.Errorf("logged %s", logged)
	}
}

// A bookmark that somebody has already is his own, and goes with the membership.
func TestOwnBookmark(t *testing.T) {
	s := serve(t, Options{})
	id, own := s.ID("romeo@example.com"), []byte("<conference xmlns='urn:xmpp:bookmarks:1' name='Mine'/>")
	if err := s.events.Publish(t.Context(), id, xmpp.NSBookmark2, pubsub.Item{ID: "family@conference.example.com", Payload: own}); err != nil {
		t.Fatal(err)
	}
	a := s.alias("family", room, "romeo")
	s.worked()
	it, err := s.events.Item(t.Context(), id, xmpp.NSBookmark2, "family@conference.example.com")
	if err != nil || it == nil || string(it.Payload) != string(own) {
		t.Errorf("has %v, %v", it, err)
	}
	s.update(a, directory.Membership{Remove: []string{"romeo"}}, nil)
	s.has("romeo@example.com")
}
