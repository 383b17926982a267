package directory

import (
	"context"
	"encoding/binary"
	"errors"
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

// change carries out what is to become of the entries.
func (d *Directory) change(a *Alias, c Membership, fresh map[xmpp.JID]*Alias) error {
	if c.Replace != nil {
		before := a.Members
		a.Members = nil
		if err := d.enter(a, *c.Replace, c.Lenient, fresh); err != nil {
			return err
		}
		a.stay(before, c.Moderate)
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
	if err := d.enter(a, c.Add, c.Lenient, fresh); err != nil {
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

// enter adds entries; fresh are aliases that are about to be.
func (d *Directory) enter(a *Alias, list []NewMember, lenient bool, fresh map[xmpp.JID]*Alias) error {
	for _, n := range list {
		m, err := d.member(a.Domain, n, fresh)
		if errors.Is(err, ErrNotFound) && lenient {
			m.Kind, err = ExternalMember, nil
		}
		if err != nil {
			return err
		}
		if m.Kind == AliasMember && m.ID == a.ID {
			if lenient {
				continue // in a mail server's list it means a mailbox
			}
			return refuse(ErrName, "%s cannot be a member of itself", a.JID)
		}
		m.Since = d.now()
		a.put(m)
	}
	return nil
}

// stay has the entries that were there before be there since then, and moderate as they did if nothing else is said.
func (a *Alias) stay(before []Member, moderate bool) {
	type key struct {
		kind    MemberKind
		id      ID
		address string
	}
	was := make(map[key]*Member, len(before))
	for i := range before {
		m := &before[i]
		was[key{m.Kind, m.ID, m.Address}] = m
	}
	for i := range a.Members {
		m := &a.Members[i]
		if old := was[key{m.Kind, m.ID, m.Address}]; old != nil {
			m.Since, m.Moderator = old.Since, m.Moderator || moderate && old.Moderator
		}
	}
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
	touched := touches{}
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
		touched.alias(c.Old, a)
		if next[m] == nil {
			next[m] = m.aliases.Load().with(changes, m.Name(), now)
			puts = append(puts, pair{keyAliasRevision(a.Domain), binary.BigEndian.AppendUint64(nil, next[m].revision)})
		}
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
	d.outdate(&touched)
	return changes, err
}

// with returns the aliases of a domain after changes, those of other domains left out.
func (s *aliasSnapshot) with(changes []AliasChange, domain string, now uint64) *aliasSnapshot {
	gone := make(map[ID]bool, len(changes))
	next := &aliasSnapshot{revision: max(now, s.revision+AliasStep)}
	for _, c := range changes {
		if c.Old != nil && c.Old.Domain == domain {
			gone[c.Old.ID] = true
		}
		if c.New != nil && c.New.Domain == domain {
			next.all = append(next.all, c.New)
		}
	}
	for _, a := range s.all {
		if !gone[a.ID] {
			next.all = append(next.all, a)
		}
	}
	slices.SortFunc(next.all, func(a, b *Alias) int { return strings.Compare(a.Local, b.Local) })
	return next
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
