package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"confab/cmd/internal/admin"
)

func TestUserLife(t *testing.T) {
	bothWays(t, func(t *testing.T, c *cli) {
		if got := c.ok("secret\n", "user", "add", "Alice@Example.com", "--name", "Alice Archer", "--group", "Sales", "--group", "Board"); got != "alice@example.com: added\n" {
			t.Errorf("add: %q", got)
		}
		c.fails(exitConflict, "there is a user alice@example.com already", "user", "add", "alice", "--generate")
		c.fails(exitUsage, "is not served here, only example.com", "user", "add", "alice@example.net", "--generate")
		c.fails(exitUsage, "--generate", "user", "add", "bob")
		c.fails(exitUsage, "", "user", "add", "bob smith@x@", "--generate")

		u := lines[admin.User](t, c.ok("", "user", "add", "o'brien@example.com", "--generate", "--json"))[0]
		if u.Address != `o\27brien@example.com` || len(u.Password) < 20 {
			t.Errorf("added %+v", u)
		}
		c.ok("", "user", "set", "o'brien", "--name", "Miles", "--hidden", "--add-group", "Engineering")
		c.ok("", "user", "set", "alice", "--remove-group", "Board", "--admin")
		c.ok("", "user", "disable", "o'brien@example.com")

		want := `ADDRESS               NAME           GROUPS       STATE
admin@example.com     Administrator               admin, hidden
alice@example.com     Alice Archer   Sales        admin
o\27brien@example.com Miles          Engineering  disabled, hidden
`
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
		if got := c.ok("", "user", "list"); squeeze(got) != squeeze(want) {
			t.Errorf("list:\n%s", got)
		}
		if got := lines[admin.User](t, c.ok("", "user", "list", "--json", "--group", "Sales")); len(got) != 1 || got[0].Name != "Alice Archer" {
			t.Errorf("list --group: %+v", got)
		}
		c.ok("", "user", "enable", "o'brien")
		shown := lines[admin.UserShown](t, c.ok("", "user", "show", "o'brien", "--json"))[0]
		if shown.Disabled || !shown.HasPassword || shown.Name != "Miles" {
			t.Errorf("show: %+v", shown)
		}
		c.ok("other\n", "user", "passwd", "alice")

		c.fails(exitUsage, "--yes", "user", "delete", "alice")
		c.ok("", "user", "delete", "alice", "--yes")
		c.fails(exitNotFound, "there is no user alice@example.com", "user", "show", "alice")
		c.fails(exitNotFound, "there is no user", "user", "delete", "alice", "--yes", "--purge")
		c.fails(exitUsage, "say what to change", "user", "set", "o'brien")
	})
}

func TestSeveralDomainsNeedWholeAddresses(t *testing.T) {
	c := newCLI(t)
	c.env[1] = "CONFAB_DOMAINS=example.com,example.org"
	c.ok("", "config", "init")
	c.fails(exitUsage, "which domain?", "user", "add", "alice", "--generate")
	c.ok("", "user", "add", "alice@example.org", "--no-password")
	c.ok("", "user", "add", "alice@example.com", "--no-password")
	if got := c.ok("", "user", "list", "--domain", "example.org", "--json"); len(lines[admin.User](t, got)) != 1 {
		t.Errorf("got %s", got)
	}
	if got := c.ok("", "user", "show", "alice@example.org"); !strings.Contains(got, "nobody can log in") {
		t.Errorf("got %s", got)
	}
	c.env[1] = "CONFAB_DOMAINS=example.com"
	c.serve()
	if got := c.ok("", "status"); !strings.Contains(got, "example.org is not among domains: its users, 1, are kept but cannot log in") {
		t.Errorf("status without the domain: %s", got)
	}
}

func TestUserImport(t *testing.T) {
	bothWays(t, func(t *testing.T, c *cli) {
		file := c.file("staff.csv", "\xef\xbb\xbfName,Address,Groups,Password\n"+
			"Alice Archer,alice@example.com,Sales;Board,secret\n"+
			"\"Baker, Bob\",bob,,\n")
		r := c.run("", "user", "import", file, "--dry-run")
		if r.code != exitOK || !strings.Contains(r.err, "would be added: 2") {
			t.Errorf("dry run: %+v", r)
		}
		if got := lines[admin.User](t, c.ok("", "user", "list", "--json")); len(got) != 1 {
			t.Errorf("after the dry run: %+v", got)
		}
		if got := c.ok("", "user", "import", file, "--generate"); !strings.HasPrefix(got, "bob@example.com,") || strings.Count(got, "\n") != 1 {
			t.Errorf("generated: %q", got)
		}
		users := lines[admin.User](t, c.ok("", "user", "list", "--json"))
		if len(users) != 3 || users[1].Name != "Alice Archer" || strings.Join(users[1].Groups, ";") != "Sales;Board" || users[2].Name != "Baker, Bob" {
			t.Errorf("users: %+v", users)
		}

		bad := c.file("bad.csv", "carol,Carol\nalice,Alice\n@,Nobody\ncarol,Carol again\ndave@example.net,Dave\n")
		r = c.run("", "user", "import", bad)
		for _, want := range []string{"line 2: there is a user alice@example.com already", "line 3: ", "line 4: carol@example.com is in the list twice", "line 5: the domain \"example.net\" is not served here", "nothing was imported", "--update"} {
			if !strings.Contains(r.err, want) {
				t.Errorf("no %q in %s", want, r.err)
			}
		}
		if r.code != exitConflict {
			t.Errorf("exit code %d", r.code)
		}
		c.fails(exitNotFound, "carol", "user", "show", "carol")

		update := c.file("update.csv", "alice,Alice Cooper\ncarol,Carol\n")
		c.ok("", "user", "import", "--update", update)
		users = lines[admin.User](t, c.ok("", "user", "list", "--json"))
		if len(users) != 4 || users[1].Name != "Alice Cooper" || len(users[1].Groups) != 2 {
			t.Errorf("users: %+v", users)
		}
	})
}

