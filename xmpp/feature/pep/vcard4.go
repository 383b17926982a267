package pep

import (
	"bytes"
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/feature/pubsub"
)

// A vCard has two forms (XEP-0054, XEP-0292). What both can say is carried over
// to the other one whenever one of them is set; the rest stays where it was said.

// line is how one property is written in both.
type line struct {
	temp, four string
	value      string // what vCard4 has the value in; empty: parts
	part       string // what vcard-temp has the value in; empty: the element itself
	prefix     string // of the value in vCard4
	parts      [][2]string
}

var lines = []line{
	{temp: "FN", four: "fn", value: "text"},
	{temp: "N", four: "n", parts: [][2]string{{"FAMILY", "surname"}, {"GIVEN", "given"}, {"MIDDLE", "additional"}, {"PREFIX", "prefix"}, {"SUFFIX", "suffix"}}},
	{temp: "NICKNAME", four: "nickname", value: "text"},
	{temp: "BDAY", four: "bday", value: "date"},
	{temp: "URL", four: "url", value: "uri"},
	{temp: "TITLE", four: "title", value: "text"},
	{temp: "ROLE", four: "role", value: "text"},
	{temp: "DESC", four: "note", value: "text"},
	{temp: "ORG", four: "org", value: "text", part: "ORGNAME"},
	{temp: "EMAIL", four: "email", value: "text", part: "USERID"},
	{temp: "TEL", four: "tel", value: "uri", part: "NUMBER", prefix: "tel:"},
	{temp: "JABBERID", four: "impp", value: "uri", prefix: "xmpp:"},
	{temp: "ADR", four: "adr", parts: [][2]string{{"POBOX", "pobox"}, {"EXTADD", "ext"}, {"STREET", "street"}, {"LOCALITY", "locality"}, {"REGION", "region"}, {"PCODE", "code"}, {"CTRY", "country"}}},
}

func element(space, local, text string, children ...*xmpp.Node) *xmpp.Node {
	return &xmpp.Node{Space: space, Local: local, Text: text, Children: children}
}

// toFour returns the property as vCard4 has it, nil if it says nothing.
func (l *line) toFour(n *xmpp.Node) *xmpp.Node {
	out := element(xmpp.NSVCard4, l.four, "")
	if l.value != "" {
		text := n.Text
		if l.part != "" {
			text = n.ChildText("", l.part)
		}
		if text = strings.TrimSpace(text); text == "" {
			return nil
		}
		out.Children = append(out.Children, element(xmpp.NSVCard4, l.value, l.prefix+text))
	}
	for _, p := range l.parts {
		if text := strings.TrimSpace(n.ChildText("", p[0])); text != "" {
			out.Children = append(out.Children, element(xmpp.NSVCard4, p[1], text))
		}
	}
	if len(out.Children) == 0 {
		return nil
	}
	return out
}

// toTemp is the other way.
func (l *line) toTemp(n *xmpp.Node) *xmpp.Node {
	out := element(xmpp.NSVCard, l.temp, "")
	if l.value != "" {
		text := strings.TrimPrefix(strings.TrimSpace(n.ChildText("", l.value)), l.prefix)
		switch {
		case text == "":
			return nil
		case l.part == "":
			out.Text = text
		default:
			out.Children = append(out.Children, element(xmpp.NSVCard, l.part, text))
		}
		return out
	}
	for _, p := range l.parts {
		if text := strings.TrimSpace(n.ChildText("", p[1])); text != "" {
			out.Children = append(out.Children, element(xmpp.NSVCard, p[0], text))
		}
	}
	if len(out.Children) == 0 {
		return nil
	}
	return out
}

// merged returns the children of the form to, in which those that both forms
// have are taken from the form from.
func merged(from, to *xmpp.Node, name func(*line) (from, to string), convert func(*line, *xmpp.Node) *xmpp.Node) (out []*xmpp.Node) {
	for i := range lines {
		source, _ := name(&lines[i])
		for _, c := range from.Children {
			if c.Is(from.Space, source) {
				if n := convert(&lines[i], c); n != nil {
					out = append(out, n)
				}
			}
		}
	}
	for _, c := range to.Children {
		if !slices.ContainsFunc(lines, func(l line) bool { _, target := name(&l); return c.Is(to.Space, target) }) {
			out = append(out, c)
		}
	}
	return out
}

// carryToFour brings the vCard4 up to what a new vcard-temp says (XEP-0292 §3).
func carryToFour(t *pubsub.Transaction, card *xmpp.Node) error {
	it, err := t.Last(nodeVCard4)
	if err != nil {
		return err
	}
	before, old, id := element(xmpp.NSVCard4, "vcard", ""), []byte(nil), current
	if it != nil {
		old, id = it.Payload, it.ID
		if before, err = xmpp.ParseNode(old); err != nil {
			return err
		}
	}
	after := withChildren(before, merged(card, before, func(l *line) (string, string) { return l.temp, l.four }, (*line).toFour))
	now := after.Append(nil)
	if old == nil && len(after.Children) == 0 || bytes.Equal(now, old) {
		return nil
	}
	if err := t.Prepare(nodeVCard4); err != nil {
		return err
	}
	return t.Put(nodeVCard4, pubsub.Item{ID: id, Payload: now})
}

// carryToTemp brings the vcard-temp, which everybody may read, up to what a new
// vCard4 says, if everybody may read that.
func carryToTemp(t *pubsub.Transaction, it *pubsub.Item) error {
	c, ok, err := t.Config(nodeVCard4)
	if err != nil || !ok || c.Access != pubsub.Open {
		return err
	}
	four, err := xmpp.ParseNode(it.Payload)
	if err != nil {
		return err
	}
	before := element(xmpp.NSVCard, "vCard", "")
	if b := t.Tx().Get(spaceVCards, idKey(t.Owner())); b != nil {
		if before, err = xmpp.ParseNode(b); err != nil {
			return err
		}
	}
	after := withChildren(before, merged(four, before, func(l *line) (string, string) { return l.four, l.temp }, (*line).toTemp))
	raw := after.Append(nil)
	if len(raw) > pubsub.MaxPayload {
		return xmpp.NewError(xmpp.NotAcceptable, "the vCard is too big")
	}
	return t.Tx().Put(spaceVCards, idKey(t.Owner()), raw)
}
