package c2s

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/router"
)

// maxTag bounds what a client adds to its resource.
const maxTag = 128

// bind2 binds an address within a login (XEP-0386 §3.2). Everything that is
// turned on is so before the session can be sent anything, and the client hears
// of all of it at once.
func (c *client) bind2(r *request, ok *success, failed []byte) (done bool, err error) {
	if !c.known() {
		return false, accountGone
	}
	full := c.resource(r)
	if !c.endEarlier(full) {
		return false, xmpp.NewStreamError(xmpp.StreamInternalServerError, "others are still being told of the end of your last session; try again later")
	}
	var s, replaced *router.Session
	// A login that is refused does not read the history, so it is known before
	// what waits is taken for read. Who takes the last place in between is the
	// same user.
	refused := c.srv.opts.Router.MayBind(full)
	if refused == nil {
		err = c.srv.opts.Table.Catchup(c.user, func(history []byte) {
			s, replaced, refused = c.srv.opts.Router.Bind(c.user, full, c, func(s *router.Session) []byte {
				c.begin(s)
				bound := append([]byte("<bound xmlns='"+xmpp.NSBind2+"'>"), history...)
				bound = append(c.turn(s, r.bind, bound), "</bound>"...)
				return append(ok.with(full, failed, bound), c.laterFeatures(s)...)
			})
		})
	}
	if err != nil && c.session != nil {
		panic(err) // of a feature, while the address was bound: the store has caught it
	}
	if err = errors.Join(err, refused); err != nil {
		c.user, c.info.Agent, c.info.Software, c.info.Device = nil, "", "", ""
		var e *xmpp.Error
		if !errors.As(err, &e) {
			c.srv.opts.Log.Error("an address could not be bound", "error", err, "address", full.String())
			e = xmpp.NewError(xmpp.InternalServerError, "")
		}
		return false, c.failure2(&auth.Failure{Condition: auth.TemporaryAuthFailure, Text: e.Text})
	}
	return true, c.bound(s, replaced)
}

// turn does what the children of <bind/> ask for.
func (c *client) turn(s *router.Session, bind *xmpp.Node, dst []byte) []byte {
	if n := bind.Child(xmpp.NSSM, "enable"); n != nil { // XEP-0198 §9.1
		max := c.resumable(n)
		err := s.EnableManagement(max, func(token string) []byte {
			dst = append(dst, smEnabled(token, max)...)
			return nil
		})
		if err != nil {
			dst = append(dst, smFailed("internal-server-error", "")...)
		}
	}
	return c.srv.opts.Table.Turn(s, bind, dst)
}

// laterFeatures is what can be negotiated with an address.
func (c *client) laterFeatures(s *router.Session) []byte {
	b := append([]byte(nil), "<stream:features>"...)
	if on, _ := s.Managed(); !on {
		b = append(b, "<sm xmlns='"+xmpp.NSSM+"'/>"...)
	}
	return append(c.srv.opts.Table.StreamFeatures(c.domain.Name(), b), "</stream:features>"...)
}

// resource makes the address of a client: the same at each login, if it says
// who it is. The id of the user-agent cannot be found out from it (XEP-0386 §3.2.1).
func (c *client) resource(r *request) xmpp.JID {
	var tag string
	if t := r.bind.Child(xmpp.NSBind2, "tag"); t != nil && len(t.Text) <= maxTag {
		tag = t.Text
	}
	id := rand.Text()[:12]
	if !r.agent.IsZero() {
		user := strconv.FormatUint(uint64(c.user.ID), 10)
		id = base64.RawURLEncoding.EncodeToString(c.srv.opts.Auth.Derive(9, "resource", user, r.agent.String(), tag))
	}
	if tag != "" {
		if full, err := c.user.JID.WithResource(tag + "/" + id); err == nil {
			return full
		}
	}
	full, err := c.user.JID.WithResource(id)
	if err != nil {
		panic(err) // letters and digits are a resource
	}
	return full
}

// endEarlier ends the sessions that the same client had before (XEP-0386 §3.2).
// It does so before the new one is bound: what they did not acknowledge the
// client finds in the history, and it must not wait for the new session too. It
// reports false if that takes longer than a login may.
func (c *client) endEarlier(full xmpp.JID) bool {
	a := c.srv.opts.Router.Account(full)
	if a == nil {
		return true
	}
	earlier := slices.DeleteFunc(a.Sessions(nil), func(s *router.Session) bool {
		agent := s.Info().Agent
		return s.JID() != full && (agent == "" || agent != c.info.Agent)
	})
	if len(earlier) == 0 {
		return true
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.srv.endAll(earlier, conflict)
	}()
	return c.waits(ended)
}

// bound tells the others of a session that was just bound.
func (c *client) bound(s, replaced *router.Session) error {
	if replaced != nil { // RFC 6120 §7.7.2.2, the first of its choices
		c.srv.end(replaced, conflict)
	}
	c.srv.opts.Table.Bound(s)
	// Who was disabled while this was going on was looked for among the sessions
	// either before this one was there, or after.
	if !c.known() {
		c.srv.end(s, accountGone)
		return accountGone
	}
	return nil
}

// What clients hear whose sessions end.
var (
	conflict    = xmpp.NewStreamError(xmpp.StreamConflict, "")
	accountGone = xmpp.NewStreamError(xmpp.StreamNotAuthorized, "this account was disabled, renamed or removed")
)

// known reports whether the account is still what the client has logged in to.
func (c *client) known() bool {
	u := c.srv.opts.Directory.ByID(c.user.ID)
	return u != nil && !u.Disabled && u.JID == c.user.JID
}
