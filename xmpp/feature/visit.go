package feature

import (
	"time"

	"confab/xmpp"
)

// Visitor is a connection behind TLS over which nobody has logged in yet.
type Visitor struct {
	Domain string // that its stream was opened to
	Kept   any    // what the feature that answers remembers of it

	// Allow gives the login more time, since somebody has to type.
	Allow func(d time.Duration)
}

// Visit is a request that is answered before login. All others end the stream
// (RFC 6120 §4.9.3.12).
type Visit struct {
	Space, Local string
	// Handle appends the payload of the result to dst. An *xmpp.Error goes to
	// the visitor as it is.
	Handle func(v *Visitor, st *xmpp.Stanza, dst []byte) ([]byte, error)
}

// LoginFeatures appends what visitors may do besides logging in to
// <stream:features/>.
func (t *Table) LoginFeatures(domain string, dst []byte) []byte {
	for i := range t.features {
		if f := t.features[i].LoginFeatures; f != nil {
			dst = f(domain, dst)
		}
	}
	return dst
}

// Visit answers a request of a visitor. It reports false for what is none.
func (t *Table) Visit(v *Visitor, st *xmpp.Stanza) (answer []byte, ok bool) {
	p := st.Payload()
	if st.Kind != xmpp.KindIQ || st.Type != xmpp.TypeGet && st.Type != xmpp.TypeSet || p == nil || len(st.ID) == 0 {
		return nil, false
	}
	if st.ToErr != nil || !st.To.IsZero() && st.To.String() != v.Domain {
		return nil, false
	}
	for i := range t.features {
		for _, h := range t.features[i].Visits {
			if !p.Is(h.Space, h.Local) {
				continue
			}
			payload, err := h.Handle(v, st, nil)
			if err != nil {
				return xmpp.AppendError(nil, st, t.peerError(&Dispatch{Stanza: st, host: t.host}, err)), true
			}
			return xmpp.AppendResult(nil, st, payload), true
		}
	}
	return nil, false
}
