package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
)

func accounts(n int, password string) []NewAccount {
	list := make([]NewAccount, n)
	for i := range list {
		list[i].NewUser = directory.NewUser{Domain: here, Local: fmt.Sprintf("user%05d", i), Name: fmt.Sprint("User ", i)}
		list[i].Password = password
	}
	return list
}

func TestImport(t *testing.T) {
	h := newHouse(t)
	h.add("user00001", "")
	list := accounts(8, "pencil")
	list[2].Password = ""
	list[3].Password, list[3].Keys = "", Keys{deriveKey(SHA1, "rose", prosodySalt, 5000)}
	list[4].Password = "line\nend"
	list[5].Keys = Keys{{Hash: SHA1}}
	list[6].Local = "user00000"

	var refused []string
	var last Progress
	err := h.Import(t.Context(), list, Import{
		Refused:  func(u directory.NewUser, err error) error { refused = append(refused, u.Local); return nil },
		Progress: func(p Progress) { last = p },
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(refused)
	if want := []string{"user00000", "user00001", "user00004", "user00005"}; !slices.Equal(refused, want) {
		t.Errorf("refused are %q", refused)
	}
	if want := (Progress{Added: 4, Complete: 4, Refused: 4, Total: 8}); last != want {
		t.Errorf("%+v", last)
	}
	if h.directory.Domain(here).Len() != 5 {
		t.Errorf("%d users", h.directory.Domain(here).Len())
	}
	for _, name := range []string{"user00000", "user00007"} {
		x, err := h.Start(Attempt{Domain: here, Mechanism: "SCRAM-SHA-512", Offered: everyScram})
		if err == nil {
			_, err = bound("SCRAM-SHA-512", name, "pencil").login(x)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.plain("", "user00003", "rose"); err != nil {
		t.Errorf("keys from elsewhere: %v", err)
	}
	if _, err := h.plain("", "user00002", "pencil"); condition(err) != "not-authorized" {
		t.Errorf("no password: %v", err)
	}
	err = h.Import(t.Context(), list, Import{})
	if !errors.Is(err, directory.ErrExists) {
		t.Errorf("again: %v", err)
	}
}

// A long import adds all accounts with one key, then the other keys; the offer
// follows.
func TestImportInTwoRounds(t *testing.T) {
	h := newHouse(t)
	changed := make(chan struct{})
	var seen []Progress
	var offers [][]string
	err := h.Import(t.Context(), accounts(250, "pencil"), Import{
		First: []Hash{SHA256},
		Progress: func(p Progress) {
			seen = append(seen, p)
			offers = append(offers, h.Mechanisms(here, Binding{}))
			if p.Complete == 0 {
				// Somebody changes the password in between.
				u := h.directory.Login(here, "user00007")
				if err := h.SetPassword(context.Background(), u.ID, "rose"); err != nil {
					t.Error(err)
				}
				close(changed)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-changed
	want := []Progress{{250, 0, 0, 250}, {250, 200, 0, 250}, {250, 250, 0, 250}}
	if !slices.Equal(seen, want) {
		t.Errorf("progress %+v", seen)
	}
	if !slices.Equal(offers[0], []string{"SCRAM-SHA-256"}) || len(offers[2]) != 3 {
		t.Errorf("offered are %q", offers)
	}
	for name, password := range map[string]string{"user00000": "pencil", "user00007": "rose", "user00249": "pencil"} {
		for _, m := range everyScram {
			if _, err := h.scram(m, name, password); err != nil {
				t.Errorf("%s %s: %v", m, name, err)
			}
		}
	}
}

func TestImportInterrupted(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := h.Import(ctx, accounts(30, "pencil"), Import{First: []Hash{SHA256}, Progress: func(Progress) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := h.scram("SCRAM-SHA-256", "user00029", "pencil"); err != nil {
		t.Errorf("what was added cannot log in: %v", err)
	}
}

func TestGeneratedPasswordsNeedFewIterations(t *testing.T) {
	h := newHouse(t)
	h.open(Options{Iterations: 10_000})
	list := accounts(2, rand.Text())
	list[0].Generated = true
	if err := h.Import(t.Context(), list, Import{}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{minIterations, 10_000} {
		w, err := h.look(t.Context(), here, list[i].Local)
		if err != nil || len(w.keys) != 3 || w.keys[0].Iterations != want {
			t.Errorf("%d: %+v %v", i, w.keys, err)
		}
	}
}

// What 20,000 accounts cost: without passwords, and a thousand with.
func BenchmarkImport(b *testing.B) {
	b.Run("no-passwords-20000", func(b *testing.B) {
		for b.Loop() {
			if err := newHouse(b).Import(b.Context(), accounts(20_000, ""), Import{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, how := range map[string]struct {
		first     []Hash
		generated bool
	}{
		"typed-1000-SHA-256":     {[]Hash{SHA256}, false},
		"generated-1000-SHA-256": {[]Hash{SHA256}, true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				h := newHouse(b)
				h.open(Options{Iterations: 10_000})
				list := accounts(1000, "pencil")
				for i := range list {
					list[i].Generated = how.generated
				}
				ctx, cancel := context.WithCancel(b.Context())
				err := h.Import(ctx, list, Import{First: how.first, Progress: func(Progress) { cancel() }})
				if !errors.Is(err, context.Canceled) {
					b.Fatal(err)
				}
			}
		})
	}
}

// On a server that runs, the hashes of an import wait their turn, and nobody is
// added without the keys.
func TestImportTakesTurns(t *testing.T) {
	h := newHouse(t)
	turns := make(xmpp.Turns, 1)
	if err := turns.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := h.Import(ctx, accounts(3, "pencil"), Import{Turns: turns}); !errors.Is(err, context.DeadlineExceeded) || h.directory.Domain(here).Len() != 0 {
		t.Errorf("without a turn: %v, %d users", err, h.directory.Domain(here).Len())
	}
	turns.Give()
	if err := h.Import(t.Context(), accounts(3, "pencil"), Import{Turns: turns}); err != nil || h.directory.Domain(here).Len() != 3 {
		t.Errorf("with turns: %v, %d users", err, h.directory.Domain(here).Len())
	}
}
