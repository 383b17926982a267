package invite

import (
	"context"
	"errors"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// command is for administrators of a domain what the command line is for that
// of the server (XEP-0401 §4.4). There is no roster-subscription to choose:
// colleagues are contacts.
func (v *Invites) command() feature.Command {
	return feature.Command{
		Node: "urn:xmpp:invite#create-account", Name: "Invite somebody to make an account", Where: feature.Server,
		May: func(q *feature.Query) error {
			if u := q.UserOf(); u == nil || !u.Admin || u.Domain != q.To.Domain() {
				return feature.Forbidden("only administrators of the domain invite people")
			}
			return nil
		},
		Steps: []feature.Step{func(*feature.Execution) (*form.Form, error) {
			return form.New(form.TypeForm, "",
				form.Field{Var: "username", Type: form.TextSingle, Label: "Username", Required: true},
				form.Field{Var: "name", Type: form.TextSingle, Label: "Name that others see"}), nil
		}},
		Run: v.run,
	}
}

func (v *Invites) run(c *feature.Execution) (out feature.Outcome, err error) {
	i := Invitation{Domain: c.To.Domain(), By: c.UserOf().JID.String()}
	if i.Local, _, err = c.Answer().Text("username"); err != nil {
		return out, err
	}
	if i.Name, _, err = c.Answer().Text("name"); err != nil {
		return out, err
	}
	token, made, err := v.Invite(context.Background(), i)
	switch {
	case errors.Is(err, directory.ErrExists):
		return out, xmpp.NewError(xmpp.Conflict, err.Error())
	case errors.Is(err, directory.ErrName), errors.Is(err, ErrTooMany):
		return out, xmpp.NewError(xmpp.NotAcceptable, err.Error())
	case err != nil:
		return out, err
	}
	v.host.Log.Info("somebody was invited", "address", made.JID().String(), "by", made.By)
	fields := []form.Field{{Var: "uri", Type: form.TextSingle, Label: "Address for clients", Values: []string{made.URI(token)}}}
	if page := v.Page(made.Domain, token); page != "" {
		fields = append(fields, form.Field{Var: "landing-url", Type: form.TextSingle, Label: "Address for browsers", Values: []string{page}})
	}
	fields = append(fields, form.Field{Var: "expire", Type: form.TextSingle, Label: "Good until", Values: []string{made.Expires.Format(time.RFC3339)}})
	out.Form = form.New(form.TypeResult, "urn:xmpp:invite#invitation", fields...)
	return out, nil
}
