package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
)

const space store.Space = "test"

func TestMain(m *testing.M) {
	switch os.Getenv("BOLT_TEST_CHILD") {
	case "kill":
		writeUntilKilled(os.Getenv("BOLT_TEST_FILE"))
	case "full":
		os.Exit(fillDisk(os.Getenv("BOLT_TEST_FILE")))
	}
	os.Exit(m.Run())
}

// child runs the test binary again in another role, with checkpoints of so many bytes.
func child(role, path string, checkpoint int) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BOLT_TEST_CHILD="+role, "BOLT_TEST_FILE="+path, "BOLT_TEST_CHECKPOINT="+strconv.Itoa(checkpoint))
	cmd.Stderr = os.Stderr
	return cmd
}

func childOptions() bolt.Options {
	n, _ := strconv.ParseInt(os.Getenv("BOLT_TEST_CHECKPOINT"), 10, 64)
	return quiet(bolt.Options{CheckpointBytes: n})
}

func quiet(o bolt.Options) bolt.Options {
	o.Log = slog.New(slog.DiscardHandler)
	return o
}

func open(t testing.TB, path string, o bolt.Options) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(path, quiet(o))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func path(t testing.TB) string { return filepath.Join(t.TempDir(), "test.db") }

func key(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func TestConformance(t *testing.T) {
	for name, o := range map[string]bolt.Options{
		"defaults": {},
		"other":    {NoSync: true, InitialMmapSize: 16 << 20, Readers: 4, Append: []store.Space{"test.a"}},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t testing.TB, dir string) store.DB {
				return open(t, filepath.Join(dir, "test.db"), o)
			})
		})
	}
}

func TestSecondProcessIsTold(t *testing.T) {
	p := path(t)
	db := open(t, p, bolt.Options{})
	defer db.Close()
	_, err := bolt.Open(p, bolt.Options{Timeout: 20 * time.Millisecond})
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), p) {
		t.Errorf("the second to open got %v", err)
	}
}

