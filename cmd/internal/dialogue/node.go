package dialogue

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	nsClient  = "jabber:client"
	nsAccept  = "jabber:component:accept"
	nsStream  = "http://etherx.jabber.org/streams"
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsSASL2   = "urn:xmpp:sasl:2"
	nsBind    = "urn:ietf:params:xml:ns:xmpp-bind"
	nsBind2   = "urn:xmpp:bind:0"
	nsSM      = "urn:xmpp:sm:3"
	nsXML     = "http://www.w3.org/XML/1998/namespace"
	streamEnd = "{end of stream}" // local name of the node that stands for </stream:stream>
)

// node is an element as it was understood: prefixes resolved, declarations gone. A stream header is
// a node without content.
type node struct {
	space, local string
	attrs        []attr
	content      []content
	more         bool // of a pattern: further attributes are allowed
}

type attr struct{ space, local, value string }

// content is character data or, if el is not nil, an element.
type content struct {
	text string
	el   *node
}

func (n *node) is(space, local string) bool { return n.space == space && n.local == local }

func (n *node) attr(local string) string {
	for _, a := range n.attrs {
		if a.space == "" && a.local == local {
			return a.value
		}
	}
	return ""
}

func (n *node) elements() []*node {
	var els []*node
	for _, c := range n.content {
		if c.el != nil {
			els = append(els, c.el)
		}
	}
	return els
}

func (n *node) child(space, local string) *node {
	for _, c := range n.content {
		if c.el != nil && c.el.is(space, local) {
			return c.el
		}
	}
	return nil
}

// text is the character data directly inside. Beside child elements white space is layout.
func (n *node) text() string {
	var b strings.Builder
	mixed := false
	for _, c := range n.content {
		b.WriteString(c.text)
		mixed = mixed || c.el != nil
	}
	if mixed {
		return strings.TrimSpace(b.String())
	}
	return b.String()
}

// reader turns the bytes of one stream into nodes. It checks what encoding/xml lets pass: tags that
// do not match, prefixes that are not bound, and what RFC 6120 §11.1 forbids.
type reader struct {
	dec    *xml.Decoder
	open   []scope
	stream bool // the outermost element is a stream: its children are what next returns
	seen   bool // something but white space was read

	// content is the default namespace that the stream has to have, if it is not nsClient. What is in it is given out as
	// in nsClient, which is what scripts write.
	content string
}

type scope struct {
	name  xml.Name // as written
	bound map[string]string
}

// newReader reads a stream from r, which must be an io.ByteReader, so that no byte is read too many.
func newReader(r interface {
	io.Reader
	io.ByteReader
}) *reader {
	return &reader{dec: xml.NewDecoder(r), stream: true}
}

// newFragmentReader reads elements as scripts have them: in jabber:client unless they say otherwise.
func newFragmentReader(text string) *reader {
	return &reader{
		dec:  xml.NewDecoder(strings.NewReader(text)),
		open: []scope{{bound: map[string]string{"": nsClient, "stream": nsStream}}},
	}
}

func (r *reader) lookup(prefix string) (string, bool) {
	if prefix == "xml" {
		return nsXML, true
	}
	for i := len(r.open) - 1; i >= 0; i-- {
		if space, ok := r.open[i].bound[prefix]; ok {
			return space, true
		}
	}
	return "", prefix == ""
}

// next returns the stream's header, an element, or the node named streamEnd. At the end of a fragment
// it returns io.EOF.
func (r *reader) next() (*node, error) {
	for {
		tok, err := r.dec.RawToken()
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			r.seen = true
			n, err := r.start(tok)
			if err != nil || r.stream && len(r.open) == 1 {
				return n, err
			}
			return n, r.fill(n)
		case xml.EndElement:
			if err := r.end(tok); err != nil {
				return nil, err
			}
			return &node{space: nsStream, local: streamEnd}, nil
		case xml.CharData:
			if strings.TrimSpace(string(tok)) != "" {
				return nil, fmt.Errorf("character data %q between elements", tok)
			}
		case xml.ProcInst:
			if r.seen || !r.stream || tok.Target != "xml" {
				return nil, fmt.Errorf("processing instruction %s", tok.Target)
			}
		default:
			return nil, fmt.Errorf("comment or declaration in a stream: %T", tok)
		}
	}
}

