package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/dialogue"
)

// What clients do shows in the figures for Prometheus, in those for people, and every question of the dashboard has an answer.
func TestFigures(t *testing.T) {
	w := startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{
		{Local: "alice", Password: "pw-alice"}, {Local: "bob", Password: "pw-bob"},
	}}}, Settings: []dialogue.Setting{{Key: "listen.metrics", Value: "127.0.0.1:0"}}}).(*world)
	address := w.Addr(dialogue.DirectTLS)
	alice, err := online(address, "example.com", "alice", "pw-alice")
	if err != nil {
		t.Fatal(err)
	}
	defer alice.conn.Close()
	if _, err := online(address, "example.com", "bob", "wrong"); err == nil {
		t.Fatal("logged in with a wrong password")
	}
	if err := alice.send("<message type='chat' to='bob@example.com'><body>hi</body></message><iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.await("iq"); err != nil {
		t.Fatal(err)
	}

	r, err := http.Get("http://" + w.server.Listening()["metrics"][0] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"confab_sessions 1", "confab_logins_total 1", "confab_logins_refused_total 1", "confab_messages_received_total 1",
		"confab_history_messages_total 1", "confab_history_failures_total 0"} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("there is no line %q", line)
		}
	}
	out, err := w.Operate("", "status", "--json")
	if err != nil {
		t.Fatal(err)
	}
	if s := lines[admin.Status](t, out)[0]; s.Counters["messages_received"] != 1 || s.Counters["logins_refused"] != 1 {
		t.Errorf("status tells of %v", s.Counters)
	} else if c := s.Commits; c == nil || c.Commits == 0 || c.Half <= 0 || c.Most < c.Half || c.Shared < 1 {
		t.Errorf("status tells of commits %+v", c)
	}
	if out, err = w.Operate("", "status"); err != nil || !strings.Contains(out, "commits of the history: half within ") {
		t.Errorf("status tells nothing of commits: %v, %s", err, out)
	}

	if out, err = w.Operate("", "config", "grafana"); err != nil {
		t.Fatal(err)
	}
	if !json.Valid([]byte(out)) {
		t.Error("the dashboard is no JSON")
	}
	questions := regexp.MustCompile(`((?:confab|process|go)_\w+)\{`).FindAllStringSubmatch(out, -1)
	if len(questions) == 0 {
		t.Error("the dashboard asks nothing")
	}
	for _, q := range questions {
		if !strings.Contains(string(text), "\n"+q[1]) {
			t.Errorf("the dashboard asks for %s, which there is not", q[1])
		}
	}
	// And the other way round: whatever is measured has its place there.
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (confab_\w+) `).FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(out, m[1]+"{") && !strings.Contains(out, m[1]+"_bucket{") {
			t.Errorf("the dashboard does not show %s", m[1])
		}
	}
}
