package pep

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/store"
)

// maxListed is how many items of a node disco#items names.
const maxListed = 1000

func seqOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// discoItems names the nodes that somebody may read (XEP-0060 §5.2, XEP-0163 §6.2).
func (p *PEP) discoItems(q *feature.Query, dst []byte) ([]byte, error) {
	if q.User == nil || q.Where&accounts == 0 {
		return dst, nil
	}
	a := p.known(q.User.ID)
	for _, name := range a.names() {
		s := a.shapeOf(name)
		if s == nil || p.may(q.User, s, q.From) != nil {
			continue
		}
		dst = xmpp.AppendAttr(append(dst, "<item"...), "jid", q.User.JID.String())
		dst = xmpp.AppendAttr(dst, "node", name)
		if s.Config.Title != "" {
			dst = xmpp.AppendAttr(dst, "name", s.Config.Title)
		}
		dst = append(dst, "/>"...)
	}
	return dst, nil
}

// discoNode tells of one node (XEP-0060 §5.3, §5.4, §5.5).
func (p *PEP) discoNode(q *feature.Query, name string, items bool, dst []byte) ([]byte, bool, error) {
	if q.User == nil || q.Where&accounts == 0 {
		return dst, false, nil
	}
	s := p.known(q.User.ID).shapeOf(name)
	if s == nil {
		return dst, false, nil
	}
	if err := p.may(q.User, s, q.From); err != nil {
		return dst, true, err
	}
	err := p.host.State.View(context.Background(), func(tx store.Tx) error {
		n, err := getNode(tx, q.User.ID, name)
		if err != nil || n == nil {
			return err
		}
		if !items {
			dst = appendMetadata(dst, q.User.JID, n)
			return nil
		}
		for it, err := range scanItems(tx, q.User.ID, n.Num, store.Range{Limit: maxListed}) {
			if err != nil {
				return err
			}
			dst = xmpp.AppendAttr(append(dst, "<item"...), "jid", q.User.JID.String())
			dst = append(xmpp.AppendAttr(dst, "name", it.ID), "/>"...)
		}
		return nil
	})
	return dst, true, err
}

func appendMetadata(dst []byte, owner xmpp.JID, n *nodeRecord) []byte {
	dst = append(dst, "<identity category='pubsub' type='leaf'/><feature var='"+xmpp.NSPubSub+"'/>"...)
	f := form.New(form.TypeResult, formMetadata)
	one := func(name, kind, value string) {
		if value != "" {
			f.Fields = append(f.Fields, form.Field{Var: name, Type: kind, Values: []string{value}})
		}
	}
	one("pubsub#title", form.TextSingle, n.Config.Title)
	one("pubsub#description", form.TextSingle, n.Config.Description)
	one("pubsub#type", form.TextSingle, n.Config.Type)
	one("pubsub#access_model", form.ListSingle, string(n.Config.Access))
	one("pubsub#publish_model", form.ListSingle, "publishers")
	one("pubsub#creation_date", form.TextSingle, time.Unix(n.Created, 0).UTC().Format(time.RFC3339))
	one("pubsub#owner", form.JIDMulti, owner.String())
	one("pubsub#num_subscribers", form.TextSingle, strconv.Itoa(len(n.Subscriptions)))
	return f.Append(dst)
}
