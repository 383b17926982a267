package archive

import (
	"context"
	"errors"
	"slices"
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
	o := &offline{host: h, archive: a, owners: map[directory.ID]*awaited{}, returned: map[*router.Session]uint64{}, least: map[directory.ID]uint64{}}
	return feature.Feature{
		Name:       "offline",
		Implements: []feature.XEP{feature.Implements(160, "1.0.1", feature.Complete, "a view on the history: nothing is kept twice"), feature.Implements(203, "2.0", feature.Complete, "")},
		Advertise:  []feature.Advert{{Var: "msgoffline", Where: feature.Server}},
		Presence:   o.presence,
		Hold:       o.hold,
		Settled:    o.settled,
		Catchup:    o.catchup,
		Ended:      o.ended,
		Resumed:    o.resumed,
		Restart:    feature.Restart{Save: o.save, Restore: o.restore},
		Stop:       o.stop,
	}
}

type offline struct {
	host    *feature.Host
	archive *Archive

	mu     sync.Mutex
	owners map[directory.ID]*awaited // of those with a session that may get messages, or had one

	rest     sync.WaitGroup             // goroutines that send what waits
	returned map[*router.Session]uint64 // of restored sessions that were not resumed yet: where the marker goes then
	least    map[directory.ID]uint64    // while sessions are saved: from where on none of an owner's has everything; 0: one has
}

// awaited is what is known of an owner; no value means: not live.
type awaited struct {
	live      bool
	replaying *router.Session            // is sent what waits; nil: nobody is
	back      uint64                     // not 0: the marker goes back here, and this is not on disk yet
	setbacks  int                        // how often back was set
	since     map[*router.Session]uint64 // the end of the history when a session began to get messages
	direct    map[uint64]*router.Session // got by a session while the owner was not live
	copied    map[uint64]*router.Session // got as a copy by a session that gets no messages yet

	// While what waits is sent to one session, others may come: they get what came since then, held back like all else,
	// from the same hand; or, if they bound where the history ends, by themselves, which is the end of the replay.
	also []latecomer
	upto uint64 // not 0: where it ends
}

// latecomer is a session that began to get messages after an id.
type latecomer struct {
	session *router.Session
	after   uint64
}

// got reports whether somebody has a message that lies behind the marker.
func (w *awaited) got(id uint64) bool {
	_, direct := w.direct[id]
	_, copied := w.copied[id]
	return direct || copied
}

// add notes a message, and who got it if that is known, in one of the maps.
func add(m *map[uint64]*router.Session, id uint64, s *router.Session) {
	if *m == nil {
		*m = map[uint64]*router.Session{}
	}
	if len(*m) < maxDirect {
		(*m)[id] = s
	}
}

// setBack has the marker go back: nobody got the message with this id.
func (w *awaited) setBack(id uint64) {
	w.setbacks++
	if w.back == 0 || id < w.back {
		w.back = id
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
		if o.host.Router.Account(d.User.JID) != nil {
			add(&o.of(d.User.ID).copied, d.ID, nil)
		}
	case len(d.Got) == 0:
		if w != nil && d.Where != feature.Self {
			w.live = false
		}
	case w != nil && w.live:
		o.archive.Advance(d.User.ID, d.ID)
	default:
		// Of one that has ended meanwhile, the end says what it got.
		if i := slices.IndexFunc(d.Got, (*router.Session).Alive); i >= 0 {
			add(&o.of(d.User.ID).direct, d.ID, d.Got[i])
		}
	}
}

