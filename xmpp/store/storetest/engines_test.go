package storetest_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
)

const space store.Space = "test"

func open(t testing.TB, dir string) store.DB {
	db, err := bolt.Open(filepath.Join(dir, "test.db"), bolt.Options{NoSync: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func get(t *testing.T, db store.DB, key string) (value string) {
	t.Helper()
	err := db.View(t.Context(), func(tx store.Tx) error {
		value = string(tx.Get(space, []byte(key)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestWrappedEngines(t *testing.T) {
	t.Run("held", func(t *testing.T) {
		storetest.Run(t, func(t testing.TB, dir string) store.DB { return storetest.Hold(open(t, dir)) })
	})
	t.Run("failing", func(t *testing.T) {
		storetest.Run(t, func(t testing.TB, dir string) store.DB { return storetest.Fail(open(t, dir)) })
	})
}

func TestHeld(t *testing.T) {
	db := storetest.Hold(open(t, t.TempDir()))
	defer db.Close()
	db.Hold()
	var committed atomic.Int32
	results := make(chan error, 2)
	for _, k := range []string{"a", "b"} {
		go func() {
			results <- db.Update(context.Background(), func(tx store.Tx) error {
				tx.OnCommit(func() { committed.Add(1) })
				return tx.Put(space, []byte(k), []byte("1"))
			})
		}()
	}
	if !db.Await(2) {
		t.Fatal("the Updates did not arrive")
	}
	if get(t, db, "a") != "" || get(t, db, "b") != "" || committed.Load() != 0 || len(results) != 0 {
		t.Error("something was committed while commits were held")
	}
	db.Release()
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if get(t, db, "a") != "1" || get(t, db, "b") != "1" || committed.Load() != 2 {
		t.Error("not everything was committed after the release")
	}
}

func TestFailing(t *testing.T) {
	db := storetest.Fail(open(t, t.TempDir()))
	defer db.Close()
	db.Fail(storetest.ErrFull)
	write := func(tx store.Tx) error {
		tx.OnCommit(func() {
			if get(t, db, "a") == "" {
				t.Error("OnCommit was called for what is not there")
			}
		})
		return tx.Put(space, []byte("a"), []byte("1"))
	}
	if err := db.Update(t.Context(), write); !errors.Is(err, storetest.ErrFull) {
		t.Errorf("Update: %v", err)
	}
	if get(t, db, "a") != "" {
		t.Error("a failed commit left something")
	}
	db.Fail(nil)
	if err := db.Update(t.Context(), func(tx store.Tx) error { return tx.Put(space, []byte("a"), []byte("1")) }); err != nil {
		t.Error(err)
	}
	if get(t, db, "a") != "1" {
		t.Error("nothing was written after the failure ended")
	}
}
