package xmpp

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Several people who write under one address are told apart by a label in the body. Where it goes:
//
//   - "Bob: hello";
//   - on a line of its own before a quote or a code fence, which begin a line (XEP-0393 §5), and before a block of
//     XEP-0394;
//   - "/me waves" becomes "* Bob waves" (XEP-0245);
//   - nowhere in a lone address or one that XEP-0066 or XEP-0447 repeat, as clients show the file only then, and
//     in an empty body.
//
// What points into the body (XEP-0428, which XEP-0461 uses, XEP-0372, XEP-0394) counts code points (XEP-0426 §4.1) and is
// moved along.

// labelling is how a body is labelled.
type labelling uint8

const (
	labelNone labelling = iota
	labelInline
	labelLine
	labelMe
)

const (
	meCommand      = "/me "
	nsOldFallback  = "urn:xmpp:feature-fallback:0" // XEP-0428 0.1, which older versions of XEP-0461 name
	maxRangeDigits = 9
)

// appendLabelled appends a first-level child of a labelled message.
func appendLabelled(dst []byte, st *Stanza, c *Element, label string) []byte {
	switch {
	case st.isBody(c):
		return appendBody(dst, c, st.labelling(c), label)
	case c.Is(NSXHTMLIM, "html"):
		return appendXHTML(dst, st, c, label)
	case c.Is(NSReference, "reference"), c.Is(NSFallback, "fallback"), c.Is(nsOldFallback, "fallback"), c.Is(NSMarkup, "markup"):
		body := st.bodyFor(c)
		if body == nil {
			break
		}
		if how := st.labelling(body); how != labelNone {
			return appendMoved(dst, c, how, utf8.RuneCountInString(label))
		}
	}
	return append(dst, c.Raw...)
}

func (s *Stanza) isBody(e *Element) bool {
	return string(e.Local) == "body" && string(e.Space) == string(s.Space)
}

// bodyFor returns the body that an element points into: the one of its language, else the first.
func (s *Stanza) bodyFor(e *Element) *Element {
	lang := rawAttr(e.Raw, "xml:lang")
	var first *Element
	for i := range s.Children {
		c := &s.Children[i]
		if !s.isBody(c) {
			continue
		}
		if string(rawAttr(c.Raw, "xml:lang")) == string(lang) {
			return c
		}
		if first == nil {
			first = c
		}
	}
	return first
}

// labelling decides how a body is labelled.
func (s *Stanza) labelling(body *Element) labelling {
	text := runes{b: body.Inner}
	switch {
	case isEmpty(text), isLoneURL(text), s.repeatsURL(text):
		return labelNone
	case hasPrefix(text, meCommand):
		return labelMe
	case hasPrefix(text, ">"), hasPrefix(text, "```"), s.beginsWithBlock(body):
		return labelLine
	}
	return labelInline
}

func isEmpty(t runes) bool {
	_, ok := t.next()
	return !ok
}

// hasPrefix reports whether t begins with the ASCII text prefix.
func hasPrefix(t runes, prefix string) bool {
	for i := range len(prefix) {
		if r, ok := t.next(); !ok || r != rune(prefix[i]) {
			return false
		}
	}
	return true
}

// isLoneURL reports whether t is an absolute address with an authority, or a geo: URI, and nothing else.
func isLoneURL(t runes) bool {
	r, ok := t.next()
	for ok && unicode.IsSpace(r) {
		r, ok = t.next()
	}
	var scheme [16]byte
	n := 0
	for ok && n < len(scheme) && r < utf8.RuneSelf && (class[byte(r)]&nameByte != 0 && r != '_' || r == '+') {
		scheme[n] = byte(r)
		n++
		r, ok = t.next()
	}
	if !ok || r != ':' || n == 0 {
		return false
	}
	if string(scheme[:n]) != "geo" {
		for range "//" {
			if !skip(&t, '/') {
				return false
			}
		}
	}
	for n = 0; ; n++ {
		if r, ok = t.next(); !ok || unicode.IsSpace(r) {
			return n > 0 && onlySpace(t)
		}
	}
}

// skip reports whether the next rune of t is r.
func skip(t *runes, r rune) bool {
	got, ok := t.next()
	return ok && got == r
}

func onlySpace(t runes) bool {
	for {
		if r, ok := t.next(); !ok {
			return true
		} else if !unicode.IsSpace(r) {
			return false
		}
	}
}

// sameText reports whether a and b are the same but for white space around them.
func sameText(a, b runes) bool {
	ra, oka := a.next()
	for oka && unicode.IsSpace(ra) {
		ra, oka = a.next()
	}
	rb, okb := b.next()
	for okb && unicode.IsSpace(rb) {
		rb, okb = b.next()
	}
	for oka && okb && ra == rb {
		ra, oka = a.next()
		rb, okb = b.next()
	}
	return (!oka || unicode.IsSpace(ra) && onlySpace(a)) && (!okb || unicode.IsSpace(rb) && onlySpace(b))
}

// repeatsURL reports whether text is an address that the stanza gives in XEP-0066 or XEP-0447.
func (s *Stanza) repeatsURL(text runes) bool {
	for i := range s.Children {
		e := &s.Children[i]
		oob := e.Is(NSOOB, "x")
		if !oob && string(e.Space) != NSFileShare {
			continue
		}
		for c := (cursor{b: e.Inner}); c.next(); {
			if c.kind != tokOpen && c.kind != tokEmpty {
				continue
			}
			switch string(localName(c.raw())) {
			case "url":
				if oob && c.kind == tokOpen && sameText(text, runes{b: c.b[c.to:]}) {
					return true
				}
			case "url-data":
				if v := rawAttr(c.raw(), "target"); v != nil && sameText(text, attrRunes(v)) {
					return true
				}
			}
		}
	}
	return false
}

