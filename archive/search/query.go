package search

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"confab/xmpp"
)

// Bounds of a query.
const (
	maxQuery  = 1024 // bytes
	maxWords  = 32
	minPrefix = 3 // letters that the last word must have so that longer words are found by it
)

// Query says what a text must have in it: all of its terms.
type Query struct {
	terms []term
}

// term is a word, or several that follow one another.
type term struct {
	words  []word
	prefix bool // the last word may go on
}

// word is a word in its spellings; other is empty if there is only one.
type word struct{ text, other []byte }

func (w *word) is(s *splitter) bool {
	return bytes.Equal(w.text, s.word) || len(w.other) > 0 && (bytes.Equal(w.other, s.word) || bytes.Equal(w.other, s.other)) ||
		len(s.other) > 0 && bytes.Equal(w.text, s.other)
}

func (w *word) begins(s *splitter) bool {
	return bytes.HasPrefix(s.word, w.text) || bytes.HasPrefix(s.other, w.text) ||
		len(w.other) > 0 && (bytes.HasPrefix(s.word, w.other) || bytes.HasPrefix(s.other, w.other))
}

// quotes begin and end what is looked for as it is.
const quotes = "\"“”„«»"

// Parse reads what somebody looks for: words that must all be there, in any order; in quotation marks they must follow one
// another. The last word finds longer ones that begin with it, unless it is in quotation marks. The error is an *xmpp.Error
// that says what is wrong.
func Parse(text string) (*Query, error) {
	if len(text) > maxQuery {
		return nil, xmpp.NewError(xmpp.PolicyViolation, fmt.Sprintf("at most %d bytes can be searched for", maxQuery))
	}
	var p parser
	pieces := cut(text)
	for i, piece := range pieces {
		if i%2 == 1 && i < len(pieces)-1 { // a quotation mark that nothing closes is none
			p.add(piece, quoted)
			continue
		}
		for _, field := range strings.FieldsFunc(piece, unicode.IsSpace) {
			p.add(field, bare)
		}
	}
	switch {
	case p.count > maxWords:
		return nil, xmpp.NewError(xmpp.PolicyViolation, fmt.Sprintf("at most %d words can be searched for", maxWords))
	case p.count == 0:
		return nil, xmpp.NewError(xmpp.BadRequest, "there is no word to search for")
	}
	return &p.q, nil
}

// cut takes a text apart at its quotation marks.
func cut(text string) (pieces []string) {
	for {
		at := strings.IndexAny(text, quotes)
		if at < 0 {
			return append(pieces, text)
		}
		_, size := utf8.DecodeRuneInString(text[at:])
		pieces, text = append(pieces, text[:at]), text[at+size:]
	}
}

type parser struct {
	q     Query
	count int // of words
}

// style says how something was written in a query.
type style uint8

const (
	bare style = iota
	quoted
)

// add adds a term. What is written in one may be several words: those of an address, or of a script without spaces.
func (p *parser) add(text string, how style) {
	var t term
	split(text, func(s *splitter) bool {
		t.words = append(t.words, word{bytes.Clone(s.word), bytes.Clone(s.other)})
		t.prefix = how == bare && !s.alone && utf8.RuneCount(s.word) >= minPrefix
		p.count++
		return p.count <= maxWords
	})
	if len(t.words) == 0 {
		return
	}
	if n := len(p.q.terms); n > 0 {
		p.q.terms[n-1].prefix = false
	}
	p.q.terms = append(p.q.terms, t)
}

// Sure reports whether every text that has the words is what somebody looks for: no words are to follow one another.
func (q *Query) Sure() bool {
	for i := range q.terms {
		if len(q.terms[i].words) > 1 {
			return false
		}
	}
	return true
}

// Match reports whether texts have all terms in them; what follows one another does so in one text.
func (q *Query) Match(texts ...string) bool {
	// Bit i of a term's state says that its first i+1 words are what was just read.
	state := make([]uint32, len(q.terms))
	found := make([]bool, len(q.terms))
	left := len(q.terms)
	for _, text := range texts {
		clear(state)
		split(text, func(s *splitter) bool {
			for i := range q.terms {
				if found[i] {
					continue
				}
				t := &q.terms[i]
				if state[i] = (state[i]<<1 | 1) & t.mask(s); state[i]>>(len(t.words)-1) != 0 {
					found[i] = true
					left--
				}
			}
			return left > 0
		})
	}
	return left == 0
}

// mask tells which of the words of a term one that was read is.
func (t *term) mask(s *splitter) (m uint32) {
	for i := range t.words {
		w := &t.words[i]
		if w.is(s) || t.prefix && i == len(t.words)-1 && w.begins(s) {
			m |= 1 << i
		}
	}
	return m
}
