package xmpp

import (
	"bytes"
	"unicode/utf8"
)

// cursor walks over XML that the lexer accepted; it checks nothing, but it does not panic on other input either.
type cursor struct {
	b        []byte
	from, to int // the token; the next one begins at to
	kind     token
}

type token uint8

const (
	tokText  token = iota // character data
	tokCDATA              // a CDATA section
	tokOpen               // <name>
	tokEmpty              // <name/>
	tokClose              // </name>
)

const (
	openCDATA  = "<![CDATA["
	closeCDATA = "]]>"
)

// next goes on to the next token and reports whether there is one.
func (c *cursor) next() bool {
	c.from = c.to
	rest := c.b[c.from:]
	if len(rest) == 0 {
		return false
	}
	n := 0
	switch {
	case rest[0] != '<':
		c.kind = tokText
		n = bytes.IndexByte(rest, '<')
	case bytes.HasPrefix(rest, []byte(openCDATA)):
		c.kind = tokCDATA
		n = bytes.Index(rest, []byte(closeCDATA))
		if n >= 0 {
			n += len(closeCDATA)
		}
	case len(rest) > 1 && rest[1] == '/':
		c.kind = tokClose
		n = bytes.IndexByte(rest, '>') + 1
	default:
		n = tagEnd(rest)
		c.kind = tokOpen
		if n > 1 && rest[n-2] == '/' {
			c.kind = tokEmpty
		}
	}
	if n <= 0 {
		n = len(rest)
	}
	c.to = c.from + n
	return true
}

// raw returns the token as it was sent.
func (c *cursor) raw() []byte { return c.b[c.from:c.to] }

// appendText appends what text or a CDATA section stands for; nothing for tags.
func (c *cursor) appendText(dst []byte) []byte {
	switch c.kind {
	case tokText:
		return appendUnescaped(dst, c.raw(), false)
	case tokCDATA:
		return appendLines(dst, cdataInner(c.raw()))
	}
	return dst
}

// cdataInner returns the characters of a CDATA section.
func cdataInner(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimPrefix(b, []byte(openCDATA)), []byte(closeCDATA))
}

// appendLines appends b with its line ends normalized (XML 1.0 §2.11).
func appendLines(dst, b []byte) []byte {
	for i, c := range b {
		switch {
		case c != '\r':
			dst = append(dst, c)
		case i+1 == len(b) || b[i+1] != '\n':
			dst = append(dst, '\n')
		}
	}
	return dst
}

// tagEnd returns the length of the start tag at the beginning of b, 0 if it does not end.
func tagEnd(b []byte) int {
	var q byte
	for i, c := range b {
		switch {
		case q == 0 && c == '>':
			return i + 1
		case q == 0 && (c == '\'' || c == '"'):
			q = c
		case c == q:
			q = 0
		}
	}
	return 0
}

// attrs walks over the attributes of a start tag.
type attrs struct {
	tag         []byte
	i           int
	name, value []byte // as sent, without quotes
	from, to    int    // the value's place in the tag
}

// attrsOf begins with the first attribute of the start tag at the beginning of b.
func attrsOf(b []byte) attrs {
	tag := b[:tagEnd(b)]
	return attrs{tag: tag, i: len(tagName(tag)) + 1}
}

// tagName returns the qualified name in a tag.
func tagName(tag []byte) []byte {
	i := 1
	for i < len(tag) && !isSpace(tag[i]) && tag[i] != '>' && tag[i] != '/' {
		i++
	}
	return tag[min(1, len(tag)):min(i, len(tag))]
}

// next goes on to the next attribute and reports whether there is one.
func (a *attrs) next() bool {
	if a.i >= len(a.tag) {
		return false
	}
	rest := a.tag[a.i:]
	eq := bytes.IndexByte(rest, '=')
	if eq < 0 {
		return false
	}
	a.name = trimSpace(rest[:eq])
	open := bytes.IndexAny(rest[eq:], `'"`)
	if open < 0 {
		return false
	}
	open += eq
	n := bytes.IndexByte(rest[open+1:], rest[open])
	if n < 0 {
		return false
	}
	a.from, a.to = a.i+open+1, a.i+open+1+n
	a.value = a.tag[a.from:a.to]
	a.i = a.to + 1
	return true
}

// rawAttr returns an attribute of the start tag at the beginning of raw as it was sent; nil if it is absent.
func rawAttr(raw []byte, name string) []byte {
	for a := attrsOf(raw); a.next(); {
		if string(a.name) == name {
			return a.value
		}
	}
	return nil
}

// attrOf returns an attribute of the start tag at the beginning of raw by its name as sent.
func attrOf(raw []byte, name string) (value string, ok bool) {
	v := rawAttr(raw, name)
	if v == nil {
		return "", false
	}
	if isPlain(v, true) {
		return string(v), true
	}
	return string(appendUnescaped(nil, v, true)), true
}

// localName returns the name in a tag without its prefix.
func localName(tag []byte) []byte {
	name := tagName(tag)
	return name[bytes.IndexByte(name, ':')+1:]
}

// runes reads the character data at the start of b, up to the end of the element that it is in; elements inside of it
// are left out. It allocates nothing.
type runes struct {
	b      []byte
	i, end int // what is left of the section that is being read
	token  int // where the next one is looked for
	mode   mode
}

type mode uint8

const (
	modeText mode = iota
	modeCDATA
	modeAttr // b is the value of an attribute
)

// attrRunes reads the value of an attribute.
func attrRunes(value []byte) runes { return runes{b: value, end: len(value), mode: modeAttr} }

// next returns the next rune; ok is false at the end.
func (t *runes) next() (r rune, ok bool) {
	for t.i >= t.end {
		if t.mode == modeAttr || !t.section() {
			return 0, false
		}
	}
	rest := t.b[t.i:t.end]
	n := 1
	switch c := rest[0]; {
	case c == '&' && t.mode != modeCDATA:
		var err error
		if r, n, err = parseRef(rest); err != nil {
			r, n = '&', 1
		}
	case t.mode == modeAttr && isSpace(c):
		r = ' '
		if c == '\r' && len(rest) > 1 && rest[1] == '\n' {
			n = 2
		}
	case c == '\r':
		r = '\n'
		if len(rest) > 1 && rest[1] == '\n' {
			n = 2
		}
	default:
		r, n = utf8.DecodeRune(rest)
	}
	t.i += n
	return r, true
}

// section finds the next section of character data.
func (t *runes) section() bool {
	depth := 0
	for c := (cursor{b: t.b, to: t.token}); c.next(); {
		t.token = c.to
		switch {
		case c.kind == tokOpen:
			depth++
		case c.kind == tokClose:
			if depth--; depth < 0 {
				t.token = len(t.b)
				return false
			}
		case depth > 0 || c.kind == tokEmpty:
		case c.kind == tokText:
			t.i, t.end, t.mode = c.from, c.to, modeText
			return true
		case c.kind == tokCDATA:
			t.i = c.from + len(openCDATA)
			t.end, t.mode = t.i+len(cdataInner(c.raw())), modeCDATA
			return true
		}
	}
	return false
}
