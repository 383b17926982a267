package aliasbridge

import (
	"iter"
	"strings"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/picture"
)

func (r rooms) Room(address xmpp.JID) *muc.Given {
	domain, ok := strings.CutPrefix(address.Domain(), muc.Service(""))
	if !ok || address.Local() == "" {
		return nil
	}
	j, err := xmpp.NewJID(address.Local(), domain, "")
	if err != nil {
		return nil
	}
	a := r.b.dir.Alias(j)
	if a == nil || a.Kind != directory.RoomAlias {
		return nil
	}
	return given(a)
}

func given(a *directory.Alias) *muc.Given {
	j, ok := roomOf(a)
	if !ok {
		return nil
	}
	return &muc.Given{
		ID: a.ID, JID: j, Name: a.Shown(), Description: a.Description,
		AnySubject: a.Settings.Get("subject") == directory.SubjectMembers, Avatar: a.Avatar.Hash,
	}
}

func (r rooms) Rooms(service string) iter.Seq[*muc.Given] {
	return func(yield func(*muc.Given) bool) {
		domain, ok := strings.CutPrefix(service, muc.Service(""))
		m := r.b.dir.Domain(domain)
		if !ok || m == nil {
			return
		}
		all, _ := m.Aliases()
		for _, a := range all {
			if a.Kind != directory.RoomAlias {
				continue
			}
			if g := given(a); g != nil && !yield(g) {
				return
			}
		}
	}
}

func (r rooms) reach(room directory.ID) *directory.Reach {
	if a := r.b.dir.AliasByID(room); a == nil || a.Kind != directory.RoomAlias {
		return nil
	}
	return r.b.dir.Reach(room)
}

func (r rooms) Member(room directory.ID, who xmpp.JID) (muc.Person, bool) {
	reach := r.reach(room)
	if reach == nil {
		return muc.Person{}, false
	}
	if u := r.b.dir.User(who); u != nil {
		m, ok := reach.Member(u.ID)
		return person(reach, m), ok
	}
	for _, f := range reach.Foreign {
		if f.JID == who.Bare() {
			return stranger(reach, f), true
		}
	}
	return muc.Person{}, false
}

func (r rooms) Members(room directory.ID) iter.Seq[muc.Person] {
	return func(yield func(muc.Person) bool) {
		reach := r.reach(room)
		if reach == nil {
			return
		}
		for _, m := range reach.Users {
			if !yield(person(reach, m)) {
				return
			}
		}
		for _, f := range reach.Foreign {
			if !yield(stranger(reach, f)) {
				return
			}
		}
	}
}

func (r rooms) Shown(room directory.ID, who xmpp.JID) bool {
	a := r.b.dir.AliasByID(room)
	return a != nil && a.Settings.Get("visible") != directory.VisibleHidden && r.b.MaySee(a, who)
}

func (r rooms) Picture(room directory.ID) (picture.Picture, error) {
	a := r.b.dir.AliasByID(room)
	if a == nil {
		return picture.Picture{}, nil
	}
	p, ok, err := r.b.picture(a)
	if !ok {
		return picture.Picture{}, err
	}
	return p, err
}

func person(r *directory.Reach, m directory.Reached) muc.Person {
	if m.User == nil {
		return muc.Person{}
	}
	p := muc.Person{JID: m.User.JID, Nick: xmpp.UnescapeLocal(m.User.Local), Affiliation: affiliation(m.Moderator)}
	if r.Alias.Settings.Get("history") == directory.HistorySinceJoin {
		p.Since = m.Since
	}
	return p
}

// stranger is a member of another server: the nick is the whole address, which no user's can be.
func stranger(r *directory.Reach, f directory.ReachedForeign) muc.Person {
	p := muc.Person{JID: f.JID, Nick: f.JID.String(), Affiliation: affiliation(f.Moderator)}
	if r.Alias.Settings.Get("history") == directory.HistorySinceJoin {
		p.Since = f.Since
	}
	return p
}

func affiliation(moderator bool) muc.Affiliation {
	if moderator {
		return muc.Admin
	}
	return muc.Member
}
