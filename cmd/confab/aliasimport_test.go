package main

import (
	"reflect"
	"strings"
	"testing"

	"confab/cmd/internal/admin"
)

func TestPostfixAliases(t *testing.T) {
	const text = `# the people
root:   alice
sales:  alice, bob,
	carol,
# in between
	"mallory d"@example.com
"two words": bob

postmaster: root
everything: "|/usr/bin/vacation alice", /var/mail/all, \bob
program: |/usr/bin/filter -x alice, bob
list: :include:/etc/postfix/list
named: Bob Baker <bob@example.com>
empty:
alice@example.com	ann@example.org
example.com	anything
@example.com	catchall
virtual@example.com  alice bob, carol
`
	type line struct {
		number           int
		address, members string
		notes            int
		problem          string
	}
	want := []line{
		{2, "root", "alice", 0, ""},
		{3, "sales", "alice bob carol mallory d@example.com", 0, ""},
		{7, "two words", "bob", 0, ""},
		{9, "postmaster", "root", 0, ""},
		{10, "everything", "bob", 2, ""},
		{11, "program", "bob", 1, ""},
		{12, "list", "", 0, ":include:/etc/postfix/list is not read"},
		{13, "named", "Bob Baker bob@example.com", 0, ""},
		{14, "empty", "", 0, ""},
		{15, "alice@example.com", "ann@example.org", 0, ""},
		{17, "@example.com", "catchall", 0, "@example.com catches the mail"},
		{18, "virtual@example.com", "alice bob carol", 0, ""},
	}
	got := parsePostfix(text)
	for i, w := range want {
		if i >= len(got) {
			t.Fatalf("%d aliases, want %d", len(got), len(want))
		}
		a := got[i]
		if a.Line != w.number || a.Address != w.address || strings.Join(a.Members, " ") != w.members || len(a.Notes) != w.notes ||
			!strings.HasPrefix(a.Problem, w.problem) || (a.Problem == "") != (w.problem == "") {
			t.Errorf("got %+v, want %+v", a, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d aliases, want %d: %+v", len(got), len(want), got[len(want):])
	}
}

// What is exported can be imported.
func TestAliasCSVRoundTrip(t *testing.T) {
	v := admin.Alias{
		Address: "sales@example.com", Kind: "room", Name: "Sales, and more", Description: "quotes \"and\" orders", Everyone: true,
		Members:  []admin.Member{{Address: "alice@example.com"}, {Address: "bob@example.com", Moderator: true}, {Address: "xmpp:eve@example.org"}},
		Settings: map[string]string{"post": "members", "history": "since-join"},
	}
	var b strings.Builder
	b.WriteString(strings.Join(aliasColumns, ",") + "\n")
	for i, cell := range aliasRecord(v) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + strings.ReplaceAll(cell, `"`, `""`) + `"`)
	}
	got, err := parseAliases("x.csv", "", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	want := admin.ImportAlias{
		Line: 2, Address: v.Address, Name: v.Name, Description: v.Description, Room: true, Everyone: true,
		Members: []string{"alice@example.com", "xmpp:eve@example.org"}, Moderators: []string{"bob@example.com"}, Settings: v.Settings,
	}
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "members\nalice\n", "address,address\n", "address,colour\nx,red\n", "address\n\"x\n"} {
		if list, err := parseAliases("x.csv", "", []byte(bad)); err == nil {
			t.Errorf("%q gave %+v", bad, list)
		}
	}
	if list, err := parseAliases("x.csv", "", []byte("address,kind,settings\na,club,\nb,,post\nc,,,d\n")); err != nil || len(list) != 3 || list[0].Problem == "" || list[1].Problem == "" || list[2].Problem == "" {
		t.Errorf("got %+v, %v", list, err)
	}
}

// Whatever a file holds: no entry is empty, none has a line's end in it, and nothing that is run or read gets through.
func FuzzPostfixAliases(f *testing.F) {
	f.Add("a: b, c\n\td\n# x\n\"q r\": \"|x y\", :include:/z\n@example.com y\nexample.com x\nz@example.com\ty")
	f.Add("a:\\")
	f.Add("\":")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range parsePostfix(text) {
			if a.Line < 1 || a.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("line %d of %q", a.Line, text)
			}
			for _, m := range a.Members {
				if m == "" || strings.Contains(m, "\n") || m[0] == '/' || m[0] == '|' || strings.HasPrefix(strings.ToLower(m), ":include:") {
					t.Fatalf("%q gave the member %q", text, m)
				}
			}
		}
	})
}

// With --update, too, an alias that is in the list twice is refused the second
// time, whether it was there before or not.
func TestAliasImportTwiceInTheList(t *testing.T) {
	bothWays(t, func(t *testing.T, c *cli) {
		c.ok("", "user", "add", "alice", "--no-password")
		c.ok("", "user", "add", "bob", "--no-password")
		file := c.file("aliases", "dup: alice\ndup: bob\n")
		for range 2 {
			c.fails(exitConflict, "1 of 2 aliases cannot be imported", "alias", "import", file, "--update")
			c.ok("", "alias", "import", file, "--update", "--skip")
			shown := lines[admin.AliasDetail](t, c.ok("", "alias", "show", "dup", "--json"))[0]
			if len(shown.Members) != 1 || shown.Members[0].Address != "alice@example.com" {
				t.Errorf("members: %+v", shown.Members)
			}
		}
	})
}

