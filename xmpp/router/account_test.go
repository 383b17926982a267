package router_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/xmpptest"
)

func TestBindSameResource(t *testing.T) {
	r := router.New(router.Options{})
	old, _ := bind(t, r, "orchard")
	full := old.JID()
	s, replaced, err := r.Bind(romeo, full, new(xmpptest.Conn), nil)
	if err != nil || replaced != old {
		t.Fatalf("replaced: %v, %v", replaced, err)
	}
	if r.Session(full) != s || r.Stats.Sessions.Load() != 1 {
		t.Error("the new session is not the only one")
	}
	if _, first := old.End(nil); !first {
		t.Error("the old one had ended")
	}
	if r.Session(full) != s || r.Stats.Sessions.Load() != 1 || s.Account() != r.Account(full) {
		t.Error("the end of the old session ended the new one")
	}
}

func TestTooManyResources(t *testing.T) {
	r := router.New(router.Options{MaxResources: 2})
	one, _ := bind(t, r, "one")
	bind(t, r, "two")
	full := xmpp.MustJID("romeo@example.com/three")
	_, _, err := r.Bind(romeo, full, new(xmpptest.Conn), nil)
	var e *xmpp.Error
	if !errors.As(err, &e) || e.Condition != xmpp.ResourceConstraint {
		t.Errorf("a third: %v", err)
	}
	if _, replaced, err := r.Bind(romeo, one.JID(), new(xmpptest.Conn), nil); err != nil || replaced != one {
		t.Errorf("one of the two again: %v", err)
	}
	one.End(nil)
	r.Session(xmpp.MustJID("romeo@example.com/two")).End(nil)
	if _, _, err := r.Bind(romeo, full, new(xmpptest.Conn), nil); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// An account is in the table as long as it has a session.
func TestAccountComesAndGoes(t *testing.T) {
	r := router.New(router.Options{})
	one, _ := bind(t, r, "one")
	two, _ := bind(t, r, "two")
	a := r.Account(romeo.JID)
	if a == nil || a != one.Account() || a.User != romeo.ID || a.JID != romeo.JID {
		t.Fatalf("account: %v", a)
	}
	one.End(nil)
	if r.Account(romeo.JID) != a || len(a.Sessions(nil)) != 1 {
		t.Error("the account went with its first session")
	}
	two.End(nil)
	if r.Account(romeo.JID) != nil || r.Session(two.JID()) != nil || len(r.Domain("example.com").Accounts()) != 0 {
		t.Error("the account is still there")
	}
	three, _ := bind(t, r, "three")
	if b := r.Account(romeo.JID); b == nil || b == a || b != three.Account() {
		t.Error("the account did not come back anew")
	}
}

// However accounts come and go, the list of those who are online is right.
func TestOnline(t *testing.T) {
	r := router.New(router.Options{})
	d := r.Domain("example.com")
	online := map[string]*router.Session{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		name := fmt.Sprintf("user%d", random.IntN(20))
		if s := online[name]; s != nil {
			s.End(nil)
			delete(online, name)
		} else {
			j := xmpp.MustJID(name + "@example.com/x")
			s, _, err := r.Bind(&directory.User{ID: 1, JID: j.Bare()}, j, new(xmpptest.Conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			online[name] = s
		}
		n := 0
		d.Online(func(a *router.Account) {
			n++
			if online[a.JID.Local()].Account() != a {
				t.Fatalf("%v is not online", a.JID)
			}
		})
		if n != len(online) || len(d.Accounts()) != n {
			t.Fatalf("%d are online, not %d", n, len(online))
		}
	}
}

func TestSlot(t *testing.T) {
	slot := router.NewSlot[*int]()
	r := router.New(router.Options{})
	s, _ := bind(t, r, "orchard")
	a := s.Account()
	if _, ok := slot.Peek(a); ok {
		t.Error("there is a value before there is one")
	}
	if _, err := slot.Get(a, func() (*int, error) { return nil, errors.New("no") }); err == nil {
		t.Error("an error was forgotten")
	}
	loads := atomic.Int32{}
	var values sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			v, err := slot.Get(a, func() (*int, error) { loads.Add(1); return new(int), nil })
			if err != nil {
				t.Error(err)
			}
			values.Store(v, true)
		})
	}
	wg.Wait()
	n := 0
	values.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d values, of %d loads", n, loads.Load())
	}
	x := new(int)
	slot.Put(a, x)
	if v, ok := slot.Peek(a); !ok || v != x {
		t.Error("the value was not replaced")
	}
	s.End(nil)
	s, _ = bind(t, r, "orchard")
	if _, ok := slot.Peek(s.Account()); ok {
		t.Error("a value outlived its account")
	}
}

var one, two = router.NewFlag("test: one"), router.NewFlag("test: two")

