package server

import (
	"context"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"confab/cmd/internal/config"
	"confab/xmpp/feature"
)

// TestFeaturesAreAnnounced holds each handler against disco#info: clients ask
// only for what is announced there.
func TestFeaturesAreAnnounced(t *testing.T) {
	s := newServer(t, Options{})
	for _, missing := range feature.Unannounced(s.table.Features()) {
		t.Errorf("%s is neither announced nor silent", missing)
	}
}

// newServer makes a server of example.com that nobody is served by, with the flags given besides those that it needs.
func newServer(t testing.TB, o Options, more ...map[string]string) *Server {
	t.Helper()
	flags := map[string]string{
		"data": filepath.Join(t.TempDir(), "data"), "domains": "example.com", "listen-proxy": "127.0.0.1:0",
		"listen-starttls": "127.0.0.1:0", "listen-tls": "127.0.0.1:0", "listen-https": "127.0.0.1:0",
	}
	for _, m := range more {
		maps.Copy(flags, m)
	}
	settings, err := config.Source{Flags: flags}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := settings.Prepare(time.Now()); err != nil {
		t.Fatal(err)
	}
	s, err := New(context.Background(), settings, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
