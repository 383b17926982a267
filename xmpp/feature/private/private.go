// Package private keeps whatever XML somebody's clients want to keep, for nobody
// else to see (XEP-0049): notes, settings, what belongs together.
//
// An element is known by its name and namespace. Some are another face of what
// is kept elsewhere, such as bookmarks; who keeps them says so by Stand.
package private

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// What one user may keep.
const (
	maxElements = 200
	maxBytes    = 1 << 20
	maxName     = 1000 // of namespace and name
)

// Name is what an element is known by.
type Name struct{ Space, Local string }

// Face answers for an element that is kept elsewhere. Its errors are those of
// the request.
type Face struct {
	// Get returns the element, nil if there is none.
	Get func(q *feature.Query) (*xmpp.Node, error)
	// Set puts an element into the place of what there is; it is on disk when Set
	// returns.
	Set func(q *feature.Query, element *xmpp.Node) error
	// Put is Set without a request; nil: nothing is taken from other servers.
	Put func(ctx context.Context, owner directory.ID, element *xmpp.Node) error
}

// Private is what everybody keeps.
type Private struct {
	db    store.DB
	faces map[Name]Face
	onSet []func(owner directory.ID, name Name, xml []byte)
}

// New makes the Private of a server.
func New(h *feature.Host) *Private {
	h.Directory.OnDelete(erase)
	return &Private{db: h.State, faces: map[Name]Face{}}
}

// Stand lets somebody else answer for an element. Call it before the server runs.
func (p *Private) Stand(n Name, f Face) { p.faces[n] = f }

// OnSet has fn called when a client has stored an element, after it is on disk;
// empty XML means that there is none any more. Call it before the server runs.
func (p *Private) OnSet(fn func(owner directory.ID, name Name, xml []byte)) {
	p.onSet = append(p.onSet, fn)
}

// Get returns what a user keeps under a name, nil if nothing.
func (p *Private) Get(ctx context.Context, owner directory.ID, n Name) (xml []byte, err error) {
	err = p.db.View(ctx, func(tx store.Tx) error {
		xml = bytes.Clone(tx.Get(space, n.key(owner)))
		return nil
	})
	return xml, err
}

// put stores elements of one user, all of them or none.
func (p *Private) put(ctx context.Context, owner directory.ID, all map[Name][]byte) error {
	replaced := map[string]bool{}
	elements, length := 0, 0
	for n, xml := range all {
		replaced[string(n.key(owner))] = true
		length += len(xml)
		if len(xml) > 0 {
			elements++
		}
	}
	return p.db.Update(ctx, func(tx store.Tx) error {
		e, l := size(tx, owner, replaced)
		switch {
		case elements > 0 && e+elements > maxElements:
			return xmpp.NewError(xmpp.ResourceConstraint, fmt.Sprintf("no more than %d different elements are kept", maxElements))
		case length > 0 && l+length > maxBytes:
			return xmpp.NewError(xmpp.ResourceConstraint, fmt.Sprintf("no more than %d bytes are kept", maxBytes))
		}
		for n, xml := range all {
			var err error
			if len(xml) == 0 {
				err = tx.Delete(space, n.key(owner))
			} else {
				err = tx.Put(space, n.key(owner), xml)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Feature is the Private as the server's table takes it.
func (p *Private) Feature() feature.Feature {
	const where = feature.Server | feature.Self
	others := func(t xmpp.Type) feature.IQ {
		return feature.IQ{Space: xmpp.NSPrivate, Local: "query", Type: t, Where: feature.Account | feature.Nobody, Silent: true, Handle: refuse}
	}
	return feature.Feature{
		Name:       "private",
		Portables:  []feature.Portable{{Space: xmpp.NSPrivate, Local: "query", Export: p.export, Import: p.importAll}},
		Implements: []feature.XEP{feature.Implements(49, "1.2", feature.Complete, "")},
		Advertise:  []feature.Advert{{Var: xmpp.NSPrivate, Where: where}},
		IQ: []feature.IQ{
			feature.Get(xmpp.NSPrivate, "query", feature.Self, p.get),
			feature.Set(xmpp.NSPrivate, "query", feature.Self, p.set),
			others(xmpp.TypeGet), others(xmpp.TypeSet),
		},
	}
}

// refuse is for what is somebody else's (§2.3), also where nobody is.
func refuse(*feature.Query, []byte) ([]byte, error) {
	return nil, xmpp.NewError(xmpp.Forbidden, "").WithType(xmpp.ErrorCancel)
}

// check finds what speaks against an element of a request.
func check(n *xmpp.Node) (Name, error) {
	name := Name{n.Space, n.Local}
	switch {
	case n.Space == "" || n.Space == xmpp.NSPrivate:
		return name, xmpp.NewError(xmpp.NotAcceptable, "the element has no namespace of its own")
	case len(n.Space)+len(n.Local) > maxName:
		return name, xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf("the name and namespace of the element are longer than %d bytes", maxName))
	case strings.HasPrefix(n.Space, "jabber:"), strings.HasPrefix(n.Space, "http://jabber.org/"), n.Space == xmpp.NSVCard: // §3
		return name, xmpp.NewError(xmpp.NotAcceptable, "this namespace is reserved")
	}
	return name, nil
}

func (p *Private) get(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil {
		return refuse(q, dst)
	}
	payload := q.Payload.Node()
	switch n := len(payload.Children); {
	case n == 0: // §3
		return nil, xmpp.NewError(xmpp.BadRequest, "the query does not say what to get")
	case n > 1:
		return nil, xmpp.NewError(xmpp.BadRequest, "one query gets one element")
	}
	name, err := check(payload.Children[0])
	if err != nil {
		return nil, err
	}
	xml, err := p.read(q, name)
	if err != nil {
		return nil, err
	}
	if len(xml) == 0 {
		xml = (&xmpp.Node{Space: name.Space, Local: name.Local}).Append(nil)
	}
	dst = append(dst, "<query xmlns='"+xmpp.NSPrivate+"'>"...)
	return append(append(dst, xml...), "</query>"...), nil
}

func (p *Private) read(q *feature.Query, name Name) ([]byte, error) {
	f, elsewhere := p.faces[name]
	if !elsewhere {
		return p.Get(context.Background(), q.Session.User(), name)
	}
	n, err := f.Get(q)
	if err != nil || n == nil {
		return nil, err
	}
	return n.Append(nil), nil
}

func (p *Private) set(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil {
		return refuse(q, dst)
	}
	payload := q.Payload.Node()
	if len(payload.Children) == 0 { // §2.3
		return nil, xmpp.NewError(xmpp.NotAcceptable, "the query holds nothing to keep")
	}
	kept, faces := map[Name][]byte{}, []*xmpp.Node(nil)
	for _, n := range payload.Children {
		name, err := check(n)
		if err != nil {
			return nil, err
		}
		if _, elsewhere := p.faces[name]; elsewhere {
			faces = append(faces, n)
			continue
		}
		xml := kept[name]
		if len(n.Attrs) > 0 || len(n.Children) > 0 || n.Text != "" { // one without anything in it is none
			xml = n.Append(xml)
		}
		kept[name] = xml
	}
	for _, n := range faces {
		if err := p.faces[Name{n.Space, n.Local}].Set(q, n); err != nil {
			return nil, err
		}
	}
	if len(kept) == 0 {
		return dst, nil
	}
	owner := q.Session.User()
	if err := p.put(context.Background(), owner, kept); err != nil {
		return nil, err
	}
	for name, xml := range kept {
		for _, fn := range p.onSet {
			fn(owner, name, xml)
		}
	}
	return dst, nil
}
