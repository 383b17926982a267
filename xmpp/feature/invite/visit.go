package invite

import (
	"context"
	"errors"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

const (
	nsPreauth  = "urn:xmpp:pars:0"                         // XEP-0379
	nsIBRToken = "urn:xmpp:ibr-token:0"                    // XEP-0445
	nsRegister = "http://jabber.org/features/iq-register"  // XEP-0077 §8
	nsLegacy   = "urn:xmpp:invite"                         // XEP-0401 before 0.5
	instructed = "Choose a password for your new account." // for people
	resetting  = "Choose a new password for your account."
	closed     = "Accounts on this server are made by invitation. Open the address in your invitation."
)

// loginFeatures announces registration with a token (XEP-0445 §3).
//
// COMPAT(Conversations): it looks for the namespace that XEP-0401 had before.
func loginFeatures(_ string, dst []byte) []byte {
	return append(dst, "<register xmlns='"+nsIBRToken+"'/><register xmlns='"+nsLegacy+"'/><register xmlns='"+nsRegister+"'/>"...)
}

// guest is somebody who has shown a token that was good.
type guest struct {
	token hash
	done  bool // the token was used
}

// preauth takes a token (XEP-0445 §4). It is not used up by that, and its age is
// not looked at again.
func (v *Invites) preauth(at *feature.Visitor, st *xmpp.Stanza, dst []byte) ([]byte, error) {
	n := st.Payload().Node()
	if st.Type != xmpp.TypeSet {
		return nil, xmpp.NewError(xmpp.BadRequest, "a token is set")
	}
	if g, _ := at.Kept.(*guest); g != nil && g.done {
		return nil, xmpp.NewError(xmpp.NotAcceptable, "one account is enough: log in")
	}
	h, r := v.find(n.Attr("token"), at.Domain)
	if r == nil {
		return nil, unknown()
	}
	at.Kept = &guest{token: h}
	at.Allow(grace)
	return dst, nil
}

// unknown is the answer to every token that is not good.
func unknown() *xmpp.Error {
	return xmpp.NewError(xmpp.ItemNotFound, "The provided token is invalid or expired")
}

// register is in-band registration (XEP-0077 §3.1), for those with a token.
func (v *Invites) register(at *feature.Visitor, st *xmpp.Stanza, dst []byte) ([]byte, error) {
	g, _ := at.Kept.(*guest)
	if st.Type == xmpp.TypeGet {
		return v.fields(g, dst), nil
	}
	n := st.Payload().Node()
	switch {
	case n.Child("", "remove") != nil: // §3.2: nobody is registered here
		return nil, xmpp.NewError(xmpp.UnexpectedRequest, "log in first")
	case g == nil:
		return nil, xmpp.NewError(xmpp.NotAllowed, closed)
	case g.done:
		return nil, xmpp.NewError(xmpp.NotAcceptable, "one account is enough: log in")
	}
	r := v.still(g.token)
	if r == nil {
		return nil, unknown()
	}
	username, password, err := answers(n)
	if err != nil {
		return nil, err
	}
	if username == "" || password == "" {
		return nil, xmpp.NewError(xmpp.NotAcceptable, "the username or the password is missing")
	}
	if j, err := v.host.Directory.LoginJID(at.Domain, username); err != nil || j != r.jid() {
		return nil, xmpp.NewError(xmpp.NotAcceptable, "the invitation is for "+r.jid().String())
	}
	keys, err := v.opts.Auth.NewKeys(password)
	if err != nil {
		return nil, xmpp.NewError(xmpp.NotAcceptable, err.Error())
	}
	switch err := v.redeem(context.Background(), g.token, r, keys); {
	case errors.Is(err, errGone):
		return nil, unknown()
	case errors.Is(err, directory.ErrExists):
		return nil, xmpp.NewError(xmpp.Conflict, "")
	case err != nil:
		return nil, err
	}
	g.done = true
	return dst, nil
}

// fields says what is to be filled in. Without a token, that is nothing.
func (v *Invites) fields(g *guest, dst []byte) []byte {
	var r *record
	if g != nil && !g.done {
		r = v.still(g.token)
	}
	dst = append(dst, "<query xmlns='"+xmpp.NSRegister+"'><instructions>"...)
	if r == nil {
		return append(dst, closed+"</instructions></query>"...)
	}
	text := instructed
	if r.User != 0 {
		text = resetting
	}
	dst = append(append(dst, text...), "</instructions><username>"...)
	dst = append(xmpp.AppendText(dst, r.Local), "</username><password/>"...)
	f := form.New(form.TypeForm, xmpp.NSRegister,
		form.Field{Var: "username", Type: form.TextSingle, Label: "Username", Required: true, Values: []string{r.Local}},
		form.Field{Var: "password", Type: form.TextPrivate, Label: "Password", Required: true})
	f.Instructions = []string{text}
	return append(f.Append(dst), "</query>"...)
}

// answers reads what was filled in, or the form that takes its place (XEP-0077
// §4).
func answers(n *xmpp.Node) (username, password string, err error) {
	x := n.Child(xmpp.NSDataForms, "x")
	if x == nil {
		return n.ChildText("", "username"), n.ChildText("", "password"), nil
	}
	f, err := form.Parse(x)
	if err != nil {
		return "", "", err
	}
	if t := f.FormType(); f.Type != form.TypeSubmit || t != "" && t != xmpp.NSRegister {
		return "", "", xmpp.NewError(xmpp.BadRequest, "the form was not submitted, or is for something else")
	}
	if username, _, err = f.Text("username"); err != nil {
		return "", "", err
	}
	password, _, err = f.Text("password")
	return username, password, err
}
