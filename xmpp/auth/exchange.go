package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"mellium.im/sasl"

	"confab/xmpp"
	"confab/xmpp/directory"
)

const (
	plain = "PLAIN"
	plus  = "-PLUS"
)

// maxMessage bounds a message from a peer, decoded: two JIDs with each byte of
// the localpart escaped, a password, and some.
const maxMessage = 6 << 10

// Attempt says what somebody who logs in has chosen, and on what grounds.
type Attempt struct {
	Domain    string // who it is that they log in to
	Mechanism string
	Binding   Binding

	// Offered are all mechanisms that this stream offered, for the protocol (SASL
	// or SASL2) that is being used; Announced are the channel bindings that it
	// announced (XEP-0440), nil if it did not. The peer is told what they were,
	// in a way that nobody between can change (XEP-0474).
	Offered   []string
	Announced []string

	// From is whom the stream says it is from, zero if it does not: nobody else
	// is let in (XEP-0388 §2.3). RFC 6120 has it checked after login.
	From xmpp.JID

	// Agent is the client, Token that it logs in with a token (XEP-0484 §3.4),
	// Invalidate that it does so for the last time.
	Agent      AgentID
	Token      bool
	Invalidate bool
}

// Exchange is one attempt to log in. It belongs to one goroutine.
type Exchange struct {
	auth    *Auth
	attempt Attempt
	sasl    *sasl.Negotiator
	begun   bool
	over    bool

	ctx     context.Context // of the Step that is running
	user    *directory.User
	failure *Failure // why the mechanism returned an error

	generation uint64 // of the user's tokens, when the login began
	used       slot   // the token that was used, if one was
	fresh      bool   // and it was the newer one
}

// errFailed is what a mechanism returns when failure has the reason.
var errFailed = errors.New("auth: attempt failed")

// Start begins an attempt. An error is a *Failure.
func (a *Auth) Start(at Attempt) (*Exchange, error) {
	x := &Exchange{auth: a, attempt: at}
	base, bound := strings.CutSuffix(at.Mechanism, plus)
	i := slices.IndexFunc(hashes, func(h Hash) bool { return h.mechanism() == base })
	switch {
	case at.Token:
		m := htNamed(at.Mechanism)
		if m == 0 || !slices.Contains(a.TokenMechanisms(at.Binding), at.Mechanism) {
			return nil, a.count(&Failure{Condition: InvalidMechanism, Text: "That mechanism is not offered here for tokens."})
		}
		if at.Agent.IsZero() { // XEP-0484 §4.1
			return nil, a.count(malformed("Tokens belong to a user-agent whose id is a UUID of version 4."))
		}
		h := &hashedToken{exchange: x, mechanism: m}
		x.sasl = sasl.NewServer(sasl.Mechanism{Name: at.Mechanism, Next: h.next}, nil)
	case !slices.Contains(at.Offered, at.Mechanism):
		return nil, a.count(&Failure{Condition: InvalidMechanism, Text: "That mechanism is not offered here."})
	case i >= 0:
		s := &scram{exchange: x, hash: hashes[i], plus: bound}
		x.sasl = sasl.NewServer(sasl.Mechanism{Name: at.Mechanism, Next: s.next}, nil)
	case at.Mechanism == plain && !at.Binding.Secure:
		return nil, a.count(&Failure{Condition: EncryptionRequired, Text: "PLAIN needs TLS."})
	case at.Mechanism == plain:
		x.sasl = sasl.NewServer(sasl.Plain, x.plain)
	default:
		return nil, a.count(&Failure{Condition: InvalidMechanism, Text: "That mechanism is not known here."})
	}
	return x, nil
}

