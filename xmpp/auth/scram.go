package auth

import (
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"mellium.im/sasl"
)

// scram is one exchange of a SCRAM mechanism (RFC 5802 §5).
type scram struct {
	exchange *Exchange
	hash     Hash
	plus     bool

	who     *who
	key     *Key // by which the proof is checked
	authzid string
	nonce   string // both halves
	binding []byte // what the client has to send as channel binding
	message []byte // AuthMessage as far as it has come
	asked   bool   // the server's first message was sent
}

// next is the Next of a sasl.Mechanism.
func (s *scram) next(n *sasl.Negotiator, message []byte, _ any) (more bool, resp []byte, cache any, err error) {
	var f *Failure
	if s.asked {
		resp, f = s.final(message)
	} else {
		resp, f = s.first(message, n.Nonce())
	}
	more = !s.asked
	s.asked = true
	if f != nil {
		s.exchange.failure = f
		return false, nil, nil, errFailed
	}
	return more, resp, nil, nil
}

// first answers the client's first message with salt and iterations.
func (s *scram) first(message, nonce []byte) ([]byte, *Failure) {
	m, f := parseFirst(message)
	if f != nil {
		return nil, f
	}
	x := s.exchange
	data, f := s.bind(m.flag, m.binding)
	if f != nil {
		return nil, f
	}
	w, err := x.auth.look(x.ctx, x.attempt.Domain, m.name)
	if err != nil {
		return nil, unavailable(err)
	}
	s.who, s.authzid = w, m.authzid
	s.nonce = m.nonce + string(nonce)
	s.binding = slices.Concat(m.header, data)

	s.key = w.key(s.hash)
	resp := append([]byte("r="), s.nonce...)
	resp = base64.StdEncoding.AppendEncode(append(resp, ",s="...), s.key.Salt)
	resp = strconv.AppendInt(append(resp, ",i="...), int64(s.key.Iterations), 10)
	resp = base64.StdEncoding.AppendEncode(append(resp, ",h="...), s.hash.digest(x.attempt.features()))
	s.message = slices.Concat(m.bare, []byte{','}, resp, []byte{','})
	return resp, nil
}

// bind checks what the client says about the channel and returns the data that
// its final message has to have.
func (s *scram) bind(flag byte, name string) ([]byte, *Failure) {
	at := &s.exchange.attempt
	switch {
	case s.plus && flag != 'p':
		return nil, unbound(at.Mechanism + " needs a channel binding.")
	case !s.plus && flag == 'p':
		return nil, unbound("A channel binding needs " + at.Mechanism + plus + ".")
	case flag == 'y' && slices.ContainsFunc(at.Offered, func(m string) bool { return strings.HasSuffix(m, plus) }):
		// RFC 5802 §6: somebody between took the offer away.
		return nil, unbound("Channel binding was offered here, but the offer did not arrive.")
	case flag == 'p':
		data := at.Binding.data(name)
		if data == nil {
			return nil, unbound("The channel binding " + name + " is not supported here, but " +
				strings.Join(at.Binding.Types(), ", ") + ".")
		}
		return data, nil
	}
	return nil, nil
}

// final checks the proof and answers with the server's own.
func (s *scram) final(message []byte) ([]byte, *Failure) {
	m, f := parseFinal(message)
	if f != nil {
		return nil, f
	}
	if subtle.ConstantTimeCompare(m.binding, s.binding) != 1 {
		return nil, unbound("The channel binding is not that of this connection.")
	}
	if string(m.nonce) != s.nonce {
		return nil, malformed("The nonce is not the one of this attempt.")
	}
	if len(m.proof) != s.hash.size() {
		return nil, malformed("The proof is not as long as it should be.")
	}
	s.message = append(s.message, m.bare...)
	client := s.hash.sum(s.key.StoredKey, s.message)
	subtle.XORBytes(client, client, m.proof)
	right := subtle.ConstantTimeCompare(s.hash.digest(client), s.key.StoredKey)
	if !s.who.proved(s.hash, right) {
		return nil, wrong()
	}
	s.exchange.generation = s.who.generation
	if f := s.exchange.admit(s.who.user, s.who.jid, s.authzid); f != nil {
		return nil, f
	}
	return base64.StdEncoding.AppendEncode([]byte("v="), s.hash.sum(s.key.ServerKey, s.message)), nil
}

// features is the text whose hash tells the client what was offered
// (XEP-0474 §5.1).
func (at *Attempt) features() []byte {
	join := func(list []string) string {
		return strings.Join(slices.Sorted(slices.Values(list)), "\x1e")
	}
	text := join(at.Offered)
	if len(at.Announced) > 0 {
		text += "\x1f" + join(at.Announced)
	}
	return []byte(text)
}
