package bolt

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"confab/xmpp/store"
)

// Whoever finds nobody else waiting is committed at once, however long others gather.
func TestALoneUpdateWaitsForNobody(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "test.db"), Options{Gather: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 10 {
		if err := db.Update(context.Background(), put("k")); err != nil {
			t.Fatal(err)
		}
	}
}

// While Updates come faster than the disk takes them they gather, and each commit is told of.
func TestUpdatesGather(t *testing.T) {
	const gather = 50 * time.Millisecond
	inSync, goOn := make(chan struct{}), make(chan struct{})
	held := true
	var mu sync.Mutex
	var groups []int
	db, err := Open(filepath.Join(t.TempDir(), "test.db"), Options{
		Gather: gather,
		sync: func(f *os.File) error {
			if held {
				held = false
				inSync <- struct{}{}
				<-goOn
			}
			return f.Sync()
		},
		Committed: func(updates int, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			groups = append(groups, updates)
			if took <= 0 {
				t.Error("a commit took no time")
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var wg sync.WaitGroup
	update := func(key string) (queued chan struct{}) {
		queued = make(chan struct{})
		wg.Go(func() {
			if err := db.Update(&noting{Context: context.Background(), asked: queued}, put(key)); err != nil {
				t.Error(err)
			}
		})
		return queued
	}
	began := time.Now()
	update("a")
	<-inSync
	<-update("b")
	close(goOn)
	wg.Wait()
	if took := time.Since(began); took < gather {
		t.Errorf("the second commit began after %v at most", took)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(groups) != 2 || groups[0] != 1 || groups[1] != 1 {
		t.Errorf("the commits were of %v", groups)
	}
}

func put(key string) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.Put("test", []byte(key), []byte("v")) }
}

// noting is a context that tells when Update, whose job is in the queue by then, first asks for its end.
type noting struct {
	context.Context
	once  sync.Once
	asked chan struct{}
}

func (c *noting) Done() <-chan struct{} {
	c.once.Do(func() { close(c.asked) })
	return c.Context.Done()
}
