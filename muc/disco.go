package muc

import (
	"slices"
	"strconv"
	"strings"

	"confab/archive"
	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// info tells what a room is (XEP-0045 §6.4); the service itself is in the feature's list.
func (m *Rooms) info(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Where != feature.Service || q.To.Local() == "" {
		return dst, nil
	}
	r, err := m.hold(q.To.Bare())
	if r == nil || err != nil {
		return dst, err
	}
	defer r.mu.Unlock()
	if r.closedTo(q.From) {
		return dst, nil
	}
	dst = append(dst, "<identity category='conference' type='text'"...)
	if r.config.Name != "" {
		dst = xmpp.AppendAttr(dst, "name", r.config.Name)
	}
	dst = append(dst, "/>"...)
	for _, v := range r.features(q.From.Bare()) {
		dst = append(xmpp.AppendAttr(append(dst, "<feature"...), "var", v), "/>"...)
	}
	return r.infoForm(q.From).Append(dst), nil
}

// features are what a room announces, in order.
func (r *room) features(asker xmpp.JID) []string {
	c := &r.config
	pick := func(yes bool, a, b string) string {
		if yes {
			return a
		}
		return b
	}
	hidden := c.Hidden
	if r.given != nil {
		hidden = !r.m.source.Shown(r.id, asker)
	}
	all := []string{
		xmpp.NSDiscoInfo, xmpp.NSDiscoItems, xmpp.NSMUC, nsStableID, nsSelfPing, nsRequest, xmpp.NSOccupant,
		xmpp.NSMAM, xmpp.NSMAMExt, archive.NSFulltext, archive.NSFiles, xmpp.NSSID, xmpp.NSPing, xmpp.NSModerate, xmpp.NSRetract, nsTombstone, xmpp.NSVCard,
		pick(hidden, "muc_hidden", "muc_public"),
		pick(c.MembersOnly, "muc_membersonly", "muc_open"),
		pick(c.Moderated, "muc_moderated", "muc_unmoderated"),
		pick(c.NonAnonymous, "muc_nonanonymous", "muc_semianonymous"),
		pick(c.Password != "", "muc_passwordprotected", "muc_unsecured"),
		pick(c.Persistent, "muc_persistent", "muc_temporary"),
	}
	if r.given == nil {
		all = append(all, xmpp.NSRegister)
	}
	slices.Sort(all)
	return all
}

func (r *room) infoForm(asker xmpp.JID) *form.Form {
	c := &r.config
	field := func(name, kind, label string, values ...string) form.Field {
		return form.Field{Var: name, Type: kind, Label: label, Values: values}
	}
	flag := "0"
	if c.AnySubject {
		flag = "1"
	}
	f := form.New(form.TypeResult, nsRoomInfo,
		field("muc#roominfo_description", form.TextSingle, "Description", c.Description),
		field("muc#roominfo_subjectmod", form.Boolean, "Participants may change the subject", flag),
		field(fieldHistory, form.TextSingle, "Most messages that a newcomer is sent", strconv.Itoa(c.History)))
	if r.mayRead(asker) == nil { // §14.4
		f.Fields = append(f.Fields,
			field("muc#roominfo_subject", form.TextSingle, "Subject", r.subject.text),
			field("muc#roominfo_occupants", form.TextSingle, "Number of occupants", strconv.Itoa(len(r.order))))
	}
	if c.Lang != "" {
		f.Fields = append(f.Fields, field("muc#roominfo_lang", form.TextSingle, "Language", c.Lang))
	}
	if c.PubSub != "" {
		f.Fields = append(f.Fields, field(fieldName("pubsub"), form.TextSingle, "Node", c.PubSub))
	}
	hashes := r.vcard.hashes
	if r.given != nil && r.given.Avatar != "" {
		hashes = []string{r.given.Avatar}
	}
	if len(hashes) > 0 { // XEP-0486 §3.3
		f.Fields = append(f.Fields, field("muc#roominfo_avatarhash", form.TextMulti, "Avatar hash", hashes...))
	}
	return f
}

// maxListed is how many rooms are listed at once to those who ask for no page.
const maxListed = 500

// items lists the rooms that the asker may see (§6.3). Who is in a room is told to nobody outside (§6.5).
func (m *Rooms) items(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Where != feature.Service {
		return dst, nil
	}
	if q.To.Local() != "" {
		r, err := m.find(q.To, q.From)
		if err != nil {
			return nil, err
		}
		r.mu.Unlock()
		return dst, nil
	}
	rsm, err := form.ParseRSM(q.Payload.Node().Child(xmpp.NSRSM, "set"))
	if err != nil {
		return nil, err
	}
	all := m.visible(q.To.Domain(), q.From.Bare())
	asked := rsm.Max >= 0 || rsm.HasAfter || rsm.HasBefore || rsm.Index >= 0
	from, to := page(all, rsm)
	for _, l := range all[from:to] {
		dst = xmpp.AppendAttr(append(dst, "<item"...), "jid", l.jid.String())
		if l.name != "" {
			dst = xmpp.AppendAttr(dst, "name", l.name)
		}
		dst = append(dst, "/>"...)
	}
	if asked || to-from < len(all) {
		set := form.RSMResult{Index: from, Count: len(all)}
		if to > from {
			set.First, set.Last = all[from].jid.String(), all[to-1].jid.String()
		}
		dst = set.Append(dst)
	}
	return dst, nil
}

// listing is a room in a list.
type listing struct {
	jid  xmpp.JID
	name string
}

// visible are the rooms of a service that somebody may see, in order.
func (m *Rooms) visible(service string, asker xmpp.JID) []listing {
	var all []listing
	if m.source != nil {
		for g := range m.source.Rooms(service) {
			if m.source.Shown(g.ID, asker) {
				all = append(all, listing{g.JID, g.Name})
			}
		}
	}
	m.mu.RLock()
	var temporary []*room
	for j, r := range m.loaded {
		if j.Domain() == service && m.kept[j] == nil {
			temporary = append(temporary, r)
		}
	}
	for j, rec := range m.kept {
		if j.Domain() == service && !rec.config.Hidden {
			all = append(all, listing{j, rec.config.Name})
		}
	}
	m.mu.RUnlock()
	for _, r := range temporary {
		r.mu.Lock()
		if r.given == nil && !r.gone && !r.locked && !r.config.Hidden {
			all = append(all, listing{r.jid, r.config.Name})
		}
		r.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b listing) int { return strings.Compare(a.jid.String(), b.jid.String()) })
	return slices.CompactFunc(all, func(a, b listing) bool { return a.jid == b.jid })
}

