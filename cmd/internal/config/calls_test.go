package config

import (
	"strings"
	"testing"
	"time"
)

func TestCalls(t *testing.T) {
	l := load(t, `domains = ["example.com"]
[[calls.servers]]
type = "stun"
host = "192.0.2.1"
[[calls.servers]]
type = "turns"
host = "turn.example.com"
port = 443
secret = "shared with coturn"
ttl = "1h"
domain = "Example.com"
`, Source{})
	want := []CallServer{
		{Type: "stun", Host: "192.0.2.1", Port: 3478, Transport: "udp", TTL: Duration{12 * time.Hour}},
		{Type: "turns", Host: "turn.example.com", Port: 443, Transport: "tcp", Secret: "shared with coturn", TTL: Duration{time.Hour}, Domain: "example.com"},
	}
	if got := l.Calls.Servers; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%d servers: %v", len(got), got)
	}
	for _, f := range Fields(l.Settings) {
		if strings.Contains(f.Shown(), "coturn") {
			t.Errorf("%s shows a secret", f.Name)
		}
	}
	for servers, want := range map[string]string{
		`[{type = "ftp", host = "x"}]`:                                                "no type",
		`[{type = "stun"}]`:                                                           "no host",
		`[{type = "stun", host = "x", port = 70000}]`:                                 "no port",
		`[{type = "stun", host = "x", transport = "sctp"}]`:                           "no transport",
		`[{type = "turn", host = "x"}]`:                                               "neither a secret",
		`[{type = "turn", host = "x", username = "u"}]`:                               "either a secret",
		`[{type = "turn", host = "x", secret = "s", username = "u", password = "p"}]`: "either a secret",
		`[{type = "turn", host = "x", secret = "s", ttl = "1m"}]`:                     "too short",
		`[{type = "turn", host = "x", secret = "s", ttl = "soon"}]`:                   "not a list of tables",
		`[{type = "turn", host = "x", secret = "s", domain = "other.example"}]`:       "none of the domains",
	} {
		_, err := write(t, "domains = ['example.com']", Source{Flags: map[string]string{"calls-servers": servers}}).Load()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", servers, err)
		}
	}
}
