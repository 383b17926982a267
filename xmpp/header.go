package xmpp

import (
	"bytes"
	"slices"
	"strings"
)

var (
	errEncoding     error = NewStreamError(StreamUnsupportedEncoding, "the encoding must be UTF-8")
	errXMLVersion   error = NewStreamError(StreamNotWellFormed, "bad XML declaration")
	errNoStream     error = NewStreamError(StreamInvalidNamespace, "the stream's namespace must be "+NSStream)
	errNoStreamTag  error = NewStreamError(StreamBadFormat, "the stream must begin with <stream:stream>")
	errStreamClosed error = NewStreamError(StreamNotWellFormed, "the stream's tag must not be empty")
)

// Header reads the XML declaration, if there is one, and the opening tag of a stream (RFC 6120 §4.7). n bytes are done
// with, also when the error is ErrIncomplete. Any other error is a *StreamError; h then holds what was understood of
// the tag, if it was complete, so that the answer can be addressed.
func (x *Lexer) Header(buf []byte) (h Header, n int, err error) {
	if x.failed != nil {
		return h, 0, x.failed
	}
	if x.limits.Bytes == 0 {
		x.SetLimits(Limits{})
	}
	skip := 0
	for skip < len(buf) && isSpace(buf[skip]) {
		skip++
	}
	b := buf[skip:]
	if !x.declEnd {
		n, err := declaration(b)
		if err == errMore {
			return h, skip, ErrIncomplete
		}
		if err != nil {
			return h, skip, x.fail(err)
		}
		x.declEnd = true
		skip += n
		for skip < len(buf) && isSpace(buf[skip]) {
			skip++
		}
		b = buf[skip:]
	}
	h, n, err = x.headerTag(b)
	if err == errMore {
		if len(b) > x.limits.Bytes {
			return h, skip, x.fail(errTooBig)
		}
		return h, skip, ErrIncomplete
	}
	if err != nil {
		return h, skip, x.fail(err)
	}
	return h, skip + n, nil
}

// declaration reads <?xml … ?> (XML 1.0 §2.8) and returns its length, 0 if there is none.
func declaration(b []byte) (int, error) {
	const open = "<?xml"
	n := min(len(b), len(open)+1)
	if string(b[:min(n, len(open))]) != open[:min(n, len(open))] {
		if n > 1 && b[0] == '<' && b[1] == '?' {
			return 0, errPI
		}
		return 0, nil
	}
	if n <= len(open) {
		return 0, errMore
	}
	if !isSpace(b[len(open)]) {
		return 0, errPI
	}
	end := bytes.Index(b[:min(len(b), maxDeclaration)], []byte("?>"))
	if end < 0 {
		if len(b) >= maxDeclaration {
			return 0, errXMLVersion
		}
		return 0, errMore
	}
	order := []string{"version", "encoding", "standalone"}
	for rest := b[len(open):end]; len(trimSpaceRight(rest)) > 0; {
		name, value, n := pseudoAttr(rest)
		i := slices.Index(order, name)
		if n == 0 || i < 0 || i > 0 && len(order) == 3 {
			return 0, errXMLVersion
		}
		order = order[i+1:]
		switch {
		case name == "version" && value != "1.0",
			name == "standalone" && value != "yes" && value != "no":
			return 0, errXMLVersion
		case name == "encoding" && !strings.EqualFold(value, "utf-8"):
			// RFC 6120 §11.6.
			return 0, errEncoding
		}
		rest = rest[n:]
	}
	if len(order) == 3 {
		return 0, errXMLVersion
	}
	return end + len("?>"), nil
}

// pseudoAttr reads the next name='value' of an XML declaration; n is 0 if there is none.
func pseudoAttr(b []byte) (name, value string, n int) {
	s := string(b)
	t := strings.TrimLeft(s, " \t\r\n")
	name, rest, ok := strings.Cut(t, "=")
	if !ok || len(t) == len(s) {
		return "", "", 0
	}
	rest = strings.TrimLeft(rest, " \t\r\n")
	if rest == "" || rest[0] != '\'' && rest[0] != '"' {
		return "", "", 0
	}
	value, rest, ok = strings.Cut(rest[1:], rest[:1])
	if !ok {
		return "", "", 0
	}
	return strings.TrimRight(name, " \t\r\n"), value, len(s) - len(rest)
}

// headerTag reads the stream's tag at the start of b.
func (x *Lexer) headerTag(b []byte) (h Header, n int, err error) {
	switch {
	case len(b) == 0:
		return h, 0, errMore
	case b[0] != '<':
		return h, 0, errStrayText
	case len(b) == 1:
		return h, 0, errMore
	case b[1] == '?':
		return h, 0, errPI
	case b[1] == '!':
		return h, 0, errMarkup
	case b[1] == '/':
		return h, 0, errStrayEnd
	}
	if x.scan > 0 && !x.findEnd(b, 0) {
		return h, 0, errMore
	}
	x.opened = true // here no default namespace is implied
	t, err := x.tag(b, 0)
	if err != nil {
		x.opened, x.binds = false, x.binds[:0]
		if err == errMore {
			x.scan, x.quote = 1, 0
			x.findEnd(b, 0)
		}
		return h, 0, err
	}
	if t.end > x.limits.Bytes {
		return h, 0, errTooBig
	}
	ns := x.elementNS(b, t)
	if ns.at == nsUnbound {
		return h, 0, errUnbound
	}
	local := t.name.of(b)
	if t.colon != 0 {
		local = b[t.colon+1 : t.name.to]
	}
	h.StreamSpace = string(x.uri(b, ns))
	h.Space = string(x.uri(b, x.lookup(b, nil)))
	for _, a := range x.attrs {
		value := string(appendUnescaped(nil, a.value.of(b), true))
		switch string(a.name.of(b)) {
		case "to":
			h.To = value
		case "from":
			h.From = value
		case "id":
			h.ID = value
		case "version":
			h.Version = value
		case "xml:lang":
			h.Lang = value
		}
	}
	switch {
	case h.StreamSpace != NSStream:
		return h, 0, errNoStream
	case string(local) != "stream":
		return h, 0, errNoStreamTag
	case t.empty:
		return h, 0, errStreamClosed
	case len(x.binds) > maxHeaderBinds:
		return h, 0, errTooManyBinds
	}
	x.keepHeader(b, t, h.Space)
	return h, t.end, nil
}

// keepHeader copies what the stanzas of the stream need of its tag.
func (x *Lexer) keepHeader(b []byte, t tag, space string) {
	x.header = nil
	for _, d := range x.binds {
		x.header = append(x.header, nsDecl{
			prefix: bytes.Clone(d.prefix.of(b)),
			uri:    appendUnescaped([]byte{}, d.uri.of(b), true),
			outer:  true,
		})
	}
	x.name = bytes.Clone(t.name.of(b))
	if isContent([]byte(space)) {
		x.content = space
	}
	x.reset()
}
