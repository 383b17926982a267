package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Keys as another server might hand them over.
var (
	ejabberdSalt = []byte("\x8f\x02sixteen bytes!")
	prosodySalt  = []byte("2b4f6a1e-9d33-4c0b-8a57-0f6e1c9d7e21")
)

func TestKeysFromElsewhere(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "")
	if has, err := h.HasPassword(t.Context(), u.ID); has || err != nil {
		t.Errorf("has a password: %v %v", has, err)
	}
	h.setKeys(u, deriveKey(SHA1, "pencil", prosodySalt, 10_000))
	if has, err := h.HasPassword(t.Context(), u.ID); !has || err != nil {
		t.Errorf("has no password: %v %v", has, err)
	}
	if got := h.Mechanisms(here, channel); !slices.Equal(got, []string{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN"}) {
		t.Errorf("offered are %q", got)
	}
	if got := h.Mechanisms("example.com", Binding{}); len(got) != 3 {
		t.Errorf("offered in the other domain are %q", got)
	}
	if got, err := h.scram("SCRAM-SHA-1-PLUS", "juliet", "pencil"); err != nil || got != u {
		t.Errorf("SCRAM-SHA-1-PLUS: %+v %v", got, err)
	}
	if _, err := h.plain("", "juliet", "pencils"); condition(err) != "not-authorized" || h.Stats().Upgraded.Load() != 0 {
		t.Errorf("a wrong password: %v", err)
	}

	if got, err := h.plain("", "juliet", "pencil"); err != nil || got != u || h.Stats().Upgraded.Load() != 1 {
		t.Fatalf("PLAIN: %+v %v", got, err)
	}
	for _, m := range everyScram {
		if _, err := h.scram(m, "juliet", "pencil"); err != nil {
			t.Errorf("%s after PLAIN: %v", m, err)
		}
	}
	if got, err := h.plain("", "juliet", "pencil"); err != nil || got != u || h.Stats().Upgraded.Load() != 1 {
		t.Errorf("PLAIN again: %+v %v", got, err)
	}
	h.open(Options{})
	for _, m := range everyScram {
		if _, err := h.scram(m, "juliet", "pencil"); err != nil {
			t.Errorf("%s after opening: %v", m, err)
		}
	}
}

func TestUpgradeLeavesANewPassword(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "")
	h.setKeys(u, deriveKey(SHA256, "pencil", ejabberdSalt, few))
	w, err := h.look(t.Context(), here, "juliet")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.SetPassword(t.Context(), u.ID, "rose"); err != nil {
		t.Fatal(err)
	}
	h.upgrade(t.Context(), w, "pencil")
	if _, err := h.plain("", "juliet", "rose"); err != nil || h.Stats().Upgraded.Load() != 0 {
		t.Errorf("the new password: %v", err)
	}
	if _, err := h.plain("", "juliet", "pencil"); err == nil {
		t.Error("the old password is good again")
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "")
	good := deriveKey(SHA256, "pencil", ejabberdSalt, few)
	for name, change := range map[string]func(*Key){
		"hash":            func(k *Key) { k.Hash = 9 },
		"other hash":      func(k *Key) { k.Hash = SHA1 },
		"stored key":      func(k *Key) { k.StoredKey = k.StoredKey[1:] },
		"server key":      func(k *Key) { k.ServerKey = nil },
		"no salt":         func(k *Key) { k.Salt = nil },
		"long salt":       func(k *Key) { k.Salt = make([]byte, maxSalt+1) },
		"few iterations":  func(k *Key) { k.Iterations = 4095 },
		"many iterations": func(k *Key) { k.Iterations = maxIterations + 1 },
	} {
		bad := good
		change(&bad)
		if err := h.SetKeys(t.Context(), u.ID, Keys{bad}); err == nil || CheckKeys(Keys{bad}) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, keys := range []Keys{nil, {good, good}} {
		if err := h.SetKeys(t.Context(), u.ID, keys); err == nil {
			t.Errorf("%v: accepted", keys)
		}
	}
	if err := h.SetKeys(t.Context(), 99, Keys{good}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("for nobody: %v", err)
	}
}

