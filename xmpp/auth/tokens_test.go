package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/store/storetest"
	"confab/xmpp/xmpptest"
)

const uuid1, uuid2 = "d4565fa7-4d72-4749-b3d3-740edbf87770", "a1b2c3d4-4d72-4749-b3d3-740edbf87770"

func agent(t testing.TB, text string) AgentID {
	t.Helper()
	id, ok := ParseAgentID(text)
	if !ok {
		t.Fatalf("%q is no id of a user-agent", text)
	}
	return id
}

// timed is a house whose clock the test moves.
func timed(t testing.TB) (*house, *xmpptest.Clock) {
	h, clock := newHouse(t), new(xmpptest.Clock)
	h.open(Options{Clock: clock})
	return h, clock
}

// sign is what a client makes of a token, written from
// draft-schmaus-kitten-sasl-ht §3 apart from the server's code.
func sign(token, role string, data []byte) []byte {
	m := hmac.New(sha256.New, []byte(token))
	m.Write(append([]byte(role), data...))
	return m.Sum(nil)
}

// bindings are the data that each mechanism signs on the test's channel.
var bindings = map[string][]byte{
	"HT-SHA-256-EXPR": channel.Exporter, "HT-SHA-256-ENDP": channel.EndPoint, "HT-SHA-256-NONE": nil,
}

// token logs in with the password and asks for a token.
func (h *house) token(u *directory.User, password, uuid, mechanism string) string {
	h.t.Helper()
	x, err := h.Start(Attempt{
		Domain: here, Mechanism: "PLAIN", Binding: channel, Offered: []string{"PLAIN"}, Agent: agent(h.t, uuid),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if _, _, err := x.Step(h.t.Context(), []byte("\x00"+u.Local+"\x00"+password)); err != nil {
		h.t.Fatal(err)
	}
	token, err := x.Token(h.t.Context(), mechanism)
	if err != nil || token == nil {
		h.t.Fatalf("no token: %v", err)
	}
	return token.Text
}

// use is a login with a token.
type use struct {
	name, token, mechanism string
	uuid                   string // uuid1 if empty
	data                   []byte // nil: what belongs to the mechanism
	invalidate             bool
	request                string
}

func (h *house) use(u use) (*Token, error) {
	h.t.Helper()
	if u.uuid == "" {
		u.uuid = uuid1
	}
	if u.data == nil {
		u.data = bindings[u.mechanism]
	}
	x, err := h.Start(Attempt{
		Domain: here, Mechanism: u.mechanism, Binding: channel, Token: true, Agent: agent(h.t, u.uuid), Invalidate: u.invalidate,
	})
	if err != nil {
		return nil, err
	}
	answer, done, err := x.Step(h.t.Context(), append([]byte(u.name+"\x00"), sign(u.token, "Initiator", u.data)...))
	if err != nil {
		return nil, err
	}
	if !done || x.User() == nil || x.User().Local != u.name {
		h.t.Errorf("done %v, user %v", done, x.User())
	}
	if !bytes.Equal(answer, sign(u.token, "Responder", u.data)) {
		h.t.Errorf("%s: the server has not proved that it knows the token", u.mechanism)
	}
	return x.Token(h.t.Context(), u.request)
}

func TestTokens(t *testing.T) {
	h, _ := timed(t)
	romeo := h.add("romeo", "pw")
	for mechanism := range bindings {
		token := h.token(romeo, "pw", uuid1, mechanism)
		for other := range bindings {
			next, err := h.use(use{name: "romeo", token: token, mechanism: other})
			if other == mechanism {
				if err != nil || next != nil {
					t.Errorf("%s: %v %v", mechanism, next, err)
				}
			} else if condition(err) != "not-authorized" || cause(err) != Credentials {
				t.Errorf("a token for %s used with %s: %v", mechanism, other, err)
			}
		}
		if _, err := h.use(use{name: "romeo", token: token, mechanism: mechanism, data: []byte("another channel")}); condition(err) != "not-authorized" {
			t.Errorf("%s on another channel: %v", mechanism, err)
		}
		if _, err := h.use(use{name: "romeo", token: token, mechanism: mechanism, uuid: uuid2}); condition(err) != "not-authorized" {
			t.Errorf("%s with another client: %v", mechanism, err)
		}
	}
}

// TestUnknownUsersAndTokensLookAlike compares the failures word by word.
func TestUnknownUsersAndTokensLookAlike(t *testing.T) {
	h, _ := timed(t)
	h.token(h.add("romeo", "pw"), "pw", uuid1, "HT-SHA-256-NONE")
	h.add("juliet", "pw")
	h.add("nurse", "")
	var first error
	for _, name := range []string{"romeo", "juliet", "nurse", "nobody", "\u200b", strings.Repeat("x", 2000)} {
		_, err := h.use(use{name: name, token: "wrong", mechanism: "HT-SHA-256-NONE"})
		if first == nil {
			first = err
		}
		if err == nil || err.Error() != first.Error() || cause(err) != Credentials {
			t.Errorf("%.20q: %v, not %v", name, err, first)
		}
	}
}

func TestTokenMechanismsFollowTheChannel(t *testing.T) {
	h, _ := timed(t)
	for _, c := range []struct {
		binding Binding
		want    string
	}{
		{channel, "HT-SHA-256-EXPR HT-SHA-256-ENDP HT-SHA-256-NONE"},
		{Binding{EndPoint: []byte{1}, Secure: true}, "HT-SHA-256-ENDP HT-SHA-256-NONE"},
		{Binding{Secure: true}, "HT-SHA-256-NONE"},
		{Binding{}, ""},
	} {
		names := h.TokenMechanisms(c.binding)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("offered is %q, not %q", got, c.want)
		}
		for mechanism := range bindings {
			_, err := h.Start(Attempt{Domain: here, Mechanism: mechanism, Binding: c.binding, Token: true, Agent: agent(t, uuid1)})
			if offered := slices.Contains(names, mechanism); offered != (err == nil) || !offered && condition(err) != "invalid-mechanism" {
				t.Errorf("%s, offered %v: %v", mechanism, offered, err)
			}
		}
	}
}

// TestTokenAtRest looks for what could be used in what is kept.
func TestTokenAtRest(t *testing.T) {
	h, _ := timed(t)
	token := h.token(h.add("romeo", "pw"), "pw", uuid1, "HT-SHA-256-NONE")
	random, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "secret-token:fast-"))
	if err != nil || len(random) != 32 {
		t.Fatalf("%q does not hold 256 bits: %v", token, err)
	}
	h.view(func(tx store.Tx) {
		for _, value := range tx.Scan(space, store.Range{}) {
			for _, secret := range [][]byte{[]byte(token), random, sign(token, "Initiator", nil)} {
				if bytes.Contains(value, secret) {
					t.Errorf("%x lets whoever reads it log in", value)
				}
			}
		}
	})
}