// page finds the part of a list that was asked for (XEP-0059 §2).
func page(all []listing, q form.RSM) (from, to int) {
	limit := maxListed
	if q.Max >= 0 {
		limit = min(limit, q.Max)
	}
	at := func(id string, behind bool) int {
		i, found := slices.BinarySearchFunc(all, id, func(l listing, id string) int { return strings.Compare(l.jid.String(), id) })
		if found && behind {
			i++
		}
		return i
	}
	switch {
	case q.HasBefore:
		to = len(all)
		if q.Before != "" {
			to = at(q.Before, false)
		}
		return max(0, to-limit), to
	case q.HasAfter:
		from = at(q.After, true)
	case q.Index >= 0:
		from = min(q.Index, len(all))
	}
	return from, min(len(all), from+limit)
}

// nodes answers for the nodes that rooms have: the nick that is kept for whoever asks (§7.12), and what is not let through
// (§18.1.1), which is nothing.
func (m *Rooms) nodes(q *feature.Query, node string, items bool, dst []byte) (out []byte, handled bool, err error) {
	if q.Where != feature.Service || q.To.Local() == "" || items || node != nodeNick && node != nsTraffic {
		return dst, false, nil
	}
	r, err := m.find(q.To, q.From)
	if err != nil {
		return dst, true, err
	}
	defer r.mu.Unlock()
	if node == nsTraffic {
		return dst, true, errUnavailable
	}
	if nick := r.reservedNick(q.From.Bare()); nick != "" {
		dst = append(dst, "<identity category='conference' type='text'"...)
		dst = append(xmpp.AppendAttr(dst, "name", nick), "/>"...)
	}
	return dst, true, nil
}
