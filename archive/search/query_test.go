package search

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"confab/xmpp"
)

func TestFold(t *testing.T) {
	for _, test := range [][2]string{
		{"Nguyễn", "nguyen"}, {"ĐẶNG", "dang"}, {"Straße", "strasse"}, {"ÅNGSTRÖM", "angstrom"}, {"ﬁne", "fine"}, {"Łódź", "lodz"},
		{"İstanbul", "istanbul"}, {"ΣΊΣΥΦΟΣ", "σισυφοσ"}, {"Σίσυφος", "σισυφοσ"}, {"Привет", "привет"}, {"plain TEXT", "plain text"},
		{"e\u0301", "e"}, {"", ""},
	} {
		if got := Fold(test[0]); got != test[1] {
			t.Errorf("%q is folded to %q, want %q", test[0], got, test[1])
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"Neither, fair saint!":          "neither fair saint",
		"mail bob@example.com":          "mail bob example com",
		"Müller":                        "muller mueller",
		"Mu\u0308ller":                  "muller mueller",
		"Ærøskøbing":                    "aeroskobing aeroeskoebing",
		"Ångström":                      "angstrom aangstroem",
		"Nguyễn Văn Đức":                "nguyen van duc",
		"Đường Lê Lợi, Thành phố":       "duong le loi thanh pho",
		"über über ueber":               "uber ueber",
		"東京 へ":                          "東 京 へ",
		"ไปไหน":                         "ไ ป ห น",
		"हिन्दी भाषा":                   "हिन्दी भाषा",
		"ok 👍🏽":                         "ok 👍",
		"co\u00adoperate":               "cooperate",
		"Σίσυφος":                       "σισυφοσ",
		"!?":                            "",
		strings.Repeat("a", 200) + " b": strings.Repeat("a", maxWord) + " b",
		strings.Repeat("é", 200):        strings.Repeat("e", maxWord),
		strings.Repeat("я", 200):        strings.Repeat("я", maxWord/2),
	} {
		if got := strings.Join(words([]string{text}), " "); got != want {
			t.Errorf("%q has the words %q, want %q", text, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		query string
		yes   []string
		no    []string
	}{
		{"nguyen", []string{"Nguyễn Văn Đức", "NGUYÊN", "anh Nguyễn."}, []string{"nguye", "ngu yen"}},
		{"duong", []string{"Đường Lê Lợi"}, nil},
		{"Đường lợi", []string{"Lợi, Duong"}, []string{"Đường"}},
		{"strasse", []string{"Hauptstraße? Straße!", "STRASSE"}, []string{"Hauptstraße"}},
		{"Straße", []string{"strasse"}, []string{"strase"}},
		{"müller", []string{"Müller", "Mueller", "muller", "MÜLLERS"}, []string{"Möller"}},
		{"mueller", []string{"Müller", "Mueller"}, []string{"muller"}},
		{"muller", []string{"Müller", "muller"}, []string{"Mueller"}},
		{"quote lunch", []string{"the quote before lunch", "lunchtime quote"}, []string{"quotes at lunch", "quote"}},
		{"lun", []string{"lunch"}, []string{"blunt"}},
		{"lu", []string{"lu"}, []string{"lunch"}},
		{`"the quote"`, []string{"here is the quote"}, []string{"quote the", "the quotes", "the big quote"}},
		{`„der Brief“ heute`, []string{"heute kam der Brief"}, []string{"heute: Brief der Oma"}},
		{`"the quote`, []string{"quote of the", "quotes in the"}, []string{"quote"}},
		{`"lun"`, []string{"lun"}, []string{"lunch"}},
		{`lun "at noon"`, []string{"lun at noon"}, []string{"lunch at noon"}},
		{"bob@example.com", []string{"bob@example.com", "write to <bob@example.com>", "bob@example.community"}, []string{"bob at example com", "example.com bob"}},
		{"東京", []string{"東京へ", "今は東京"}, []string{"京東", "東と京"}},
		{"a a b", []string{"b a"}, []string{"a"}},
		{`"a a b"`, []string{"a a a b"}, []string{"a b"}},
		{"👍", []string{"ok 👍🏽"}, []string{"👎"}},
	} {
		q, err := Parse(test.query)
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		for _, text := range test.yes {
			if !q.Match(text) || !q.Match("", text) {
				t.Errorf("%s is not found in %q", test.query, text)
			}
		}
		for _, text := range test.no {
			if q.Match(text) {
				t.Errorf("%s is found in %q", test.query, text)
			}
		}
	}
	q, _ := Parse(`one "two three"`)
	if !q.Match("two three", "one") || q.Match("one two", "three") {
		t.Error("words may be in several texts, a phrase is in one")
	}
}

func TestRefusedQueries(t *testing.T) {
	for text, want := range map[string]xmpp.Condition{
		"":                               xmpp.BadRequest,
		" \t":                            xmpp.BadRequest,
		"* ? !":                          xmpp.BadRequest,
		`""`:                             xmpp.BadRequest,
		strings.Repeat("a ", maxWords+1): xmpp.PolicyViolation,
		strings.Repeat("京", maxWords+1):  xmpp.PolicyViolation,
		strings.Repeat("a", maxQuery+1):  xmpp.PolicyViolation,
	} {
		_, err := Parse(text)
		var peer *xmpp.Error
		if !errors.As(err, &peer) || peer.Condition != want || peer.Text == "" {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	if _, err := Parse(strings.Repeat("a ", maxWords)); err != nil {
		t.Error(err)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("Nguyễn \"quote 4711\" lun", "the quote 4711 of nguyen at lunch")
	f.Add("„a“ «b» c\"", "a b c")
	f.Add("ﷺ İß\u0308a\u030a", "\xff")
	f.Fuzz(func(t *testing.T, query, text string) {
		q, err := Parse(query)
		if err != nil {
			var peer *xmpp.Error
			if !errors.As(err, &peer) {
				t.Errorf("%q: %v is not for the peer", query, err)
			}
			return
		}
		q.Match(text)
		if strings.ContainsAny(query, quotes) {
			return
		}
		// What was written is found by itself.
		if !q.Match(query) {
			t.Errorf("%q is not found in itself", query)
		}
		for _, w := range words([]string{query}) {
			if len(w) > maxWord || !slices.Contains(words([]string{w}), w) {
				t.Errorf("%q has the word %q, which has %q", query, w, words([]string{w}))
			}
		}
	})
}
