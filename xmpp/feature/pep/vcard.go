package pep

import (
	"context"
	"encoding/base64"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// getVCard answers a request for a vCard (XEP-0054 §3.1, §3.3). Whoever has none
// looks like somebody who does not exist.
func (p *PEP) getVCard(q *feature.Query, dst []byte) ([]byte, error) {
	none := xmpp.NewError(xmpp.ServiceUnavailable, "")
	if q.User == nil {
		return nil, none
	}
	card, err := p.vcard(context.Background(), q.User, q.From)
	switch {
	case err != nil:
		return nil, err
	case card == nil && q.Where == feature.Self:
		card = &xmpp.Node{Space: xmpp.NSVCard, Local: "vCard"}
	case card == nil:
		return nil, none
	}
	if q.Session != nil {
		q.Session.Drain(64 << 10)
	}
	return card.Append(dst), nil
}

// vcard returns a user's vCard as somebody sees it, nil if there is none. The
// picture is that of the avatar nodes, for those who may read them (XEP-0398 §6.2).
func (p *PEP) vcard(ctx context.Context, owner *directory.User, viewer xmpp.JID) (card *xmpp.Node, err error) {
	pic := p.picture(owner.ID)
	a := p.known(owner.ID)
	for _, name := range []string{nodeAvatar, nodeMetadata} {
		if s := a.shapeOf(name); s == nil || p.may(owner, s, viewer) != nil {
			pic.Hash = ""
		}
	}
	var stored, data []byte
	err = p.host.State.View(ctx, func(tx store.Tx) error {
		stored = slices.Clone(tx.Get(spaceVCards, ownerKey(owner.ID)))
		if pic.Hash == "" {
			return nil
		}
		n, err := getNode(tx, owner.ID, nodeAvatar)
		if err != nil || n == nil {
			return err
		}
		it, _, err := getItem(tx, owner.ID, n.Num, pic.Hash)
		data = slices.Clone(it.Payload)
		return err
	})
	if err != nil || stored == nil && data == nil {
		return nil, err
	}
	card = &xmpp.Node{Space: xmpp.NSVCard, Local: "vCard"}
	if stored != nil {
		if card, err = xmpp.ParseNode(stored); err != nil {
			return nil, err
		}
	}
	if data == nil {
		return card, nil
	}
	n, err := xmpp.ParseNode(data)
	if err != nil {
		return nil, err
	}
	photo := &xmpp.Node{Space: xmpp.NSVCard, Local: "PHOTO"}
	add := func(name, text string) {
		photo.Children = append(photo.Children, &xmpp.Node{Space: xmpp.NSVCard, Local: name, Text: text})
	}
	if pic.Type != "" {
		add("TYPE", pic.Type)
	}
	add("BINVAL", n.Text)
	return withChildren(card, append(slices.DeleteFunc(slices.Clone(card.Children), isPhoto), photo)), nil
}

func isPhoto(n *xmpp.Node) bool { return n.Is(xmpp.NSVCard, "PHOTO") }

// withChildren returns a vCard with other children; there is no text between them.
func withChildren(card *xmpp.Node, children []*xmpp.Node) *xmpp.Node {
	return &xmpp.Node{Space: card.Space, Local: card.Local, Attrs: card.Attrs, Children: children}
}

// setVCard stores the sender's vCard (XEP-0054 §3.2). Its picture becomes the
// avatar (XEP-0398 §3.2), and is stored there only.
func (p *PEP) setVCard(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Where != feature.Self || q.User == nil { // §3.2
		return nil, xmpp.NewError(xmpp.Forbidden, "")
	}
	card := q.Payload.Node()
	picture, kind, err := takePicture(card)
	if err != nil {
		return nil, err
	}
	if picture != nil || card.Child("", "PHOTO").Child("", "EXTVAL") == nil {
		card = withChildren(card, slices.DeleteFunc(slices.Clone(card.Children), isPhoto))
	}
	return dst, p.setCard(context.Background(), q.User, card, func(t *transaction) error { return t.setPicture(picture, kind) })
}

// setCard stores a vCard without its picture, and does in the same transaction
// what is to be done with that.
func (p *PEP) setCard(ctx context.Context, u *directory.User, card *xmpp.Node, also func(t *transaction) error) error {
	raw := card.Append(nil)
	if len(raw) > MaxPayload {
		return unacceptable("the vCard is too big")
	}
	return p.change(ctx, u.ID, func(t *transaction) error {
		if err := t.tx.Put(spaceVCards, ownerKey(t.owner), raw); err != nil {
			return err
		}
		if err := t.carryToFour(card); err != nil || also == nil {
			return err
		}
		return also(t)
	})
}

// takePicture returns the picture of a vCard, nil if it has none.
func takePicture(card *xmpp.Node) (picture []byte, kind string, err error) {
	photo := card.Child("", "PHOTO")
	text := photo.Child("", "BINVAL")
	if text == nil {
		return nil, "", nil
	}
	if picture, err = decodePicture(text.Text); err != nil {
		return nil, "", unacceptable("the photo is not in base64")
	}
	if base64.StdEncoding.EncodedLen(len(picture)) > MaxPayload-64 {
		return nil, "", unacceptable("the photo is too big")
	}
	return picture, kindOf(picture, photo.ChildText("", "TYPE")), nil
}
