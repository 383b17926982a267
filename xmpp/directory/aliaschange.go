package directory

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"

	"confab/xmpp"
	"confab/xmpp/store"
)

// ErrTooMany says that an alias would reach more people than it may.
var ErrTooMany = errors.New("too many members")

// aliasTable is what a Directory holds of aliases.
type aliasTable struct {
	byJID  sync.Map // xmpp.JID → *Alias
	byID   sync.Map // ID → *Alias, tombstones too
	former sync.Map // xmpp.JID → ID of the last that had it
	gone   sync.Map // xmpp.JID of those that were deleted → ID
	reach  sync.Map // ID → *Reach

	listeners []func([]AliasChange) // under Directory.hooks
}

// AliasChange is a change of one alias. Old is nil if it was added, New is nil if it was deleted.
type AliasChange struct{ Old, New *Alias }

// NewAlias is an alias that is to be added. Local may be given as in the mail address or as in the JID.
type NewAlias struct {
	Domain, Local     string
	Name, Description string
	Kind              Kind
	Everyone          bool
	Settings          AliasSettings
	Members           []NewMember
	Lenient           bool // addresses of the domain that nobody has are kept as external ones, not refused
}

// NewMember is an entry as an administrator writes it: a localpart, an address, an alias, or xmpp: and an address.
type NewMember struct {
	Address   string
	Moderator bool
}

// AddAliases adds aliases in one transaction: all of them or, with an error, none. They may be members of one another.
func (d *Directory) AddAliases(ctx context.Context, list ...NewAlias) error {
	return d.makeAliases(ctx, func() ([]AliasChange, error) {
		return d.draft(list, func(_ int, err error) error { return err })
	})
}

// CheckAliases tells what AddAliases would refuse, without adding anything: refused is called with the place in the list
// and the reason. It returns the aliases as they would be, nil for those that are refused.
func (d *Directory) CheckAliases(list []NewAlias, refused func(i int, err error)) []*Alias {
	drafts := make([]*Alias, len(list))
	bad := make(map[int]bool)
	changes, _ := d.draft(list, func(i int, err error) error {
		bad[i] = true
		refused(i, err)
		return nil
	})
	for i := range list {
		if !bad[i] {
			drafts[i], changes = changes[0].New, changes[1:]
		}
	}
	return drafts
}

// draft makes the aliases of a list. Without an error from refused, those that are refused are left out.
func (d *Directory) draft(list []NewAlias, refused func(i int, err error) error) ([]AliasChange, error) {
	taken := make(map[xmpp.JID]*Alias, len(list))
	drafts := make([]*Alias, len(list))
	id, now := d.nextID, d.now()
	for i := range list {
		n := &list[i]
		a := &Alias{
			ID: id, Domain: n.Domain, Local: n.Local, Name: n.Name, Description: n.Description, Kind: n.Kind,
			Everyone: n.Everyone, Settings: n.Settings, Created: now,
		}
		err := d.admitAlias(a)
		if err == nil && taken[a.JID] != nil {
			err = refuse(ErrExists, "%s is in the list twice", a.JID)
		}
		if err != nil {
			if err := refused(i, err); err != nil {
				return nil, err
			}
			continue
		}
		drafts[i], taken[a.JID] = a, a
		id++
	}
	var changes []AliasChange
	for i, a := range drafts {
		if a == nil {
			continue
		}
		for _, n := range list[i].Members {
			m, err := d.member(a.Domain, n, taken)
			if errors.Is(err, ErrNotFound) && list[i].Lenient {
				m.Kind, err = ExternalMember, nil
			}
			if err != nil {
				if err := refused(i, err); err != nil {
					return nil, err
				}
				a = nil
				break
			}
			m.Since = now
			a.put(m)
		}
		if a != nil {
			changes = append(changes, AliasChange{New: a})
		}
	}
	for i := 0; i < len(changes); i++ {
		if err := d.overflow(changes, changes[i].New); err != nil {
			at := slices.Index(drafts, changes[i].New)
			if err := refused(at, err); err != nil {
				return nil, err
			}
			changes = slices.Delete(changes, i, i+1)
			i--
		}
	}
	return changes, d.overflows(changes)
}

