package aliasbridge

import (
	"context"
	"strconv"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/picture"
)

const nodeVCard4 = "urn:xmpp:vcard4" // XEP-0292 §3

// How an alias looks: what vCards, avatar nodes and presence say of it is what the administrator's directory has.

// photoUpdate is what presence says of the picture of an alias (XEP-0153 §3), nothing if none was ever spoken of.
func photoUpdate(a *directory.Avatar) string {
	switch {
	case !a.Known:
		return ""
	case a.Hash == "":
		return "<x xmlns='" + xmpp.NSVCardUp + "'><photo/></x>"
	}
	return "<x xmlns='" + xmpp.NSVCardUp + "'><photo>" + a.Hash + "</photo></x>"
}

// picture reads the picture of an alias; not ok: it has none.
func (b *Bridge) picture(a *directory.Alias) (p picture.Picture, ok bool, err error) {
	if a.Avatar.Hash == "" {
		return p, false, nil
	}
	p = picture.Picture{Type: a.Avatar.Type}
	p.Data, err = b.dir.AliasPicture(context.Background(), a.ID)
	// Another one may have been set at this moment.
	return p, p.Data != nil && p.Hash() == a.Avatar.Hash, err
}

// vcard answers a request for the vCard of an alias (XEP-0054 §3.3).
func (b *Bridge) vcard(q *feature.Query, dst []byte) ([]byte, error) {
	if !b.MaySee(q.Alias, q.From) {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	p, ok, err := b.picture(q.Alias)
	if err != nil {
		return nil, err
	}
	dst = append(dst, "<vCard xmlns='"+xmpp.NSVCard+"'><FN>"...)
	dst = append(xmpp.AppendText(dst, q.Alias.Shown()), "</FN>"...)
	if q.Alias.Description != "" {
		dst = append(xmpp.AppendText(append(dst, "<DESC>"...), q.Alias.Description), "</DESC>"...)
	}
	if ok {
		dst = append(dst, "<PHOTO><TYPE>"+p.Type+"</TYPE><BINVAL>"...)
		dst = append(p.AppendBase64(dst), "</BINVAL></PHOTO>"...)
		drain(q)
	}
	return append(dst, "</vCard>"...), nil
}

// drain waits until the asker has taken most of what was sent before something large.
func drain(q *feature.Query) {
	if q.Session != nil {
		q.Session.Drain(64 << 10)
	}
}

// nodes answers requests for the nodes by which clients find out what somebody looks like (XEP-0084 §4.3, XEP-0292 §3).
// There are no others, no lists of devices above all: clients know by that that nothing can be encrypted for an alias.
func (b *Bridge) nodes(q *feature.Query, dst []byte) ([]byte, error) {
	none := xmpp.NewError(xmpp.ItemNotFound, "an alias has no such node, and no keys to encrypt for")
	items := q.Payload.Node().Child(xmpp.NSPubSub, "items")
	if items == nil || !b.MaySee(q.Alias, q.From) {
		return nil, none
	}
	a, node := q.Alias, items.Attr("node")
	var id string
	var payload []byte
	switch {
	case node == nodeVCard4:
		id, payload = "current", appendVCard4(nil, a)
	case a.Avatar.Hash == "":
		return nil, none
	case node == xmpp.NSAvatarMD:
		id, payload = a.Avatar.Hash, appendMetadata(nil, &a.Avatar)
	case node == xmpp.NSAvatar:
		p, ok, err := b.picture(a)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, none
		}
		drain(q)
		id = a.Avatar.Hash
		payload = append(p.AppendBase64([]byte("<data xmlns='"+xmpp.NSAvatar+"'>")), "</data>"...)
	default:
		return nil, none
	}
	dst = xmpp.AppendAttr(append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><items"...), "node", node)
	dst = append(dst, '>')
	if wants(items, id) {
		dst = append(xmpp.AppendAttr(append(dst, "<item"...), "id", id), '>')
		dst = append(append(dst, payload...), "</item>"...)
	}
	return append(dst, "</items></pubsub>"...), nil
}

// wants reports whether a request for items is for all or for one of this id (XEP-0060 §6.5.2, §6.5.8).
func wants(items *xmpp.Node, id string) bool {
	named := false
	for _, c := range items.Children {
		if c.Is(xmpp.NSPubSub, "item") {
			if c.Attr("id") == id {
				return true
			}
			named = true
		}
	}
	return !named
}

func appendMetadata(dst []byte, a *directory.Avatar) []byte {
	dst = append(dst, "<metadata xmlns='"+xmpp.NSAvatarMD+"'><info"...)
	dst = xmpp.AppendAttr(dst, "bytes", strconv.Itoa(a.Size))
	dst = xmpp.AppendAttr(dst, "id", a.Hash)
	return append(xmpp.AppendAttr(dst, "type", a.Type), "/></metadata>"...)
}

func appendVCard4(dst []byte, a *directory.Alias) []byte {
	dst = append(dst, "<vcard xmlns='"+xmpp.NSVCard4+"'><fn><text>"...)
	dst = append(xmpp.AppendText(dst, a.Shown()), "</text></fn>"...)
	if a.Description != "" {
		dst = append(xmpp.AppendText(append(dst, "<note><text>"...), a.Description), "</text></note>"...)
	}
	return append(dst, "<kind><text>group</text></kind></vcard>"...)
}