func TestUserImportFromStandardInput(t *testing.T) {
	c := initialized(t)
	if got := c.run("dave,Dave\n", "user", "import", "-"); got.code != exitOK || got.err != "users added: 1, updated: 0\n" {
		t.Errorf("%+v", got)
	}
}

// More than one chunk, and progress on the way.
func TestUserImportMany(t *testing.T) {
	c := initialized(t)
	c.serve()
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "user%d,User %d,Group %d\n", i, i, i%7)
	}
	file := c.file("many.csv", b.String())
	c.ok("", "user", "import", file)
	if got := lines[admin.User](t, c.ok("", "user", "list", "--json")); len(got) != 1001 {
		t.Errorf("%d users", len(got))
	}
}

func TestBadCSV(t *testing.T) {
	c := newCLI(t)
	for _, test := range []struct{ text, want string }{
		{"", "there are no users"},
		{"address,name\n", "there are no users"},
		{"address,age\nalice,7\n", `staff.csv:1: there is no column "age"`},
		{"address,name,name\n", "the column name is there twice"},
		{"alice,Alice,Sales,secret,more\n", "staff.csv:1: there are 5 columns"},
		{"address;name;groups\nalice;Alice;Sales\n", "separated by semicolons"},
		{"alice,\"Alice\nbob,Bob\n", "staff.csv: record on line 1"},
		{"address\tname\nalice\tAlice\n", "separated by tabs"},
		{"address,name\nmueller,M\xfcller\n", "staff.csv: the text is not in UTF-8"},
		{"\xff\xfea\x00\n\x00", "staff.csv: the text is not in UTF-8"},
		{"Name,Mail address\nAlice Archer,alice@example.com\n", "staff.csv:2: alice@example.com is in column 2, but the file does not name its columns"},
		{"First,Last,Mail address\nAlice,Archer,alice@example.com\n", "staff.csv:2: alice@example.com is in column 3"},
	} {
		c.fails(exitUsage, test.want, "user", "import", c.file("staff.csv", test.text))
	}
	c.fails(exitFailed, "no such file", "user", "import", filepath.Join(c.dir, "none.csv"))
}

// A list whose first column holds names makes nobody an account.
func TestNamesAreNoAddresses(t *testing.T) {
	bothWays(t, func(t *testing.T, c *cli) {
		const want = `"Alice Archer" has a blank in it, as no mail address has: is it a name?`
		c.fails(exitUsage, "line 2: "+want, "user", "import", c.file("staff.csv", "bob,Bob\nAlice Archer,Sales\n"))
		c.fails(exitUsage, want, "user", "add", "Alice Archer", "--generate")
		c.ok("", "user", "add", `"Alice Archer"@example.com`, "--no-password")
		c.ok("", "user", "import", c.file("mail.csv", "E-Mail,Full name,Department\nbob@example.com,Bob,Sales\n"))
		if got := lines[admin.User](t, c.ok("", "user", "list", "--json", "--group", "Sales")); len(got) != 1 || got[0].Address != "bob@example.com" || got[0].Name != "Bob" {
			t.Errorf("got %+v", got)
		}
	})
}

// limited cancels when so many lines were written.
type limited struct {
	bytes.Buffer
	lines  int
	cancel func()
}

func (l *limited) Write(p []byte) (int, error) {
	n, err := l.Buffer.Write(p)
	if bytes.Count(l.Bytes(), []byte{'\n'}) >= l.lines {
		l.cancel()
	}
	return n, err
}

// An import that is interrupted leaves nobody with a password that nobody
// knows, and is taken up again.
func TestInterruptedImportLosesNoPassword(t *testing.T) {
	c := initialized(t)
	var b strings.Builder
	for i := range 2100 {
		fmt.Fprintf(&b, "user%d\n", i)
	}
	file := c.file("many.csv", b.String())
	ctx, cancel := context.WithCancel(t.Context())
	out := &limited{lines: 10, cancel: cancel}
	var errOut bytes.Buffer
	a := &app{in: strings.NewReader(""), out: out, err: &errOut, env: c.env}
	if code := a.run(ctx, []string{"user", "import", file, "--generate"}); code != exitFailed || !strings.Contains(errOut.String(), "run it again with --update for the rest") {
		t.Errorf("exit code %d\n%s", code, errOut.String())
	}
	known := func() int { return strings.Count(out.String(), "@example.com,") }
	if users := len(lines[admin.User](t, c.ok("", "user", "list", "--json"))) - 1; users == 0 || users == 2100 || users != known() {
		t.Errorf("%d users were added, %d passwords told", users, known())
	}
	out.WriteString(c.ok("", "user", "import", file, "--generate", "--update"))
	if known() != 2100 {
		t.Errorf("%d passwords told of 2100", known())
	}
}

