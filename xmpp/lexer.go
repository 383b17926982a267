package xmpp

import "errors"

var (
	// ErrIncomplete says that more bytes are needed.
	ErrIncomplete = errors.New("xmpp: element not complete")
	// ErrStreamEnd says that the peer closed its stream.
	ErrStreamEnd = errors.New("xmpp: end of stream")
)

// Limits bounds what a peer may send in one element. A field that is zero takes the value of DefaultLimits.
type Limits struct {
	Bytes     int // of the whole element
	Depth     int // of nesting; the stanza itself is 1
	Attrs     int // of one element
	Children  int // directly inside the stanza
	NameBytes int // of the name of an element or attribute, with its prefix
}

// DefaultLimits are the limits after login.
var DefaultLimits = Limits{Bytes: 256 << 10, Depth: 64, Attrs: 64, Children: 512, NameBytes: 256}

// Header is the opening tag of a stream (RFC 6120 §4.7).
type Header struct {
	To, From, ID, Lang, Version string
	Space                       string // the default namespace
	StreamSpace                 string // the namespace of the tag itself
}

// Lexer finds, checks and indexes the elements of a stream of bytes.
type Lexer struct {
	JIDs   *JIDCache // interns addresses; may be nil
	limits Limits
}

// NewLexer returns a lexer with limits.
func NewLexer(l Limits) *Lexer {
	x := new(Lexer)
	x.SetLimits(l)
	return x
}

// SetLimits changes the limits, from the next element on.
func (x *Lexer) SetLimits(l Limits) { x.limits = l }

// Header reads the XML declaration, if there is one, and the opening tag of a stream.
func (x *Lexer) Header(buf []byte) (h Header, n int, err error) { return h, 0, ErrIncomplete }

// Next finds the next element and indexes it into st.
func (x *Lexer) Next(buf []byte, st *Stanza) (n int, err error) { return 0, ErrIncomplete }

// Restart forgets the stream, after TLS or SASL, so that Header can be called again.
func (x *Lexer) Restart() {}
