package xmpp

import (
	"bytes"
	"unicode/utf8"
)

// errMore says that a token is not complete; it never leaves the package.
var errMore error = ErrIncomplete

func wellFormed(text string) error { return NewStreamError(StreamNotWellFormed, text) }

// What the lexer finds wrong. The values are shared: an attacker's garbage should not cost memory.
var (
	errTooBig        error = NewStreamError(StreamPolicyViolation, "the stanza is too big")
	errTooDeep       error = NewStreamError(StreamPolicyViolation, "elements are nested too deeply")
	errTooMany       error = NewStreamError(StreamPolicyViolation, "the stanza has too many children")
	errTooManyAttrs  error = NewStreamError(StreamPolicyViolation, "an element has too many attributes")
	errTooManyBinds  error = NewStreamError(StreamPolicyViolation, "too many namespaces are declared")
	errNameTooLong   error = NewStreamError(StreamPolicyViolation, "a name is too long")
	errPI            error = NewStreamError(StreamRestrictedXML, "processing instructions are not allowed")
	errMarkup        error = NewStreamError(StreamRestrictedXML, "comments and document types are not allowed")
	errEntity        error = NewStreamError(StreamRestrictedXML, "entities other than the five of XML are not allowed")
	errContentPrefix error = NewStreamError(StreamBadNamespacePrefix, "stanzas must not have a prefix")
	errStrayText           = wellFormed("text between stanzas")
	errStrayEnd            = wellFormed("an end tag without its start tag")
	errMismatch            = wellFormed("an end tag does not match its start tag")
	errName                = wellFormed("bad name")
	errTag                 = wellFormed("bad tag")
	errAttr                = wellFormed("bad attribute")
	errTwice               = wellFormed("an attribute is there twice")
	errRef                 = wellFormed("bad entity or character reference")
	errChar                = wellFormed("a character that XML does not allow")
	errUTF8                = wellFormed("bad UTF-8")
	errCDATAEnd            = wellFormed("]]> in text")
	errUnbound             = wellFormed("a namespace prefix is not declared")
	errDeclaration         = wellFormed("bad namespace declaration")
)

// tag is a start tag that was read; its attributes are in Lexer.attrs, its declarations in Lexer.binds.
type tag struct {
	name  span
	colon uint32 // offset of the colon in its name; 0: there is none
	end   int    // behind '>'
	empty bool   // <name/>
}

// tag reads the start tag at b[i] and enters its namespace declarations.
func (x *Lexer) tag(b []byte, i int) (t tag, err error) {
	x.attrs = x.attrs[:0]
	p, colon, err := x.qname(b, i+1)
	if err != nil {
		return t, err
	}
	t.name, t.colon = span{uint32(i + 1), uint32(p)}, uint32(colon)
	special := 0 // attributes with a prefix and declarations
	for t.end == 0 {
		space := p
		for p < len(b) && isSpace(b[p]) {
			p++
		}
		switch {
		case p >= len(b):
			return t, errMore
		case b[p] == '>':
			t.end = p + 1
		case b[p] == '/':
			if p+1 >= len(b) {
				return t, errMore
			}
			if b[p+1] != '>' {
				return t, errTag
			}
			t.end, t.empty = p+2, true
		case p == space:
			return t, errTag
		default:
			a := attr{space: uint32(space)}
			if p, err = x.attr(b, p, &a); err != nil {
				return t, err
			}
			if a.local != 0 || string(a.name.of(b)) == "xmlns" {
				special++
			}
			if len(x.attrs) >= x.limits.Attrs {
				return t, errTooManyAttrs
			}
			x.attrs = append(x.attrs, a)
		}
	}
	if special > 0 {
		err = x.namespaces(b)
	}
	return t, err
}

// attr reads the attribute at b[p] and returns its end.
func (x *Lexer) attr(b []byte, p int, a *attr) (int, error) {
	start := p
	p, colon, err := x.qname(b, p)
	if err != nil {
		return 0, err
	}
	a.name = span{uint32(start), uint32(p)}
	if colon != 0 {
		a.local = uint32(colon + 1)
	}
	for i := range x.attrs {
		if bytes.Equal(x.attrs[i].name.of(b), b[start:p]) {
			return 0, errTwice
		}
	}
	for p < len(b) && isSpace(b[p]) {
		p++
	}
	if p < len(b) && b[p] != '=' {
		return 0, errAttr
	}
	p++
	for p < len(b) && isSpace(b[p]) {
		p++
	}
	if p >= len(b) {
		return 0, errMore
	}
	q := b[p]
	if q != '\'' && q != '"' {
		return 0, errAttr
	}
	p++
	start = p
	for {
		for p < len(b) && class[b[p]]&inAttr != 0 {
			p++
		}
		if p >= len(b) {
			return 0, errMore
		}
		c := b[p]
		switch {
		case c == q:
			a.value = span{uint32(start), uint32(p)}
			return p + 1, nil
		case c == '\'' || c == '"':
			p++
		case isSpace(c):
			a.esc = true
			p++
		case c == '&':
			a.esc = true
			_, n, err := parseRef(b[p:])
			if err != nil {
				return 0, err
			}
			p += n
		case c >= utf8.RuneSelf:
			_, n, err := parseRune(b[p:])
			if err != nil {
				return 0, err
			}
			p += n
		case c == '<':
			return 0, errAttr
		default:
			return 0, errChar
		}
	}
}

