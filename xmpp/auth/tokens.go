package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Tokens (XEP-0484) stand for a password, for one account, one installation of
// a client and one mechanism. They have 256 random bits, so nothing slow has to
// protect them from guessing.
//
// What they are checked by is kept as far as the mechanism allows: for
// HT-SHA-256-NONE the proof is always the same, and its hash is kept, which logs
// nobody in. A proof that is bound to a channel differs each time and needs the
// token itself. Whoever steals the file has these until they expire, at most
// Options.TokenLifetime later, or are revoked.
//
// A token that was revoked stays until another takes its place, so that its
// client is told credentials-expired (§4.2) and asks for the password.

const (
	maxAgents = 64 // installations of clients with tokens, of one user

	// tokenPrefix makes tokens in the wrong place easy to find (RFC 8959). A
	// token has less than the 64 bytes of a key that HMAC would hash.
	tokenPrefix = "secret-token:fast-"
)

// AgentID names an installation of a client (XEP-0388 §2.3), zero if it is unknown.
type AgentID [16]byte

// ParseAgentID reads a UUID of version 4. ok is false for anything else.
func ParseAgentID(s string) (id AgentID, ok bool) {
	s = strings.ToLower(s)
	if !isUUID([]byte(s)) {
		return AgentID{}, false
	}
	if _, err := hex.Decode(id[:], []byte(strings.ReplaceAll(s, "-", ""))); err != nil {
		return AgentID{}, false
	}
	if id[6]>>4 != 4 || id[8]>>6 != 2 { // RFC 9562 §5.4
		return AgentID{}, false
	}
	return id, true
}

func (id AgentID) String() string {
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// IsZero reports whether the id is unknown.
func (id AgentID) IsZero() bool { return id == AgentID{} }

// Token is a token for a client to keep.
type Token struct {
	Text   string
	Expiry time.Time
}

// slot holds what one token is checked by.
type slot struct {
	mechanism byte  // of HT, counted from 1; 0: there is no token
	issued    int64 // Unix seconds
	expiry    int64 // 0: revoked

	// With a binding: the token's random bytes. Without: SHA-256 of the proof,
	// and the answer to it.
	secret, answer [sha256.Size]byte
}

// tokens are the slots of one client (XEP-0484 §5.1).
type tokens struct{ fresh, current slot }

const slotSize = 1 + 8 + 8 + 2*sha256.Size

func (s *slot) append(b []byte) []byte {
	b = append(b, s.mechanism)
	b = binary.BigEndian.AppendUint64(b, uint64(s.issued))
	b = binary.BigEndian.AppendUint64(b, uint64(s.expiry))
	return append(append(b, s.secret[:]...), s.answer[:]...)
}

func (s *slot) read(b []byte) {
	s.mechanism = b[0]
	s.issued = int64(binary.BigEndian.Uint64(b[1:]))
	s.expiry = int64(binary.BigEndian.Uint64(b[9:]))
	copy(s.secret[:], b[17:])
	copy(s.answer[:], b[17+sha256.Size:])
}

func (t *tokens) append(b []byte) []byte { return t.current.append(t.fresh.append(b)) }

// parseTokens reads a record; none, or one that cannot be read, is that of
// nobody's tokens.
func parseTokens(b []byte) (t tokens) {
	if len(b) == 2*slotSize {
		t.fresh.read(b)
		t.current.read(b[slotSize:])
	}
	return t
}

func (t *tokens) revoke() { t.fresh.expiry, t.current.expiry = 0, 0 }

func keyTokens(id directory.ID) []byte {
	return binary.BigEndian.AppendUint64([]byte("t"), uint64(id))
}

func keyAgent(id directory.ID, agent AgentID) []byte { return append(keyTokens(id), agent[:]...) }

// The generation of a user's tokens changes with each revocation, so that no
// login that began before ends with a token.
func keyGeneration(id directory.ID) []byte {
	return binary.BigEndian.AppendUint64([]byte("g"), uint64(id))
}

func generation(tx store.Tx, id directory.ID) uint64 {
	if v := tx.Get(space, keyGeneration(id)); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func tokenText(random []byte) string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
}

// newToken makes a token and what it is checked by.
func (a *Auth) newToken(m htMechanism) (slot, *Token) {
	var random [sha256.Size]byte
	rand.Read(random[:])
	now := a.clock.Now()
	expiry := now.Add(a.lifetime)
	t := &Token{Text: tokenText(random[:]), Expiry: expiry}
	s := slot{mechanism: byte(m), issued: now.Unix(), expiry: expiry.Unix(), secret: random}
	if m == htNone {
		s.secret = sha256.Sum256(htProof(t.Text, initiator, nil))
		copy(s.answer[:], htProof(t.Text, responder, nil))
	}
	return s, t
}

// matches says if a proof is the one of the slot's token, which is 1 or 0, and
// what answers it. A slot without a token takes as long.
func (s *slot) matches(m htMechanism, data, proof []byte) (right int, answer []byte) {
	if m == htNone {
		sum := sha256.Sum256(proof)
		right, answer = subtle.ConstantTimeCompare(sum[:], s.secret[:]), s.answer[:]
	} else {
		text := tokenText(s.secret[:])
		right = subtle.ConstantTimeCompare(proof, htProof(text, initiator, data))
		answer = htProof(text, responder, data)
	}
	return right & subtle.ConstantTimeByteEq(s.mechanism, byte(m)), answer
}

func htProof(token, role string, data []byte) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(role))
	mac.Write(data)
	return mac.Sum(nil)
}