// put adds an entry, or takes over who moderates if it is there already.
func (a *Alias) put(m Member) {
	for i := range a.Members {
		if have := &a.Members[i]; have.same(&m) {
			have.Moderator = have.Moderator || m.Moderator
			return
		}
	}
	a.Members = append(a.Members, m)
}

// member finds what an administrator means by an entry; fresh are aliases that are about to be.
func (d *Directory) member(domain string, n NewMember, fresh map[xmpp.JID]*Alias) (Member, error) {
	text := strings.TrimSpace(n.Address)
	m := Member{Kind: ExternalMember, Moderator: n.Moderator}
	chat := false
	if len(text) > 5 && strings.EqualFold(text[:5], "xmpp:") {
		text, chat = text[5:], true
	}
	local, host, at := cutLast(text, "@")
	if !at {
		local, host = text, domain
	}
	if local == "" || len(text) > maxAddress || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return m, refuse(ErrName, "%q is no address", n.Address)
	}
	h, err := xmpp.NewJID("", host, "")
	if err != nil {
		return m, refuse(ErrName, "%q is no address: %v", n.Address, err)
	}
	if h.Domain() != domain {
		m.Address = local + "@" + h.Domain()
		if chat {
			j, err := address(local, h.Domain())
			if err != nil {
				return m, err
			}
			m.Kind, m.Address = ForeignMember, j.String()
		}
		return m, nil
	}
	j, err := address(local, domain)
	if err != nil {
		return m, err
	}
	m.Address = j.String()
	if a := fresh[j]; a != nil {
		return Member{Kind: AliasMember, ID: a.ID, Moderator: n.Moderator}, nil
	}
	if u := d.User(j); u != nil {
		return Member{Kind: UserMember, ID: u.ID, Moderator: n.Moderator}, nil
	}
	if a := d.Alias(j); a != nil {
		return Member{Kind: AliasMember, ID: a.ID, Moderator: n.Moderator}, nil
	}
	if u := d.Resolve(j); u != nil {
		return Member{Kind: UserMember, ID: u.ID, Moderator: n.Moderator}, nil
	}
	if a := d.ResolveAlias(j); a != nil {
		return Member{Kind: AliasMember, ID: a.ID, Moderator: n.Moderator}, nil
	}
	return m, refuse(ErrNotFound, "there is no user and no alias %s", j)
}

// Membership is a change of an alias's entries. Replace comes first, Moderators last.
type Membership struct {
	Replace    *[]NewMember // all entries; those that stay have been there since when they were
	Add        []NewMember
	Remove     []string
	Moderators *[]string // who moderates, and nobody else
	Lenient    bool      // as in NewAlias
}

// UpdateAlias changes what fn changes in the copy that it is given, but for the members, and these as m says. A new Local
// changes the name: the address is another one, the alias stays the same.
func (d *Directory) UpdateAlias(ctx context.Context, id ID, m Membership, fn func(*Alias) error) error {
	return d.makeAliases(ctx, func() ([]AliasChange, error) {
		old := d.AliasByID(id)
		if old == nil {
			return nil, refuse(ErrNotFound, "there is no alias with the id %d", id)
		}
		a := *old
		if fn != nil {
			if err := fn(&a); err != nil {
				return nil, err
			}
		}
		a.ID, a.Domain, a.Created, a.Deleted = old.ID, old.Domain, old.Created, old.Deleted
		a.Former, a.Renamed = old.Former, old.Renamed
		a.Members = d.alive(old.Members)
		if err := d.admitAlias(&a); err != nil {
			return nil, err
		}
		if err := d.change(&a, m); err != nil {
			return nil, err
		}
		if a.Local != old.Local {
			a.Former, a.Renamed = old.Local, d.now()
		}
		if a.same(old) { // most of a list that is imported every night
			return nil, nil
		}
		changes := []AliasChange{{Old: old, New: &a}}
		return changes, d.overflows(changes)
	})
}

