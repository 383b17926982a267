package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"confab/archive/search"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Access is one use that somebody made of other people's history.
type Access struct {
	Time    time.Time       `json:"time"`
	By      string          `json:"by"`
	Action  string          `json:"action"`
	Details json.RawMessage `json:"details,omitempty"`
}

// Auditor reads the history of others. There is none without an Access on disk.
type Auditor struct{ archive *Archive }

// Audit notes who is about to read what, and lets them.
func (a *Archive) Audit(ctx context.Context, by, action string, details any) (*Auditor, error) {
	if by == "" || action == "" {
		return nil, errors.New("archive: who reads the history of others says who they are and what for")
	}
	raw, err := json.Marshal(details)
	if err != nil {
		return nil, fmt.Errorf("archive: audit: %w", err)
	}
	now := a.opts.Clock.Now().UTC()
	v, err := json.Marshal(Access{Time: now, By: by, Action: action, Details: raw})
	if err != nil {
		return nil, fmt.Errorf("archive: audit: %w", err)
	}
	err = a.db.Update(ctx, func(tx store.Tx) error {
		key := appendID(nil, TimeID(now))
		for tx.Get(spaceAudit, key) != nil {
			key = appendID(key[:0], idOf(key)+1)
		}
		return tx.Put(spaceAudit, key, v)
	})
	if err != nil {
		return nil, fmt.Errorf("archive: nothing was read, as that could not be noted: %w", err)
	}
	return &Auditor{a}, nil
}

