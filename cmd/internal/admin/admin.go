// Package admin is what an administrator can do: one table of operations, and
// the doors to it.
//
// An operation has a name, typed parameters, a typed result, and works on the
// live objects of the server. It does not know who called it. The command line
// reaches it through the control socket while a server runs, and in its own
// process, on the data itself, while none does; the result is the same. Other
// doors (ad-hoc commands, HTTP) need no more than the table.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"confab/archive"
	"confab/cmd/internal/config"
	"confab/muc"
	"confab/roster"
	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/invite"
	"confab/xmpp/feature/notices"
	"confab/xmpp/feature/upload"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Admin is what the operations work on.
type Admin struct {
	Data      string // the data folder
	Directory *directory.Directory
	Auth      *auth.Auth
	State     store.DB
	Archive   *archive.Archive
	Rooms     *muc.Rooms
	Uploads   *upload.Uploads
	Invites   *invite.Invites
	Roster    *roster.Roster
	Notices   *notices.Notices
	Portables []feature.Portable
	Audit     *Audit
	Live      *Live      // nil: no server runs, the data was opened by a command
	Clock     xmpp.Clock // nil: the system's

	scope string // the domain of whoever asks; empty: all of them
}

// Live is what there is only while a server runs. The server fills it in.
type Live struct {
	Router  *router.Router
	Started time.Time
	Version string

	// Kick ends a session for good, whether it is connected or waits to be
	// resumed. The text is for the person who reads it.
	Kick func(s *router.Session, text string)

	// Listening tells the addresses that are really listened on, by the name of
	// their setting.
	Listening func() map[string][]string

	// Counters are the figures that packages keep of themselves.
	Counters func() map[string]int64

	// Commits tells of the history's commits since the start.
	Commits func() CommitStatus

	// Warnings is what the administrator should know of: certificates that
	// expire, settings that wait for a restart.
	Warnings func() []string

	// Reload reads settings and certificates again.
	Reload func(ctx context.Context) (Reloaded, error)

	// Stop asks the server to stop, and returns at once.
	Stop func()
	// Restart does the same, and has it start again; nil: it cannot.
	Restart func()

	ending ending
	gate   feature.Gate
}

// Close ends the operations of a server that stops: none begins any more, and those that have begun are waited for as long
// as ctx lets it.
func (l *Live) Close(ctx context.Context) { l.gate.Close(ctx) }

func (a *Admin) now() time.Time {
	if a.Clock == nil {
		return time.Now()
	}
	return a.Clock.Now()
}

// Operation is a line of the table.
type Operation struct {
	Name     string
	Title    string // for people who choose from a list
	Reach    Reach
	AtDesk   bool // only for those at the command line
	NeedLive bool // means nothing unless a server runs
	Audited  bool // the audit log says who did it

	params, item, result reflect.Type // item: None if it streams nothing

	run func(ctx context.Context, a *Admin, call *Request, out Output) (any, error)
}

// Request asks for an operation.
type Request struct {
	Operation string          `json:"operation"`
	Params    json.RawMessage `json:"params,omitempty"`
	By        string          `json:"by"` // who asks, for the audit log
	// Domain is the one that who asks is an administrator of; empty: the whole server.
	Domain string `json:"domain,omitempty"`
}

// Output takes what an operation tells before its result. Both may be nil.
type Output struct {
	Item     func(item json.RawMessage) error
	Progress func(done, total int)
}

func (o Output) item(v any) error {
	if o.Item == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return o.Item(b)
}

func (o Output) progress(done, total int) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}

// Door leads to the operations: an *Admin in this process, or a *Client of one
// in another.
type Door interface {
	Do(ctx context.Context, r Request, out Output) (json.RawMessage, error)
}

// Op is an operation with its types: parameters, items that are streamed, and
// result.
type Op[P, I, R any] struct{ *Operation }

// None is for operations without parameters or items.
type None struct{}

var table []*Operation

// Operations returns the table.
func Operations() []*Operation { return slices.Clone(table) }

// Named returns an operation of the table, nil if there is none of that name.
func Named(name string) *Operation {
	i := slices.IndexFunc(table, func(o *Operation) bool { return o.Name == name })
	if i < 0 {
		return nil
	}
	return table[i]
}