// catchup binds an address where the history ends, between two deliveries: what is older the client reads in the
// history, and what is newer it gets as it comes. The marker goes to that end.
func (o *offline) catchup(u *directory.User, bind func(bound []byte)) error {
	ctx := context.Background()
	bound := false
	err := o.archive.db.Update(ctx, func(tx store.Tx) error {
		first, last := o.archive.endsIn(tx, u.ID)
		if last > readMarker(tx, u.ID) {
			if err := tx.Put(spaceMarker, appendOwner(nil, u.ID), appendID(nil, last)); err != nil {
				return err
			}
		}
		tx.OnCommit(func() {
			bound = true
			o.mu.Lock()
			w := o.of(u.ID)
			*w = awaited{live: true, replaying: w.replaying, since: w.since}
			if w.replaying != nil {
				w.upto = max(last, 1)
			}
			o.archive.Advance(u.ID, last) // on disk the marker may just have been put back
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
	if d.Session != nil && d.Stanza.To.IsZero() && (d.Stanza.Type == xmpp.TypeNone || d.Stanza.Type == xmpp.TypeUnavailable) {
		d.Then(func() { o.available(d.Session) })
	}
	return false, nil
}

func (o *offline) available(s *router.Session) {
	p := s.Presence()
	o.mu.Lock()
	if !p.Available || p.Priority < 0 {
		if w := o.owners[s.User()]; w != nil {
			delete(w.since, s)
		}
		o.mu.Unlock()
		return
	}
	w := o.of(s.User())
	if _, there := w.since[s]; !there && s.Alive() {
		if w.since == nil {
			w.since = map[*router.Session]uint64{}
		}
		w.since[s] = o.archive.Last()
	}
	if w.live || w.replaying != nil {
		if !w.live && w.replaying != s && !slices.ContainsFunc(w.also, func(l latecomer) bool { return l.session == s }) {
			w.also = append(w.also, latecomer{s, o.archive.Last()})
		}
		o.mu.Unlock()
		return
	}
	w.replaying = s
	back, setbacks := w.back, w.setbacks
	o.mu.Unlock()
	err := o.replay(s, back, setbacks)
	o.mu.Lock()
	w.replaying, w.also, w.upto = nil, nil, 0
	live := w.live
	o.tidy(s.User(), w)
	o.mu.Unlock()
	switch {
	case live:
	case !s.Alive():
		o.next(s)
	default:
		// Until it works, what is sent to the owner waits: it must not overtake what is older.
		o.host.Log.Error("what came while somebody was away could not be read", "error", err, "user", s.JID().Bare().String())
		o.host.Clock.AfterFunc(replayRetry, func() { o.next(s) })
	}
}

const replayRetry = 5 * time.Second

// next turns to a session of s's account that may get messages, if there is one: the owner is not live.
func (o *offline) next(s *router.Session) {
	a := o.host.Router.Account(s.JID())
	if a == nil {
		return
	}
	var found *router.Session
	a.Each(func(x *router.Session) {
		if p := x.PresenceLocked(); found == nil && p.Available && p.Priority >= 0 && x.Alive() {
			found = x
		}
	})
	if found != nil {
		// On a goroutine of its own: it may wait for that session's socket.
		o.rest.Go(func() { o.available(found) })
	}
}

// replayPage is how much may wait in the out buffer before more is read.
const replayPage = 256 << 10

// errEnded means that a session ended while it was sent what waits.
var errEnded = errors.New("the session has ended")

// replay sends what is behind the marker, or behind where that goes back to.
func (o *offline) replay(s *router.Session, back uint64, setbacks int) error {
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
		if !o.send(s, it) {
			return errEnded
		}
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
	var end uint64
	err = o.archive.db.Update(ctx, func(tx store.Tx) error {
		if !o.steady(s, setbacks) {
			return errEnded
		}
		rest, end = o.archive.spoolIn(tx, owner, last)
		// Most often nothing came: then nothing has to be written, and this only finds its place among the deliveries.
		if end != readMarker(tx, owner) {
			if err := tx.Put(spaceMarker, appendOwner(nil, owner), appendID(nil, end)); err != nil {
				return err
			}
		}
		tx.OnCommit(func() { o.goLive(s, setbacks, rest, end) })
		return nil
	})
	if err != nil {
		return err
	}
	return o.putBack(owner)
}

// steady reports whether a session that is sent what waits is there still, and nothing more was found to wait.
func (o *offline) steady(s *router.Session, setbacks int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.of(s.User())
	return s.Alive() && (w.live || w.setbacks == setbacks)
}

// goLive sends the last of what waited and makes the owner live. It runs on the committer's goroutine.
func (o *offline) goLive(s *router.Session, setbacks int, rest []Item, end uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.of(s.User())
	var out router.Batch
	defer out.Flush()
	for i := range rest {
		if !o.sendLocked(w, s, &out, &rest[i]) {
			if !w.live {
				w.setBack(rest[i].ID)
			}
			break
		}
	}
	if !w.live && (w.setbacks != setbacks || !s.Alive()) {
		return // putBack undoes what was written
	}
	*w = awaited{live: true, replaying: s, since: w.since}
	o.archive.Advance(s.User(), end) // on disk it may just have been put back
}

func (o *offline) send(s *router.Session, it *Item) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sendLocked(o.of(s.User()), s, nil, it)
}

// sendLocked sends a message that waited to the session and to those that had come when it did. It reports false if the session has ended.
func (o *offline) sendLocked(w *awaited, s *router.Session, out *router.Batch, it *Item) bool {
	if w.got(it.ID) || w.upto != 0 && it.ID > w.upto {
		return s.Alive()
	}
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	if !o.render(buf, s, it) {
		return s.Alive()
	}
	sent := s.SendKept(out, *buf, it.ID)
	for _, l := range w.also {
		if it.ID > l.after && l.session.SendKept(out, *buf, it.ID) && !w.got(it.ID) {
			add(&w.direct, it.ID, l.session)
		}
	}
	return sent
}

// sendTo sends a message that waited to one session.
func (o *offline) sendTo(s *router.Session, it *Item) bool {
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	if !o.render(buf, s, it) {
		return s.Alive()
	}
	return s.SendKept(nil, *buf, it.ID)
}

// render writes a message with its id and the time at which it came (XEP-0203); false: that cannot be.
func (o *offline) render(buf *[]byte, s *router.Session, it *Item) bool {
	extra := AppendStanzaID(nil, s.JID().Bare(), it.ID)
	extra = AppendDelay(extra, s.JID().DomainJID(), it.Time())
	b, err := it.Append((*buf)[:0], "", extra)
	if err != nil {
		o.host.Log.Error("a message in the history cannot be read", "error", err, "id", FormatID(it.ID))
		return false
	}
	*buf = b
	return true
}

// ended marks what a session never acknowledged as not got, if it was the last that could. Sessions that came after that
// was sent get it now; those that were there when it was have it.
func (o *offline) ended(s *router.Session, lost router.Unacknowledged) {
	var others []*router.Session
	if a := o.host.Router.Account(s.JID()); a != nil {
		a.Each(func(x *router.Session) {
			if p := x.PresenceLocked(); p.Available && p.Priority >= 0 {
				others = append(others, x)
			}
		})
	}
	o.mu.Lock()
	delete(o.returned, s)
	w := o.of(s.User())
	delete(w.since, s)
	for id, got := range w.direct {
		if got == s && lost.FirstID != 0 && id >= lost.FirstID {
			delete(w.direct, id)
		}
	}
	if len(others) > 0 && (w.live || w.replaying != nil && w.replaying != s) {
		if lost.FirstID != 0 && w.live {
			o.passOn(w, lost.FirstID, others)
		}
		o.mu.Unlock()
		return
	}
	w.live, w.copied = false, nil // whether a copy arrived is not known
	if lost.FirstID != 0 {
		if w.replaying == s {
			o.archive.Advance(s.User(), lost.FirstID-1) // so far it got what waits
		}
		w.setBack(lost.FirstID)
	}
	o.tidy(s.User(), w)
	o.mu.Unlock()
	if err := o.putBack(s.User()); err != nil {
		o.host.Log.Error("what was not got could not be written down", "error", err, "user", s.JID().Bare().String())
	}
	o.next(s) // somebody may have come meanwhile
}

// caughtUp is set for sessions that read their history up to its end: they have all that came before.
var caughtUp = router.NewFlag("offline: caught up")

// passOn sends what a session lost to those that came later, unless one was there all the time. Call with o.mu held.
func (o *offline) passOn(w *awaited, from uint64, to []*router.Session) {
	for _, x := range to {
		if since, ok := w.since[x]; !ok || since < from {
			return
		}
	}
	for _, x := range to {
		if x.Has(caughtUp) {
			continue
		}
		upto := w.since[x]
		// On a goroutine of its own: it may wait for that session's socket.
		o.rest.Go(func() {
			_, err := o.archive.Spool(context.Background(), x.User(), from-1, func(it *Item) error {
				if it.ID > upto || !o.sendTo(x, it) {
					return errEnded
				}
				return drain(x)
			})
			if err != nil && !errors.Is(err, errEnded) {
				o.host.Log.Error("what another session lost could not be read", "error", err, "user", x.JID().Bare().String())
			}
		})
	}
}

// tidy forgets an owner of whom there is nothing to know. Call with o.mu held.
func (o *offline) tidy(owner directory.ID, w *awaited) {
	if !w.live && w.replaying == nil && w.back == 0 && len(w.direct)+len(w.copied)+len(w.since) == 0 {
		delete(o.owners, owner)
	}
}

// putBack writes down where the marker goes back to, unless that was sent again meanwhile.
func (o *offline) putBack(owner directory.ID) error {
	o.mu.Lock()
	var back uint64
	if w := o.owners[owner]; w != nil {
		back = w.back
	}
	if back != 0 {
		o.archive.lowerMarker(owner, back-1)
	}
	o.mu.Unlock()
	if back == 0 {
		return nil
	}
	return o.archive.db.Update(context.Background(), func(tx store.Tx) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if w := o.owners[owner]; w == nil || w.back != back {
			return nil
		}
		tx.OnCommit(func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			if w := o.owners[owner]; w != nil && w.back == back {
				w.back = 0
				o.tidy(owner, w)
			}
		})
		// Never forward: what one got out of turn is no sign that it got what waits.
		marker := min(back-1, max(readMarker(tx, owner), o.archive.moved(owner)))
		return tx.Put(spaceMarker, appendOwner(nil, owner), appendID(nil, marker))
	})
}

// drain waits until the session's own connection has taken most of what it was sent.
func drain(s *router.Session) error {
	if c, ok := s.Conn().(interface{ Drain(n int) error }); ok {
		return c.Drain(replayPage)
	}
	return nil
}
