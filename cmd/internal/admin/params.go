package admin

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
)

// Kind is what a parameter holds.
type Kind uint8

// The kinds.
const (
	Line   Kind = iota // a line of text
	Lines              // a text
	Secret             // a password
	Words              // several lines of text
	Flag               // true or false
	Number
	Choice // one of Options
	Knobs  // settings of an alias, by name
)

// Param is a parameter of an operation, as a form asks for it.
type Param struct {
	Name     string // in JSON
	Label    string
	Kind     Kind
	Required bool
	Options  []string
}

// Params are the parameters that forms ask for, in their order: those with a
// label. Their tags are: json, the name; label; choice, the options; form, with
// the words required, lines and secret.
func (o *Operation) Params() []Param {
	var list []Param
	for i := range o.params.NumField() {
		f := o.params.Field(i)
		label := f.Tag.Get("label")
		if label == "" {
			continue
		}
		p := Param{Name: jsonName(f), Label: label, Kind: kindOf(f.Type)}
		for word := range strings.SplitSeq(f.Tag.Get("form"), ",") {
			switch word {
			case "required":
				p.Required = true
			case "lines":
				p.Kind = Lines
			case "secret":
				p.Kind = Secret
			}
		}
		if choice := f.Tag.Get("choice"); choice != "" {
			p.Kind, p.Options = Choice, strings.Split(choice, "|")
		}
		list = append(list, p)
	}
	return list
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func kindOf(t reflect.Type) Kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return Flag
	case reflect.Int:
		return Number
	case reflect.Slice:
		return Words
	case reflect.Map:
		return Knobs
	}
	return Line
}

// Streams reports whether the operation tells items before its result.
func (o *Operation) Streams() bool { return o.item != reflect.TypeFor[None]() }

// NewResult and NewItem return pointers to what the JSON of a result and of an
// item stands for.
func (o *Operation) NewResult() any { return reflect.New(o.result).Interface() }
func (o *Operation) NewItem() any   { return reflect.New(o.item).Interface() }

// For is a door for the administrators of a domain: all that goes through it
// concerns that domain alone, or is refused.
func For(d Door, domain string) Door { return domainDoor{d, domain} }

type domainDoor struct {
	Door
	domain string
}

func (d domainDoor) Do(ctx context.Context, r Request, out Output) (json.RawMessage, error) {
	if d.domain == "" {
		return nil, failf(Forbidden, "no domain is named")
	}
	r.Domain = d.domain
	return d.Door.Do(ctx, r, out)
}
