package pep

import (
	"context"
	"encoding/base64"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/pubsub"
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
	return card.Append(dst), nil
}

// vcard returns a user's vCard as somebody sees it, nil if there is none. The
// picture is that of the avatar nodes, for those who may read them (XEP-0398 §6.2).
func (p *PEP) vcard(ctx context.Context, owner *directory.User, viewer xmpp.JID) (card *xmpp.Node, err error) {
	pic := p.pictures.of(owner.ID)
	for _, name := range []string{nodeAvatar, nodeMetadata} {
		if !p.MayRead(owner, name, viewer) {
			pic.Hash = ""
		}
	}
	var stored, data []byte
	err = p.host.State.View(ctx, func(tx store.Tx) error {
		stored = slices.Clone(tx.Get(spaceVCards, idKey(owner.ID)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if pic.Hash != "" {
		it, err := p.Item(ctx, owner.ID, nodeAvatar, pic.item())
		if err != nil {
			return nil, err
		}
		if it != nil {
			data = it.Payload
		}
	}
	if stored == nil && data == nil {
		return nil, nil
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
	if err := p.Afford(q.From); err != nil {
		return nil, err
	}
	card := q.Payload.Node()
	picture, kind, err := takePicture(card)
	if err != nil {
		return nil, err
	}
	if picture != nil || card.Child("", "PHOTO").Child("", "EXTVAL") == nil {
		card = withChildren(card, slices.DeleteFunc(slices.Clone(card.Children), isPhoto))
	}
	return dst, p.setCard(context.Background(), q.User, card, func(t *pubsub.Transaction) error { return p.setPicture(t, picture, kind) })
}

// setCard stores a vCard without its picture, and does in the same transaction
// what is to be done with that.
func (p *PEP) setCard(ctx context.Context, u *directory.User, card *xmpp.Node, also func(t *pubsub.Transaction) error) error {
	raw := card.Append(nil)
	if len(raw) > pubsub.MaxPayload {
		return xmpp.NewError(xmpp.NotAcceptable, "the vCard is too big")
	}
	return p.Change(ctx, u.ID, func(t *pubsub.Transaction) error {
		if err := t.Tx().Put(spaceVCards, idKey(t.Owner()), raw); err != nil {
			return err
		}
		if err := carryToFour(t, card); err != nil || also == nil {
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
		return nil, "", xmpp.NewError(xmpp.NotAcceptable, "the photo is not in base64")
	}
	if base64.StdEncoding.EncodedLen(len(picture)) > pubsub.MaxPayload-64 {
		return nil, "", xmpp.NewError(xmpp.NotAcceptable, "the photo is too big")
	}
	return picture, kindOf(picture, photo.ChildText("", "TYPE")), nil
}
