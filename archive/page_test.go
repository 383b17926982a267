package archive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// kept is what the model knows of a message in juliet's archive.
type kept struct {
	id   uint64
	with xmpp.JID
}

// fill keeps messages of several people with juliet, some at the same moment, and returns them in order.
func fill(h *house, random *rand.Rand, n int) (all []kept) {
	h.t.Helper()
	var peers []xmpp.JID
	for _, s := range []string{"romeo@example.com/a", "romeo@example.com/b", "romeo@example.com", "rome@example.com/a", "romeo@example.co",
		"juliet@example.com/x", "room@conference.example.com/romeo", "room@conference.example.com/nurse", "example.com"} {
		peers = append(peers, xmpp.MustJID(s))
	}
	for len(all) < n {
		var batch []*Message
		var with []xmpp.JID
		for range 1 + random.IntN(5) {
			w := peers[random.IntN(len(peers))]
			m := message(alice, juliet, fmt.Sprint(len(all)+len(batch)))
			m.Rows = []Row{{Owner: juliet, With: w, Incoming: random.IntN(2) == 0}, {Owner: juliet + 1, With: w}, {Owner: juliet - 1, With: w}}
			batch, with = append(batch, m), append(with, w)
		}
		for i, id := range h.keep(batch...) {
			all = append(all, kept{id, with[i]})
		}
		h.clock.Pass(time.Duration(random.IntN(3000)) * time.Microsecond)
	}
	return all
}

// model answers a query the slow way.
func model(all []kept, q Query) (ids []uint64, r Result) {
	var found []uint64
	for _, k := range all {
		switch {
		case q.With.IsFull() && k.with != q.With,
			q.With.IsBare() && k.with.Bare() != q.With,
			!q.Start.IsZero() && IDTime(k.id).Before(q.Start),
			!q.End.IsZero() && IDTime(k.id).After(q.End),
			q.AfterID != 0 && k.id <= q.AfterID,
			q.BeforeID != 0 && k.id >= q.BeforeID,
			q.IDs != nil && !slices.Contains(q.IDs, k.id):
			continue
		}
		found = append(found, k.id)
	}
	r = Result{Index: -1, Count: len(found)}
	page := slices.Clone(found)
	if q.After != 0 {
		page = slices.DeleteFunc(page, func(id uint64) bool { return id <= q.After })
	}
	if q.Before != 0 {
		page = slices.DeleteFunc(page, func(id uint64) bool { return id >= q.Before })
	}
	backward := q.Last || q.Before != 0
	r.Backward = backward
	if q.HasIndex && !backward && q.After == 0 {
		page = page[min(q.Index, len(page)):]
	}
	limit := q.Max
	if q.None {
		limit = 0
	} else if limit == 0 {
		limit = defaultPage
	}
	r.Complete = len(page) <= limit
	if limit == 0 {
		r.Complete = len(found) == 0
	}
	if len(page) > limit {
		if backward {
			page = page[len(page)-limit:]
		} else {
			page = page[:limit]
		}
	}
	if len(page) > 0 {
		r.First, r.Last = page[0], page[len(page)-1]
		r.Index = slices.Index(found, page[0])
	}
	if q.Flip {
		slices.Reverse(page)
	}
	return append([]uint64{}, page...), r
}

// TestPagesAgreeWithModel asks random queries, wherever the indices are.
func TestPagesAgreeWithModel(t *testing.T) {
	settle := func(h *house) {
		if _, err := h.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	states := map[string]func(h *house, fill func(n int)) *house{
		"noted":          func(h *house, fill func(int)) *house { fill(400); return h },
		"settled":        func(h *house, fill func(int)) *house { fill(400); settle(h); return h },
		"settled often":  func(h *house, fill func(int)) *house { fillings(fill, settle, h); settle(h); return h },
		"settled partly": func(h *house, fill func(int)) *house { fillings(fill, settle, h); return h },
		"recalled":       func(h *house, fill func(int)) *house { fillings(fill, settle, h); return h.reopen() },
		"cut short":      func(h *house, fill func(int)) *house { fill(300); h.settleSome(); fill(100); return h.reopen() },
		"settled after that": func(h *house, fill func(int)) *house {
			fill(300)
			h.settleSome()
			h = h.reopen()
			settle(h)
			return h
		},
	}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			h := open(t, t.TempDir())
			var all []kept
			h = state(h, func(n int) { all = append(all, fill(h, random, n)...) })
			h.check()
			agree(t, h, random, all)
		})
	}
}

