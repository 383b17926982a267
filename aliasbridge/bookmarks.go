package aliasbridge

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Bookmarks is where users keep the rooms that their clients join (XEP-0402); package pep has them.
type Bookmarks interface {
	// Edit changes items of a node of a user, and what fn writes to tx, in one transaction.
	Edit(ctx context.Context, user directory.ID, node string, fn func(tx store.Tx, item func(id string) ([]byte, error)) (map[string][]byte, error)) error
	// Hears reports whether the client of a session is told of what happens in a node of its user.
	Hears(s *router.Session, node string) bool
}

// The members of a room have a bookmark of it, by which it appears in their clients by itself. What is compared is what
// the directory says now with what was written last, member by member, so it does not matter how a change came about, and
// one that was missed is made up for at the next start. What the user did with his bookmark since is his: it is not
// written again if he deleted it, and left alone if he turned autojoin off, but for following the room to another address.

// spaceMarks holds what was last written as a user's bookmark, under alias and user, 8 bytes each: a mark in JSON. It is
// there while the user is a member, whether he has kept the bookmark or not.
const spaceMarks store.Space = "aliasbridge.bookmarks"

const (
	marksPerTurn = 64                     // bookmarks that are looked at before others have their turn at the store
	markPause    = 250 * time.Millisecond // between two turns
	markRetry    = time.Minute            // after the store failed
)

// legacyMarks is the node of XEP-0048.
const legacyMarks = "storage:bookmarks"

// mark is what the bridge says in a bookmark.
type mark struct {
	Room string `json:"room"`
	Name string `json:"name"`
	Nick string `json:"nick"`
}

// marks are the rooms whose members' bookmarks are to be looked at, in the order in which that came about.
type marks struct {
	mu      sync.Mutex
	queue   []directory.ID
	queued  map[directory.ID]bool
	running bool
	stopped bool

	work  sync.Mutex // held during a turn; guards what follows
	alias directory.ID
	left  []directory.ID // users of that alias
}

// Bookmarking is the part of the Bridge that begins with the server when all that it needs has: its place in the table is
// behind the feature that has the bookmarks.
func (b *Bridge) Bookmarking() feature.Feature {
	return feature.Feature{
		Name:  "bookmarks of aliases",
		Start: func(*feature.Host) error { return b.markAll(context.Background()) },
		Stop: func() {
			b.marks.mu.Lock()
			b.marks.stopped = true
			b.marks.mu.Unlock()
			b.marks.work.Lock()
			defer b.marks.work.Unlock()
		},
	}
}

func markKey(alias, user directory.ID) []byte { return guestKey(alias, user) }

// markAll looks at all there is: rooms that are none any more first.
func (b *Bridge) markAll(ctx context.Context) error {
	var from []byte
	err := b.host.State.View(ctx, func(tx store.Tx) error {
		for {
			var alias directory.ID
			for k := range tx.Scan(spaceMarks, store.Range{From: from, Limit: 1}) {
				alias = directory.ID(binary.BigEndian.Uint64(k))
			}
			if alias == 0 {
				return nil
			}
			if b.room(alias) == nil {
				b.mark(alias)
			}
			from = markKey(alias+1, 0)
		}
	})
	for _, m := range b.dir.Domains() {
		b.markDomain(m)
	}
	return err
}

func (b *Bridge) markDomain(m *directory.Domain) {
	all, _ := m.Aliases()
	for _, a := range all {
		if a.Kind == directory.RoomAlias {
			b.mark(a.ID)
		}
	}
}

// room returns an alias that is a room.
func (b *Bridge) room(id directory.ID) *directory.Alias {
	if a := b.dir.AliasByID(id); a != nil && a.Kind == directory.RoomAlias {
		return a
	}
	return nil
}

// mark has the bookmarks of an alias looked at soon.
func (b *Bridge) mark(alias directory.ID) {
	m := &b.marks
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.bookmarks == nil || m.stopped || m.queued[alias] {
		return
	}
	if m.queued == nil {
		m.queued = map[directory.ID]bool{}
	}
	m.queued[alias] = true
	m.queue = append(m.queue, alias)
	if !m.running {
		m.running = true
		b.host.Clock.AfterFunc(0, b.turn)
	}
}

