package xmpptest

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

// Canonical returns XML in a form in which the same elements are the same text:
// namespaces resolved, attributes sorted, no white space between elements. The
// default namespace is jabber:client. It reads with encoding/xml, so that a
// mistake of our own reader cannot hide itself.
func Canonical(s string) (string, error) {
	d := xml.NewDecoder(strings.NewReader("<x xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>" + s + "</x>"))
	var b strings.Builder
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.StartElement:
			var attrs []string
			for _, a := range t.Attr {
				if a.Name.Local != "xmlns" && a.Name.Space != "xmlns" {
					attrs = append(attrs, " "+name(a.Name)+"='"+text(a.Value)+"'")
				}
			}
			slices.Sort(attrs)
			b.WriteString("<" + name(t.Name) + strings.Join(attrs, "") + ">")
		case xml.EndElement:
			b.WriteString("</" + name(t.Name) + ">")
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				b.WriteString(text(string(t)))
			}
		}
	}
}

func name(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return "{" + n.Space + "}" + n.Local
}

func text(s string) string {
	var b strings.Builder
	if xml.EscapeText(&b, []byte(s)) != nil {
		return ""
	}
	return b.String()
}