// qname reads the qualified name at b[i] (Namespaces in XML §4). It returns its end and the offset of its colon, 0 if
// there is none.
func (x *Lexer) qname(b []byte, i int) (end, colon int, err error) {
	start, part := i, i
	for i < len(b) {
		c := b[i]
		switch {
		case class[c]&nameByte != 0:
			if i == part && class[c]&nameFirst == 0 {
				return 0, 0, errName
			}
			i++
			continue
		case c == ':':
			if colon != 0 || i == part {
				return 0, 0, errName
			}
			colon = i
			i++
			part = i
			continue
		case c >= utf8.RuneSelf:
			r, n, err := parseRune(b[i:])
			if err != nil {
				return 0, 0, err
			}
			if !isNameStart(r) && (i == part || !isNameRune(r)) {
				return 0, 0, errName
			}
			i += n
			continue
		}
		if i == part {
			return 0, 0, errName
		}
		if i-start > x.limits.NameBytes {
			return 0, 0, errNameTooLong
		}
		return i, colon, nil
	}
	return 0, 0, errMore
}

// namespaces enters the declarations of a tag and checks the prefixes of its attributes.
func (x *Lexer) namespaces(b []byte) error {
	others := 0
	for i := range x.attrs {
		a := &x.attrs[i]
		name := a.name.of(b)
		var prefix span
		switch {
		case string(name) == "xmlns":
		case a.local != 0 && string(b[a.name.from:a.local-1]) == "xmlns":
			prefix = span{a.local, a.name.to}
		default:
			if a.local != 0 {
				others++
			}
			continue
		}
		if err := x.declare(b, prefix, a); err != nil {
			return err
		}
	}
	if others == 0 {
		return nil
	}
	for i := range x.attrs {
		a := &x.attrs[i]
		if a.local == 0 || string(b[a.name.from:a.local-1]) == "xmlns" {
			continue
		}
		if err := x.attrNS(b, i); err != nil {
			return err
		}
	}
	return nil
}

// declare enters one namespace declaration.
func (x *Lexer) declare(b []byte, prefix span, a *attr) error {
	uri := a.value.of(b)
	if a.esc {
		uri = appendUnescaped(nil, uri, true)
	}
	name := prefix.of(b)
	switch {
	case string(name) == "xml":
		// Namespaces in XML §3: it may be declared, but only as what it is.
		if string(uri) != NSXML {
			return errDeclaration
		}
		return nil
	case string(name) == "xmlns", string(uri) == NSXML, string(uri) == NSXMLNS:
		return errDeclaration
	case len(name) > 0 && len(uri) == 0:
		return errDeclaration
	case bytes.IndexFunc(uri, func(r rune) bool { return r <= ' ' }) >= 0:
		// No URI has blanks in it (Namespaces in XML §2.2), and parsers differ in what they make of line breaks.
		return errDeclaration
	}
	limit := maxBinds
	if x.stored { // with those of the header that it needed, which Apply has put on the stanza
		limit += maxHeaderBinds
	}
	if len(x.binds) >= limit {
		return errTooManyBinds
	}
	x.binds = append(x.binds, binding{prefix: prefix, uri: a.value, esc: a.esc})
	return nil
}

// attrNS checks the prefix of an attribute, and that no attribute before it has the same expanded name
// (Namespaces in XML §6.3).
func (x *Lexer) attrNS(b []byte, i int) error {
	a := x.attrs[i]
	ref := x.lookup(b, b[a.name.from:a.local-1])
	if ref.at == nsUnbound {
		return errUnbound
	}
	local := b[a.local:a.name.to]
	for _, o := range x.attrs[:i] {
		if o.local == 0 || string(b[o.name.from:o.local-1]) == "xmlns" || !bytes.Equal(b[o.local:o.name.to], local) {
			continue
		}
		if bytes.Equal(x.uri(b, ref), x.uri(b, x.lookup(b, b[o.name.from:o.local-1]))) {
			return errTwice
		}
	}
	return nil
}

// elementNS resolves the namespace of an element.
func (x *Lexer) elementNS(b []byte, t tag) nsRef {
	if t.colon == 0 {
		return x.lookup(b, nil)
	}
	return x.lookup(b, b[t.name.from:t.colon])
}

// lookup finds what a prefix is bound to; the empty prefix stands for the default namespace.
func (x *Lexer) lookup(b, prefix []byte) nsRef {
	for i := len(x.binds) - 1; i >= 0; i-- {
		if d := &x.binds[i]; bytes.Equal(d.prefix.of(b), prefix) {
			return nsRef{at: nsBuffer, uri: d.uri, esc: d.esc}
		}
	}
	for i := range x.header {
		if bytes.Equal(x.header[i].prefix, prefix) {
			if len(prefix) > 0 {
				x.used |= 1 << i
			}
			return nsRef{at: int16(i)}
		}
	}
	switch {
	case string(prefix) == "xml":
		return nsRef{at: nsXML}
	case len(prefix) > 0:
		return nsRef{at: nsUnbound}
	case x.opened:
		return nsRef{at: nsNone}
	}
	return nsRef{at: nsImplied}
}

var (
	bytesNone   = []byte{}
	bytesClient = []byte(NSClient)
	bytesXML    = []byte(NSXML)
)

// uri returns the namespace name that lookup found.
func (x *Lexer) uri(b []byte, ref nsRef) []byte {
	switch ref.at {
	case nsBuffer:
		if ref.esc {
			return appendUnescaped(nil, ref.uri.of(b), true)
		}
		return ref.uri.of(b)
	case nsNone, nsUnbound:
		return bytesNone
	case nsImplied:
		return bytesClient
	case nsXML:
		return bytesXML
	}
	return x.header[ref.at].uri
}