func TestPasswords(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "")
	for _, tt := range []struct{ set, typed string }{
		{"pencil", "pencil"},
		{" two words ", " two words "},
		{"caf\u00e9", "cafe\u0301"}, // NFKC, as SASLprep
		{"\u2168", "IX"},            // RFC 4013 §3
		{"I\u00adX", "IX"},          // mapped to nothing
		{"a\u00a0b", "a b"},         // other spaces
		{"\u2764\ufe0f", "\u2764"},  // with and without a variation selector
		{"пароль", "пароль"},
		{"a,b=c", "a,b=c"},
	} {
		if err := h.SetPassword(t.Context(), u.ID, tt.set); err != nil {
			t.Errorf("%q: %v", tt.set, err)
			continue
		}
		for _, p := range []string{tt.set, tt.typed} {
			if ok, err := h.CheckPassword(t.Context(), u, p); !ok || err != nil {
				t.Errorf("%q is not %q: %v", p, tt.set, err)
			}
		}
		if ok, _ := h.CheckPassword(t.Context(), u, strings.ToUpper(tt.set)+"."); ok {
			t.Errorf("anything is %q", tt.set)
		}
	}
	for _, p := range []string{"", "\u00ad", "line\nend", "nul\x00", "\xff", strings.Repeat("a", maxPassword+1)} {
		if err := h.SetPassword(t.Context(), u.ID, p); err == nil {
			t.Errorf("%.10q may be set", p)
		}
	}
	for _, n := range []int{1, 4095, maxIterations + 1} {
		if _, err := Open(t.Context(), Options{Store: h.db, Directory: h.directory, Iterations: n}); err == nil {
			t.Errorf("%d iterations are accepted", n)
		}
	}
}