// fillings settles after 1, 2, 3… messages.
func fillings(fill func(int), settle func(*house), h *house) {
	for n := 1; n < 28; n++ {
		fill(n)
		if n < 27 {
			settle(h)
		}
	}
}

// agree compares pages with what they are to be.
func agree(t *testing.T, h *house, random *rand.Rand, all []kept) {
	some := func() uint64 { return all[random.IntN(len(all))].id }
	moment := func() time.Time {
		return IDTime(some()).Add(time.Duration(random.IntN(5)-2) * time.Microsecond).Add(time.Duration(random.IntN(2)) * time.Nanosecond)
	}
	conditions := []func(*Query){
		func(q *Query) { q.With = all[random.IntN(len(all))].with },
		func(q *Query) { q.With = all[random.IntN(len(all))].with.Bare() },
		func(q *Query) { q.With = xmpp.MustJID("nobody@example.com") },
		func(q *Query) { q.Start = moment() },
		func(q *Query) { q.End = moment() },
		func(q *Query) { q.AfterID = some() },
		func(q *Query) { q.BeforeID = some() },
		func(q *Query) { q.IDs = []uint64{some(), some(), some(), some()} },
		func(q *Query) { q.Last = true },
		func(q *Query) { q.After = some() },
		func(q *Query) { q.Before = some(); q.Last = true },
		func(q *Query) { q.HasIndex, q.Index = true, random.IntN(450) },
		func(q *Query) { q.Flip = true },
		func(q *Query) { q.None = true },
	}
	for range 1000 {
		q := Query{Owner: juliet, Max: random.IntN(40)}
		for range random.IntN(5) {
			conditions[random.IntN(len(conditions))](&q)
		}
		ids, r := h.page(q)
		wantIDs, want := model(all, q)
		if !slices.Equal(ids, wantIDs) || r != want {
			t.Fatalf("%+v:\n got %v %+v\nwant %v %+v", q, ids, r, wantIDs, want)
		}
	}
}

// TestPagesMakeTheWhole goes through an archive page by page, both ways.
func TestPagesMakeTheWhole(t *testing.T) {
	h := open(t, t.TempDir())
	all := fill(h, rand.New(rand.NewPCG(3, 4)), 100)
	var want []uint64
	for _, k := range all {
		want = append(want, k.id)
	}
	var forward, backward []uint64
	for q := (Query{Owner: juliet, Max: 7}); ; {
		ids, r := h.page(q)
		forward = append(forward, ids...)
		if r.Complete {
			break
		}
		q.After = r.Last
	}
	for q := (Query{Owner: juliet, Max: 9, Last: true}); ; {
		ids, r := h.page(q)
		backward = append(ids, backward...)
		if r.Complete {
			break
		}
		q.Before = r.First
	}
	if !slices.Equal(forward, want) || !slices.Equal(backward, want) {
		t.Errorf("forward %v\nbackward %v\nwant %v", forward, backward, want)
	}
}

