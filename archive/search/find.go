package search

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"confab/xmpp"
)

// Snapshot is an index as it was at one moment.
type Snapshot struct {
	State
	snapshot *scorch.IndexSnapshot
	failed   error // what a Find ran into
}

func (o *opened) snapshot() (s *Snapshot, err error) {
	err = guard(func() error {
		r, err := o.scorch.Reader()
		if err != nil {
			return err
		}
		snapshot, ok := r.(*scorch.IndexSnapshot)
		if !ok {
			return errClosed
		}
		s = &Snapshot{snapshot: snapshot}
		n, err := snapshot.DocCount()
		if err != nil {
			return err
		}
		s.Documents = int(n)
		s.Archive = string(s.internal(keyArchive))
		if v := s.internal(keyLast); len(v) == 8 {
			s.Last = binary.BigEndian.Uint64(v)
		}
		return nil
	})
	return s, err
}

func (s *Snapshot) internal(key []byte) []byte { return s.snapshot.Internal()[string(key)] }

func (s *Snapshot) close() { guard(s.snapshot.Close) }

// Wanted says which messages are looked for.
type Wanted struct {
	Query  *Query // nil: whatever they say
	Owner  uint64 // who has them; 0: anybody
	Hidden bool   // those that are hidden from their owners, too
	Kind   Kind   // of this kind
	// OrEncrypted finds what is encrypted, too, whatever it says.
	OrEncrypted bool

	Lo, Hi  uint64 // ids: Lo is included, Hi is not; 0: no bound
	Limit   int    // 0: all
	Reverse bool   // of more than Limit those with the highest ids
}

// Hits are the messages that were found.
type Hits struct {
	IDs   []uint64 // ascending
	Total int      // without the limit
}

// maxPrefix is how many words of all segments one that is not complete may stand for.
const maxPrefix = 50_000

