package feature

import (
	"errors"

	"confab/xmpp"
	"confab/xmpp/router"
)

// ErrDropped, returned by an Accept stage, ends the way of a stanza without a word to
// its sender.
var ErrDropped = errors.New("feature: dropped")

// Nonza is an element of a bound stream that is no stanza: it is neither routed
// nor answered nor counted.
type Nonza struct {
	Space, Local string
	Handle       func(s *router.Session)
}

// Nonza hands an element to its feature; what the stream brought before it has
// been handled by then. It reports false for an element that nobody knows.
func (t *Table) Nonza(b *Batch, st *xmpp.Stanza) bool {
	for i := range t.features {
		for _, n := range t.features[i].Nonzas {
			if n.Space == string(st.Space) && n.Local == string(st.Local) {
				t.Commit(b)
				n.Handle(b.session)
				return true
			}
		}
	}
	return false
}