// next takes an alias from the queue; not ok: there is none, or the server stops.
func (m *marks) next() (alias directory.ID, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running = len(m.queue) > 0 && !m.stopped; !m.running {
		return 0, false
	}
	alias, m.queue = m.queue[0], m.queue[1:]
	delete(m.queued, alias)
	return alias, true
}

func (m *marks) isStopped() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stopped
}

// turn looks at some bookmarks. One alias comes after the other: an address that one leaves and another takes changes
// hands in that order.
func (b *Bridge) turn() {
	m := &b.marks
	m.work.Lock()
	defer m.work.Unlock()
	for n := 0; n < marksPerTurn; {
		if len(m.left) == 0 {
			var ok bool
			if m.alias, ok = m.next(); !ok {
				return
			}
			var err error
			if m.left, err = b.unsettled(m.alias); err != nil {
				b.markAgain(m.alias, err)
			}
			continue
		}
		if m.isStopped() {
			return
		}
		k := min(len(m.left), marksPerTurn-n)
		b.settleAll(m.alias, m.left[:k])
		m.left, n = m.left[k:], n+k
	}
	b.host.Clock.AfterFunc(markPause, b.turn)
}

// markAgain tries once more what the store could not do. What a store was closed upon is done at the next start.
func (b *Bridge) markAgain(alias directory.ID, err error) {
	if errors.Is(err, store.ErrClosed) {
		return
	}
	b.host.Log.Error("bookmarks of a room were not written; this is tried again", "alias", uint64(alias), "error", err)
	b.host.Clock.AfterFunc(markRetry, func() { b.mark(alias) })
}