var errRevoked = errors.New("auth: revoked meanwhile")

// Token ends a login as far as tokens are concerned, and returns the one that
// goes with its success, nil if there is none. request is the mechanism of a
// token that the client asks for, or empty.
//
// A token that was used takes the place of those before it, is invalidated if
// the client wants that, and replaced if it is old; its successor is valid beside
// it until that was used (XEP-0484 §3.5). It is on disk when Token returns.
//
// An error is a *Failure. With Cause Store the client may be let in without a
// token, unless it asked for the invalidation of one.
func (x *Exchange) Token(ctx context.Context, request string) (*Token, error) {
	at := &x.attempt
	if x.user == nil || at.Agent.IsZero() {
		return nil, nil
	}
	var issue htMechanism
	if slices.Contains(x.auth.TokenMechanisms(at.Binding), request) {
		issue = htNamed(request)
	}
	used := x.used
	if issue == 0 && used.mechanism != 0 && !at.Invalidate &&
		x.auth.clock.Now().Sub(time.Unix(used.issued, 0)).Abs() >= x.auth.rotation { // the clock may have been ahead
		issue = htMechanism(used.mechanism)
	}
	if issue == 0 && !at.Invalidate && (used.mechanism == 0 || !x.fresh) {
		return nil, nil
	}
	var next slot
	var token *Token
	if issue != 0 {
		next, token = x.auth.newToken(issue)
	}
	err := x.auth.db.Update(ctx, func(tx store.Tx) error { return x.useToken(tx, next) })
	switch {
	case errors.Is(err, errRevoked) && used.mechanism != 0:
		return nil, x.auth.count(expired())
	case errors.Is(err, errRevoked):
		return nil, nil
	case err != nil:
		return nil, x.auth.count(unavailable(err))
	}
	return token, nil
}

// useToken writes down that the token of a login was used, and the next one.
func (x *Exchange) useToken(tx store.Tx, next slot) error {
	id, agent := x.user.ID, x.attempt.Agent
	if generation(tx, id) != x.generation {
		return errRevoked
	}
	key := keyAgent(id, agent)
	t := parseTokens(tx.Get(space, key))
	if x.used.mechanism != 0 {
		switch x.used {
		case t.fresh:
			t.current, t.fresh = t.fresh, slot{}
		case t.current:
		default:
			return errRevoked
		}
		if x.attempt.Invalidate {
			t.revoke()
		}
	}
	if next.mechanism != 0 {
		t.fresh = next
		if err := makeRoom(tx, id, key); err != nil {
			return err
		}
	}
	return tx.Put(space, key, t.append(nil))
}