// Find looks for messages. An *xmpp.Error says what is wrong with what is wanted.
func (s *Snapshot) Find(ctx context.Context, w Wanted) (h Hits, err error) {
	if w.Hi == 0 {
		w.Hi = maxID
	}
	f := finder{w: &w}
	err = guard(func() error {
		for _, seg := range s.snapshot.Segments() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f.segment(seg); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.failed = err
		return h, err
	}
	f.trim(w.Limit)
	return Hits{f.ids, f.total}, nil
}

type finder struct {
	w        *Wanted
	ids      []uint64
	total    int
	prefixed int
}

func (f *finder) segment(s *scorch.SegmentSnapshot) error {
	found, err := f.documents(s.Segment())
	if err != nil || found == nil {
		return err
	}
	if d := s.Deleted(); d != nil {
		found.AndNot(d)
	}
	for i := found.Iterator(); i.HasNext(); {
		name, err := s.DocID(uint64(i.Next()))
		if err != nil {
			return err
		}
		id, err := idOf(name)
		if err != nil {
			return err
		}
		if id < f.w.Lo || id >= f.w.Hi {
			continue
		}
		f.total++
		if f.ids = append(f.ids, id); f.w.Limit > 0 && len(f.ids) >= 2*f.w.Limit+1000 {
			f.trim(f.w.Limit)
		}
	}
	return nil
}

// trim keeps the ids up to a limit, in order.
func (f *finder) trim(limit int) {
	slices.Sort(f.ids)
	switch {
	case limit <= 0 || len(f.ids) <= limit:
	case f.w.Reverse:
		f.ids = append(f.ids[:0], f.ids[len(f.ids)-limit:]...)
	default:
		f.ids = f.ids[:limit]
	}
}

// documents returns the numbers of the documents of a segment that are wanted, nil if there are none. The bitmap is the
// caller's.
func (f *finder) documents(s segment.Segment) (found *roaring.Bitmap, err error) {
	and := func(b *roaring.Bitmap) bool {
		if found == nil {
			found = b
		} else {
			found.And(b)
		}
		return !found.IsEmpty()
	}
	kinds := reader{s: s, field: fieldKind}
	if f.w.Owner != 0 {
		owners := reader{s: s, field: fieldOwner}
		b, err := owners.any(ownerTerm(f.w.Owner, false), pick(f.w.Hidden, ownerTerm(f.w.Owner, true)))
		if err != nil || !and(b) {
			return nil, err
		}
	}
	if f.w.Kind&HasFile != 0 {
		b, err := kinds.any(termFile)
		if err != nil || !and(b) {
			return nil, err
		}
	}
	if f.w.Query != nil {
		b, err := f.query(s)
		if err != nil {
			return nil, err
		}
		if f.w.OrEncrypted {
			e, err := kinds.any(termEncrypted)
			if err != nil {
				return nil, err
			}
			b.Or(e)
		}
		if !and(b) {
			return nil, nil
		}
	}
	if found == nil { // all of them
		found = roaring.New()
		found.AddRange(0, s.Count())
	}
	return found, nil
}

func pick(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}

// query returns the documents that have all words.
func (f *finder) query(s segment.Segment) (*roaring.Bitmap, error) {
	r := reader{s: s, field: fieldWord}
	var found *roaring.Bitmap
	for i := range f.w.Query.terms {
		t := &f.w.Query.terms[i]
		for j := range t.words {
			w := &t.words[j]
			b, err := r.any(string(w.text), string(w.other))
			if err == nil && t.prefix && j == len(t.words)-1 {
				err = f.longer(&r, b, w)
			}
			if err != nil {
				return nil, err
			}
			if found == nil {
				found = b
			} else {
				found.And(b)
			}
			if found.IsEmpty() {
				return found, nil
			}
		}
	}
	return found, nil
}

// longer adds the documents that have words which begin with one.
func (f *finder) longer(r *reader, b *roaring.Bitmap, w *word) error {
	for _, prefix := range [...][]byte{w.text, w.other} {
		if len(prefix) == 0 {
			continue
		}
		n, err := r.prefix(b, prefix, maxPrefix-f.prefixed)
		if err != nil {
			return err
		}
		if f.prefixed += n; f.prefixed >= maxPrefix {
			return xmpp.NewError(xmpp.PolicyViolation, fmt.Sprintf("too many words begin with %s: write more of it, or put it in quotation marks", w.text))
		}
	}
	return nil
}

// reader reads the postings of a field.
type reader struct {
	s     segment.Segment
	field string
	dict  segment.TermDictionary
	list  segment.PostingsList
}

func (r *reader) open() (err error) {
	if r.dict == nil {
		r.dict, err = r.s.Dictionary(r.field)
	}
	return err
}

// any returns the documents that have one of the terms; empty ones are left out.
func (r *reader) any(terms ...string) (*roaring.Bitmap, error) {
	b := roaring.New()
	if err := r.open(); err != nil {
		return nil, err
	}
	for _, t := range terms {
		if t == "" {
			continue
		}
		if err := r.or(b, []byte(t)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (r *reader) or(b *roaring.Bitmap, term []byte) (err error) {
	if r.list, err = r.dict.PostingsList(term, nil, r.list); err != nil {
		return err
	}
	list, ok := r.list.(interface{ OrInto(*roaring.Bitmap) })
	if !ok {
		return nil // the list of a segment that has no such field
	}
	list.OrInto(b)
	return nil
}

// prefix adds the documents that have terms which begin with one, up to a number of terms.
func (r *reader) prefix(b *roaring.Bitmap, prefix []byte, limit int) (n int, err error) {
	it := r.dict.AutomatonIterator(nil, prefix, behind(prefix))
	for n < limit {
		e, err := it.Next()
		if err != nil || e == nil {
			return n, err
		}
		if err := r.or(b, []byte(e.Term)); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// behind returns the first term after all that begin with a prefix, which is UTF-8.
func behind(prefix []byte) []byte {
	end := slices.Clone(prefix)
	end[len(end)-1]++
	return end
}
