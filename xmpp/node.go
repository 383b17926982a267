package xmpp

import (
	"bytes"
	"strconv"
	"strings"
)

// Node is an element as a small tree, for control paths: namespaces resolved, text unescaped, nothing shared with the
// buffer. It can be built by hand.
type Node struct {
	Space, Local string
	Attrs        []Attr
	Children     []*Node
	Text         string // all character data directly inside

	// mixed is Text as it stands between the children: before the first, …, behind the last. Nil: it is all before them.
	mixed []string
}

// Attr is an attribute. Space is empty for one without prefix.
type Attr struct {
	Space, Local, Value string
}

// ParseNode reads one whole, self-contained element from storage.
func ParseNode(raw []byte) (*Node, error) {
	st, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	return st.Node(), nil
}

// Is reports whether the element has that name. It may be called on nil.
func (n *Node) Is(space, local string) bool { return n != nil && n.Local == local && n.Space == space }

// Child returns the first child with that name, nil if there is none; an empty space stands for the node's own.
// It may be called on nil.
func (n *Node) Child(space, local string) *Node {
	if n == nil {
		return nil
	}
	if space == "" {
		space = n.Space
	}
	for _, c := range n.Children {
		if c.Is(space, local) {
			return c
		}
	}
	return nil
}

// ChildText returns the text of the first child with that name, "" if there is none.
func (n *Node) ChildText(space, local string) string {
	if c := n.Child(space, local); c != nil {
		return c.Text
	}
	return ""
}

// Lookup returns an attribute without prefix. It may be called on nil.
func (n *Node) Lookup(name string) (value string, ok bool) { return n.LookupNS("", name) }

// LookupNS returns an attribute of a namespace; xml:lang is NSXML, "lang". It may be called on nil.
func (n *Node) LookupNS(space, local string) (value string, ok bool) {
	if n == nil {
		return "", false
	}
	for i := range n.Attrs {
		if n.Attrs[i].Space == space && n.Attrs[i].Local == local {
			return n.Attrs[i].Value, true
		}
	}
	return "", false
}

// Attr returns an attribute without prefix, "" if it is not there. It may be called on nil.
func (n *Node) Attr(name string) string {
	v, _ := n.Lookup(name)
	return v
}

// SetAttr sets an attribute without prefix.
func (n *Node) SetAttr(name, value string) {
	for i := range n.Attrs {
		if n.Attrs[i].Space == "" && n.Attrs[i].Local == name {
			n.Attrs[i].Value = value
			return
		}
	}
	n.Attrs = append(n.Attrs, Attr{Local: name, Value: value})
}

// newNode builds the tree of the element raw, which the lexer accepted; scope is in force outside of it.
func newNode(raw []byte, scope []nsDecl) *Node {
	type level struct {
		node  *Node
		decls int // in force outside of it
	}
	var (
		root  Node // stands for what is outside
		text  []byte
		open  = []level{{node: &root}}
		decls = append([]nsDecl(nil), scope...)
	)
	for c := (cursor{b: raw}); c.next(); {
		in := open[len(open)-1]
		if c.kind == tokText || c.kind == tokCDATA {
			text = c.appendText(text)
			continue
		}
		in.node.addText(text)
		text = text[:0]
		if c.kind == tokClose {
			if len(open) > 1 {
				in.node.settle()
				decls, open = decls[:in.decls], open[:len(open)-1]
			}
			continue
		}
		l := level{decls: len(decls)}
		decls = appendDecls(decls, c.raw())
		l.node = startNode(c.raw(), decls)
		in.node.Children = append(in.node.Children, l.node)
		if c.kind == tokEmpty {
			decls = decls[:l.decls]
		} else {
			open = append(open, l)
		}
	}
	if len(root.Children) == 0 {
		return nil
	}
	return root.Children[0]
}

// addText adds text behind the last child.
func (n *Node) addText(text []byte) {
	if len(text) == 0 {
		return
	}
	for len(n.mixed) <= len(n.Children) {
		n.mixed = append(n.mixed, "")
	}
	n.mixed[len(n.Children)] = string(text)
}

