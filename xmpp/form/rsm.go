package form

import (
	"math"
	"strconv"
	"strings"

	"confab/xmpp"
)

// RSM is a request for a page (XEP-0059).
type RSM struct {
	Max                 int    // -1: not given
	Before, After       string // ids of items
	HasBefore, HasAfter bool   // an empty <before/> asks for the last page (§2.5)
	Index               int    // -1: not given
}

// ParseRSM reads <set xmlns='http://jabber.org/protocol/rsm'/>; nil is a request without limits. The error is an
// *xmpp.Error, bad-request: n is something else, a number is none, an element is there twice, or the places contradict
// each other. An empty <after/> is the same as none: it asks for the first page.
func ParseRSM(n *xmpp.Node) (RSM, error) {
	r := RSM{Max: -1, Index: -1}
	if n == nil {
		return r, nil
	}
	if !n.Is(xmpp.NSRSM, "set") {
		return r, badRequest("a result set request was expected")
	}
	var err error
	seen := map[string]bool{}
	for _, c := range n.Children {
		if c.Space != xmpp.NSRSM {
			continue
		}
		if seen[c.Local] {
			return RSM{Max: -1, Index: -1}, badRequest("<%s/> is there twice", c.Local)
		}
		seen[c.Local] = true
		switch c.Local {
		case "max":
			r.Max, err = parseCount(c)
		case "index":
			r.Index, err = parseCount(c)
		case "before":
			r.Before, r.HasBefore = c.Text, true
		case "after":
			r.After, r.HasAfter = c.Text, c.Text != ""
		}
		if err != nil {
			return RSM{Max: -1, Index: -1}, err
		}
	}
	places := 0
	for _, given := range []bool{r.HasBefore, r.HasAfter, r.Index >= 0} {
		if given {
			places++
		}
	}
	if places > 1 {
		return RSM{Max: -1, Index: -1}, badRequest("only one of <before/>, <after/> and <index/> can be asked for")
	}
	return r, nil
}

// parseCount reads a number of items. A number that is too big is as good as the biggest one.
func parseCount(n *xmpp.Node) (int, error) {
	s := strings.TrimSpace(n.Text)
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return -1, badRequest("<%s/> must be a number", n.Local)
	}
	v, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return math.MaxInt32, nil
	}
	return int(v), nil
}

// Append appends the request.
func (r RSM) Append(dst []byte) []byte {
	dst = append(dst, "<set xmlns='"+xmpp.NSRSM+"'>"...)
	if r.Max >= 0 {
		dst = appendElement(dst, "max", strconv.Itoa(r.Max))
	}
	if r.HasBefore {
		dst = appendElement(dst, "before", r.Before)
	}
	if r.HasAfter {
		dst = appendElement(dst, "after", r.After)
	}
	if r.Index >= 0 {
		dst = appendElement(dst, "index", strconv.Itoa(r.Index))
	}
	return append(dst, "</set>"...)
}

// RSMResult describes a page (XEP-0059 §2.1).
type RSMResult struct {
	First, Last string // ids; "" if the page has no items
	Index       int    // of First in all items; -1: not told
	Count       int    // of all items; -1: not told
}

// Append appends <set/>.
func (r RSMResult) Append(dst []byte) []byte {
	dst = append(dst, "<set xmlns='"+xmpp.NSRSM+"'>"...)
	if r.First != "" {
		dst = append(dst, "<first"...)
		if r.Index >= 0 {
			dst = xmpp.AppendAttr(dst, "index", strconv.Itoa(r.Index))
		}
		dst = append(xmpp.AppendText(append(dst, '>'), r.First), "</first>"...)
	}
	if r.Last != "" {
		dst = appendElement(dst, "last", r.Last)
	}
	if r.Count >= 0 {
		dst = appendElement(dst, "count", strconv.Itoa(r.Count))
	}
	return append(dst, "</set>"...)
}
