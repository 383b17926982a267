// Package invite lets somebody make the account that the administrator has a
// name for, or set a new password for the account that is theirs: by a token
// that is good once and for some days. Without one, nobody registers.
//
// The token is handed over by other means, as part of an address (XEP-0401
// §4.4): xmpp:bob@example.com?register;preauth=TOKEN for clients, which give it
// to the server before they register (XEP-0445, XEP-0077), or that of a page
// where a password is chosen in the browser, since many clients know nothing of
// this. Who may make invitations is decided by whoever calls Invite.
//
// Tokens have 130 random bits. Only their hash is kept, and whether a token was
// never given out, was used, is too old or was taken back cannot be told apart.
//
// Everybody on a domain is everybody's contact, so there is no subscription to
// authorize beforehand. Where that is turned off, the tokens of XEP-0379 are
// made and checked by clients; they pass unchanged within subscription requests.
package invite

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// space holds the invitations that are open: the SHA-256 of the token, and a
// record in JSON.
const space store.Space = "invite"

// Lifetime is how long an invitation is good if nothing else is said.
const Lifetime = 7 * 24 * time.Hour

const (
	maxOpen     = 100_000
	maxLifetime = 366 * 24 * time.Hour

	// grace is how long a client that has shown its token in time may take for
	// the rest (XEP-0445 §4).
	grace = 10 * time.Minute
)

// Errors of Invite and Revoke.
var (
	ErrNone    = errors.New("there is no open invitation")
	ErrTooMany = errors.New("there are too many open invitations")
	ErrUsage   = errors.New("the invitation makes no sense")
)

// errGone says that a token is not good, or no longer.
var errGone = errors.New("invite: the token is not good")

// Invitation is what a token is good for.
type Invitation struct {
	Domain, Local string // the address
	Reset         bool   // a new password for a user, not a new user

	// Of a new user, as in directory.NewUser.
	Name   string
	Groups []string
	Hidden bool
	Admin  bool

	Created time.Time
	Expires time.Time
	By      string // who made it
}

// JID is the address that the invitation is for.
func (i *Invitation) JID() xmpp.JID {
	j, err := xmpp.NewJID(i.Local, i.Domain, "")
	if err != nil {
		return xmpp.JID{}
	}
	return j
}

// URI is the address that a client understands (XEP-0445 §2.1).
func (i *Invitation) URI(token string) string {
	return "xmpp:" + url.PathEscape(i.Local) + "@" + i.Domain + "?register;preauth=" + token
}

// record is an invitation on disk.
type record struct {
	Domain     string       `json:"domain"`
	Local      string       `json:"local"`
	User       directory.ID `json:"user,omitempty"`       // of a reset: whose password
	Generation uint64       `json:"generation,omitempty"` // of a reset: see auth.Generation
	Name       string       `json:"name,omitempty"`
	Groups     []string     `json:"groups,omitempty"`
	Hidden     bool         `json:"hidden,omitempty"`
	Admin      bool         `json:"admin,omitempty"`
	Created    int64        `json:"created"` // Unix seconds
	Expires    int64        `json:"expires"`
	By         string       `json:"by,omitempty"`
}

type hash [sha256.Size]byte

func hashOf(token string) hash { return sha256.Sum256([]byte(token)) }

// Options are what Invites need besides the host.
type Options struct {
	Auth *auth.Auth
	// URL is how the users of a domain reach the web side, without a slash at
	// the end; nil or empty: they do not.
	URL func(domain string) string
}

// Invites are the invitations that are open. The methods may be called by many
// goroutines at once.
type Invites struct {
	host *feature.Host
	opts Options

	mu     sync.Mutex
	open   map[hash]*record
	byName map[xmpp.JID]hash // at most one for an address
}

// New makes the invitations; they are read when the table starts.
func New(h *feature.Host, o Options) *Invites {
	return &Invites{host: h, opts: o, open: map[hash]*record{}, byName: map[xmpp.JID]hash{}}
}

// Feature returns the feature.
func (v *Invites) Feature() feature.Feature {
	return feature.Feature{
		Name: "invite",
		Implements: []feature.XEP{
			feature.Implements(379, "0.3.3", feature.Partial, "clients make and check the tokens, which are passed on"),
			feature.Implements(401, "0.6.0", feature.Partial, "account creation, by administrators who name the address"),
			feature.Implements(445, "0.2.0", feature.Complete, "for a new password, too"),
		},
		LoginFeatures: loginFeatures,
		Visits: []feature.Visit{
			{Space: nsPreauth, Local: "preauth", Handle: v.preauth},
			{Space: xmpp.NSRegister, Local: "query", Handle: v.register},
		},
		Routes: v.routes(),
		Start:  v.start,
	}
}