// settle computes Text when all of the element is read.
func (n *Node) settle() {
	n.Text = strings.Join(n.mixed, "")
	if len(n.mixed) <= 1 {
		n.mixed = nil
		return
	}
	for len(n.mixed) <= len(n.Children) {
		n.mixed = append(n.mixed, "")
	}
}

// appendDecls appends the namespace declarations of a start tag.
func appendDecls(dst []nsDecl, tag []byte) []nsDecl {
	for a := attrsOf(tag); a.next(); {
		prefix, local, ok := bytes.Cut(a.name, []byte{':'})
		switch {
		case string(prefix) != "xmlns":
		case !ok:
			dst = append(dst, nsDecl{uri: appendUnescaped(nil, a.value, true)})
		default:
			dst = append(dst, nsDecl{prefix: local, uri: appendUnescaped(nil, a.value, true)})
		}
	}
	return dst
}

// startNode makes a node of a start tag; decls are the declarations in force in it.
func startNode(tag []byte, decls []nsDecl) *Node {
	n := new(Node)
	prefix, local, ok := bytes.Cut(tagName(tag), []byte{':'})
	if !ok {
		prefix, local = nil, prefix
	}
	n.Space, n.Local = resolve(decls, prefix), string(local)
	for a := attrsOf(tag); a.next(); {
		prefix, local, ok := bytes.Cut(a.name, []byte{':'})
		if string(prefix) == "xmlns" {
			continue
		}
		attr := Attr{Value: string(appendUnescaped(nil, a.value, true))}
		if ok {
			attr.Space, attr.Local = resolve(decls, prefix), string(local)
		} else {
			attr.Local = string(prefix)
		}
		n.Attrs = append(n.Attrs, attr)
	}
	return n
}

func resolve(decls []nsDecl, prefix []byte) string {
	for i := len(decls) - 1; i >= 0; i-- {
		if bytes.Equal(decls[i].prefix, prefix) {
			return string(decls[i].uri)
		}
	}
	if string(prefix) == "xml" {
		return NSXML
	}
	return ""
}

// Append appends the element as XML that stands alone: its namespaces are declared in it.
func (n *Node) Append(dst []byte) []byte { return n.append(dst, "", true) }

// append appends the element where outside is the default namespace; declare says that it may be another.
func (n *Node) append(dst []byte, outside string, declare bool) []byte {
	prefix := ""
	if n.Space == NSXML {
		prefix = "xml:" // it can not be the default namespace (Namespaces in XML §3)
	}
	dst = append(append(append(dst, '<'), prefix...), n.Local...)
	if prefix == "" && (declare || n.Space != outside) {
		dst = AppendAttr(dst, "xmlns", n.Space)
		outside, declare = n.Space, false
	}
	dst = n.appendAttrs(dst)
	if len(n.Children) == 0 && n.Text == "" {
		return append(dst, '/', '>')
	}
	dst = append(dst, '>')
	mixed := n.mixed
	if len(mixed) != len(n.Children)+1 || strings.Join(mixed, "") != n.Text {
		mixed = nil // it was changed since it was read
	}
	if mixed == nil {
		dst = AppendText(dst, n.Text)
	}
	for i, c := range n.Children {
		if mixed != nil {
			dst = AppendText(dst, mixed[i])
		}
		dst = c.append(dst, outside, declare)
	}
	if mixed != nil {
		dst = AppendText(dst, mixed[len(n.Children)])
	}
	dst = append(append(append(dst, "</"...), prefix...), n.Local...)
	return append(dst, '>')
}

// appendAttrs appends the attributes; those of a namespace get prefixes of our own.
func (n *Node) appendAttrs(dst []byte) []byte {
	for i, a := range n.Attrs {
		switch a.Space {
		case "":
			dst = AppendAttr(dst, a.Local, a.Value)
		case NSXML:
			dst = AppendAttr(dst, "xml:"+a.Local, a.Value)
		default:
			prefix := "n" + strconv.Itoa(i)
			dst = AppendAttr(dst, "xmlns:"+prefix, a.Space)
			dst = AppendAttr(dst, prefix+":"+a.Local, a.Value)
		}
	}
	return dst
}
