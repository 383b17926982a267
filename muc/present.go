package muc

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"confab/xmpp"
	"confab/xmpp/router"
)

// card is the presence that a client sent to a room, without what differs from receiver to receiver: it goes between the
// addresses and what the room adds.
type card struct {
	middle []byte // further attributes and the children
	rank   int8   // how available the client is
}

// maxPresence bounds the bytes of a card: it is kept, and everybody who enters is sent it.
const maxPresence = 16 << 10

// stripped is what only the room says in a presence or a message (XEP-0045 §17.3, XEP-0421 §3.3).
var stripped = []xmpp.Match{
	{Space: xmpp.NSMUC, Local: "x"}, {Space: xmpp.NSMUCUser, Local: "x"}, {Space: xmpp.NSOccupant, Local: "occupant-id"},
}

// What stands around a card when it is cut out of its stanza. A stanza has no prefix, so its tag is known.
const (
	cardHead = "<presence from='x'"
	cardTail = "<x xmlns='jabber:client'/></presence>"
)

var somebody = xmpp.MustJID("x")

// newCard makes the card of a presence.
func newCard(st *xmpp.Stanza) card {
	e := xmpp.Edit{From: somebody, NoTo: true, Strip: stripped, Add: []byte(strings.TrimSuffix(cardTail, "</presence>"))}
	b := xmpp.Apply(nil, st, &e)
	return card{middle: bytes.Clone(b[len(cardHead) : len(b)-len(cardTail)]), rank: rankOf(st)}
}

// rankOf orders availability: others see the client of somebody that is the most available.
func rankOf(st *xmpp.Stanza) int8 {
	if st.Type != xmpp.TypeNone {
		return 0
	}
	show := ""
	if e := st.Child("", "show"); e != nil {
		show = e.Text()
	}
	switch show {
	case "xa":
		return 1
	case "away":
		return 2
	case "dnd":
		return 3
	case "chat":
		return 5
	}
	return 4
}

// goodbye is the card of somebody who leaves without a word.
var goodbye = card{middle: []byte(" type='unavailable'>")}

// note is what a presence says besides who it is (XEP-0045 §17.3).
type note struct {
	codes  []int
	actor  string // the nick of whoever caused it
	reason string
	nick   string // the new one, of a 303
	gone   bool   // the occupant is no longer in the room
}

// frame is a stanza that goes to many, of which only the address differs: it is put in front of the rest, which is
// written once.
type frame struct {
	tag   string
	buf   *[]byte
	start int // of what comes behind the address
}

// headroom is left in front of a frame for tag and address.
const headroom = 640

// open makes the buffer of a frame ready to be appended to.
func (f *frame) open(tag string) {
	f.buf = xmpp.GetBuffer()
	f.tag = tag
	*f.buf = append((*f.buf)[:0], blank[:]...)
	f.start = headroom
}

var blank [headroom]byte

// addressed returns the stanza for a receiver; it is valid until the next call.
func (f *frame) addressed(to []byte) []byte {
	n := 1 + len(f.tag) + len(to)
	if n > f.start {
		b := append(append([]byte{'<'}, f.tag...), to...)
		return append(b, (*f.buf)[f.start:]...)
	}
	b := (*f.buf)[f.start-n:]
	b[0] = '<'
	copy(b[1+copy(b[1:], f.tag):], to)
	return b
}

func (f *frame) close() { xmpp.PutBuffer(f.buf) }

// toAttr is the address of a receiver as a frame takes it.
func toAttr(j xmpp.JID) []byte { return xmpp.AppendAttr(nil, "to", j.String()) }

// sight is what others see of an occupant.
type sight struct {
	of   *occupant
	card *card
	jid  xmpp.JID // the real address, for those who may know it
	note
}

// sight is an occupant as others see him when nothing special is to be said.
func (o *occupant) sight() sight { return sight{of: o, card: &o.seats[0].card, jid: o.seats[0].jid} }

// append appends what comes behind the address of a presence, with a real address unless it is zero. self are codes that
// only the occupant's own clients are told.
func (v *sight) append(dst []byte, jid xmpp.JID, self ...int) []byte {
	dst = xmpp.AppendAttr(dst, "from", v.of.jid.String())
	dst = append(dst, v.card.middle...)
	dst = append(dst, "<x xmlns='"+xmpp.NSMUCUser+"'><item"...)
	dst = xmpp.AppendAttr(dst, "affiliation", v.of.affiliation.String())
	role := v.of.role
	if v.gone {
		role = NoRole
	}
	dst = xmpp.AppendAttr(dst, "role", role.String())
	if !jid.IsZero() {
		dst = xmpp.AppendAttr(dst, "jid", jid.String())
	}
	if v.nick != "" {
		dst = xmpp.AppendAttr(dst, "nick", v.nick)
	}
	if v.actor == "" && v.reason == "" {
		dst = append(dst, "/>"...)
	} else {
		dst = append(dst, '>')
		if v.actor != "" {
			dst = append(xmpp.AppendAttr(append(dst, "<actor"...), "nick", v.actor), "/>"...)
		}
		if v.reason != "" {
			dst = append(xmpp.AppendText(append(dst, "<reason>"...), v.reason), "</reason>"...)
		}
		dst = append(dst, "</item>"...)
	}
	dst = appendCodes(dst, v.codes, self)
	dst = append(append(dst, "</x>"...), v.of.mark...)
	return append(dst, "</presence>"...)
}