// same reports whether a is as old is.
func (a *Alias) same(old *Alias) bool {
	x, y := *a, *old
	x.Members, y.Members = nil, nil
	return slices.Equal(a.Members, old.Members) && reflect.DeepEqual(x, y)
}

// change carries out what is to become of the entries.
func (d *Directory) change(a *Alias, c Membership) error {
	if c.Replace != nil {
		before := a.Members
		a.Members = nil
		if err := d.enter(a, *c.Replace, before, c.Lenient); err != nil {
			return err
		}
	}
	for _, text := range c.Remove {
		m, err := d.member(a.Domain, NewMember{Address: text}, nil)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		i := slices.IndexFunc(a.Members, func(have Member) bool {
			return have.same(&m) || have.Kind == ExternalMember && strings.EqualFold(have.Address, m.Address) && m.Address != ""
		})
		if i < 0 {
			return refuse(ErrNotFound, "%s is no member of %s", text, a.JID)
		}
		a.Members = slices.Delete(a.Members, i, i+1)
	}
	if err := d.enter(a, c.Add, nil, c.Lenient); err != nil {
		return err
	}
	if len(a.Members) > maxEntries {
		return refuse(ErrTooMany, "%s would have more than %d entries", a.JID, maxEntries)
	}
	if c.Moderators == nil {
		return nil
	}
	for i := range a.Members {
		a.Members[i].Moderator = false
	}
	for _, text := range *c.Moderators {
		m, err := d.member(a.Domain, NewMember{Address: text}, nil)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(a.Members, func(have Member) bool { return have.same(&m) })
		switch {
		case i >= 0:
			a.Members[i].Moderator = true
		case a.Everyone && m.Kind == UserMember:
			m.Moderator, m.Since = true, d.now()
			a.put(m)
		default:
			return refuse(ErrNotFound, "%s is no member of %s and cannot moderate it", text, a.JID)
		}
	}
	return nil
}

// enter adds entries; one that was there before has been there since then.
func (d *Directory) enter(a *Alias, list []NewMember, before []Member, lenient bool) error {
	for _, n := range list {
		m, err := d.member(a.Domain, n, nil)
		if errors.Is(err, ErrNotFound) && lenient {
			m.Kind, err = ExternalMember, nil
		}
		if err != nil {
			return err
		}
		if m.Kind == AliasMember && m.ID == a.ID {
			return refuse(ErrName, "%s cannot be a member of itself", a.JID)
		}
		m.Since = d.now()
		if i := slices.IndexFunc(before, func(have Member) bool { return have.same(&m) }); i >= 0 {
			m.Since = before[i].Since
		}
		a.put(m)
	}
	return nil
}

// alive returns the entries without those of users and aliases that were deleted.
func (d *Directory) alive(members []Member) []Member {
	alive := make([]Member, 0, len(members))
	for _, m := range members {
		if m.Kind == UserMember && d.ByID(m.ID) == nil || m.Kind == AliasMember && d.AliasByID(m.ID) == nil {
			continue
		}
		alive = append(alive, m)
	}
	return alive
}

// DeleteAlias deletes an alias. A tombstone stays, the name is free; whoever gets it has another ID.
func (d *Directory) DeleteAlias(ctx context.Context, id ID) error {
	return d.makeAliases(ctx, func() ([]AliasChange, error) {
		old := d.AliasByID(id)
		if old == nil {
			return nil, refuse(ErrNotFound, "there is no alias with the id %d", id)
		}
		return []AliasChange{{Old: old}}, nil
	})
}

// OnAliasChange has fn called with the changes of each transaction, once they are durable and can be seen, like OnChange.
func (d *Directory) OnAliasChange(fn func([]AliasChange)) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	d.aliases.listeners = append(d.aliases.listeners, fn)
}

// admitAlias tidies a and finds what speaks against it.
func (d *Directory) admitAlias(a *Alias) error {
	if err := d.served(a.Domain); err != nil {
		return err
	}
	if err := a.tidy(); err != nil {
		return err
	}
	if d.User(a.JID) != nil {
		return refuse(ErrExists, "there is a user %s: a name is a user's or an alias's", a.JID)
	}
	if other := d.Alias(a.JID); other != nil && other.ID != a.ID {
		return refuse(ErrExists, "there is an alias %s already", a.JID)
	} else if other == nil {
		return d.kept(a.JID)
	}
	return nil
}

