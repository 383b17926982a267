package pubsub

import (
	"context"
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/store"
)

// maxListed is how many nodes, or items of a node, one answer names.
const maxListed = 1000

// DiscoItems names the nodes that somebody may find (XEP-0060 §5.2, XEP-0163
// §6.2), page by page if there are many (XEP-0059).
func (p *PubSub) DiscoItems(q *feature.Query, dst []byte) ([]byte, error) {
	at, err := p.site(q)
	if err != nil {
		return dst, nil
	}
	var found []string
	for _, name := range at.names() {
		if s := at.shapeOf(name); s != nil && p.mayFind(&at, s, q.From.Bare()) == nil {
			found = append(found, name)
		}
	}
	var set *xmpp.Node
	if at.user == nil && q.Payload != nil {
		set = q.Payload.Node().Child(xmpp.NSRSM, "set")
	}
	item := func(dst []byte, name string) []byte {
		dst = xmpp.AppendAttr(append(dst, "<item"...), "jid", at.jid.String())
		dst = xmpp.AppendAttr(dst, "node", name)
		if s := at.shapeOf(name); s != nil && s.Config.Title != "" {
			dst = xmpp.AppendAttr(dst, "name", s.Config.Title)
		}
		return append(dst, "/>"...)
	}
	if at.user != nil { // others list there, too: nothing is said of what is too much
		if found, _, err = pages(found, nil, maxListed, item); err != nil {
			return nil, err
		}
	}
	return appendPage(dst, q, found, set, item)
}

// appendPage appends one page of a list, and what is said of it if that is not all.
func appendPage(dst []byte, q *feature.Query, names []string, set *xmpp.Node, item func(dst []byte, name string) []byte) ([]byte, error) {
	page, result, err := pages(names, set, maxListed, item)
	if err != nil {
		return nil, err
	}
	for _, name := range page {
		dst = item(dst, name)
	}
	if set != nil || len(page) < len(names) {
		dst = result.Append(dst)
	}
	return dst, nil
}

// DiscoNode tells of one node (XEP-0060 §5.3, §5.4, §5.5).
func (p *PubSub) DiscoNode(q *feature.Query, name string, items bool, dst []byte) ([]byte, bool, error) {
	at, err := p.site(q)
	if err != nil {
		return dst, false, nil
	}
	s := at.shapeOf(name)
	if s == nil {
		return dst, at.user == nil, p.goneFrom(&at, name)
	}
	if items {
		err = p.mayRead(&at, s, q.From)
	} else {
		err = p.mayFind(&at, s, q.From.Bare())
	}
	if err != nil {
		return dst, true, err
	}
	var ids []string
	err = p.host.State.View(context.Background(), func(tx store.Tx) error {
		n, err := getNode(tx, at.id, name)
		if err != nil || n == nil {
			return err
		}
		if !items {
			dst = p.appendMetadata(dst, &at, n, s)
			return nil
		}
		for it, err := range scanItems(tx, at.id, n.Num, store.Range{}) {
			if err != nil {
				return err
			}
			if !s.Config.expired(it.Published, p.host.Now()) {
				ids = append(ids, it.ID)
			}
		}
		return nil
	})
	if err != nil || !items {
		return dst, true, err
	}
	dst, err = appendPage(dst, q, ids, q.Payload.Node().Child(xmpp.NSRSM, "set"), func(dst []byte, id string) []byte {
		dst = xmpp.AppendAttr(append(dst, "<item"...), "jid", at.jid.String())
		return append(xmpp.AppendAttr(dst, "name", id), "/>"...)
	})
	return dst, true, err
}

// goneFrom is gone for a service; of an account other features may know a node.
func (p *PubSub) goneFrom(at *site, name string) error {
	if at.user != nil {
		return nil
	}
	return p.gone(at, name)
}

// maxNamed is how many owners and publishers the metadata of a node names.
const maxNamed = 100

func (p *PubSub) appendMetadata(dst []byte, at *site, n *nodeRecord, s *shape) []byte {
	dst = append(dst, "<identity category='pubsub' type='leaf'/><feature var='"+xmpp.NSPubSub+"'/>"...)
	f := form.New(form.TypeResult, formMetadata)
	some := func(name, kind string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			f.Fields = append(f.Fields, form.Field{Var: name, Type: kind, Values: values[:min(len(values), maxNamed)]})
		}
	}
	some("pubsub#title", form.TextSingle, n.Config.Title)
	some("pubsub#description", form.TextSingle, n.Config.Description)
	some("pubsub#type", form.TextSingle, n.Config.Type)
	some("pubsub#access_model", form.ListSingle, string(n.Config.Access))
	some("pubsub#publish_model", form.ListSingle, n.Config.publishModel())
	some("pubsub#max_items", form.TextSingle, findSetting("pubsub#max_items").get(&n.Config)...)
	some("pubsub#creation_date", form.TextSingle, time.Unix(n.Created, 0).UTC().Format(time.RFC3339))
	if u := p.host.Directory.ByID(n.Creator); u != nil {
		some("pubsub#creator", form.JIDSingle, u.JID.String())
	}
	var owners []string
	for _, j := range at.owners(s) {
		owners = append(owners, j.String())
	}
	some("pubsub#owner", form.JIDMulti, owners...)
	some("pubsub#publisher", form.JIDMulti, s.people.find(func(q person) bool { return q.affiliation == Publisher })...)
	listed, _ := s.people.counts()
	some("pubsub#num_subscribers", form.TextSingle, strconv.Itoa(listed))
	return f.Append(dst)
}
