package blocking

import (
	"context"
	"slices"
	"strconv"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

const nsPrivacy = "jabber:iq:privacy" // XEP-0016

// portables are the addresses that somebody blocks. XEP-0227 §4.8 has them as
// privacy lists, of which each server understands as much as it can; the
// element of XEP-0191 says it better, and others pass over it.
func (b *Blocking) portables() []feature.Portable {
	return []feature.Portable{
		{Space: xmpp.NSBlocking, Local: "blocklist", Export: b.export, Import: b.importList},
		{Space: nsPrivacy, Local: "query", Export: b.exportPrivacy, Import: b.importPrivacy},
	}
}

func (b *Blocking) addresses(ctx context.Context, u *directory.User) (all []xmpp.JID, err error) {
	err = b.host.State.View(ctx, func(tx store.Tx) error {
		l, err := readList(tx, u.ID)
		if err == nil {
			all = slices.Collect(l.all())
		}
		return err
	})
	return all, err
}

func (b *Blocking) export(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	all, err := b.addresses(ctx, u)
	if err != nil || len(all) == 0 {
		return dst, err
	}
	dst = append(dst, "<blocklist xmlns='"+xmpp.NSBlocking+"'>"...)
	return append(appendItems(dst, slices.Values(all)), "</blocklist>"...), nil
}

func (b *Blocking) exportPrivacy(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	all, err := b.addresses(ctx, u)
	if err != nil || len(all) == 0 {
		return dst, err
	}
	n := &xmpp.Node{Space: nsPrivacy, Local: "query", Children: []*xmpp.Node{
		{Space: nsPrivacy, Local: "default", Attrs: []xmpp.Attr{{Local: "name", Value: "blocked"}}},
		{Space: nsPrivacy, Local: "list", Attrs: []xmpp.Attr{{Local: "name", Value: "blocked"}}},
	}}
	for i, j := range all {
		item := &xmpp.Node{Space: nsPrivacy, Local: "item"}
		item.SetAttr("type", "jid")
		item.SetAttr("value", j.String())
		item.SetAttr("action", "deny")
		item.SetAttr("order", strconv.Itoa(i+1))
		n.Children[1].Children = append(n.Children[1].Children, item)
	}
	return n.Append(dst), nil
}

func (b *Blocking) importList(_ context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	var jids []xmpp.JID
	for _, item := range n.Children {
		j, err := xmpp.ParseJID(item.Attr("jid"))
		if err != nil || j.Bare() == u.JID {
			left = append(left, "blocked address "+item.Attr("jid"))
			continue
		}
		jids = append(jids, j)
	}
	err = feature.Leave(&left, "blocked addresses", b.add(u, jids))
	return left, err
}

// importPrivacy takes from the default list the addresses that are denied
// everything, which is what can be blocked.
func (b *Blocking) importPrivacy(_ context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	name := n.Child("", "default").Attr("name")
	var jids []xmpp.JID
	for _, list := range n.Children {
		switch {
		case !list.Is(nsPrivacy, "list"):
			continue
		case list.Attr("name") != name:
			left = append(left, "privacy list "+list.Attr("name"))
			continue
		}
		for _, item := range list.Children {
			j, err := xmpp.ParseJID(item.Attr("value"))
			switch {
			case item.Attr("action") == "allow" && item.Attr("type") == "": // what is done anyway
			case item.Attr("action") != "deny" || item.Attr("type") != "jid" || len(item.Children) > 0 || err != nil || j.Bare() == u.JID:
				left = append(left, "an item of privacy list "+name)
			default:
				jids = append(jids, j)
			}
		}
	}
	err = feature.Leave(&left, "blocked addresses", b.add(u, jids))
	return left, err
}
