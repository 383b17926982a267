package xmpp

// nsDecl is a namespace declaration that a stanza needs.
type nsDecl struct {
	prefix, uri []byte
	outer       bool // it is not in the stanza but on the stream's tag, or implied
}

// isContent tells the content namespaces (RFC 6120 §4.8.3): the ones of stanzas.
func isContent(space []byte) bool {
	return string(space) == NSClient || string(space) == NSServer || string(space) == NSComponent
}

// fill indexes the element b, which was just read, into st.
func (x *Lexer) fill(st *Stanza, b []byte) {
	h := &x.head
	children, scope := st.Children[:0], st.scope[:0]
	*st = Stanza{Raw: b, Local: h.name.of(b), Space: x.uri(b, h.ns), head: *h}
	st.Kind = x.kind(st)
	st.ID = x.value(b, &h.id)
	st.Lang = x.value(b, &h.lang)
	if h.kind.name.to != 0 {
		st.Type = parseType(st.Kind, x.value(b, &h.kind))
	}
	st.From, st.FromErr = x.jid(b, &h.from)
	st.To, st.ToErr = x.jid(b, &h.to)

	scope = x.scope(b, scope)
	for i := range x.kids {
		k := &x.kids[i]
		children = append(children, newElement(b, k.place, x.uri(b, k.ns), scope))
	}
	st.Children, st.scope = children, scope
}

// scope lists the declarations in force inside of the element: the default namespace of the stream, the prefixes of
// the stream that are used, and the element's own.
func (x *Lexer) scope(b []byte, dst []nsDecl) []nsDecl {
	if !x.opened {
		dst = append(dst, nsDecl{uri: bytesClient, outer: true})
	}
	for i := range x.header {
		if len(x.header[i].prefix) == 0 || x.used&(1<<i) != 0 {
			dst = append(dst, x.header[i])
		}
	}
	for _, d := range x.binds[:x.head.binds] {
		uri := d.uri.of(b)
		if d.esc {
			uri = appendUnescaped(nil, uri, true)
		}
		dst = append(dst, nsDecl{prefix: d.prefix.of(b), uri: uri})
	}
	return dst
}

// kind tells stanzas, which are of the stream's content namespace only (RFC 6120 §4.8.2).
func (x *Lexer) kind(st *Stanza) Kind {
	switch {
	case x.stored:
		if !isContent(st.Space) {
			return KindOther
		}
	case x.content == "":
		if string(st.Space) != NSClient {
			return KindOther
		}
	case string(st.Space) != x.content:
		return KindOther
	}
	switch string(st.Local) {
	case "message":
		return KindMessage
	case "presence":
		return KindPresence
	case "iq":
		return KindIQ
	}
	return KindOther
}

// value returns what an attribute stands for, nil if it is absent.
func (x *Lexer) value(b []byte, a *attr) []byte {
	if a.name.to == 0 {
		return nil
	}
	if a.esc {
		return appendUnescaped([]byte{}, a.value.of(b), true)
	}
	return b[a.value.from:a.value.to:a.value.to]
}

// jid reads an address. A malformed one is the stanza's error, not the stream's.
func (x *Lexer) jid(b []byte, a *attr) (JID, error) {
	if a.name.to == 0 {
		return JID{}, nil
	}
	v := x.value(b, a)
	if x.JIDs != nil {
		return x.JIDs.Parse(v)
	}
	return ParseJID(string(v))
}

// parseType reads the type attribute (RFC 6121 §4.7.1, §5.2.2; RFC 6120 §8.2.3).
func parseType(k Kind, v []byte) Type {
	var first, last Type
	switch k {
	case KindMessage:
		first, last = TypeNormal, TypeError
	case KindIQ:
		first, last = TypeError, TypeResult
	case KindPresence:
		if string(v) == "error" {
			return TypeError
		}
		first, last = TypeUnavailable, TypeProbe
	default:
		return TypeInvalid
	}
	for t := first; t <= last; t++ {
		if string(v) == typeNames[t] {
			return t
		}
	}
	return TypeInvalid
}