// What is no address makes no alias.
func TestAliasesOfNames(t *testing.T) {
	c := initialized(t)
	c.fails(exitUsage, `"Sales Team" has a blank in it`, "alias", "create", "Sales Team", "admin")
	c.ok("", "alias", "create", "sales", "admin")
	c.fails(exitUsage, `"Sales Team@example.com" has a blank in it`, "alias", "rename", "sales", "Sales Team")
	c.fails(exitUsage, "an alias stays on its domain, example.com", "alias", "rename", "sales", "sales@example.net")
	c.ok("", "alias", "rename", "sales", "Orders@Example.com")
	r := c.run("", "alias", "import", c.file("aliases.csv", "address,members\nSales Team,admin\n"))
	if r.code != exitUsage || !strings.Contains(r.out, "refuse  there is a blank in the address: is it a name?") {
		t.Errorf("%+v", r)
	}
	c.fails(exitUsage, "the text is not in UTF-8", "alias", "import", c.file("aliases", "m\xfcller: admin\n"))
	c.ok("", "alias", "import", c.file("more", "\"two words\": admin\n"))
	if got := c.ok("", "alias", "list"); !strings.Contains(got, `two\20words@example.com`) {
		t.Errorf("got %s", got)
	}
}

// With --update, an alias becomes what the file says, and what the file does not tell stays.
func TestAliasImportUpdate(t *testing.T) {
	bothWays(t, func(t *testing.T, c *cli) {
		for _, u := range []string{"alice", "bob", "carol"} {
			c.ok("", "user", "add", u, "--no-password")
		}
		show := func(alias string) (v admin.AliasDetail) {
			t.Helper()
			v = lines[admin.AliasDetail](t, c.ok("", "alias", "show", alias, "--json"))[0]
			v.Address = ""
			for _, m := range v.Members {
				local, _, _ := strings.Cut(m.Address, "@")
				if v.Address += " " + local; m.Moderator {
					v.Address += "!"
				}
			}
			return v
		}
		is := func(alias, members string) {
			t.Helper()
			if got := show(alias); got.Address != " "+members {
				t.Errorf("%s: members%s, want %s", alias, got.Address, members)
			}
		}
		imports := func(name, text, want string) {
			t.Helper()
			r := c.run("", "alias", "import", c.file(name, text), "--update")
			if r.code != exitOK || !strings.Contains(r.err, want) {
				t.Errorf("%+v, want %q", r, want)
			}
		}
		c.ok("", "alias", "create", "team", "alice", "bob", "--room", "--name", "The team", "--moderator", "alice")
		c.ok("", "alias", "create", "all", "--all-users")

		// A mail server's file has no moderators. An alias in its own list is a mailbox there.
		const text = "team: alice, bob, carol\nself: self, bob\n"
		imports("aliases", text, "aliases added: 1, changed: 1, as they were: 0, left out: 0")
		imports("aliases", text, "aliases added: 0, changed: 0, as they were: 2, left out: 0")
		is("team", "alice! bob carol")
		is("self", "bob")

		imports("names.csv", "address,name,description\nteam,,What we do\nall,Everybody,\nself,,\n", "changed: 2, as they were: 1")
		if v := show("team"); v.Name != "The team" || v.Description != "What we do" {
			t.Errorf("%+v", v)
		}
		is("team", "alice! bob carol")
		if v := show("all"); !v.Everyone || v.Name != "Everybody" {
			t.Errorf("%+v", v)
		}
		imports("moderators.csv", "address,moderators\nteam,bob\n", "changed: 1")
		is("team", "alice bob! carol")
		imports("nobody.csv", "address,members,moderators\nteam,carol,\nself,all-users,\n", "changed: 2")
		is("team", "carol")
		if v := show("self"); !v.Everyone || v.Settings["post"] != "admins" || v.Settings["announce"] != "on" { // as if it were new
			t.Errorf("%+v", v)
		}
		c.ok("", "alias", "create", "new", "bob")
		imports("posts.csv", "address,settings\nself,post=domain\n", "changed: 1")
		imports("same.csv", "address,members\nself,all-users\n", "as they were: 1")
		imports("some.csv", "address,members\nall,alice\nself,all-users\n", "changed: 1")
		if v := show("all"); v.Everyone || v.Address != " alice" {
			t.Errorf("%+v", v)
		}
		c.ok("", "alias", "set", "new", "--all-users")
		if v := show("new"); v.Settings["post"] != "admins" {
			t.Errorf("%+v", v)
		}
		c.ok("", "alias", "delete", "new", "--yes")

		// What is refused of those that exist is told beforehand, and nothing is done.
		const bad = "address,members,moderators,settings,kind\nnew,bob,,,\nteam,alice,,post=nobody,\nself,alice,,,room\n"
		if r := c.run("", "alias", "import", c.file("bad.csv", bad), "--update", "--dry-run"); r.code != exitOK ||
			!strings.Contains(r.out, "refuse  post is one of") || !strings.Contains(r.out, "stays a contact: 'confab alias convert self'") {
			t.Errorf("%+v", r)
		}
		c.fails(exitUsage, "1 of 3 aliases cannot be imported", "alias", "import", c.file("bad.csv", bad), "--update")
		is("team", "carol")
		c.fails(exitNotFound, "there is no alias new", "alias", "show", "new")
		c.ok("", "alias", "import", c.file("bad.csv", bad), "--update", "--skip")
		is("new", "bob")

		// What is exported changes nothing.
		imports("all.csv", c.ok("", "alias", "export"), "aliases added: 0, changed: 0, as they were: 4, left out: 0")
	})
}
