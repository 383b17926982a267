package archive

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store/storetest"
)

// told is a message as the model has it.
type told struct {
	id     uint64
	typ    xmpp.Type
	stanza []byte
	rows   map[directory.ID]Row // of those who have it still
	tomb   uint64
}

// history is a history that keeps everything in a list.
type history struct {
	*house
	random *rand.Rand
	all    []*told
}

var (
	modelOwners = []directory.ID{romeo, juliet, alice, 301, 1 << 40}
	modelOthers = []xmpp.JID{{}, jids[romeo], jids[juliet], xmpp.MustJID("juliet@example.com/balcony"), xmpp.MustJID("juliet@example.co"),
		xmpp.MustJID("example.com"), xmpp.MustJID("example.com/x")}
	modelEdits = []*xmpp.Edit{nil, nil, {Label: "Bob"}, {From: jids[alice], Add: []byte("<x xmlns='x'/>")}}
)

// choose chooses one of several.
func choose[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// message makes one that some have; to one of them it may go twice.
func (m *history) message() *Message {
	r := m.random
	out := &Message{Type: choose(r, xmpp.TypeChat, xmpp.TypeNormal, xmpp.TypeGroupchat), Stanza: fmt.Appendf(nil, "<message id='%d'/>", r.Uint64())}
	for range choose(r, 1, 2, 2, 3, 4, 40) {
		out.Rows = append(out.Rows, Row{Owner: choose(r, modelOwners...), With: choose(r, modelOthers...), Incoming: r.IntN(2) == 0,
			Edit: choose(r, modelEdits...), To: choose(r, xmpp.JID{}, jids[alice], jids[romeo])})
	}
	return out
}

func (m *history) keepSome() {
	// A block is full after 64; a few times its edge is met exactly.
	batch := make([]*Message, choose(m.random, 1, 1, 2, 3, 10, blockIDs-1, blockIDs, blockIDs+1))
	alike := m.random.IntN(2) == 0
	for i := range batch {
		batch[i] = m.message()
		if alike {
			batch[i].Rows = batch[0].Rows
		}
	}
	m.keep(batch...)
	m.kept(batch)
	m.clock.Pass(choose(m.random, 0, time.Microsecond, time.Hour))
	if m.random.IntN(40) == 0 {
		m.clock.Jump(choose[time.Duration](m.random, -1, 1) * 365 * 24 * time.Hour)
	}
}

// kept notes what was kept.
func (m *history) kept(batch []*Message) {
	for _, k := range batch {
		t := &told{id: k.ID, typ: k.Type, stanza: k.Stanza, rows: map[directory.ID]Row{}}
		for _, row := range k.Rows {
			if _, there := t.rows[row.Owner]; !there {
				t.rows[row.Owner] = row
			}
		}
		m.all = append(m.all, t)
	}
}

// openAgain opens the history anew, or what there is of it after a crash.
func (m *history) openAgain() {
	now := m.clock.Now()
	if m.random.IntN(2) == 0 {
		m.house = m.reopen()
	} else {
		dir := m.t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(m.dir)); err != nil {
			m.t.Fatal(err)
		}
		m.index.Close()
		m.house = open(m.t, dir)
	}
	m.clock.Jump(now.Sub(m.clock.Now()))
}

// cutShort has the disk be full in the middle of something, and perhaps the server crash then, before there is room again.
func (m *history) cutShort() {
	ctx := m.t.Context()
	m.failing.FailAfter(m.random.IntN(4), storetest.ErrFull)
	again := func() {
		m.failing.Fail(nil)
		m.check()
		if m.random.IntN(2) == 0 {
			m.openAgain()
			m.check()
		}
	}
	switch m.random.IntN(4) {
	case 0:
		batch := []*Message{m.message(), m.message()}
		err := m.Keep(ctx, batch, Also{})
		if again(); err == nil {
			m.kept(batch)
		}
	case 1:
		_, _ = m.settle(ctx)
		again()
	case 2:
		o := choose(m.random, modelOwners...)
		_, err := m.Purge(ctx, o)
		if again(); err != nil {
			if _, err = m.Purge(ctx, o); err != nil {
				m.t.Error(err)
			}
		}
		m.forget(o)
	default:
		m.clock.Pass(10 * 24 * time.Hour)
		old := len(m.all) - len(m.since(TimeID(m.clock.Now().Add(-MinRetention))))
		n, err := m.Retain(ctx, MinRetention)
		again()
		if err != nil {
			var more int
			if more, err = m.Retain(ctx, MinRetention); err != nil || n+more != old {
				m.t.Errorf("removed %d and %d, %v; want %d", n, more, err, old)
			}
		}
		m.all = m.all[old:]
	}
}

