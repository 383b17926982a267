package directory

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"confab/xmpp"
)

// Reach is whom an alias reaches at one moment: its members, those of aliases among them included, each once.
type Reach struct {
	Alias   *Alias
	Users   []Reached // by localpart
	Foreign []ReachedForeign
	Skipped []Skipped

	at         map[ID]int // in Users
	inside     map[ID]bool
	everyone   bool          // an alias inside is of all users
	generation atomic.Uint64 // of the directory, as of which it holds
}

// Reached is a user whom an alias reaches.
type Reached struct {
	User      *User
	Moderator bool
	Since     time.Time
	Through   *Alias // nil: a member of the alias itself
}

// ReachedForeign is somebody of another server whom an alias reaches.
type ReachedForeign struct {
	JID       xmpp.JID
	Moderator bool
	Since     time.Time
	Through   *Alias
}

// Skipped is an entry that reaches nobody.
type Skipped struct {
	Address string
	Why     string
	Through *Alias
}

// Member returns the user as the alias reaches him; not ok if it does not.
func (r *Reach) Member(id ID) (Reached, bool) {
	i, ok := r.at[id]
	if !ok {
		return Reached{}, false
	}
	return r.Users[i], true
}

// Len is how many people are reached.
func (r *Reach) Len() int { return len(r.Users) + len(r.Foreign) }

// Has reports whether the members of another alias are among those who are reached.
func (r *Reach) Has(alias ID) bool { return r.inside[alias] }

// Reach returns whom an alias reaches now, nil if there is no such alias. The result is not to be changed; it is the same
// one as long as nothing changed that it follows from.
func (d *Directory) Reach(id ID) *Reach {
	generation := d.generation.Load()
	if v, ok := d.aliases.reach.Load(id); ok && v.(*Reach).generation.Load() == generation {
		return v.(*Reach)
	}
	a := d.AliasByID(id)
	if a == nil {
		return nil
	}
	r := d.expand(a, nil)
	r.generation.Store(generation)
	d.aliases.reach.Store(id, r)
	return r
}

// Generation tells states of the directory apart: every transaction moves it.
func (d *Directory) Generation() uint64 { return d.generation.Load() }

// touches is what a transaction changes, as far as anybody's reach follows from it.
type touches struct {
	ids       map[ID]bool
	addresses map[string]bool // that lead somewhere else before and after
	users     bool
}

func (t *touches) add(id ID, addresses ...xmpp.JID) {
	if t.ids == nil {
		t.ids, t.addresses = map[ID]bool{}, map[string]bool{}
	}
	t.ids[id] = true
	for _, j := range addresses {
		t.addresses[j.String()] = true
	}
}

// alias adds a change of an alias; old may be nil, now may be a tombstone.
func (t *touches) alias(old, now *Alias) {
	t.add(now.ID, now.JID)
	if old != nil {
		t.add(old.ID, old.JID)
	}
}

// user is alias for a user.
func (t *touches) user(old, now *User) {
	t.users = true
	t.add(now.ID, now.JID)
	if old != nil {
		t.add(old.ID, old.JID)
	}
}

// follows reports whether what is touched can make another reach of r.
func (r *Reach) follows(t *touches) bool {
	return t.users && r.everyone || meet(r.inside, t.ids) || meet(r.at, t.ids) ||
		slices.ContainsFunc(r.Skipped, func(s Skipped) bool { return t.addresses[s.Address] })
}

// meet reports whether two maps have a key in common.
func meet[V, W any](a map[ID]V, b map[ID]W) bool {
	if len(a) > len(b) {
		return meet(b, a)
	}
	for id := range a {
		if _, ok := b[id]; ok {
			return true
		}
	}
	return false
}

// outdate begins a new generation, in which reaches do not hold that follow from what is touched. That is in force already:
// whoever read some of it too early has found something that is touched.
func (d *Directory) outdate(t *touches) {
	generation := d.generation.Load()
	d.aliases.reach.Range(func(id, v any) bool {
		if r := v.(*Reach); r.generation.Load() == generation && !r.follows(t) {
			r.generation.Store(generation + 1)
		} else {
			d.aliases.reach.Delete(id)
		}
		return true
	})
	d.generation.Store(generation + 1)
}

// standing is how somebody or an alias comes into the reach of another; the better one counts.
type standing struct {
	moderator bool
	since     time.Time
	through   *Alias
}

// better reports whether s says more than o.
func (s standing) better(o standing) bool {
	return s.moderator && !o.moderator || s.moderator == o.moderator && s.since.Before(o.since)
}

// merge takes the best of both.
func (s standing) merge(o standing) standing {
	if o.moderator {
		s.moderator = true
	}
	if o.since.Before(s.since) {
		s.since = o.since
	}
	if o.through == nil {
		s.through = nil
	}
	return s
}

// expansion is an alias on its way to becoming a Reach.
type expansion struct {
	d        *Directory
	next     *nextAliases
	visited  map[ID]standing
	users    map[ID]standing
	foreign  map[string]standing
	skipped  map[Skipped]bool
	order    []Skipped
	everyone bool
}

