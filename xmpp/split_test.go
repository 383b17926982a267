package xmpp

import "testing"

func TestFirstElement(t *testing.T) {
	for text, want := range map[string]string{
		"<a/><b/>":                        "<a/>",
		"<a><a/></a><b/>":                 "<a><a/></a>",
		"<a b='/>'><![CDATA[</a>]]></a> ": "<a b='/>'><![CDATA[</a>]]></a>",
		"<a x=\"'>\">t</a >u":             "<a x=\"'>\">t</a >",
		"<a><b></b>":                      "<a><b></b>",
		"<a":                              "<a",
		"":                                "",
	} {
		if got := text[:FirstElement([]byte(text))]; got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