func (m *history) retain() {
	m.clock.Pass(choose(m.random, 0, time.Hour, 10*24*time.Hour))
	cut := TimeID(m.clock.Now().Add(-MinRetention))
	old := len(m.all) - len(m.since(cut))
	if n, err := m.Retain(m.t.Context(), MinRetention); n != old || err != nil {
		m.t.Errorf("removed %d, %v; want %d", n, err, old)
	}
	m.all = m.all[old:]
}

// since returns the messages from an id on.
func (m *history) since(id uint64) []*told {
	n, _ := slices.BinarySearchFunc(m.all, id, func(t *told, id uint64) int {
		if t.id < id {
			return -1
		}
		return 1
	})
	return m.all[n:]
}

func (m *history) purge(o directory.ID) {
	want := len(m.of(o, xmpp.JID{}, 0))
	if n, err := m.Purge(m.t.Context(), o); n != want || err != nil {
		m.t.Errorf("removed %d of %d, %v; want %d", n, o, err, want)
	}
	m.forget(o)
}

func (m *history) forget(o directory.ID) {
	for _, t := range m.all {
		delete(t.rows, o)
	}
	m.all = slices.DeleteFunc(m.all, func(t *told) bool { return len(t.rows) == 0 })
}

func (m *history) retract() {
	if len(m.all) == 0 {
		return
	}
	t := choose(m.random, m.all...)
	last := m.all[len(m.all)-1].id
	if t.tomb == 0 {
		t.tomb = last
	}
	m.entomb(t.id, Tombstone{ID: last, By: jids[romeo], Inside: []byte("<x/>")})
}

// of returns what an owner has with somebody, from an id on.
func (m *history) of(o directory.ID, with xmpp.JID, from uint64) (found []*told) {
	for _, t := range m.since(from) {
		if row, ok := t.rows[o]; ok && (with.IsZero() || row.With == with || with.IsBare() && row.With.Bare() == with) {
			found = append(found, t)
		}
	}
	return found
}

func (m *history) step() {
	switch m.random.IntN(22) {
	case 0, 1:
		if _, err := m.settle(m.t.Context()); err != nil {
			m.t.Fatal(err)
		}
	case 2:
		m.settleSome()
	case 3:
		m.settleSome()
		m.openAgain()
	case 4:
		m.openAgain()
	case 5, 6:
		m.retain()
	case 7:
		m.purge(choose(m.random, modelOwners...))
	case 8:
		m.retract()
	case 9, 10:
		m.cutShort()
	default:
		m.keepSome()
	}
}

// pages reads what a query finds in pages of a size, in one direction, and holds it against what there should be.
func (m *history) pages(q Query, want []*told) {
	q.Max = choose(m.random, 7, 50, blockIDs, 250)
	backward := m.random.IntN(2) == 0
	left := slices.Clone(want)
	for q.Last = backward; ; {
		var got []*told
		r, err := m.Page(m.t.Context(), q, func(it *Item) error { got = append(got, m.read(it)); return nil })
		n := min(q.Max, len(left))
		part, index := left[:n], len(want)-len(left)
		if backward {
			part, index = left[len(left)-n:], len(left)-n
		}
		if n == 0 {
			index = -1
		}
		if err != nil || !slices.EqualFunc(got, part, seenAlike(q.Owner)) || r.Count != len(want) || r.Index != index || r.Complete != (n == len(left)) {
			m.t.Fatalf("%+v: %+v, %v\nhas %v\nnot %v of %d from %d on", q, r, err, got, part, len(want), index)
		}
		if backward {
			left = left[:len(left)-n]
			q.Before, q.Last = r.First, false
		} else {
			left = left[n:]
			q.After = r.Last
		}
		if r.Complete {
			break
		}
	}
	if len(want) > 0 {
		i := m.random.IntN(len(want))
		ids, r := m.page(Query{Owner: q.Owner, With: q.With, HasIndex: true, Index: i, Max: 3})
		if len(ids) != min(3, len(want)-i) || ids[0] != want[i].id || r.Index != i || r.Count != len(want) {
			m.t.Fatalf("%+v from %d on: %v, %+v, not %d of %d", q, i, ids, r, want[i].id, len(want))
		}
	}
}

