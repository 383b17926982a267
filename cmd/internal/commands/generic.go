package commands

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"confab/cmd/internal/admin"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// offered are the operations with forms of their own, in the order of the list;
// the others are in XEP-0133.
var offered = []string{
	"alias list", "alias show", "alias create", "alias set", "alias add", "alias remove", "alias rename", "alias convert", "alias delete",
	"room list", "room show", "room create", "room destroy", "room affiliation",
	"user show", "user set",
}

// nsConfab is what the nodes of these begin with.
const nsConfab = "urn:confab:commands:"

// generic makes a command of an operation, from its parameters. Those that
// change something that exists ask first what, and then show how it is.
func generic(op *admin.Operation) command {
	params := op.Params()
	c := command{
		node: nsConfab + strings.ReplaceAll(op.Name, " ", "-"),
		name: op.Title,
		op:   op,
	}
	noun, verb, _ := strings.Cut(op.Name, " ")
	ask := func(params []admin.Param, now func(c *call) (map[string]any, error)) func(c *call) (*form.Form, error) {
		return func(c *call) (*form.Form, error) {
			values, err := now(c)
			if err != nil {
				return nil, err
			}
			f := form.New(form.TypeForm, "")
			f.Title = op.Title
			for _, p := range params {
				if p.Name == "address" && verb != "create" {
					f.Fields = append(f.Fields, addressField(c, p, noun))
					continue
				}
				f.Fields = append(f.Fields, fields(p, values)...)
			}
			return f, nil
		}
	}
	nothing := func(*call) (map[string]any, error) { return nil, nil }
	switch {
	case verb == "set":
		show := admin.Named(noun + " show")
		c.steps = append(c.steps, ask(params[:1], nothing), ask(params[1:], func(c *call) (map[string]any, error) { return current(c, show) }))
	case len(params) > 0:
		c.steps = append(c.steps, ask(params, nothing))
	}
	c.run = func(c *call) (feature.Outcome, error) {
		given := map[string]any{}
		for _, answer := range c.Answers {
			if err := collect(given, params, answer, verb == "set"); err != nil {
				return feature.Outcome{}, err
			}
		}
		return perform(c, op, given)
	}
	return c
}

// maxChoices is how many addresses a form has to choose from; of more, one is typed.
const maxChoices = 200

// addressField asks for one of the aliases or rooms there are, or for a user.
func addressField(c *call, p admin.Param, noun string) form.Field {
	f := form.Field{Var: p.Name, Type: form.TextSingle, Label: p.Label, Required: p.Required}
	var options []form.Option
	option := func(address, name string) {
		label := address
		if name != "" {
			label = name + " (" + address + ")"
		}
		options = append(options, form.Option{Label: label, Value: address})
	}
	switch noun {
	case "alias":
		items, _, err := do(c, admin.AliasList, admin.AliasListParams{})
		if err != nil {
			return f
		}
		for _, x := range items {
			option(x.Address, x.Name)
		}
	case "room":
		items, _, err := do(c, admin.RoomList, admin.RoomListParams{})
		if err != nil {
			return f
		}
		for _, x := range items {
			option(x.Address, x.Name)
		}
	}
	if len(options) > 0 && len(options) <= maxChoices {
		f.Type, f.Options = form.ListSingle, options
	}
	return f
}

// current is how the thing is that the first form named, by JSON names.
func current(c *call, show *admin.Operation) (map[string]any, error) {
	address, _, err := c.Answers[0].Text("address")
	if err != nil {
		return nil, err
	}
	params, err := json.Marshal(map[string]string{"address": address})
	if err != nil {
		return nil, err
	}
	raw, err := c.Do(c, admin.Request{Operation: show.Name, Params: params, By: c.by}, admin.Output{})
	if err != nil {
		return nil, err
	}
	var now map[string]any
	if err := json.Unmarshal(raw, &now); err != nil {
		return nil, err
	}
	now["settings"] = now["all_settings"]
	return now, nil
}

// usual is the choice of who leaves a setting as it would be.
const usual = "default"

// fields are what a form has for a parameter, with the values of now.
func fields(p admin.Param, now map[string]any) []form.Field {
	f := form.Field{Var: p.Name, Type: form.TextSingle, Label: p.Label, Required: p.Required}
	if v, ok := now[p.Name]; ok {
		f.Values = valuesOf(v)
	}
	switch p.Kind {
	case admin.Lines, admin.Words:
		f.Type = form.TextMulti
	case admin.Secret:
		f.Type = form.TextPrivate
	case admin.Flag:
		f.Type = form.Boolean
		if len(f.Values) == 0 {
			f.Values = []string{"0"}
		}
	case admin.Choice:
		f.Type = form.ListSingle
		for _, o := range p.Options {
			f.Options = append(f.Options, form.Option{Label: o, Value: o})
		}
	case admin.Knobs:
		return knobs(p, now)
	}
	return []form.Field{f}
}