// Who has no password yet gets one.
func TestImportGeneratesForThoseWithout(t *testing.T) {
	bothWays(t, func(t *testing.T, c *cli) {
		file := c.file("staff.csv", "alice,Alice\nbob,Bob\n")
		c.ok("", "user", "import", file)
		c.ok("secret\n", "user", "passwd", "bob")
		if got := c.ok("", "user", "import", file, "--update", "--generate"); !strings.HasPrefix(got, "alice@example.com,") || strings.Count(got, "\n") != 1 {
			t.Errorf("got %q", got)
		}
		if got := c.ok("", "user", "import", file, "--update", "--generate"); got != "" {
			t.Errorf("the second time: %q", got)
		}
	})
}

// broken takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A password that could not be printed is no success.
func TestOutputThatCannotBeWritten(t *testing.T) {
	c := initialized(t)
	for _, args := range [][]string{{"user", "add", "alice", "--generate"}, {"user", "invite", "bob"}, {"token", "create", "intranet"}, {"config", "dns", "--host", "chat.example.com", "--listen-tls", ":5223"}, {"--help"}} {
		var errOut bytes.Buffer
		a := &app{in: strings.NewReader(""), out: broken{}, err: &errOut, env: c.env}
		if code := a.run(t.Context(), args); code != exitFailed || errOut.String() != "confab: the output cannot be written: no space left on device\n" {
			t.Errorf("%v: exit code %d\n%s", args, code, errOut.String())
		}
	}
}

// Passwords reach neither the audit log nor the list of processes.
func TestAuditLog(t *testing.T) {
	c := initialized(t)
	c.ok("topsecret\n", "user", "add", "alice", "--name", "Alice")
	c.ok("", "user", "import", c.file("staff.csv", "bob,Bob,,topsecret\n"))
	c.fails(exitNotFound, "", "user", "disable", "nobody")
	log, err := os.ReadFile(filepath.Join(c.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"operation":"user add","params":{"address":"alice","name":"Alice"}}`,
		`"operation":"user import","params":{"dry_run":false,"update":false,"users":1}}`,
		`"operation":"user disable","error":"there is no user nobody@example.com`,
	} {
		if !strings.Contains(string(log), want) {
			t.Errorf("no %s in\n%s", want, log)
		}
	}
	if strings.Contains(string(log), "topsecret") {
		t.Errorf("a password is in the audit log:\n%s", log)
	}
}

func TestLiveCommandsNeedAServer(t *testing.T) {
	c := initialized(t)
	for _, args := range [][]string{{"status"}, {"reload"}, {"stop"}, {"user", "sessions"}, {"user", "kick", "admin"}} {
		c.fails(exitNotRunning, "no server runs on "+c.dir, args...)
	}
}

func TestSessionsOfNobody(t *testing.T) {
	c := initialized(t)
	c.serve()
	if got := c.ok("", "user", "sessions"); got != "" {
		t.Errorf("got %q", got)
	}
	if got := c.ok("", "user", "kick", "admin", "--json"); got != "{\"sessions\":[]}\n" {
		t.Errorf("got %q", got)
	}
	c.fails(exitNotFound, "confab user sessions", "user", "kick", "admin/phone")
}

// Users who exist are checked before anything is imported, as new ones are.
func TestUserImportUpdate(t *testing.T) {
	bothWays(t, func(t *testing.T, c *cli) {
		c.ok("", "user", "add", "alice", "--no-password")
		c.ok("", "user", "add", "bob", "--no-password", "--group", "Sales")
		bad := c.file("bad.csv", "address,name\ncarol,Carol\nalice,Alice\nbob,"+strings.Repeat("x", 2000)+"\n")
		for _, flag := range []string{"--update", "--dry-run"} {
			c.fails(exitUsage, "line 4: the display name of bob@example.com is longer", "user", "import", bad, "--update", flag)
		}
		if got := c.ok("", "user", "list"); strings.Contains(got, "Alice") || strings.Contains(got, "carol") {
			t.Errorf("imported:\n%s", got)
		}
		list := c.file("staff.csv", "address,name,groups\ncarol,Carol,\nalice,Alice,\nbob,,Board;Sales\n")
		for range 2 {
			if r := c.run("", "user", "import", list, "--update"); r.code != exitOK {
				t.Fatalf("%+v", r)
			}
		}
		for _, u := range lines[admin.User](t, c.ok("", "user", "list", "--json")) {
			if local, _, _ := strings.Cut(u.Address, "@"); local == "alice" && u.Name != "Alice" || local == "bob" && strings.Join(u.Groups, " ") != "Board Sales" {
				t.Errorf("%+v", u)
			}
		}
	})
}
