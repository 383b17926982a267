package archive

import (
	"bytes"
	"context"
	"slices"
	"time"

	"confab/archive/search"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Query asks for a page of an archive. Zero fields are no condition.
type Query struct {
	Owner directory.ID

	// With is the other side: a bare address finds all its resources, a full one only that. The owner's own address finds
	// messages to himself only (XEP-0313 §4.1.1).
	With       xmpp.JID
	Start, End time.Time // both included
	AfterID    uint64    // neither included
	BeforeID   uint64
	IDs        []uint64 // these only
	Text       *search.Query
	Files      bool // only what names a file

	// The page (XEP-0059): from the beginning, after an id, before one, from the end, or from an index on.
	After    uint64
	Before   uint64
	Last     bool
	HasIndex bool
	Index    int
	Max      int  // 0: the server's choice
	None     bool // no items, only how many there are
	Flip     bool // hand them over from the newest to the oldest (XEP-0313 §4.3.1)
}

// Result says where a page lies in what the query found.
type Result struct {
	First, Last uint64 // of the page, the oldest and the newest; 0: there is none
	Index       int    // of First; -1: not known
	Count       int    // of all that was found; -1: not known
	Complete    bool   // nothing was left out in the direction of the query
	Backward    bool   // which was to the oldest
}

const (
	// maxWalk is how many rows are read to count what the indices do not count. A conversation longer than that is paged
	// without telling how many there are.
	maxWalk = 20000
	// viewRows bounds a View by the rows that it passes, viewItems by the messages that it reads: these may be anywhere on
	// the disk.
	viewRows  = 2000
	viewItems = 64
	// maxPageBytes bounds a page, so that it fits into the buffer of a connection.
	maxPageBytes = 512 << 10
)

// errUnknownID answers references to what is not in the archive (XEP-0313 §4.1.3, XEP-0059 §2.2).
var errUnknownID = xmpp.NewError(xmpp.ItemNotFound, "there is no message with that id in this archive")

// Page calls fn for the items of a page, outside of any transaction: fn may wait. The page is shorter than asked for if
// its messages are large. An *xmpp.Error is for whoever asked.
func (a *Archive) Page(ctx context.Context, q Query, fn func(*Item) error) (Result, error) {
	a.stats.queries.Add(1)
	if q.Max <= 0 {
		q.Max = min(defaultPage, a.opts.MaxPage)
	}
	q.Max = min(q.Max, a.opts.MaxPage)
	if q.None {
		q.Max = 0
	}
	s := a.paging(&q)
	ids, r, err := s.page(ctx)
	if err != nil {
		return Result{}, err
	}
	// A page that is cut short keeps the end at which the next one begins.
	backward := q.backward()
	if backward {
		slices.Reverse(ids)
	}
	items, left, err := a.items(ctx, q.Owner, ids, maxPageBytes)
	if err != nil {
		return Result{}, err
	}
	cut := left > 0
	ids = ids[:len(ids)-left]
	if backward {
		slices.Reverse(ids)
		slices.Reverse(items)
		if cut && r.Index >= 0 {
			r.Index += left
		}
	}
	r.Complete, r.Backward = r.Complete && !cut, backward
	if len(items) > 0 {
		r.First, r.Last = items[0].ID, items[len(items)-1].ID
	} else if len(ids) > 0 { // none of them can be read, and the next page is behind them
		r.First, r.Last = ids[0], ids[len(ids)-1]
	}
	if q.Flip {
		slices.Reverse(items)
	}
	a.stats.items.Add(uint64(len(items)))
	for i := range items {
		if err := fn(&items[i]); err != nil {
			return r, err
		}
	}
	return r, nil
}

// backward reports whether the page is looked for from its newest end.
func (q *Query) backward() bool { return q.Before != 0 || q.Last }

// paging is a query on its way.
type paging struct {
	a      *Archive
	q      *Query
	x      index  // of the conversation, if the query names one
	all    index  // of the owner
	lo, hi uint64 // the ids that the conditions allow: lo included, hi not
}

func (a *Archive) paging(q *Query) paging {
	return paging{a: a, q: q, x: a.index(q.Owner, q.With), all: a.index(q.Owner, xmpp.JID{})}
}

func (s *paging) page(ctx context.Context) (ids []uint64, r Result, err error) {
	q := s.q
	filtered := q.With.IsFull() || q.asks()
	total := 0
	err = s.a.db.View(ctx, func(tx store.Tx) error {
		if err := s.known(tx); err != nil {
			return err
		}
		s.window()
		switch {
		case q.IDs != nil:
			ids = s.listed(tx)
			return nil
		case !filtered:
			ids, r = s.counted(tx)
			return nil
		}
		first, last, n := s.extent(s.x.in(tx))
		if total = n; n > 0 {
			s.lo, s.hi = first.id, last.id+1
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, r, err
	case q.IDs != nil:
		ids, r = s.slice(ids)
		return ids, r, nil
	case !filtered:
		return ids, r, nil
	case total == 0:
		return nil, Result{Index: -1, Complete: true}, nil
	case q.asks():
		return s.search(ctx)
	case total <= maxWalk:
		if ids, err = s.walk(ctx, span{s.lo, s.hi, false, total}); err != nil {
			return nil, r, err
		}
		ids, r = s.slice(ids)
		return ids, r, nil
	}
	return s.uncounted(func(sp span) ([]uint64, error) { return s.walk(ctx, sp) })
}

// known checks that every id that the query refers to is in the archive.
func (s *paging) known(tx store.Tx) error {
	q := s.q
	for _, id := range [...]uint64{q.AfterID, q.BeforeID, q.After, q.Before} {
		if id != 0 && !s.all.has(tx, id) {
			return errUnknownID
		}
	}
	for _, id := range q.IDs {
		if !s.all.has(tx, id) {
			return errUnknownID
		}
	}
	return nil
}

func (s *paging) window() {
	q := s.q
	s.lo, s.hi = 0, maxID
	if !q.Start.IsZero() {
		s.lo = TimeID(q.Start)
	}
	if !q.End.IsZero() {
		s.hi = TimeID(q.End.Truncate(time.Microsecond)) + 1
	}
	if q.AfterID != 0 {
		s.lo = max(s.lo, q.AfterID+1)
	}
	if q.BeforeID != 0 {
		s.hi = min(s.hi, q.BeforeID)
	}
}

// bounds narrows the window to where the page is to be looked for.
func (s *paging) bounds() (lo, hi uint64, backward bool) {
	q := s.q
	lo, hi = s.lo, s.hi
	if q.After != 0 {
		lo = max(lo, q.After+1)
	}
	if q.Before != 0 {
		hi = min(hi, q.Before)
	}
	return lo, hi, q.backward()
}

// extent returns the ends of the window and how many entries it has.
func (s *paging) extent(l list) (first, last entry, n int) {
	if s.lo >= s.hi {
		return first, last, 0
	}
	first, ok := l.end(s.lo, s.hi, false)
	if !ok {
		return first, last, 0
	}
	last, ok = l.end(s.lo, s.hi, true)
	if !ok || last.ordinal < first.ordinal {
		return first, last, 0
	}
	return first, last, int(last.ordinal-first.ordinal) + 1
}

// counted finds a page by the ordinals of an index.
func (s *paging) counted(tx store.Tx) (ids []uint64, r Result) {
	r.Index = -1
	l := s.x.in(tx)
	first, last, n := s.extent(l)
	if r.Count = n; n == 0 {
		r.Complete = true
		return nil, r
	}
	if s.q.Max == 0 {
		return nil, r
	}
	lo, hi, backward := s.bounds()
	if s.q.HasIndex && !backward && s.q.After == 0 {
		if s.q.Index >= n {
			r.Complete = true
			return nil, r
		}
		lo = l.seek(first, last, first.ordinal+uint64(s.q.Index))
	}
	r.Complete = true
	if lo >= hi {
		return nil, r
	}
	found := make([]entry, 0, s.q.Max+1)
	for e := range l.scan(lo, hi, backward) {
		if found = append(found, e); len(found) > s.q.Max {
			break
		}
	}
	if len(found) > s.q.Max {
		found, r.Complete = found[:s.q.Max], false
	}
	if backward {
		slices.Reverse(found)
	}
	for _, e := range found {
		ids = append(ids, e.id)
	}
	if len(found) > 0 {
		r.Index = int(found[0].ordinal - first.ordinal)
	}
	return ids, r
}

// listed returns those of the ids that the query names which meet its other conditions, in order.
func (s *paging) listed(tx store.Tx) []uint64 {
	ids := slices.Clone(s.q.IDs)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return slices.DeleteFunc(ids, func(id uint64) bool {
		return id < s.lo || id >= s.hi || !s.x.has(tx, id) || !s.matches(tx, id)
	})
}

// matches reports whether a message of the index is with whom the query says, and has in it what that asks for.
func (s *paging) matches(tx store.Tx, id uint64) bool {
	return s.isWith(tx, id) && (!s.q.asks() || s.says(tx, id))
}

// isWith reports whether a message of the index is with whom the query says.
func (s *paging) isWith(tx store.Tx, id uint64) bool {
	if !s.q.With.IsFull() {
		return true // the index is that of the conversation
	}
	var b body
	if err := b.decode(tx.Get(spaceBody, appendID(nil, id))); err != nil {
		return false
	}
	r, ok, err := b.rowOf(s.q.Owner)
	return err == nil && ok && isWith(r.with, s.q.With)
}

// isWith reports whether the other side in a row is the one that is looked for: any, a bare address with all its
// resources, or a full one.
func isWith(with []byte, want xmpp.JID) bool {
	if want.IsZero() {
		return true
	}
	rest, ok := bytes.CutPrefix(with, []byte(want.String()))
	return ok && (len(rest) == 0 || rest[0] == '/' && !want.IsFull())
}

// slice takes the page out of all that was found.
func (s *paging) slice(all []uint64) (ids []uint64, r Result) {
	r = Result{Index: -1, Count: len(all)}
	lo, hi, backward := s.bounds()
	from, _ := slices.BinarySearch(all, lo)
	to, _ := slices.BinarySearch(all, hi)
	if s.q.HasIndex && !backward && s.q.After == 0 {
		from = max(from, min(s.q.Index, to))
	}
	if s.q.Max == 0 {
		r.Complete = len(all) == 0
		return nil, r
	}
	if r.Complete = to-from <= s.q.Max; !r.Complete {
		if backward {
			from = to - s.q.Max
		} else {
			to = from + s.q.Max
		}
	}
	if from < to {
		ids, r.Index = all[from:to], from
	}
	return ids, r
}

// uncounted finds a page among more than can be counted.
func (s *paging) uncounted(find func(span) ([]uint64, error)) (ids []uint64, r Result, err error) {
	r = Result{Index: -1, Count: -1}
	if s.q.Max == 0 {
		return nil, r, nil
	}
	if s.q.HasIndex {
		return nil, r, xmpp.NewError(xmpp.FeatureNotImplemented, "too many messages to page by index")
	}
	lo, hi, backward := s.bounds()
	ids, err = find(span{lo, hi, backward, s.q.Max + 1})
	if r.Complete = len(ids) <= s.q.Max; !r.Complete {
		ids = ids[:s.q.Max]
	}
	if backward {
		slices.Reverse(ids)
	}
	return ids, r, err
}

// walk reads rows of a span in short Views, until it has found as many as are wanted that match.
func (s *paging) walk(ctx context.Context, sp span) (ids []uint64, err error) {
	limit := viewRows
	if s.q.asks() {
		limit = 500 // messages are read, too
	}
	for !sp.empty() && len(ids) < sp.n {
		read := 0
		err := s.a.db.View(ctx, func(tx store.Tx) error {
			for e := range s.x.in(tx).scan(sp.lo, sp.hi, sp.backward) {
				read++
				sp.pass(e.id)
				if s.matches(tx, e.id) {
					ids = append(ids, e.id)
				}
				if len(ids) == sp.n || read == limit {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if read < limit {
			break
		}
	}
	return ids, nil
}

// items reads messages of an owner, in the order of ids, until they have more than limit bytes, and returns how many are
// left then.
func (a *Archive) items(ctx context.Context, o directory.ID, ids []uint64, limit int) (items []Item, left int, err error) {
	items = make([]Item, 0, len(ids))
	for len(ids) > 0 && limit > 0 {
		n := 0
		err := a.db.View(ctx, func(tx store.Tx) error {
			for ; n < min(len(ids), viewItems) && limit > 0; n++ {
				if it, ok := a.item(tx, o, ids[n]); ok {
					items = append(items, it)
					limit -= len(it.Stanza)
				}
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
		ids = ids[n:]
	}
	return items, len(ids), nil
}

// item is Item.read. What cannot be read is as good as not there: it must not keep anybody from all else.
func (a *Archive) item(tx store.Tx, o directory.ID, id uint64) (it Item, ok bool) {
	ok, err := it.read(tx, o, id)
	if err != nil {
		a.unreadable(id, err)
	}
	return it, ok && err == nil
}

func (a *Archive) unreadable(id uint64, err error) {
	a.opts.Log.Error("a message in the history cannot be read", "err", err, "id", FormatID(id))
}

// read reads a message that is in an index of its owner, as he has it. ok is false if it is not there any more.
func (it *Item) read(tx store.Tx, o directory.ID, id uint64) (ok bool, err error) {
	var b body
	r, ok, err := b.of(tx, o, id)
	if err != nil || !ok {
		return false, err
	}
	return true, it.set(id, &b, &r)
}

// of decodes a message and finds the row of one of its owners. ok is false if there is none.
func (b *body) of(tx store.Tx, o directory.ID, id uint64) (r row, ok bool, err error) {
	v := tx.Get(spaceBody, appendID(nil, id))
	if v == nil {
		return r, false, nil
	}
	if err := b.decode(v); err != nil {
		return r, false, err
	}
	return b.rowOf(o)
}

func (it *Item) set(id uint64, b *body, r *row) (err error) {
	*it = Item{ID: id, Type: b.typ, Flags: b.flags, Incoming: r.incoming, Stanza: bytes.Clone(b.stanza)}
	if len(r.with) > 0 {
		if it.With, err = xmpp.ParseJID(string(r.with)); err != nil {
			return errRecord
		}
	}
	if it.Edit, err = b.readEdit(r); err != nil {
		return err
	}
	it.Tombstone, err = b.tombstone()
	return err
}

// Ends returns the ids of the oldest and the newest message of an owner, zero if there is none (XEP-0313 §5).
func (a *Archive) Ends(ctx context.Context, o directory.ID) (first, last uint64, err error) {
	x := a.index(o, xmpp.JID{})
	err = a.db.View(ctx, func(tx store.Tx) error {
		first, last = x.in(tx).ends()
		return nil
	})
	return first, last, err
}
