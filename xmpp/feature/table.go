package feature

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// Table is the list of features made ready: what every stanza passes. It does
// not change once the server runs.
type Table struct {
	Stats Stats

	host     *Host
	features []Feature
	own      Gate // of what the server itself says

	iq       map[iqKey][]IQ
	accept   []func(*Dispatch) error
	amend    []func(*Dispatch)
	keep     []func(*Dispatch) error
	hold     []func(*Dispatch) bool
	after    []func(*Dispatch, *router.Batch)
	settled  []func(*Dispatch)
	presence []func(*Dispatch) (bool, error)
	services map[string]*Target // by label
	alias    *Target
	peers    []func(string) Peer
}

// Stats count what came from sessions and peers.
type Stats struct {
	Messages, Presences, IQs atomic.Int64
	Refused                  atomic.Int64 // stanzas that were answered by an error
}

func (s *Stats) note(k xmpp.Kind) {
	switch k {
	case xmpp.KindMessage:
		s.Messages.Add(1)
	case xmpp.KindPresence:
		s.Presences.Add(1)
	case xmpp.KindIQ:
		s.IQs.Add(1)
	}
}

type iqKey struct {
	space, local string
	set          bool
}

// NewTable makes the table of a list of features. An error names the feature
// that is wrong: two handlers of the same request for the same kind of address.
func NewTable(h *Host, features ...Feature) (*Table, error) {
	t := &Table{host: h, features: features, iq: map[iqKey][]IQ{}, services: map[string]*Target{}}
	for i := range features {
		f := &features[i]
		for _, q := range f.IQ {
			k := iqKey{q.Space, q.Local, q.Type == xmpp.TypeSet}
			for _, have := range t.iq[k] {
				if have.Where&q.Where != 0 {
					return nil, fmt.Errorf("%v: {%s}%s is answered by another feature already", f, q.Space, q.Local)
				}
			}
			t.iq[k] = append(t.iq[k], q)
		}
		for j := range f.Targets {
			x := &f.Targets[j]
			switch {
			case x.Where == Alias && t.alias == nil:
				t.alias = x
			case x.Where == Service && t.services[x.Label] == nil:
				t.services[x.Label] = x
			default:
				return nil, fmt.Errorf("%v: another feature answers for %q already", f, x.Label)
			}
		}
		if f.Accept != nil {
			t.accept = append(t.accept, f.Accept)
		}
		if f.Amend != nil {
			t.amend = append(t.amend, f.Amend)
		}
		if f.Keep != nil {
			t.keep = append(t.keep, f.Keep)
		}
		if f.Hold != nil {
			t.hold = append(t.hold, f.Hold)
		}
		if f.After != nil {
			t.after = append(t.after, f.After)
		}
		if f.Settled != nil {
			t.settled = append(t.settled, f.Settled)
		}
		if f.Presence != nil {
			t.presence = append(t.presence, f.Presence)
		}
		if f.Peer != nil {
			t.peers = append(t.peers, f.Peer)
		}
	}
	h.Table = t
	for i := range features {
		if start := features[i].Start; start != nil {
			if err := start(h); err != nil {
				return nil, fmt.Errorf("%v: %w", &features[i], err)
			}
		}
	}
	return t, nil
}

// Stop ends the features, in the reverse of their order. It is called once,
// when each session has ended or rests.
func (t *Table) Stop() {
	for i := len(t.features) - 1; i >= 0; i-- {
		if f := t.features[i].Stop; f != nil {
			f()
		}
	}
}

// Features returns the list that the table was made of, read-only.
func (t *Table) Features() []Feature { return t.features }

// Services calls fn for every service.
func (t *Table) Services(fn func(*Target)) {
	for i := range t.features {
		for j := range t.features[i].Targets {
			if x := &t.features[i].Targets[j]; x.Where == Service {
				fn(x)
			}
		}
	}
}

// StreamFeatures appends what a session may negotiate after login.
func (t *Table) StreamFeatures(domain string, dst []byte) []byte {
	for i := range t.features {
		if f := t.features[i].StreamFeatures; f != nil {
			dst = f(domain, dst)
		}
	}
	return dst
}

// Bound tells the features of a new session.
func (t *Table) Bound(s *router.Session) {
	for i := range t.features {
		if f := t.features[i].Bound; f != nil {
			f(s)
		}
	}
}

