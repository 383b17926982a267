package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWord is how many bytes of a word count; what is behind them makes no difference.
const maxWord = 64

// spelled are letters that people look for by others: Unicode does not take them apart into a letter and an accent.
var spelled = map[rune]string{
	'đ': "d", 'ð': "d", 'ħ': "h", 'ı': "i", 'ł': "l", 'ŀ': "l", 'ø': "o", 'ŧ': "t", 'þ': "th", 'æ': "ae", 'œ': "oe", 'ŋ': "n", 'ƒ': "f",
	'ß': "ss", 'ς': "σ",
}

// accents are the marks that make no difference: those of Latin, Greek and Cyrillic letters, of symbols, and the vowel
// points of Arabic and Hebrew. In other scripts marks are what letters are elsewhere.
var accents = &unicode.RangeTable{R16: []unicode.Range16{
	{0x0300, 0x036f, 1}, {0x0483, 0x0487, 1}, {0x0591, 0x05c7, 1}, {0x0610, 0x061a, 1}, {0x064b, 0x065f, 1}, {0x0670, 0x0670, 1},
	{0x1ab0, 0x1aff, 1}, {0x1dc0, 0x1dff, 1}, {0x20d0, 0x20ff, 1}, {0xfe00, 0xfe0f, 1}, {0xfe20, 0xfe2f, 1},
}}

// unspaced are scripts that leave no space between words: each letter is one.
var unspaced = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar}

const (
	diaeresis = '\u0308'
	ring      = '\u030a'
)

// Fold makes texts equal that differ in case, accents or compatible forms of letters: nguyen is found in Nguyễn.
func Fold(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range norm.NFKD.String(text) {
		if unicode.Is(accents, r) {
			continue
		}
		r = unicode.ToLower(r)
		if s, ok := spelled[r]; ok {
			b.WriteString(s)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// splitter takes words out of a text, folded. A word that may be spelled in two ways is given in both: Müller as muller
// and mueller.
type splitter struct {
	word, other []byte // other is empty unless it differs
	alone       bool   // no letter is added to the word
	last        byte   // the letter that a mark may follow; 0: none
	fn          func(s *splitter) bool
	stopped     bool
}

// split calls fn for each word of a text, with s.word and s.other, until it returns false.
func split(text string, fn func(s *splitter) bool) {
	s := splitter{fn: fn, word: make([]byte, 0, maxWord+utf8.UTFMax), other: make([]byte, 0, maxWord+utf8.UTFMax)}
	if isASCII(text) {
		s.ascii(text)
	} else {
		s.unicode(norm.NFKD.String(text))
	}
	s.end()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (s *splitter) ascii(text string) {
	for i := 0; i < len(text) && !s.stopped; i++ {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			s.word = append(s.word, c)
		case 'A' <= c && c <= 'Z':
			s.word = append(s.word, c+'a'-'A')
		default:
			s.end()
		}
		if len(s.word) > maxWord {
			s.word = s.word[:maxWord]
		}
	}
}

func (s *splitter) unicode(text string) {
	for _, r := range text {
		if s.stopped {
			return
		}
		switch {
		case r < utf8.RuneSelf:
			if !isLetter(r) {
				s.end()
				continue
			}
			s.add(unicode.ToLower(r))
		case unicode.Is(accents, r):
			s.mark(r)
		case unicode.In(r, unspaced...):
			if unicode.IsMark(r) && s.alone {
				s.append(string(r))
				continue
			}
			s.end()
			s.alone = true
			s.append(string(r))
		case unicode.IsLetter(r), unicode.IsNumber(r):
			s.add(unicode.ToLower(r))
		case unicode.IsMark(r):
			if len(s.word) > 0 {
				s.append(string(r))
			}
		case unicode.Is(unicode.Cf, r): // a soft hyphen
		case unicode.Is(unicode.So, r): // an emoji
			s.end()
			s.alone = true
			s.append(string(r))
		default:
			s.end()
		}
	}
}

func isLetter(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func (s *splitter) add(r rune) {
	if s.alone {
		s.end()
	}
	s.last = 0
	if r < utf8.RuneSelf {
		s.last = byte(r)
		s.append(string(r))
		return
	}
	text, ok := spelled[r]
	if !ok {
		text = string(r)
	}
	if r == 'ø' {
		s.differ()
	}
	s.append(text)
	if r == 'ø' {
		s.appendOther("e")
	}
}

// mark sees an accent: it is left out, but ä may also be spelled ae, and å aa.
func (s *splitter) mark(r rune) {
	switch last := s.last; {
	case r == diaeresis && (last == 'a' || last == 'o' || last == 'u'):
		s.differ()
		s.appendOther("e")
	case r == ring && last == 'a':
		s.differ()
		s.appendOther("a")
	}
	s.last = 0
}

func (s *splitter) differ() {
	if len(s.other) == 0 {
		s.other = append(s.other, s.word...)
	}
}

func (s *splitter) append(text string) {
	if len(s.word)+len(text) <= maxWord {
		s.word = append(s.word, text...)
	}
	if len(s.other) > 0 {
		s.appendOther(text)
	}
}

func (s *splitter) appendOther(text string) {
	if len(s.other)+len(text) <= maxWord {
		s.other = append(s.other, text...)
	}
}

func (s *splitter) end() {
	if len(s.word) > 0 && !s.stopped {
		s.stopped = !s.fn(s)
	}
	s.word, s.other, s.alone, s.last = s.word[:0], s.other[:0], false, 0
}

// words returns the words of texts, each once, in both spellings.
func words(texts []string) []string {
	seen := map[string]bool{}
	var list []string
	add := func(w []byte) {
		if len(w) > 0 && !seen[string(w)] {
			t := string(w)
			seen[t] = true
			list = append(list, t)
		}
	}
	for _, t := range texts {
		split(t, func(s *splitter) bool {
			add(s.word)
			add(s.other)
			return true
		})
	}
	return list
}
