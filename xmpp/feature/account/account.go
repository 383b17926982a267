// Package account lets people change their passwords, which is the part of
// in-band registration (XEP-0077) that is for those who have an account. New
// ones are made, and old ones removed, by the administrator; or made by those
// whom the administrator has invited, see package invite.
//
// A new password counts from the next login on: sessions stay, tokens that stood
// for the old one (XEP-0484) do not.
package account

import (
	"context"
	"errors"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
)

// New returns the feature.
func New(h *feature.Host, a *auth.Auth) feature.Feature {
	c := &changer{host: h, auth: a}
	return feature.Feature{
		Name:       "account",
		Implements: []feature.XEP{feature.Implements(77, "2.4", feature.Partial, "change of password; accounts are made by invitation only, and not cancelled")},
		Advertise:  []feature.Advert{{Var: xmpp.NSRegister, Where: feature.Server}},
		IQ: []feature.IQ{
			feature.Get(xmpp.NSRegister, "query", feature.Server, c.get),
			feature.Set(xmpp.NSRegister, "query", feature.Server, c.set),
			// A request without an address is for the server too (§3.3).
			{Space: xmpp.NSRegister, Local: "query", Type: xmpp.TypeGet, Where: feature.Self, Handle: c.get, Silent: true},
			{Space: xmpp.NSRegister, Local: "query", Type: xmpp.TypeSet, Where: feature.Self, Handle: c.set, Silent: true},
		},
	}
}

type changer struct {
	host *feature.Host
	auth *auth.Auth
}

// get tells somebody who is registered just that (§3.1).
func (c *changer) get(q *feature.Query, dst []byte) ([]byte, error) {
	u := q.UserOf()
	if u == nil {
		return nil, xmpp.NewError(xmpp.UnexpectedRequest, "")
	}
	dst = append(dst, "<query xmlns='"+xmpp.NSRegister+"'><registered/><username>"...)
	return append(xmpp.AppendText(dst, u.Local), "</username><password/></query>"...), nil
}

func (c *changer) set(q *feature.Query, dst []byte) ([]byte, error) {
	u := q.UserOf()
	if u == nil {
		return nil, xmpp.NewError(xmpp.UnexpectedRequest, "")
	}
	n := q.Payload.Node()
	if n.Child("", "remove") != nil { // §3.2
		if len(n.Children) > 1 {
			return nil, xmpp.NewError(xmpp.BadRequest, "<remove/> stands alone")
		}
		return nil, xmpp.NewError(xmpp.NotAllowed, "an account is removed by the administrator")
	}
	w, err := read(n)
	if err != nil {
		return nil, err
	}
	if err := c.check(u, w); err != nil {
		return nil, err
	}
	if !c.mayTry(q.Session.Account()) {
		return nil, xmpp.NewError(xmpp.ResourceConstraint, "the password was changed several times just now; wait a minute")
	}
	keys, err := c.auth.NewKeys(w.password)
	if err != nil {
		return nil, xmpp.NewError(xmpp.NotAcceptable, err.Error())
	}
	ctx := context.Background()
	if err := c.auth.SetKeys(ctx, u.ID, keys); errors.Is(err, directory.ErrNotFound) {
		return nil, xmpp.NewError(xmpp.UnexpectedRequest, "")
	} else if err != nil {
		return nil, err
	}
	c.host.Log.Info("a user changed the password", "user", u.JID.String(), "resource", q.Session.JID().Resource())
	return dst, nil
}

// wish is a change that somebody asks for (§3.3).
type wish struct{ username, password string }

// read reads a request, or the form that takes its place (§4).
func read(n *xmpp.Node) (w wish, err error) {
	x := n.Child(xmpp.NSDataForms, "x")
	if x == nil {
		return wish{n.ChildText("", "username"), n.ChildText("", "password")}, nil
	}
	f, err := form.Parse(x)
	if err != nil {
		return w, err
	}
	switch t := f.FormType(); {
	case f.Type != form.TypeSubmit:
		return w, xmpp.NewError(xmpp.BadRequest, "the form was not submitted")
	case t != "" && t != xmpp.NSRegister && t != xmpp.NSRegister+":changepassword":
		return w, xmpp.NewError(xmpp.BadRequest, "the form is for something else")
	}
	if w.username, _, err = f.Text("username"); err != nil {
		return w, err
	}
	w.password, _, err = f.Text("password")
	return w, err
}

// check finds what speaks against a change of a user's.
func (c *changer) check(u *directory.User, w wish) error {
	if w.username == "" || w.password == "" { // an empty password is never set
		return xmpp.NewError(xmpp.BadRequest, "a change of the password names the user and the new password")
	}
	if j, err := c.host.Directory.LoginJID(u.Domain, w.username); err != nil || j != u.JID {
		return xmpp.NewError(xmpp.NotAllowed, "accounts are made by the administrator, and a password is changed by its owner")
	}
	return nil
}

// To hash a password is work, so nobody has it done again and again.
const (
	maxChanges = 5
	within     = time.Minute
)

type recent struct {
	mu      sync.Mutex
	changes [maxChanges]time.Time
	next    int
}

var recents = router.NewSlot[*recent]()

func (c *changer) mayTry(a *router.Account) bool {
	r, _ := recents.Get(a, func() (*recent, error) { return new(recent), nil })
	r.mu.Lock()
	defer r.mu.Unlock()
	now := c.host.Now()
	if last := r.changes[r.next]; !last.IsZero() && now.Sub(last) < within {
		return false
	}
	r.changes[r.next] = now
	r.next = (r.next + 1) % maxChanges
	return true
}
