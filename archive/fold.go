package archive

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// Letters that Unicode does not take apart into a letter and an accent, though people look for them without it.
var letters = strings.NewReplacer("đ", "d", "ð", "d", "ħ", "h", "ı", "i", "ł", "l", "ŀ", "l", "ø", "o", "ŧ", "t", "þ", "th",
	"æ", "ae", "œ", "oe", "ŋ", "n", "ƒ", "f")

var folders = sync.Pool{New: func() any {
	return transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn)), cases.Fold())
}}

// foldText makes texts equal that differ in case, accents or compatible forms of letters: nguyen is found in Nguyễn.
func foldText(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	t := folders.Get().(transform.Transformer)
	defer folders.Put(t)
	folded, _, err := transform.String(t, s)
	if err != nil {
		folded = strings.ToLower(s)
	}
	return letters.Replace(folded)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// contains reports whether a folded text is in one of the entry's.
func (e *Entry) contains(needle string) bool {
	if needle == "" {
		return true
	}
	for _, t := range e.texts {
		if strings.Contains(foldText(t), needle) {
			return true
		}
	}
	return false
}
