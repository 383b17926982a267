package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Field is one setting: a leaf of Settings, with all its names.
type Field struct {
	Name string // as in the file: listen.starttls
	Doc  string
	Live bool // a reload is enough

	value reflect.Value
}

// Section is a table of the file.
type Section struct {
	Name   string // "" for the top
	Doc    string
	Fields []Field
}

// Sections lists the settings of s in the order of the file.
func Sections(s *Settings) []Section {
	v := reflect.ValueOf(s).Elem()
	top := Section{}
	var tables []Section
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("toml")
		if f.Type.Kind() != reflect.Struct {
			top.Fields = append(top.Fields, field("", f, v.Field(i)))
			continue
		}
		table := Section{Name: name, Doc: f.Tag.Get("doc")}
		for j := range f.Type.NumField() {
			table.Fields = append(table.Fields, field(name+".", f.Type.Field(j), v.Field(i).Field(j)))
		}
		tables = append(tables, table)
	}
	return append([]Section{top}, tables...)
}

func field(prefix string, f reflect.StructField, v reflect.Value) Field {
	return Field{
		Name:  prefix + f.Tag.Get("toml"),
		Doc:   f.Tag.Get("doc"),
		Live:  f.Tag.Get("live") == "yes",
		value: v,
	}
}

// Fields lists the settings of s.
func Fields(s *Settings) []Field {
	var all []Field
	for _, section := range Sections(s) {
		all = append(all, section.Fields...)
	}
	return all
}

// Env is the environment variable of the setting.
func (f Field) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, ".", "_"))
}

// Flag is the command line flag of the setting, without the dashes.
func (f Field) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(f.Name) }

// Key is the name inside its table of the file.
func (f Field) Key() string { return f.Name[strings.LastIndexByte(f.Name, '.')+1:] }

// Text is the value in the form that Set reads.
func (f Field) Text() string {
	switch v := f.value.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	default:
		if f.isTables() {
			return inlineTables(f.value, false)
		}
		return fmt.Sprint(v)
	}
}

// Any is the value for JSON, without secrets.
func (f Field) Any() any { return f.value.Interface() }

// Shown is the value as it stands in the file, without secrets.
func (f Field) Shown() string {
	if f.isTables() {
		return "[" + strings.Trim(inlineTables(f.value, true), "[]") + "]"
	}
	return f.TOML()
}

// TOML is the value as it stands in the file.
func (f Field) TOML() string {
	switch v := f.value.Interface().(type) {
	case int:
		return fmt.Sprint(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quoteTOML(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	default:
		if f.isTables() {
			return "[" + strings.Trim(f.Text(), "[]") + "]"
		}
		return quoteTOML(f.Text())
	}
}

// quoteTOML writes a TOML basic string; strconv.Quote's \x and \a are not TOML.
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// example is how a value may stand in the file.
func (f Field) example() string {
	switch {
	case f.Name == "domains":
		return `["example.com"]`
	case f.isTables():
		return `[{name = "value"}]`
	case f.value.Kind() == reflect.Slice && f.value.Len() == 0:
		return `["value"]`
	}
	return f.TOML()
}

// Set reads a value as it stands in a flag or in the environment. Lists are
// separated by commas; "off" is the empty list.
func (f Field) Set(text string) error {
	if u, ok := f.value.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if f.isTables() {
		return f.setTables(text)
	}
	switch f.value.Kind() {
	case reflect.String:
		f.value.SetString(text)
	case reflect.Slice:
		f.value.Set(reflect.ValueOf(splitList(text)))
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no number", text)
		}
		f.value.SetInt(int64(n))
	default:
		return errors.New("cannot be set from text")
	}
	return nil
}

func splitList(text string) []string {
	list := []string{}
	if text == "off" {
		return list
	}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// Changes compares two loads of the settings: what a reload changes now, and
// what has to wait for a restart.
func Changes(old, new *Settings) (live, restart []string) {
	was := Fields(old)
	for i, f := range Fields(new) {
		if was[i].Text() == f.Text() {
			continue
		}
		if f.Live {
			live = append(live, f.Name)
		} else {
			restart = append(restart, f.Name)
		}
	}
	return live, restart
}

// Keep takes from old what a reload does not change, so that s says what is in force. The listeners that stay may need
// their web.url.
func (s *Settings) Keep(old *Settings) {
	was := Fields(old)
	for i, f := range Fields(s) {
		if !f.Live {
			f.value.Set(was[i].value)
		}
	}
	if s.HasWeb() && len(s.Listen.HTTPS) == 0 && s.Web.URL == "" {
		s.Web.URL = old.Web.URL
	}
}
