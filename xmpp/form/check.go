package form

import (
	"slices"
	"strings"

	"confab/xmpp"
)

// Check holds a form that was filled in against the one that was to be filled in. The error is an *xmpp.Error,
// bad-request, that names the first field which is unknown, missing, or has values that its type does not allow. Empty
// values of addresses and lists are taken out: they are how some clients say that nothing was chosen.
func (f *Form) Check(answer *Form) error {
	if got := answer.FormType(); got != "" && got != f.FormType() {
		return badRequest("this is no answer to the form")
	}
	for i := range answer.Fields {
		got := &answer.Fields[i]
		if got.Var == "" || got.Var == FormType {
			continue
		}
		want := f.Field(got.Var)
		if want == nil {
			return badRequest("there is no field %s in the form", got.Var)
		}
		if err := want.check(got); err != nil {
			return err
		}
	}
	for i := range f.Fields {
		want := &f.Fields[i]
		if want.Required && !slices.ContainsFunc(answer.Values(want.Var), func(v string) bool { return v != "" }) {
			return badRequest("the field %s is missing", want.Var)
		}
	}
	return nil
}

// check holds the values of a field against its type (XEP-0004 §3.3).
func (f *Field) check(got *Field) error {
	switch f.Type {
	case Boolean, JIDSingle, JIDMulti, ListSingle, ListMulti:
		got.Values = slices.DeleteFunc(got.Values, func(v string) bool { return strings.TrimSpace(v) == "" })
	}
	if f.Type != JIDMulti && f.Type != ListMulti && f.Type != TextMulti && len(got.Values) > 1 {
		return badRequest("the field %s has several values", got.Var)
	}
	for _, v := range got.Values {
		switch f.Type {
		case Boolean:
			if !slices.Contains([]string{"0", "1", "true", "false"}, strings.TrimSpace(v)) {
				return badRequest("the field %s must be true or false", got.Var)
			}
		case JIDSingle, JIDMulti:
			if _, err := xmpp.ParseJID(strings.TrimSpace(v)); err != nil {
				return badRequest("the field %s must be an address, and %q is none", got.Var, v)
			}
		case ListSingle, ListMulti:
			if !slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == v }) {
				return badRequest("%q is no choice for the field %s", v, got.Var)
			}
		case TextMulti:
		default:
			if strings.ContainsAny(v, "\r\n") {
				return badRequest("the field %s has one line", got.Var)
			}
		}
	}
	return nil
}