// Resumed tells the features that a session came back.
func (t *Table) Resumed(s *router.Session) {
	for i := range t.features {
		if f := t.features[i].Resumed; f != nil {
			f(s)
		}
	}
}

// Inactive tells the features that a session waits to be resumed.
func (t *Table) Inactive(s *router.Session) {
	for i := range t.features {
		if f := t.features[i].Inactive; f != nil {
			f(s)
		}
	}
}

// End ends a session and tells the features.
func (t *Table) End(s *router.Session) { t.EndBecause(s, nil) }

// EndBecause is End with an error for the session's client, if that is connected.
func (t *Table) EndBecause(s *router.Session, why *xmpp.StreamError) {
	lost, first := s.End(why)
	if first {
		t.ended(s, lost)
	}
}

func (t *Table) ended(s *router.Session, lost router.Unacknowledged) {
	// Messages are in the history. Requests that nobody will answer any more
	// get an error, so that who asked does not wait (XEP-0198 §8): before the
	// session leaves its rooms, through which others have asked.
	for _, raw := range lost.Stanzas {
		st, err := xmpp.Parse(raw)
		if err != nil || st.Kind != xmpp.KindIQ || st.Type != xmpp.TypeGet && st.Type != xmpp.TypeSet {
			continue
		}
		answer, err := xmpp.Parse(xmpp.AppendError(nil, st, xmpp.NewError(xmpp.RecipientUnavailable, "")))
		if err == nil {
			_ = t.Inject(s.JID(), answer) // whoever asked may be gone, too
		}
	}
	for i := range t.features {
		if f := t.features[i].Ended; f != nil {
			t.guarded(s, func() { f(s, lost) })
		}
	}
}

// guarded keeps a bug of a feature from ending more than what it was asked: a
// session may end on a timer's goroutine, where a panic would end the process.
func (t *Table) guarded(s *router.Session, fn func()) {
	defer func() {
		if p := recover(); p != nil {
			t.host.Log.Error("a feature panicked", "panic", p, "session", s.JID().String(), "stack", string(debug.Stack()))
		}
	}()
	fn()
}

// maxAsked is how many bytes may wait for a client that is to be told more because it asks for it, or comes online or into
// a room: whoever asks for much at once gets it at the pace of his reading.
const maxAsked = 64 << 10

// Handle takes one stanza from the batch's session or peer. The stanza and its
// bytes must stay as they are until the next Commit.
func (t *Table) Handle(b *Batch, st *xmpp.Stanza) {
	t.Stats.note(st.Kind)
	d := dispatches.Get().(*Dispatch)
	d.Stanza, d.Session, d.origin, d.host, d.batch = st, b.session, b.peer, t.host, b
	d.From, d.To = st.From, st.To
	if d.Session != nil {
		d.From = d.Session.JID()
		if d.To.IsZero() {
			d.To = d.From.Bare()
			d.Edit.To = d.To
		}
	}
	d.Edit.From, d.Edit.Lang = d.From, b.lang
	st.From = d.From // RFC 6120 §8.1.2.1; answers are addressed to it
	t.locate(d)
	defer t.recovered(d)
	if st.Kind != xmpp.KindMessage {
		t.Commit(b)
		if d.Session != nil {
			d.Session.Drain(maxAsked)
		}
	}
	b.count++ // not earlier: a commit of what came before does not count it (XEP-0198 §4)
	kept, err := t.pass(b, d)
	if err != nil {
		t.Commit(b)
		t.refuse(b, d, err)
	}
	if len(b.pending) == 0 {
		b.counted()
	}
	for _, fn := range d.then {
		fn()
	}
	if !kept {
		d.release()
	}
}

// Inject takes a stanza that the server itself, or a service of it, sends.
// from is stamped on it. It returns when the stanza has gone its way, stored
// first if it is to be stored. Once the table is closed it goes nowhere, and an error is returned.
func (t *Table) Inject(from xmpp.JID, st *xmpp.Stanza) error { return t.InjectOf(nil, from, st) }

