package xmpp

import "unicode/utf8"

// Classes of bytes. What is above ASCII has none and is looked at as a rune.
const (
	nameFirst = 1 << iota // may begin a name
	nameByte              // may stand in a name
	inText                // plain in character data
	inCDATA               // allowed in a CDATA section
	inAttr                // plain in an attribute, with neither quote
	blank                 // white space
)

var class = func() (t [256]uint8) {
	for c := range 0x80 {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		digit := '0' <= c && c <= '9' || c == '-' || c == '.'
		space := c == ' ' || c == '\t' || c == '\r' || c == '\n'
		if letter {
			t[c] |= nameFirst
		}
		if letter || digit {
			t[c] |= nameByte
		}
		if space {
			t[c] |= blank
		}
		if c >= ' ' || space {
			t[c] |= inCDATA
			if c != '&' && c != '<' && c != ']' {
				t[c] |= inText
			}
		}
		if c >= ' ' && c != '&' && c != '<' && c != '\'' && c != '"' {
			t[c] |= inAttr
		}
	}
	return t
}()

// isSpace tells XML's white space (XML 1.0 §2.3).
func isSpace(c byte) bool { return class[c]&blank != 0 }

func trimSpaceRight(b []byte) []byte {
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return trimSpaceRight(b)
}

// isChar tells the characters that XML can carry (XML 1.0 §2.2).
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}

// checkText checks character data: the bytes between two tags (plain is inText), or inside of a CDATA section
// (inCDATA).
func checkText(b []byte, plain uint8) error {
	for i := 0; ; {
		for i < len(b) && class[b[i]]&plain != 0 {
			i++
		}
		if i == len(b) {
			return nil
		}
		c := b[i]
		n, err, cut := 1, error(nil), errUTF8
		switch {
		case c >= utf8.RuneSelf:
			_, n, err = parseRune(b[i:])
		case c == '&':
			_, n, err = parseRef(b[i:])
			cut = errRef
		case c == ']':
			if i+2 < len(b) && b[i+1] == ']' && b[i+2] == '>' {
				err = errCDATAEnd
			}
		default:
			err = errChar
		}
		if err == errMore {
			err = cut
		}
		if err != nil {
			return err
		}
		i += n
	}
}

// parseRune reads a rune above ASCII. errMore: b ends within it.
func parseRune(b []byte) (rune, int, error) {
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n <= 1 {
		if !utf8.FullRune(b) {
			return 0, 0, errMore
		}
		return 0, 0, errUTF8
	}
	if !isChar(r) {
		return 0, 0, errChar
	}
	return r, n, nil
}

var entities = [...]struct {
	name string
	r    rune
}{{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&apos;", '\''}, {"&quot;", '"'}}

// parseRef reads the reference at the start of b: one of the five entities (RFC 6120 §11.1) or a character. errMore: b
// ends within it.
func parseRef(b []byte) (rune, int, error) {
	if len(b) < 2 {
		return 0, 0, errMore
	}
	if b[1] == '#' {
		return parseCharRef(b)
	}
	for i := range entities {
		e := &entities[i]
		n := min(len(b), len(e.name))
		if string(b[:n]) == e.name[:n] {
			if n < len(e.name) {
				return 0, 0, errMore
			}
			return e.r, n, nil
		}
	}
	if c := b[1]; c >= utf8.RuneSelf || class[c]&nameFirst != 0 {
		return 0, 0, errEntity // RFC 6120 §4.9.3.18
	}
	return 0, 0, errRef
}

// parseCharRef reads "&#38;" or "&#x26;" (XML 1.0 §4.1).
func parseCharRef(b []byte) (rune, int, error) {
	i, base := 2, rune(10)
	if i < len(b) && b[i] == 'x' {
		i, base = 3, 16
	}
	first := i
	var r rune
	for ; i < len(b) && b[i] != ';'; i++ {
		d := unhex(b[i])
		if d < 0 || d >= base {
			return 0, 0, errRef
		}
		if r = r*base + d; r > utf8.MaxRune {
			return 0, 0, errRef
		}
	}
	switch {
	case i >= len(b):
		return 0, 0, errMore
	case i == first || !isChar(r):
		return 0, 0, errRef
	}
	return r, i + 1, nil
}

// unhex returns the value of a hexadecimal digit, -1 if it is none.
func unhex(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// appendUnescaped appends what character data or an attribute's value stands for. b was accepted by the lexer; what is
// wrong in other input is kept as it is. A parser normalizes line ends (XML 1.0 §2.11) and, in attributes, white
// space (§3.3.3).
func appendUnescaped(dst, b []byte, attr bool) []byte {
	for i := 0; i < len(b); {
		c := b[i]
		n := 1
		switch {
		case c == '&':
			r, size, err := parseRef(b[i:])
			if err != nil {
				dst = append(dst, c)
				break
			}
			dst = utf8.AppendRune(dst, r)
			n = size
		case c == '\r' && i+1 < len(b) && b[i+1] == '\n':
			// The LF stands for both.
		case attr && isSpace(c):
			dst = append(dst, ' ')
		case c == '\r':
			dst = append(dst, '\n')
		default:
			dst = append(dst, c)
		}
		i += n
	}
	return dst
}

// isPlain reports whether character data or an attribute stands for itself.
func isPlain(b []byte, attr bool) bool {
	for _, c := range b {
		if c == '&' || c == '\r' || attr && (c == '\n' || c == '\t') {
			return false
		}
	}
	return true
}
