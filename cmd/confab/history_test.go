package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"confab/archive"
	"confab/cmd/internal/admin"
	"confab/cmd/internal/config"
	"confab/cmd/internal/server"
	"confab/xmpp"
)

// said is a message that is in the history of both sides.
type said struct{ from, to, body string }

// keep puts messages into the history, as a server does.
func (c *cli) keep(messages ...said) {
	c.Helper()
	l, err := config.Source{Env: c.env}.Load()
	if err != nil {
		c.Fatal(err)
	}
	s, err := server.Offline(context.Background(), l)
	if err != nil {
		c.Fatal(err)
	}
	defer s.Close()
	a := s.Admin()
	var batch []*archive.Message
	for i, m := range messages {
		from, to := xmpp.MustJID(m.from), xmpp.MustJID(m.to)
		text := fmt.Sprintf("<message xmlns='jabber:client' type='chat' id='%d' from='%s/phone' to='%s'><body>%s</body></message>", i, from, to, xmpp.AppendText(nil, m.body))
		kept := &archive.Message{Stanza: []byte(text), Type: xmpp.TypeChat, Flags: archive.HasBody}
		if strings.HasPrefix(m.body, "https://") {
			kept.Flags |= archive.HasFile
			kept.Stanza = []byte(strings.Replace(text, "</message>", "<x xmlns='jabber:x:oob'><url>"+m.body+"</url></x></message>", 1))
		}
		for _, side := range []struct {
			owner, with xmpp.JID
			incoming    bool
		}{{from, to, false}, {to, from, true}} {
			if u := a.Directory.User(side.owner); u != nil {
				kept.Rows = append(kept.Rows, archive.Row{Owner: u.ID, With: side.with, Incoming: side.incoming})
			}
		}
		batch = append(batch, kept)
	}
	if err := a.Archive.Keep(context.Background(), batch, archive.Also{}); err != nil {
		c.Fatal(err)
	}
}

// withHistory is a data folder in which alice, bob and carol have talked.
func withHistory(t *testing.T) *cli {
	t.Helper()
	c := initialized(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		c.ok("", "user", "add", name, "--no-password")
	}
	c.keep(
		said{"alice@example.com", "bob@example.com", "Hello Bob"},
		said{"bob@example.com", "alice@example.com", "Nguyễn has the quote\nand the\x9bdrawing"},
		said{"carol@example.com", "alice@example.com", "=1+1"},
		said{"alice@example.com", "bob@example.com", "https://files.example/plan.pdf"},
		said{"alice@example.com", "carol@example.com", "Goodbye"},
	)
	return c
}

