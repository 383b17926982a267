package c2s

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/router"
)

// request is an <authenticate/> (XEP-0388 §2.3), with what is to be done at once
// if it is a success.
type request struct {
	mechanism string
	initial   []byte // nil: no initial response
	agent     auth.AgentID
	software  string
	device    string

	resume *xmpp.Node // XEP-0198 §9.2
	bind   *xmpp.Node // XEP-0386 §3.2
	token  string     // mechanism of the token that is asked for, XEP-0484 §3.2

	fast       bool // XEP-0484 §3.4
	invalidate bool // XEP-0484 §3.6
}

// parseRequest reads an <authenticate/>. An error is an *auth.Failure.
func parseRequest(n *xmpp.Node) (r request, err error) {
	r.mechanism = n.Attr("mechanism")
	if i := n.Child(xmpp.NSSASL2, "initial-response"); i != nil {
		if r.initial, err = decode2(i.Text); err != nil {
			return r, err
		}
	}
	if u := n.Child(xmpp.NSSASL2, "user-agent"); u != nil {
		// What is no UUID of version 4 could be anybody's, and names nobody.
		r.agent, _ = auth.ParseAgentID(u.Attr("id"))
		if e := u.Child(xmpp.NSSASL2, "software"); e != nil {
			r.software = readable(e.Text)
		}
		if e := u.Child(xmpp.NSSASL2, "device"); e != nil {
			r.device = readable(e.Text)
		}
	}
	r.resume = n.Child(xmpp.NSSM, "resume")
	r.bind = n.Child(xmpp.NSBind2, "bind")
	if e := n.Child(xmpp.NSFAST, "request-token"); e != nil {
		r.token = e.Attr("mechanism")
	}
	e := n.Child(xmpp.NSFAST, "fast")
	if e == nil {
		return r, nil
	}
	r.fast = true
	if r.invalidate, err = boolean(e.Attr("invalidate")); err != nil {
		return r, err
	}
	// The count guards against the replay of early data of TLS. None is accepted
	// here, so there is nothing to compare it with (XEP-0484 §3.4).
	if count := e.Attr("count"); count != "" {
		if _, err := strconv.ParseUint(count, 10, 63); err != nil {
			return r, &auth.Failure{Condition: auth.MalformedRequest, Text: "count is not a number."}
		}
	}
	return r, nil
}

func boolean(s string) (bool, error) {
	switch s {
	case "1", "true":
		return true, nil
	case "", "0", "false":
		return false, nil
	}
	return false, &auth.Failure{Condition: auth.MalformedRequest, Text: "invalidate is neither true nor false."}
}

// readable is what a client says of itself, fit for a terminal and a table.
func readable(s string) string {
	const most = 60
	n := 0
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if n++; n > most || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s))
}

// decode2 takes the base64 off a message that is there (XEP-0388 §2.2): an empty
// one is written as nothing, and "=" is not base64.
func decode2(text string) ([]byte, error) {
	switch text {
	case "":
		return []byte{}, nil
	case "=":
		return nil, &auth.Failure{Condition: auth.IncorrectEncoding, Text: "An empty message is an empty element here."}
	}
	return auth.Decode([]byte(text))
}

// authenticate2 is one attempt by XEP-0388, which begins with st.
func (c *client) authenticate2(st *xmpp.Stanza, at *attempt) (done bool, err error) {
	if string(st.Local) != "authenticate" {
		return false, c.failure2(&auth.Failure{Condition: auth.MalformedRequest})
	}
	r, err := parseRequest(st.Node())
	switch {
	case err != nil:
		return false, c.refused(err, at)
	case c.strange: // nobody's authorization string matches that (§2.3)
		return false, c.failure2(&auth.Failure{Condition: auth.InvalidAuthzid, Text: "The stream is from no address of a user."})
	}
	at.Mechanism, at.From = r.mechanism, c.from
	at.Agent, at.Token, at.Invalidate = r.agent, r.fast, r.invalidate
	x, err := c.srv.opts.Auth.Start(at.Attempt)
	if err != nil {
		return false, c.refused(err, at)
	}
	answer, done, err := c.step(x, r.initial)
	for !done && err == nil {
		c.send2("challenge", answer)
		if err := c.Read(st); err != nil {
			return false, err
		}
		switch {
		case string(st.Space) == xmpp.NSSASL2 && string(st.Local) == "response":
			var message []byte
			if message, err = decode2(st.Node().Text); err == nil {
				answer, done, err = c.step(x, message)
			}
		case string(st.Space) == xmpp.NSSASL2 && string(st.Local) == "abort":
			return false, c.failure2(&auth.Failure{Condition: auth.Aborted})
		default: // §2.4
			return false, &xmpp.StreamError{Condition: xmpp.StreamPolicyViolation, Text: "nothing else while a login is in progress"}
		}
	}
	if err != nil {
		return false, c.refused(err, at)
	}
	token, err := c.token(x, &r)
	if err != nil {
		return false, c.refused(err, at)
	}
	c.user = x.User()
	c.info.Mechanism = r.mechanism
	c.info.Software, c.info.Device = r.software, r.device
	if !r.agent.IsZero() {
		c.info.Agent = r.agent.String()
	}
	return c.welcome(&r, newSuccess(answer, token))
}

