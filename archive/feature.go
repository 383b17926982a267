package archive

import (
	"context"
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

const (
	nsGroupchatField = "urn:xmpp:mam:2#groupchat-field"
	nsTombstone      = "urn:xmpp:message-retract:1#tombstone"
)

// New is the history as a feature: what is kept of messages between people, and the queries of their clients.
func New(h *feature.Host, a *Archive) feature.Feature {
	const own = feature.Self
	m := &mam{host: h, archive: a}
	return feature.Feature{
		Name: "archive",
		Implements: []feature.XEP{
			feature.Implements(313, "1.1.3", feature.Complete, "users and rooms"),
			feature.Implements(334, "1.0.0", feature.Partial, "bodies are kept in spite of <no-store/>: history cannot be turned off"),
			feature.Implements(359, "0.7.0", feature.Complete, ""),
			feature.Implements(424, "0.4.2", feature.Complete, "tombstones for clients, the original for the auditor"),
			feature.Implements(431, "0.2.0", feature.Complete, "users and rooms; words in any order, \"a phrase\"; accents make no difference"),
			feature.Implements(441, "0.2.0", feature.Complete, "the answer is always <always/>"),
		},
		Advertise: []feature.Advert{
			{Var: xmpp.NSMAM, Where: own}, {Var: xmpp.NSMAMExt, Where: own}, {Var: nsGroupchatField, Where: own},
			{Var: NSFulltext, Where: own}, {Var: NSFiles, Where: own},
			{Var: xmpp.NSSID, Where: own | feature.Server},
			{Var: xmpp.NSRetract, Where: own | feature.Server}, {Var: nsTombstone, Where: own},
		},
		IQ: []feature.IQ{
			feature.Set(xmpp.NSMAM, "query", own, m.query),
			feature.Get(xmpp.NSMAM, "query", own, func(_ *feature.Query, dst []byte) ([]byte, error) { return AppendFields(dst), nil }),
			feature.Get(xmpp.NSMAM, "metadata", own, m.metadata),
			feature.Get(xmpp.NSMAM, "prefs", own, func(_ *feature.Query, dst []byte) ([]byte, error) { return AppendPrefs(dst), nil }),
			feature.Set(xmpp.NSMAM, "prefs", own, func(*feature.Query, []byte) ([]byte, error) {
				return nil, xmpp.NewError(xmpp.NotAllowed, "history is kept of everything and cannot be turned off")
			}),
		},
		Amend: m.amend,
		Keep:  keep,
		Stop: func() {
			if err := a.SyncMarkers(context.Background()); err != nil {
				a.opts.Log.Error("who got what was not written down", "err", err)
			}
		},
	}
}

type mam struct {
	host    *feature.Host
	archive *Archive
}

// query answers with the items of a page and then with where they lie (XEP-0313 §4).
func (m *mam) query(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil {
		return nil, xmpp.NewError(xmpp.Forbidden, "")
	}
	r, err := ParseRequest(q.Payload.Node())
	if err != nil {
		return nil, err
	}
	if r.Node != "" {
		return nil, xmpp.NewError(xmpp.ItemNotFound, "the archive of a user has no nodes")
	}
	r.Owner = q.Session.User()
	r.With = m.host.Directory.Conversation(r.With)
	ctx := context.Background()
	var out router.Batch
	result, err := m.archive.Answer(ctx, r, Delivery{From: q.From.Bare(), To: q.From}, func(b []byte) { q.Session.Send(&out, b) })
	if err != nil {
		out.Flush()
		return nil, err
	}
	q.Then(out.Flush)
	if m.archive.noteRead(r.Query, result) {
		q.Session.Set(caughtUp)
	}
	return AppendFin(dst, result), nil
}

// Answer sends the items of a page to whoever asked for it. The caller has checked that they may.
func (a *Archive) Answer(ctx context.Context, r Request, d Delivery, send func([]byte)) (Result, error) {
	d.QueryID = r.QueryID
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	return a.Page(ctx, r.Query, func(it *Item) error {
		b, err := d.AppendResult((*buf)[:0], it)
		*buf = b[:0]
		if err != nil {
			// One that cannot be shown must not hide all others for ever.
			a.unreadable(it.ID, err)
			return nil
		}
		send(b)
		return nil
	})
}

// noteRead moves the marker of what the owner got to the end of a page, if nothing between the marker and the page was
// left out. It reports whether that is the end of the history.
func (a *Archive) noteRead(q Query, r Result) bool {
	if !q.With.IsZero() || q.IDs != nil || q.asks() || q.HasIndex || q.BeforeID != 0 || q.Before != 0 || !q.End.IsZero() {
		return false
	}
	newest := q.Last && r.Last != 0 // whoever asks for that gets older ones by scrolling back
	if !newest && !q.Start.IsZero() {
		marker, err := a.Marker(context.Background(), q.Owner)
		if err != nil || TimeID(q.Start) > marker+1 {
			return false
		}
	}
	if r.Last != 0 { // otherwise nothing is new
		a.Advance(q.Owner, r.Last)
	}
	return newest || r.Complete
}

func (m *mam) metadata(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil {
		return nil, xmpp.NewError(xmpp.Forbidden, "")
	}
	first, last, err := m.archive.Ends(context.Background(), q.Session.User())
	if err != nil {
		return nil, err
	}
	return AppendMetadata(dst, first, last), nil
}

// amend takes out what would pass for an id that an archive of ours gave (XEP-0359 §6, rules 3 and 4).
func (m *mam) amend(d *feature.Dispatch) {
	for i := range d.Stanza.Children {
		e := &d.Stanza.Children[i]
		if !e.Is(xmpp.NSSID, "stanza-id") {
			continue
		}
		text, _ := e.Attr("by")
		by, err := xmpp.ParseJID(text)
		if err == nil && (!m.ours(by.Domain()) || d.Origin() != nil && by.Domain() == d.From.Domain()) {
			continue
		}
		match := xmpp.Match{Space: xmpp.NSSID, Local: "stanza-id", By: by.String()}
		if !slices.Contains(d.Edit.Strip, match) {
			d.Edit.Strip = append(d.Edit.Strip, match)
		}
	}
}

// ours reports whether a domain is a mail domain of this server or a service below one.
func (m *mam) ours(domain string) bool {
	if m.host.Directory.Domain(domain) != nil {
		return true
	}
	_, parent, ok := strings.Cut(domain, ".")
	return ok && m.host.Directory.Domain(parent) != nil
}

// keep names the archives of a message between people: the sender's and the recipient's, or the one of both. Whoever is
// elsewhere has none of ours.
func keep(d *feature.Dispatch) error {
	if d.User == nil && d.Peer == nil {
		return nil
	}
	if d.Stanza.Type == xmpp.TypeGroupchat && (d.Session == nil || d.User == nil) { // what is said in a room is in the room's history
		return nil
	}
	if worth, _ := Worth(d.Stanza); !worth {
		return nil
	}
	to := d.To.Bare()
	if d.Session != nil && d.From.Bare() != to {
		d.Copies = append(d.Copies, feature.Copy{Owner: d.Session.User(), OwnerJID: d.From.Bare(), With: d.To})
	}
	if d.User != nil {
		d.Copies = append(d.Copies, feature.Copy{Owner: d.User.ID, OwnerJID: to, With: d.From, Incoming: true})
	}
	return nil
}
