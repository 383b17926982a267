// Package usersearch finds people of the domain by name and address (XEP-0055):
// on a large domain not everybody is in everybody's roster.
//
// It answers at search.example.com, which clients find among the items of the
// server, as an entity of the category directory. Only users of the domain get
// an answer; hidden and disabled ones are never in it.
package usersearch

import (
	"fmt"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

const (
	nsSearch = "jabber:iq:search"
	label    = "search"

	maxResults = 100 // in one answer
	maxField   = 200 // bytes of what is searched for
)

// fields are those of the namespace (§6.2) and of the form.
var fields = []struct{ name, label string }{
	{"first", "Given name"}, {"last", "Family name"}, {"nick", "Name"}, {"email", "Address"},
}

// New returns the feature.
func New() feature.Feature {
	s := new(searcher)
	return feature.Feature{
		Name:       "usersearch",
		Implements: []feature.XEP{feature.Implements(55, "1.3", feature.Complete, "over the users of the domain, with forms and pages")},
		Advertise:  []feature.Advert{{Var: nsSearch, Where: feature.Service}, {Var: xmpp.NSRSM, Where: feature.Service}},
		Identities: []feature.Identity{{Category: "directory", Type: "user", Name: "User directory", Where: feature.Service}},
		IQ: []feature.IQ{
			feature.Get(nsSearch, "query", feature.Service, s.get),
			feature.Set(nsSearch, "query", feature.Service, s.set),
		},
		Targets: []feature.Target{{Where: feature.Service, Label: label, Name: "User directory"}},
	}
}

type searcher struct{ indexes indexes }

// asker refuses what is not for the directory, or not from its domain.
func asker(q *feature.Query) error {
	if q.Target.Label != label || !q.To.IsDomain() || q.UserOf() == nil {
		return xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	return nil
}

const instructions = "Fill in one or more fields to search for people. Parts of names and addresses will do."

// get tells what can be searched for (§2.1, §3).
func (s *searcher) get(q *feature.Query, dst []byte) ([]byte, error) {
	if err := asker(q); err != nil {
		return nil, err
	}
	f := form.New(form.TypeForm, nsSearch)
	f.Title, f.Instructions = "User directory", []string{instructions}
	dst = append(dst, "<query xmlns='"+nsSearch+"'><instructions>"+instructions+"</instructions>"...)
	for _, x := range fields {
		dst = append(append(append(dst, '<'), x.name...), "/>"...)
		f.Fields = append(f.Fields, form.Field{Var: x.name, Type: form.TextSingle, Label: x.label})
	}
	return append(f.Append(dst), "</query>"...), nil
}

// set searches.
func (s *searcher) set(q *feature.Query, dst []byte) ([]byte, error) {
	if err := asker(q); err != nil {
		return nil, err
	}
	n := q.Payload.Node()
	x := n.Child(xmpp.NSDataForms, "x")
	w, err := read(n, x)
	if err != nil {
		return nil, err
	}
	set := n.Child(xmpp.NSRSM, "set")
	r, err := form.ParseRSM(set)
	if err != nil {
		return nil, err
	}
	found := s.indexes.get(q.Host().Directory.Domain(q.UserOf().Domain)).search(&w)
	page, result, err := cut(found, r)
	if err != nil {
		return nil, err
	}
	dst = append(dst, "<query xmlns='"+nsSearch+"'>"...)
	switch {
	case x != nil:
		dst = appendForm(dst, page)
	default:
		dst = appendItems(dst, page)
	}
	if set != nil {
		dst = result.Append(dst)
	}
	return append(dst, "</query>"...), nil
}

// read reads what is searched for: from the form, which takes precedence, or
// from the elements.
func read(n, x *xmpp.Node) (w wish, err error) {
	text := func(name string) (string, error) { return n.ChildText("", name), nil }
	if x != nil {
		f, err := form.Parse(x)
		switch {
		case err != nil:
			return w, err
		case f.Type != form.TypeSubmit:
			return w, xmpp.NewError(xmpp.BadRequest, "the form was not submitted")
		case f.FormType() != "" && f.FormType() != nsSearch:
			return w, xmpp.NewError(xmpp.BadRequest, "the form is for something else")
		}
		text = func(name string) (string, error) { s, _, err := f.Text(name); return s, err }
	}
	for i, to := range []*string{&w.first, &w.last, &w.nick, &w.email} {
		s, err := text(fields[i].name)
		if err != nil {
			return w, err
		}
		if len(s) > maxField {
			return w, xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf("what is searched for is longer than %d bytes", maxField))
		}
		// COMPAT(ejabberd's clients): there, a star stands for any text.
		*to = strings.TrimSpace(fold(strings.ReplaceAll(s, "*", " ")))
	}
	if w.empty() {
		return w, xmpp.NewError(xmpp.BadRequest, instructions)
	}
	return w, nil
}

// cut takes a page out of what was found (XEP-0059).
func cut(found []*directory.User, r form.RSM) (page []*directory.User, result form.RSMResult, err error) {
	size := maxResults
	if r.Max >= 0 {
		size = min(size, r.Max)
	}
	from, to := 0, len(found)
	switch {
	case r.HasBefore && r.Before == "":
		from = max(0, to-size)
	case r.HasBefore:
		if to, err = place(found, r.Before); err != nil {
			return nil, result, err
		}
		from = max(0, to-size)
	case r.HasAfter:
		if from, err = place(found, r.After); err != nil {
			return nil, result, err
		}
		from++
	case r.Index > len(found): // §2.6
		return nil, result, xmpp.NewError(xmpp.ItemNotFound, "")
	case r.Index >= 0:
		from = r.Index
	}
	page = found[from:min(to, from+size)]
	result = form.RSMResult{Index: from, Count: len(found)}
	if len(page) > 0 {
		result.First, result.Last = page[0].Local, page[len(page)-1].Local
	}
	return page, result, nil
}

func place(found []*directory.User, local string) (int, error) {
	for i, u := range found {
		if u.Local == local {
			return i, nil
		}
	}
	return 0, xmpp.NewError(xmpp.ItemNotFound, "")
}

// values are what is told of a user, in the order of fields.
func values(u *directory.User) [4]string {
	v := [4]string{2: u.Name, 3: address(u)}
	if i := strings.LastIndexByte(u.Name, ' '); i >= 0 {
		v[0], v[1] = strings.TrimSpace(u.Name[:i]), u.Name[i+1:]
	} else {
		v[0] = u.Name
	}
	if v[2] == "" {
		v[2] = xmpp.UnescapeLocal(u.Local)
	}
	return v
}

// appendItems appends the results as elements (§2.1).
func appendItems(dst []byte, page []*directory.User) []byte {
	for _, u := range page {
		dst = append(xmpp.AppendAttr(append(dst, "<item"...), "jid", u.JID.String()), '>')
		for i, v := range values(u) {
			name := fields[i].name
			dst = append(append(append(dst, '<'), name...), '>')
			dst = xmpp.AppendText(dst, v)
			dst = append(append(append(dst, "</"...), name...), '>')
		}
		dst = append(dst, "</item>"...)
	}
	return dst
}

// appendForm appends the results as a form (§3).
func appendForm(dst []byte, page []*directory.User) []byte {
	f := form.New(form.TypeResult, nsSearch)
	f.Reported = []form.Field{{Var: "jid", Type: form.JIDSingle, Label: "XMPP address"}}
	for _, x := range fields {
		f.Reported = append(f.Reported, form.Field{Var: x.name, Type: form.TextSingle, Label: x.label})
	}
	for _, u := range page {
		row := []form.Field{{Var: "jid", Values: []string{u.JID.String()}}}
		for i, v := range values(u) {
			row = append(row, form.Field{Var: fields[i].name, Values: []string{v}})
		}
		f.Items = append(f.Items, row)
	}
	return f.Append(dst)
}
