package xmpp

import (
	"bytes"
	"unicode/utf8"
)

// AppendText appends s as XML character data. What XML cannot carry (control characters, broken UTF-8)
// becomes U+FFFD, so that nothing we write can end a peer's stream.
func AppendText(dst []byte, s string) []byte { return appendEscaped(dst, s, false) }

// AppendTextBytes is AppendText for bytes.
func AppendTextBytes(dst, s []byte) []byte { return appendEscaped(dst, s, false) }

// AppendAttr appends the attribute " name='value'" with its value escaped.
func AppendAttr(dst []byte, name, value string) []byte {
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=', '\'')
	dst = appendEscaped(dst, value, true)
	return append(dst, '\'')
}

// AppendAttrBytes is AppendAttr for bytes.
func AppendAttrBytes(dst []byte, name string, value []byte) []byte {
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=', '\'')
	dst = appendEscaped(dst, value, true)
	return append(dst, '\'')
}

// appendEscaped escapes for both quote characters. In attributes white space is written as references,
// because a parser turns it into blanks otherwise (XML 1.0 §3.3.3); a bare CR would become LF (§2.11).
func appendEscaped[S []byte | string](dst []byte, s S, attr bool) []byte {
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		var repl string
		size := 1
		switch {
		case c >= utf8.RuneSelf:
			var r rune
			r, size = decodeRune(s, i)
			if isChar(r) && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
			repl = "\uFFFD"
		case c == '&':
			repl = "&amp;"
		case c == '<':
			repl = "&lt;"
		case c == '>':
			repl = "&gt;"
		case c == '\'' && attr:
			repl = "&apos;"
		case c == '"' && attr:
			repl = "&quot;"
		case c == '\r':
			repl = "&#xD;"
		case c == '\n' && attr:
			repl = "&#xA;"
		case c == '\t' && attr:
			repl = "&#x9;"
		case c < 0x20 && c != '\n' && c != '\t':
			repl = "\uFFFD"
		default:
			i++
			continue
		}
		dst = append(append(dst, s[done:i]...), repl...)
		i += size
		done = i
	}
	return append(dst, s[done:]...)
}

// decodeRune is utf8.DecodeRune at an offset of a string or a byte slice.
func decodeRune[S []byte | string](s S, i int) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s[i:min(len(s), i+utf8.UTFMax)])
	return utf8.DecodeRune(b[:n])
}

// AppendResult appends the result of an IQ request (RFC 6120 §8.2.3): addresses swapped, id kept. The payload
// is self-contained XML and may be empty.
func AppendResult(dst []byte, req *Stanza, payload []byte) []byte {
	dst = append(dst, "<iq type='result'"...)
	dst = appendReplyHead(dst, req)
	if len(payload) == 0 {
		return append(dst, '/', '>')
	}
	dst = append(dst, '>')
	dst = append(dst, payload...)
	return append(dst, "</iq>"...)
}

// AppendFramed appends an element that was written for a stream as one that stands alone, as WebSocket and BOSH want it
// (RFC 7395 §3.3.3, XEP-0124 §6): the default namespace is jabber:client, and the prefix stream is declared, unless the
// element does it itself.
func AppendFramed(dst, element []byte) []byte {
	name := tagName(element)
	if len(name) == 0 {
		return append(dst, element...)
	}
	end := 1 + len(name)
	dst = append(dst, element[:end]...)
	switch {
	case bytes.HasPrefix(name, []byte("stream:")):
		if rawAttr(element, "xmlns:stream") == nil {
			dst = AppendAttr(dst, "xmlns:stream", NSStream)
		}
	case bytes.IndexByte(name, ':') < 0 && rawAttr(element, "xmlns") == nil:
		dst = AppendAttr(dst, "xmlns", NSClient)
	}
	return append(dst, element[end:]...)
}

// appendReplyHead appends the attributes that a reply takes from the stanza it answers.
func appendReplyHead(dst []byte, st *Stanza) []byte {
	if !st.To.IsZero() {
		dst = AppendAttr(dst, "from", st.To.String())
	}
	if !st.From.IsZero() {
		dst = AppendAttr(dst, "to", st.From.String())
	}
	if st.ID != nil {
		dst = AppendAttrBytes(dst, "id", st.ID)
	}
	return dst
}
