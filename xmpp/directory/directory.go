// Package directory knows who is on the domains of this server: the localparts,
// the people behind them, what they are called and which groups they are in.
//
// It is the ground of the domain roster: everybody who may be seen is a contact
// of everybody else, so each change that others can see moves the revision of
// its domain, and a bounded log of changes lets a roster be brought up to date
// by its difference alone.
//
// All of it is held in memory and durable in a [store.DB]. A look-up takes no
// lock and allocates nothing. A change is on disk when its call returns, and by
// then the listeners have been told.
package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/store"
)

// ID names a user for good: it survives a change of name and is never given to
// anybody else, so what is kept under it cannot be inherited by a namesake.
type ID uint64

// User is what is known about a user at one moment. A *User that a Directory
// returned never changes, a change makes a new one.
type User struct {
	ID       ID
	JID      xmpp.JID // the bare address
	Domain   string
	Local    string // as it is in the JID, that is, escaped as XEP-0106 has it
	Name     string // what others call the user, may be empty
	Groups   []string
	Hidden   bool // in nobody's roster
	Disabled bool // may not log in
	Admin    bool // of the domain
	Created  time.Time
	Deleted  time.Time // not zero: a tombstone

	// Former is the localpart before the last change of name at Renamed.
	Former  string
	Renamed time.Time
}

// Options are the settings of a Directory.
type Options struct {
	Domains   []string      // the domains that are served here
	ChangeLog int           // changes kept of each domain, 10,000 if zero
	Forward   time.Duration // how long a former address is good for, 30 days if zero
	Clock     xmpp.Clock    // the system's if nil
}

// Directory is the users of all domains. Its methods may be called by many
// goroutines at once.
type Directory struct {
	db      store.DB
	options Options
	epoch   string
	domains map[string]*Domain // never changes after Open
	absent  map[string]int     // users of domains that are not served; never changes either

	byJID  sync.Map // xmpp.JID → *User
	byID   sync.Map // ID → *User, tombstones too
	former sync.Map // xmpp.JID → ID of the last who had it

	aliases    aliasTable
	generation atomic.Uint64 // moves with every change, of users and of aliases

	// changing holds a value while a change is made, so they are made one
	// after the other. It is empty while listeners run.
	changing chan struct{}
	nextID   ID
	told     chan struct{} // closed when listeners know of the latest change

	hooks     sync.Mutex // guards those below
	listeners []func(Change)
	onDelete  []func(store.Tx, ID) error
	keepers   []func(xmpp.JID) (string, bool)
}

// Open reads the directory from db; an empty one is made if there is none.
// Users of domains that are not in o.Domains stay on disk, unseen.
func Open(ctx context.Context, db store.DB, o Options) (*Directory, error) {
	if o.ChangeLog <= 0 {
		o.ChangeLog = 10_000
	}
	if o.Forward == 0 {
		o.Forward = 30 * 24 * time.Hour
	}
	if o.Clock == nil {
		o.Clock = xmpp.SystemClock
	}
	d := &Directory{
		db: db, options: o, domains: make(map[string]*Domain),
		changing: make(chan struct{}, 1), told: make(chan struct{}), absent: make(map[string]int),
	}
	close(d.told)
	for _, name := range o.Domains {
		j, err := xmpp.NewJID("", name, "")
		if err != nil {
			return nil, fmt.Errorf("%q is not a domain: %w", name, err)
		}
		m := &Domain{directory: d, jid: j}
		m.state.Store(&Snapshot{})
		m.aliases.Store(&aliasSnapshot{})
		d.domains[j.Domain()] = m
	}
	if err := errors.Join(d.load(ctx), d.loadAliases(ctx)); err != nil {
		return nil, fmt.Errorf("reading the directory: %w", err)
	}
	d.loadFormer()
	return d, nil
}

// Epoch names this store: revisions of another epoch mean nothing here.
func (d *Directory) Epoch() string { return d.epoch }

// Domain returns the domain of that name, nil if it is not served here.
func (d *Directory) Domain(name string) *Domain { return d.domains[name] }

// Domains returns the domains that are served, by name.
func (d *Directory) Domains() []*Domain {
	all := slices.Collect(maps.Values(d.domains))
	slices.SortFunc(all, func(a, b *Domain) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}

// Absent counts the users of each domain that is not served, not to be changed.
func (d *Directory) Absent() map[string]int { return d.absent }

// User returns the user with the address j, bare or full, nil if there is none.
func (d *Directory) User(j xmpp.JID) *User {
	if v, ok := d.byJID.Load(j.Bare()); ok {
		return v.(*User)
	}
	return nil
}

// Resolve is User, but also finds somebody who had the address until lately.
func (d *Directory) Resolve(j xmpp.JID) *User {
	if u := d.User(j); u != nil {
		return u
	}
	v, ok := d.former.Load(j.Bare())
	if !ok {
		return nil
	}
	u := d.ByID(v.(ID))
	if u == nil || u.Former != j.Local() || d.options.Clock.Now().Sub(u.Renamed) > d.options.Forward {
		return nil
	}
	return u
}

// ByID returns the user with this id, nil if there is none or it was deleted.
func (d *Directory) ByID(id ID) *User {
	if u := d.Tombstone(id); u != nil && u.Deleted.IsZero() {
		return u
	}
	return nil
}

// Tombstone is ByID, but also finds users that were deleted: what they had
// written is still told by their names.
func (d *Directory) Tombstone(id ID) *User {
	if v, ok := d.byID.Load(id); ok {
		return v.(*User)
	}
	return nil
}

// Login finds who logs in to a domain with a name as people give it: the
// localpart, escaped or as in the mail address (XEP-0106), or all of the
// address. It is nil if there is no such user.
func (d *Directory) Login(domain, name string) *User {
	j, err := d.LoginJID(domain, name)
	if err != nil {
		return nil
	}
	return d.Resolve(j)
}

// LoginJID is the address that somebody means by name, whether it exists or not.
func (d *Directory) LoginJID(domain, name string) (xmpp.JID, error) {
	if local, host, ok := cutLast(name, "@"); ok {
		if h, err := xmpp.NewJID("", host, ""); err == nil && h.Domain() == domain {
			name = local
		}
	}
	return address(name, domain)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
