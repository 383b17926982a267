// Package commands offers the operations of package admin to the administrators
// of a domain as ad-hoc commands (XEP-0050): those of XEP-0133, and forms made
// of the operations' own parameters for what that does not know, so that any
// client which shows forms is a tool for administration.
//
// Everything goes through a door that leads to the administrator's own domain
// and nowhere else, and is in the audit log like what is done at the command
// line.
package commands

import (
	"context"
	"errors"

	"confab/cmd/internal/admin"
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// New returns the feature. operations is asked when a command is used: the
// server is not complete before.
func New(operations func() *admin.Admin) feature.Feature {
	o := &office{operations}
	f := feature.Feature{
		Name: "commands",
		Implements: []feature.XEP{feature.Implements(133, "1.3.1", feature.Complete,
			"but for lists of whom the server talks to, as there is no federation; deleting a user keeps the history; restart and shutdown on servers with one domain")},
	}
	for i := range service {
		f.Commands = append(f.Commands, o.command(&service[i]))
	}
	f.Commands = append(f.Commands, o.command(&createAccount))
	for _, name := range offered {
		c := generic(admin.Named(name))
		f.Commands = append(f.Commands, o.command(&c))
	}
	for _, name := range unsupported {
		f.Commands = append(f.Commands, feature.Command{
			Node: nsAdmin + "#" + name, Where: where, Steps: nil,
			May: func(q *feature.Query) error {
				if err := o.may(q, nil); err != nil {
					return err
				}
				return xmpp.NewError(xmpp.FeatureNotImplemented, "") // XEP-0133 §5
			},
		})
	}
	return f
}

// where commands are: XEP-0133 addresses the domain; the administrator's own
// address is where some clients look for what a user can do.
const where = feature.Server | feature.Self

// command is an operation as a command.
type command struct {
	node, name string
	op         *admin.Operation // whose reach counts
	steps      []func(c *call) (*form.Form, error)
	run        func(c *call) (feature.Outcome, error)
}

type office struct{ operations func() *admin.Admin }

// may reports who may run an operation: administrators, for their domain.
func (o *office) may(q *feature.Query, op *admin.Operation) error {
	u := q.UserOf()
	if u == nil || !u.Admin || u.Disabled {
		return feature.Forbidden("this is for the administrators of the domain")
	}
	a := o.operations()
	if op == admin.ServerRestart.Operation && (a.Live == nil || a.Live.Restart == nil) {
		return xmpp.NewError(xmpp.FeatureNotImplemented, "")
	}
	if op != nil && !a.MayReach(op, u.Domain) {
		return feature.Forbidden("this is for the administrators of the server")
	}
	return nil
}

func (o *office) command(c *command) feature.Command {
	f := feature.Command{
		Node: c.node, Name: c.name, Where: where,
		May: func(q *feature.Query) error { return o.may(q, c.op) },
		Run: func(x *feature.Execution) (feature.Outcome, error) {
			out, err := c.run(o.call(x))
			return out, peerError(err)
		},
	}
	for _, step := range c.steps {
		f.Steps = append(f.Steps, func(x *feature.Execution) (*form.Form, error) {
			form, err := step(o.call(x))
			return form, peerError(err)
		})
	}
	return f
}

// call is a command that an administrator runs.
type call struct {
	*feature.Execution
	context.Context
	admin.Door        // to the domain
	by         string // for the audit log
	domain     string
}

func (o *office) call(x *feature.Execution) *call {
	domain := x.UserOf().Domain
	return &call{x, context.Background(), admin.For(o.operations(), domain), x.From.String() + " (XMPP)", domain}
}

// do has an operation carried out, and returns its items and its result.
func do[P, I, R any](c *call, op admin.Op[P, I, R], p P) (items []I, result R, err error) {
	result, err = op.Call(c, c.Door, c.by, p, admin.Receiver[I]{Item: func(i I) error {
		items = append(items, i)
		return nil
	}})
	return items, result, err
}

// peerError is an error as the administrator's client is told it (XEP-0133 §5).
func peerError(err error) error {
	var known *xmpp.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	text := err.Error()
	switch admin.CodeOf(err) {
	case admin.NotFound:
		return xmpp.NewError(xmpp.ItemNotFound, text)
	case admin.Conflict:
		return xmpp.NewError(xmpp.Conflict, text)
	case admin.Forbidden:
		return feature.Forbidden(text)
	case admin.Usage:
		return badPayload(text)
	}
	return err
}

// badPayload refuses what was filled in (XEP-0050 §4.4).
func badPayload(text string) *xmpp.Error {
	return xmpp.NewError(xmpp.BadRequest, text).WithApp("<bad-payload xmlns='" + xmpp.NSCommands + "'/>")
}

// done tells that something was done.
func done(text string) feature.Outcome {
	return feature.Outcome{Notes: []feature.Note{{Severity: feature.NoteInfo, Text: text}}}
}
