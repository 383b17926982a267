//go:build unix

package search

import (
	"fmt"
	"io"
	"log"
	"os"
	"syscall"
	"testing"
)

// allowFiles lets so many more files be opened until lift is called.
func allowFiles(t *testing.T, more uint64) (lift func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(f.Fd())
	f.Close()
	limit := func(l syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			t.Error(err)
		}
	}
	limit(syscall.Rlimit{Cur: next + more, Max: old.Max})
	return func() { limit(old) }
}

// A machine that lacks something says nothing about what is in the files.
func TestTooManyOpenFiles(t *testing.T) {
	m := setUp(t)
	const n = 5
	for i := range uint64(n) {
		m.put(doc(i+1, []uint64{1}, fmt.Sprintf("some words %d", i)))
	}
	log.SetOutput(io.Discard) // the library's
	defer log.SetOutput(os.Stderr)
	failed := 0
	for more := range uint64(12) {
		m.again()
		lift := allowFiles(t, more)
		err := m.View(t.Context(), func(*Snapshot) error { return nil })
		lift()
		if err != nil {
			failed++
		}
		m.clock.Pass(2 * idle)
		if s := m.state(); s.Documents != n {
			t.Errorf("after an attempt with %d files there are %d documents: %v", more, s.Documents, err)
		}
	}
	if failed == 0 {
		t.Error("there were files enough")
	}
}
