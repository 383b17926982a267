// Package archive is the history: what was said, kept before anybody hears it (XEP-0313).
//
// A message is stored once, with a row for each owner of an archive who has it: the sender, the recipient, the members
// of an alias, a room. A row says how its owner sees the message, as an [xmpp.Edit]; live copies, carbons and results of
// queries are made by the same edit, so they cannot differ. The message itself stays as it was sent: what a retraction
// hides from clients is still there for the auditor. In which order an owner has his messages, as a whole and by
// conversation, is in indices, which follow the messages: to keep one is to write one record, however many have it.
//
// Ids are microseconds since 1970, pushed apart where messages are closer than that. They ascend in the order in which
// messages are committed and delivered, they are the timestamps, and they are what clients know as stanza-id
// (XEP-0359).
//
// Messages leave an archive at its oldest end only ([Archive.Retain]) or all at once ([Archive.Purge]). The number that
// each has in an index, its ordinal, is therefore enough to count a range by looking at both its ends.
package archive

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"confab/archive/search"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Options are the settings of an archive.
type Options struct {
	Clock xmpp.Clock // nil: the system's
	Log   *slog.Logger
	// Links finds what a stanza links that is kept elsewhere as long as the message is: files that were uploaded here
	// (XEP-0363). It is given the bytes as they are stored, or an address. nil: there are no such things.
	Links   func(stanza []byte) []string
	Index   *search.Index // for full-text searches, which read all messages without it; may be nil
	MaxPage int           // the largest page that a query gets, and the one it gets if it names none; default 250 and 50
}

const (
	defaultMaxPage = 250
	defaultPage    = 50
)

// Archive is the history of all owners. It is safe for concurrent use.
type Archive struct {
	db      store.DB
	opts    Options
	stats   counters
	markers markers

	follower follower
	opened   uint64      // the last id when the archive was opened
	checked  atomic.Bool // the index was found to belong to the archive

	// next is the last id given away, durable or not; it belongs to the committer's goroutine after Open.
	next   uint64
	last   atomic.Uint64 // the last id on disk
	recent recent
}

// Open makes the archive in db ready. The db is the caller's to close.
func Open(ctx context.Context, db store.DB, o Options) (*Archive, error) {
	if o.Clock == nil {
		o.Clock = xmpp.SystemClock
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxPage <= 0 {
		o.MaxPage = defaultMaxPage
	}
	a := &Archive{db: db, opts: o}
	err := db.View(ctx, func(tx store.Tx) error {
		if v := tx.Get(spaceMeta, keyLast); len(v) == 8 {
			a.next = binary.BigEndian.Uint64(v)
		}
		for k := range tx.Scan(spaceBody, store.Range{Reverse: true, Limit: 1}) {
			a.next = max(a.next, idOf(k))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("archive: open: %w", err)
	}
	a.last.Store(a.next)
	a.opened = a.next
	a.follower.a = a
	if err := a.recall(ctx); err != nil {
		return nil, fmt.Errorf("archive: open: %w", err)
	}
	return a, nil
}

// Last returns the id of the last message on disk, whoever has it; 0 if there was never any.
func (a *Archive) Last() uint64 { return a.last.Load() }

// Message is a message on its way into the archive.
type Message struct {
	Stanza []byte    // self-contained, with its sender stamped
	Type   xmpp.Type // as sent
	Flags  Flags
	Rows   []Row  // of several for one owner only the first counts
	ID     uint64 // set by Keep
}

// Row says who has a message and how he sees it.
type Row struct {
	Owner    directory.ID
	With     xmpp.JID // the other side; the owner's own address in messages to himself; zero: found in no conversation
	Incoming bool     // sent to the owner
	Edit     *xmpp.Edit
	To       xmpp.JID // not zero: to whom the Edit addresses it. One Edit that several rows name, with To, is stored once
}

// Flags tell what is in a message without reading it.
type Flags uint32

const (
	HasBody   Flags = 1 << iota
	Encrypted       // nobody but the recipient's client can read it
	HasFile         // names a file that was shared
)

// Count is what to keep of a session's stream management (XEP-0198 §5): how many stanzas of the client were handled.
type Count struct {
	Key     string // empty: nothing to keep
	Handled uint32
}

// Also is what goes along with a batch.
type Also struct {
	Count Count

	// Write is called in the transaction, behind all else, when the messages have their ids. It may be called again.
	Write func(store.Tx) error

	// Deliver is called for each message after it is on disk, in the order of the ids of all messages, on the committer's
	// goroutine: it must not wait.
	Deliver func(*Message)

	// Flush is called once after all messages that were committed together were delivered. All callers of Keep name the
	// same one, or none.
	Flush func()
}

// Item is a message as it is in the archive of one owner.
type Item struct {
	ID        uint64
	Type      xmpp.Type
	Flags     Flags
	With      xmpp.JID
	Incoming  bool
	Stanza    []byte    // as it was sent
	Edit      xmpp.Edit // as the owner sees it
	Tombstone *Tombstone
}

// Time returns when the message was kept.
func (it *Item) Time() time.Time { return IDTime(it.ID) }

// Tombstone stands for a message that was retracted (XEP-0424) or moderated away (XEP-0425).
type Tombstone struct {
	ID     uint64   // of the retraction in the archive: when it was
	By     xmpp.JID // who retracted it
	Inside []byte   // what clients see in place of the content: <retracted/>, self-contained
}

// IDTime returns the time that an id stands for.
func IDTime(id uint64) time.Time { return time.UnixMicro(int64(id)).UTC() }

// TimeID returns the first id at or after t.
func TimeID(t time.Time) uint64 {
	us := t.UnixMicro()
	if us < 0 {
		return 0
	}
	if t.Nanosecond()%1000 != 0 {
		us++
	}
	return uint64(us)
}