// start reads the invitations.
func (v *Invites) start(h *feature.Host) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	err := h.State.View(context.Background(), func(tx store.Tx) error {
		for key, value := range tx.Scan(space, store.Range{}) {
			r := new(record)
			if len(key) != len(hash{}) || json.Unmarshal(value, r) != nil {
				return fmt.Errorf("a record is damaged")
			}
			v.add(hash(key), r)
		}
		return nil
	})
	h.Directory.KeepNames(v.keeps)
	h.Directory.OnDelete(v.forget)
	return err
}

func (r *record) jid() xmpp.JID {
	j, err := xmpp.NewJID(r.Local, r.Domain, "")
	if err != nil {
		return xmpp.JID{}
	}
	return j
}

func (r *record) invitation() Invitation {
	return Invitation{
		Domain: r.Domain, Local: r.Local, Reset: r.User != 0, Name: r.Name, Groups: r.Groups, Hidden: r.Hidden, Admin: r.Admin,
		Created: time.Unix(r.Created, 0).UTC(), Expires: time.Unix(r.Expires, 0).UTC(), By: r.By,
	}
}

// add and remove are called with v.mu held.
func (v *Invites) add(h hash, r *record) {
	v.open[h] = r
	v.byName[r.jid()] = h
}

func (v *Invites) remove(h hash) {
	if r := v.open[h]; r != nil {
		delete(v.open, h)
		if j := r.jid(); v.byName[j] == h {
			delete(v.byName, j)
		}
	}
}

func (v *Invites) expired(r *record) bool { return v.host.Now().Unix() >= r.Expires }

// keeps keeps the names of those who were invited for them (XEP-0445 §5).
func (v *Invites) keeps(j xmpp.JID) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h, ok := v.byName[j]
	if !ok || v.open[h].User != 0 || v.expired(v.open[h]) {
		return "", false
	}
	return fmt.Sprintf("%s is kept for somebody who was invited; 'confab user uninvite' takes the invitation back", j), true
}

// forget drops the invitation to somebody who is deleted. What is in memory
// opens nothing without what is on disk.
func (v *Invites) forget(tx store.Tx, id directory.ID) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for h, r := range v.open {
		if r.User == id {
			tx.OnCommit(func() {
				v.mu.Lock()
				defer v.mu.Unlock()
				v.remove(h)
			})
			return tx.Delete(space, h[:])
		}
	}
	return nil
}

