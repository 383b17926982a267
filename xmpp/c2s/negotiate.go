package c2s

import (
	"crypto/rand"
	"crypto/tls"
	"errors"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/router"
)

// negotiate takes a connection up to a bound or resumed session. begin brings it
// to the first stream that is secured.
func (c *client) negotiate(begin func(*client) error) error {
	if err := begin(c); err != nil {
		return err
	}
	again, err := c.authenticate()
	if err != nil {
		return err
	}
	c.binding = auth.Binding{} // not to be kept as long as the connection
	if again {
		c.LoggedIn()
		c.Restart()
		if err := c.open(); err != nil {
			return err
		}
		c.Answer(c.features())
	}
	if c.session != nil { // bound or resumed within the login
		return nil
	}
	return c.bind()
}

// direct is TLS from the first byte (XEP-0368).
func (c *client) direct() error { return c.secure(c.srv.tlsDirect.Load()) }

// secure makes the TLS handshake and reads the header of the stream behind it.
func (c *client) secure(config *tls.Config) error {
	if err := c.StartTLS(config); err != nil {
		c.Hangup()
		return errDone
	}
	state := c.TLS()
	c.info.TLS = describe(state)
	c.secured, c.binding = true, auth.BindTLS(*state, c.Sent())
	return c.open()
}

// upgrade is the first stream, on which nothing but STARTTLS is to be had (RFC 6120 §5).
func (c *client) upgrade() error {
	if err := c.open(); err != nil {
		return err
	}
	c.Answer([]byte("<stream:features><starttls xmlns='" + xmpp.NSTLS + "'><required/></starttls></stream:features>"))
	var st xmpp.Stanza
	for {
		if err := c.Read(&st); err != nil {
			return err
		}
		switch {
		case string(st.Space) == xmpp.NSTLS && string(st.Local) == "starttls":
			c.Answer([]byte("<proceed xmlns='" + xmpp.NSTLS + "'/>"))
			return c.secure(c.srv.tlsUpgrade.Load())
		case string(st.Space) == xmpp.NSSASL && string(st.Local) == "auth":
			// RFC 6120 §6.5.4; the password may be lost, but no session comes of it.
			c.Answer([]byte("<failure xmlns='" + xmpp.NSSASL + "'><encryption-required/></failure>"))
		case st.Kind != xmpp.KindOther: // §5.3.1
			return &xmpp.StreamError{Condition: xmpp.StreamPolicyViolation, Text: "STARTTLS comes first"}
		default:
			return &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
		}
	}
}

// open reads the client's stream header and answers it (RFC 6120 §4.7).
func (c *client) open() error {
	h, err := c.ReadHeader()
	var se *xmpp.StreamError
	if err != nil && !errors.As(err, &se) {
		return err
	}
	if se == nil {
		se = c.check(&h)
	}
	c.Open(c.header(&h))
	if se != nil {
		return se
	}
	return nil
}

// check is what a stream header must fulfil (RFC 6120 §4.7, §4.8, §4.9).
func (c *client) check(h *xmpp.Header) *xmpp.StreamError {
	switch {
	case h.StreamSpace != xmpp.NSStream, h.Space != xmpp.NSClient:
		return &xmpp.StreamError{Condition: xmpp.StreamInvalidNamespace}
	case !supported(h.Version):
		return &xmpp.StreamError{Condition: xmpp.StreamUnsupportedVersion, Text: "this server speaks version 1.0"}
	case h.To == "":
		return &xmpp.StreamError{Condition: xmpp.StreamHostUnknown, Text: "'to' must name the domain"}
	}
	to, err := xmpp.ParseJID(h.To)
	if err != nil || !to.IsDomain() {
		return &xmpp.StreamError{Condition: xmpp.StreamHostUnknown}
	}
	d := c.srv.opts.Directory.Domain(to.String())
	switch {
	case d == nil:
		return &xmpp.StreamError{Condition: xmpp.StreamHostUnknown}
	case c.user != nil && c.domain != d:
		return &xmpp.StreamError{Condition: xmpp.StreamNotAuthorized, Text: "logged in to another domain"}
	}
	c.domain, c.lang = d, h.Lang
	if h.From == "" || !c.secured {
		return nil
	}
	from, err := xmpp.ParseJID(h.From)
	if err != nil { // the mail address of somebody, as it is typed in
		from, err = c.srv.opts.Directory.LoginJID(d.Name(), h.From)
	}
	if c.user == nil { // XEP-0388 §2.1
		if err == nil && from.Domain() != d.Name() {
			return &xmpp.StreamError{Condition: xmpp.StreamInvalidFrom}
		}
		c.from, c.strange = from.Bare(), err != nil || from.Local() == ""
		return nil
	}
	// §4.7.1. It may be the address that was logged in with, if that was a former one.
	if u := c.srv.opts.Directory.Resolve(from); err != nil || u == nil || u.ID != c.user.ID {
		return &xmpp.StreamError{Condition: xmpp.StreamInvalidFrom}
	}
	return nil
}