// define adds an operation to the table. item sends an item of the stream.
func define[P, I, R any](o Operation, run func(c *call[I], p P) (R, error)) Op[P, I, R] {
	o.params, o.item, o.result = reflect.TypeFor[P](), reflect.TypeFor[I](), reflect.TypeFor[R]()
	o.run = func(ctx context.Context, a *Admin, r *Request, out Output) (any, error) {
		var p P
		if len(r.Params) > 0 {
			dec := json.NewDecoder(bytes.NewReader(r.Params))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&p); err != nil {
				return nil, failf(Usage, "%s: the parameters are no good: %v", o.Name, err)
			}
		}
		if o.Audited {
			if err := a.Audit.started(a.now(), r, p); err != nil {
				return nil, err
			}
		}
		return run(&call[I]{Context: ctx, Admin: a, by: r.By, out: out}, p)
	}
	table = append(table, &o)
	return Op[P, I, R]{&o}
}

// call is one use of an operation.
type call[I any] struct {
	context.Context
	*Admin
	by  string // who asked
	out Output
}

func (c *call[I]) item(i I) error           { return c.out.item(i) }
func (c *call[I]) progress(done, total int) { c.out.progress(done, total) }

// Call carries the operation out through a door. item is called for what it
// streams; it and progress may be nil.
func (o Op[P, I, R]) Call(ctx context.Context, d Door, by string, p P, to Receiver[I]) (R, error) {
	var result R
	params, err := json.Marshal(p)
	if err != nil {
		return result, err
	}
	out := Output{Progress: to.Progress}
	if to.Item != nil {
		out.Item = func(raw json.RawMessage) error {
			var i I
			if err := json.Unmarshal(raw, &i); err != nil {
				return err
			}
			return to.Item(i)
		}
	}
	raw, err := d.Do(ctx, Request{Operation: o.Name, Params: params, By: by}, out)
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(raw, &result)
}

// Receiver takes what an operation tells before its result.
type Receiver[I any] struct {
	Item     func(I) error
	Progress func(done, total int)
}

// Do carries an operation out in this process.
func (a *Admin) Do(ctx context.Context, r Request, out Output) (json.RawMessage, error) {
	o := Named(r.Operation)
	if o == nil {
		return nil, failf(Usage, "there is no operation %q; is the command of another version than the server?", r.Operation)
	}
	if o.NeedLive && a.Live == nil {
		return nil, failf(NotRunning, "no server runs on %s", a.Data)
	}
	if a.Live != nil {
		if !a.Live.gate.Enter() {
			return nil, failf(NotRunning, "the server on %s is stopping", a.Data)
		}
		defer a.Live.gate.Leave()
	}
	a, err := a.within(o, &r)
	if err != nil {
		return nil, err
	}
	result, err := o.run(ctx, a, &r, out)
	if err != nil {
		err = asError(err)
		if o.Audited {
			err = errors.Join(err, a.Audit.failed(a.now(), &r, err))
		}
		return nil, err
	}
	return json.Marshal(result)
}

// Code says what kind of failure an Error is.
type Code string

// The codes.
const (
	Failed     Code = "failed"
	Usage      Code = "usage"       // what was asked for makes no sense
	NotFound   Code = "not-found"   // there is no such user, conversation …
	Conflict   Code = "conflict"    // it exists already, or somebody else holds it
	NotRunning Code = "not-running" // it needs a running server
	Forbidden  Code = "forbidden"   // it is not for whoever asks
)

// Error is the failure of an operation. Its text says what to do.
type Error struct {
	Code Code   `json:"code"`
	Text string `json:"text"`

	cause error // in this process only
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns the error that e was made of, if that happened in this process.
func (e *Error) Unwrap() error { return e.cause }

func failf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// CodeOf says what kind of failure an error of this package is, "" if it is nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return asError(err).Code
}

// asError gives an error of the packages below its code.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	code := Failed
	var held *heldError
	switch {
	case errors.As(err, &held):
		code = Conflict
	case errors.Is(err, directory.ErrExists), errors.Is(err, muc.ErrExists):
		code = Conflict
	case errors.Is(err, directory.ErrNotFound), errors.Is(err, muc.ErrNotFound):
		code = NotFound
	case errors.Is(err, muc.ErrGiven), errors.Is(err, muc.ErrRefused), errors.Is(err, directory.ErrTooMany):
		code = Usage
	case errors.Is(err, directory.ErrName), errors.Is(err, directory.ErrDomain), errors.As(err, new(*config.Error)):
		code = Usage
	}
	return &Error{Code: code, Text: err.Error(), cause: err}
}