// fill reads the rest of n, whose start was read.
func (r *reader) fill(n *node) error {
	for {
		tok, err := r.dec.RawToken()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			el, err := r.start(tok)
			if err != nil {
				return err
			}
			n.content = append(n.content, content{el: el})
			if err := r.fill(el); err != nil {
				return err
			}
		case xml.EndElement:
			return r.end(tok)
		case xml.CharData:
			n.content = append(n.content, content{text: string(tok)})
		default:
			return fmt.Errorf("%T in <%s/>, which RFC 6120 §11.1 forbids", tok, n.local)
		}
	}
}

func (r *reader) start(tok xml.StartElement) (*node, error) {
	s := scope{name: tok.Name, bound: map[string]string{}}
	for _, a := range tok.Attr {
		switch {
		case a.Name.Space == "xmlns":
			if a.Value == "" {
				return nil, fmt.Errorf("prefix %s bound to nothing", a.Name.Local)
			}
			s.bound[a.Name.Local] = a.Value
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			s.bound[""] = a.Value
		}
	}
	r.open = append(r.open, s)
	n := &node{local: tok.Name.Local}
	var ok bool
	if n.space, ok = r.lookup(tok.Name.Space); !ok {
		return nil, fmt.Errorf("prefix %s of <%s:%s/> is not bound", tok.Name.Space, tok.Name.Space, tok.Name.Local)
	}
	if r.content != "" {
		if len(r.open) == 1 && s.bound[""] != r.content {
			return nil, fmt.Errorf("the namespace of the stream is %q, and should be %q", s.bound[""], r.content)
		}
		if n.space == r.content {
			n.space = nsClient
		}
	}
	for _, a := range tok.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		got := attr{local: a.Name.Local, value: a.Value}
		if a.Name.Space != "" {
			if got.space, ok = r.lookup(a.Name.Space); !ok {
				return nil, fmt.Errorf("prefix %s of attribute %s is not bound", a.Name.Space, a.Name.Local)
			}
		}
		for _, b := range n.attrs {
			if b.space == got.space && b.local == got.local {
				return nil, fmt.Errorf("attribute %s twice in <%s/>", got.local, n.local)
			}
		}
		n.attrs = append(n.attrs, got)
	}
	return n, nil
}

func (r *reader) end(tok xml.EndElement) error {
	last := len(r.open) - 1
	if last < 0 || r.open[last].name != tok.Name {
		return fmt.Errorf("</%s> ends nothing that is open", tok.Name.Local)
	}
	r.open = r.open[:last]
	return nil
}

// parse reads all elements of a piece of a script.
func parse(text string) ([]*node, error) {
	r := newFragmentReader(text)
	var all []*node
	for {
		n, err := r.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
}

// String writes the element for people: indented, each namespace where it changes.
func (n *node) String() string {
	var b strings.Builder
	n.write(&b, "", nsClient)
	return strings.TrimSuffix(b.String(), "\n")
}

func (n *node) write(b *strings.Builder, indent, space string) {
	if n.local == streamEnd {
		b.WriteString(indent + "</stream:stream>\n")
		return
	}
	name, inner := n.local, n.space
	if n.space == nsStream {
		name, inner = "stream:"+n.local, space
	}
	fmt.Fprintf(b, "%s<%s", indent, name)
	if inner != space {
		fmt.Fprintf(b, " xmlns='%s'", inner)
	}
	for _, a := range n.attrs {
		local := a.local
		switch a.space {
		case "":
		case nsXML:
			local = "xml:" + local
		default:
			local = "{" + a.space + "}" + local
		}
		fmt.Fprintf(b, " %s='%s'", local, escape(a.value))
	}
	if n.more {
		b.WriteString(" " + moreMark)
	}
	els := n.elements()
	switch text := n.text(); {
	case n.is(nsStream, "stream"):
		b.WriteString(">\n")
	case len(els) == 0 && text == "":
		b.WriteString("/>\n")
	case len(els) == 0:
		fmt.Fprintf(b, ">%s</%s>\n", escape(text), name)
	default:
		b.WriteString(">\n")
		for _, el := range els {
			el.write(b, indent+"  ", inner)
		}
		if text != "" {
			fmt.Fprintf(b, "%s  %s\n", indent, escape(text))
		}
		fmt.Fprintf(b, "%s</%s>\n", indent, name)
	}
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;", `"`, "&quot;")

func escape(s string) string { return escaper.Replace(s) }
