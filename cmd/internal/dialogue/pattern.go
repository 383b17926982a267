package dialogue

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
)

const (
	moreMark    = "{...}"
	orderedMark = "{in order}"
	moreAttr    = "dialogue-more" // what {...} in a tag becomes, so that the tag is XML
)

// pattern is an element of a script, as something to be received.
type pattern struct {
	n        *node
	more     bool // further children are allowed
	ordered  bool
	text     string
	children []*pattern
}

var streamTag = regexp.MustCompile(`<stream:stream(\s[^>]*[^/>])?>`)

// parsePatterns reads the elements of an indented block. A stream header stands there without its
// end, and the end of a stream without its beginning.
func parsePatterns(block string) ([]*pattern, error) {
	block = strings.ReplaceAll(block, "</stream:stream>", "<stream:end/>")
	block = streamTag.ReplaceAllString(markTags(block), "<stream:stream$1/>")
	nodes, err := parse(block)
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		return nil, errors.New("nothing to receive stands here")
	}
	var ps []*pattern
	for _, n := range nodes {
		if n.is(nsStream, "end") {
			n.local = streamEnd
		}
		p, err := newPattern(n)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// markTags replaces {...} inside tags by an attribute.
func markTags(s string) string {
	var b strings.Builder
	var quote byte // the quote we are in, or '<' within a tag, or 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote == 0 && c == '<':
			quote = '<'
		case quote == '<' && c == '>':
			quote = 0
		case quote == '<' && (c == '\'' || c == '"'):
			quote = c
		case quote != 0 && quote != '<' && c == quote:
			quote = '<'
		case quote == '<' && strings.HasPrefix(s[i:], moreMark):
			b.WriteString(moreAttr + "=''")
			i += len(moreMark) - 1
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func newPattern(n *node) (*pattern, error) {
	p := &pattern{n: n, text: n.text()}
	for _, mark := range []struct {
		text string
		set  *bool
	}{{moreMark, &p.more}, {orderedMark, &p.ordered}} {
		if strings.Contains(p.text, mark.text) {
			*mark.set = true
			p.text = strings.TrimSpace(strings.Replace(p.text, mark.text, "", 1))
		}
	}
	if _, err := parts(p.text); err != nil {
		return nil, err
	}
	attrs := n.attrs[:0:0]
	for _, a := range n.attrs {
		if a.local == moreAttr {
			n.more = true
			continue
		}
		if _, err := parts(a.value); err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	}
	n.attrs = attrs
	for _, el := range n.elements() {
		child, err := newPattern(el)
		if err != nil {
			return nil, err
		}
		p.children = append(p.children, child)
	}
	return p, nil
}

// String writes the pattern for people.
func (p *pattern) String() string { return p.n.String() }

// matches tells whether n is what the pattern says. What it stores is kept only if so.
func (e *env) matches(p *pattern, n *node) (bool, error) {
	kept := maps.Clone(e.vars)
	ok, err := e.matchNode(p, n)
	if !ok {
		e.vars = kept
	}
	return ok, err
}

func (e *env) matchNode(p *pattern, n *node) (bool, error) {
	if p.n.space != n.space || p.n.local != n.local {
		return false, nil
	}
	if len(n.attrs) > len(p.n.attrs) && !p.n.more {
		return false, nil
	}
	for _, want := range p.n.attrs {
		got, ok := n.lookup(want)
		if !ok {
			return false, nil
		}
		if ok, err := e.match(want.value, got); !ok || err != nil {
			return false, err
		}
	}
	els := n.elements()
	if !(p.more && p.text == "") {
		text := n.text()
		if len(els) > 0 || len(p.children) > 0 || p.more {
			text = strings.TrimSpace(text)
		}
		if ok, err := e.match(p.text, text); !ok || err != nil {
			return false, err
		}
	}
	if len(els) < len(p.children) || len(els) > len(p.children) && !p.more {
		return false, nil
	}
	if p.ordered {
		return e.assignInOrder(p.children, els)
	}
	return e.assign(p.children, els)
}

func (n *node) lookup(want attr) (string, bool) {
	for _, a := range n.attrs {
		if a.space == want.space && a.local == want.local {
			return a.value, true
		}
	}
	return "", false
}

// assign finds a different node for each pattern. Earlier choices are taken back if later ones fail.
func (e *env) assign(ps []*pattern, nodes []*node) (bool, error) {
	if len(ps) == 0 {
		return true, nil
	}
	for i, n := range nodes {
		kept := maps.Clone(e.vars)
		ok, err := e.matchNode(ps[0], n)
		if err != nil {
			return false, err
		}
		if ok {
			rest := append(append([]*node(nil), nodes[:i]...), nodes[i+1:]...)
			if ok, err := e.assign(ps[1:], rest); ok || err != nil {
				return ok, err
			}
		}
		e.vars = kept
	}
	return false, nil
}

// assignInOrder is assign for nodes that stand in the order of their patterns, others between them
// being allowed if their number is.
func (e *env) assignInOrder(ps []*pattern, nodes []*node) (bool, error) {
	if len(ps) == 0 {
		return true, nil
	}
	for i := 0; i+len(ps) <= len(nodes); i++ {
		kept := maps.Clone(e.vars)
		ok, err := e.matchNode(ps[0], nodes[i])
		if err != nil {
			return false, err
		}
		if ok {
			if ok, err := e.assignInOrder(ps[1:], nodes[i+1:]); ok || err != nil {
				return ok, err
			}
		}
		e.vars = kept
	}
	return false, nil
}

// differences says, line by line, why n is not what the pattern says. It pairs children by the
// fewest differences, so it may blame another child than a person would.
func (e *env) differences(p *pattern, n *node) []string {
	return e.diff(p, n, n.local)
}

func (e *env) diff(p *pattern, n *node, path string) []string {
	if p.n.space != n.space || p.n.local != n.local {
		return []string{fmt.Sprintf("%s: expected <%s xmlns='%s'/>, got <%s xmlns='%s'/>", path, p.n.local, p.n.space, n.local, n.space)}
	}
	out := e.diffAttrs(p, n, path)
	els := n.elements()
	if text := n.text(); !(p.more && p.text == "") {
		if len(els) > 0 || len(p.children) > 0 {
			text = strings.TrimSpace(text)
		}
		if ok, err := e.match(p.text, text); err != nil {
			out = append(out, fmt.Sprintf("%s: %v", path, err))
		} else if !ok {
			out = append(out, fmt.Sprintf("%s: expected text %q, got %q", path, p.text, text))
		}
	}
	left := els
	for _, want := range p.children {
		best, at := []string(nil), -1
		for i, el := range left {
			if el.space != want.n.space || el.local != want.n.local {
				continue
			}
			d := e.diff(want, el, path+"/"+el.local)
			if at < 0 || len(d) < len(best) {
				best, at = d, i
			}
		}
		if at < 0 {
			out = append(out, fmt.Sprintf("%s: missing\n%s", path, indent(want.String(), "    ")))
			continue
		}
		out = append(out, best...)
		left = append(append([]*node(nil), left[:at]...), left[at+1:]...)
	}
	if !p.more {
		for _, el := range left {
			out = append(out, fmt.Sprintf("%s: not expected\n%s", path, indent(el.String(), "    ")))
		}
	}
	return out
}

func (e *env) diffAttrs(p *pattern, n *node, path string) []string {
	var out []string
	known := map[string]bool{}
	for _, want := range p.n.attrs {
		known[want.space+" "+want.local] = true
		got, ok := n.lookup(want)
		if !ok {
			out = append(out, fmt.Sprintf("%s: attribute %s='%s' is missing", path, want.local, want.value))
			continue
		}
		if ok, err := e.match(want.value, got); err != nil {
			out = append(out, fmt.Sprintf("%s: attribute %s: %v", path, want.local, err))
		} else if !ok {
			out = append(out, fmt.Sprintf("%s: attribute %s expected '%s'%s, got '%s'", path, want.local, want.value, e.known(want.value), got))
		}
	}
	if !p.n.more {
		for _, a := range n.attrs {
			if !known[a.space+" "+a.local] {
				out = append(out, fmt.Sprintf("%s: attribute %s='%s' was not expected", path, a.local, a.value))
			}
		}
	}
	return out
}

// known says what the variables of a value are, for messages.
func (e *env) known(value string) string {
	if !strings.Contains(value, "{") {
		return ""
	}
	if s, err := e.expand(value); err == nil {
		return fmt.Sprintf(" ('%s')", s)
	}
	return ""
}

func indent(s, by string) string {
	return by + strings.ReplaceAll(s, "\n", "\n"+by)
}
