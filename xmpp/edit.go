package xmpp

import (
	"bytes"
	"unicode/utf8"
)

// Edit is what may change in a stanza on its way, as data: the only way in which anything but the head changes. Zero
// fields leave things as they are. It can be stored.
type Edit struct {
	From, To JID     // set when not zero
	NoTo     bool    // leave 'to' out
	Type     Type    // set when not TypeNone
	Lang     string  // xml:lang of a stanza that has none; not stored, since what is stored has it already
	Label    string  // the name of the writer, put before the bodies: "Bob" makes "Bob: …"; see label.go
	Strip    []Match // first-level children to leave out
	Add      []byte  // self-contained XML, put behind the last child
	Declare  string  // a default namespace to write on the stanza: jabber:client inside <forwarded/>
}

// IsZero reports whether the edit changes nothing.
func (e *Edit) IsZero() bool {
	return e.From.IsZero() && e.To.IsZero() && !e.NoTo && e.Type == TypeNone && e.Lang == "" && e.Label == "" && len(e.Strip) == 0 &&
		len(e.Add) == 0 && e.Declare == ""
}

func (e *Edit) setsType() bool { return e.Type > TypeNone && e.Type < TypeInvalid }

// Match names first-level children. An empty Local or By matches any.
type Match struct {
	Space, Local string
	By           string // the address in the attribute 'by', normalized
}

// matches reports whether m names e.
func (m *Match) matches(e *Element) bool {
	if string(e.Space) != m.Space || m.Local != "" && string(e.Local) != m.Local {
		return false
	}
	if m.By == "" {
		return true
	}
	by := rawAttr(e.Raw, "by")
	if string(by) == m.By || by == nil {
		return by != nil
	}
	// XEP-0359 §4: 'by' is an address. Another spelling of it would be the same to a client that normalizes.
	j, err := ParseJID(string(appendUnescaped(nil, by, true)))
	return err == nil && j.String() == m.By
}

// Apply appends st as e changes it. Inner bytes are kept as they were sent. The result can stand in another stream,
// whose default namespace is that of stanzas: prefixes that the stream header bound are declared again, and the
// declaration of a content namespace goes, or is e.Declare. Nothing is allocated when dst has room.
func Apply(dst []byte, st *Stanza, e *Edit) []byte {
	h := &st.head
	if h.name.to == 0 {
		return dst // made by hand: nothing was read
	}
	dst = appendHead(dst, st, e)
	if h.close == 0 && len(e.Add) == 0 {
		return append(dst, '/', '>')
	}
	dst = append(dst, '>')
	pos, end := h.end, h.close
	if end == 0 {
		end = pos
	}
	if len(e.Strip) > 0 || e.Label != "" {
		for i := range st.Children {
			c := &st.Children[i]
			dst = append(dst, st.Raw[pos:c.at.raw.from]...)
			dst = appendChild(dst, st, c, e)
			pos = c.at.raw.to
		}
	}
	dst = append(dst, st.Raw[pos:end]...)
	dst = append(dst, e.Add...)
	if h.close == 0 {
		dst = append(dst, '<', '/')
		dst = append(dst, st.Raw[1:h.name.to]...)
		return append(dst, '>')
	}
	return append(dst, st.Raw[h.close:]...)
}

// appendChild appends a first-level child.
func appendChild(dst []byte, st *Stanza, c *Element, e *Edit) []byte {
	for i := range e.Strip {
		if e.Strip[i].matches(c) {
			return dst
		}
	}
	if e.Label != "" {
		return appendLabelled(dst, st, c, e.Label)
	}
	return append(dst, c.Raw...)
}

// appendHead appends the tag of the stanza without its end.
func appendHead(dst []byte, st *Stanza, e *Edit) []byte {
	h := &st.head
	dst = append(dst, st.Raw[:h.name.to]...)
	if !e.From.IsZero() {
		dst = AppendAttr(dst, "from", e.From.String())
	}
	if !e.To.IsZero() {
		dst = AppendAttr(dst, "to", e.To.String())
	}
	if e.setsType() {
		dst = AppendAttr(dst, "type", e.Type.String())
	}
	if e.Lang != "" && st.Lang == nil {
		dst = AppendAttr(dst, "xml:lang", e.Lang)
	}
	prefixed := st.Raw[h.name.from-1] == ':'
	content := isContent(st.Space) && !prefixed
	declared := h.xmlns.name.to != 0 && !content
	switch {
	case declared:
	case !content && !prefixed:
		dst = AppendAttrBytes(dst, "xmlns", st.Space)
	case e.Declare != "":
		dst = AppendAttr(dst, "xmlns", e.Declare)
	}
	for i := range st.scope {
		if d := &st.scope[i]; d.outer && len(d.prefix) > 0 && !st.binds(d.prefix) {
			dst = append(dst, " xmlns:"...)
			dst = append(dst, d.prefix...)
			dst = append(dst, '=', '\'')
			dst = appendEscaped(dst, d.uri, true)
			dst = append(dst, '\'')
		}
	}
	// What is left of the attributes, as it was sent.
	pos, end := h.name.to, h.end-1
	if h.close == 0 {
		end--
	}
	for pos < end {
		cut := attr{space: end}
		next := func(a *attr, drop bool) {
			if drop && a.name.to != 0 && a.space >= pos && a.space < cut.space {
				cut = *a
			}
		}
		next(&h.from, !e.From.IsZero())
		next(&h.to, !e.To.IsZero() || e.NoTo)
		next(&h.kind, e.setsType())
		next(&h.xmlns, content)
		dst = append(dst, st.Raw[pos:cut.space]...)
		if cut.name.to == 0 {
			break
		}
		pos = cut.value.to + 1
	}
	return dst
}

// binds reports whether the stanza's own tag declares the prefix.
func (s *Stanza) binds(prefix []byte) bool {
	for i := range s.scope {
		if d := &s.scope[i]; !d.outer && bytes.Equal(d.prefix, prefix) {
			return true
		}
	}
	return false
}

// appendRune appends a rune as character data.
func appendRune(dst []byte, r rune) []byte {
	var b [utf8.UTFMax]byte
	return appendEscaped(dst, b[:utf8.EncodeRune(b[:], r)], false)
}