func TestHistory(t *testing.T) {
	check := func(t *testing.T, c *cli) {
		var with []string
		for _, v := range lines[admin.Conversation](t, c.ok("", "history", "list", "alice", "--json")) {
			with = append(with, fmt.Sprint(v.With, " ", v.Messages))
		}
		if got := strings.Join(with, ", "); got != "bob@example.com 3, carol@example.com 2" {
			t.Errorf("list: %s", got)
		}

		got := c.ok("", "history", "show", "alice", "bob")
		if n := strings.Count(got, " → "); n != 3 || !strings.Contains(got, "Nguyễn has the quote\n    and the�drawing") {
			t.Errorf("show: %d messages in\n%s", n, got)
		}
		got = c.ok("", "history", "show", "alice", "bob@example.com", "--last", "1")
		if !strings.Contains(got, "plan.pdf") || strings.Contains(got, "Hello") {
			t.Errorf("show --last 1:\n%s", got)
		}

		r := c.run("", "history", "search", `"nguyen QUOTE"`)
		if r.code != exitOK || r.out != "" || r.err != "no messages found\n" {
			t.Errorf("search for what is not there: %+v", r)
		}
		for _, args := range [][]string{
			{"NGUYEN has"}, {"quote nguyen"}, {`"nguyen has"`}, {"--part", "guyen HAS"}, {"--text", "nguyễn"}, {"--from", "bob"}, {"--from", "bob@example.com/phone", "--to", "alice@example.com"},
			{"--user", "carol", "--with", "alice", "--text", "Goodbye"}, {"--user", "alice", "hello"},
		} {
			r := c.run("", append([]string{"history", "search"}, args...)...)
			if r.code != exitOK || strings.Count(r.out, " → ") != 1 || r.err != "1 messages\n" {
				t.Errorf("search %q: %+v", args, r)
			}
		}
		if got := c.ok("", "history", "search", "--from", "example.com", "--since", "1h", "--until", time.Now().Format(time.DateOnly), "--json"); strings.Count(got, "\n") != 5 {
			t.Errorf("search by domain and time:\n%s", got)
		}
		if got := c.ok("", "history", "search", "--until", "1h"); got != "" {
			t.Errorf("search before anything was said:\n%s", got)
		}
		c.fails(exitUsage, "before it begins", "history", "search", "--since", "2026-02-01", "--until", "2026-01-01")
		c.fails(exitUsage, "is no time", "history", "search", "--since", "yesterday")
		c.fails(exitUsage, "no word", "history", "search", "?!")
		c.fails(exitUsage, "at most 32 words", "history", "search", strings.Repeat("x ", 33))
		if got := c.ok("", "history", "reindex"); got != "indexed 5 messages\n" {
			t.Errorf("reindex: %s", got)
		}
		if got := c.ok("", "history", "search", "nguyen"); strings.Count(got, " → ") != 1 {
			t.Errorf("search by the index:\n%s", got)
		}
		c.fails(exitUsage, "Name the user", "history", "search", "--with", "alice")
		c.fails(exitNotFound, "there is no user dave@example.com", "history", "show", "dave", "alice")
		c.fails(exitUsage, "there is no format", "history", "export", "--format", "pdf")

		files := lines[admin.SharedFile](t, c.ok("", "history", "files", "bob", "--json"))
		if len(files) != 1 || files[0].URL != "https://files.example/plan.pdf" || files[0].From != "alice@example.com/phone" {
			t.Errorf("files: %+v", files)
		}
		if r := c.run("", "history", "files", "alice", "carol"); r.out != "" || r.err != "no files found\n" {
			t.Errorf("files: %+v", r)
		}
	}
	t.Run("offline", func(t *testing.T) { check(t, withHistory(t)) })
	t.Run("online", func(t *testing.T) {
		c := withHistory(t)
		c.serve()
		check(t, c)
	})
}