// What is kept is neither the password nor anything to log in with.
func TestNothingIsKeptInTheClear(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "the lark, not the nightingale")
	err := h.db.View(t.Context(), func(tx store.Tx) error {
		keys, err := parseKeys(tx.Get(space, keyUser(u.ID)))
		if len(keys) != 3 {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if bytes.Equal(k.StoredKey, k.ServerKey) || len(k.Salt) != saltSize || k.Iterations != few {
				t.Errorf("%+v", k)
			}
		}
		for _, v := range tx.Scan(space, store.Range{}) {
			if bytes.Contains(v, []byte("lark")) {
				t.Error("the password is there")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeysGoWithTheUser(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "pencil")
	h.add("nurse", "pencil")
	if err := h.directory.Delete(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if has, err := h.HasPassword(t.Context(), u.ID); has || err != nil {
		t.Errorf("keys are left: %v %v", has, err)
	}
	if n, _ := h.Coverage(here); n != 1 {
		t.Errorf("%d users are counted", n)
	}
	h.add("juliet", "")
	if _, err := h.plain("", "juliet", "pencil"); condition(err) != "not-authorized" {
		t.Errorf("a namesake: %v", err)
	}
}

func TestDeletedWhileLoggingIn(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "pencil")
	x := h.start("SCRAM-SHA-1", Binding{})
	c := bound("SCRAM-SHA-1", "juliet", "pencil")
	first, _, err := x.Step(t.Context(), c.begin())
	if err != nil {
		t.Fatal(err)
	}
	final, err := c.answer(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.directory.Delete(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Step(t.Context(), final); condition(err) != "not-authorized" || x.User() != nil {
		t.Errorf("%v", err)
	}
}

// firstFor is what the server answers to a name, without the nonce.
func (h *house) firstFor(mechanism, name string) string {
	h.t.Helper()
	x, err := h.Start(Attempt{Domain: here, Mechanism: mechanism, Offered: []string{mechanism}})
	if err != nil {
		h.t.Fatal(err)
	}
	first, _, err := x.Step(h.t.Context(), bound(mechanism, name, "").begin())
	if err != nil {
		h.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(first), ",")
	return rest
}

func TestUnknownUsersLookLikeKnownOnes(t *testing.T) {
	h := newHouse(t)
	h.add("juliet", "pencil")
	h.add("nurse", "")
	known := h.firstFor("SCRAM-SHA-256", "juliet")
	for _, name := range []string{"rosaline", "nurse", "ju\x07liet"} {
		a := h.firstFor("SCRAM-SHA-256", name)
		if a != h.firstFor("SCRAM-SHA-256", name) {
			t.Errorf("%q: the salt changes", name)
		}
		if len(a) != len(known) || a[strings.Index(a, ",i="):] != known[strings.Index(known, ",i="):] {
			t.Errorf("%q is answered %s, a user %s", name, a, known)
		}
		if h.firstFor("SCRAM-SHA-1", name)[:20] == a[:20] {
			t.Errorf("%q has the same salt for two hashes", name)
		}
		h.open(Options{})
		if a != h.firstFor("SCRAM-SHA-256", name) {
			t.Errorf("%q: the salt changes with a restart", name)
		}
	}
	for _, same := range [][]string{
		{"juliet", "Juliet", "JULIET@" + here},
		{"rosaline", "Rosaline", "ROSALINE@" + here},
		{"o'hara", `o\27hara`, "O'Hara@" + here},
	} {
		for _, name := range same {
			if a, b := h.firstFor("SCRAM-SHA-1", same[0]), h.firstFor("SCRAM-SHA-1", name); a != b {
				t.Errorf("%s is answered %s, but %s %s", same[0], a, name, b)
			}
		}
	}
	if h.firstFor("SCRAM-SHA-1", "rosaline") == h.firstFor("SCRAM-SHA-1", "paris") {
		t.Error("two unknown users have the same salt")
	}
}

// In a domain whose users came from two other servers, unknown names look as
// if they had come from either.
func TestUnknownUsersHaveTheShapesOfTheDomain(t *testing.T) {
	h := newHouse(t)
	for i := range 40 {
		k := deriveKey(SHA1, "pencil", prosodySalt, 5000)
		if i%4 == 0 {
			k = deriveKey(SHA1, "pencil", ejabberdSalt, 4096)
		}
		h.setKeys(h.add(fmt.Sprint("user", i), ""), k)
	}
	count := func() (prosody, ejabberd int, all []string) {
		for i := range 400 {
			w, err := h.look(t.Context(), here, fmt.Sprint("nobody", i))
			if err != nil || w.shaped != 1 || w.keys != nil {
				t.Fatalf("%+v %v", w, err)
			}
			k := w.key(SHA1)
			if w.quickest().Hash != SHA1 {
				t.Fatalf("PLAIN costs what %v costs", w.quickest().Hash)
			}
			switch {
			case isUUID(k.Salt) && k.Iterations == 5000:
				prosody++
			case len(k.Salt) == len(ejabberdSalt) && k.Iterations == 4096:
				ejabberd++
			default:
				t.Fatalf("%+v", k)
			}
			all = append(all, string(k.Salt))
		}
		return
	}
	prosody, ejabberd, before := count()
	if ejabberd < 50 || ejabberd > 150 {
		t.Errorf("%d as from Prosody, %d as from ejabberd, of three to one", prosody, ejabberd)
	}
	h.setKeys(h.add("another", ""), deriveKey(SHA1, "pencil", ejabberdSalt, 4096))
	_, _, after := count()
	changed := 0
	for i := range before {
		if before[i] != after[i] {
			changed++
		}
	}
	if changed > 20 {
		t.Errorf("one more user changes %d of 400 answers", changed)
	}
}

func TestOfferFollowsTheManyNotTheOne(t *testing.T) {
	h := newHouse(t)
	keys, err := h.NewKeys("pencil")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 19 {
		h.setKeys(h.add(fmt.Sprint("user", i), ""), keys...)
	}
	odd := h.add("odd", "")
	h.setKeys(odd, *keys.get(SHA1))
	if got := h.Mechanisms(here, Binding{}); len(got) != 3 {
		t.Errorf("one of twenty changes the offer: %q", got)
	}
	if n, of := h.Coverage(here); n != 20 || of[SHA1] != 20 || of[SHA512] != 19 {
		t.Errorf("coverage %d %v", n, of)
	}
	for i := range 2 {
		h.setKeys(h.add(fmt.Sprint("odd", i), ""), *keys.get(SHA1))
	}
	if got := h.Mechanisms(here, Binding{}); !slices.Equal(got, []string{"SCRAM-SHA-1"}) {
		t.Errorf("three of 22 do not: %q", got)
	}
	h.open(Options{})
	if got := h.Mechanisms(here, Binding{}); !slices.Equal(got, []string{"SCRAM-SHA-1"}) {
		t.Errorf("after opening: %q", got)
	}
	// No hash that nearly all have: that of most.
	for i := range 10 {
		h.setKeys(h.add(fmt.Sprint("new", i), ""), *keys.get(SHA256))
	}
	if got := h.Mechanisms(here, Binding{}); !slices.Equal(got, []string{"SCRAM-SHA-256"}) {
		t.Errorf("no hash for all: %q", got)
	}
}

func TestLoginsAndChangesAtOnce(t *testing.T) {
	h := newHouse(t)
	u := h.add("juliet", "pencil")
	var sets [2]Keys
	for i := range sets {
		var err error
		if sets[i], err = h.NewKeys("pencil"); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 10 {
				if _, err := h.scram(everyScram[i+1], "juliet", "pencil"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			if err := h.SetKeys(context.Background(), u.ID, sets[i%2]); err != nil {
				t.Error(err)
			}
			h.Mechanisms(here, channel)
		}
	})
	wg.Wait()
}
