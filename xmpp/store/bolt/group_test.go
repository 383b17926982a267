package bolt_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
)

// TestBrokenByALargeGroup fails to sync a group that is as large as one may be: those behind it are told.
func TestBrokenByALargeGroup(t *testing.T) {
	var failing atomic.Bool
	inSync, goOn := make(chan struct{}), make(chan struct{})
	db := open(t, path(t), bolt.WithSync(bolt.Options{Log: slog.New(slog.DiscardHandler)}, func(f *os.File) error {
		if failing.Load() {
			close(inSync)
			<-goOn
			return syscall.EIO
		}
		return nil
	}))
	put(t, db, 0, 1)
	failing.Store(true)
	large, behind := make(chan error, 1), make(chan error, 1)
	go func() {
		large <- db.Update(context.Background(), func(tx store.Tx) error { return tx.Put(space, key(1), make([]byte, 9<<20)) })
	}()
	<-inSync
	go func() {
		behind <- db.Update(context.Background(), func(tx store.Tx) error { return tx.Put(space, key(2), nil) })
	}()
	await(t, "the second Update", func() bool { return db.Stats().Waiting == 2 })
	close(goOn)
	if err := <-large; !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	select {
	case err := <-behind:
		if !errors.Is(err, store.ErrBroken) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody is told")
	}
	_ = db.Close()
}
