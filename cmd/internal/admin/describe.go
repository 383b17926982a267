package admin

import (
	"errors"
	"reflect"
	"time"
)

// Field is a parameter as programs give it.
type Field struct {
	Name string `json:"name"`
	Type string `json:"type"` // string, number, boolean, time, an array "[string]", an object "{}"
}

// Fields are all parameters of the operation.
func (o *Operation) Fields() []Field { return fieldsOf(o.params) }

func fieldsOf(t reflect.Type) []Field {
	list := []Field{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := jsonName(f)
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct && name == "":
			list = append(list, fieldsOf(f.Type)...)
		case name != "" && name != "-":
			list = append(list, Field{name, typeName(f.Type)})
		}
	}
	return list
}

func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "string" // base64
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		return "[" + typeName(t.Elem()) + "]"
	case reflect.Struct, reflect.Map:
		return "{}"
	}
	return "number"
}

// Known returns the error of an operation if it is one that says something to
// whoever asked for it. What else goes wrong inside is for the log.
func Known(err error) (*Error, bool) {
	var e *Error
	if !errors.As(err, &e) {
		e = asError(err)
	}
	return e, e.cause == nil || e.Code != Failed
}
