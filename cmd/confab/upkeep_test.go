package main

import (
	"context"
	"testing"
	"time"

	"confab/xmpp/store"
)

// An invitation that nobody used is not kept for ever, even if none is made after it.
func TestOldInvitationsAreRemoved(t *testing.T) {
	w := promised(t, nil)
	kept := func() (n int) {
		t.Helper()
		err := w.server.Admin().State.View(context.Background(), func(tx store.Tx) error {
			for range tx.Scan("invite", store.Range{}) {
				n++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := w.Operate("", "user", "invite", "bob", "--valid", "36h"); err != nil {
		t.Fatal(err)
	}
	w.Advance(25 * time.Hour)
	if n := kept(); n != 1 {
		t.Fatalf("%d invitations are kept before the time has come", n)
	}
	w.Advance(48 * time.Hour)
	if n := kept(); n != 0 {
		t.Errorf("%d invitations are kept that are good for nothing", n)
	}
}

// A certificate that ends while the server runs is told of every day.
func TestWarningsComeEveryDay(t *testing.T) {
	w := promised(t, nil) // its certificate is self-signed
	before := w.logged.Load()
	for day := range int64(3) {
		if n := w.logged.Load() - before; n != day {
			t.Errorf("%d warnings after %d days", n, day)
		}
		w.Advance(24 * time.Hour)
	}
}
