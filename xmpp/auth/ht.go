package auth

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"
	"unicode/utf8"

	"mellium.im/sasl"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// htMechanism is one of the Hashed Token mechanisms (draft-schmaus-kitten-sasl-ht),
// by which a client proves in one message that it has a token.
type htMechanism byte

const (
	htExporter htMechanism = 1 + iota
	htEndPoint
	htNone
)

// htNames are in the order of the numbers, the strongest first.
var htNames = []string{"HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"}

func htNamed(name string) htMechanism { return htMechanism(1 + slices.Index(htNames, name)) }

// What a side signs together with the data of the channel binding (§3.1, §3.2).
const (
	initiator = "Initiator"
	responder = "Responder"
)

// binding is the channel binding of a mechanism, empty if it has none.
func (m htMechanism) binding() string {
	switch m {
	case htExporter:
		return TLSExporter
	case htEndPoint:
		return TLSServerEndPoint
	}
	return ""
}

// TokenMechanisms returns the mechanisms by which tokens can be used on a
// channel, the strongest first (XEP-0484 §3.1). They are no passwords', and do
// not stand among those of Mechanisms.
func (a *Auth) TokenMechanisms(b Binding) []string {
	if !b.Secure {
		return nil
	}
	var names []string
	for i, name := range htNames {
		if kind := htMechanism(1 + i).binding(); kind == "" || b.data(kind) != nil {
			names = append(names, name)
		}
	}
	return names
}

// hashedToken is one exchange of an HT mechanism.
type hashedToken struct {
	exchange  *Exchange
	mechanism htMechanism
}

// next is the Next of a sasl.Mechanism.
func (h *hashedToken) next(_ *sasl.Negotiator, message []byte, _ any) (more bool, resp []byte, cache any, err error) {
	resp, f := h.check(message)
	if f != nil {
		h.exchange.failure = f
		return false, nil, nil, errFailed
	}
	return false, resp, nil, nil
}

// parseHT reads the initiator's message (§3.1).
func parseHT(message []byte) (name string, proof []byte, f *Failure) {
	n, proof, ok := bytes.Cut(message, []byte{0})
	if !ok || len(n) == 0 || !utf8.Valid(n) || len(proof) != sha256.Size {
		return "", nil, malformed("The message is not a name and the proof of a token.")
	}
	return string(n), proof, nil
}

// check checks a proof, by the newer of a client's tokens first (XEP-0484 §5.1).
// Who is unknown and who has no token fails as a wrong token does, in the same
// time.
func (h *hashedToken) check(message []byte) ([]byte, *Failure) {
	name, proof, f := parseHT(message)
	if f != nil {
		return nil, f
	}
	x := h.exchange
	var data []byte
	if kind := h.mechanism.binding(); kind != "" {
		data = x.attempt.Binding.data(kind)
	}
	var user *directory.User
	j, err := x.auth.directory.LoginJID(x.attempt.Domain, name)
	if err == nil {
		user = x.auth.directory.Resolve(j)
	} else {
		j = xmpp.JID{}
	}
	var id directory.ID
	if user != nil {
		id = user.ID
	}
	var t tokens
	err = x.auth.db.View(x.ctx, func(tx store.Tx) error {
		t = parseTokens(tx.Get(space, keyAgent(id, x.attempt.Agent)))
		x.generation = generation(tx, id)
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	right, answer := t.fresh.matches(h.mechanism, data, proof)
	before, answerBefore := t.current.matches(h.mechanism, data, proof)
	used := t.fresh
	x.fresh = right == 1
	if !x.fresh {
		used, answer, right = t.current, answerBefore, before
	}
	if right != 1 || user == nil {
		return nil, &Failure{Condition: NotAuthorized, Text: "The name or the token is wrong.", Cause: Credentials}
	}
	if now := x.auth.clock.Now(); !now.Before(time.Unix(used.expiry, 0)) || now.Add(x.auth.lifetime).Before(time.Unix(used.issued, 0)) {
		return nil, expired() // or of a clock that ran far ahead, when it would live for as long
	}
	if f := x.admit(user, j, ""); f != nil {
		return nil, f
	}
	x.used = used
	return answer, nil
}

// expired is for a token that was right once (XEP-0484 §4.2).
func expired() *Failure {
	return &Failure{Condition: CredentialsExpired, Text: "The token is no longer valid.", Cause: Refused}
}