// unsettled returns the users whose bookmark is not, or was not when it was written, as it has to be.
func (b *Bridge) unsettled(alias directory.ID) (users []directory.ID, err error) {
	room := b.room(alias)
	written := map[directory.ID]mark{}
	err = b.host.State.View(context.Background(), func(tx store.Tx) error {
		for k, v := range tx.Scan(spaceMarks, store.Range{Prefix: markKey(alias, 0)[:8]}) {
			was, err := decodeMark(v)
			if err != nil {
				return err
			}
			written[directory.ID(binary.BigEndian.Uint64(k[8:]))] = *was
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r := b.dir.Reach(alias); room != nil && r != nil {
		for _, m := range r.Users {
			want := markOf(r.Alias, m.User)
			if was, ok := written[m.User.ID]; want != nil && (!ok || was != *want) {
				users = append(users, m.User.ID)
			}
			delete(written, m.User.ID)
		}
	}
	for id := range written {
		if !b.rests(room, id) {
			users = append(users, id)
		}
	}
	return users, nil
}

// rests reports whether a bookmark stays as it is because its user cannot log in: what he is in the room shows again when
// he can.
func (b *Bridge) rests(room *directory.Alias, user directory.ID) bool {
	u := b.dir.ByID(user)
	return room != nil && u != nil && u.Disabled
}

func markOf(a *directory.Alias, u *directory.User) *mark {
	j, ok := roomOf(a)
	if !ok {
		return nil
	}
	return &mark{j.String(), a.Shown(), xmpp.UnescapeLocal(u.Local)}
}

func (b *Bridge) settleAll(alias directory.ID, users []directory.ID) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, u := range users {
		wg.Go(func() {
			err := b.settle(alias, u)
			var refused *xmpp.Error
			switch {
			case err == nil:
			case errors.As(err, &refused): // he has too much of something
				b.host.Log.Info("a bookmark of a room was not written", "alias", uint64(alias), "user", uint64(u), "error", err)
			default:
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil && !b.marks.isStopped() {
		b.markAgain(alias, failed)
	}
}

// settle makes one bookmark what it has to be.
func (b *Bridge) settle(alias, user directory.ID) error {
	ctx, key := context.Background(), markKey(alias, user)
	forget := func(tx store.Tx) error { return tx.Delete(spaceMarks, key) }
	u := b.dir.ByID(user)
	if u == nil { // the bookmarks went with the user
		return b.host.State.Update(ctx, forget)
	}
	room := b.room(alias)
	if b.rests(room, user) {
		return nil
	}
	var want *mark
	optedOut := false
	if r := b.dir.Reach(alias); room != nil && r != nil {
		if _, member := r.Member(user); member {
			want = markOf(r.Alias, u)
			optedOut = b.optedOut(r.Alias, user)
		}
	}
	err := b.bookmarks.Edit(ctx, user, xmpp.NSBookmark2, func(tx store.Tx, item func(string) ([]byte, error)) (map[string][]byte, error) {
		var was *mark
		if v := tx.Get(spaceMarks, key); v != nil {
			var err error
			if was, err = decodeMark(v); err != nil {
				return nil, err
			}
		}
		if was == nil && optedOut {
			return nil, nil
		}
		items, now, err := rewrite(was, want, item)
		if err != nil {
			return nil, err
		}
		if was != nil && b.taken(tx, alias, user, was.Room) {
			delete(items, was.Room)
		}
		switch {
		case now != nil:
			v, err := json.Marshal(now)
			if err != nil {
				return nil, err
			}
			return items, tx.Put(spaceMarks, key, v)
		case was != nil:
			return items, forget(tx)
		}
		return items, nil
	})
	if b.dir.ByID(user) == nil { // deleted meanwhile
		return b.host.State.Update(ctx, forget)
	}
	return err
}

// optedOut reports whether a user has blocked an alias, or its room.
func (b *Bridge) optedOut(a *directory.Alias, user directory.ID) bool {
	j, ok := roomOf(a)
	return b.opts.Blocks(user, a.JID) || ok && b.opts.Blocks(user, j)
}

// taken reports whether a bookmark is another room's by now.
func (b *Bridge) taken(tx store.Tx, alias, user directory.ID, address string) bool {
	j, err := xmpp.ParseJID(address)
	if err != nil {
		return false
	}
	g := b.Rooms().Room(j)
	if g == nil || g.ID == alias {
		return false
	}
	v := tx.Get(spaceMarks, markKey(g.ID, user))
	if v == nil {
		return false
	}
	other, err := decodeMark(v)
	return err == nil && other.Room == address
}

func decodeMark(v []byte) (*mark, error) {
	m := new(mark)
	return m, json.Unmarshal(v, m)
}

// rewrite finds what is to become of a user's bookmarks so that what was written is what is wanted; either may be nil. now
// is what counts as written from then on.
func rewrite(was, want *mark, item func(id string) ([]byte, error)) (items map[string][]byte, now *mark, err error) {
	if want == nil {
		if was == nil {
			return nil, nil, nil
		}
		return map[string][]byte{was.Room: nil}, nil, nil
	}
	if was == nil {
		own, err := item(want.Room)
		if err != nil || own != nil { // he has made one himself
			return nil, want, err
		}
		return map[string][]byte{want.Room: want.append(nil)}, want, nil
	}
	old, err := item(was.Room)
	if err != nil || old == nil { // he has deleted it
		return nil, want, err
	}
	n, err := xmpp.ParseNode(old)
	if err != nil {
		return nil, nil, err
	}
	moved := was.Room != want.Room
	if !moved && !joins(n) {
		return nil, was, nil
	}
	changed := want.amend(n, was)
	if !moved {
		if changed {
			items = map[string][]byte{want.Room: n.Append(nil)}
		}
		return items, want, nil
	}
	items = map[string][]byte{was.Room: nil}
	own, err := item(want.Room)
	if err != nil {
		return nil, nil, err
	}
	if own == nil {
		items[want.Room] = n.Append(nil)
	}
	return items, want, nil
}

// joins reports whether clients join by this bookmark (XEP-0402 §3.1).
func joins(n *xmpp.Node) bool {
	v := strings.TrimSpace(n.Attr("autojoin"))
	return v == "true" || v == "1"
}

// append appends a new bookmark.
func (m *mark) append(dst []byte) []byte {
	dst = xmpp.AppendAttr(append(dst, "<conference xmlns='"+xmpp.NSBookmark2+"'"...), "name", m.Name)
	dst = xmpp.AppendText(append(dst, " autojoin='true'><nick>"...), m.Nick)
	return append(dst, "</nick></conference>"...)
}

// amend puts into a bookmark what is new, where it says what was written before: what the user has put there stays, and
// so do extensions.
func (m *mark) amend(n *xmpp.Node, was *mark) (changed bool) {
	if n.Attr("name") == was.Name && m.Name != was.Name {
		n.SetAttr("name", m.Name)
		changed = true
	}
	if nick := n.Child("", "nick"); nick != nil && nick.Text == was.Nick && m.Nick != was.Nick {
		nick.Text = m.Nick
		changed = true
	}
	return changed
}
