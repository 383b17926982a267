package roster

import (
	"cmp"
	"slices"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// keepMarks is how many removals a list remembers for those who were away: half
// of them must be no fewer than keepRecent.
const keepMarks = 2 * keepRecent

// book is the list of one owner inside a transaction.
type book struct {
	tx    store.Tx
	owner directory.ID
	now   uint64
	meta  meta
}

func openBook(tx store.Tx, owner directory.ID, now time.Time) (*book, error) {
	m, err := parseMeta(tx.Get(space, keyMeta(owner)))
	if err != nil {
		return nil, err
	}
	return &book{tx, owner, uint64(max(now.UnixMicro(), 1)), m}, nil
}

// get returns the item of a contact, nil if there is none or only the mark of one.
func (b *book) get(contact xmpp.JID) (*Item, error) {
	it, err := b.record(contact)
	if it != nil && it.Removed {
		return nil, err
	}
	return it, err
}

func (b *book) record(contact xmpp.JID) (*Item, error) {
	key := keyItem(b.owner, contact)
	value := b.tx.Get(space, key)
	if value == nil {
		return nil, nil
	}
	return parseItem(key, value)
}

// edit is what a change made of a contact.
type edit struct {
	jid  xmpp.JID
	item *Item // nil: nothing is kept; may be the mark of a removal
	meta meta  // of the list after it
	show bool  // the list looks different now
}

// put makes next the item of a contact and gives it a revision if the list
// looks different with it.
func (b *book) put(next *Item) (edit, error) {
	before, err := b.record(next.JID)
	if err != nil {
		return edit{}, err
	}
	live := before
	if live != nil && live.Removed {
		live = nil
	}
	if live.equal(next) || live == nil && next.empty() {
		return edit{jid: next.JID, item: live, meta: b.meta}, nil
	}
	e := edit{jid: next.JID, item: next, show: !next.looksLike(live)}
	if e.show {
		b.meta.next(b.now)
		next.Rev = b.meta.rev()
	} else if before != nil {
		next.Rev = before.Rev // somebody may still have to hear of a removal
	}
	record := next
	if next.empty() {
		record = nil
		if next.Rev > 0 {
			record = &Item{JID: next.JID, Removed: true, Rev: next.Rev}
		}
		e.item = record
	}
	b.count(before, -1)
	b.count(record, +1)
	key := keyItem(b.owner, next.JID)
	if record == nil {
		err = b.tx.Delete(space, key)
	} else {
		err = b.tx.Put(space, key, record.append(nil))
	}
	if err == nil && b.meta.marks > keepMarks {
		err = b.forget()
	}
	if err == nil {
		err = b.tx.Put(space, keyMeta(b.owner), b.meta.append(nil))
	}
	e.meta = b.meta
	return e, err
}

func (b *book) count(it *Item, n int) {
	switch {
	case it == nil:
	case it.Removed:
		b.meta.marks += uint64(n)
	case it.Listed:
		b.meta.listed += uint64(n)
	default:
		b.meta.requests += uint64(n)
	}
}

// forget drops the older half of the marks.
func (b *book) forget() error {
	var marks []*Item
	for key, value := range b.tx.Scan(space, store.Range{Prefix: prefixItems(b.owner)}) {
		it, err := parseItem(key, value)
		if err != nil {
			return err
		}
		if it.Removed {
			marks = append(marks, it)
		}
	}
	slices.SortFunc(marks, func(x, y *Item) int { return cmp.Compare(x.Rev, y.Rev) })
	drop := marks[:len(marks)/2]
	for _, it := range drop {
		if err := b.tx.Delete(space, keyItem(b.owner, it.JID)); err != nil {
			return err
		}
	}
	b.meta.marks = uint64(len(marks) - len(drop))
	return nil
}

// eraseBook removes all that is kept of an owner.
func eraseBook(tx store.Tx, owner directory.ID) error {
	for key := range tx.Scan(space, store.Range{Prefix: prefixItems(owner)}) {
		if err := tx.Delete(space, key); err != nil {
			return err
		}
	}
	return tx.Delete(space, keyMeta(owner))
}

// readBook reads a whole list.
func readBook(tx store.Tx, owner directory.ID) (m meta, items map[xmpp.JID]*Item, err error) {
	if m, err = parseMeta(tx.Get(space, keyMeta(owner))); err != nil {
		return m, nil, err
	}
	items = make(map[xmpp.JID]*Item)
	for key, value := range tx.Scan(space, store.Range{Prefix: prefixItems(owner)}) {
		it, err := parseItem(key, value)
		if err != nil {
			return m, nil, err
		}
		items[it.JID] = it
	}
	return m, items, nil
}
