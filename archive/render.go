package archive

import (
	"sync"
	"time"

	"confab/xmpp"
)

// stampLayout is the DateTime of XEP-0082 with all digits that ids have: what a client reads it can ask for.
const stampLayout = "2006-01-02T15:04:05.000000Z"

// AppendStamp appends a time as XEP-0082 writes it, in UTC.
func AppendStamp(dst []byte, t time.Time) []byte { return t.UTC().AppendFormat(dst, stampLayout) }

// AppendDelay appends <delay/> (XEP-0203). A zero from is left out.
func AppendDelay(dst []byte, from xmpp.JID, t time.Time) []byte {
	dst = append(dst, "<delay xmlns='urn:xmpp:delay'"...)
	if !from.IsZero() {
		dst = xmpp.AppendAttr(dst, "from", from.String())
	}
	dst = append(dst, " stamp='"...)
	return append(AppendStamp(dst, t), "'/>"...)
}

// AppendStanzaID appends <stanza-id/> (XEP-0359 §3) for the archive of an address.
func AppendStanzaID(dst []byte, by xmpp.JID, id uint64) []byte {
	dst = append(dst, "<stanza-id xmlns='urn:xmpp:sid:0'"...)
	dst = xmpp.AppendAttr(dst, "by", by.String())
	dst = append(dst, " id='"...)
	return append(AppendID(dst, id), "'/>"...)
}

var stanzas = sync.Pool{New: func() any { return new(xmpp.Stanza) }}

// Append appends the message as the owner sees it, with declare as its default namespace if that is not empty, and with
// add behind its last child. Where there is a tombstone, that is what the owner sees.
func (it *Item) Append(dst []byte, declare string, add []byte) ([]byte, error) {
	st := stanzas.Get().(*xmpp.Stanza)
	defer stanzas.Put(st)
	if err := xmpp.ParseInto(st, it.Stanza); err != nil {
		return dst, err
	}
	e := it.Edit
	e.Declare = declare
	if it.Tombstone != nil {
		return it.appendTombstone(dst, st, &e, add), nil
	}
	if len(add) > 0 {
		e.Add = append(append([]byte(nil), e.Add...), add...)
	}
	return xmpp.Apply(dst, st, &e), nil
}

// appendTombstone keeps the head of a message and replaces what is in it (XEP-0424 §6).
func (it *Item) appendTombstone(dst []byte, st *xmpp.Stanza, e *xmpp.Edit, add []byte) []byte {
	from, to, typ := st.From, st.To, st.Type
	if !e.From.IsZero() {
		from = e.From
	}
	if !e.To.IsZero() {
		to = e.To
	}
	if e.Type != xmpp.TypeNone {
		typ = e.Type
	}
	dst = append(dst, "<message"...)
	if e.Declare != "" {
		dst = xmpp.AppendAttr(dst, "xmlns", e.Declare)
	}
	if !from.IsZero() {
		dst = xmpp.AppendAttr(dst, "from", from.String())
	}
	if !to.IsZero() && !e.NoTo {
		dst = xmpp.AppendAttr(dst, "to", to.String())
	}
	if name := typ.String(); name != "" {
		dst = xmpp.AppendAttr(dst, "type", name)
	}
	if st.ID != nil {
		dst = xmpp.AppendAttrBytes(dst, "id", st.ID)
	}
	dst = append(append(dst, '>'), it.Tombstone.Inside...)
	return append(append(dst, add...), "</message>"...)
}

// Delivery is to whom the items of a query go.
type Delivery struct {
	From    xmpp.JID // the archive: the owner's bare address, or a room
	To      xmpp.JID // who asked
	QueryID string   // what they called the query, if they did
}

// AppendResult appends the message that carries an item of a query (XEP-0313 §4.2).
func (d *Delivery) AppendResult(dst []byte, it *Item) ([]byte, error) {
	from := len(dst)
	dst = append(dst, "<message"...)
	dst = xmpp.AppendAttr(dst, "from", d.From.String())
	dst = xmpp.AppendAttr(dst, "to", d.To.String())
	dst = append(dst, "><result xmlns='urn:xmpp:mam:2'"...)
	if d.QueryID != "" {
		dst = xmpp.AppendAttr(dst, "queryid", d.QueryID)
	}
	dst = append(dst, " id='"...)
	dst = append(AppendID(dst, it.ID), "'><forwarded xmlns='urn:xmpp:forward:0'>"...)
	dst = AppendDelay(dst, xmpp.JID{}, it.Time())
	dst, err := it.Append(dst, xmpp.NSClient, nil)
	if err != nil {
		return dst[:from], err
	}
	return append(dst, "</forwarded></result></message>"...), nil
}