// Invite makes an invitation, in the place of any other for the same address,
// and returns its token, which is not to be had again. Expires may be zero, for
// Lifetime from now on.
func (v *Invites) Invite(ctx context.Context, i Invitation) (token string, made Invitation, err error) {
	now := v.host.Now()
	if i.Expires.IsZero() {
		i.Expires = now.Add(Lifetime)
	}
	if d := i.Expires.Sub(now); d < time.Minute || d > maxLifetime {
		return "", i, fmt.Errorf("%w: it can be good for a minute to a year", ErrUsage)
	}
	r := &record{Domain: i.Domain, Created: now.Unix(), Expires: i.Expires.Unix(), By: i.By}
	if err := v.fill(r, &i); err != nil {
		return "", i, err
	}
	token = rand.Text()
	h := hashOf(token)
	v.Sweep(ctx)
	v.mu.Lock()
	before, again := v.byName[r.jid()]
	full := len(v.open) >= maxOpen && !again
	v.mu.Unlock()
	if full {
		return "", i, ErrTooMany
	}
	err = v.host.State.Update(ctx, func(tx store.Tx) error {
		if r.User != 0 {
			r.Generation = auth.Generation(tx, r.User)
		}
		value, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if again {
			if err := tx.Delete(space, before[:]); err != nil {
				return err
			}
		}
		return tx.Put(space, h[:], value)
	})
	if err != nil {
		return "", i, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if again {
		v.remove(before)
	}
	v.add(h, r)
	return token, r.invitation(), nil
}

// fill says whom a record is for.
func (v *Invites) fill(r *record, i *Invitation) error {
	if i.Reset {
		u := v.host.Directory.Login(i.Domain, i.Local)
		if u == nil {
			return fmt.Errorf("%w: there is no user %s@%s", directory.ErrNotFound, i.Local, i.Domain)
		}
		r.Local, r.Domain, r.User = u.Local, u.Domain, u.ID
		return nil
	}
	n := directory.NewUser{Domain: i.Domain, Local: i.Local, Name: i.Name, Groups: i.Groups, Kept: true}
	var refused error
	v.host.Directory.Check([]directory.NewUser{n}, func(_ int, err error) { refused = err })
	if refused != nil {
		return refused
	}
	j, err := v.host.Directory.LoginJID(i.Domain, i.Local)
	if err != nil {
		return err
	}
	r.Local, r.Domain = j.Local(), j.Domain()
	r.Name, r.Groups, r.Hidden, r.Admin = i.Name, i.Groups, i.Hidden, i.Admin
	return nil
}

// Page is the address of the page for a token, "" if there is none.
func (v *Invites) Page(domain, token string) string {
	if v.opts.URL == nil {
		return ""
	}
	if base := v.opts.URL(domain); base != "" {
		return base + "/invite/" + token
	}
	return ""
}

// List returns the invitations that are open, by address.
func (v *Invites) List() []Invitation {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []Invitation
	for _, r := range v.open {
		if !v.expired(r) {
			list = append(list, r.invitation())
		}
	}
	slices.SortFunc(list, func(a, b Invitation) int {
		return strings.Compare(a.Domain+"\x00"+a.Local, b.Domain+"\x00"+b.Local)
	})
	return list
}

// Revoke takes an invitation back.
func (v *Invites) Revoke(ctx context.Context, j xmpp.JID) error {
	v.mu.Lock()
	h, ok := v.byName[j]
	ok = ok && !v.expired(v.open[h])
	v.mu.Unlock()
	if !ok {
		return fmt.Errorf("%w for %s", ErrNone, j)
	}
	return v.drop(ctx, h)
}

func (v *Invites) drop(ctx context.Context, list ...hash) error {
	err := v.host.State.Update(ctx, func(tx store.Tx) error {
		for _, h := range list {
			if err := tx.Delete(space, h[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, h := range list {
		v.remove(h)
	}
	return nil
}

// Sweep forgets the invitations that are of no use any more. Those that cannot
// be forgotten now go the next time.
func (v *Invites) Sweep(ctx context.Context) {
	v.mu.Lock()
	var old []hash
	for h, r := range v.open {
		if v.host.Now().Unix() >= r.Expires+int64(grace/time.Second) {
			old = append(old, h)
		}
	}
	v.mu.Unlock()
	if len(old) > 0 {
		if err := v.drop(ctx, old...); err != nil {
			v.host.Log.Error("old invitations could not be removed", "error", err)
		}
	}
}

// find returns what a token is good for at a domain now, or at any if domain is
// empty; nil: nothing.
func (v *Invites) find(token, domain string) (hash, *record) {
	h := hashOf(token)
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.open[h]
	if r == nil || v.expired(r) || domain != "" && r.Domain != domain {
		return h, nil
	}
	return h, r
}

// still returns what a token that was good a moment ago is good for.
func (v *Invites) still(h hash) *record {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open[h]
}

// kept reports whether an invitation is on disk.
func (v *Invites) kept(ctx context.Context, h hash) (is bool) {
	err := v.host.State.View(ctx, func(tx store.Tx) error {
		is = tx.Get(space, h[:]) != nil
		return nil
	})
	return err != nil || is
}

// redeem makes the account, or sets the password, and uses up the token, all of
// it or nothing. The error is errGone, or one of the directory, of the
// password, or of the store.
func (v *Invites) redeem(ctx context.Context, h hash, r *record, keys auth.Keys) error {
	use := func(tx store.Tx) error {
		if tx.Get(space, h[:]) == nil || r.User != 0 && auth.Generation(tx, r.User) != r.Generation {
			return errGone
		}
		return tx.Delete(space, h[:])
	}
	var err error
	if r.User != 0 {
		if u := v.host.Directory.ByID(r.User); u == nil || u.Disabled {
			return errGone
		}
		err = v.opts.Auth.SetKeys(ctx, r.User, keys, use)
	} else {
		enrol := v.opts.Auth.Enrol(r.Domain, keys)
		err = v.host.Directory.Add(ctx, directory.NewUser{
			Domain: r.Domain, Local: r.Local, Name: r.Name, Groups: r.Groups, Hidden: r.Hidden, Admin: r.Admin, Kept: true,
			Also: func(tx store.Tx, id directory.ID) error {
				if err := use(tx); err != nil {
					return err
				}
				return enrol(tx, id)
			},
		})
		if errors.Is(err, directory.ErrExists) && !v.kept(ctx, h) {
			err = errGone // whoever sent the form twice is the one who has it
		}
	}
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.remove(h)
	v.mu.Unlock()
	v.host.Log.Info("an invitation was used", "address", r.jid().String(), "reset", r.User != 0, "by", r.By)
	return nil
}