// InjectOf is Inject for what the server says in the name of a peer.
func (t *Table) InjectOf(p Peer, from xmpp.JID, st *xmpp.Stanza) error {
	if !t.own.Enter() {
		return errClosed
	}
	defer t.own.Leave()
	b, d := new(Batch), new(Dispatch)
	d.Stanza, d.From, d.To, d.host, d.origin = st, from, st.To, t.host, p
	d.Edit.From, st.From = from, from
	t.locate(d)
	defer t.recovered(d)
	kept, err := t.pass(b, d)
	if kept {
		err = t.store(b)
	}
	b.out.Flush()
	return err
}

// recovered is deferred around feature code: a panic there is a bug of ours,
// which costs the sender's stream and nobody else's.
func (t *Table) recovered(d *Dispatch) {
	if p := recover(); p != nil {
		t.host.Log.Error("a handler panicked", "panic", p, "from", d.From.String(), "stanza", string(d.Stanza.Local), "stack", string(debug.Stack()))
		if d.Session != nil {
			d.Session.Close(&xmpp.StreamError{Condition: xmpp.StreamInternalServerError})
		}
	}
}

// pass lets a stanza pass the stages up to the store. kept says that it waits
// in the batch.
func (t *Table) pass(b *Batch, d *Dispatch) (kept bool, err error) {
	if d.Stanza.ToErr != nil {
		return false, d.Stanza.ToErr
	}
	for _, f := range t.accept {
		if err := f(d); err != nil {
			return false, err
		}
	}
	switch d.Stanza.Kind {
	case xmpp.KindIQ:
		return false, t.passIQ(b, d)
	case xmpp.KindPresence:
		return false, t.passPresence(d)
	}
	return t.passMessage(b, d)
}

func (t *Table) passMessage(b *Batch, d *Dispatch) (kept bool, err error) {
	unavailable := xmpp.NewError(xmpp.ServiceUnavailable, "")
	switch d.Where {
	case Self, Account, Full:
		d.Fate = t.host.Router.MessageFate(d.To, d.Stanza.MessageType())
		switch d.Fate {
		case router.Bounce:
			return false, unavailable
		case router.Ignore:
			return false, nil
		}
	case Service, Alias:
		if d.Target.Message == nil {
			return false, unavailable
		}
	case Remote:
		if d.Peer == nil {
			return false, xmpp.NewError(xmpp.RemoteServerNotFound, "")
		}
		if !d.Peer.Connected() {
			return false, ErrAway
		}
	default: // RFC 6121 §8.5.1; a message to the domain itself has no meaning yet
		if t.host.Directory.WasAlias(d.To) {
			return false, xmpp.NewError(xmpp.ItemNotFound, "")
		}
		return false, unavailable
	}
	for _, f := range t.amend {
		f(d)
	}
	if d.Target != nil {
		if err := d.Target.Message(d); err != nil {
			return false, err
		}
	}
	for _, f := range t.keep {
		if err := f(d); err != nil {
			return false, err
		}
	}
	if len(d.Copies) > 0 {
		b.pending = append(b.pending, d)
		b.reach += max(len(d.Copies), d.Reach)
		return true, nil
	}
	t.Commit(b)
	t.deliver(d, &b.out)
	return false, nil
}

// deliver hands a message to whoever is to get it, on the committer's
// goroutine if it was stored.
func (t *Table) deliver(d *Dispatch, out *router.Batch) {
	defer t.recovered(d)
	switch {
	case d.Target != nil:
		d.Target.Deliver(d, out)
	case d.Peer != nil:
		t.deliverElsewhere(d, out)
	default:
		t.deliverToAccount(d, out)
	}
	t.follow(d, out)
}

// follow is what comes after a delivery.
func (t *Table) follow(d *Dispatch, out *router.Batch) {
	for _, f := range t.after {
		f(d, out)
	}
	for _, f := range t.settled {
		f(d)
	}
}

func (t *Table) deliverToAccount(d *Dispatch, out *router.Batch) {
	held := false
	for _, f := range t.hold {
		if f(d) {
			held = true
		}
	}
	if held {
		return
	}
	// A message that nobody was there for (router.Later) goes this way too:
	// somebody may have come while it was stored, and has looked through the
	// history already.
	buf := xmpp.GetBuffer()
	if d.mold != nil {
		*buf = d.mold.append((*buf)[:0], d)
	} else {
		d.scratch = slices.Grow(d.scratch, 256)
		edit := d.EditFor(d.User.ID, d.scratch[:0])
		*buf = xmpp.Apply((*buf)[:0], d.Stanza, &edit)
	}
	d.Got = t.host.Router.DeliverMessage(out, &router.Message{To: d.To, Bytes: *buf, ID: d.ID, Exact: exact(d.Stanza), Not: t.notBack(d)}, d.Got[:0])
	xmpp.PutBuffer(buf)
}

