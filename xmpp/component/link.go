package component

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"runtime/debug"
	"strings"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/stream"
)

// link is one connection.
type link struct {
	*stream.Conn
	srv    *Server
	outlet *outlet // nil: it has not shown who it is
	batch  *feature.Batch
	texts  [feature.MaxPending][]byte // of stanzas until they are on disk
}

// maxSpare bounds what a connection at rest keeps of each.
const maxSpare = 4 << 10

func (l *link) run(known func()) {
	s := l.srv
	defer s.door.Leave(l)
	defer known()
	defer l.Finish()
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("the stream of a component panicked", "panic", p, "stack", string(debug.Stack()))
			l.Close(&xmpp.StreamError{Condition: xmpp.StreamInternalServerError})
		}
	}()
	err := l.negotiate()
	if err == nil {
		known()
		defer l.outlet.leave(l)
		s.opts.Log.Info("a component has connected", "component", l.outlet.Name, "remote", l.RemoteAddr().String())
		err = s.host.Table.Serve(l.batch, l.Conn, l.take)
	}
	var se *xmpp.StreamError
	switch {
	case errors.As(err, &se):
		l.Close(se)
	case stream.IsTimeout(err) && l.outlet == nil && !l.Closing():
		l.Close(&xmpp.StreamError{Condition: xmpp.StreamConnectionTimeout})
	}
	if l.outlet != nil {
		s.opts.Log.Info("a component has gone", "component", l.outlet.Name, "cause", err)
	}
}

// negotiate takes the connection up to a good handshake (XEP-0114 §3).
func (l *link) negotiate() error {
	late := l.srv.opts.Clock.AfterFunc(l.srv.opts.LoginTimeout, l.Interrupt)
	defer late.Stop()
	h, err := l.ReadHeader()
	var se *xmpp.StreamError
	if err != nil && !errors.As(err, &se) {
		return err
	}
	var o *outlet
	if se == nil {
		o, se = l.srv.find(&h)
	}
	id := rand.Text()
	b := append([]byte(nil), "<?xml version='1.0'?><stream:stream xmlns='"+xmpp.NSComponent+"' xmlns:stream='"+xmpp.NSStream+"'"...)
	b = xmpp.AppendAttr(b, "id", id)
	if h.To != "" {
		b = xmpp.AppendAttr(b, "from", h.To)
	}
	l.Open(append(b, '>'))
	if se != nil {
		l.srv.Stats.Refused.Add(1)
		return se
	}
	var st xmpp.Stanza
	if err := l.Read(&st); err != nil {
		return err
	}
	if !st.Is(xmpp.NSComponent, "handshake") {
		return &xmpp.StreamError{Condition: xmpp.StreamNotAuthorized, Text: "a handshake comes first"}
	}
	if !proves(strings.TrimSpace(st.Node().Text), id, o.Secret) {
		l.srv.Stats.Refused.Add(1)
		l.srv.opts.Log.Warn("a component came with a wrong secret", "component", o.Name, "remote", l.RemoteAddr().String())
		return &xmpp.StreamError{Condition: xmpp.StreamNotAuthorized, Text: "the secret is not the one of this component"}
	}
	if !late.Stop() { // or it might yet interrupt what comes
		return &xmpp.StreamError{Condition: xmpp.StreamConnectionTimeout}
	}
	l.srv.Stats.Handshakes.Add(1)
	l.LoggedIn()
	l.batch = l.srv.host.Table.NewPeerBatch(o, h.Lang)
	if err := o.join(l); err != nil {
		return err
	}
	l.outlet = o
	return nil
}

// find returns the component that a stream header names.
func (s *Server) find(h *xmpp.Header) (*outlet, *xmpp.StreamError) {
	if h.Space != xmpp.NSComponent {
		return nil, &xmpp.StreamError{Condition: xmpp.StreamInvalidNamespace}
	}
	to, err := xmpp.ParseJID(h.To)
	if err != nil || !to.IsDomain() {
		return nil, &xmpp.StreamError{Condition: xmpp.StreamHostUnknown, Text: "'to' must name the component"}
	}
	o := s.outlets[to.Domain()]
	if o == nil {
		return nil, &xmpp.StreamError{Condition: xmpp.StreamHostUnknown, Text: "no such component is configured here"}
	}
	return o, nil
}

// proves reports whether a handshake is that of somebody who knows the secret.
func proves(handshake, id, secret string) bool {
	sum := sha1.Sum([]byte(id + secret))
	return subtle.ConstantTimeCompare([]byte(handshake), []byte(hex.EncodeToString(sum[:]))) == 1
}

// take checks a stanza of the component and lets it go its way.
func (l *link) take(st *xmpp.Stanza) error {
	if st.FromErr != nil || st.From.Domain() != l.outlet.Name {
		return &xmpp.StreamError{Condition: xmpp.StreamInvalidFrom, Text: "a component speaks for its own domain, and says for which address of it"}
	}
	// In the namespace of the stream it would be neither a stanza nor a body to
	// anybody else.
	spare := &l.texts[l.batch.Pending()]
	text := xmpp.Apply((*spare)[:0], st, &xmpp.Edit{})
	if cap(text) <= maxSpare {
		*spare = text
	}
	if err := xmpp.ParseInto(st, text); err != nil {
		return err
	}
	if st.Kind == xmpp.KindOther {
		return &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
	}
	l.srv.Stats.Received.Add(1)
	if st.To.IsZero() && st.ToErr == nil {
		// RFC 6120 §8.1.1.2 would end the stream; a slip need not disconnect a
		// whole network.
		if st.Kind != xmpp.KindIQ || st.Type == xmpp.TypeGet || st.Type == xmpp.TypeSet {
			l.Send(xmpp.AppendError(nil, st, xmpp.NewError(xmpp.BadRequest, "a stanza of a component says for whom it is")))
		}
		return nil
	}
	l.outlet.note(st)
	l.srv.host.Table.Handle(l.batch, st)
	return nil
}
