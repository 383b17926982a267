// Package xmpp is the wire format of XMPP: addresses (RFC 7622), stanzas and the lexer that finds and checks them
// in a stream (RFC 6120 §11), the edits that may be made to them, and errors (RFC 6120 §4.9, §8.3). It does no
// I/O, starts no goroutine and logs nothing.
package xmpp

import (
	"bytes"
	"sync"
)

// Kind tells the three kinds of stanzas from other first-level elements.
type Kind uint8

// The kinds. KindOther is what is no stanza: stream management, SASL, STARTTLS …
const (
	KindOther Kind = iota
	KindMessage
	KindPresence
	KindIQ
)

// String returns the element's name, "" for KindOther.
func (k Kind) String() string {
	return [...]string{"", "message", "presence", "iq"}[k&3]
}

// Type is the type attribute of a stanza: one list for all kinds.
type Type uint8

// The types. TypeNone is an absent attribute; TypeInvalid is a value that the kind does not have.
const (
	TypeNone Type = iota
	TypeNormal
	TypeChat
	TypeGroupchat
	TypeHeadline
	TypeError
	TypeGet
	TypeSet
	TypeResult
	TypeUnavailable
	TypeSubscribe
	TypeSubscribed
	TypeUnsubscribe
	TypeUnsubscribed
	TypeProbe
	TypeInvalid
)

var typeNames = [...]string{"", "normal", "chat", "groupchat", "headline", "error", "get", "set", "result",
	"unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", ""}

// String returns the value of the attribute, "" for TypeNone and TypeInvalid.
func (t Type) String() string {
	if int(t) >= len(typeNames) {
		return ""
	}
	return typeNames[t]
}

// Stanza is one first-level element of a stream, validated and indexed. Its slices point into Raw and are valid as
// long as the buffer is: until the handler returns. It is read-only; Clone makes a durable copy.
type Stanza struct {
	Raw          []byte // the whole element
	Kind         Kind
	Type         Type
	Space, Local []byte    // namespace and local name of the element
	ID           []byte    // nil: absent
	Lang         []byte    // xml:lang; nil: absent
	From, To     JID       // zero: absent or malformed
	FromErr      error     // 'from' is there but malformed (*Error)
	ToErr        error     // 'to' is there but malformed (*Error)
	Children     []Element // first-level children

	head  head
	scope []nsDecl // declarations in force inside of it, the outermost first
}

// MessageType is the type that a message is to be treated as: an absent or unknown one is normal (RFC 6121 §5.2.2).
func (s *Stanza) MessageType() Type {
	if s.Type == TypeNone || s.Type == TypeInvalid {
		return TypeNormal
	}
	return s.Type
}

// Is reports whether the stanza has that name.
func (s *Stanza) Is(space, local string) bool {
	return string(s.Local) == local && string(s.Space) == space
}

// Child returns the first child with that name, nil if there is none. An empty space stands for the namespace of the
// stanza.
func (s *Stanza) Child(space, local string) *Element {
	for i := range s.Children {
		e := &s.Children[i]
		if string(e.Local) == local && (string(e.Space) == space || space == "" && bytes.Equal(e.Space, s.Space)) {
			return e
		}
	}
	return nil
}

// Payload returns the first child: the request or answer of an IQ. Nil if there is none.
func (s *Stanza) Payload() *Element {
	if len(s.Children) == 0 {
		return nil
	}
	return &s.Children[0]
}

// Attr returns an attribute of the stanza without prefix, unescaped.
func (s *Stanza) Attr(name string) (value string, ok bool) { return attrOf(s.Raw, name) }

// Node returns the whole stanza as a tree.
func (s *Stanza) Node() *Node { return newNode(s.Raw, outer(s.scope)) }

// outer is the part of a scope that is not declared in the stanza itself.
func outer(scope []nsDecl) []nsDecl {
	for i := range scope {
		if !scope[i].outer {
			return scope[:i]
		}
	}
	return scope
}