func valuesOf(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		if v {
			return []string{"1"}
		}
		return []string{"0"}
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	case []any:
		var list []string
		for _, e := range v {
			list = append(list, valuesOf(e)...)
		}
		return list
	}
	return nil
}

// knobs are the settings of an alias.
func knobs(p admin.Param, now map[string]any) (list []form.Field) {
	set, known := now[p.Name].(map[string]any)
	for _, k := range directory.Knobs {
		f := form.Field{Var: p.Name + "." + k.Name, Type: form.ListSingle, Label: k.Name + ": " + k.Help}
		if known {
			f.Values = valuesOf(set[k.Name])
		} else {
			f.Values = []string{usual}
			f.Options = append(f.Options, form.Option{Label: "as usual", Value: usual})
		}
		for _, v := range k.Values {
			f.Options = append(f.Options, form.Option{Label: v, Value: v})
		}
		list = append(list, f)
	}
	return list
}

// collect adds to the parameters what was filled in. What was left empty counts
// only if it was shown before.
func collect(given map[string]any, params []admin.Param, answer *form.Form, shown bool) error {
	for _, p := range params {
		if p.Kind == admin.Knobs {
			set, _ := given[p.Name].(map[string]string)
			for _, f := range answer.Fields {
				name, ok := strings.CutPrefix(f.Var, p.Name+".")
				if ok && len(f.Values) > 0 && f.Values[0] != usual {
					if set == nil {
						set = map[string]string{}
					}
					set[name] = f.Values[0]
				}
			}
			if set != nil {
				given[p.Name] = set
			}
			continue
		}
		field := answer.Field(p.Name)
		if field == nil {
			continue
		}
		v, err := valueOf(p, answer, field)
		if err != nil {
			return err
		}
		empty := v == nil || reflect.ValueOf(v).IsZero()
		if words, ok := v.([]string); ok {
			empty = len(words) == 0
		}
		if v != nil && (shown || !empty) {
			given[p.Name] = v
		}
	}
	return nil
}

func valueOf(p admin.Param, answer *form.Form, field *form.Field) (any, error) {
	switch p.Kind {
	case admin.Words:
		words := []string{}
		for _, v := range field.Values {
			if v = strings.TrimSpace(v); v != "" {
				words = append(words, v)
			}
		}
		return words, nil
	case admin.Lines:
		text, _ := answer.Lines(p.Name)
		return text, nil
	case admin.Flag:
		v, ok, err := answer.Bool(p.Name)
		if !ok || err != nil {
			return nil, err
		}
		return v, nil
	case admin.Number:
		if len(field.Values) == 0 || strings.TrimSpace(field.Values[0]) == "" {
			return nil, nil
		}
		n, _, err := answer.Int(p.Name)
		if err != nil {
			return nil, badPayload("the field " + p.Name + " must be a number")
		}
		return n, nil
	case admin.Choice:
		if len(field.Values) == 0 {
			return nil, nil
		}
	}
	text, _, err := answer.Text(p.Name)
	return strings.TrimSpace(text), err
}

// maxRows is how many items a command shows.
const maxRows = 1000

// perform has an operation carried out and shows what came of it.
func perform(c *call, op *admin.Operation, given map[string]any) (feature.Outcome, error) {
	params, err := json.Marshal(given)
	if err != nil {
		return feature.Outcome{}, err
	}
	table := form.New(form.TypeResult, "")
	table.Title = op.Title
	var columns []column
	if op.Streams() {
		columns = columnsOf(reflect.TypeOf(op.NewItem()).Elem())
		table.Reported = reported(columns)
	}
	more := 0
	raw, err := c.Do(c, admin.Request{Operation: op.Name, Params: params, By: c.by}, admin.Output{Item: func(raw json.RawMessage) error {
		if len(table.Items) >= maxRows {
			more++
			return nil
		}
		item := op.NewItem()
		if err := json.Unmarshal(raw, item); err != nil {
			return err
		}
		table.Items = append(table.Items, row(columns, reflect.ValueOf(item).Elem()))
		return nil
	}})
	if err != nil {
		return feature.Outcome{}, err
	}
	out := feature.Outcome{Form: table}
	if op.Streams() {
		if more > 0 {
			out.Notes = []feature.Note{{Severity: feature.NoteWarn, Text: strconv.Itoa(more) + " more are not shown"}}
		}
		return out, nil
	}
	result := op.NewResult()
	if err := json.Unmarshal(raw, result); err != nil {
		return feature.Outcome{}, err
	}
	table.Fields = slices.Concat(table.Fields, show(reflect.ValueOf(result).Elem()))
	if op.Audited {
		out.Notes = done("done").Notes
	}
	return out, nil
}
