package commands

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"confab/xmpp/form"
)

// What operations tell, as forms show it: by the JSON names of the fields.

// column is a field of what is shown, by its place in the struct.
type column struct {
	name string
	at   []int
}

// hidden are fields that mean something to programs only.
var hidden = []string{"", "-", "id", "xml"}

// columnsOf are the fields of a type, those of embedded ones in their place.
func columnsOf(t reflect.Type) (list []column) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			for _, c := range columnsOf(f.Type) {
				list = append(list, column{c.name, append([]int{i}, c.at...)})
			}
		case !slices.Contains(hidden, name):
			list = append(list, column{name, f.Index})
		}
	}
	return list
}

func label(name string) string { return strings.ReplaceAll(name, "_", " ") }

func reported(columns []column) (list []form.Field) {
	for _, c := range columns {
		list = append(list, form.Field{Var: c.name, Type: form.TextSingle, Label: label(c.name)})
	}
	return list
}

// row is an item of a table.
func row(columns []column, v reflect.Value) (list []form.Field) {
	for _, c := range columns {
		list = append(list, form.Field{Var: c.name, Values: []string{strings.Join(lines(v.FieldByIndex(c.at)), ", ")}})
	}
	return list
}

// show is a result as fields; what is empty is left out.
func show(v reflect.Value) (list []form.Field) {
	for _, c := range columnsOf(v.Type()) {
		values := lines(v.FieldByIndex(c.at))
		if len(values) == 0 {
			continue
		}
		f := form.Field{Var: c.name, Type: form.TextSingle, Label: label(c.name), Values: values}
		if kind := v.FieldByIndex(c.at).Kind(); kind == reflect.Slice || kind == reflect.Map {
			f.Type = form.TextMulti
		}
		list = append(list, f)
	}
	return list
}

// lines is a value as text: a line each of what there are several of.
func lines(v reflect.Value) (list []string) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if t, ok := v.Interface().(time.Time); ok {
		if t.IsZero() {
			return nil
		}
		return []string{t.UTC().Format(time.RFC3339)}
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			list = append(list, strings.Join(lines(v.Index(i)), ", "))
		}
	case reflect.Map:
		for _, k := range slices.SortedFunc(maps.Keys(asMap(v)), strings.Compare) {
			list = append(list, k+" = "+asMap(v)[k])
		}
	case reflect.Struct:
		for _, c := range columnsOf(v.Type()) {
			f := v.FieldByIndex(c.at)
			if f.Kind() == reflect.Bool {
				if f.Bool() {
					list = append(list, label(c.name))
				}
				continue
			}
			list = append(list, lines(f)...)
		}
	case reflect.Bool:
		if v.Bool() {
			list = []string{"yes"}
		}
	case reflect.String:
		if v.Len() > 0 {
			list = []string{v.String()}
		}
	default:
		list = []string{fmt.Sprint(v.Interface())}
	}
	return list
}

func asMap(v reflect.Value) map[string]string {
	m, _ := v.Interface().(map[string]string)
	return m
}
