//go:build unix

package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAdopt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes files for others")
	}
	folder := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(folder, 10001, 10002); err != nil {
		t.Fatal(err)
	}
	l, err := Source{Flags: map[string]string{"data": folder, "domains": "example.com"}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Prepare(time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{FileName, "tls", "tls/key.pem", "tls/cert.pem"} {
		got, err := owner(filepath.Join(folder, name))
		if err != nil || got != (ids{10001, 10002}) {
			t.Errorf("%s belongs to %v, %v", name, got, err)
		}
	}
}