func (h *house) view(fn func(tx store.Tx)) {
	h.t.Helper()
	err := h.db.View(h.t.Context(), func(tx store.Tx) error { fn(tx); return nil })
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestRotation(t *testing.T) {
	h, clock := timed(t)
	const m = "HT-SHA-256-EXPR"
	first := h.token(h.add("romeo", "pw"), "pw", uuid1, m)
	clock.Pass(25 * time.Hour)
	second, err := h.use(use{name: "romeo", token: first, mechanism: m})
	if err != nil || second == nil {
		t.Fatalf("no new token after a day: %v", err)
	}
	if want := clock.Now().Add(21 * 24 * time.Hour); !second.Expiry.Equal(want) {
		t.Errorf("it expires at %v, not %v", second.Expiry, want)
	}
	if _, err := h.use(use{name: "romeo", token: first, mechanism: m}); err != nil {
		t.Errorf("the old one before the new one was used: %v", err) // and "second" is another by now
	}
	third, err := h.use(use{name: "romeo", token: first, mechanism: m})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := h.use(use{name: "romeo", token: third.Text, mechanism: m}); err != nil || again != nil {
		t.Errorf("the new one: %v %v", again, err)
	}
	for _, old := range []string{first, second.Text} {
		if _, err := h.use(use{name: "romeo", token: old, mechanism: m}); condition(err) != "not-authorized" {
			t.Errorf("an old one after the new one was used: %v", err)
		}
	}
	clock.Pass(21*24*time.Hour - time.Second)
	if _, err := h.use(use{name: "romeo", token: third.Text, mechanism: m}); err != nil {
		t.Errorf("before it expires: %v", err)
	}
	clock.Pass(time.Second)
	_, err = h.use(use{name: "romeo", token: third.Text, mechanism: m})
	if condition(err) != "credentials-expired" || cause(err) != Refused {
		t.Errorf("when it expires: %v", err)
	}
}

func TestInvalidation(t *testing.T) {
	h, clock := timed(t)
	const m = "HT-SHA-256-NONE"
	romeo := h.add("romeo", "pw")
	token := h.token(romeo, "pw", uuid1, m)
	clock.Pass(48 * time.Hour)
	pending, err := h.use(use{name: "romeo", token: token, mechanism: m})
	if err != nil || pending == nil {
		t.Fatal("not rotated", err)
	}
	if next, err := h.use(use{name: "romeo", token: token, mechanism: m, invalidate: true}); err != nil || next != nil {
		t.Errorf("invalidated: %v %v", next, err)
	}
	for _, dead := range []string{token, pending.Text} {
		if _, err := h.use(use{name: "romeo", token: dead, mechanism: m}); condition(err) != "credentials-expired" {
			t.Errorf("after that: %v", err)
		}
	}
	// Who asks for another in the same breath gets it (XEP-0484 §3.6).
	token = h.token(romeo, "pw", uuid1, m)
	next, err := h.use(use{name: "romeo", token: token, mechanism: m, invalidate: true, request: "HT-SHA-256-ENDP"})
	if err != nil || next == nil {
		t.Fatalf("no other token: %v", err)
	}
	if _, err := h.use(use{name: "romeo", token: token, mechanism: m}); condition(err) != "credentials-expired" {
		t.Errorf("the invalidated one: %v", err)
	}
	if _, err := h.use(use{name: "romeo", token: next.Text, mechanism: "HT-SHA-256-ENDP"}); err != nil {
		t.Errorf("the other: %v", err)
	}
	// It is not taken for done when it could not be written.
	token = h.token(romeo, "pw", uuid1, m)
	h.db.Fail(storetest.ErrFull)
	if _, err := h.use(use{name: "romeo", token: token, mechanism: m, invalidate: true}); condition(err) != "temporary-auth-failure" || cause(err) != Store {
		t.Errorf("with a full disk: %v", err)
	}
}

func TestRevocation(t *testing.T) {
	const m = "HT-SHA-256-EXPR"
	for name, revoke := range map[string]func(h *house, u *directory.User) error{
		"a new password": func(h *house, u *directory.User) error { return h.SetPassword(h.t.Context(), u.ID, "other") },
		"all tokens":     func(h *house, u *directory.User) error { return h.RevokeTokens(h.t.Context(), u.ID) },
		"one client":     func(h *house, u *directory.User) error { return h.RevokeTokens(h.t.Context(), u.ID, agent(h.t, uuid1)) },
		"disabled": func(h *house, u *directory.User) error {
			h.update(u, func(u *directory.User) { u.Disabled = true })
			h.update(u, func(u *directory.User) { u.Disabled = false })
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := timed(t)
			romeo, juliet := h.add("romeo", "pw"), h.add("juliet", "pw")
			token, other := h.token(romeo, "pw", uuid1, m), h.token(romeo, "pw", uuid2, m)
			hers := h.token(juliet, "pw", uuid1, m)
			// A login that began before gets no token after.
			x, err := h.Start(Attempt{Domain: here, Mechanism: "PLAIN", Binding: channel, Offered: []string{"PLAIN"}, Agent: agent(t, uuid1)})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := x.Step(t.Context(), []byte("\x00romeo\x00pw")); err != nil {
				t.Fatal(err)
			}
			if err := revoke(h, romeo); err != nil {
				t.Fatal(err)
			}
			if late, err := x.Token(t.Context(), m); late != nil || err != nil {
				t.Errorf("a login on the way got %v, %v", late, err)
			}
			if _, err := h.use(use{name: "romeo", token: token, mechanism: m}); condition(err) != "credentials-expired" {
				t.Errorf("the token: %v", err)
			}
			if _, err := h.use(use{name: "romeo", token: other, mechanism: m, uuid: uuid2}); (err == nil) != (name == "one client") {
				t.Errorf("another client's: %v", err)
			}
			if _, err := h.use(use{name: "juliet", token: hers, mechanism: m}); err != nil {
				t.Errorf("somebody else's: %v", err)
			}
		})
	}
}

