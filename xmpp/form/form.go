// Package form reads and writes data forms (XEP-0004) and result set management (XEP-0059) as peers send them: with
// fields missing, repeated or unknown. What does not hold is a bad-request to the peer, never a panic.
package form

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"confab/xmpp"
)

// The types of forms (XEP-0004 §3.1).
const (
	TypeForm   = "form"
	TypeSubmit = "submit"
	TypeCancel = "cancel"
	TypeResult = "result"
)

// The types of fields (XEP-0004 §3.3).
const (
	Boolean     = "boolean"
	Fixed       = "fixed"
	Hidden      = "hidden"
	JIDMulti    = "jid-multi"
	JIDSingle   = "jid-single"
	ListMulti   = "list-multi"
	ListSingle  = "list-single"
	TextMulti   = "text-multi"
	TextPrivate = "text-private"
	TextSingle  = "text-single"
)

// FormType is the field that names what a form is for (XEP-0068).
const FormType = "FORM_TYPE"

// Form is a data form.
type Form struct {
	Type         string // TypeForm …
	Title        string
	Instructions []string
	Fields       []Field
	Reported     []Field   // of a result with several items: the columns
	Items        [][]Field // the rows
}

// Field is one field of a form.
type Field struct {
	Var      string // empty for Fixed only
	Type     string // Boolean …; empty in what is submitted
	Label    string
	Desc     string
	Required bool
	Values   []string
	Options  []Option
}

// Option is a choice of a list.
type Option struct {
	Label, Value string
}

// New returns a form for a purpose (XEP-0068).
func New(kind, formType string, fields ...Field) *Form {
	f := &Form{Type: kind}
	if formType != "" {
		f.Fields = append(f.Fields, Field{Var: FormType, Type: Hidden, Values: []string{formType}})
	}
	f.Fields = append(f.Fields, fields...)
	return f
}

func badRequest(format string, args ...any) *xmpp.Error {
	return xmpp.NewError(xmpp.BadRequest, fmt.Sprintf(format, args...))
}