// seenAlike compares what an owner sees of messages.
func seenAlike(o directory.ID) func(x, y *told) bool {
	return func(x, y *told) bool {
		a, b := x.rows[o], y.rows[o]
		return x.id == y.id && x.typ == y.typ && x.tomb == y.tomb && bytes.Equal(x.stanza, y.stanza) &&
			a.With == b.With && a.Incoming == b.Incoming && seenBy(a) == seenBy(b)
	}
}

// seenBy writes down how an owner sees a message.
func seenBy(r Row) string {
	var e xmpp.Edit
	if r.Edit != nil {
		if e = *r.Edit; !r.To.IsZero() {
			e.To = r.To
		}
	}
	return fmt.Sprintf("%+v", e)
}

// read makes of an item what the model has of it.
func (m *history) read(it *Item) *told {
	t := &told{id: it.ID, typ: it.Type, stanza: it.Stanza, rows: map[directory.ID]Row{}}
	for _, o := range modelOwners {
		t.rows[o] = Row{With: it.With, Incoming: it.Incoming, Edit: &it.Edit}
	}
	if it.Tombstone != nil {
		t.tomb = it.Tombstone.ID
	}
	return t
}

func (t *told) String() string { return fmt.Sprint(t.id) }

// compare holds the whole history against the model.
func (m *history) compare() {
	u, err := m.Audit(m.t.Context(), "nurse", "test", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, o := range modelOwners {
		with := map[string][]*told{}
		all := m.of(o, xmpp.JID{}, 0)
		for _, t := range all {
			if peer := t.rows[o].With.Bare().String(); peer != "" {
				with[peer] = append(with[peer], t)
			}
		}
		m.pages(Query{Owner: o}, all)
		for _, peer := range modelOthers[1:] {
			m.pages(Query{Owner: o, With: peer}, m.of(o, peer, 0))
		}
		first, last, err := m.Ends(m.t.Context(), o)
		if len(all) == 0 && (first != 0 || last != 0) || len(all) > 0 && (first != all[0].id || last != all[len(all)-1].id) || err != nil {
			m.t.Errorf("%d goes from %d to %d, not %v; %v", o, first, last, all, err)
		}
		m.spool(o)
		if m.random.IntN(4) > 0 {
			continue // that settles
		}
		peers := slices.Sorted(maps.Keys(with))
		err = u.Conversations(m.t.Context(), o, func(c Conversation) error {
			if len(peers) == 0 || peers[0] != c.With.String() {
				return fmt.Errorf("with %s, not one of %v", c.With, peers)
			}
			is := with[peers[0]]
			if peers = peers[1:]; c.Messages != len(is) || TimeID(c.First) != is[0].id || TimeID(c.Last) != is[len(is)-1].id {
				return fmt.Errorf("%+v is not %v", c, is)
			}
			return nil
		})
		if err != nil || len(peers) > 0 {
			m.t.Errorf("%d: %v; %v are left", o, err, peers)
		}
	}
	if n := records(m.house, spaceBody); n != len(m.all) {
		m.t.Errorf("%d messages are kept, not %d", n, len(m.all))
	}
	m.check()
}

// spool compares what waits for an owner behind some message.
func (m *history) spool(o directory.ID) {
	after := uint64(0)
	if len(m.all) > 0 {
		after = choose(m.random, m.all...).id
	}
	end := after
	var want []*told
	for _, t := range m.of(o, xmpp.JID{}, after+1) {
		if end = t.id; t.rows[o].Incoming && t.typ != xmpp.TypeGroupchat {
			want = append(want, t)
		}
	}
	var got []*told
	last, err := m.Spool(m.t.Context(), o, after, func(it *Item) error { got = append(got, m.read(it)); return nil })
	if err != nil || last != end || !slices.EqualFunc(got, want, seenAlike(o)) {
		m.t.Errorf("%d waits behind %d up to %d, %v: %v\nnot up to %d: %v", o, after, last, err, got, end, want)
	}
}

// FuzzHistory does whatever may be done with a history, and compares it with one that does the same simply.
func FuzzHistory(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m := &history{house: open(t, t.TempDir()), random: rand.New(rand.NewPCG(seed, 1))}
		for i := range 70 {
			m.step()
			if i%10 == 9 || m.random.IntN(10) == 0 {
				m.compare()
			}
			if t.Failed() {
				t.Fatalf("after %d steps", i+1)
			}
		}
	})
}