// makeAliases makes the changes that plan asks for: durable, then visible, then known to the listeners.
func (d *Directory) makeAliases(ctx context.Context, plan func() ([]AliasChange, error)) error {
	select {
	case d.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	changes, err := d.commitAliases(ctx, plan)
	before, told := d.told, make(chan struct{})
	d.told = told
	<-d.changing

	defer close(told)
	<-before
	if len(changes) == 0 {
		return err
	}
	d.hooks.Lock()
	listeners := slices.Clone(d.aliases.listeners)
	d.hooks.Unlock()
	for _, fn := range listeners {
		fn(changes)
	}
	return err
}

// commitAliases writes what plan asks for and puts it in force.
func (d *Directory) commitAliases(ctx context.Context, plan func() ([]AliasChange, error)) ([]AliasChange, error) {
	changes, err := plan()
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	type pair struct{ key, value []byte } // without a value: it goes
	var puts []pair
	records := make([]*Alias, len(changes))
	next := make(map[*Domain]*aliasSnapshot)
	id := d.nextID
	now := uint64(max(d.now().UnixMicro(), 1))
	for i, c := range changes {
		a := c.New
		if a == nil {
			stone := *c.Old
			stone.Deleted, stone.Members, stone.Avatar = d.now(), nil, Avatar{}
			a = &stone
		}
		if picture := a.picture; picture != nil || c.Old != nil && c.Old.Avatar.Hash != "" && a.Avatar.Hash == "" {
			puts, a.picture = append(puts, pair{keyPicture(a.ID), picture}), nil
		}
		records[i] = a
		id = max(id, a.ID+1)
		value, err := appendAlias(nil, a)
		if err != nil {
			return nil, err
		}
		puts = append(puts, pair{keyAlias(a.ID), value})
		m := d.domains[a.Domain]
		if next[m] == nil {
			s := m.aliases.Load()
			next[m] = &aliasSnapshot{max(now, s.revision+AliasStep), slices.Clone(s.all)}
			puts = append(puts, pair{keyAliasRevision(a.Domain), binary.BigEndian.AppendUint64(nil, next[m].revision)})
		}
		next[m].replace(c.Old, c.New)
	}
	puts = append(puts, pair{keyNext, binary.BigEndian.AppendUint64(nil, uint64(id))})
	committed := false
	err = d.db.Update(ctx, func(tx store.Tx) error {
		committed = false
		tx.OnCommit(func() { committed = true })
		for _, p := range puts {
			var err error
			if p.value == nil {
				err = tx.Delete(space, p.key)
			} else {
				err = tx.Put(space, p.key, p.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if !committed {
		return nil, err
	}
	d.nextID = id
	for i, c := range changes {
		d.indexAlias(c.Old, records[i])
	}
	for m, s := range next {
		m.aliases.Store(s)
	}
	d.generation.Add(1)
	return changes, err
}

func (s *aliasSnapshot) replace(old, a *Alias) {
	if old != nil {
		s.all = slices.DeleteFunc(s.all, func(x *Alias) bool { return x.ID == old.ID })
	}
	if a != nil {
		i, _ := slices.BinarySearchFunc(s.all, a.Local, func(x *Alias, local string) int { return strings.Compare(x.Local, local) })
		s.all = slices.Insert(s.all, i, a)
	}
}

// indexAlias makes a findable in the place of old, which may be nil.
func (d *Directory) indexAlias(old, a *Alias) {
	t := &d.aliases
	t.byID.Store(a.ID, a)
	if a.Deleted.IsZero() {
		t.byJID.Store(a.JID, a)
		d.taken(a.JID)
	} else {
		t.gone.Store(a.JID, a.ID)
	}
	if old != nil && (old.JID != a.JID || !a.Deleted.IsZero()) {
		t.byJID.Delete(old.JID)
	}
	if old != nil && old.JID != a.JID {
		t.former.Store(old.JID, a.ID)
	}
}