// Parse reads <x xmlns='jabber:x:data'/>. The error is an *xmpp.Error, bad-request: n is no form, its type is unknown, or a
// field has no name or is there twice.
func Parse(n *xmpp.Node) (*Form, error) {
	if !n.Is(xmpp.NSDataForms, "x") {
		return nil, badRequest("a data form was expected")
	}
	f := &Form{Type: n.Attr("type")}
	switch f.Type {
	case TypeForm, TypeSubmit, TypeCancel, TypeResult:
	default:
		return nil, badRequest("the data form has no known type")
	}
	var err error
	for _, c := range n.Children {
		if c.Space != xmpp.NSDataForms {
			continue
		}
		switch c.Local {
		case "title":
			f.Title = c.Text
		case "instructions":
			f.Instructions = append(f.Instructions, c.Text)
		case "field":
			f.Fields, err = appendField(f.Fields, c)
		case "reported":
			f.Reported, err = parseFields(c)
		case "item":
			var row []Field
			row, err = parseFields(c)
			f.Items = append(f.Items, row)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := checkTwice(f.Fields); err != nil {
		return nil, err
	}
	return f, nil
}

func parseFields(n *xmpp.Node) (fields []Field, err error) {
	for _, c := range n.Children {
		if c.Is(xmpp.NSDataForms, "field") {
			if fields, err = appendField(fields, c); err != nil {
				return nil, err
			}
		}
	}
	return fields, checkTwice(fields)
}

func appendField(fields []Field, n *xmpp.Node) ([]Field, error) {
	f := Field{Var: n.Attr("var"), Type: n.Attr("type"), Label: n.Attr("label")}
	if f.Var == "" && f.Type != Fixed {
		return nil, badRequest("a field of the data form has no name")
	}
	for _, c := range n.Children {
		if c.Space != xmpp.NSDataForms {
			continue
		}
		switch c.Local {
		case "desc":
			f.Desc = c.Text
		case "required":
			f.Required = true
		case "value":
			f.Values = append(f.Values, c.Text)
		case "option":
			f.Options = append(f.Options, Option{Label: c.Attr("label"), Value: c.ChildText("", "value")})
		}
	}
	return append(fields, f), nil
}

// checkTwice refuses a field that is there twice: which one counts would be a guess.
func checkTwice(fields []Field) error {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if f.Var != "" && seen[f.Var] {
			return badRequest("the field %s is there twice", f.Var)
		}
		seen[f.Var] = true
	}
	return nil
}

// Field returns a field, nil if it is not there. It may be called on nil.
func (f *Form) Field(name string) *Field {
	if f == nil {
		return nil
	}
	for i := range f.Fields {
		if f.Fields[i].Var == name {
			return &f.Fields[i]
		}
	}
	return nil
}

// FormType returns what the form is for, "" if it does not say (XEP-0068).
func (f *Form) FormType() string {
	v, _, err := f.Text(FormType)
	if err != nil {
		return ""
	}
	return v
}

// Unknown returns the names of the fields that are not among the known ones. FORM_TYPE is always known.
func (f *Form) Unknown(known ...string) []string {
	var names []string
	for _, field := range f.Fields {
		if field.Var != "" && field.Var != FormType && !slices.Contains(known, field.Var) {
			names = append(names, field.Var)
		}
	}
	return names
}

// Values returns the values of a field; none if it is not there.
func (f *Form) Values(name string) []string {
	if field := f.Field(name); field != nil {
		return field.Values
	}
	return nil
}

// Text returns the value of a field. ok is false if the field is not there or has no value; several values are an
// error.
func (f *Form) Text(name string) (value string, ok bool, err error) {
	switch values := f.Values(name); len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", false, badRequest("the field %s has several values", name)
}

// Lines returns the value of a field of several lines (XEP-0004 §3.3: text-multi has a value a line).
func (f *Form) Lines(name string) (value string, ok bool) {
	values := f.Values(name)
	return strings.Join(values, "\n"), len(values) > 0
}

// Bool returns the value of a boolean field.
func (f *Form) Bool(name string) (value, ok bool, err error) {
	s, ok, err := f.Text(name)
	if !ok || err != nil {
		return false, false, err
	}
	switch strings.TrimSpace(s) {
	case "1", "true":
		return true, true, nil
	case "0", "false":
		return false, true, nil
	}
	return false, false, badRequest("the field %s must be true or false", name)
}

// Int returns the value of a field that holds a number which is not negative.
func (f *Form) Int(name string) (value int, ok bool, err error) {
	s, ok, err := f.Text(name)
	if !ok || err != nil {
		return 0, false, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0, false, badRequest("the field %s must be a number", name)
	}
	return int(n), true, nil
}

// JID returns the value of a field that holds an address.
func (f *Form) JID(name string) (value xmpp.JID, ok bool, err error) {
	s, ok, err := f.Text(name)
	if !ok || err != nil {
		return xmpp.JID{}, false, err
	}
	j, err := xmpp.ParseJID(strings.TrimSpace(s))
	if err != nil {
		return xmpp.JID{}, false, badRequest("the field %s must be an address", name)
	}
	return j, true, nil
}

// Append appends the form as XML.
func (f *Form) Append(dst []byte) []byte {
	dst = append(dst, "<x xmlns='"+xmpp.NSDataForms+"'"...)
	dst = append(xmpp.AppendAttr(dst, "type", f.Type), '>')
	if f.Title != "" {
		dst = appendElement(dst, "title", f.Title)
	}
	for _, s := range f.Instructions {
		dst = appendElement(dst, "instructions", s)
	}
	dst = appendFields(dst, f.Fields)
	if len(f.Reported) > 0 {
		dst = append(dst, "<reported>"...)
		dst = append(appendFields(dst, f.Reported), "</reported>"...)
	}
	for _, row := range f.Items {
		dst = append(dst, "<item>"...)
		dst = append(appendFields(dst, row), "</item>"...)
	}
	return append(dst, "</x>"...)
}

func appendFields(dst []byte, fields []Field) []byte {
	for i := range fields {
		f := &fields[i]
		dst = append(dst, "<field"...)
		for _, a := range [...]struct{ name, value string }{{"var", f.Var}, {"type", f.Type}, {"label", f.Label}} {
			if a.value != "" {
				dst = xmpp.AppendAttr(dst, a.name, a.value)
			}
		}
		dst = append(dst, '>')
		if f.Desc != "" {
			dst = appendElement(dst, "desc", f.Desc)
		}
		if f.Required {
			dst = append(dst, "<required/>"...)
		}
		for _, v := range f.Values {
			dst = appendElement(dst, "value", v)
		}
		for _, o := range f.Options {
			dst = append(dst, "<option"...)
			if o.Label != "" {
				dst = xmpp.AppendAttr(dst, "label", o.Label)
			}
			dst = appendElement(append(dst, '>'), "value", o.Value)
			dst = append(dst, "</option>"...)
		}
		dst = append(dst, "</field>"...)
	}
	return dst
}

// appendElement appends an element without attributes.
func appendElement(dst []byte, name, text string) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	dst = xmpp.AppendText(dst, text)
	return append(append(append(dst, "</"...), name...), '>')
}
