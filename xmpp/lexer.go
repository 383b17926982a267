package xmpp

import (
	"bytes"
	"errors"
	"math"
)

var (
	// ErrIncomplete says that more bytes are needed.
	ErrIncomplete = errors.New("xmpp: element not complete")
	// ErrStreamEnd says that the peer closed its stream.
	ErrStreamEnd = errors.New("xmpp: end of stream")
)

// Limits bounds what a peer may send in one element. A field that is zero takes its value from DefaultLimits.
type Limits struct {
	Bytes     int // of the whole element
	Depth     int // of nesting; the stanza itself is 1
	Attrs     int // of one element
	Children  int // directly inside the stanza
	NameBytes int // of the name of an element or attribute, with its prefix
}

// DefaultLimits are the limits after login.
var DefaultLimits = Limits{Bytes: 256 << 10, Depth: 64, Attrs: 64, Children: 512, NameBytes: 256}

const (
	maxHeaderBinds = 64  // namespace declarations on the stream header: one bit each in Lexer.used
	maxBinds       = 128 // namespace declarations in scope inside of an element
	maxDeclaration = 256 // bytes of <?xml … ?>
)

// Lexer finds, checks and indexes the elements of a stream of bytes. What it accepts can be forwarded as it is: any
// other XML parser accepts it with the same meaning, and none of what RFC 6120 §11.1 forbids is in it.
//
// It keeps offsets only, so the buffer may move between calls, and resumes where it stopped. Its first error is final.
// The zero value is ready: it has DefaultLimits and reads elements whose default namespace is jabber:client, as
// WebSocket and BOSH hand them over.
type Lexer struct {
	JIDs *JIDCache // interns addresses; may be nil

	limits  Limits
	failed  error
	opened  bool     // Header was read
	declEnd bool     // <?xml … ?> was read
	name    []byte   // of the stream's tag, to match its end
	header  []nsDecl // declared on the stream's tag
	content string   // the namespace of stanzas; "" is jabber:client
	stored  bool     // reading from storage: stanzas of any stream

	// The element being read; offsets count from its '<'.
	pos    int  // the token to read next
	scan   int  // how far that token was searched for its end; 0: not yet
	quote  byte // the open quote at scan
	frames []frame
	binds  []binding
	used   uint64 // the header's declarations that it needs
	attrs  []attr // of the last tag
	head   head
	kids   []kid
}

type span struct{ from, to uint32 }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }

// attr is an attribute in the buffer.
type attr struct {
	name  span
	value span
	local uint32 // where the name goes on after its prefix; 0: no prefix
	space uint32 // where the white space before it begins
	esc   bool   // the value is not what it stands for: it has references or line breaks
}

// binding is a namespace declaration in the buffer.
type binding struct {
	prefix, uri span
	esc         bool
}

// frame is an element that is open.
type frame struct {
	name  span
	binds uint32 // declarations in scope outside of it
}

// nsRef says where a namespace name is found.
type nsRef struct {
	at  int16 // nsNone … or an index of Lexer.header
	uri span
	esc bool
}

const (
	nsBuffer  = -1 - iota // uri, in the buffer
	nsNone                // no namespace
	nsImplied             // jabber:client, because there is no header
	nsXML                 // the prefix xml
	nsUnbound             // an error
)

// head is what is kept of the element's own tag.
type head struct {
	name                     span
	ns                       nsRef
	end                      uint32 // behind '>'
	binds                    uint32 // declarations on it
	close                    uint32 // where the end tag begins; 0: the element is empty
	id, lang, from, to, kind attr
	xmlns                    attr
}

// kid is a first-level child.
type kid struct {
	place
	ns nsRef
}

// Header is the opening tag of a stream (RFC 6120 §4.7).
type Header struct {
	To, From, ID, Lang, Version string
	Space                       string // the default namespace
	StreamSpace                 string // the namespace of the tag itself
}

// NewLexer returns a lexer with limits.
func NewLexer(l Limits) *Lexer {
	x := new(Lexer)
	x.SetLimits(l)
	return x
}

// SetLimits changes the limits.
func (x *Lexer) SetLimits(l Limits) {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Bytes, DefaultLimits.Bytes)
	set(&l.Depth, DefaultLimits.Depth)
	set(&l.Attrs, DefaultLimits.Attrs)
	set(&l.Children, DefaultLimits.Children)
	set(&l.NameBytes, DefaultLimits.NameBytes)
	l.Bytes = min(l.Bytes, math.MaxInt32) // offsets have 32 bits
	x.limits = l
}

