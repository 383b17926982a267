// Package lastactivity tells how long ago somebody logged out and what the last
// status was, and how long the server has been running (XEP-0012).
//
// Only those who may see somebody's presence are told. To others an account
// looks like one that does not exist.
package lastactivity

import (
	"context"
	"strconv"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// Options are what the feature needs of others.
type Options struct {
	// MaySee reports whether a contact is sent the presence of a user.
	MaySee func(owner directory.ID, contact xmpp.JID) bool
}

// New returns the feature.
func New(o Options) feature.Feature {
	l := &last{maySee: o.MaySee}
	const where = feature.Server | feature.Self | feature.Account
	return feature.Feature{
		Name:       "lastactivity",
		Implements: []feature.XEP{feature.Implements(12, "2.0", feature.Complete, "")},
		Advertise:  []feature.Advert{{Var: xmpp.NSLast, Where: where}},
		IQ:         []feature.IQ{feature.Get(xmpp.NSLast, "query", where|feature.Nobody, l.answer)},
		Accept:     l.accept,
		Ended:      l.ended,
		Restart: feature.Restart{
			Save: func(s *router.Session) []byte {
				if text, _ := status.Peek(s.Account()); text != "" {
					return []byte(text)
				}
				return nil
			},
			Restore: func(s *router.Session, text []byte) error {
				if len(text) > 0 {
					status.Put(s.Account(), string(text))
				}
				return nil
			},
		},
		Start: l.start,
		Stop:  func() { l.book.flush() },
	}
}

// status is what an account said when it last became unavailable.
var status = router.NewSlot[string]()

// maxStatus bounds what is kept of it, in bytes.
const maxStatus = 1024

type last struct {
	maySee  func(directory.ID, xmpp.JID) bool
	host    *feature.Host
	started time.Time
	book    book
}

func (l *last) start(h *feature.Host) error {
	l.host, l.started = h, h.Now()
	l.book.open(h)
	return nil
}

// accept watches over what passes by: a request to a client goes there only if
// it may be answered (§4), and what people say on leaving is noted. It is the
// first stage, since at that of presence the roster ends the way.
func (l *last) accept(d *feature.Dispatch) error {
	st := d.Stanza
	switch {
	case st.Kind == xmpp.KindPresence && d.Session != nil && st.To.IsZero():
		l.noteStatus(d.Session.Account(), st)
	case st.Kind == xmpp.KindIQ && d.Where == feature.Full && st.Type == xmpp.TypeGet:
		if p := st.Payload(); p != nil && p.Is(xmpp.NSLast, "query") && !l.told(d) {
			return xmpp.NewError(xmpp.Forbidden, "")
		}
	}
	return nil
}

func (l *last) noteStatus(a *router.Account, st *xmpp.Stanza) {
	var text string
	switch st.Type {
	case xmpp.TypeUnavailable:
		if e := st.Child("", "status"); e != nil {
			text = e.Text()
		}
		if len(text) > maxStatus {
			text = strings.ToValidUTF8(text[:maxStatus], "")
		}
	case xmpp.TypeNone:
	default:
		return
	}
	if had, _ := status.Peek(a); had != text {
		status.Put(a, text)
	}
}

// told reports whether the sender may know when the user of the address was here.
func (l *last) told(d *feature.Dispatch) bool {
	return d.User != nil && (d.From.Bare() == d.User.JID || l.maySee(d.User.ID, d.From))
}

// ended notes that somebody has logged out: the account's last session is gone.
func (l *last) ended(s *router.Session, _ router.Unacknowledged) {
	a, here := s.Account(), false
	a.Each(func(*router.Session) { here = true })
	if here || l.host.Directory.ByID(s.User()) == nil {
		return
	}
	text, _ := status.Peek(a)
	l.book.note(s.User(), record{l.host.Now(), text})
}

func (l *last) answer(q *feature.Query, dst []byte) ([]byte, error) {
	now := l.host.Now()
	if q.Where == feature.Server { // §5
		return appendLast(dst, now.Sub(l.started), ""), nil
	}
	if !l.told(q.Dispatch) { // §3
		return nil, xmpp.NewError(xmpp.Forbidden, "")
	}
	if l.host.Router.Account(q.To) != nil {
		return appendLast(dst, 0, ""), nil
	}
	r, ok, err := l.book.find(context.Background(), q.User.ID)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, xmpp.NewError(xmpp.ItemNotFound, "this user has never logged out")
	}
	return appendLast(dst, now.Sub(r.at), r.status), nil
}

func appendLast(dst []byte, ago time.Duration, text string) []byte {
	dst = append(dst, "<query xmlns='"+xmpp.NSLast+"' seconds='"...)
	dst = strconv.AppendInt(dst, max(0, int64(ago/time.Second)), 10)
	dst = append(dst, "'>"...)
	return append(xmpp.AppendText(dst, text), "</query>"...)
}