// appendCodes appends status codes, each once and in the order of the numbers.
func appendCodes(dst []byte, codes, self []int) []byte {
	all := slices.Concat(codes, self)
	slices.Sort(all)
	for _, code := range slices.Compact(all) {
		dst = append(dst, "<status code='"...)
		dst = append(strconv.AppendInt(dst, int64(code), 10), "'/>"...)
	}
	return dst
}

func appendOccupantID(dst []byte, id string) []byte {
	dst = append(dst, "<occupant-id xmlns='"+xmpp.NSOccupant+"'"...)
	return append(xmpp.AppendAttr(dst, "id", id), "/>"...)
}

// present shows an occupant to a number of seats that are not his own.
func (r *room) present(out *router.Batch, v sight, to []*seat) {
	var open, hidden frame
	for _, s := range to {
		if r.blocks(s, v.of.jid) {
			continue
		}
		f, jid := &hidden, xmpp.JID{}
		if r.sees(s.of) {
			f, jid = &open, v.jid
		}
		if f.buf == nil {
			f.open("presence")
			*f.buf = v.append(*f.buf, jid)
		}
		s.send(out, f.addressed(s.to))
	}
	for _, f := range []*frame{&open, &hidden} {
		if f.buf != nil {
			f.close()
		}
	}
	r.m.Stats.Sent.Add(int64(len(to)))
}

// show1 shows a seat an occupant whom it has blocked, or blocks no longer.
func (r *room) show1(out *router.Batch, v sight, s *seat) {
	jid := xmpp.JID{}
	if r.sees(s.of) {
		jid = v.jid
	}
	var f frame
	f.open("presence")
	defer f.close()
	*f.buf = v.append(*f.buf, jid)
	s.send(out, f.addressed(s.to))
	r.m.Stats.Sent.Add(1)
}

// tell sends a seat the presence of its own occupant.
func (r *room) tell(out *router.Batch, s *seat, c *card, n note, self ...int) {
	v := sight{s.of, c, s.jid, n}
	var f frame
	f.open("presence")
	defer f.close()
	*f.buf = v.append(*f.buf, s.jid, append(self, 110)...)
	s.send(out, f.addressed(s.to))
	r.m.Stats.Sent.Add(1)
}

// others are all seats but those of an occupant.
func (r *room) others(o *occupant) []*seat {
	all := make([]*seat, 0, len(r.seats))
	for _, s := range r.seats {
		if s.of != o {
			all = append(all, s)
		}
	}
	return all
}

// show sends an occupant's presence, as it is now, to everybody (§5.1, §7.7). self are codes that only his own clients are told.
func (r *room) show(out *router.Batch, o *occupant, n note, self ...int) {
	if len(o.seats) == 0 {
		return
	}
	if r.config.Broadcast.has(o.role) {
		v := o.sight()
		v.note = n
		r.present(out, v, r.others(o))
	}
	for _, s := range o.seats {
		r.tell(out, s, &s.card, n, self...)
	}
}

// assign gives an occupant another standing and lets everybody know. Where presence of the new role is not shown to
// others, but that of the old one was, they see him go.
func (r *room) assign(out *router.Batch, o *occupant, to standing, n note) {
	before, fresh := r.config.Broadcast.has(o.role), o.role != Moderator
	o.standing = to
	if before && !r.config.Broadcast.has(o.role) {
		r.present(out, sight{o, &goodbye, o.seats[0].jid, note{gone: true}}, r.others(o))
	}
	r.show(out, o, n)
	if fresh {
		r.introduce(out, o, o.seats)
	}
}

// introduce shows clients who is who if their occupant is a moderator now, and was none before (§8).
func (r *room) introduce(out *router.Batch, o *occupant, to []*seat) {
	if o.role != Moderator {
		return
	}
	for _, x := range r.order {
		if x != o && r.config.Broadcast.has(x.role) {
			r.present(out, x.sight(), to)
		}
	}
}

// removal says why somebody is taken out of a room.
type removal struct {
	affiliation Affiliation // that he has from now on
	codes       []int
	actor       string
	reason      string
}

// remove takes an occupant out of the room (§8.2, §9.1, §9.4): first he is told, then the others.
func (r *room) remove(out *router.Batch, o *occupant, why removal) {
	n := note{codes: why.codes, actor: why.actor, reason: why.reason, gone: true}
	v := sight{o, &goodbye, o.seats[0].jid, n}
	shown := r.config.Broadcast.has(o.role)
	o.affiliation = why.affiliation
	for _, s := range slices.Clone(o.seats) {
		r.tell(out, s, &goodbye, n)
		r.vacate(out, s)
	}
	if shown {
		r.present(out, v, r.seats)
	}
	r.emptied(out)
}

// notify tells everybody that the configuration has changed (§10.2.1).
func (r *room) notify(out *router.Batch, codes ...int) {
	for _, code := range codes {
		var f frame
		f.open("message")
		*f.buf = xmpp.AppendAttr(*f.buf, "from", r.jid.String())
		*f.buf = append(*f.buf, " type='groupchat'><x xmlns='"+xmpp.NSMUCUser+"'>"...)
		*f.buf = append(appendCodes(*f.buf, []int{code}, nil), "</x></message>"...)
		for _, s := range r.seats {
			s.send(out, f.addressed(s.to))
		}
		f.close()
	}
}
