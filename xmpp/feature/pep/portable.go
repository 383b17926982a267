package pep

import (
	"context"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/pubsub"
)

// portables are the nodes and the vCard of a user (XEP-0227 §4.6, §4.10). The
// nodes come first, so that a picture in the vCard is there already, and is not
// published anew.
func (p *PEP) portables() []feature.Portable {
	return append(p.Portables(), feature.Portable{Space: xmpp.NSVCard, Local: "vCard", Export: p.exportVCard, Import: p.importVCard})
}

// TakeBookmarks makes the old list of another server a user's bookmarks, unless
// there are some.
func (p *PEP) TakeBookmarks(ctx context.Context, owner directory.ID, storage *xmpp.Node) error {
	if items, err := p.Items(ctx, owner, nodeBookmarks); err != nil || len(items) > 0 {
		return err
	}
	return p.SetBookmarks(ctx, owner, storage)
}

// exportVCard exports the vCard as its owner sees it.
func (p *PEP) exportVCard(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	card, err := p.vcard(ctx, u, u.JID)
	if err != nil || card == nil {
		return dst, err
	}
	return card.Append(dst), nil
}

func (p *PEP) importVCard(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	picture, kind, err := takePicture(n)
	if err != nil {
		left = append(left, "the picture of the vCard")
		picture = nil
	}
	n = withChildren(n, slices.DeleteFunc(slices.Clone(n.Children), isPhoto))
	if picture == nil || p.pictures.of(u.ID).Hash == hashOf(picture) {
		// There is none, or it is there with more said of it: it stays.
		err = p.setCard(ctx, u, n, nil)
	} else {
		err = p.setCard(ctx, u, n, func(t *pubsub.Transaction) error { return p.setPicture(t, picture, kind) })
	}
	err = feature.Leave(&left, "the vCard", err)
	return left, err
}
