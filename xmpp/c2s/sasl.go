package c2s

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/feature"
)

// attempt is what an attempt to log in starts from.
type attempt struct {
	auth.Attempt
	peer  netip.Addr
	sasl2 bool // by XEP-0388
}

// authenticate offers the mechanisms and lets the client try them, by the
// profile of RFC 6120 §6 or that of XEP-0388. again says that a new stream comes
// next; else the client has its address, or the features to get one by.
func (c *client) authenticate() (again bool, err error) {
	s := c.srv
	binding := c.binding
	offered := s.opts.Auth.Mechanisms(c.domain.Name(), binding)
	buf := xmpp.GetBuffer()
	b := append(*buf, "<stream:features><mechanisms xmlns='"+xmpp.NSSASL+"'>"...)
	for _, m := range offered {
		b = append(append(append(b, "<mechanism>"...), m...), "</mechanism>"...)
	}
	b = append(b, "</mechanisms>"...)
	announced := binding.Types()
	if len(announced) > 0 { // XEP-0440 §3; once for both profiles
		b = append(b, "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>"...)
		for _, t := range announced {
			b = append(xmpp.AppendAttr(append(b, "<channel-binding"...), "type", t), "/>"...)
		}
		b = append(b, "</sasl-channel-binding>"...)
	}
	b = c.appendAuthentication(b, offered, s.opts.Auth.TokenMechanisms(binding))
	b = s.opts.Table.LoginFeatures(c.domain.Name(), b)
	b = append(b, "</stream:features>"...)
	c.Answer(b)
	*buf = b
	xmpp.PutBuffer(buf)

	for range s.opts.Attempts {
		// Both profiles offer the same, which is what XEP-0474 §5.1 vouches for.
		at := &attempt{peer: c.peer}
		at.Attempt = auth.Attempt{Domain: c.domain.Name(), Binding: binding, Offered: offered, Announced: announced}
		done, err := c.try(at)
		if done || err != nil {
			return !at.sasl2, err
		}
	}
	return false, &xmpp.StreamError{Condition: xmpp.StreamPolicyViolation, Text: "too many failed logins"} // §6.4.5
}

// try is one attempt, from its first element on.
func (c *client) try(at *attempt) (done bool, err error) {
	var st xmpp.Stanza
	for visit := true; visit; {
		if err := c.Read(&st); err != nil {
			return false, err
		}
		if visit, err = c.visit(&st); err != nil {
			return false, err
		}
	}
	switch space := string(st.Space); {
	case space == xmpp.NSSASL2:
		at.sasl2 = true
	case space == xmpp.NSSASL:
	case st.Kind != xmpp.KindOther: // §4.9.3.12: no stanza before login
		return false, &xmpp.StreamError{Condition: xmpp.StreamNotAuthorized, Text: "log in first"}
	default:
		return false, &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
	}
	if name := string(st.Local); (name == "auth" || name == "authenticate") && !c.srv.guard.allow(at.peer) {
		return false, c.failure(at, c.throttled())
	}
	if at.sasl2 {
		return c.authenticate2(&st, at)
	}
	return c.authenticate1(&st, at)
}

// maxVisits bounds what is answered on one connection before login.
const maxVisits = 32

// visit answers what may be asked for before login. It reports false for all
// else.
func (c *client) visit(st *xmpp.Stanza) (bool, error) {
	if st.Kind != xmpp.KindIQ {
		return false, nil
	}
	if c.visitor == nil {
		c.visitor = &feature.Visitor{Domain: c.domain.Name(), Allow: c.allow}
	}
	answer, ok := c.srv.opts.Table.Visit(c.visitor, st)
	if !ok {
		return false, nil
	}
	c.Answer(answer)
	return true, c.visited()
}

func (c *client) visited() error {
	if c.visits++; c.visits > maxVisits {
		return &xmpp.StreamError{Condition: xmpp.StreamPolicyViolation, Text: "log in"}
	}
	return nil
}

