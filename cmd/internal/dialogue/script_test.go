package dialogue

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseScript(t *testing.T) {
	s, err := parseScript("test.txt", `# Title
# and more
Given domain example.com with romeo, juliet and nurse
Given domain capulet.example with tybalt
Given domain empty.example
Given setting roster.domain = off
Given romeo is named Romeo Montague
Given romeo is in Montagues, Men
Given tybalt@capulet.example is hidden
Given nurse is an administrator

romeo connects

romeo sends:
    <message>
      <body/>

    </message>

juliet hears nothing
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Scene{
		Domains: []Domain{
			{Name: "example.com", Users: []User{
				{Local: "romeo", Password: "pw-romeo", Name: "Romeo Montague", Groups: []string{"Montagues", "Men"}},
				{Local: "juliet", Password: "pw-juliet"},
				{Local: "nurse", Password: "pw-nurse", Admin: true},
			}},
			{Name: "capulet.example", Users: []User{{Local: "tybalt", Password: "pw-tybalt", Hidden: true}}},
			{Name: "empty.example"},
		},
		Settings: []Setting{{"roster.domain", "off"}},
	}
	if !reflect.DeepEqual(s.scene, want) {
		t.Errorf("scene %+v", s.scene)
	}
	if s.title != "Title" || len(s.steps) != 3 {
		t.Errorf("title %q, %d steps", s.title, len(s.steps))
	}
	if at := s.steps[1]; at.line != 14 || at.who != "romeo" {
		t.Errorf("step %d of %s", at.line, at.who)
	}
}

func TestBlocksLoseTheirCommonIndentation(t *testing.T) {
	block, ok, next := readBlock(strings.Split("  a\n    b\n\n  c\n\nd", "\n"), 0)
	if block != "a\n  b\n\nc" || !ok || next != 5 {
		t.Errorf("%q, %v, %d", block, ok, next)
	}
}

func TestScriptMistakes(t *testing.T) {
	const given = "# Title\nGiven domain example.com with romeo\n"
	for text, says := range map[string]string{
		"":                                       "first line",
		"# Title\n":                              "no domain",
		given:                                    "nothing happens",
		given + "romeo dances\n":                 "test.txt:3: not understood",
		given + "  romeo connects\n":             "belongs below it",
		"# Title\n  romeo connects\n":            "test.txt:2: indented",
		given + "romeo receives:\n":              "indented below it",
		given + "romeo receives:\n    <a>\n":     "test.txt:3:",
		given + "romeo receives:\n    {any}\n":   "test.txt:3:",
		given + "romeo connects\n    <a/>\n":     "nothing belongs below it",
		given + "Given nurse is hidden\n":        "nobody is called nurse",
		given + "time passes slowly\n":           "slowly",
		"# Title\nromeo connects\n":              "no domain",
		given + "Given romeo and x are contacts": "nobody is called x",
	} {
		_, err := parseScript("test.txt", text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWords(t *testing.T) {
	got, err := words(`user set  "a b" '' x"y z"'"'`)
	if want := []string{"user", "set", "a b", "", `xy z"`}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := words(`a "b`); err == nil {
		t.Errorf("got %q", got)
	}
}