// TestRevokedMeanwhile has a token revoked between its proof and its use.
func TestRevokedMeanwhile(t *testing.T) {
	h, clock := timed(t)
	romeo := h.add("romeo", "pw")
	token := h.token(romeo, "pw", uuid1, "HT-SHA-256-NONE")
	clock.Pass(48 * time.Hour)
	x, err := h.Start(Attempt{Domain: here, Mechanism: "HT-SHA-256-NONE", Binding: channel, Token: true, Agent: agent(t, uuid1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Step(t.Context(), append([]byte("romeo\x00"), sign(token, "Initiator", nil)...)); err != nil {
		t.Fatal(err)
	}
	if err := h.RevokeTokens(t.Context(), romeo.ID); err != nil {
		t.Fatal(err)
	}
	if next, err := x.Token(t.Context(), ""); next != nil || condition(err) != "credentials-expired" {
		t.Errorf("%v %v", next, err)
	}
}

// TestDisabledBeforeTheEnd leaves to the start what a crash left undone.
func TestDisabledBeforeTheEnd(t *testing.T) {
	h, _ := timed(t)
	romeo := h.add("romeo", "pw")
	token := h.token(romeo, "pw", uuid1, "HT-SHA-256-NONE")
	// The directory without the listener of the credentials.
	d, err := directory.Open(t.Context(), h.db, directory.Options{Domains: []string{here, "example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	disable := func(to bool) {
		t.Helper()
		if err := d.Update(t.Context(), romeo.ID, func(u *directory.User) { u.Disabled = to }); err != nil {
			t.Fatal(err)
		}
	}
	disable(true)
	h.directory = d
	h.open(Options{Clock: h.clock})
	disable(false)
	if _, err := h.use(use{name: "romeo", token: token, mechanism: "HT-SHA-256-NONE"}); condition(err) != "credentials-expired" {
		t.Errorf("%v", err)
	}
}

// TestTokensGoWithTheirUser looks for what is left in the store.
func TestTokensGoWithTheirUser(t *testing.T) {
	h, _ := timed(t)
	romeo := h.add("romeo", "pw")
	h.token(romeo, "pw", uuid1, "HT-SHA-256-NONE")
	if err := h.directory.Delete(t.Context(), romeo.ID); err != nil {
		t.Fatal(err)
	}
	h.view(func(tx store.Tx) {
		for _, prefix := range [][]byte{keyTokens(romeo.ID), keyGeneration(romeo.ID)} {
			for key := range tx.Scan(space, store.Range{Prefix: prefix}) {
				t.Errorf("%q is left", key)
			}
		}
	})
}

// TestClientsAreBounded has a user with ever new clients.
func TestClientsAreBounded(t *testing.T) {
	h, clock := timed(t)
	romeo := h.add("romeo", "pw")
	const m = "HT-SHA-256-NONE"
	first := h.token(romeo, "pw", uuid1, m)
	var last, name string
	for i := range maxAgents {
		clock.Pass(time.Second)
		name = fmt.Sprintf("%08x-4d72-4749-b3d3-740edbf87770", i)
		last = h.token(romeo, "pw", name, m)
	}
	n := 0
	h.view(func(tx store.Tx) {
		for range tx.Scan(space, store.Range{Prefix: keyTokens(romeo.ID)}) {
			n++
		}
	})
	if n != maxAgents {
		t.Errorf("%d clients are kept, not %d", n, maxAgents)
	}
	if _, err := h.use(use{name: "romeo", token: first, mechanism: m}); condition(err) != "not-authorized" {
		t.Errorf("the one of the longest standing: %v", err)
	}
	if _, err := h.use(use{name: "romeo", token: last, mechanism: m, uuid: name}); err != nil {
		t.Errorf("the latest: %v", err)
	}
}

// TestNobodyElsesStream is XEP-0388 §2.3 for each kind of mechanism.
func TestNobodyElsesStream(t *testing.T) {
	h, _ := timed(t)
	romeo := h.add("romeo", "pw")
	h.add("juliet", "pw")
	token := h.token(romeo, "pw", uuid1, "HT-SHA-256-NONE")
	for from, want := range map[string]string{"romeo": "<nil>", "juliet": "invalid-authzid", "nobody": "invalid-authzid"} {
		at := Attempt{Domain: here, Binding: channel, Offered: h.Mechanisms(here, channel), From: xmpp.MustJID(from + "@" + here), Agent: agent(t, uuid1)}
		step := func(mechanism, message string) error {
			at.Mechanism, at.Token = mechanism, strings.HasPrefix(mechanism, "HT")
			x, err := h.Start(at)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(mechanism, "SCRAM") {
				_, err = bound(mechanism, "romeo", "pw").login(x)
			} else {
				_, _, err = x.Step(context.Background(), []byte(message))
			}
			if (err == nil) != (x.User() != nil) {
				t.Errorf("%v with the user %v", err, x.User())
			}
			return err
		}
		for mechanism, message := range map[string]string{
			"PLAIN": "\x00romeo\x00pw", "SCRAM-SHA-256": "", "HT-SHA-256-NONE": "romeo\x00" + string(sign(token, "Initiator", nil)),
		} {
			if err := step(mechanism, message); condition(err) != want {
				t.Errorf("%s on a stream from %s: %v", mechanism, from, err)
			}
		}
	}
}

func TestAgentID(t *testing.T) {
	for text, ok := range map[string]bool{
		uuid1: true, strings.ToUpper(uuid1): true, "": false, "d4565fa74d724749b3d3740edbf87770": false,
		"d4565fa7-4d72-1749-b3d3-740edbf87770": false, "d4565fa7-4d72-4749-73d3-740edbf87770": false,
		"00000000-0000-0000-0000-000000000000": false, uuid1 + " ": false, "{" + uuid1 + "}": false,
	} {
		id, got := ParseAgentID(text)
		if got != ok || ok && id.String() != uuid1 || !ok && !id.IsZero() {
			t.Errorf("%q: %v %v", text, id, got)
		}
	}
}

func FuzzHashedToken(f *testing.F) {
	f.Add([]byte("romeo\x00" + strings.Repeat("x", 32)))
	f.Add([]byte("\x00" + strings.Repeat("x", 32)))
	f.Add([]byte("romeo\x00short"))
	h, _ := timed(f)
	h.add("romeo", "pw")
	f.Fuzz(func(t *testing.T, message []byte) {
		name, proof, fail := parseHT(message)
		if fail == nil && !bytes.Equal(append([]byte(name+"\x00"), proof...), message) {
			t.Errorf("%q is read as %q and %q", message, name, proof)
		}
		for mechanism := range bindings {
			x, err := h.Start(Attempt{Domain: here, Mechanism: mechanism, Binding: channel, Token: true, Agent: agent(t, uuid1)})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := x.Step(t.Context(), message); err == nil || x.User() != nil {
				t.Errorf("%q is let in", message)
			}
		}
	})
}

// A login with a token: what takes the place of 10,000 rounds of a hash.
func BenchmarkToken(b *testing.B) {
	h, _ := timed(b)
	romeo := h.add("romeo", "pw")
	for _, m := range htNames {
		token := h.token(romeo, "pw", uuid1, m)
		message := append([]byte("romeo\x00"), sign(token, "Initiator", bindings[m])...)
		at := Attempt{Domain: here, Mechanism: m, Binding: channel, Token: true, Agent: agent(b, uuid1)}
		b.Run(m, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x, err := h.Start(at)
				if err != nil {
					b.Fatal(err)
				}
				if _, done, err := x.Step(b.Context(), message); !done || err != nil {
					b.Fatal(err)
				}
				if _, err := x.Token(b.Context(), ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