// authenticate1 is one attempt by RFC 6120, which begins with st.
func (c *client) authenticate1(st *xmpp.Stanza, at *attempt) (done bool, err error) {
	var x *auth.Exchange
	for {
		element := st.Node()
		var challenge []byte
		switch name := string(st.Local); {
		case name == "auth" && x == nil:
			at.Mechanism = element.Attr("mechanism")
			if x, err = c.srv.opts.Auth.Start(at.Attempt); err == nil {
				challenge, done, err = c.decoded(x, element.Text)
			}
		case name == "response" && x != nil:
			challenge, done, err = c.decoded(x, element.Text)
		case name == "abort":
			return false, c.saslFailure(&auth.Failure{Condition: auth.Aborted})
		default:
			return false, c.saslFailure(&auth.Failure{Condition: auth.MalformedRequest})
		}
		if err != nil {
			return false, c.refused(err, at)
		}
		if done {
			c.user = x.User()
			c.info.Mechanism = at.Mechanism
			c.sendSASL("success", challenge)
			return true, nil
		}
		c.sendSASL("challenge", challenge)
		if err := c.Read(st); err != nil {
			return false, err
		}
		switch {
		case string(st.Space) == xmpp.NSSASL:
		case st.Kind != xmpp.KindOther:
			return false, &xmpp.StreamError{Condition: xmpp.StreamNotAuthorized, Text: "log in first"}
		default:
			return false, &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
		}
	}
}

func (c *client) decoded(x *auth.Exchange, text string) (challenge []byte, done bool, err error) {
	message, err := auth.Decode([]byte(text))
	if err != nil {
		return nil, false, err
	}
	return c.step(x, message)
}

func (c *client) step(x *auth.Exchange, message []byte) (challenge []byte, done bool, err error) {
	// A check of a password may have to wait for a processor.
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.opts.LoginTimeout)
	defer cancel()
	challenge, done, err = x.Step(ctx, message)
	// Whoever guesses on many connections at once learns nothing of those
	// guesses that others have overtaken.
	var f *auth.Failure
	if (done || errors.As(err, &f) && f.Cause == auth.Credentials) && !c.srv.guard.allow(c.peer) {
		return nil, false, c.throttled()
	}
	return challenge, done, err
}

// throttled refuses an attempt from an address that has failed too often.
func (c *client) throttled() *auth.Failure {
	c.srv.Stats.Throttled.Add(1)
	return &auth.Failure{Condition: auth.TemporaryAuthFailure, Text: "too many failed logins from this address; wait some minutes"}
}

// refused counts a failed attempt and tells the client.
func (c *client) refused(err error, at *attempt) error {
	var f *auth.Failure
	if !errors.As(err, &f) {
		c.srv.opts.Log.Error("a login could not be checked", "error", err)
		f = &auth.Failure{Condition: auth.TemporaryAuthFailure}
	}
	if f.Err != nil {
		c.srv.opts.Log.Error("a login could not be checked", "error", f.Err)
	}
	if f.Cause == auth.Credentials {
		c.srv.Stats.RefusedLogins.Add(1)
		c.srv.guard.failed(at.peer)
	}
	return c.failure(at, f)
}

// failure ends one attempt by the profile that it was made by.
func (c *client) failure(at *attempt, f *auth.Failure) error {
	if at.sasl2 {
		return c.failure2(f)
	}
	return c.saslFailure(f)
}

// saslFailure ends one attempt; the client may try again.
func (c *client) saslFailure(f *auth.Failure) error {
	b := append([]byte(nil), "<failure xmlns='"+xmpp.NSSASL+"'><"...)
	b = append(append(b, f.Condition...), "/>"...)
	if f.Text != "" {
		b = append(xmpp.AppendText(append(b, "<text xml:lang='en'>"...), f.Text), "</text>"...)
	}
	c.Answer(append(b, "</failure>"...))
	return nil
}

// sendSASL sends a challenge or the success. Data that is there and empty is
// written as "=" (RFC 6120 §6.4.2).
func (c *client) sendSASL(name string, data []byte) {
	b := append(append([]byte{'<'}, name...), " xmlns='"+xmpp.NSSASL+"'"...)
	switch {
	case data == nil:
		c.Answer(append(b, "/>"...))
		return
	case len(data) == 0:
		b = append(b, ">="...)
	default:
		b = base64.StdEncoding.AppendEncode(append(b, '>'), data)
	}
	c.Answer(append(append(append(b, "</"...), name...), '>'))
}
