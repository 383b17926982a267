package c2s

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"

	"confab/xmpp"
	"confab/xmpp/auth"
)

// authenticate offers the mechanisms and lets the client try them (RFC 6120 §6).
func (c *client) authenticate() error {
	s := c.srv
	binding := c.binding()
	offered := s.opts.Auth.Mechanisms(c.domain.Name(), binding)
	b := append([]byte(nil), "<stream:features><mechanisms xmlns='"+xmpp.NSSASL+"'>"...)
	for _, m := range offered {
		b = append(append(append(b, "<mechanism>"...), m...), "</mechanism>"...)
	}
	b = append(b, "</mechanisms>"...)
	announced := binding.Types()
	if len(announced) > 0 { // XEP-0440 §3
		b = append(b, "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>"...)
		for _, t := range announced {
			b = append(xmpp.AppendAttr(append(b, "<channel-binding"...), "type", t), "/>"...)
		}
		b = append(b, "</sasl-channel-binding>"...)
	}
	c.Send(append(b, "</stream:features>"...))

	peer := addressOf(c.RemoteAddr())
	for range s.opts.Attempts {
		done, err := c.attempt(auth.Attempt{Domain: c.domain.Name(), Binding: binding, Offered: offered, Announced: announced}, peer)
		if done || err != nil {
			return err
		}
	}
	return &xmpp.StreamError{Condition: xmpp.StreamPolicyViolation, Text: "too many failed logins"} // §6.4.5
}

// attempt is one exchange, from <auth/> to its end.
func (c *client) attempt(at auth.Attempt, peer netip.Addr) (done bool, err error) {
	s := c.srv
	var st xmpp.Stanza
	var x *auth.Exchange
	for {
		if err := c.Read(&st); err != nil {
			return false, err
		}
		if string(st.Space) != xmpp.NSSASL {
			if st.Kind != xmpp.KindOther { // §4.9.3.12: no stanza before login
				return false, &xmpp.StreamError{Condition: xmpp.StreamNotAuthorized, Text: "log in first"}
			}
			return false, &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
		}
		element := st.Node()
		var challenge []byte
		switch name := string(st.Local); {
		case name == "auth" && x == nil:
			if !s.guard.allow(peer) {
				s.Stats.Throttled.Add(1)
				return false, c.saslFailure(&auth.Failure{Condition: auth.TemporaryAuthFailure, Text: "too many failed logins from this address; wait some minutes"})
			}
			at.Mechanism = element.Attr("mechanism")
			if x, err = s.opts.Auth.Start(at); err == nil {
				challenge, done, err = c.step(x, element.Text)
			}
		case name == "response" && x != nil:
			challenge, done, err = c.step(x, element.Text)
		case name == "abort":
			return false, c.saslFailure(&auth.Failure{Condition: auth.Aborted})
		default:
			return false, c.saslFailure(&auth.Failure{Condition: auth.MalformedRequest})
		}
		if err != nil {
			return false, c.refused(err, peer)
		}
		if done {
			c.user = x.User()
			c.info.Mechanism = at.Mechanism
			c.sendSASL("success", challenge)
			return true, nil
		}
		c.sendSASL("challenge", challenge)
	}
}

func (c *client) step(x *auth.Exchange, text string) (challenge []byte, done bool, err error) {
	message, err := auth.Decode([]byte(text))
	if err != nil {
		return nil, false, err
	}
	// A check of a password may have to wait for a processor.
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.opts.LoginTimeout)
	defer cancel()
	return x.Step(ctx, message)
}

// refused counts a failed attempt and tells the client.
func (c *client) refused(err error, peer netip.Addr) error {
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
		c.srv.guard.failed(peer)
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
	c.Send(append(b, "</failure>"...))
	return nil
}

// sendSASL sends a challenge or the success. Data that is there and empty is
// written as "=" (RFC 6120 §6.4.2).
func (c *client) sendSASL(name string, data []byte) {
	b := append(append([]byte{'<'}, name...), " xmlns='"+xmpp.NSSASL+"'"...)
	switch {
	case data == nil:
		c.Send(append(b, "/>"...))
		return
	case len(data) == 0:
		b = append(b, ">="...)
	default:
		b = base64.StdEncoding.AppendEncode(append(b, '>'), data)
	}
	c.Send(append(append(append(b, "</"...), name...), '>'))
}
