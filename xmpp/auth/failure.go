package auth

// Condition is a SASL error of RFC 6120 §6.5, by the name of its element.
type Condition string

// The conditions of RFC 6120 §6.5.
const (
	Aborted              Condition = "aborted"
	AccountDisabled      Condition = "account-disabled"
	CredentialsExpired   Condition = "credentials-expired"
	EncryptionRequired   Condition = "encryption-required"
	IncorrectEncoding    Condition = "incorrect-encoding"
	InvalidAuthzid       Condition = "invalid-authzid"
	InvalidMechanism     Condition = "invalid-mechanism"
	MalformedRequest     Condition = "malformed-request"
	MechanismTooWeak     Condition = "mechanism-too-weak"
	NotAuthorized        Condition = "not-authorized"
	TemporaryAuthFailure Condition = "temporary-auth-failure"
)

// Cause tells the server why an attempt failed, where the condition that the
// peer is told does not.
type Cause uint8

const (
	// Protocol: what the peer sent makes no sense, or not now.
	Protocol Cause = iota
	// Credentials: the password is wrong or there is no such user. Only these
	// are guesses at a password and count as such.
	Credentials
	// ChannelBinding: the channel was bound in a way that is not supported, is
	// not that of this connection, or was not bound though it could have been.
	ChannelBinding
	// Refused: the password was right, the user may not log in nevertheless.
	Refused
	// Store: nothing can be said now.
	Store
)

// Failure is the end of an attempt. Condition and Text are for the peer, and
// say nothing that it does not know.
type Failure struct {
	Condition Condition
	Text      string
	Cause     Cause
	Err       error // what the log should have, with Cause Store
}

func (f *Failure) Error() string {
	s := "auth: " + string(f.Condition)
	if f.Text != "" {
		s += ": " + f.Text
	}
	if f.Err != nil {
		s += " (" + f.Err.Error() + ")"
	}
	return s
}

// Unwrap returns what is behind a failure of the store.
func (f *Failure) Unwrap() error { return f.Err }

func malformed(text string) *Failure {
	return &Failure{Condition: MalformedRequest, Text: text}
}

// A failed binding is no wrong password, and neither peer nor server should
// take it for one; RFC 6120 has nothing closer for it.
func unbound(text string) *Failure {
	return &Failure{Condition: MalformedRequest, Text: text, Cause: ChannelBinding}
}

// wrong is the same for a wrong password, an unknown user, and a hash for which
// the user has no key.
func wrong() *Failure {
	return &Failure{Condition: NotAuthorized, Text: "The name or the password is wrong.", Cause: Credentials}
}

func unavailable(err error) *Failure {
	return &Failure{Condition: TemporaryAuthFailure, Text: "Try again later.", Cause: Store, Err: err}
}