// expand walks through an alias and the aliases in it. Each is walked through again only if a better standing leads to
// it, so loops end. next is what is about to be; it may be nil.
func (d *Directory) expand(a *Alias, next *nextAliases) *Reach {
	x := &expansion{d: d, next: next, visited: map[ID]standing{}, users: map[ID]standing{}, foreign: map[string]standing{}, skipped: map[Skipped]bool{}}
	x.walk(a, standing{})
	r := &Reach{Alias: a, Skipped: x.order, everyone: x.everyone, at: make(map[ID]int, len(x.users)), inside: make(map[ID]bool, len(x.visited))}
	for id := range x.visited {
		r.inside[id] = true
	}
	for id, s := range x.users {
		r.Users = append(r.Users, Reached{d.ByID(id), s.moderator, s.since, s.through})
	}
	r.Users = slices.DeleteFunc(r.Users, func(u Reached) bool { return u.User == nil }) // deleted meanwhile
	slices.SortFunc(r.Users, func(a, b Reached) int { return strings.Compare(a.User.Local, b.User.Local) })
	for i, u := range r.Users {
		r.at[u.User.ID] = i
	}
	for text, s := range x.foreign {
		if j, err := xmpp.ParseJID(text); err == nil {
			r.Foreign = append(r.Foreign, ReachedForeign{j, s.moderator, s.since, s.through})
		}
	}
	slices.SortStableFunc(r.Skipped, func(a, b Skipped) int { return strings.Compare(a.Address, b.Address) })
	slices.SortFunc(r.Foreign, func(a, b ReachedForeign) int { return strings.Compare(a.JID.String(), b.JID.String()) })
	return r
}

func (x *expansion) walk(a *Alias, in standing) {
	if have, ok := x.visited[a.ID]; ok {
		if !in.better(have) {
			return
		}
		in = have.merge(in)
	}
	x.visited[a.ID] = in
	if a.Everyone {
		x.everyone = true
		for _, u := range x.d.domains[a.Domain].Snapshot().Users {
			x.user(u, x.entry(Member{Since: u.Created}, in), in.through)
		}
	}
	for _, m := range a.Members {
		s := x.entry(m, in)
		switch m.Kind {
		case UserMember:
			x.user(x.d.ByID(m.ID), s, in.through)
		case AliasMember:
			if inner := x.next.byID(x.d, m.ID); inner != nil {
				s.through = inner
				x.walk(inner, s)
			}
		case ForeignMember:
			if have, ok := x.foreign[m.Address]; ok {
				s = s.merge(have)
			}
			x.foreign[m.Address] = s
		default:
			x.external(a.Domain, m, s, in.through)
		}
	}
}

// entry is the standing that an entry gives.
func (x *expansion) entry(m Member, in standing) standing {
	s := standing{m.Moderator || in.moderator, m.Since, in.through}
	if in.since.After(s.since) {
		s.since = in.since
	}
	return s
}

func (x *expansion) user(u *User, s standing, through *Alias) {
	switch {
	case u == nil: // deleted
	case u.Disabled:
		x.skip(Skipped{u.JID.String(), "disabled", through})
	default:
		if have, ok := x.users[u.ID]; ok {
			s = s.merge(have)
		}
		x.users[u.ID] = s
	}
}

// external is an entry that was nobody's address on the alias's domain when it was made. Another domain of this server is
// as far away as any.
func (x *expansion) external(domain string, m Member, s standing, through *Alias) {
	j, err := xmpp.ParseJID(m.Address)
	if err != nil || j.Domain() != domain {
		x.skip(Skipped{m.Address, "external, no chat", through})
		return
	}
	if u := x.d.User(j); u != nil {
		x.user(u, s, through)
		return
	}
	if inner := x.next.byJID(x.d, j); inner != nil {
		s.through = inner
		x.walk(inner, s)
		return
	}
	x.skip(Skipped{m.Address, "nobody has this address", through})
}

func (x *expansion) skip(s Skipped) {
	if !x.skipped[s] {
		x.skipped[s] = true
		x.order = append(x.order, s)
	}
}

// nextAliases is what a transaction is about to make of aliases.
type nextAliases struct {
	ids  map[ID]*Alias // nil: deleted
	jids map[xmpp.JID]*Alias
}

func newNextAliases(changes []AliasChange) *nextAliases {
	n := &nextAliases{map[ID]*Alias{}, map[xmpp.JID]*Alias{}}
	for _, c := range changes {
		if c.Old != nil {
			n.ids[c.Old.ID] = nil
			n.jids[c.Old.JID] = nil
		}
	}
	for _, c := range changes {
		if c.New != nil {
			n.ids[c.New.ID] = c.New
			n.jids[c.New.JID] = c.New
		}
	}
	return n
}

func (n *nextAliases) byID(d *Directory, id ID) *Alias {
	if n != nil {
		if a, ok := n.ids[id]; ok {
			return a
		}
	}
	return d.AliasByID(id)
}

func (n *nextAliases) byJID(d *Directory, j xmpp.JID) *Alias {
	if n != nil {
		if a, ok := n.jids[j]; ok {
			return a
		}
	}
	return d.Alias(j)
}

// overflows reports the first alias that changes of others would make reach more people than it may, and more than now.
func (d *Directory) overflows(changes []AliasChange) error {
	next := newNextAliases(changes)
	touched := &touches{}
	domains := make(map[*Domain]bool)
	for _, c := range changes {
		if c.New != nil {
			touched.alias(c.Old, c.New)
			domains[d.domains[c.New.Domain]] = true
		}
	}
	for m := range domains {
		for _, a := range m.aliases.Load().all {
			if r := d.Reach(a.ID); r == nil || touched.ids[a.ID] || !r.follows(touched) {
				continue
			}
			if err := d.overflow(next, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// overflow is overflows for one alias, as it will be.
func (d *Directory) overflow(next *nextAliases, a *Alias) error {
	if a.Everyone {
		return nil
	}
	n := d.expand(a, next).Len()
	if n <= a.Settings.Fanout() {
		return nil
	}
	if now := d.Reach(a.ID); now != nil && now.Alias.Settings.Fanout() == a.Settings.Fanout() && now.Len() >= n {
		return nil
	}
	return refuse(ErrTooMany, "%s would reach %d people, and may reach %d: 'confab alias set %s --max-fanout %d' allows more", a.JID, n, a.Settings.Fanout(), a.Local, n)
}
