package component

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"runtime/debug"
	"strings"
	"sync"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/stream"
)

// link is one connection.
type link struct {
	*stream.Conn
	srv    *Server
	outlet *outlet       // nil: it has not shown who it is
	left   chan struct{} // closed when it has left the outlet
	batch  *feature.Batch
	ring   [maxBatch]held
	next   int
}

// maxBatch bounds the messages of a component that wait for one commit.
const maxBatch = 64

// held is a stanza until it is on disk.
type held struct {
	xmpp.Stanza
	bytes []byte
}

// errDone ends the reader without an error for the peer.
var errDone = errors.New("done")

func (l *link) run() {
	s := l.srv
	known := sync.OnceFunc(s.known)
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
		err = l.serve()
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
	o.join(l)
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

// serve reads the stream to its end.
func (l *link) serve() error {
	table := l.srv.host.Table
	var st xmpp.Stanza
	for {
		ok, err := l.Next(&st)
		if err != nil {
			table.Commit(l.batch)
			return err
		}
		if !ok {
			if l.batch.Pending() > 0 && l.More() {
				continue
			}
			table.Commit(l.batch)
			if l.Buffered() == 0 {
				l.ring = [maxBatch]held{} // a connection at rest holds nothing
			}
			l.next = 0
			if err := l.Fill(); err != nil {
				return err
			}
			continue
		}
		l.Stanza()
		if err := l.handle(&st); err != nil {
			table.Commit(l.batch)
			return err
		}
		if l.batch.Pending() == 0 {
			l.next = 0
		} else if l.next++; l.next == maxBatch || l.batch.Full() {
			table.Commit(l.batch)
			l.next = 0
		}
		if l.Closing() {
			table.Commit(l.batch)
			return errDone
		}
	}
}

// handle checks a stanza of the component and lets it go its way.
func (l *link) handle(st *xmpp.Stanza) error {
	if st.FromErr != nil || st.From.Domain() != l.outlet.Name {
		return &xmpp.StreamError{Condition: xmpp.StreamInvalidFrom, Text: "a component speaks for its own domain, and says for which address of it"}
	}
	// In the namespace of the stream it would be neither a stanza nor a body to
	// anybody else.
	h := &l.ring[l.next]
	h.bytes = xmpp.Apply(h.bytes[:0], st, &xmpp.Edit{})
	if err := xmpp.ParseInto(&h.Stanza, h.bytes); err != nil {
		return err
	}
	if h.Kind == xmpp.KindOther {
		return &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
	}
	l.srv.Stats.Received.Add(1)
	if h.To.IsZero() && h.ToErr == nil {
		// RFC 6120 §8.1.1.2 would end the stream; a slip need not disconnect a
		// whole network.
		if h.Kind != xmpp.KindIQ || h.Type == xmpp.TypeGet || h.Type == xmpp.TypeSet {
			l.Send(xmpp.AppendError(nil, &h.Stanza, xmpp.NewError(xmpp.BadRequest, "a stanza of a component says for whom it is")))
		}
		return nil
	}
	l.outlet.note(&h.Stanza)
	l.srv.host.Table.Handle(l.batch, &h.Stanza)
	return nil
}
