package archive

import (
	"context"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// NewOffline returns the feature by which people get what came while they were away (RFC 6121 §8.5.2.2, XEP-0160).
//
// An owner is either live, and gets every message at once, or not, and then messages stay behind the owner's marker. The
// first session that may get messages makes the owner live: what is behind the marker is sent to it, and the last of
// that, with the change itself, on the committer's goroutine, so that the order of ids is the order of delivery and
// nothing comes twice. A client that binds its address within its login (XEP-0386) reads the history, and makes its owner
// live without any of that. The feature stands before the roster in the list: it looks at a presence once that was handled.
func NewOffline(h *feature.Host, a *Archive) feature.Feature {
	o := &offline{host: h, archive: a, owners: map[directory.ID]*awaited{}}
	return feature.Feature{
		Name:       "offline",
		Implements: []feature.XEP{feature.Implements(160, "1.0.1", feature.Complete, "a view on the history: nothing is kept twice"), feature.Implements(203, "2.0", feature.Complete, "")},
		Advertise:  []feature.Advert{{Var: "msgoffline", Where: feature.Server}},
		Presence:   o.presence,
		Hold:       o.hold,
		Settled:    o.settled,
		Catchup:    o.catchup,
		Ended:      o.ended,
	}
}

type offline struct {
	host    *feature.Host
	archive *Archive

	mu     sync.Mutex
	owners map[directory.ID]*awaited // of those with a session that may get messages, or had one
}

// awaited is what is known of an owner; no value means: not live.
type awaited struct {
	live      bool
	replaying bool
	back      uint64              // not 0: the marker goes back here, and this is not on disk yet
	direct    map[uint64]struct{} // got by a session of their own while the owner was not live
	copied    map[uint64]struct{} // got as a copy by a session that gets no messages yet
}

// got reports whether somebody has a message that lies behind the marker.
func (w *awaited) got(id uint64) bool {
	_, direct := w.direct[id]
	_, copied := w.copied[id]
	return direct || copied
}

// add notes a message in one of the maps.
func add(m *map[uint64]struct{}, id uint64) {
	if *m == nil {
		*m = map[uint64]struct{}{}
	}
	if len(*m) < maxDirect {
		(*m)[id] = struct{}{}
	}
}

func (o *offline) of(id directory.ID) *awaited {
	w := o.owners[id]
	if w == nil {
		w = &awaited{}
		o.owners[id] = w
	}
	return w
}

// hold keeps a stored message for later where older ones wait.
func (o *offline) hold(d *feature.Dispatch) bool {
	if d.ID == 0 || d.User == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.owners[d.User.ID]; w != nil && w.live {
		return false
	}
	return !d.To.IsFull() || o.host.Router.Session(d.To) == nil
}

// settled follows what was delivered with the marker.
func (o *offline) settled(d *feature.Dispatch) {
	if d.ID == 0 || d.User == nil || !incoming(d) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.owners[d.User.ID]
	switch {
	case len(d.Got) == 0 && d.Copied:
		add(&o.of(d.User.ID).copied, d.ID)
	case len(d.Got) == 0:
		if w != nil && d.Where != feature.Self {
			w.live = false
		}
	case w != nil && w.live:
		o.archive.Advance(d.User.ID, d.ID)
	default:
		add(&o.of(d.User.ID).direct, d.ID)
	}
}

// catchup binds an address where the history ends, between two deliveries: what is older the client reads in the
// history, and what is newer it gets as it comes. The marker goes to that end.
func (o *offline) catchup(u *directory.User, bind func(bound []byte)) error {
	ctx := context.Background()
	bound := false
	err := o.archive.db.Update(ctx, func(tx store.Tx) error {
		first, last := ends(tx, u.ID)
		if last > readMarker(tx, u.ID) {
			if err := tx.Put(spaceMarker, appendOwner(nil, u.ID), appendID(nil, last)); err != nil {
				return err
			}
		}
		tx.OnCommit(func() {
			bound = true
			o.mu.Lock()
			w := o.of(u.ID)
			*w = awaited{live: true, replaying: w.replaying}
			o.archive.forgetMarker(u.ID)
			o.mu.Unlock()
			bind(AppendMetadata(nil, first, last))
		})
		return nil
	})
	if err == nil || bound {
		return err
	}
	// A history that takes no more can still be read.
	o.host.Log.Error("what somebody gets by reading the history was not written down", "error", err, "user", u.JID.String())
	first, last, err := o.archive.Ends(ctx, u.ID)
	if err == nil {
		bind(AppendMetadata(nil, first, last))
	}
	return err
}

// maxDirect bounds what is remembered of messages to a session with a negative priority; beyond, they come again.
const maxDirect = 1000

func incoming(d *feature.Dispatch) bool {
	for i := range d.Copies {
		if d.Copies[i].Owner == d.User.ID {
			return d.Copies[i].Incoming
		}
	}
	return false
}

// presence makes the owner live when a session begins to get messages.
func (o *offline) presence(d *feature.Dispatch) (handled bool, err error) {
	if d.Session != nil && d.Stanza.To.IsZero() && d.Stanza.Type == xmpp.TypeNone {
		d.Then(func() { o.available(d.Session) })
	}
	return false, nil
}

func (o *offline) available(s *router.Session) {
	if p := s.Presence(); !p.Available || p.Priority < 0 {
		return
	}
	o.mu.Lock()
	w := o.of(s.User())
	if w.live || w.replaying {
		o.mu.Unlock()
		return
	}
	w.replaying = true
	back := w.back
	o.mu.Unlock()
	err := o.replay(s, back)
	o.mu.Lock()
	w.replaying = false
	o.mu.Unlock()
	if err != nil && s.Alive() {
		// Until it works, what is sent to the owner waits: it must not overtake what is older.
		o.host.Log.Error("what came while somebody was away could not be read", "error", err, "user", s.JID().Bare().String())
		o.host.Clock.AfterFunc(replayRetry, func() { o.available(s) })
	}
}

const replayRetry = 5 * time.Second

// replayPage is how much may wait in the out buffer before more is read.
const replayPage = 256 << 10

// replay sends what is behind the marker.
func (o *offline) replay(s *router.Session, back uint64) error {
	ctx := context.Background()
	owner := s.User()
	last, err := o.archive.Marker(ctx, owner)
	if err != nil {
		return err
	}
	if back != 0 {
		last = min(last, back-1)
	}
	send := func(it *Item) error {
		o.send(s, nil, it)
		return drain(s)
	}
	for {
		before := last
		if last, err = o.archive.Spool(ctx, owner, last, send); err != nil {
			return err
		}
		if last == before {
			break
		}
	}
	// What was stored meanwhile is held back; it is sent where the order of all deliveries is made.
	var rest []Item
	var out router.Batch
	return o.archive.db.Update(ctx, func(tx store.Tx) error {
		var end uint64
		if rest, end, err = o.archive.spoolIn(tx, owner, last); err != nil {
			return err
		}
		if err := tx.Put(spaceMarker, appendOwner(nil, owner), appendID(nil, end)); err != nil {
			return err
		}
		tx.OnCommit(func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			w := o.of(owner)
			for i := range rest {
				if !w.got(rest[i].ID) {
					o.sendLocked(s, &out, &rest[i])
				}
			}
			out.Flush()
			*w = awaited{live: true, replaying: true}
			o.archive.forgetMarker(owner)
		})
		return nil
	})
}

