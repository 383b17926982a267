// Package auth decides who somebody is: it keeps the credentials of the users
// and speaks the server's side of SASL (RFC 4422), with PLAIN (RFC 4616) and the
// SCRAM family (RFC 5802, RFC 7677), bound to the TLS channel where there is one.
//
// No password is kept, and nothing that would do in its place: for each hash
// there is a salt, a count of iterations, StoredKey and ServerKey. So what other
// servers export can be taken over, and a stolen file logs nobody in.
//
// Who tries names learns nothing: an unknown user has a salt that is always the
// same, iterations as others of the domain have them, and fails by the same
// code at the same step as a wrong password. That a user is disabled is told to
// those alone who know the password.
//
// The frame of an attempt is the Negotiator of mellium.im/sasl, as are PLAIN and
// the salting; its SCRAM is not used on this side since it wants
// SaltedPassword, which is as good as the password, and knows no -PLUS.
//
// In the place of a password, clients get tokens (XEP-0484) that expire; they
// are checked by the HT mechanisms, and see tokens for what is kept of them.
//
// Messages are as SASL has them; base64 is what XMPP wraps around them, see
// Decode.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Options are the settings of an Auth.
type Options struct {
	Store     store.DB // where the credentials are, state.db
	Directory *directory.Directory

	// Iterations is how often new passwords are hashed, 10,000 if zero. It is
	// the client that has the work with SCRAM.
	Iterations int

	// Hashes are those by which one can log in, whatever keys the users have. It
	// is left to what they have if it is nil.
	Hashes []Hash

	// NoPlain leaves PLAIN out.
	NoPlain bool

	// TokenLifetime is how long a token is good that is not used, 21 days if
	// zero. One that is older than TokenRotation, a day if zero, is replaced when
	// it is used.
	TokenLifetime, TokenRotation time.Duration

	Clock xmpp.Clock // by which tokens expire; nil: the system's
}

// Stats count what happened since the start.
type Stats struct {
	Succeeded atomic.Uint64
	Wrong     atomic.Uint64 // Cause Credentials
	Unbound   atomic.Uint64 // Cause ChannelBinding
	Other     atomic.Uint64 // any other failure
	Upgraded  atomic.Uint64 // users who got keys they lacked
	Unrevoked atomic.Uint64 // tokens of disabled users that could not be revoked at once
}

// Auth is the credentials of all users. Its methods may be called by many
// goroutines at once.
type Auth struct {
	db         store.DB
	directory  *directory.Directory
	iterations int
	noPlain    bool
	hashes     []Hash    // nil: see offered
	secret     []byte    // what unknown users' salts are made of
	macs       sync.Pool // of hash.Hash: HMAC-SHA-256 by the secret
	clock      xmpp.Clock
	lifetime   time.Duration // of tokens
	rotation   time.Duration
	stats      Stats

	mu     sync.Mutex
	shapes map[string]map[shape]int // by domain: how many users have credentials like that
}

// Open reads what it needs of the credentials in o.Store, and sees to it that
// they go when their user is deleted.
func Open(ctx context.Context, o Options) (*Auth, error) {
	if o.Iterations == 0 {
		o.Iterations = 10_000
	}
	if err := checkIterations(o.Iterations); err != nil {
		return nil, err
	}
	for _, h := range o.Hashes {
		if !h.valid() {
			return nil, fmt.Errorf("%v is none of the hashes known here", h)
		}
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = 21 * 24 * time.Hour
	}
	if o.TokenRotation == 0 {
		o.TokenRotation = 24 * time.Hour
	}
	o.Hashes = slices.Clone(o.Hashes)
	slices.SortFunc(o.Hashes, func(a, b Hash) int { return slices.Index(hashes, a) - slices.Index(hashes, b) })
	if o.Clock == nil {
		o.Clock = xmpp.SystemClock
	}
	a := &Auth{
		db: o.Store, directory: o.Directory, iterations: o.Iterations, noPlain: o.NoPlain, hashes: o.Hashes,
		clock: o.Clock, lifetime: o.TokenLifetime, rotation: o.TokenRotation,
		shapes: make(map[string]map[shape]int),
	}
	a.macs.New = func() any { return hmac.New(sha256.New, a.secret) }
	if err := a.load(ctx); err != nil {
		return nil, fmt.Errorf("reading the credentials: %w", err)
	}
	if err := a.revokeDisabled(ctx); err != nil {
		return nil, fmt.Errorf("revoking tokens: %w", err)
	}
	o.Directory.OnDelete(a.forget)
	o.Directory.OnChange(a.disabled)
	return a, nil
}

// Stats returns the counters.
func (a *Auth) Stats() *Stats { return &a.stats }

// Mechanisms returns what is offered on a channel to those who log in to a
// domain, the strongest first.
//
// A client picks the strongest that it knows, and takes a refusal for a wrong
// password. So after users have come from elsewhere with keys for one hash, the
// others are not offered. The offer cannot depend on who it is for, and clients
// that have seen a stronger mechanism before may refuse to use another. So a
// hash is offered if nine of ten who have credentials have its key, and what
// is offered changes with many users, not with one.
func (a *Auth) Mechanisms(domain string, b Binding) []string {
	hashes := a.offered(domain)
	var names []string
	if len(b.Types()) > 0 {
		for _, h := range hashes {
			names = append(names, h.mechanism()+plus)
		}
	}
	for _, h := range hashes {
		names = append(names, h.mechanism())
	}
	if b.Secure && !a.noPlain {
		names = append(names, plain)
	}
	return names
}

// Derive makes n bytes, at most 64, that follow from parts and that nobody can
// foretell: names for what is not to be known.
func (a *Auth) Derive(n int, parts ...string) []byte {
	return a.derived(n, append([]string{"derived"}, parts...)...)
}