func TestOpenWhatIsNoStore(t *testing.T) {
	p := path(t)
	if err := os.WriteFile(p, bytes.Repeat([]byte("no store\n"), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	if db, err := bolt.Open(p, bolt.Options{}); err == nil {
		db.Close()
		t.Error("a file that is no store was opened")
	}
	if db, err := bolt.Open(filepath.Join(p, "below a file"), bolt.Options{}); err == nil {
		db.Close()
		t.Error("a path below a file was opened")
	}
}

// TestGrowWithOpenView lets the file grow far beyond its first size while a View is open.
func TestGrowWithOpenView(t *testing.T) {
	db := open(t, path(t), bolt.Options{NoSync: true, Readers: 2})
	defer db.Close()
	write := func(n int) error {
		return db.Update(context.Background(), func(tx store.Tx) error { return tx.Put(space, key(n), make([]byte, 1<<20)) })
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	err := db.View(t.Context(), func(tx store.Tx) error {
		grown := make(chan error)
		go func() {
			for n := 1; n < 64; n++ {
				if err := write(n); err != nil {
					grown <- err
					return
				}
			}
			grown <- db.View(context.Background(), func(store.Tx) error { return nil })
		}()
		select {
		case err := <-grown:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("growing, or a new View, waits for the View that is open")
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestGroups fills more than one group while the committer is busy.
func TestGroups(t *testing.T) {
	db := open(t, path(t), bolt.Options{NoSync: true})
	defer db.Close()
	const n = 5000 // more than one group holds
	began, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_ = db.Update(context.Background(), func(tx store.Tx) error { close(began); <-release; return nil })
	})
	<-began
	errs := make(chan error, n)
	for i := range n {
		all.Go(func() {
			errs <- db.Update(context.Background(), func(tx store.Tx) error { return tx.Put(space, key(i), nil) })
		})
	}
	deadline := time.Now().Add(20 * time.Second)
	for db.Stats().Waiting < n+1 {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait", db.Stats().Waiting)
		}
		<-time.After(time.Millisecond)
	}
	close(release)
	all.Wait()
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	s := db.Stats()
	if s.Commits == 0 || s.Commits > 4 || s.Updates < n || s.LargestGroup > 4096 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// TestCrashImage opens a copy of the file as it was at one moment, while the store goes on.
func TestCrashImage(t *testing.T) {
	p := path(t)
	db := open(t, p, bolt.Options{})
	defer db.Close()
	for i := range 50 {
		if err := db.Update(t.Context(), func(tx store.Tx) error { return tx.Put(space, key(i), []byte("x")) }); err != nil {
			t.Fatal(err)
		}
	}
	// A transaction that has written and is not committed must not be in the image.
	began, release := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- db.Update(context.Background(), func(tx store.Tx) error {
			err := tx.Put(space, key(50), []byte("x"))
			close(began)
			<-release
			return err
		})
	}()
	<-began
	copied := path(t)
	copyStore(t, p, copied)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	old := open(t, copied, bolt.Options{})
	defer old.Close()
	if n := count(t, old); n != 50 {
		t.Errorf("the image has %d keys, want 50", n)
	}
	if n := count(t, db); n != 51 {
		t.Errorf("the store has %d keys, want 51", n)
	}
}

// copyStore copies the files of a store as they are.
func copyStore(t testing.TB, from, to string) {
	t.Helper()
	names, err := filepath.Glob(from + "*")
	for _, name := range names {
		var image []byte
		if image, err = os.ReadFile(name); err == nil {
			err = os.WriteFile(to+strings.TrimPrefix(name, from), image, 0o600)
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, db store.DB) (n int) {
	t.Helper()
	err := db.View(t.Context(), func(tx store.Tx) error {
		for k := range tx.Scan(space, store.Range{}) {
			if !bytes.Equal(k, key(n)) {
				return fmt.Errorf("key %d is %x", n, k)
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestUnreadableFile takes the file away under the store, which is what a failing disk looks like.
func TestUnreadableFile(t *testing.T) {
	p := path(t)
	db := open(t, p, bolt.Options{NoSync: true})
	for i := range 200 {
		if err := db.Update(t.Context(), func(tx store.Tx) error { return tx.Put(space, key(i), make([]byte, 5000)) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, p, bolt.Options{NoSync: true})
	if err := os.Truncate(p, 8192); err != nil {
		t.Fatal(err)
	}
	read := func() error {
		return db.View(t.Context(), func(tx store.Tx) error {
			for range tx.Scan(space, store.Range{}) {
			}
			return nil
		})
	}
	if err := read(); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("View: %v", err)
	}
	write := func(tx store.Tx) error {
		tx.Get(space, key(50))
		return tx.Put(space, key(50), nil)
	}
	if err := db.Update(t.Context(), write); err == nil {
		t.Error("an Update of what cannot be read was no error")
	}
	if err := db.Update(t.Context(), func(tx store.Tx) error { return tx.Put("other", key(50), nil) }); err == nil {
		t.Error("an Update of a space that cannot be read was no error")
	}
	if err := read(); err == nil {
		t.Error("a second View found everything in order")
	}
	closed := make(chan struct{})
	go func() { db.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Error("Close hangs")
	}
}

// writeUntilKilled goes on to write and says what is durable.
func writeUntilKilled(path string) {
	db, err := bolt.Open(path, childOptions())
	if err != nil {
		panic(err)
	}
	var from int
	err = db.View(context.Background(), func(tx store.Tx) error {
		for k := range tx.Scan(space, store.Range{Reverse: true, Limit: 1}) {
			from = int(binary.BigEndian.Uint64(k)) + 1
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	for i := from; ; i++ {
		err := db.Update(context.Background(), func(tx store.Tx) error { return tx.Put(space, key(i), make([]byte, 3000)) })
		if err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}

// TestKill kills a process that writes, at the default size of checkpoints and at one that it reaches all the time.
func TestKill(t *testing.T) {
	for name, checkpoint := range map[string]int{"log": 0, "checkpoints": 20_000} {
		t.Run(name, func(t *testing.T) {
			p := path(t)
			said := -1
			for range 4 {
				said = killed(t, p, checkpoint, said+40)
			}
			db := open(t, p, bolt.Options{})
			defer db.Close()
			if n := count(t, db); n <= said {
				t.Errorf("%d was said to be durable, %d keys are there", said, n)
			}
		})
	}
}

// killed runs a process that writes until it said that a number is durable, and returns the last one that it said.
func killed(t *testing.T, path string, checkpoint, until int) (said int) {
	cmd := child("kill", path, checkpoint)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said = -1
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Sscan(lines.Text(), &said)
		if said >= until {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if said < until {
		t.Fatalf("the child ended after %d", said)
	}
	return said
}

// TestDiskFull has no room for the log, or none for the file into which checkpoints take it.
func TestDiskFull(t *testing.T) {
	for name, checkpoint := range map[string]int{"log": 0, "checkpoints": 200_000} {
		t.Run(name, func(t *testing.T) {
			p := path(t)
			out, err := child("full", p, checkpoint).Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if strings.HasPrefix(string(out), "skip") {
				t.Skip("no limit on the size of files here")
			}
			db := open(t, p, bolt.Options{})
			defer db.Close()
			var want int
			fmt.Sscan(string(out), &want)
			if n := count(t, db); n != want {
				t.Errorf("%d keys are there, %d were durable", n, want)
			}
		})
	}
}

// fillDisk writes until the file may not grow any more, checks that only then writes fail, and goes on when there is
// room again. It prints how many keys it wrote.
func fillDisk(path string) int {
	db, err := bolt.Open(path, childOptions())
	if err != nil {
		panic(err)
	}
	written := 0
	write := func() error {
		err := db.Update(context.Background(), func(tx store.Tx) error { return tx.Put(space, key(written), make([]byte, 100<<10)) })
		if err == nil {
			written++
		}
		return err
	}
	for range 10 {
		if err := write(); err != nil {
			panic(err)
		}
	}
	lift, ok := limitFileSize(db.Size() + 1<<20)
	if !ok {
		fmt.Println("skip")
		return 0
	}
	// Pages may come free once more after the first failure.
	failures := 0
	for range 1000 {
		if err = write(); err == nil {
			failures = 0
		} else if failures++; failures == 3 {
			break
		}
	}
	if err == nil || errors.Is(err, store.ErrBroken) {
		fmt.Fprintln(os.Stderr, "on a full disk:", err)
		return 1
	}
	lift()
	for range 10 {
		if err := write(); err != nil {
			fmt.Fprintln(os.Stderr, "with room again:", err)
			return 1
		}
	}
	if err := db.Close(); err != nil {
		panic(err)
	}
	_, _ = io.WriteString(os.Stdout, fmt.Sprintln(written))
	return 0
}

func TestFree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if _, err := bolt.Free(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before there is a file: %v", err)
	}
	db, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if free, err := bolt.Free(path); free || err != nil {
		t.Errorf("while it is open: %v, %v", free, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if free, err := bolt.Free(path); !free || err != nil {
		t.Errorf("when it is closed: %v, %v", free, err)
	}
}
