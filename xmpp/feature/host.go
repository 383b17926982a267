package feature

import (
	"log/slog"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Host is what the server offers to its features.
type Host struct {
	Clock     xmpp.Clock
	Directory *directory.Directory
	Router    *router.Router
	State     store.DB // state.db
	Log       *slog.Logger
	Table     *Table // set before Start is called

	// Keeper stores messages and delivers them; the archive.
	Keeper Keeper
}

// Now returns the time.
func (h *Host) Now() time.Time { return h.Clock.Now() }

// Ask makes the request by which the server asks one of its addresses what it
// would tell anybody. It has no payload and no session.
func (h *Host) Ask(to xmpp.JID) *Query {
	d := &Dispatch{Stanza: new(xmpp.Stanza), From: to.DomainJID(), To: to, host: h}
	h.Table.locate(d)
	return &Query{Dispatch: d}
}

// Keeper stores a batch of messages that have Copies, and calls deliver for
// each in the order of the ids it gave them, once they are on disk, then
// flush. If it returns an error, nothing was stored and nothing delivered.
type Keeper interface {
	Keep(batch []*Dispatch, count Count, deliver func(*Dispatch, *router.Batch)) error
	// AppendID appends the text form of an id.
	AppendID(dst []byte, id uint64) []byte
}

// Count is what to store with a batch so that a client can be told after a
// crash what was handled (XEP-0198 §5).
type Count struct {
	Token   string // of the session; empty: nothing to store
	Handled uint32
}
