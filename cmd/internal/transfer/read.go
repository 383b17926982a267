// Package transfer reads and writes users as servers hand them over to one
// another (XEP-0227): one XML file, or several that include one another, of any
// size. It knows the form of the file; what is in a user is the features' own,
// see feature.Portable.
package transfer

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"confab/xmpp"
)

// The namespaces.
const (
	NS        = "urn:xmpp:pie:0"
	nsSCRAM   = "urn:xmpp:pie:0#scram"
	nsArchive = "urn:xmpp:pie:0#mam"
	nsInclude = "http://www.w3.org/2001/XInclude"
	nsXML     = "http://www.w3.org/XML/1998/namespace"

	// nsDirectory is ours, for what the administrator's directory says of a user.
	nsDirectory = "urn:confab:directory"
)

// Bounds of a file.
const (
	maxDepth    = 100
	maxIncludes = 3 // files within one another, as §5.1 has them
)

// limits bound what is held in memory.
type limits struct {
	element int64 // bytes of an element of a user, and of whatever is between two elements
	user    int   // bytes of all elements of a user
}

var usual = limits{32 << 20, 40 << 20}

// User is a user of a file.
type User struct {
	Domain, Local string
	Password      string // in plain text, if the file has it
	Elements      []*xmpp.Node
	// Passed counts what is in the file and not taken, by name.
	Passed map[string]int

	size int // bytes of the elements
}

// Files opens the files that a file includes, by their path from the first one.
type Files func(name string) (io.ReadCloser, error)

// Read calls fn for the users of a file, one after the other. A User is fn's to
// keep. An error names the place in the file.
func Read(r io.Reader, files Files, fn func(*User) error) error {
	return (&reader{limits: usual, files: files, fn: fn}).document(r, ".", scope{})
}

// ReadUser reads one <user/> of a domain.
func ReadUser(domain, text string) (u *User, err error) {
	rd := &reader{limits: usual, fn: func(got *User) error { u = got; return nil }}
	err = rd.document(strings.NewReader(text), ".", scope{host: domain, inHost: true})
	if err == nil && u == nil {
		err = errors.New("there is no user in it")
	}
	return u, err
}

type reader struct {
	limits
	files Files
	fn    func(*User) error
	depth int // of includes
}

// scope is where in the document a file is included.
type scope struct {
	host   string
	inHost bool
	user   *User
}

// gauge bounds what one element may have.
type gauge struct {
	r    io.Reader
	max  int64
	left int64 // of what is being read
}

var errTooLarge = errors.New("an element is too large")

func (g *gauge) Read(b []byte) (int, error) {
	if g.left == 0 {
		return 0, errTooLarge
	}
	n, err := g.r.Read(b[:min(int64(len(b)), g.left)])
	g.left -= int64(n)
	return n, err
}

// input is one file.
type input struct {
	*xml.Decoder
	gauge *gauge
	name  string
}

func (in *input) errorf(format string, args ...any) error {
	line, column := in.InputPos()
	return fmt.Errorf("%s:%d:%d: %w", in.name, line, column, fmt.Errorf(format, args...))
}

// next returns the next start or end of an element, or io.EOF.
func (in *input) next() (xml.Token, error) {
	for {
		in.gauge.left = in.gauge.max
		t, err := in.Token()
		if err != nil {
			if err == io.EOF {
				return nil, err
			}
			return nil, in.errorf("%w", err)
		}
		switch t.(type) {
		case xml.StartElement, xml.EndElement:
			return t, nil
		case xml.Directive: // a DOCTYPE: entities of one's own are for attacks only
			return nil, in.errorf("a document type is not allowed")
		}
	}
}

