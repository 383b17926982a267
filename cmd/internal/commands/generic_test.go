package commands

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"confab/cmd/internal/admin"
	"confab/xmpp"
	"confab/xmpp/form"
)

// Every operation that forms are made of takes what its own form asks for.
func TestFormsFit(t *testing.T) {
	for _, name := range offered {
		op := admin.Named(name)
		if op == nil {
			t.Fatalf("there is no operation %q", name)
		}
		if op.Title == "" || op.Reach == admin.OfServer {
			t.Errorf("%s: it has no title, or is not for administrators of a domain", name)
		}
		answer := form.New(form.TypeSubmit, "")
		asked := form.New(form.TypeForm, "")
		for _, p := range op.Params() {
			asked.Fields = append(asked.Fields, fields(p, nil)...)
		}
		for _, f := range asked.Fields {
			v := "1"
			if len(f.Options) > 0 {
				v = f.Options[len(f.Options)-1].Value
			}
			answer.Fields = append(answer.Fields, form.Field{Var: f.Var, Values: []string{v}})
		}
		if err := asked.Check(answer); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		given := map[string]any{}
		if err := collect(given, op.Params(), answer, false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, p := range op.Params() {
			if _, ok := given[p.Name]; !ok {
				t.Errorf("%s: %s is lost", name, p.Name)
			}
		}
		for given := range given {
			if !strings.Contains(describe(op), " "+given+" ") {
				t.Errorf("%s has no parameter %s", name, given)
			}
		}
	}
}

func describe(op *admin.Operation) string {
	text := " "
	for _, f := range op.Fields() {
		text += f.Name + " "
	}
	return text
}

// What is left empty changes nothing, unless the form had shown a value.
func TestCollect(t *testing.T) {
	params := admin.AliasSet.Params()
	answer := form.New(form.TypeSubmit, "",
		form.Field{Var: "address", Values: []string{"sales"}}, form.Field{Var: "name", Values: []string{""}}, form.Field{Var: "moderators"},
		form.Field{Var: "all_users", Values: []string{"0"}}, form.Field{Var: "max_fanout", Values: []string{""}},
		form.Field{Var: "settings.post", Values: []string{usual}}, form.Field{Var: "settings.label", Values: []string{"never"}})
	for shown, want := range map[bool]string{
		false: `{"address":"sales","settings":{"label":"never"}}`,
		true:  `{"address":"sales","all_users":false,"moderators":[],"name":"","settings":{"label":"never"}}`,
	} {
		given := map[string]any{}
		if err := collect(given, params, answer, shown); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(given); err != nil || string(got) != want {
			t.Errorf("%s, want %s: %v", got, want, err)
		}
	}
}

func TestShow(t *testing.T) {
	type inner struct {
		A string `json:"a"`
		B bool   `json:"b"`
	}
	type all struct {
		inner
		ID    int               `json:"id"`
		List  []inner           `json:"some_list"`
		Words []string          `json:"words"`
		Map   map[string]string `json:"map"`
		Nil   *string           `json:"nil"`
		N     int               `json:"n"`
	}
	v := all{inner: inner{"x", true}, List: []inner{{"y", true}, {"z", false}}, Map: map[string]string{"k": "v", "a": "b"}}
	var got []string
	for _, f := range show(reflect.ValueOf(v)) {
		got = append(got, f.Label+": "+strings.Join(f.Values, "; "))
	}
	if want := "a: x|b: yes|some list: y, b; z|map: a = b; k = v|n: 0"; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
}

// Whatever is filled in becomes parameters, or an error for the one who did.
func FuzzForm(f *testing.F) {
	f.Add("<field var='address'><value>sales</value></field><field var='settings.post'><value>domain</value></field>")
	f.Add("<field var='max_fanout'><value>-1</value></field><field var='room'><value>yes</value></field>")
	f.Add("<field var='members' type='boolean'/><field var='members.x'><value/><value/></field>")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := xmpp.ParseNode([]byte("<x xmlns='jabber:x:data' type='submit'>" + s + "</x>"))
		if err != nil {
			return
		}
		answer, err := form.Parse(n)
		if err != nil {
			return
		}
		for _, name := range offered {
			for _, shown := range []bool{false, true} {
				given := map[string]any{}
				err := collect(given, admin.Named(name).Params(), answer, shown)
				if err != nil && !errors.As(err, new(*xmpp.Error)) {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := json.Marshal(given); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
