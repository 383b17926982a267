// Package form reads and writes data forms (XEP-0004) and result set management (XEP-0059) as peers send them:
// with fields missing, repeated or unknown.
package form

import "confab/xmpp"

// Form is a data form.
type Form struct {
	Type         string // form, submit, cancel or result
	Title        string
	Instructions []string
	Fields       []Field
	Reported     []Field   // of a form with several items: the columns
	Items        [][]Field // the rows
}

// Field is one field of a form.
type Field struct {
	Var, Type, Label, Desc string
	Required               bool
	Values                 []string
	Options                []Option
}

// Option is a choice of a list field.
type Option struct {
	Label, Value string
}

// Parse reads <x xmlns='jabber:x:data'/>. The error is an *xmpp.Error, bad-request.
func Parse(n *xmpp.Node) (*Form, error) { return nil, xmpp.NewError(xmpp.BadRequest, "no form") }

// FormType returns the value of FORM_TYPE (XEP-0068), "" if there is none.
func (f *Form) FormType() string { return "" }

// Append appends the form as XML.
func (f *Form) Append(dst []byte) []byte { return dst }

// RSM is a request for a page (XEP-0059).
type RSM struct {
	Max                 int // -1: not given
	Before, After       string
	HasBefore, HasAfter bool // an empty <before/> asks for the last page
	Index               int  // -1: not given
}

// ParseRSM reads <set xmlns='http://jabber.org/protocol/rsm'/>; nil is an empty request. The error is an *xmpp.Error.
func ParseRSM(n *xmpp.Node) (RSM, error) { return RSM{Max: -1, Index: -1}, nil }

// RSMResult describes a page.
type RSMResult struct {
	First, Last string // "" with no items
	Index       int    // of First; -1: not told
	Count       int    // of all items; -1: not told
}

// Append appends <set/>.
func (r RSMResult) Append(dst []byte) []byte { return dst }