func (rd *reader) document(r io.Reader, name string, s scope) error {
	g := &gauge{r: r, max: rd.element}
	in := &input{Decoder: xml.NewDecoder(g), gauge: g, name: name}
	t, err := in.next()
	if err == io.EOF {
		return in.errorf("there is nothing in it")
	}
	if err != nil {
		return err
	}
	root := t.(xml.StartElement) // an end without a start is an error of the decoder
	if err := rd.one(in, root, s, true); err != nil {
		return err
	}
	if _, err := in.next(); err != io.EOF {
		if err == nil {
			err = in.errorf("there is more behind the end")
		}
		return err
	}
	return nil
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// one reads one element of the levels above a user's data.
func (rd *reader) one(in *input, e xml.StartElement, s scope, root bool) error {
	is := func(local string) bool { return e.Name.Space == NS && e.Name.Local == local }
	switch {
	case e.Name.Space == nsInclude && e.Name.Local == "include" && !root:
		return rd.include(in, e, s)
	case is("server-data") && root && s == scope{}:
		return rd.children(in, s)
	case is("host") && !s.inHost && s.user == nil:
		s.host, s.inHost = attr(e, "jid"), true
		if s.host == "" {
			return in.errorf("a host has no jid")
		}
		return rd.children(in, s)
	case is("user") && s.inHost && s.user == nil:
		return rd.whole(in, e, s)
	case s.user != nil:
		return rd.part(in, e, s.user)
	case root:
		return in.errorf("<%s xmlns='%s'> was not expected here", e.Name.Local, e.Name.Space)
	}
	if err := in.Skip(); err != nil { // §4: what others have added
		return in.errorf("%w", err)
	}
	return nil
}

func (rd *reader) children(in *input, s scope) error {
	for {
		t, err := in.next()
		if err == io.EOF {
			return in.errorf("%w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			return nil
		}
		if err := rd.one(in, e, s, false); err != nil {
			return err
		}
	}
}

// include reads the file that an element names (§5).
func (rd *reader) include(in *input, e xml.StartElement, s scope) error {
	href := attr(e, "href")
	if err := in.Skip(); err != nil {
		return in.errorf("%w", err)
	}
	switch {
	case rd.files == nil:
		return in.errorf("%s cannot be included here", href)
	case href == "" || attr(e, "parse") != "" || attr(e, "xpointer") != "" || strings.Contains(href, ":") || path.IsAbs(href):
		return in.errorf("%q: only files beside this one are included, whole and as XML", href)
	case rd.depth == maxIncludes:
		return in.errorf("files are included too deeply")
	}
	name := path.Join(path.Dir(in.name), href)
	f, err := rd.files(name)
	if err != nil {
		return in.errorf("%w", err)
	}
	defer f.Close()
	rd.depth++
	defer func() { rd.depth-- }()
	return rd.document(f, name, s)
}

func (rd *reader) whole(in *input, e xml.StartElement, s scope) error {
	s.user = &User{Domain: s.host, Local: attr(e, "name"), Password: attr(e, "password"), Passed: map[string]int{}}
	if s.user.Local == "" {
		return in.errorf("a user has no name")
	}
	if err := rd.children(in, s); err != nil {
		return err
	}
	if err := rd.fn(s.user); err != nil {
		return err
	}
	return nil
}

// part reads an element of a user.
func (rd *reader) part(in *input, e xml.StartElement, u *User) error {
	switch {
	case e.Name.Space == NS && e.Name.Local == "offline-messages":
		n, err := in.count("message")
		u.Passed["offline messages"] += n
		return err
	case e.Name.Space == nsArchive && e.Name.Local == "archive":
		n, err := in.count("result")
		u.Passed["messages of the history"] += n
		return err
	}
	raw, err := in.raw(nil, e, "", 0)
	if err != nil {
		return err
	}
	n, err := xmpp.ParseNode(raw)
	if err != nil {
		return in.errorf("<%s/> of %s: %w", e.Name.Local, u.Local, err)
	}
	if n.Is(nsDirectory, "passed") { // of another part of ourselves
		count, err := strconv.Atoi(n.Attr("count"))
		if err == nil && count > 0 {
			u.Passed[n.Attr("what")] += count
		}
		return nil
	}
	if u.size += len(raw); u.size > rd.user {
		return in.errorf("%s has too much", u.Local)
	}
	u.Elements = append(u.Elements, n)
	return nil
}

// count passes over an element and counts its children of a name.
func (in *input) count(local string) (n int, err error) {
	for {
		t, err := in.next()
		if err == io.EOF {
			return n, in.errorf("%w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return n, err
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			return n, nil
		}
		if e.Name.Local == local {
			n++
		}
		if err := in.Skip(); err != nil {
			return n, in.errorf("%w", err)
		}
	}
}

// raw appends an element as one that stands alone: no prefix is declared
// outside of it. outside is the namespace that it is in anyway.
func (in *input) raw(dst []byte, e xml.StartElement, outside string, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, in.errorf("elements are nested too deeply")
	}
	dst = append(append(dst, '<'), e.Name.Local...)
	if e.Name.Space != outside || depth == 0 {
		dst = xmpp.AppendAttr(dst, "xmlns", e.Name.Space)
	}
	for i, a := range e.Attr {
		switch a.Name.Space {
		case "":
			if a.Name.Local != "xmlns" {
				dst = xmpp.AppendAttr(dst, a.Name.Local, a.Value)
			}
		case "xmlns":
		case "xml", nsXML:
			dst = xmpp.AppendAttr(dst, "xml:"+a.Name.Local, a.Value)
		default:
			prefix := fmt.Sprintf("a%d", i)
			dst = xmpp.AppendAttr(dst, "xmlns:"+prefix, a.Name.Space)
			dst = xmpp.AppendAttr(dst, prefix+":"+a.Name.Local, a.Value)
		}
	}
	dst = append(dst, '>')
	for {
		t, err := in.Token()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, in.errorf("%w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if dst, err = in.raw(dst, t, e.Name.Space, depth+1); err != nil {
				return nil, err
			}
		case xml.CharData:
			dst = xmpp.AppendText(dst, string(t))
		case xml.EndElement:
			dst = append(append(dst, "</"...), e.Name.Local...)
			return append(dst, '>'), nil
		}
	}
}