// makeRoom forgets the client that has had its token for the longest time if
// there are too many.
func makeRoom(tx store.Tx, id directory.ID, but []byte) error {
	n, oldest, since := 0, []byte(nil), int64(0)
	for key, value := range tx.Scan(space, store.Range{Prefix: keyTokens(id)}) {
		t := parseTokens(value)
		last := max(t.fresh.issued, t.current.issued)
		if string(key) == string(but) {
			continue
		}
		n++
		if oldest == nil || last < since {
			oldest, since = slices.Clone(key), last
		}
	}
	if n < maxAgents {
		return nil
	}
	return tx.Delete(space, oldest)
}

// RevokeTokens makes the tokens of a user useless, all of them or those of the
// clients named. It is on disk when RevokeTokens returns.
func (a *Auth) RevokeTokens(ctx context.Context, id directory.ID, agents ...AgentID) error {
	return a.db.Update(ctx, func(tx store.Tx) error { return revokeTokens(tx, id, agents...) })
}

func revokeTokens(tx store.Tx, id directory.ID, agents ...AgentID) error {
	g := binary.BigEndian.AppendUint64(nil, generation(tx, id)+1)
	if err := tx.Put(space, keyGeneration(id), g); err != nil {
		return err
	}
	revoked := map[string][]byte{}
	for key, value := range tx.Scan(space, store.Range{Prefix: keyTokens(id)}) {
		if agent := AgentID(key[len(key)-len(AgentID{}):]); len(agents) > 0 && !slices.Contains(agents, agent) {
			continue
		}
		t := parseTokens(value)
		t.revoke()
		revoked[string(key)] = t.append(nil)
	}
	for key, value := range revoked {
		if err := tx.Put(space, []byte(key), value); err != nil {
			return err
		}
	}
	return nil
}

// forgetTokens goes with the deletion of a user.
func forgetTokens(tx store.Tx, id directory.ID) error {
	var keys [][]byte
	for key := range tx.Scan(space, store.Range{Prefix: keyTokens(id)}) {
		keys = append(keys, slices.Clone(key))
	}
	for _, key := range append(keys, keyGeneration(id)) {
		if err := tx.Delete(space, key); err != nil {
			return err
		}
	}
	return nil
}

// disabled takes the tokens of somebody who may no longer log in.
func (a *Auth) disabled(c directory.Change) {
	if c.New == nil || !c.New.Disabled || c.Old != nil && c.Old.Disabled {
		return
	}
	// A failure leaves the tokens, which do not help somebody who is disabled,
	// and go when the server starts again.
	if err := a.RevokeTokens(context.Background(), c.New.ID); err != nil {
		a.stats.Unrevoked.Add(1)
	}
}

// revokeDisabled does at the start what the end of the process left undone.
func (a *Auth) revokeDisabled(ctx context.Context) error {
	var late []directory.ID
	const atOnce = 4096
	r := store.Range{Prefix: []byte("t"), Limit: atOnce}
	for n := atOnce; n == atOnce; {
		n = 0
		err := a.db.View(ctx, func(tx store.Tx) error {
			for key, value := range tx.Scan(space, r) {
				n++
				r.From = append(slices.Clone(key), 0)
				id := directory.ID(binary.BigEndian.Uint64(key[1:]))
				t := parseTokens(value)
				if u := a.directory.ByID(id); u != nil && u.Disabled && max(t.fresh.expiry, t.current.expiry) != 0 {
					late = append(late, id)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, id := range slices.Compact(late) {
		if err := a.RevokeTokens(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