// Clone returns a copy that shares nothing with the buffer.
func (s *Stanza) Clone() *Stanza {
	c := *s
	c.Raw = bytes.Clone(s.Raw)
	c.Local = s.head.name.of(c.Raw)
	c.Space, c.ID, c.Lang = bytes.Clone(s.Space), bytes.Clone(s.ID), bytes.Clone(s.Lang)
	c.scope = make([]nsDecl, len(s.scope))
	for i, d := range s.scope {
		c.scope[i] = nsDecl{prefix: bytes.Clone(d.prefix), uri: bytes.Clone(d.uri), outer: d.outer}
	}
	c.Children = make([]Element, len(s.Children))
	for i := range s.Children {
		c.Children[i] = newElement(c.Raw, s.Children[i].at, bytes.Clone(s.Children[i].Space), c.scope)
	}
	return &c
}

// Parse reads one whole element from storage or from our own code. The default namespace is jabber:client if none is
// declared; the validation is the same as on a stream. The stanza points into raw.
func Parse(raw []byte) (*Stanza, error) {
	st := new(Stanza)
	if err := ParseInto(st, raw); err != nil {
		return nil, err
	}
	return st, nil
}

// ParseInto is Parse into a stanza that is used again.
func ParseInto(st *Stanza, raw []byte) error {
	x := parsers.Get().(*Lexer)
	defer parsers.Put(x)
	n, err := x.Next(raw, st)
	if err == nil && len(bytes.TrimSpace(raw[n:])) > 0 {
		err = errTrailing
	}
	if err != nil {
		x.Restart()
		x.stored = true
	}
	if err == ErrIncomplete {
		return errTruncated
	}
	return err
}

var (
	errTrailing  = wellFormed("more than one element")
	errTruncated = wellFormed("the element is not complete")
)

// parseLimits bound what is read from storage. They leave room for what edits add to a stanza that was within the
// limits of its stream.
var parseLimits = Limits{Bytes: 64 << 20, Depth: 1 << 10, Attrs: 1 << 10, Children: 1 << 20, NameBytes: 1 << 10}

var parsers = sync.Pool{New: func() any {
	x := NewLexer(parseLimits)
	x.stored = true
	return x
}}

// Element is a first-level child of a stanza. Its slices are valid as long as those of the stanza.
type Element struct {
	Space, Local []byte
	Raw          []byte // the element as sent
	Inner        []byte // what is between its tags

	at    place
	scope []nsDecl // declarations in force outside of it
}

// place says where an element stands in its stanza.
type place struct {
	raw, inner, name span
}

func newElement(b []byte, at place, space []byte, scope []nsDecl) Element {
	// The capacities are cut so that an append can not write into the buffer.
	return Element{
		Space: space,
		Local: b[at.name.from:at.name.to:at.name.to],
		Raw:   b[at.raw.from:at.raw.to:at.raw.to],
		Inner: b[at.inner.from:at.inner.to:at.inner.to],
		at:    at,
		scope: scope,
	}
}

// Is reports whether the element has that name.
func (e *Element) Is(space, local string) bool {
	return string(e.Local) == local && string(e.Space) == space
}

// Attr returns an attribute without prefix, unescaped.
func (e *Element) Attr(name string) (value string, ok bool) { return attrOf(e.Raw, name) }

// Text returns the character data directly inside the element, unescaped.
func (e *Element) Text() string {
	if bytes.IndexByte(e.Inner, '<') < 0 && isPlain(e.Inner, false) {
		return string(e.Inner)
	}
	var dst []byte
	depth := 0
	for c := (cursor{b: e.Inner}); c.next(); {
		switch {
		case c.kind == tokOpen:
			depth++
		case c.kind == tokClose:
			depth--
		case depth == 0:
			dst = c.appendText(dst)
		}
	}
	return string(dst)
}

// Node returns the element as a tree.
func (e *Element) Node() *Node { return newNode(e.Raw, e.scope) }
