package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What one server has exported another one takes over, and exports the same.
func TestUsersThereAndBack(t *testing.T) {
	first, second := initialized(t), initialized(t)
	folder := t.TempDir()
	one, two := filepath.Join(folder, "one.xml"), filepath.Join(folder, "two.xml")
	must := func(c *cli, args ...string) string {
		t.Helper()
		r := c.run("", args...)
		if r.code != exitOK {
			t.Fatalf("%v: %d %s", args, r.code, r.err)
		}
		return r.out + r.err
	}
	must(first, "user", "delete", "admin@example.com", "--yes")
	must(second, "user", "delete", "admin@example.com", "--yes")
	must(first, "user", "import", "../internal/server/testdata/transfer/prosody.xml")
	must(first, "user", "import", "../internal/server/testdata/transfer/ejabberd.xml")
	must(first, "user", "set", "romeo@example.com", "--name", "Romeo <&> Montague", "--group", "Montagues", "--hidden")
	if said := must(first, "user", "export", one); !strings.Contains(said, "users exported: 3") {
		t.Error(said)
	}
	if info, err := os.Stat(one); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	must(second, "user", "import", one)
	must(second, "user", "export", two)
	a, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(two)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("the first\n%s\nthe second\n%s", a, b)
	}
	if first.run("", "user", "export", one).code == exitOK {
		t.Error("a file was written over")
	}
}
