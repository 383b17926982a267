package form

import (
	"errors"
	"testing"

	"confab/xmpp"
)

func TestCheck(t *testing.T) {
	asked := New(TypeForm, "urn:test",
		Field{Var: "who", Type: JIDSingle, Required: true},
		Field{Var: "others", Type: JIDMulti},
		Field{Var: "kind", Type: ListSingle, Options: []Option{{Value: "contact"}, {Value: "room"}}},
		Field{Var: "open", Type: Boolean},
		Field{Var: "name", Type: TextSingle},
		Field{Var: "text", Type: TextMulti},
		Field{Var: "secret", Type: TextPrivate},
	)
	who := Field{Var: "who", Values: []string{"romeo@example.com"}}
	for name, test := range map[string]struct {
		formType string
		fields   []Field
		ok       bool
	}{
		"all":                  {"urn:test", []Field{who, {Var: "others", Values: []string{"a@b", "", "c"}}, {Var: "kind", Values: []string{"room"}}, {Var: "open", Values: []string{"1"}}, {Var: "text", Values: []string{"a", "", "b"}}}, true},
		"the least":            {"", []Field{who}, true},
		"nothing chosen":       {"", []Field{who, {Var: "kind", Values: []string{""}}, {Var: "open", Values: []string{""}}}, true},
		"missing":              {"", nil, false},
		"without value":        {"", []Field{{Var: "who"}}, false},
		"with an empty value":  {"", []Field{{Var: "who", Values: []string{" "}}}, false},
		"unknown":              {"", []Field{who, {Var: "whom"}}, false},
		"of another form":      {"urn:other", []Field{who}, false},
		"several values":       {"", []Field{{Var: "who", Values: []string{"a@b", "c@d"}}}, false},
		"several texts":        {"", []Field{who, {Var: "name", Values: []string{"a", "b"}}}, false},
		"no address":           {"", []Field{{Var: "who", Values: []string{"@"}}}, false},
		"no address of many":   {"", []Field{who, {Var: "others", Values: []string{"a@b", "@b"}}}, false},
		"no choice":            {"", []Field{who, {Var: "kind", Values: []string{"both"}}}, false},
		"no boolean":           {"", []Field{who, {Var: "open", Values: []string{"yes"}}}, false},
		"several lines in one": {"", []Field{who, {Var: "name", Values: []string{"a\nb"}}}, false},
		"lines in a password":  {"", []Field{who, {Var: "secret", Values: []string{"a\rb"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			answer := New(TypeSubmit, test.formType, test.fields...)
			err := asked.Check(answer)
			var e *xmpp.Error
			if test.ok && err != nil || !test.ok && (!errors.As(err, &e) || e.Condition != xmpp.BadRequest) {
				t.Errorf("%v", err)
			}
			if others := answer.Values("others"); len(others) == 3 {
				t.Errorf("an empty address is left: %q", others)
			}
		})
	}
}