// Step takes the next message of the peer, decoded. The first may be nil, for a
// peer that sent no initial response; the challenge is empty then. When it is
// done, the challenge is what goes with success. An error is a *Failure and the
// end of the exchange.
func (x *Exchange) Step(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	first := !x.begun
	x.begun = true
	switch {
	case x.over:
		return nil, false, malformed("The attempt is over.")
	case first && response == nil:
		return []byte{}, false, nil
	case len(response) == 0 || len(response) > maxMessage:
		x.over = true
		return nil, false, x.auth.count(malformed("The message is empty or too long."))
	}
	x.ctx = ctx
	more, challenge, err := x.sasl.Step(response)
	x.ctx = nil
	x.over = !more
	if err != nil {
		x.user = nil
		if x.failure == nil { // the frame's own error: it could not read the message
			x.failure = malformed("The message cannot be read.")
		}
		return nil, false, x.auth.count(x.failure)
	}
	if !more {
		x.auth.stats.Succeeded.Add(1)
	}
	return challenge, !more, nil
}

// User returns who it is, once the exchange is done, nil before.
func (x *Exchange) User() *directory.User {
	if !x.over {
		return nil
	}
	return x.user
}

// plain is told by sasl.Plain what the peer sent and decides.
func (x *Exchange) plain(n *sasl.Negotiator) bool {
	name, password, authzid := n.Credentials()
	x.failure = x.checkPlain(string(name), string(password), string(authzid))
	return x.failure == nil
}

func (x *Exchange) checkPlain(name, password, authzid string) *Failure {
	if f := checkPlainMessage(name, password, authzid); f != nil {
		return f
	}
	w, err := x.auth.look(x.ctx, x.attempt.Domain, name)
	if err != nil {
		return unavailable(err)
	}
	ok, err := x.auth.verify(x.ctx, w, password)
	if err != nil {
		return unavailable(err)
	}
	if !ok {
		return wrong()
	}
	x.generation = w.generation
	if f := x.admit(w.user, w.jid, authzid); f != nil {
		return f
	}
	x.auth.upgrade(x.ctx, w, password)
	return nil
}

// admit ends an attempt whose proof was right, by a user who logged in as as.
func (x *Exchange) admit(user *directory.User, as xmpp.JID, authzid string) *Failure {
	u := x.auth.directory.ByID(user.ID)
	if u == nil {
		return wrong()
	}
	if from := x.attempt.From; !from.IsZero() {
		if f := x.auth.directory.Resolve(from); f == nil || f.ID != u.ID {
			return &Failure{Condition: InvalidAuthzid, Text: "The stream is from somebody else.", Cause: Refused}
		}
	}
	if authzid != "" {
		// RFC 6120 §6.3.8: nobody acts for somebody else here. The address may
		// be the one that was logged in with, too, if that was a former one.
		j, err := xmpp.ParseJID(authzid)
		if err != nil || j.IsZero() || (j != u.JID && j != as) {
			return &Failure{Condition: InvalidAuthzid, Text: "You may log in as yourself only.", Cause: Refused}
		}
	}
	if u.Disabled {
		return &Failure{Condition: AccountDisabled, Text: "This account has been disabled.", Cause: Refused}
	}
	x.user = u
	return nil
}

// count counts a failure and returns it.
func (a *Auth) count(f *Failure) error {
	switch f.Cause {
	case Credentials:
		a.stats.Wrong.Add(1)
	case ChannelBinding:
		a.stats.Unbound.Add(1)
	default:
		a.stats.Other.Add(1)
	}
	return f
}

// Decode takes the base64 off a message (RFC 6120 §6.4.2): no text is no
// message, nil, and "=" is an empty one. An error is a *Failure.
func Decode(text []byte) ([]byte, error) {
	switch {
	case len(text) == 0:
		return nil, nil
	case len(text) == 1 && text[0] == '=':
		return []byte{}, nil
	case len(text) > base64.StdEncoding.EncodedLen(maxMessage):
		return nil, malformed("The message is too long.")
	}
	message, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return nil, &Failure{Condition: IncorrectEncoding, Text: "The message is not in base64."}
	}
	return message, nil
}
