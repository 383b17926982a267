package feature

import (
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// Inline is what a client may turn on in the request for its address (XEP-0386).
type Inline struct {
	Var   string // by which it is announced
	Space string // of the element that asks for it
	// Turn does what the request asks for and appends to <bound/>. Nobody else
	// knows the session yet, and its account is locked; Turn waits for nothing.
	Turn func(s *router.Session, request *xmpp.Node, dst []byte) []byte
}

// Inline appends the <feature/> elements of what can be turned on while an
// address is bound (XEP-0386 §3.1).
func (t *Table) Inline(dst []byte) []byte {
	for i := range t.features {
		for _, f := range t.features[i].Inline {
			dst = append(xmpp.AppendAttr(append(dst, "<feature"...), "var", f.Var), "/>"...)
		}
	}
	return dst
}

// Turn lets the features turn on what the children of a request ask for, and
// appends what they say to it. What none of them knows is left alone.
func (t *Table) Turn(s *router.Session, request *xmpp.Node, dst []byte) []byte {
	for i := range t.features {
		for _, f := range t.features[i].Inline {
			for _, n := range request.Children {
				if n.Space == f.Space {
					dst = f.Turn(s, n, dst)
				}
			}
		}
	}
	return dst
}

// Catchup calls bind once, as Feature.Catchup says.
func (t *Table) Catchup(user *directory.User, bind func(bound []byte)) error {
	for i := range t.features {
		if f := t.features[i].Catchup; f != nil {
			return f(user, bind)
		}
	}
	bind(nil)
	return nil
}
