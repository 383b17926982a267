package search

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// killEnv names the folder in which a process indexes until it is killed.
const killEnv = "CONFAB_SEARCH_KILLED"

// TestSurvivesKill has a process that indexes killed, again and again, and finds what it had on disk.
func TestSurvivesKill(t *testing.T) {
	if dir := os.Getenv(killEnv); dir != "" {
		indexUntilKilled(t, dir)
	}
	m := setUp(t)
	for round := range 4 {
		m.Index.Close()
		child := exec.Command(os.Args[0], "-test.run=^TestSurvivesKill$")
		child.Env = append(os.Environ(), killEnv+"="+m.dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		lines := bufio.NewScanner(out)
		for n := 0; n < 10+7*round && lines.Scan(); n++ {
			if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		child.Wait()
		m.again()
		s := m.state()
		if last == 0 || s.Last < last || s.Documents != int(s.Last) {
			t.Errorf("round %d: %d were on disk, there is %+v", round, last, s)
		}
		if h := m.find(Wanted{Owner: 1, Query: query(t, "word")}); h.Total != int(s.Last) {
			t.Errorf("round %d: of %d messages %d are found", round, s.Last, h.Total)
		}
		if m.log.Len() > 0 {
			t.Errorf("round %d logged %s", round, m.log.String())
		}
	}
}

func indexUntilKilled(t *testing.T, dir string) {
	x := New(Options{Dir: dir})
	next := uint64(1)
	if err := x.View(context.Background(), func(s *Snapshot) error { next = s.Last + 1; return nil }); err != nil {
		t.Fatal(err)
	}
	for {
		b := Batch{Archive: "a"}
		for range 20 {
			b.Put = append(b.Put, doc(next, []uint64{1}, "word "+strings.Repeat("x", int(next%50))))
			b.Last = next
			next++
		}
		if err := x.Update(context.Background(), &b); err != nil {
			t.Fatal(err)
		}
		fmt.Println(b.Last)
	}
}
