package form

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"confab/xmpp"
)

func parse(t *testing.T, s string) (*Form, error) {
	t.Helper()
	n, err := xmpp.ParseNode([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return Parse(n)
}

// isBadRequest reports whether the peer is told bad-request.
func isBadRequest(err error) bool {
	var e *xmpp.Error
	return errors.As(err, &e) && e.Condition == xmpp.BadRequest && e.Type == xmpp.ErrorModify && e.Text != ""
}

const query = `<x xmlns='jabber:x:data' type='submit'>
	<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>
	<field var='with'><value>juliet@capulet.example</value></field>
	<field var='flag' type='boolean'><value> true</value></field>
	<field var='off'><value>0</value></field>
	<field var='size'><value>42</value></field>
	<field var='ids' type='list-multi'><value>a</value><value>b</value></field>
	<field var='empty'/>
	<field type='fixed'><value>A heading</value></field>
	<field type='fixed'><value>Another</value></field>
	<other xmlns='urn:example'/>
</x>`

func TestForm(t *testing.T) {
	f, err := parse(t, query)
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != TypeSubmit || f.FormType() != "urn:xmpp:mam:2" {
		t.Errorf("type %q, purpose %q", f.Type, f.FormType())
	}
	if j, ok, err := f.JID("with"); !ok || err != nil || j != xmpp.MustJID("juliet@capulet.example") {
		t.Errorf("with: %v, %v, %v", j, ok, err)
	}
	if v, ok, err := f.Bool("flag"); !v || !ok || err != nil {
		t.Errorf("flag: %v, %v, %v", v, ok, err)
	}
	if v, ok, err := f.Bool("off"); v || !ok || err != nil {
		t.Errorf("off: %v, %v, %v", v, ok, err)
	}
	if v, ok, err := f.Int("size"); v != 42 || !ok || err != nil {
		t.Errorf("size: %v, %v, %v", v, ok, err)
	}
	if v := f.Values("ids"); !reflect.DeepEqual(v, []string{"a", "b"}) {
		t.Errorf("ids: %q", v)
	}
	if v, ok := f.Lines("ids"); v != "a\nb" || !ok {
		t.Errorf("lines: %q, %v", v, ok)
	}
	for _, name := range []string{"empty", "missing"} {
		if _, ok, err := f.Text(name); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if _, ok, err := f.Bool(name); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if _, ok, err := f.JID(name); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if _, ok, err := f.Int(name); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if got, want := f.Unknown("with", "flag", "off", "size"), []string{"ids", "empty"}; !reflect.DeepEqual(got, want) {
		t.Errorf("unknown: %q", got)
	}
}

func TestFormWrongValues(t *testing.T) {
	f, err := parse(t, query)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := f.Text("ids"); ok || !isBadRequest(err) {
		t.Errorf("several values: %v, %v", ok, err)
	}
	if _, ok, err := f.Bool("with"); ok || !isBadRequest(err) {
		t.Errorf("no boolean: %v, %v", ok, err)
	}
	if _, ok, err := f.Int("with"); ok || !isBadRequest(err) {
		t.Errorf("no number: %v, %v", ok, err)
	}
	f.Field("with").Values = []string{"a@b@c"}
	if _, ok, err := f.JID("with"); ok || !isBadRequest(err) {
		t.Errorf("no address: %v, %v", ok, err)
	}
	f.Field("size").Values = []string{"-1"}
	if _, ok, err := f.Int("size"); ok || !isBadRequest(err) {
		t.Errorf("negative: %v, %v", ok, err)
	}
}

func TestFormRefused(t *testing.T) {
	for name, s := range map[string]string{
		"another element":  `<query xmlns='jabber:x:data' type='submit'/>`,
		"wrong namespace":  `<x xmlns='jabber:x:oob' type='submit'/>`,
		"no type":          `<x xmlns='jabber:x:data'/>`,
		"unknown type":     `<x xmlns='jabber:x:data' type='send'/>`,
		"field twice":      `<x xmlns='jabber:x:data' type='submit'><field var='a'/><field var='a'/></x>`,
		"no name":          `<x xmlns='jabber:x:data' type='submit'><field><value>1</value></field></x>`,
		"twice in an item": `<x xmlns='jabber:x:data' type='result'><item><field var='a'/><field var='a'/></item></x>`,
		"no name reported": `<x xmlns='jabber:x:data' type='result'><reported><field/></reported></x>`,
	} {
		if f, err := parse(t, s); f != nil || !isBadRequest(err) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	if f, err := Parse(nil); f != nil || !isBadRequest(err) {
		t.Errorf("nil: %v, %v", f, err)
	}
}

func TestFormAppend(t *testing.T) {
	f := New(TypeForm, "urn:example:config",
		Field{Var: "name", Type: TextSingle, Label: "Name <here>", Desc: "what it's called", Required: true, Values: []string{"a & b"}},
		Field{Var: "who", Type: ListSingle, Options: []Option{{Label: "All", Value: "all"}, {Value: "none"}}})
	f.Title = "Setup"
	f.Instructions = []string{"One", "Two"}
	f.Reported = []Field{{Var: "id"}}
	f.Items = [][]Field{{{Var: "id", Values: []string{"1"}}}, {{Var: "id", Values: []string{"2"}}}}
	const want = `<x xmlns='jabber:x:data' type='form'><title>Setup</title><instructions>One</instructions><instructions>Two</instructions>` +
		`<field var='FORM_TYPE' type='hidden'><value>urn:example:config</value></field>` +
		`<field var='name' type='text-single' label='Name &lt;here&gt;'><desc>what it's called</desc><required/><value>a &amp; b</value></field>` +
		`<field var='who' type='list-single'><option label='All'><value>all</value></option><option><value>none</value></option></field>` +
		`<reported><field var='id'></field></reported>` +
		`<item><field var='id'><value>1</value></field></item><item><field var='id'><value>2</value></field></item></x>`
	got := string(f.Append(nil))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if back, err := parse(t, got); err != nil || !reflect.DeepEqual(back, f) {
		t.Errorf("read again: %+v, %v", back, err)
	}
}

func TestParseRSM(t *testing.T) {
	none := RSM{Max: -1, Index: -1}
	for _, c := range []struct {
		in   string
		want RSM
		bad  bool
	}{
		{``, none, false},
		{`<max>10</max>`, RSM{Max: 10, Index: -1}, false},
		{`<max> 0 </max>`, RSM{Max: 0, Index: -1}, false},
		{`<before/>`, RSM{Max: -1, Index: -1, HasBefore: true}, false},
		{`<max>5</max><before>x</before>`, RSM{Max: 5, Index: -1, Before: "x", HasBefore: true}, false},
		{`<after>y</after>`, RSM{Max: -1, Index: -1, After: "y", HasAfter: true}, false},
		{`<after/>`, none, false},
		{`<index>3</index>`, RSM{Max: -1, Index: 3}, false},
		{`<max>99999999999999999999</max>`, RSM{Max: math.MaxInt32, Index: -1}, false},
		{`<unknown/><max xmlns='urn:example'>x</max>`, none, false},
		{`<max>-1</max>`, none, true},
		{`<max>+1</max>`, none, true},
		{`<max/>`, none, true},
		{`<max>ten</max>`, none, true},
		{`<index>-3</index>`, none, true},
		{`<max>1</max><max>2</max>`, none, true},
		{`<before/><after>y</after>`, none, true},
		{`<before/><index>1</index>`, none, true},
	} {
		n, err := xmpp.ParseNode([]byte(`<set xmlns='http://jabber.org/protocol/rsm'>` + c.in + `</set>`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRSM(n)
		if got != c.want || (err != nil) != c.bad || c.bad && !isBadRequest(err) {
			t.Errorf("%s: %+v, %v", c.in, got, err)
		}
	}
	if r, err := ParseRSM(nil); r != none || err != nil {
		t.Errorf("nil: %+v, %v", r, err)
	}
	if _, err := ParseRSM(&xmpp.Node{Local: "set"}); !isBadRequest(err) {
		t.Errorf("wrong namespace: %v", err)
	}
}

func TestRSMResult(t *testing.T) {
	for _, c := range []struct {
		r    RSMResult
		want string
	}{
		{RSMResult{First: "a<", Last: "b", Index: 0, Count: 9}, `<first index='0'>a&lt;</first><last>b</last><count>9</count>`},
		{RSMResult{First: "a", Last: "b", Index: -1, Count: -1}, `<first>a</first><last>b</last>`},
		{RSMResult{Index: -1, Count: 0}, `<count>0</count>`},
	} {
		want := `<set xmlns='http://jabber.org/protocol/rsm'>` + c.want + `</set>`
		if got := string(c.r.Append(nil)); got != want {
			t.Errorf("%+v: %s", c.r, got)
		}
	}
}

func FuzzForm(f *testing.F) {
	f.Add([]byte(query))
	f.Add(New(TypeForm, "urn:x", Field{Var: "a", Options: []Option{{Value: "1"}}}).Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := xmpp.ParseNode(data)
		if err != nil {
			return
		}
		form, err := Parse(n)
		if err != nil {
			if !isBadRequest(err) {
				t.Fatal(err)
			}
			return
		}
		for _, field := range form.Fields {
			form.Bool(field.Var)
			form.JID(field.Var)
			form.Int(field.Var)
		}
		again, err := parse(t, string(form.Append(nil)))
		if err != nil || !reflect.DeepEqual(again, form) {
			t.Fatalf("%+v became %+v: %v", form, again, err)
		}
	})
}

func FuzzRSM(f *testing.F) {
	f.Add([]byte(`<set xmlns='http://jabber.org/protocol/rsm'><max>5</max><before>x</before></set>`))
	f.Add([]byte(`<set xmlns='http://jabber.org/protocol/rsm'><index>5</index><after/></set>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := xmpp.ParseNode(data)
		if err != nil {
			return
		}
		r, err := ParseRSM(n)
		if err != nil {
			if !isBadRequest(err) {
				t.Fatal(err)
			}
			return
		}
		if n, err = xmpp.ParseNode(r.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if again, err := ParseRSM(n); err != nil || again != r {
			t.Fatalf("%+v became %+v: %v", r, again, err)
		}
	})
}
