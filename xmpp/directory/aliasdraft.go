package directory

import (
	"context"
	"reflect"
	"slices"

	"confab/xmpp"
)

// Membership is a change of an alias's entries. Replace comes first, Moderators last.
type Membership struct {
	Replace    *[]NewMember // all entries; those that stay have been there since when they were
	Moderate   bool         // those that stay moderate if they did
	Add        []NewMember
	Remove     []string
	Moderators *[]string // who moderates, and nobody else
	Lenient    bool      // as in NewAlias
}

// AliasUpdate is a change of one alias.
type AliasUpdate struct {
	ID ID
	Membership
	Set func(*Alias) error // changes the copy that it is given, but for the members; nil: nothing
}

// AliasBatch is what is to become of aliases in one transaction, each of them once. Those that are added may be members of one
// another, and of those that are changed. A place in a batch counts those that are added first.
type AliasBatch struct {
	Add    []NewAlias
	Update []AliasUpdate
}

// AddAliases adds aliases in one transaction: all of them or, with an error, none. They may be members of one another.
func (d *Directory) AddAliases(ctx context.Context, list ...NewAlias) error {
	return d.ChangeAliases(ctx, AliasBatch{Add: list})
}

// UpdateAlias changes what fn changes in the copy that it is given, but for the members, and these as m says. A new Local
// changes the name: the address is another one, the alias stays the same.
func (d *Directory) UpdateAlias(ctx context.Context, id ID, m Membership, fn func(*Alias) error) error {
	return d.ChangeAliases(ctx, AliasBatch{Update: []AliasUpdate{{id, m, fn}}})
}

// ChangeAliases carries out a batch: all of it or, with an error, nothing.
func (d *Directory) ChangeAliases(ctx context.Context, b AliasBatch) error {
	return d.makeAliases(ctx, func() ([]AliasChange, error) {
		_, changes, err := d.draft(b, func(_ int, err error) error { return err })
		return changes, err
	})
}

// CheckAliases tells what ChangeAliases would refuse, without changing anything: refused is called with the place in the
// batch and the reason. It returns the aliases as they would be, those as they are that would not change, and nil for those
// that are refused. The error is a reason that no place has: an alias outside of the batch would reach too many.
func (d *Directory) CheckAliases(ctx context.Context, b AliasBatch, refused func(i int, err error)) (drafts []*Alias, err error) {
	err = d.makeAliases(ctx, func() ([]AliasChange, error) {
		drafts, _, err = d.draft(b, func(i int, err error) error {
			refused(i, err)
			return nil
		})
		return nil, err
	})
	return drafts, err
}

// draft makes the aliases of a batch. Without an error from refused, those that are refused are left out.
func (d *Directory) draft(b AliasBatch, refused func(i int, err error) error) (drafts []*Alias, changes []AliasChange, err error) {
	drafts = make([]*Alias, len(b.Add)+len(b.Update))
	fresh := make(map[xmpp.JID]*Alias, len(b.Add))
	for i := range b.Add {
		n := &b.Add[i]
		a := &Alias{
			ID: d.nextID + ID(len(fresh)), Domain: n.Domain, Local: n.Local, Name: n.Name, Description: n.Description, Kind: n.Kind,
			Everyone: n.Everyone, Settings: n.Settings, Created: d.now(),
		}
		err := d.admitAlias(a)
		if err == nil && fresh[a.JID] != nil {
			err = refuse(ErrExists, "%s is in the list twice", a.JID)
		}
		if err == nil {
			drafts[i], fresh[a.JID] = a, a
		} else if err := refused(i, err); err != nil {
			return nil, nil, err
		}
	}
	places := make([]int, 0, len(drafts)) // of changes
	for i := range drafts {
		var c AliasChange
		var err error
		if at := i - len(b.Add); at >= 0 {
			c, err = d.reviseAlias(&b.Update[at], fresh)
		} else if c.New = drafts[i]; c.New != nil {
			err = d.enter(c.New, b.Add[i].Members, b.Add[i].Lenient, fresh)
		}
		if drafts[i] = c.New; err != nil {
			drafts[i] = nil
			if err := refused(i, err); err != nil {
				return nil, nil, err
			}
		} else if c.New != c.Old {
			changes, places = append(changes, c), append(places, i)
		}
	}
	next := newNextAliases(changes)
	kept := changes[:0]
	for i, c := range changes {
		err := d.overflow(next, c.New)
		if err == nil {
			kept = append(kept, c)
			continue
		}
		if err := refused(places[i], err); err != nil {
			return nil, nil, err
		}
		drafts[places[i]] = nil
		if next.ids[c.New.ID] = c.Old; c.Old == nil {
			delete(next.jids, c.New.JID)
		}
	}
	return drafts, kept, d.overflows(kept)
}

// reviseAlias finds what becomes of one alias: Old and New are the same one if it does not change.
func (d *Directory) reviseAlias(u *AliasUpdate, fresh map[xmpp.JID]*Alias) (AliasChange, error) {
	old := d.AliasByID(u.ID)
	if old == nil {
		return AliasChange{}, refuse(ErrNotFound, "there is no alias with the id %d", u.ID)
	}
	a := *old
	if u.Set != nil {
		if err := u.Set(&a); err != nil {
			return AliasChange{}, err
		}
	}
	a.ID, a.Domain, a.Created, a.Deleted = old.ID, old.Domain, old.Created, old.Deleted
	a.Former, a.Renamed = old.Former, old.Renamed
	a.Members = d.alive(old.Members)
	if err := d.admitAlias(&a); err != nil {
		return AliasChange{}, err
	}
	if err := d.change(&a, u.Membership, fresh); err != nil {
		return AliasChange{}, err
	}
	if a.Local != old.Local {
		if fresh[a.JID] != nil {
			return AliasChange{}, refuse(ErrExists, "%s is in the list twice", a.JID)
		}
		a.Former, a.Renamed, fresh[a.JID] = old.Local, d.now(), &a
	}
	if a.same(old) { // most of a list that is imported every night
		return AliasChange{old, old}, nil
	}
	return AliasChange{old, &a}, nil
}

// same reports whether a is as old is.
func (a *Alias) same(old *Alias) bool {
	x, y := *a, *old
	x.Members, y.Members = nil, nil
	return slices.Equal(a.Members, old.Members) && reflect.DeepEqual(x, y)
}
