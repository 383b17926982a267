package config

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Secret is a text that is not shown to whoever looks at the settings.
type Secret string

// hidden stands for a secret.
const hidden = "***"

// String keeps secrets out of logs and errors.
func (s Secret) String() string { return hidden }

// MarshalJSON keeps secrets out of what is shown.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s == "" {
		return json.Marshal("")
	}
	return json.Marshal(hidden)
}

// isTables reports whether the setting is a list of tables.
func (f Field) isTables() bool {
	return f.value.Kind() == reflect.Slice && f.value.Type().Elem().Kind() == reflect.Struct
}

// inlineTables writes a list of tables in one line, empty for an empty list.
// What is not set in a table is left out.
func inlineTables(list reflect.Value, hide bool) string {
	if list.Len() == 0 {
		return ""
	}
	var tables []string
	for i := range list.Len() {
		v := list.Index(i)
		var keys []string
		for j := range v.NumField() {
			if v.Field(j).IsZero() {
				continue
			}
			keys = append(keys, v.Type().Field(j).Tag.Get("toml")+" = "+inlineValue(v.Field(j), hide))
		}
		tables = append(tables, "{"+strings.Join(keys, ", ")+"}")
	}
	return "[" + strings.Join(tables, ", ") + "]"
}

func inlineValue(v reflect.Value, hide bool) string {
	switch x := v.Interface().(type) {
	case Secret:
		if hide {
			return quoteTOML(hidden)
		}
		return quoteTOML(string(x))
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			return quoteTOML(err.Error())
		}
		return quoteTOML(string(text))
	case string:
		return quoteTOML(x)
	}
	return fmt.Sprint(v.Interface())
}

// setTables reads a list of tables as it stands in a flag or in the
// environment: [{name = "irc.example.com", secret = "..."}].
func (f Field) setTables(text string) error {
	if text == "off" {
		text = "[]"
	}
	holder := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "List", Type: f.value.Type(), Tag: `toml:"list"`}}))
	err := toml.NewDecoder(strings.NewReader("list = " + text)).DisallowUnknownFields().Decode(holder.Interface())
	var unknown *toml.StrictMissingError
	switch {
	case errors.As(err, &unknown):
		keys := unknown.Errors[0].Key()
		return fmt.Errorf("a table of %s has no %s", f.Name, keys[len(keys)-1])
	case err != nil:
		// The decoder quotes what it read, and that may be a secret.
		return errors.New(`it is not a list of tables; write it as in TOML: [{name = "value"}]`)
	}
	f.value.Set(holder.Elem().Field(0))
	return nil
}