func TestHistoryExport(t *testing.T) {
	c := withHistory(t)
	file := filepath.Join(c.TempDir(), "out.csv")
	c.ok("", "history", "export", "--format", "csv", "--output", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != 6 || rows[3][6] != "'=1+1" {
		t.Errorf("%v, %q", err, rows)
	}
	c.fails(exitConflict, "is there already", "history", "export", "--output", file)

	type exported struct{ Body, Stanza string }
	all := lines[exported](t, c.ok("", "history", "export", "--format", "json", "--user", "bob"))
	if len(all) != 3 || all[0].Body != "Hello Bob" || !strings.HasPrefix(all[0].Stanza, "<message") {
		t.Errorf("%+v", all)
	}
}

// More than fits into one piece arrives whole, whatever the pieces cut through.
func TestLongExport(t *testing.T) {
	c := initialized(t)
	c.ok("", "user", "add", "alice", "--no-password")
	want := make([]said, 500)
	for i := range want {
		want[i] = said{"alice@example.com", "bob@example.net", strings.Repeat("ễ", i)}
	}
	c.keep(want...)
	stop := c.serve()
	online := c.ok("", "history", "export", "--format", "json")
	stop()
	if offline := c.ok("", "history", "export", "--format", "json"); offline != online {
		t.Error("the export differs while the server runs")
	}
	type exported struct{ Body string }
	got := lines[exported](t, online)
	if len(got) != len(want) {
		t.Fatalf("%d messages", len(got))
	}
	for i := range got {
		if got[i].Body != want[i].body {
			t.Fatalf("message %d: %q", i, got[i].Body)
		}
	}
}

// The history of somebody who was deleted is there for the auditor, and no
// namesake gets it.
func TestHistoryOfTheDeleted(t *testing.T) {
	c := withHistory(t)
	deleted := lines[admin.UserDeleted](t, c.ok("", "user", "delete", "bob", "--yes", "--json"))[0]
	if r := c.run("", "history", "list", "bob"); !strings.Contains(r.out, "alice@example.com") || !strings.Contains(r.err, "was deleted on") {
		t.Errorf("%+v", r)
	}
	c.ok("", "user", "add", "bob", "--no-password")
	if r := c.run("", "history", "list", "bob"); r.out != "" || r.err != "bob@example.com has no history\n" {
		t.Errorf("the namesake: %+v", r)
	}
	id := fmt.Sprint(deleted.ID)
	if got := c.ok("", "history", "show", "--id", id, "alice"); strings.Count(got, " → ") != 3 {
		t.Errorf("by id:\n%s", got)
	}
	c.ok("", "user", "delete", "bob", "--yes")
	c.fails(exitUsage, "--id "+id, "history", "list", "bob")
	c.fails(exitNotFound, "there never was", "history", "list", "--id", "4711")
	c.fails(exitUsage, "name a user", "history", "list")

	purged := lines[admin.UserDeleted](t, c.ok("", "user", "delete", "carol", "--yes", "--purge", "--json"))[0]
	if purged.Purged != 2 {
		t.Errorf("%d messages purged", purged.Purged)
	}
	if got := c.ok("", "history", "show", "alice", "carol@example.com"); strings.Count(got, " → ") != 2 {
		t.Errorf("alice lost what she has:\n%s", got)
	}
}

// Every look is noted, with who and what.
func TestHistoryAccesses(t *testing.T) {
	c := withHistory(t)
	c.env = append(c.env, "SUDO_USER=audrey")
	c.ok("", "history", "search", "quote")
	c.ok("", "history", "list", "alice")
	c.ok("", "history", "export")
	c.fails(exitNotFound, "", "history", "list", "nobody") // nothing to read, nothing to note
	var actions []string
	for _, x := range lines[archive.Access](t, c.ok("", "history", "accesses", "--json")) {
		actions = append(actions, x.Action)
		if !strings.Contains(x.By, "sudo by audrey") || time.Since(x.Time) > time.Minute {
			t.Errorf("%+v", x)
		}
		if x.Action == "history search" {
			var p admin.HistoryParams
			if err := json.Unmarshal(x.Details, &p); err != nil || p.Text != "quote" {
				t.Errorf("%s: %v", x.Details, err)
			}
		}
	}
	if got := strings.Join(actions, ", "); got != "history search, history list, history export" {
		t.Errorf("got %s", got)
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"2026-01-31":           time.Date(2026, 1, 31, 0, 0, 0, 0, time.Local),
		"2026-01-31 14:00":     time.Date(2026, 1, 31, 14, 0, 0, 0, time.Local),
		"2026-01-31T14:00:05":  time.Date(2026, 1, 31, 14, 0, 5, 0, time.Local),
		"2026-01-31T14:00:05Z": time.Date(2026, 1, 31, 14, 0, 5, 0, time.UTC),
		"7d":                   now.Add(-7 * 24 * time.Hour),
	} {
		if got, _, err := parseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s reads as %s, %v", text, got, err)
		}
	}
	p := period{since: "2026-01-31", until: "2026-01-31"}
	start, end, err := p.times(now)
	if err != nil || end.Sub(*start) != 24*time.Hour {
		t.Errorf("the day is from %s to %s, %v", start, end, err)
	}
}

// An export that fails leaves no file which could be taken for a whole one.
func TestHistoryExportThatFails(t *testing.T) {
	c := initialized(t)
	file := filepath.Join(c.TempDir(), "all.csv")
	c.fails(exitUsage, "there is no format", "history", "export", "--format", "excel", "--output", file)
	c.fails(exitNotFound, "there is no user", "history", "export", "--user", "nobody", "--output", file)
	c.ok("", "history", "export", "--format", "csv", "--output", file)
	c.fails(exitConflict, "is there already: name another file", "history", "export", "--format", "csv", "--output", file)
	c.fails(exitConflict, "is there already: name another file", "user", "export", file)
}
