package muc

import (
	"context"
	"slices"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/picture"
	"confab/xmpp/router"
	"confab/xmpp/store"
	"confab/xmpp/store/record"
)

// The vCard of a room and the picture in it (XEP-0486). It is on disk; in memory are the hashes, and the card of a room
// that is not persistent itself.

const (
	maxCard   = 192 << 10 // bytes of a vCard; what remains of the largest stanza is for what stands around it
	maxPhotos = 4         // of one room
)

// vcard is what is kept of a room's vCard.
type vcard struct {
	hashes []string // of its pictures
	xml    []byte   // nil: on disk, or there is none
	size   int      // 0: there is none
}

// append makes the record: layout, the hashes, the vCard.
func (c *vcard) append(dst []byte) []byte {
	dst = append(dst, layout, byte(len(c.hashes)))
	for _, h := range c.hashes {
		dst = record.AppendString(dst, h)
	}
	return append(dst, c.xml...)
}

func parseVCard(b []byte) (c vcard, err error) {
	d := record.Read(b)
	if d.Byte() != layout {
		return c, errRecord
	}
	for range d.Byte() {
		c.hashes = append(c.hashes, d.String())
	}
	if d.Failed() {
		return vcard{}, errRecord
	}
	c.xml = d.Rest()
	c.size = len(c.xml)
	return c, nil
}

func (s *shelf) vcard(ctx context.Context, r *room) (c vcard, err error) {
	err = s.db.View(ctx, func(tx store.Tx) error {
		v := tx.Get(space, keyOf('v', r.id))
		if v == nil {
			return nil
		}
		c, err = parseVCard(v)
		c.xml = slices.Clone(c.xml)
		return err
	})
	return c, err
}

// newVCard reads a vCard that somebody sends. What no client takes for a picture is refused.
func newVCard(n *xmpp.Node) (c vcard, err error) {
	kept := &xmpp.Node{Space: n.Space, Local: n.Local, Attrs: n.Attrs}
	for _, e := range n.Children {
		if !e.Is(xmpp.NSVCard, "PHOTO") {
			kept.Children = append(kept.Children, e)
			continue
		}
		binary := e.ChildText("", "BINVAL")
		if binary == "" { // a picture elsewhere: whoever looks at it would be seen there
			continue
		}
		p, err := picture.Decode(binary, e.ChildText("", "TYPE"))
		if err != nil {
			return c, unacceptable("%v", err)
		}
		if len(c.hashes) == maxPhotos {
			return c, unacceptable("a room has no more than %d pictures", maxPhotos)
		}
		c.hashes = append(c.hashes, p.Hash())
		kept.Children = append(kept.Children, e)
	}
	if len(kept.Children) == 0 {
		return vcard{}, nil
	}
	c.xml = kept.Append(nil)
	if c.size = len(c.xml); c.size > maxCard {
		return vcard{}, unacceptable("the vCard has more than %d bytes", maxCard)
	}
	return c, nil
}

// vcardGet answers with the vCard of a room, for whoever may know that it is there (XEP-0486 §3.4).
func (m *Rooms) vcardGet(d *feature.Dispatch) ([]byte, error) {
	r, err := m.find(d.To, d.From)
	if err != nil {
		return nil, err
	}
	card, given := r.vcard, r.given
	r.mu.Unlock()
	switch {
	case given != nil:
		return m.givenCard(d, given)
	case card.size == 0: // XEP-0054 §3.1
		return []byte("<vCard xmlns='" + xmpp.NSVCard + "'/>"), nil
	}
	if card.xml != nil {
		return card.xml, nil
	}
	card, err = m.store.vcard(context.Background(), r)
	if err == nil && card.size == 0 { // taken away at this moment
		return []byte("<vCard xmlns='" + xmpp.NSVCard + "'/>"), nil
	}
	return card.xml, err
}

// givenCard is the vCard of a given room: what its source says of it.
func (m *Rooms) givenCard(d *feature.Dispatch, g *Given) ([]byte, error) {
	b := []byte("<vCard xmlns='" + xmpp.NSVCard + "'>")
	for _, e := range []struct{ name, text string }{{"FN", g.Name}, {"DESC", g.Description}} {
		if e.text != "" {
			b = append(append(append(b, '<'), e.name...), '>')
			b = xmpp.AppendText(b, e.text)
			b = append(append(append(b, "</"...), e.name...), '>')
		}
	}
	if g.Avatar != "" {
		p, err := m.source.Picture(g.ID)
		if err != nil {
			return nil, err
		}
		if p.Data != nil {
			b = append(b, "<PHOTO><TYPE>"+p.Type+"</TYPE><BINVAL>"...)
			b = append(p.AppendBase64(b), "</BINVAL></PHOTO>"...)
		}
	}
	return append(b, "</vCard>"...), nil
}

// vcardSet gives a room another vCard (XEP-0486 §3.2). An empty one takes away what there is.
func (m *Rooms) vcardSet(d *feature.Dispatch, n *xmpp.Node) error {
	card, err := newVCard(n)
	if err != nil {
		return err
	}
	return m.changeFor(d, func(r *room, q request) (act, error) {
		switch {
		case r.given != nil, q.by.affiliation != Owner:
			return act{}, xmpp.NewError(xmpp.Forbidden, "only owners change what a room looks like")
		case !r.config.Persistent && !m.mayHold(card.size-r.vcard.size):
			return act{}, xmpp.NewError(xmpp.ResourceConstraint, "too many temporary rooms have a picture; make the room persistent first")
		}
		a := act{apply: func(out *router.Batch) {
			q.succeed(out)
			before := r.vcard
			r.setVCard(card)
			if !r.locked && (before.size != 0 || card.size != 0) {
				r.notify(out, 104)
			}
		}}
		if r.config.Persistent {
			a.write = writeVCard(r, card)
		}
		return a, nil
	})
}

func writeVCard(r *room, c vcard) func(store.Tx) error {
	key, value := keyOf('v', r.id), c.append(nil)
	return func(tx store.Tx) error {
		if c.size == 0 {
			return tx.Delete(space, key)
		}
		return tx.Put(space, key, value)
	}
}

// maxHeld bounds what all temporary rooms together hold of vCards, in bytes.
const maxHeld = 16 << 20

// mayHold reports whether temporary rooms may hold so many bytes more.
func (m *Rooms) mayHold(more int) bool { return more <= 0 || m.held.Load()+int64(more) <= maxHeld }

// setVCard puts a vCard in force. Of one that is on disk the hashes stay in memory.
func (r *room) setVCard(c vcard) {
	if r.vcard.xml != nil {
		r.m.held.Add(-int64(r.vcard.size))
	}
	switch {
	case r.config.Persistent:
		c.xml = nil
	case c.xml == nil: // it went from disk with the room
		c = vcard{}
	default:
		r.m.held.Add(int64(c.size))
	}
	r.vcard = c
}