// token is what the success says of tokens. Somebody who did not ask for more
// is let in without one if it cannot be written down.
func (c *client) token(x *auth.Exchange, r *request) (*auth.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.srv.opts.LoginTimeout)
	defer cancel()
	t, err := x.Token(ctx, r.token)
	var f *auth.Failure
	if errors.As(err, &f) && f.Cause == auth.Store && !r.invalidate {
		c.srv.opts.Log.Error("a token could not be written down", "error", f.Err)
		return nil, nil
	}
	return t, err
}

// success is a <success/> in the making (XEP-0388 §2.6.1): the parts before and
// behind the address.
type success struct{ head, tail []byte }

func newSuccess(data []byte, token *auth.Token) *success {
	s := &success{head: append([]byte(nil), "<success xmlns='"+xmpp.NSSASL2+"'>"...)}
	if data != nil {
		s.head = append(s.head, "<additional-data>"...)
		s.head = append(base64.StdEncoding.AppendEncode(s.head, data), "</additional-data>"...)
	}
	if token != nil { // XEP-0484 §3.3
		s.tail = append(s.tail, "<token xmlns='"+xmpp.NSFAST+"'"...)
		s.tail = xmpp.AppendAttr(s.tail, "expiry", token.Expiry.UTC().Format(time.RFC3339))
		s.tail = append(xmpp.AppendAttr(s.tail, "token", token.Text), "/>"...)
	}
	s.tail = append(s.tail, "</success>"...)
	return s
}

// with is the element for an address, with what came of the inline requests.
func (s *success) with(j xmpp.JID, inline ...[]byte) []byte {
	b := append(append([]byte(nil), s.head...), "<authorization-identifier>"...)
	b = append(xmpp.AppendText(b, j.String()), "</authorization-identifier>"...)
	for _, i := range inline {
		b = append(b, i...)
	}
	return append(b, s.tail...)
}

// welcome does what the request asks for and tells the client: it resumes a
// session or else binds an address (XEP-0386 §3.2). done is false if the attempt
// failed after all.
func (c *client) welcome(r *request, s *success) (done bool, err error) {
	c.LoggedIn() // before the client hears of it: with BOSH what it says next may be here at once
	var failed []byte
	if r.resume != nil {
		failed, err = c.resume(r.resume, func(old *router.Session, resumed []byte) []byte {
			return s.with(old.JID(), resumed) // no stream features then (XEP-0198 §9.2)
		})
		if err != nil || failed == nil {
			return err == nil, err
		}
	}
	if r.bind != nil {
		return c.bind2(r, s, failed)
	}
	c.Answer(append(s.with(c.user.JID, failed), c.features()...))
	return true, nil
}

// failure2 ends one attempt; the client may try again.
func (c *client) failure2(f *auth.Failure) error {
	b := append([]byte(nil), "<failure xmlns='"+xmpp.NSSASL2+"'><"...)
	b = append(append(b, f.Condition...), " xmlns='"+xmpp.NSSASL+"'/>"...)
	if f.Text != "" {
		b = append(xmpp.AppendText(append(b, "<text xml:lang='en'>"...), f.Text), "</text>"...)
	}
	c.Answer(append(b, "</failure>"...))
	return nil
}

func (c *client) send2(name string, data []byte) {
	b := append(append([]byte{'<'}, name...), " xmlns='"+xmpp.NSSASL2+"'>"...)
	b = base64.StdEncoding.AppendEncode(b, data)
	c.Answer(append(append(append(b, "</"...), name...), '>'))
}

// appendAuthentication appends the stream feature (XEP-0388 §2.1).
func (c *client) appendAuthentication(b []byte, offered, tokens []string) []byte {
	mechanisms := func(names []string) {
		for _, m := range names {
			b = append(append(append(b, "<mechanism>"...), m...), "</mechanism>"...)
		}
	}
	b = append(b, "<authentication xmlns='"+xmpp.NSSASL2+"'>"...)
	mechanisms(offered)
	b = append(b, "<inline><bind xmlns='"+xmpp.NSBind2+"'><inline><feature var='"+xmpp.NSSM+"'/>"...)
	b = c.srv.opts.Table.Inline(b)
	b = append(b, "</inline></bind><sm xmlns='"+xmpp.NSSM+"'/>"...)
	if len(tokens) > 0 { // XEP-0484 §3.1
		b = append(b, "<fast xmlns='"+xmpp.NSFAST+"'>"...)
		mechanisms(tokens)
		b = append(b, "</fast>"...)
	}
	return append(b, "</inline></authentication>"...)
}
