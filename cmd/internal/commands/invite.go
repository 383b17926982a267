package commands

import (
	"time"

	"confab/cmd/internal/admin"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// createAccount makes an invitation for an address that an administrator names
// (XEP-0401 §4.4). There is no roster-subscription to choose, as everybody on
// the domain is everybody's contact.
var createAccount = command{
	node: "urn:xmpp:invite#create-account", name: "Invite somebody to make an account", op: admin.UserInvite.Operation,
	steps: []func(c *call) (*form.Form, error){func(*call) (*form.Form, error) {
		return form.New(form.TypeForm, "",
			form.Field{Var: "username", Type: form.TextSingle, Label: "Username", Required: true},
			form.Field{Var: "name", Type: form.TextSingle, Label: "Name that others see"}), nil
	}},
	run: func(c *call) (out feature.Outcome, err error) {
		username, _, err := c.Answer().Text("username")
		if err != nil {
			return out, err
		}
		name, _, err := c.Answer().Text("name")
		if err != nil {
			return out, err
		}
		_, i, err := do(c, admin.UserInvite, admin.UserInviteParams{Address: username + "@" + c.domain, Name: name})
		if err != nil {
			return out, err
		}
		fields := []form.Field{{Var: "uri", Type: form.TextSingle, Label: "Address for chat apps", Values: []string{i.URI}}}
		if i.Page != "" {
			fields = append(fields, form.Field{Var: "landing-url", Type: form.TextSingle, Label: "Address for browsers", Values: []string{i.Page}})
		}
		fields = append(fields, form.Field{Var: "expire", Type: form.TextSingle, Label: "Good until", Values: []string{i.Expires.UTC().Format(time.RFC3339)}})
		out.Form = form.New(form.TypeResult, "urn:xmpp:invite#invitation", fields...)
		return out, nil
	},
}
