package feature

import (
	"confab/xmpp"
	"confab/xmpp/form"
)

// Command is an ad-hoc command (XEP-0050): something that people do from any
// client by filling in forms. Package adhoc lists commands, keeps track of those
// that are under way and checks what is filled in.
type Command struct {
	Node  string // unique at the addresses of Where
	Name  string // in menus
	Where Where  // Server, Self

	// May returns nil if the sender may run the command, or the error to answer
	// with. Whoever may not does not see it in the list either. It is asked at
	// each request. A nil func lets everybody run it.
	May func(q *Query) error

	// Steps are the forms to fill in, in their order. Without any the command
	// runs at once.
	Steps []Step

	// Run carries it out. An error is one as of a Handler; the last form can then
	// be submitted again.
	Run func(c *Execution) (Outcome, error)
}

// Step makes a form, knowing the answers to those before it. An error, as of a
// Handler, refuses the last answer.
type Step func(c *Execution) (*form.Form, error)

// Execution is a command under way.
type Execution struct {
	*Query
	Answers []*form.Form // one of each step so far, which fits the form that was asked
}

// Answer returns the answer to the last form.
func (c *Execution) Answer() *form.Form {
	if len(c.Answers) == 0 {
		return nil
	}
	return c.Answers[len(c.Answers)-1]
}

// Outcome is what a command came to.
type Outcome struct {
	Form    *form.Form // of the type result; may be nil
	Payload []byte     // other elements
	Notes   []Note
}

// Note tells a person something. A command that did not succeed has a NoteError
// among its notes (XEP-0050 §3.6).
type Note struct {
	Severity Severity
	Text     string
}

// Severity is how bad the news of a Note is (XEP-0050 §4.3).
type Severity string

// The severities.
const (
	NoteInfo  Severity = "info"
	NoteWarn  Severity = "warn"
	NoteError Severity = "error"
)

// Forbidden is the answer to those who may not run a command (XEP-0050 §4.4).
func Forbidden(text string) error {
	return xmpp.NewError(xmpp.Forbidden, text).WithType(xmpp.ErrorCancel)
}