// Restart forgets the stream, after TLS or SASL, so that Header can be called again (RFC 6120 §4.3.3). Limits and
// JIDs stay.
func (x *Lexer) Restart() {
	*x = Lexer{JIDs: x.JIDs, limits: x.limits, frames: x.frames[:0], binds: x.binds[:0], attrs: x.attrs[:0], kids: x.kids[:0]}
}

// fail makes err the lexer's last word.
func (x *Lexer) fail(err error) error {
	x.failed = err
	return err
}

// Next skips white space, finds the next element and indexes it into st. n bytes are done with, also when the error is
// ErrIncomplete: then the next call must go on behind them. ErrStreamEnd is the end of the stream, any other error
// a *StreamError.
func (x *Lexer) Next(buf []byte, st *Stanza) (n int, err error) {
	if x.failed != nil {
		return 0, x.failed
	}
	if x.limits.Bytes == 0 {
		x.SetLimits(Limits{})
	}
	skip := 0
	if len(x.frames) == 0 && x.scan == 0 {
		for skip < len(buf) && isSpace(buf[skip]) {
			skip++
		}
	}
	b := buf[skip:]
	if len(b) == 0 {
		return skip, ErrIncomplete
	}
	end, err := x.element(b)
	if err == errMore {
		if len(b) > x.limits.Bytes {
			return skip, x.fail(errTooBig)
		}
		return skip, ErrIncomplete
	}
	if err == ErrStreamEnd {
		x.failed = err
		return skip + end, err
	}
	if err != nil {
		return skip, x.fail(err)
	}
	x.fill(st, b[:end:end])
	x.reset()
	return skip + end, nil
}

// reset makes ready for the next element. One unusual element must not make an idle stream keep its memory.
func (x *Lexer) reset() {
	const keep = 32
	if cap(x.frames) > keep {
		x.frames = nil
	}
	if cap(x.binds) > keep {
		x.binds = nil
	}
	if cap(x.attrs) > keep {
		x.attrs = nil
	}
	if cap(x.kids) > keep {
		x.kids = nil
	}
	x.frames, x.binds, x.attrs, x.kids = x.frames[:0], x.binds[:0], x.attrs[:0], x.kids[:0]
	x.pos, x.scan, x.quote, x.used = 0, 0, 0, 0
}

// element reads tokens until the element that begins at b[0] is complete, and returns its end.
func (x *Lexer) element(b []byte) (int, error) {
	for {
		i := x.pos
		if i < len(b) && b[i] != '<' {
			if len(x.frames) == 0 {
				return 0, errStrayText
			}
			j := bytes.IndexByte(b[max(i, x.scan):], '<')
			if j < 0 {
				x.scan = len(b)
				return 0, errMore
			}
			j += max(i, x.scan)
			if err := checkText(b[i:j], inText); err != nil {
				return 0, err
			}
			x.pos, x.scan = j, 0
			i = j
		}
		if i+1 >= len(b) {
			return 0, errMore
		}
		var err error
		switch b[i+1] {
		case '/':
			err = x.endTag(b, i)
		case '!':
			err = x.cdata(b, i)
		case '?':
			err = errPI
		default:
			err = x.startTag(b, i)
		}
		if err != nil {
			if err == ErrStreamEnd {
				return x.pos, err
			}
			return 0, err
		}
		if x.pos > x.limits.Bytes {
			return 0, errTooBig
		}
		x.scan = 0
		if len(x.frames) == 0 {
			return x.pos, nil
		}
	}
}

