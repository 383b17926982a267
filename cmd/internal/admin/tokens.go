package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"confab/xmpp/store"
)

// A token lets a program have operations carried out over HTTP. It has 256
// random bits, of which the store has a hash, so nothing that is kept lets
// anybody in. Whose domain it names may do what the administrators of that
// domain may; one that names none may do what the command line may.
//
// Space tokens: by the SHA-256 of the token, a Token in JSON.
const spaceTokens store.Space = "tokens"

// tokenPrefix makes tokens in the wrong place easy to find.
const tokenPrefix = "confab-"

const (
	maxTokens    = 1000
	maxTokenDays = 3650
)

// Token is a token as the administrator sees one.
type Token struct {
	Name    string     `json:"name"`
	Domain  string     `json:"domain,omitempty"` // empty: the whole server
	Created time.Time  `json:"created"`
	By      string     `json:"by"`
	Expires *time.Time `json:"expires,omitempty"`

	// Token is only in the result of the operation that made it.
	Token string `json:"token,omitempty"`
}

func tokenKey(text string) []byte {
	h := sha256.Sum256([]byte(text))
	return h[:]
}

// Authenticate returns the token that somebody shows, if it is one and good now.
func (a *Admin) Authenticate(ctx context.Context, text string) (t Token, ok bool, err error) {
	if !strings.HasPrefix(text, tokenPrefix) {
		return t, false, nil
	}
	err = a.State.View(ctx, func(tx store.Tx) error {
		if v := tx.Get(spaceTokens, tokenKey(text)); v != nil {
			ok = true
			return json.Unmarshal(v, &t)
		}
		return nil
	})
	if err != nil || !ok || t.Expires != nil && !a.now().Before(*t.Expires) {
		return Token{}, false, err
	}
	return t, true, nil
}

// tokens calls fn for all tokens, with their keys.
func tokens(tx store.Tx, fn func(key []byte, t Token)) error {
	for k, v := range tx.Scan(spaceTokens, store.Range{}) {
		var t Token
		if err := json.Unmarshal(v, &t); err != nil {
			return err
		}
		fn(slices.Clone(k), t)
	}
	return nil
}

// TokenCreateParams ask for a token.
type TokenCreateParams struct {
	Name   string `json:"name"`
	Domain string `json:"domain,omitempty"`
	Days   int    `json:"days,omitempty"` // it is good for; 0: until it is revoked
}

// TokenCreate makes a token.
var TokenCreate = define(Operation{Name: "token create", Title: "Make a token for the HTTP API", AtDesk: true, Audited: true}, func(c *call[None], p TokenCreateParams) (Token, error) {
	name := strings.TrimSpace(p.Name)
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Token{}, failf(Usage, "a token has a name of up to 100 letters, by which you know it again")
	}
	if p.Days < 0 || p.Days > maxTokenDays {
		return Token{}, failf(Usage, "a token is good for up to %d days, or with 0 until it is revoked", maxTokenDays)
	}
	if p.Domain != "" {
		d, err := c.oneDomain(p.Domain)
		if err != nil {
			return Token{}, err
		}
		p.Domain = d.Name()
	}
	t := Token{Name: name, Domain: p.Domain, Created: c.now().UTC().Truncate(time.Second), By: c.by}
	if p.Days > 0 {
		end := t.Created.AddDate(0, 0, p.Days)
		t.Expires = &end
	}
	value, err := json.Marshal(t)
	if err != nil {
		return Token{}, err
	}
	var random [32]byte
	rand.Read(random[:])
	text := tokenPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	err = c.State.Update(c, func(tx store.Tx) error {
		n, taken := 0, false
		err := tokens(tx, func(_ []byte, o Token) { n, taken = n+1, taken || o.Name == name })
		switch {
		case err != nil:
			return err
		case taken:
			return failf(Conflict, "there is a token %q already; 'confab token revoke' ends it", name)
		case n >= maxTokens:
			return failf(Usage, "there are %d tokens already", n)
		}
		return tx.Put(spaceTokens, tokenKey(text), value)
	})
	t.Token = text
	return t, err
})

// TokensListed says how many tokens there were.
type TokensListed struct {
	Tokens int `json:"tokens"`
}

// TokenList streams the tokens by name.
var TokenList = define(Operation{Name: "token list", Title: "List the tokens for the HTTP API", AtDesk: true}, func(c *call[Token], _ None) (TokensListed, error) {
	var all []Token
	err := c.State.View(c, func(tx store.Tx) error {
		all = nil
		return tokens(tx, func(_ []byte, t Token) { all = append(all, t) })
	})
	if err != nil {
		return TokensListed{}, err
	}
	slices.SortFunc(all, func(a, b Token) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range all {
		if err := c.item(t); err != nil {
			return TokensListed{}, err
		}
	}
	return TokensListed{len(all)}, nil
})

// TokenParams name a token.
type TokenParams struct {
	Name string `json:"name"`
}

// TokenRevoke ends a token.
var TokenRevoke = define(Operation{Name: "token revoke", Title: "End a token for the HTTP API", AtDesk: true, Audited: true}, func(c *call[None], p TokenParams) (None, error) {
	return None{}, c.State.Update(c, func(tx store.Tx) error {
		var key []byte
		if err := tokens(tx, func(k []byte, t Token) {
			if t.Name == p.Name {
				key = k
			}
		}); err != nil {
			return err
		}
		if key == nil {
			return failf(NotFound, "there is no token %q; 'confab token list' shows all", p.Name)
		}
		return tx.Delete(spaceTokens, key)
	})
})