func TestFlags(t *testing.T) {
	r := router.New(router.Options{})
	s, _ := bind(t, r, "orchard")
	if s.Has(one) || s.Clear(one) || !s.Set(one) || s.Set(one) || !s.Has(one) || s.Has(two) {
		t.Error("a flag is not what it was set to")
	}
	if !s.Clear(one) || s.Has(one) {
		t.Error("a flag was not cleared")
	}
}

// Sessions of the same few accounts come, hibernate, come back and go while
// others send to them. At the end nothing is left.
func TestLifecycleRaces(t *testing.T) {
	clock := new(xmpptest.Clock)
	r := router.New(router.Options{Clock: clock, Queue: router.QueueLimits{Stanzas: 20}})
	users := make([]*directory.User, 3)
	for i := range users {
		j := xmpp.MustJID(fmt.Sprintf("user%d@example.com", i))
		users[i] = &directory.User{ID: directory.ID(i + 1), JID: j}
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			var out router.Batch
			var got []*router.Session
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				got = r.DeliverMessage(&out, &router.Message{To: users[i%3].JID, Bytes: []byte("<message/>"), ID: uint64(i + 1)}, got[:0])
				out.Flush()
				r.Domain("example.com").Online(func(a *router.Account) { a.Each(func(s *router.Session) { s.PresenceLocked() }) })
			}
		})
	}
	var clients sync.WaitGroup
	for n := range 6 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			own := fmt.Sprintf("own%d", n)
			for range 500 {
				u := users[random.IntN(3)]
				if random.IntN(2) == 0 {
					live(t, r, u, random)
				} else if err := visit(r, u, own); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	wg.Wait()
	for _, s := range []struct {
		what string
		n    int64
	}{
		{"sessions", r.Stats.Sessions.Load()},
		{"hibernating sessions", r.Stats.Hibernating.Load()},
		{"accounts", int64(len(r.Domain("example.com").Accounts()))},
	} {
		if s.n != 0 {
			t.Errorf("%d %s are left", s.n, s.what)
		}
	}
}

// visit is the short life of a session that nobody replaces: it is there for
// everybody, and then it is not.
func visit(r *router.Router, u *directory.User, resource string) error {
	full, err := u.JID.WithResource(resource)
	if err != nil {
		return err
	}
	s, _, err := r.Bind(u, full, new(xmpptest.Conn), nil)
	if err != nil {
		return err
	}
	there := r.Session(full) == s
	s.End(nil)
	if gone := r.Session(full) == nil; !there || !gone {
		return fmt.Errorf("%v was there: %v, and gone: %v", full, there, gone)
	}
	return nil
}

// live is the life of one session.
func live(t *testing.T, r *router.Router, u *directory.User, random *rand.Rand) {
	full, err := u.JID.WithResource(fmt.Sprintf("r%d", random.IntN(3)))
	if err != nil {
		t.Error(err)
		return
	}
	c := new(xmpptest.Conn)
	s, replaced, err := r.Bind(u, full, c, nil)
	if err != nil {
		t.Error(err)
		return
	}
	if replaced != nil {
		replaced.Close(nil)
		replaced.End(nil)
	}
	defer s.End(nil)
	s.SetPresence(router.Presence{Available: true})
	if random.IntN(2) == 0 {
		return
	}
	if err := s.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		return // replaced meanwhile
	}
	s.Handled(1)
	_ = s.Acknowledge(s.SentCount()) // too much, if it was replaced meanwhile
	if waits, _ := s.Hibernate(c, func() {}); !waits {
		return
	}
	_, token := s.Managed()
	if old := r.Resumable(token); old == nil {
		return
	}
	if err := s.Resume(new(xmpptest.Conn), s.SentCount(), func(uint32) []byte { return nil }); err != nil {
		return
	}
	s.Send(nil, []byte("<iq/>"))
}

// Somebody who gets the name of a user who was deleted has nothing of that user's, whose sessions may still be ending.
func TestNamesake(t *testing.T) {
	r := router.New(router.Options{})
	slot := router.NewSlot[string]()
	old, oldConn := bind(t, r, "orchard")
	slot.Put(old.Account(), "of the first")
	namesake := *romeo
	namesake.ID = 2
	conn := new(xmpptest.Conn)
	now, replaced, err := r.Bind(&namesake, xmpp.MustJID("romeo@example.com/orchard"), conn, nil)
	if err != nil || replaced != nil {
		t.Fatal(replaced, err)
	}
	if v, ok := slot.Peek(now.Account()); ok || now.Account().User != 2 {
		t.Errorf("user %d has %q", now.Account().User, v)
	}
	if s := r.Session(now.JID()); s != now {
		t.Error("the address leads to the first one's session")
	}
	old.End(nil)
	if s := r.Session(now.JID()); s != now || len(r.Domain("example.com").Accounts()) != 1 {
		t.Error("the second one went with the first")
	}
	now.End(nil)
	if r.Account(now.JID()) != nil || len(r.Domain("example.com").Accounts()) != 0 {
		t.Error("an account stays")
	}
	if oldConn.Waiting() != 0 || conn.Waiting() != 0 {
		t.Error("somebody was told something")
	}
}
