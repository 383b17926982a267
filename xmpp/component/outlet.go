package component

import (
	"bytes"
	"net"
	"sync"

	"confab/xmpp"
	"confab/xmpp/router"
)

const (
	maxAsked = 10_000  // requests to one component that have no answer
	maxID    = 1024    // bytes of what such a request is called; who calls it by more waits in vain when the component goes
	maxShown = 100_000 // presences that one component shows
)

// outlet is where stanzas for a component go, whether it is connected or not.
type outlet struct {
	Component
	srv *Server

	place chan struct{} // full: a connection is that of the component, or what its end has others hear is being said

	mu   sync.Mutex
	link *link // nil: away
	last *link // that came last; nil: none, or it has gone
	memory
}

// memory is what somebody has to hear about when the component goes.
type memory struct {
	asked map[question]struct{}
	shown map[sight]struct{}
}

// question is a request to a component that has no answer yet.
type question struct {
	by, of xmpp.JID
	id     string
}

// sight is somebody of the component's who shows presence to somebody of ours.
type sight struct{ who, to xmpp.JID }

// Home is the mail domain that the component belongs to.
func (o *outlet) Home() string { return o.Component.Home }

// Connected reports whether the component is there.
func (o *outlet) Connected() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.link != nil && !o.link.Closing()
}

// Send hands the component a stanza.
func (o *outlet) Send(out *router.Batch, stanza []byte) bool {
	var request *xmpp.Stanza
	if bytes.HasPrefix(stanza, []byte("<iq")) {
		st, err := xmpp.Parse(stanza)
		if err == nil && (st.Type == xmpp.TypeGet || st.Type == xmpp.TypeSet) {
			request = st
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link == nil || o.link.Closing() {
		return false
	}
	if request != nil && len(o.asked) < maxAsked && len(request.ID) <= maxID {
		if o.asked == nil {
			o.asked = map[question]struct{}{}
		}
		o.asked[question{request.From, request.To, string(request.ID)}] = struct{}{}
	}
	o.srv.Stats.Sent.Add(1)
	out.Append(o.link, stanza)
	return true
}

// note remembers what a stanza of the component begins and forgets what it ends.
func (o *outlet) note(st *xmpp.Stanza) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case st.Kind == xmpp.KindIQ && (st.Type == xmpp.TypeResult || st.Type == xmpp.TypeError):
		delete(o.asked, question{st.To, st.From, string(st.ID)})
	case st.Kind != xmpp.KindPresence:
	case st.Type == xmpp.TypeNone && len(o.shown) < maxShown:
		if o.shown == nil {
			o.shown = map[sight]struct{}{}
		}
		o.shown[sight{st.From, st.To}] = struct{}{}
	case st.Type == xmpp.TypeUnavailable, st.Type == xmpp.TypeError:
		delete(o.shown, sight{st.From, st.To})
	}
}

// join makes l the connection of the component, and tells it so, as soon as the
// one before has left: what its end has others hear does not come behind what
// the component says now. That may take as long as a handshake may.
func (o *outlet) join(l *link) error {
	o.mu.Lock()
	before := o.last
	o.last = l
	o.mu.Unlock()
	if before != nil {
		before.Close(&xmpp.StreamError{Condition: xmpp.StreamConflict, Text: "this component has connected anew"})
		before.Interrupt()
	}
	late := make(chan struct{})
	timer := o.srv.opts.Clock.AfterFunc(o.srv.opts.LoginTimeout, func() { close(late) })
	defer timer.Stop()
	select {
	case o.place <- struct{}{}:
	case <-late:
		return xmpp.NewStreamError(xmpp.StreamInternalServerError, "others are still being told of the end of the last connection; try again later")
	case <-l.Done():
		return net.ErrClosed
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.link = l
	o.srv.Stats.Connected.Add(1)
	l.Send([]byte("<handshake/>"))
	return nil
}

// leave ends the component's presence with its connection.
func (o *outlet) leave(l *link) {
	defer func() { <-o.place }()
	o.mu.Lock()
	m := o.memory
	o.link, o.memory = nil, memory{}
	if o.last == l {
		o.last = nil
	}
	o.mu.Unlock()
	o.srv.Stats.Connected.Add(-1)
	o.gone(&m)
}

// gone tells everybody for whom it makes a difference that the component is not
// there any more.
func (o *outlet) gone(m *memory) {
	table := o.srv.host.Table
	table.PeerGone(o, o.Name)
	for q := range m.asked {
		b := xmpp.AppendAttr([]byte("<iq type='error'"), "id", q.id)
		b = xmpp.AppendAttr(b, "to", q.by.String())
		b = append(b, "><error type='wait'><remote-server-timeout xmlns='"+xmpp.NSStanzas+"'/></error></iq>"...)
		o.inject(q.of, b)
	}
	for s := range m.shown {
		b := xmpp.AppendAttr([]byte("<presence type='unavailable'"), "to", s.to.String())
		o.inject(s.who, append(b, "/>"...))
	}
}

func (o *outlet) inject(from xmpp.JID, stanza []byte) {
	st, err := xmpp.Parse(stanza)
	if err == nil {
		err = o.srv.host.Table.InjectOf(o, from, st)
	}
	if err != nil {
		o.srv.opts.Log.Debug("the end of a component was not told", "component", o.Name, "error", err)
	}
}