// supported reports whether a version is at least 1.0 (RFC 6120 §4.7.5).
func supported(version string) bool {
	major, ok := 0, false
	for _, r := range version {
		if r == '.' {
			break
		}
		if r < '0' || r > '9' || major > 1000 {
			return false
		}
		major, ok = major*10+int(r-'0'), true
	}
	return ok && major >= 1
}

func (c *client) header(h *xmpp.Header) []byte {
	tag, end := "<?xml version='1.0'?><stream:stream xmlns='"+xmpp.NSClient+"' xmlns:stream='"+xmpp.NSStream+"'", ">"
	if c.Framed() {
		tag, end = "<open xmlns='"+xmpp.NSFraming+"'", "/>"
	}
	b := append([]byte(tag), " version='1.0' xml:lang='en'"...)
	b = xmpp.AppendAttr(b, "id", rand.Text())
	switch {
	case c.domain != nil:
		b = xmpp.AppendAttr(b, "from", c.domain.Name())
	case h.To != "": // whatever was asked for, since the peer expects an answer from there
		b = xmpp.AppendAttr(b, "from", h.To)
	}
	if h.From != "" {
		b = xmpp.AppendAttr(b, "to", h.From)
	}
	return append(b, end...)
}

// features is what a client that has logged in may negotiate.
func (c *client) features() []byte {
	b := append([]byte(nil), "<stream:features><bind xmlns='"+xmpp.NSBind+"'/>"+
		"<session xmlns='"+xmpp.NSSession+"'><optional/></session><sm xmlns='"+xmpp.NSSM+"'/>"...)
	return append(c.srv.opts.Table.StreamFeatures(c.domain.Name(), b), "</stream:features>"...)
}

// bind is the stream after login, up to an address (RFC 6120 §7) or an old
// session (XEP-0198 §5).
func (c *client) bind() error {
	var st xmpp.Stanza
	for {
		if err := c.Read(&st); err != nil {
			return err
		}
		if string(st.Space) == xmpp.NSSM {
			done, err := c.resumeOrFail(&st)
			if done || err != nil {
				return err
			}
			continue
		}
		if st.Kind == xmpp.KindOther {
			return &xmpp.StreamError{Condition: xmpp.StreamUnsupportedStanzaType}
		}
		p := st.Payload()
		if st.Kind != xmpp.KindIQ || st.Type != xmpp.TypeSet || p == nil || !p.Is(xmpp.NSBind, "bind") {
			// RFC 6120 §7.1: nothing else before an address is bound.
			return &xmpp.StreamError{Condition: xmpp.StreamNotAuthorized, Text: "bind a resource first"}
		}
		done, err := c.bindResource(&st, p)
		if done || err != nil {
			return err
		}
	}
}

func (c *client) bindResource(st *xmpp.Stanza, p *xmpp.Element) (done bool, err error) {
	refuse := func(e *xmpp.Error) (bool, error) {
		c.Answer(xmpp.AppendError(nil, st, e))
		return false, nil
	}
	var resource string
	if r := p.Node().Child(xmpp.NSBind, "resource"); r != nil {
		resource = r.Text
	}
	if resource == "" {
		resource = rand.Text()[:16]
	}
	full, err := c.user.JID.WithResource(resource)
	if err != nil { // §7.7.2.1
		return refuse(xmpp.NewError(xmpp.BadRequest, "the resource is not valid"))
	}
	if !c.known() {
		return false, accountGone
	}
	b := append([]byte(nil), "<bind xmlns='"+xmpp.NSBind+"'><jid>"...)
	b = append(xmpp.AppendText(b, full.String()), "</jid></bind>"...)
	s, replaced, err := c.srv.opts.Router.Bind(c.user, full, c, func(s *router.Session) []byte {
		c.begin(s)
		return xmpp.AppendResult(nil, st, b)
	})
	if err != nil {
		var e *xmpp.Error
		errors.As(err, &e)
		return refuse(e)
	}
	return true, c.bound(s, replaced)
}

// begin makes the connection that of a session, before its client can hear that
// it is.
func (c *client) begin(s *router.Session) {
	c.loggedIn()
	s.SetInfo(c.info)
	c.session, c.batch = s, c.srv.opts.Table.NewBatch(s, c.lang)
	c.srv.Stats.Logins.Add(1)
}