// endTag reads the end tag at b[i].
func (x *Lexer) endTag(b []byte, i int) error {
	name := x.name
	if n := len(x.frames); n > 0 {
		name = x.frames[n-1].name.of(b)
	} else if !x.opened {
		return errStrayEnd
	}
	end := i + 2 + len(name)
	if end >= len(b) || b[end] != '>' || !bytes.Equal(b[i+2:end], name) {
		// Unusual: not all of it is there, or white space, or the wrong name.
		from := max(i+2, x.scan)
		j := bytes.IndexByte(b[from:], '>')
		if j < 0 {
			x.scan = len(b)
			return errMore
		}
		if !bytes.Equal(trimSpaceRight(b[i+2:from+j]), name) {
			return errMismatch
		}
		end = from + j
	}
	x.pos = end + 1
	n := len(x.frames)
	if n == 0 {
		return ErrStreamEnd
	}
	x.binds = x.binds[:x.frames[n-1].binds]
	x.frames = x.frames[:n-1]
	switch n {
	case 1:
		x.head.close = uint32(i)
	case 2:
		k := &x.kids[len(x.kids)-1]
		k.inner.to = uint32(i)
		k.raw.to = uint32(end + 1)
	}
	return nil
}

// cdata reads the CDATA section at b[i]. Nothing else may begin with "<!" (RFC 6120 §11.1).
func (x *Lexer) cdata(b []byte, i int) error {
	const open, end = openCDATA, closeCDATA
	n := min(len(b)-i, len(open))
	if len(x.frames) == 0 || string(b[i:i+n]) != open[:n] {
		return errMarkup
	}
	if n < len(open) {
		return errMore
	}
	from := max(i+len(open), x.scan-len(end)+1)
	j := bytes.Index(b[from:], []byte(end))
	if j < 0 {
		x.scan = len(b)
		return errMore
	}
	if err := checkText(b[i+len(open):from+j], inCDATA); err != nil {
		return err
	}
	x.pos = from + j + len(end)
	return nil
}

// startTag reads the start tag at b[i] and enters its element.
func (x *Lexer) startTag(b []byte, i int) error {
	if x.scan > 0 && !x.findEnd(b, i) {
		return errMore
	}
	depth := len(x.frames) + 1
	outside := len(x.binds)
	t, err := x.tag(b, i)
	if err == errMore {
		// Not all of it is there: from now on look for its end only, so that a tag that comes in bit by bit is not read
		// from its start each time.
		x.scan, x.quote = i+1, 0
		x.findEnd(b, i)
		x.binds = x.binds[:outside]
		return errMore
	}
	if err != nil {
		return err
	}
	if depth > x.limits.Depth {
		return errTooDeep
	}
	ns := nsRef{at: nsUnbound}
	if depth <= 2 || t.colon != 0 {
		ns = x.elementNS(b, t)
		if ns.at == nsUnbound {
			return errUnbound
		}
	}
	local := span{t.name.from, t.name.to}
	if t.colon != 0 {
		local.from = t.colon + 1
	}
	switch depth {
	case 1:
		if err := x.root(b, t, local, ns); err != nil {
			return err
		}
	case 2:
		if len(x.kids) >= x.limits.Children {
			return errTooMany
		}
		end := uint32(t.end)
		x.kids = append(x.kids, kid{place{raw: span{uint32(i), end}, inner: span{end, end}, name: local}, ns})
	}
	if t.empty {
		x.binds = x.binds[:outside]
	} else {
		x.frames = append(x.frames, frame{name: t.name, binds: uint32(outside)})
	}
	x.pos = t.end
	return nil
}

// findEnd goes on looking for the end of the tag at b[i] and reports whether it is there. A '<' ends the search too:
// it is an error wherever it stands in a tag.
func (x *Lexer) findEnd(b []byte, i int) bool {
	p, q := max(x.scan, i+1), x.quote
	for ; p < len(b); p++ {
		c := b[p]
		switch {
		case c == '<' || c == '>' && q == 0:
			x.scan, x.quote = p, q
			return true
		case q == 0 && (c == '\'' || c == '"'):
			q = c
		case c == q:
			q = 0
		}
	}
	x.scan, x.quote = p, q
	return false
}

// root keeps what the head of a stanza says.
func (x *Lexer) root(b []byte, t tag, local span, ns nsRef) error {
	h := head{name: local, ns: ns, end: uint32(t.end), binds: uint32(len(x.binds))}
	if t.colon != 0 && isContent(x.uri(b, ns)) {
		return errContentPrefix
	}
	for _, a := range x.attrs {
		switch string(a.name.of(b)) {
		case "id":
			h.id = a
		case "from":
			h.from = a
		case "to":
			h.to = a
		case "type":
			h.kind = a
		case "xml:lang":
			h.lang = a
		case "xmlns":
			h.xmlns = a
		}
	}
	x.head = h
	return nil
}