// Accesses calls fn for the uses between two times, outside of any transaction; a zero end is now.
func (a *Archive) Accesses(ctx context.Context, start, end time.Time, fn func(Access) error) error {
	next, hi := TimeID(start), uint64(maxID)
	if !end.IsZero() {
		hi = TimeID(end)
	}
	for {
		var found []Access
		err := a.db.View(ctx, func(tx store.Tx) error {
			for k, v := range tx.Scan(spaceAudit, store.Range{From: appendID(nil, next), To: appendID(nil, hi), Limit: viewRows}) {
				var x Access
				if err := json.Unmarshal(v, &x); err != nil {
					return fmt.Errorf("%w: access %x", errRecord, k)
				}
				found = append(found, x)
				next = idOf(k) + 1
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, x := range found {
			if err := fn(x); err != nil {
				return err
			}
		}
		if len(found) < viewRows {
			return nil
		}
	}
}

// Conversation is what an owner has had with one other side.
type Conversation struct {
	With        xmpp.JID // bare
	First, Last time.Time
	Messages    int
}

// Conversations calls fn for the conversations of an owner, by address.
func (u *Auditor) Conversations(ctx context.Context, o directory.ID, fn func(Conversation) error) error {
	const atOnce = 200
	if _, err := u.archive.settle(ctx); err != nil {
		return err
	}
	owner := appendOwner(nil, o)
	next := append(appendOwner(nil, o), 1) // behind the archive as a whole
	for {
		var found []Conversation
		err := u.archive.db.View(ctx, func(tx store.Tx) error {
			for len(found) < atOnce {
				var peer string
				for k := range tx.Scan(spaceIndex, store.Range{Prefix: owner, From: next, Limit: 1}) {
					peer = peerOf(k)
				}
				if peer == "" {
					return nil
				}
				c, err := conversation(tx, o, peer)
				if err != nil {
					return err
				}
				found = append(found, c)
				next = appendPlace(next[:0], place{o, peer})
				next[len(next)-1]++
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, c := range found {
			if err := fn(c); err != nil {
				return err
			}
		}
		if len(found) < atOnce {
			return nil
		}
	}
}

func conversation(tx store.Tx, o directory.ID, peer string) (c Conversation, err error) {
	if c.With, err = xmpp.ParseJID(peer); err != nil {
		return c, fmt.Errorf("%w: conversation with %q", errRecord, peer)
	}
	x := index{prefix: appendPlace(nil, place{o, peer})}.in(tx)
	first, _ := x.end(0, maxID, false)
	last, _ := x.end(0, maxID, true)
	c.First, c.Last = IDTime(first.id), IDTime(last.id)
	c.Messages = int(last.ordinal-first.ordinal) + 1
	return c, nil
}

// Direction says who wrote, as seen from the owner of an archive.
type Direction uint8

const (
	Both Direction = iota
	Incoming
	Outgoing
)

// Search says which messages are wanted. Zero fields are no condition.
type Search struct {
	Owner     directory.ID // in whose archive; 0: everywhere, each message once
	With      xmpp.JID     // of the owner's archive: the other side, as in a Query
	Direction Direction    // of the owner's archive

	From, To   xmpp.JID      // as sent: a full address, or a bare one or a domain with all below it
	Start, End time.Time     // Start is included, End is not
	Text       *search.Query // in a body or a subject
	Part       string        // in a body or a subject, also within words; case, accents and forms of letters make no difference
	Files      bool          // only what names a file
	Limit      int           // 0: all
	Reverse    bool          // from the newest to the oldest
}

// Entry is a message as it was sent.
type Entry struct {
	ID        uint64
	Time      time.Time
	From, To  xmpp.JID
	Type      xmpp.Type
	Subject   string
	Body      string
	Flags     Flags
	Retracted *Tombstone     // what clients see in its place
	Owners    []directory.ID // who had it when it was kept
	Stanza    []byte

	texts []string // all bodies and subjects, in all languages
}

// Found sums up a search.
type Found struct {
	Matched    int
	Unreadable int // that meet the conditions other than the text and are encrypted between clients: they cannot be searched
}

// Search calls fn for the messages that meet the conditions, in the order of time, outside of any transaction.
func (u *Auditor) Search(ctx context.Context, s Search, fn func(*Entry) error) (f Found, err error) {
	part := search.Fold(s.Part)
	w := walker{a: u.archive, s: &s}
	if err := w.start(ctx); err != nil {
		return f, err
	}
	for !w.done {
		entries, err := w.next(ctx)
		if err != nil {
			return f, err
		}
		for _, e := range entries {
			if !addressed(e.From, s.From) || !addressed(e.To, s.To) {
				continue
			}
			if e.Flags&Encrypted != 0 {
				f.Unreadable++
			}
			if s.Text != nil && !e.says(s.Text) || !e.contains(part) || s.Files && len(u.archive.files(e)) == 0 {
				continue
			}
			f.Matched++
			if err := fn(e); err != nil {
				return f, err
			}
			if f.Matched == s.Limit {
				return f, nil
			}
		}
	}
	return f, nil
}

// contains reports whether a folded text is in one of the entry's.
func (e *Entry) contains(part string) bool {
	return part == "" || e.Flags&Encrypted == 0 && slices.ContainsFunc(e.texts, func(t string) bool { return strings.Contains(search.Fold(t), part) })
}

// addressed reports whether an address is the one that is looked for, or below it.
func addressed(j, want xmpp.JID) bool {
	switch {
	case want.IsZero() || j == want:
		return true
	case want.IsDomain():
		return j.Domain() == want.Domain()
	case want.IsBare():
		return j.Bare() == want
	}
	return false
}

// walker goes through messages in short Views, and makes entries of them outside.
type walker struct {
	a *Archive
	s *Search
	span
	done bool

	upto uint64   // what the index leads to lies up to here
	list []uint64 // of that, what is to be read next
}

func (w *walker) start(ctx context.Context) error {
	w.span = span{hi: maxID, backward: w.s.Reverse}
	if !w.s.Start.IsZero() {
		w.lo = TimeID(w.s.Start)
	}
	if !w.s.End.IsZero() {
		w.hi = TimeID(w.s.End)
	}
	w.done = w.empty()
	if w.s.Text == nil && !w.s.Files {
		return nil
	}
	return w.a.withIndex(ctx, func(ix indexed) error { w.upto = ix.upto; return nil })
}

// leads reports whether the index leads to what comes next.
func (w *walker) leads() bool {
	if w.backward {
		return w.hi <= w.upto+1 && w.upto > 0
	}
	return w.lo <= w.upto && w.upto > 0
}

const listAtOnce = 10_000

// refill asks the index for what comes next. It is not held while that is read: whoever it is for may be slow.
func (w *walker) refill(ctx context.Context) error {
	return w.a.withIndex(ctx, func(ix indexed) error {
		sp := w.span
		sp.hi = min(sp.hi, w.upto+1)
		if ix.upto < w.upto { // it is being built again
			w.upto = 0
			return nil
		}
		wanted := search.Wanted{
			Query: w.s.Text, Owner: uint64(w.s.Owner), Hidden: true, OrEncrypted: w.s.Text != nil,
			Lo: sp.lo, Hi: sp.hi, Limit: listAtOnce, Reverse: sp.backward,
		}
		if w.s.Files {
			wanted.Kind = search.HasFile
		}
		h, err := ix.find(ctx, wanted)
		if err != nil {
			return err
		}
		list, rest := order(h, sp)
		if w.list = list; sp.backward {
			w.hi = rest.hi
		} else {
			w.lo = rest.lo
		}
		return nil
	})
}

func (w *walker) next(ctx context.Context) (entries []*Entry, err error) {
	if len(w.list) == 0 && !w.empty() && w.leads() {
		if err := w.refill(ctx); err != nil {
			return nil, err
		}
	}
	all, x := w.a.index(w.s.Owner, xmpp.JID{}), w.a.index(w.s.Owner, w.s.With)
	err = w.a.db.View(ctx, func(tx store.Tx) error {
		switch {
		case len(w.list) > 0:
			entries = w.listed(tx, all)
		case w.empty():
			w.done = true
		case w.leads():
		case w.s.Owner == 0:
			entries = w.bodies(tx)
		default:
			entries = w.rows(tx, x)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := e.parse(); err != nil {
			w.a.unreadable(e.ID, err)
		}
	}
	return entries, nil
}

const walkBytes = 1 << 20

// floor is where the messages begin that are to be read in their order.
func (w *walker) floor() uint64 {
	if w.backward && w.upto > 0 {
		return max(w.lo, min(w.hi, w.upto+1))
	}
	return w.lo
}

// exhausted goes on with what the index leads to, if that comes behind.
func (w *walker) exhausted() {
	w.hi = w.floor()
	w.done = !w.backward || w.empty()
}

// listed reads messages that the search index led to.
func (w *walker) listed(tx store.Tx, all index) (entries []*Entry) {
	for rows := 0; len(w.list) > 0 && len(entries) < viewItems && rows < viewRows; rows++ {
		id := w.list[0]
		w.list = w.list[1:]
		if w.s.Owner != 0 && !all.has(tx, id) {
			continue
		}
		entries = w.appendEntry(entries, tx, id)
	}
	return entries
}

// appendEntry appends a message, if it is there and as the search says.
func (w *walker) appendEntry(entries []*Entry, tx store.Tx, id uint64) []*Entry {
	e, err := w.entry(tx, id)
	if err != nil {
		w.a.unreadable(id, err)
	}
	if e == nil {
		return entries
	}
	return append(entries, e)
}

func (w *walker) entry(tx store.Tx, id uint64) (*Entry, error) {
	v := tx.Get(spaceBody, appendID(nil, id))
	if v == nil {
		return nil, nil
	}
	var b body
	if err := b.decode(v); err != nil {
		return nil, err
	}
	if w.s.Owner != 0 {
		if r, ok, err := b.rowOf(w.s.Owner); err != nil || !ok || !w.wants(&r) {
			return nil, err
		}
	}
	return b.entry(id)
}

// wants reports whether the search wants what an owner sees in this way.
func (w *walker) wants(r *row) bool {
	return isWith(r.with, w.s.With) && (w.s.Direction != Incoming || r.incoming) && (w.s.Direction != Outgoing || !r.incoming)
}

func (w *walker) bodies(tx store.Tx) (entries []*Entry) {
	n, size := 0, 0
	r := store.Range{From: appendID(nil, w.floor()), To: appendID(nil, w.hi), Limit: viewRows, Reverse: w.backward}
	for k, v := range tx.Scan(spaceBody, r) {
		id := idOf(k)
		w.pass(id)
		n++
		e, err := newEntry(id, v)
		if err != nil {
			w.a.unreadable(id, err)
			continue
		}
		entries = append(entries, e)
		if size += len(e.Stanza); size > walkBytes {
			return entries
		}
	}
	if n < viewRows {
		w.exhausted()
	}
	return entries
}

func (w *walker) rows(tx store.Tx, x index) (entries []*Entry) {
	n := 0
	for e := range x.in(tx).scan(w.floor(), w.hi, w.backward) {
		w.pass(e.id)
		n++
		entries = w.appendEntry(entries, tx, e.id)
		if len(entries) == viewItems || n == viewRows {
			return entries
		}
	}
	w.exhausted()
	return entries
}

func newEntry(id uint64, v []byte) (*Entry, error) {
	var b body
	if err := b.decode(v); err != nil {
		return nil, err
	}
	return b.entry(id)
}

func (b *body) entry(id uint64) (*Entry, error) {
	e := &Entry{ID: id, Time: IDTime(id), Type: b.typ, Flags: b.flags, Stanza: bytes.Clone(b.stanza)}
	err := b.eachRow(func(r *row) bool { e.Owners = append(e.Owners, r.owner); return true })
	if err == nil {
		e.Retracted, err = b.tombstone()
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// parse reads what people wrote out of the stanza.
func (e *Entry) parse() error {
	st, err := xmpp.Parse(e.Stanza)
	if err != nil {
		return err
	}
	e.From, e.To = st.From, st.To
	for i := range st.Children {
		c := &st.Children[i]
		switch {
		case c.Is(xmpp.NSClient, "body"):
			text := c.Text()
			if e.Body == "" {
				e.Body = text
			}
			e.texts = append(e.texts, text)
		case c.Is(xmpp.NSClient, "subject"):
			text := c.Text()
			if e.Subject == "" {
				e.Subject = text
			}
			e.texts = append(e.texts, text)
		}
	}
	return nil
}