func (o *offline) send(s *router.Session, out *router.Batch, it *Item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.owners[s.User()]; w != nil && w.got(it.ID) {
		return
	}
	o.sendLocked(s, out, it)
}

// sendLocked sends a message with its id and the time at which it came (XEP-0203), to the session alone.
func (o *offline) sendLocked(s *router.Session, out *router.Batch, it *Item) {
	add := AppendStanzaID(nil, s.JID().Bare(), it.ID)
	add = AppendDelay(add, s.JID().DomainJID(), it.Time())
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	b, err := it.Append((*buf)[:0], "", add)
	if err != nil {
		o.host.Log.Error("a message in the history cannot be read", "error", err, "id", FormatID(it.ID))
		return
	}
	*buf = b
	s.SendKept(out, b, it.ID)
}

// ended marks what a session never acknowledged as not got, if it was the last that could.
func (o *offline) ended(s *router.Session, lost router.Unacknowledged) {
	if a := o.host.Router.Account(s.JID()); a != nil {
		others := false
		a.Each(func(x *router.Session) {
			p := x.PresenceLocked()
			others = others || p.Available && p.Priority >= 0
		})
		if others {
			return
		}
	}
	o.mu.Lock()
	w := o.of(s.User())
	w.live, w.copied = false, nil // whether a copy arrived is not known
	if lost.FirstID == 0 {
		if w.back == 0 && len(w.direct) == 0 && !w.replaying {
			delete(o.owners, s.User())
		}
		o.mu.Unlock()
		return
	}
	if w.back == 0 || lost.FirstID < w.back {
		w.back = lost.FirstID
	}
	back := w.back
	o.mu.Unlock()
	if err := o.archive.SetMarker(context.Background(), s.User(), back-1); err != nil {
		o.host.Log.Error("what was not got could not be written down", "error", err, "user", s.JID().Bare().String())
	}
}

// drain waits until the session's own connection has taken most of what it was sent.
func drain(s *router.Session) error {
	if c, ok := s.Conn().(interface{ Drain(n int) error }); ok {
		return c.Drain(replayPage)
	}
	return nil
}
