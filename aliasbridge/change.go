package aliasbridge

import (
	"context"
	"slices"
	"sync"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// aliasesChanged makes what changed in the directory true everywhere: who goes out of sight goes offline first, who comes
// into sight is in the roster first.
func (b *Bridge) aliasesChanged(changes []directory.AliasChange) {
	domains := map[string]bool{}
	for _, c := range changes {
		if c.Old != nil {
			domains[c.Old.Domain] = true
		} else {
			domains[c.New.Domain] = true
		}
	}
	for name := range domains {
		b.hide(name)
		b.push(name)
		b.reveal(name)
		b.updateRooms(name)
	}
	for _, c := range changes {
		if c.New == nil && c.Old.Kind == directory.RoomAlias && b.rooms != nil {
			if err := b.rooms.Erase(context.Background(), c.Old.ID); err != nil {
				b.host.Log.Error("a room was deleted but not all of it erased", "room", c.Old.JID.String(), "error", err)
			}
		}
	}
}

// atOnce is of how many aliases clients are told before it leaves: with thousands of new ones, what waits for anybody is no
// longer than that, and goes out in large pieces.
const atOnce = 64

// push pushes what is new to the rosters of a domain.
func (b *Bridge) push(domain string) {
	for chunk := range slices.Chunk(b.books[domain].difference(b), atOnce) {
		var out router.Batch
		for _, ch := range chunk {
			b.books[domain].write(ch)
			b.roster.Changed(&out, domain, ch)
		}
		out.Flush()
	}
}

// inTurn calls fn for some aliases of a domain at a time, with the lock held and with those who hear of them.
func (b *Bridge) inTurn(domain string, fn func(out *router.Batch, all audience, a *directory.Alias)) {
	aliases, _ := b.dir.Domain(domain).Aliases()
	some := func(out *router.Batch, chunk []*directory.Alias) {
		b.mu.Lock()
		defer b.mu.Unlock()
		all := b.audience(domain)
		for _, a := range chunk {
			fn(out, all, a)
		}
	}
	for chunk := range slices.Chunk(aliases, atOnce) {
		var out router.Batch
		some(&out, chunk)
		out.Flush()
	}
}

// audience is who of a domain hears of aliases, once somebody has to: most look at aliases that nothing has happened to.
type audience func() []listener

type listener struct {
	account *router.Account
	user    *directory.User
}

func (b *Bridge) audience(domain string) audience {
	return sync.OnceValue(func() (all []listener) {
		for _, account := range b.host.Router.Domain(domain).Accounts() {
			if u := b.dir.ByID(account.User); u != nil {
				all = append(all, listener{account, u})
			}
		}
		return all
	})
}

// hide shows aliases as offline that are gone, at their old addresses, or not seen any more.
func (b *Bridge) hide(domain string) {
	var out router.Batch
	defer out.Flush()
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.audience(domain)
	for id, s := range b.shown {
		if s.view.alias.Domain != domain {
			continue
		}
		a := b.dir.AliasByID(id)
		if a == nil || a.Kind != directory.ContactAlias {
			b.replace(&out, all, s, nil)
			continue
		}
		now := b.look(a, s.view)
		if now == s.view || now.like(s.view) {
			continue
		}
		if now.alias.JID != s.view.alias.JID {
			b.replace(&out, all, s, nil)
			continue
		}
		// Those who lose sight of it hear that now; the others are told by reveal.
		for _, l := range all() {
			if s.to(l.user) != gone && !now.sees(l.user) {
				b.send(&out, l.account, s, gone)
			}
		}
	}
}

// reveal shows aliases to those who have them in sight now.
func (b *Bridge) reveal(domain string) {
	b.inTurn(domain, func(out *router.Batch, all audience, a *directory.Alias) {
		if a.Kind != directory.ContactAlias {
			return
		}
		old := b.shown[a.ID]
		if old != nil && old.view.alias == a && old.reach == b.dir.Reach(a.ID) {
			return
		}
		next := newShown(b, a)
		if old == nil {
			b.replace(out, all, nil, next)
			return
		}
		b.shown[a.ID] = next
		for _, l := range all() {
			if !next.view.sees(l.user) {
				continue
			}
			is := next.to(l.user)
			if is != old.to(l.user) || is != gone && a.Avatar != old.view.alias.Avatar {
				b.send(out, l.account, next, is)
			}
		}
	})
}

// userChanged follows people who come, go and change their names.
func (b *Bridge) userChanged(c directory.Change) {
	u := c.New
	if u == nil {
		u = c.Old
	}
	b.mu.Lock()
	b.touch(u.ID)
	b.mu.Unlock()
	b.updateRooms(u.Domain)
	if m := b.dir.Domain(u.Domain); m != nil && c.Old != nil && c.Old.Disabled && (c.New == nil || !c.New.Disabled) {
		b.markDomain(m) // what changed meanwhile passed him by
	}
}

// updateRooms tells the rooms of a domain what became of them, invites who is a member now and was not before, and has the
// members' bookmarks follow.
func (b *Bridge) updateRooms(domain string) {
	if b.rooms == nil {
		return
	}
	type step struct{ old, now *directory.Reach }
	var steps, rest []step
	b.mu.Lock()
	generation := b.dir.Generation()
	if b.listed[domain] == generation { // one of many changes that were made at once
		b.mu.Unlock()
		return
	}
	b.listed[domain] = generation
	for id, old := range b.lists {
		if old.Alias.Domain != domain {
			continue
		}
		a := b.dir.AliasByID(id)
		if a == nil || a.Kind != directory.RoomAlias {
			steps = append(steps, step{old, nil})
			delete(b.lists, id)
		}
	}
	all, _ := b.dir.Domain(domain).Aliases()
	for _, a := range all {
		if a.Kind != directory.RoomAlias {
			continue
		}
		old, now := b.lists[a.ID], b.dir.Reach(a.ID)
		if now == nil || old == now {
			continue
		}
		b.lists[a.ID] = now
		switch {
		case old != nil && old.Alias.JID != now.Alias.JID: // an address is left before another room takes it
			steps = append(steps, step{old, now})
		case old == nil || old.Alias != now.Alias || !sameRoom(old, now):
			rest = append(rest, step{old, now})
		}
	}
	b.mu.Unlock()
	for _, s := range append(steps, rest...) {
		b.updateRoom(s.old, s.now)
		if s.now != nil {
			b.mark(s.now.Alias.ID)
		} else {
			b.mark(s.old.Alias.ID)
		}
	}
}

// sameRoom reports whether a room has the same people of the same names.
func sameRoom(a, b *directory.Reach) bool {
	return slices.EqualFunc(a.Users, b.Users, func(x, y directory.Reached) bool {
		return x.User == y.User && x.Moderator == y.Moderator && x.Since == y.Since
	}) && slices.EqualFunc(a.Foreign, b.Foreign, func(x, y directory.ReachedForeign) bool {
		return x.JID == y.JID && x.Moderator == y.Moderator && x.Since == y.Since
	})
}

func (b *Bridge) updateRoom(old, now *directory.Reach) {
	if now == nil {
		if j, ok := roomOf(old.Alias); ok {
			b.rooms.Gone(j)
		}
		return
	}
	j, ok := roomOf(now.Alias)
	if !ok {
		return
	}
	invited := func(directory.ID) bool { return false }
	if old != nil && old.Alias.JID == now.Alias.JID {
		b.rooms.Changed(j)
		invited = func(id directory.ID) bool {
			_, was := old.Member(id)
			return was
		}
	} else if old != nil {
		if before, ok := roomOf(old.Alias); ok {
			b.rooms.Moved(before, j)
		}
	}
	var people []*directory.User
	for _, u := range now.Users {
		if !invited(u.User.ID) {
			people = append(people, u.User)
		}
	}
	b.invite(now.Alias, j, people)
}

// invite sends invitations (XEP-0249) to those who are there and whose clients would not hear of the bookmark. They are of
// this moment: no history has them, and whoever comes later finds the bookmark.
func (b *Bridge) invite(a *directory.Alias, room xmpp.JID, people []*directory.User) {
	var out router.Batch
	defer out.Flush()
	head := xmpp.AppendAttr([]byte("<message"), "from", room.String())
	body := xmpp.AppendAttr([]byte("><x xmlns='"+xmpp.NSConf+"'"), "jid", room.String())
	body = append(xmpp.AppendAttr(body, "reason", "You are a member of "+a.Shown()+"."), "/></message>"...)
	for _, u := range people {
		account := b.host.Router.Account(u.JID)
		if account == nil || b.optedOut(a, u.ID) {
			continue
		}
		for _, s := range account.Available(nil) {
			if b.hearsBookmarks(s) {
				continue
			}
			s.Send(&out, slices.Concat(head, xmpp.AppendAttr(nil, "to", s.JID().String()), body))
		}
	}
}

func (b *Bridge) hearsBookmarks(s *router.Session) bool {
	return b.bookmarks != nil && (b.bookmarks.Hears(s, xmpp.NSBookmark2) || b.bookmarks.Hears(s, legacyMarks))
}

// rooms is the Bridge as a muc.Source.
type rooms struct{ b *Bridge }

// Rooms returns the aliases that are rooms.
func (b *Bridge) Rooms() muc.Source { return rooms{b} }