// beginsWithBlock reports whether XEP-0394 marks a block at the start of the body.
func (s *Stanza) beginsWithBlock(body *Element) bool {
	for i := range s.Children {
		e := &s.Children[i]
		if !e.Is(NSMarkup, "markup") || s.bodyFor(e) != body {
			continue
		}
		for c := (cursor{b: e.Inner}); c.next(); {
			if c.kind != tokOpen && c.kind != tokEmpty {
				continue
			}
			switch string(localName(c.raw())) {
			case "bcode", "bquote", "list":
				if n, ok := parseOffset(rawAttr(c.raw(), "start")); ok && n == 0 {
					return true
				}
			}
		}
	}
	return false
}

// appendBody appends a body with its label.
func appendBody(dst []byte, e *Element, how labelling, label string) []byte {
	open := e.Raw[:e.at.inner.from-e.at.raw.from]
	end := e.Raw[e.at.inner.to-e.at.raw.from:]
	switch how {
	case labelNone:
		return append(dst, e.Raw...)
	case labelMe:
		dst = append(append(dst, open...), "* "...)
		dst = append(AppendText(dst, label), ' ')
		if len(e.Inner) >= len(meCommand) && string(e.Inner[:len(meCommand)]) == meCommand {
			dst = append(dst, e.Inner[len(meCommand):]...)
			return append(dst, end...)
		}
		// The command is spelled with references or CDATA: write the text anew.
		t := runes{b: e.Inner}
		for n := 0; ; n++ {
			r, ok := t.next()
			if !ok {
				return append(dst, end...)
			}
			if n >= len(meCommand) {
				dst = appendRune(dst, r)
			}
		}
	}
	dst = append(dst, open...)
	dst = AppendText(dst, label)
	if how == labelLine {
		dst = append(dst, ':', '\n')
	} else {
		dst = append(dst, ':', ' ')
	}
	return append(append(dst, e.Inner...), end...)
}

// appendXHTML appends <html/> (XEP-0071) with a label in its bodies, as the plain body has one. A "/me" is left to the
// plain body: clients put the name that they know the sender by into the formatted one (XEP-0245 §3).
func appendXHTML(dst []byte, st *Stanza, e *Element, label string) []byte {
	how := labelInline
	if body := st.bodyFor(e); body != nil {
		how = st.labelling(body)
	}
	switch how {
	case labelNone:
		return append(dst, e.Raw...)
	case labelMe:
		return dst
	}
	pos := 0
	depth := 0
	for c := (cursor{b: e.Raw}); c.next(); {
		switch c.kind {
		case tokOpen:
			if depth++; depth == 2 && string(localName(c.raw())) == "body" {
				dst = append(dst, e.Raw[pos:c.to]...)
				dst = append(AppendText(dst, label), ':', ' ')
				pos = c.to
			}
		case tokClose:
			depth--
		}
	}
	return append(dst, e.Raw[pos:]...)
}

// appendMoved appends an element that points into the body, with its offsets moved behind the label.
func appendMoved(dst []byte, e *Element, how labelling, name int) []byte {
	pos, depth := 0, 0
	for c := (cursor{b: e.Raw}); c.next(); {
		if c.kind == tokClose {
			depth--
		}
		if c.kind != tokOpen && c.kind != tokEmpty {
			continue
		}
		depth++
		if pointsIntoBody(e, c.raw(), depth) {
			for a := attrsOf(c.raw()); a.next(); {
				n, ok := parseOffset(a.value)
				if !ok || !isOffset(a.name) {
					continue
				}
				dst = append(dst, e.Raw[pos:c.from+a.from]...)
				dst = strconv.AppendInt(dst, int64(moved(n, how, name)), 10)
				pos = c.from + a.to
			}
		}
		if c.kind == tokEmpty {
			depth--
		}
	}
	return append(dst, e.Raw[pos:]...)
}

// pointsIntoBody reports whether a tag inside of e, at a depth that counts e as 1, has offsets of the body.
func pointsIntoBody(e *Element, tag []byte, depth int) bool {
	switch string(e.Local) {
	case "reference":
		// With an anchor it points into an earlier message (XEP-0372 §3.4).
		return depth == 1 && rawAttr(tag, "anchor") == nil
	case "fallback":
		return depth == 2 && string(localName(tag)) == "body"
	}
	return depth > 1 // markup: also in elements that are not known yet (XEP-0394 §5)
}

func isOffset(name []byte) bool {
	return string(name) == "start" || string(name) == "end" || string(name) == "begin"
}

// parseOffset reads a number of code points.
func parseOffset(value []byte) (n int, ok bool) {
	t := attrRunes(value)
	for digits := 0; ; digits++ {
		r, more := t.next()
		switch {
		case !more:
			return n, digits > 0
		case r < '0' || r > '9' || digits == maxRangeDigits:
			return 0, false
		}
		n = n*10 + int(r-'0')
	}
}

// moved returns where the code point n of a body is when the body has a label of a name with so many code points.
func moved(n int, how labelling, name int) int {
	if how != labelMe {
		return n + name + len(": ")
	}
	if n < len(meCommand) {
		return n
	}
	return n - len(meCommand) + len("* ") + name + len(" ")
}
