package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"confab/archive/search"
	"confab/xmpp"
	"confab/xmpp/store"
)

// maxRead is how many messages are found by reading them in order to count them.
const maxRead = 1000

// asks reports whether a query asks for what is in messages.
func (q *Query) asks() bool { return q.Text != nil || q.Files }

// indexed is the part of the archive that an index leads to.
type indexed struct {
	snapshot *search.Snapshot // nil: there is no index
	upto     uint64           // the index has all messages up to this one
	changed  []uint64         // but these not as they are, ascending
}

// withIndex calls fn with the index as it is. Where there is none, or none that can be read, all messages lie behind it.
func (a *Archive) withIndex(ctx context.Context, fn func(indexed) error) error {
	if a.opts.Index == nil {
		return fn(indexed{})
	}
	// Before the index is looked at: what changes from now on changes after the search.
	changed, token, err := a.changes(ctx)
	if err != nil {
		return err
	}
	began := false
	var failed error
	err = a.opts.Index.View(ctx, func(s *search.Snapshot) error {
		began = true
		ix := indexed{}
		if a.isOurs(s, token) {
			ix = indexed{s, s.Last, changed}
		}
		failed = fn(ix)
		return failed
	})
	if ctx.Err() == nil && (!began && err != nil || errors.Is(failed, errIndex)) {
		return fn(indexed{})
	}
	return err
}

// errIndex says that the index gave an error, which it has dealt with.
var errIndex = errors.New("archive: the search index cannot be read")

// find looks for messages in the index.
func (ix *indexed) find(ctx context.Context, w search.Wanted) (search.Hits, error) {
	h, err := ix.snapshot.Find(ctx, w)
	var peer *xmpp.Error
	if err != nil && !errors.As(err, &peer) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errIndex, err)
	}
	return h, err
}

// isChanged reports whether a message is not what it was when it was indexed. It has become less: nothing is found in it
// that was not before.
func (ix *indexed) isChanged(id uint64) bool {
	_, ok := slices.BinarySearch(ix.changed, id)
	return ok
}

// search finds a page of what has something in it.
func (s *paging) search(ctx context.Context) (ids []uint64, r Result, err error) {
	err = s.a.withIndex(ctx, func(ix indexed) (err error) {
		limit := maxWalk
		if ix.snapshot == nil || !s.sure() {
			limit = maxRead
		}
		if ids, err = s.lookup(ctx, ix, span{s.lo, s.hi, false, limit + 1}); err != nil {
			return err
		}
		if len(ids) <= limit {
			ids, r = s.slice(ids)
			return nil
		}
		ids, r, err = s.uncounted(func(sp span) ([]uint64, error) { return s.lookup(ctx, ix, sp) })
		return err
	})
	return ids, r, err
}

// sure reports whether what the index finds need not be read.
func (s *paging) sure() bool { return s.q.Text == nil || s.q.Text.Sure() }

// span is where up to n messages are to be found: from lo up to, not including, hi, in one direction.
type span struct {
	lo, hi   uint64
	backward bool
	n        int
}

// pass leaves a message, and what lies before it in the direction of the span, behind.
func (sp *span) pass(id uint64) {
	if sp.backward {
		sp.hi = id
	} else {
		sp.lo = id + 1
	}
}

func (sp *span) empty() bool { return sp.lo >= sp.hi }

// lookup returns the first messages of a span that match, in its direction.
func (s *paging) lookup(ctx context.Context, ix indexed, sp span) (ids []uint64, err error) {
	old, recent := sp, sp // what the index has, and what is behind it
	if ix.snapshot == nil {
		old.hi = old.lo
	} else {
		old.hi = max(sp.lo, min(sp.hi, ix.upto+1))
	}
	recent.lo = old.hi
	first, second := s.lookupOld, s.lookupRecent
	firstSpan, secondSpan := old, recent
	if sp.backward {
		first, second, firstSpan, secondSpan = second, first, recent, old
	}
	if ids, err = first(ctx, ix, firstSpan); err != nil || len(ids) == sp.n {
		return ids, err
	}
	secondSpan.n -= len(ids)
	more, err := second(ctx, ix, secondSpan)
	return append(ids, more...), err
}

func (s *paging) lookupRecent(ctx context.Context, _ indexed, sp span) ([]uint64, error) {
	return s.walk(ctx, sp)
}

func (s *paging) lookupOld(ctx context.Context, ix indexed, sp span) (ids []uint64, err error) {
	wanted := search.Wanted{Query: s.q.Text, Owner: uint64(s.q.Owner), Reverse: sp.backward, Limit: max(1000, 2*sp.n)}
	if s.q.Files {
		wanted.Kind = search.HasFile
	}
	for !sp.empty() && len(ids) < sp.n {
		wanted.Lo, wanted.Hi = sp.lo, sp.hi
		h, err := ix.find(ctx, wanted)
		if err != nil {
			return nil, err
		}
		list, rest := order(h, sp)
		if ids, err = s.verify(ctx, ix, list, ids, sp.n); err != nil {
			return nil, err
		}
		sp = rest
	}
	return ids, nil
}

// order puts what the index found in a span into its direction, and returns what of the span is left.
func order(h search.Hits, sp span) (list []uint64, rest span) {
	if sp.backward {
		slices.Reverse(h.IDs)
	}
	switch n := len(h.IDs); {
	case n < h.Total:
		sp.pass(h.IDs[n-1])
	case sp.backward:
		sp.hi = sp.lo
	default:
		sp.lo = sp.hi
	}
	return h.IDs, sp
}

// verify appends those of a list to ids that are what the query asks for, until there are n.
func (s *paging) verify(ctx context.Context, ix indexed, list, ids []uint64, n int) ([]uint64, error) {
	const reads = 500 // messages, in one View
	sure := s.sure()
	for len(list) > 0 && len(ids) < n {
		err := s.a.db.View(ctx, func(tx store.Tx) error {
			for rows, read := 0, 0; len(list) > 0 && len(ids) < n && rows < viewRows && read < reads; rows++ {
				id := list[0]
				list = list[1:]
				if !s.x.has(tx, id) || !s.isWith(tx, id) {
					continue
				}
				if !sure || ix.isChanged(id) {
					if read++; !s.says(tx, id) {
						continue
					}
				}
				ids = append(ids, id)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// says reads a message and reports whether it has in it what the query asks for. What was retracted has nothing.
func (s *paging) says(tx store.Tx, id uint64) bool {
	var b body
	if err := b.decode(tx.Get(spaceBody, appendID(nil, id))); err != nil || len(b.tomb) > 0 {
		return false
	}
	e := Entry{ID: id, Flags: b.flags, Stanza: b.stanza}
	if e.parse() != nil {
		return false
	}
	return (s.q.Text == nil || e.says(s.q.Text)) && (!s.q.Files || len(s.a.files(&e)) > 0)
}

// says reports whether a message has in it what somebody looks for. What clients encrypted says nothing.
func (e *Entry) says(q *search.Query) bool { return e.Flags&Encrypted == 0 && q.Match(e.texts...) }