func TestUnknownIDs(t *testing.T) {
	h := open(t, t.TempDir())
	mine := h.keep(message(romeo, juliet, "1"))[0]
	others := h.keep(message(romeo, alice, "2"))[0]
	for i, q := range []Query{
		0: {After: mine + 7},
		1: {Before: mine + 7},
		2: {AfterID: mine + 7},
		3: {BeforeID: mine + 7},
		4: {IDs: []uint64{mine, mine + 7}},
		5: {After: others},
		6: {IDs: []uint64{others}},
	} {
		q.Owner = juliet
		_, err := h.Page(t.Context(), q, func(*Item) error { t.Errorf("%d: an item", i); return nil })
		var peer *xmpp.Error
		if !errors.As(err, &peer) || peer.Condition != xmpp.ItemNotFound {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestLargeMessagesShortenPages has messages so large that a page of them would not fit into a connection's buffer.
func TestLargeMessagesShortenPages(t *testing.T) {
	h := open(t, t.TempDir())
	var want []uint64
	for range 12 {
		m := message(romeo, juliet, strings.Repeat("x", 60<<10))
		want = append(want, h.keep(m)...)
	}
	ids, r := h.page(Query{Owner: juliet, Max: 20})
	if len(ids) == 0 || len(ids) >= 12 || r.Complete || r.Count != 12 || r.Index != 0 || !slices.Equal(ids, want[:len(ids)]) {
		t.Errorf("forward: %d items, %+v", len(ids), r)
	}
	ids, r = h.page(Query{Owner: juliet, Max: 20, Last: true})
	if from := 12 - len(ids); len(ids) == 0 || len(ids) >= 12 || r.Complete || r.Index != from || !slices.Equal(ids, want[from:]) {
		t.Errorf("backward: %d items, %+v", len(ids), r)
	}
	var all []uint64
	for q := (Query{Owner: juliet, Max: 20}); ; {
		ids, r := h.page(q)
		all = append(all, ids...)
		if r.Complete {
			break
		}
		q.After = r.Last
	}
	if !slices.Equal(all, want) {
		t.Errorf("page by page: %v", all)
	}
}

// TestLongConversationByResource pages what is too long to be counted.
func TestLongConversationByResource(t *testing.T) {
	if testing.Short() {
		t.Skip("keeps many messages")
	}
	h := open(t, t.TempDir())
	nick := xmpp.MustJID("room@conference.example.com/nurse")
	other := xmpp.MustJID("room@conference.example.com/romeo")
	var want []uint64
	for range 21 {
		var batch []*Message
		for range 1000 {
			m := message(romeo, juliet, "x")
			m.Rows = []Row{{Owner: juliet, With: other}}
			batch = append(batch, m)
		}
		batch[500].Rows[0].With = nick
		want = append(want, h.keep(batch...)[500])
	}
	ids, r := h.page(Query{Owner: juliet, With: nick, Max: 10})
	if !slices.Equal(ids, want[:10]) || r.Count != -1 || r.Index != -1 || r.Complete {
		t.Errorf("forward: %v %+v", ids, r)
	}
	ids, r = h.page(Query{Owner: juliet, With: nick, Max: 30, Last: true})
	if !slices.Equal(ids, want) || !r.Complete {
		t.Errorf("backward: %v %+v", ids, r)
	}
	ids, r = h.page(Query{Owner: juliet, With: nick, Max: 10, Before: want[15], Last: true})
	if !slices.Equal(ids, want[5:15]) || r.Complete {
		t.Errorf("before: %v %+v", ids, r)
	}
	if ids, r = h.page(Query{Owner: juliet, With: nick, None: true}); len(ids) != 0 || r.Count != -1 || r.Complete {
		t.Errorf("none: %v %+v", ids, r)
	}
	if _, err := h.Page(t.Context(), Query{Owner: juliet, With: nick, HasIndex: true, Index: 3}, nil); err == nil {
		t.Error("an index among what was not counted")
	}
}

func TestEnds(t *testing.T) {
	h := open(t, t.TempDir())
	ends := func(o directory.ID) [2]uint64 {
		first, last, err := h.Ends(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return [2]uint64{first, last}
	}
	if e := ends(juliet); e != [2]uint64{} {
		t.Errorf("an empty archive has the ends %v", e)
	}
	ids := h.keep(message(romeo, juliet, "1"), message(romeo, alice, "2"), message(juliet, romeo, "3"), message(alice, romeo, "4"))
	if e := ends(juliet); e != [2]uint64{ids[0], ids[2]} {
		t.Errorf("the ends are %v, want those of %v", e, ids)
	}
}