// exact reports whether a message is for one client and nobody else, should that
// be gone meanwhile (RFC 6121 §8.5.3.2.1).
func exact(st *xmpp.Stanza) bool {
	switch st.MessageType() {
	case xmpp.TypeGroupchat, xmpp.TypeError, xmpp.TypeHeadline:
		return true
	}
	return false
}

// EditFor is the edit by which an owner of the message's history sees it, with
// its id there (XEP-0359 §3) if it is in it: what goes out live, in a carbon and
// as the result of a query is made by the same edit. The edit is valid as long
// as scratch and d are.
func (d *Dispatch) EditFor(owner directory.ID, scratch []byte) xmpp.Edit {
	for i := range d.Copies {
		c := &d.Copies[i]
		if c.Owner != owner {
			continue
		}
		edit := d.editOf(c)
		edit.Add = d.host.Table.AppendStanzaID(append(scratch, edit.Add...), c.OwnerJID, d.ID)
		return edit
	}
	return d.Edit
}

// editOf is EditFor but for the id.
func (d *Dispatch) editOf(c *Copy) xmpp.Edit {
	edit := d.Edit
	if c.Edit != nil {
		edit = *c.Edit
		if edit.Strip == nil {
			edit.Strip = d.Edit.Strip
		}
		if edit.Lang == "" {
			edit.Lang = d.Edit.Lang
		}
	}
	if !c.To.IsZero() {
		edit.To = c.To
	}
	return edit
}

// notBack names the session that does not get its own message: somebody who
// writes to their own bare address wants it on the other devices.
func (t *Table) notBack(d *Dispatch) *router.Session {
	if d.Where == Self {
		return d.Session
	}
	return nil
}

// AppendStanzaID appends the <stanza-id/> (XEP-0359 §3) of a message in the
// archive of owner.
func (t *Table) AppendStanzaID(dst []byte, owner xmpp.JID, id uint64) []byte {
	dst = append(dst, "<stanza-id xmlns='urn:xmpp:sid:0'"...)
	dst = xmpp.AppendAttr(dst, "by", owner.String())
	dst = append(dst, " id='"...)
	dst = t.host.Keeper.AppendID(dst, id)
	return append(dst, "'/>"...)
}

func (t *Table) passPresence(d *Dispatch) error {
	for _, f := range t.presence {
		if handled, err := f(d); handled || err != nil {
			return err
		}
	}
	if d.Target != nil && d.Target.Presence != nil {
		return d.Target.Presence(d)
	}
	if d.Peer != nil {
		return t.forward(nil, d)
	}
	return nil
}

// refuse answers with an error; what is none for peers is logged.
func (t *Table) refuse(b *Batch, d *Dispatch, err error) {
	if err == ErrDropped || d.Session == nil && d.origin == nil {
		return
	}
	t.Stats.Refused.Add(1)
	e := t.peerError(d, err)
	buf := xmpp.GetBuffer()
	*buf = xmpp.AppendError((*buf)[:0], d.Stanza, e)
	if len(*buf) > 0 {
		d.Reply(&b.out, *buf)
	}
	xmpp.PutBuffer(buf)
}

func (t *Table) peerError(d *Dispatch, err error) *xmpp.Error {
	var e *xmpp.Error
	if errors.As(err, &e) {
		return e
	}
	t.host.Log.Error("a request failed", "error", err, "from", d.From.String(), slog.String("payload", payloadName(d.Stanza)))
	return xmpp.NewError(xmpp.InternalServerError, "")
}

func payloadName(st *xmpp.Stanza) string {
	if p := st.Payload(); p != nil {
		return "{" + string(p.Space) + "}" + string(p.Local)
	}
	return string(st.Local)
}

// UserOf returns the sender's directory entry, nil if the sender is not ours.
func (d *Dispatch) UserOf() *directory.User {
	if d.Session == nil {
		return nil
	}
	return d.host.Directory.ByID(d.Session.User())
}
