// Package xmpp is the wire format of XMPP: addresses (RFC 7622), stanzas and the lexer that finds and checks them
// in a stream (RFC 6120 §11), the edits that may be made to them, and errors (RFC 6120 §4.9, §8.3). It does no
// I/O, starts no goroutine and logs nothing.
package xmpp

import "bytes"

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
}

// MessageType is the type that a message is to be treated as: an absent or unknown one is normal (RFC 6121 §5.2.2).
func (s *Stanza) MessageType() Type {
	if s.Type == TypeNone || s.Type == TypeInvalid {
		return TypeNormal
	}
	return s.Type
}

// Child returns the first child with that name, nil if there is none. An empty space stands for the
// namespace of the stanza.
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

// Clone returns a copy that shares nothing with the buffer.
func (s *Stanza) Clone() *Stanza { return nil }

// Node returns the whole stanza as a tree.
func (s *Stanza) Node() *Node { return nil }

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
func ParseInto(st *Stanza, raw []byte) error { return ErrIncomplete }

// Element is a first-level child of a stanza.
type Element struct {
	Space, Local []byte
	Raw          []byte // the element as sent
	Inner        []byte // what is between its tags
}

// Is reports whether the element has that name.
func (e *Element) Is(space, local string) bool {
	return string(e.Local) == local && string(e.Space) == space
}

// Attr returns an attribute without prefix, unescaped.
func (e *Element) Attr(name string) (value string, ok bool) { return "", false }

// Text returns the character data directly inside the element.
func (e *Element) Text() string { return "" }

// Node returns the element as a tree.
func (e *Element) Node() *Node { return nil }
