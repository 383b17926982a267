package main

import (
	"encoding/json"
	"strings"
	"testing"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/dialogue"
)

// The administrators of a domain reach nothing of another: each operation is
// tried through their door, with everything of the other domain as parameters.
func TestDomainsApart(t *testing.T) {
	w := startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{
		{Name: "example.com", Users: []dialogue.User{{Local: "romeo", Password: "pw"}}},
		{Name: "capulet.example", Users: []dialogue.User{{Local: "juliet", Password: "pw"}}},
	}}).(*world)
	for _, args := range [][]string{
		{"alias", "create", "sales@capulet.example", "juliet@capulet.example"},
		{"room", "create", "hall@conference.capulet.example", "--owner", "juliet@capulet.example"},
	} {
		if _, err := w.Operate("", args...); err != nil {
			t.Fatal(err)
		}
	}
	state := func() string {
		var all strings.Builder
		for _, args := range [][]string{{"user", "list"}, {"alias", "list"}, {"room", "list"}, {"room", "show", "hall@conference.capulet.example"}, {"alias", "show", "sales@capulet.example"}} {
			out, err := w.Operate("", append(args, "--json")...)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out) {
				if strings.Contains(line, "capulet.example") {
					all.WriteString(line)
				}
			}
		}
		return all.String()
	}
	before := state()

	values := map[string][]any{ // by the names of parameters
		"address": {"juliet@capulet.example", "sales@capulet.example", "hall@conference.capulet.example", "new@capulet.example"},
		"domain":  {"capulet.example"},
		"owner":   {"juliet@capulet.example"}, "person": {"juliet@capulet.example"}, "member": {"juliet@capulet.example"},
		"to": {"sales@capulet.example"}, "text": {"x"}, "name": {"x"}, "affiliation": {"owner"}, "password": {"x"}, "admin": {true},
	}
	door := admin.For(w.server.Admin(), "example.com")
	tried := 0
	for _, op := range admin.Operations() {
		addresses := values["address"]
		for _, address := range addresses {
			params, named := map[string]any{}, false
			for _, f := range op.Fields() {
				switch {
				case f.Name == "address":
					params[f.Name], named = address, true
				case values[f.Name] != nil:
					params[f.Name] = values[f.Name][0]
					named = named || f.Name == "domain" || f.Name == "member"
				}
			}
			raw, err := json.Marshal(params)
			if err != nil {
				t.Fatal(err)
			}
			var seen strings.Builder
			result, err := door.Do(t.Context(), admin.Request{Operation: op.Name, Params: raw, By: "test"}, admin.Output{Item: func(item json.RawMessage) error {
				seen.Write(item)
				return nil
			}})
			tried++
			if err == nil && (named || op.Reach == admin.OfServer) {
				t.Errorf("%s %s is done: %s", op.Name, raw, result)
			}
			if got := seen.String() + string(result); strings.Contains(got, "capulet.example") {
				t.Errorf("%s %s tells %s", op.Name, raw, got)
			}
		}
	}
	if after := state(); after != before {
		t.Errorf("%s\nis now\n%s", before, after)
	}
	if tried < 100 {
		t.Errorf("only %d were tried", tried)
	}
}
