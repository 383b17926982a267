package disco

import (
	"cmp"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/feature"
)

// capsNode names this software (XEP-0115 §4).
const capsNode = "urn:confab"

// streamFeatures tells what the server can do when a client has logged in, so
// that it need not ask if it knows the hash (XEP-0115 §6.3).
func (s *source) streamFeatures(domain string, dst []byte) []byte {
	ver := s.verification(domain)
	if ver == "" {
		return dst
	}
	dst = append(dst, "<c xmlns='"+xmpp.NSCaps+"' hash='sha-1' node='"+capsNode+"' ver='"...)
	return append(append(dst, ver...), "'/>"...)
}

// isCaps reports whether somebody asks what that hash stands for (§6.2).
func (s *source) isCaps(q *feature.Query, node string) bool {
	ver, ok := strings.CutPrefix(node, capsNode+"#")
	return ok && q.Where == feature.Server && ver != "" && ver == s.verification(q.To.Domain())
}

// verification is the hash of what the server tells of itself.
func (s *source) verification(domain string) string {
	last, _ := s.verified.Load(domain)
	v, _ := last.(*verified)
	if v == nil {
		j, err := xmpp.NewJID("", domain, "")
		if err != nil {
			return ""
		}
		v = &verified{of: j}
	}
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	b, err := s.describe(s.host.Ask(v.of), append(*buf, "<query xmlns='"+xmpp.NSDiscoInfo+"'>"...))
	if err != nil {
		s.host.Log.Error("the server cannot tell what it can do", "error", err)
		return ""
	}
	*buf = b
	if v.info == string(b) {
		return v.hash
	}
	n, err := xmpp.ParseNode(shut(b))
	if err != nil {
		s.host.Log.Error("what the server tells of itself is not well-formed", "error", err)
		return ""
	}
	v = &verified{v.of, string(b), verification(n)}
	s.verified.Store(domain, v)
	return v.hash
}

// verified is the hash of what a domain's server told of itself last: every login asks for it, and it hardly ever changes.
type verified struct {
	of         xmpp.JID
	info, hash string
}

// verification computes the verification string of a disco#info answer (§5.1).
func verification(info *xmpp.Node) string {
	var identities []*xmpp.Node
	var features []string
	var forms [][]string
	for _, n := range info.Children {
		switch {
		case n.Is(xmpp.NSDiscoInfo, "identity"):
			identities = append(identities, n)
		case n.Is(xmpp.NSDiscoInfo, "feature"):
			features = append(features, n.Attr("var"))
		case n.Is(xmpp.NSDataForms, "x"):
			forms = append(forms, form(n))
		}
	}
	slices.SortFunc(identities, func(a, b *xmpp.Node) int {
		return cmp.Or(cmp.Compare(a.Attr("category"), b.Attr("category")), cmp.Compare(a.Attr("type"), b.Attr("type")), cmp.Compare(lang(a), lang(b)))
	})
	slices.Sort(features)
	slices.SortFunc(forms, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	var words []string
	for _, n := range identities {
		words = append(words, n.Attr("category")+"/"+n.Attr("type")+"/"+lang(n)+"/"+n.Attr("name"))
	}
	words = append(words, features...)
	words = append(words, slices.Concat(forms...)...)
	h := sha1.New()
	for _, w := range words {
		io.WriteString(h, w+"<")
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func lang(n *xmpp.Node) string {
	for _, a := range n.Attrs {
		if a.Space == xmpp.NSXML && a.Local == "lang" {
			return a.Value
		}
	}
	return ""
}

// form is what a form adds to the string: its type, then its fields, sorted,
// each with its values (§5.1, step 7).
func form(x *xmpp.Node) []string {
	words := []string{""}
	var fields []*xmpp.Node
	for _, f := range x.Children {
		switch {
		case !f.Is(xmpp.NSDataForms, "field"):
		case f.Attr("var") != "FORM_TYPE":
			fields = append(fields, f)
		case f.Child("", "value") != nil:
			words[0] = f.Child("", "value").Text
		}
	}
	slices.SortFunc(fields, func(a, b *xmpp.Node) int { return cmp.Compare(a.Attr("var"), b.Attr("var")) })
	for _, f := range fields {
		var values []string
		for _, v := range f.Children {
			if v.Is(xmpp.NSDataForms, "value") {
				values = append(values, v.Text)
			}
		}
		slices.Sort(values)
		words = append(append(words, f.Attr("var")), values...)
	}
	return words
}
