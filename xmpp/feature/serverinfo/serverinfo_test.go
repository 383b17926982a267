package serverinfo

import (
	"strings"
	"testing"

	"confab/xmpp/feature"
)

// What other settings tell is told at once, and the same settings are not asked twice.
func TestSettingsThatChange(t *testing.T) {
	type settings struct{ admin string }
	now, asked := &settings{"mailto:romeo@example.com"}, 0
	f := New(Options{
		Settings: func() any { return now },
		Contacts: func() []Contact {
			asked++
			return []Contact{{Purpose: "admin", Addresses: []string{now.admin}}}
		},
		Policy: func() Policy { return Policy{} },
	})
	tell := func() string {
		b, err := f.Info(&feature.Query{Dispatch: &feature.Dispatch{Where: feature.Server}}, []byte("<query>"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := tell()
	if !strings.HasPrefix(before, "<query><x") || !strings.Contains(before, now.admin) {
		t.Errorf("%s", before)
	}
	if again := tell(); again != before || asked != 1 {
		t.Errorf("asked %d times: %s", asked, again)
	}
	now = &settings{"mailto:juliet@example.com"}
	if after := tell(); !strings.Contains(after, now.admin) || strings.Contains(after, "romeo") {
		t.Errorf("after a change: %s", after)
	}
}
