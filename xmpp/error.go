package xmpp

// ErrorType says what the sender can do about a stanza error (RFC 6120 §8.3.2).
type ErrorType string

// The error types.
const (
	ErrorAuth     ErrorType = "auth"     // retry after providing credentials
	ErrorCancel   ErrorType = "cancel"   // do not retry
	ErrorContinue ErrorType = "continue" // proceed, it was a warning
	ErrorModify   ErrorType = "modify"   // retry after changing the data
	ErrorWait     ErrorType = "wait"     // retry after waiting
)

// Condition is a defined condition of stanza errors (RFC 6120 §8.3.3).
type Condition string

// The defined conditions.
const (
	BadRequest            Condition = "bad-request"
	Conflict              Condition = "conflict"
	FeatureNotImplemented Condition = "feature-not-implemented"
	Forbidden             Condition = "forbidden"
	Gone                  Condition = "gone"
	InternalServerError   Condition = "internal-server-error"
	ItemNotFound          Condition = "item-not-found"
	JIDMalformed          Condition = "jid-malformed"
	NotAcceptable         Condition = "not-acceptable"
	NotAllowed            Condition = "not-allowed"
	NotAuthorized         Condition = "not-authorized"
	PolicyViolation       Condition = "policy-violation"
	RecipientUnavailable  Condition = "recipient-unavailable"
	Redirect              Condition = "redirect"
	RegistrationRequired  Condition = "registration-required"
	RemoteServerNotFound  Condition = "remote-server-not-found"
	RemoteServerTimeout   Condition = "remote-server-timeout"
	ResourceConstraint    Condition = "resource-constraint"
	ServiceUnavailable    Condition = "service-unavailable"
	SubscriptionRequired  Condition = "subscription-required"
	UndefinedCondition    Condition = "undefined-condition"
	UnexpectedRequest     Condition = "unexpected-request"
)

// defaultType gives the type that RFC 6120 §8.3.3 names for a condition.
func defaultType(c Condition) ErrorType {
	switch c {
	case BadRequest, JIDMalformed, NotAcceptable, PolicyViolation, Redirect:
		return ErrorModify
	case Forbidden, NotAuthorized, RegistrationRequired, SubscriptionRequired:
		return ErrorAuth
	case RecipientUnavailable, RemoteServerTimeout, ResourceConstraint, UnexpectedRequest:
		return ErrorWait
	}
	return ErrorCancel
}

// Error is a stanza error (RFC 6120 §8.3). As a Go error it goes to the peer as it is written: it must not
// carry what the peer may not know.
type Error struct {
	Type      ErrorType
	Condition Condition
	Text      string // in English, for people
	Address   string // gone, redirect: the URI of the new address (RFC 6120 §8.3.3.5, §8.3.3.14)
	App       []byte // an application-specific condition: one self-contained element (RFC 6120 §8.3.4)
	By        JID    // who found the error (RFC 6120 §8.3.1)
	Payload   []byte // of an IQ: what stands before <error/>, one self-contained element (RFC 6120 §8.3.1)
}

// NewError returns an error of the type that RFC 6120 §8.3.3 gives for its condition.
func NewError(c Condition, text string) *Error {
	return &Error{Type: defaultType(c), Condition: c, Text: text}
}

// WithType returns a copy of e with another type.
func (e *Error) WithType(t ErrorType) *Error {
	c := *e
	c.Type = t
	return &c
}

// WithApp returns a copy of e with an application-specific condition.
func (e *Error) WithApp(xml string) *Error {
	c := *e
	c.App = []byte(xml)
	return &c
}

// Error makes *Error a Go error.
func (e *Error) Error() string {
	if e.Text == "" {
		return string(e.Condition)
	}
	return string(e.Condition) + ": " + e.Text
}

// Append appends the <error/> element.
func (e *Error) Append(dst []byte) []byte {
	dst = append(dst, "<error"...)
	t := e.Type
	if t == "" {
		t = defaultType(e.Condition)
	}
	dst = AppendAttr(dst, "type", string(t))
	if !e.By.IsZero() {
		dst = AppendAttr(dst, "by", e.By.String())
	}
	dst = append(dst, '>')
	c := e.Condition
	if c == "" {
		c = UndefinedCondition
	}
	dst = append(append(dst, '<'), c...)
	dst = append(dst, " xmlns='"+NSStanzas+"'"...)
	if e.Address != "" && (c == Gone || c == Redirect) {
		dst = append(AppendText(append(dst, '>'), e.Address), "</"...)
		dst = append(append(dst, c...), '>')
	} else {
		dst = append(dst, '/', '>')
	}
	if e.Text != "" {
		dst = append(dst, "<text xmlns='"+NSStanzas+"' xml:lang='en'>"...)
		dst = append(AppendText(dst, e.Text), "</text>"...)
	}
	dst = append(dst, e.App...)
	return append(dst, "</error>"...)
}

// AppendError appends the error that answers st: the same kind, addresses swapped, id kept (RFC 6120 §8.3.1).
// What was asked is not echoed, but for the mark by which clients see that they did not get into a room
// (XEP-0045 §7.2; COMPAT(slixmpp 1.8), which waits for it). Nothing is appended for what must not be answered:
// errors, IQ results (RFC 6120 §8.2.3) and what is not a stanza.
func AppendError(dst []byte, st *Stanza, e *Error) []byte {
	if st.Type == TypeError || st.Kind == KindOther || st.Kind == KindIQ && st.Type == TypeResult {
		return dst
	}
	name := st.Kind.String()
	dst = append(append(dst, '<'), name...)
	dst = append(dst, " type='error'"...)
	dst = appendReplyHead(dst, st)
	dst = append(dst, '>')
	if st.Kind == KindPresence && st.Child(NSMUC, "x") != nil {
		dst = append(dst, "<x xmlns='"+NSMUC+"'/>"...)
	}
	if st.Kind == KindIQ {
		dst = append(dst, e.Payload...)
	}
	dst = append(append(e.Append(dst), "</"...), name...)
	return append(dst, '>')
}
