package xmpp

import "errors"

// Edit is what may change in a stanza on its way, as data: the only way in which anything but the head changes. Zero
// fields leave things as they are. It can be stored.
type Edit struct {
	From, To JID     // set when not zero
	NoTo     bool    // leave 'to' out
	Type     Type    // set when not TypeNone
	Label    string  // the name of the writer, put before the bodies: "Bob" makes "Bob: …"
	Strip    []Match // first-level children to leave out
	Add      []byte  // self-contained XML, put behind the last child
	Declare  string  // a default namespace to write on the stanza: jabber:client inside <forwarded/>
}

// Match names first-level children. An empty Local or By matches any.
type Match struct {
	Space, Local string
	By           string // the address in the attribute 'by'
}

// Apply appends st as e changes it. Inner bytes are kept as they were sent; prefixes that the stream header bound are
// declared again.
func Apply(dst []byte, st *Stanza, e *Edit) []byte { return append(dst, st.Raw...) }

// AppendBinary appends the form for storage.
func (e *Edit) AppendBinary(dst []byte) []byte { return dst }

// UnmarshalBinary reads what AppendBinary wrote.
func (e *Edit) UnmarshalBinary(b []byte) error { return errors.New("xmpp: bad edit") }
