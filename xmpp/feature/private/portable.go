package private

import (
	"context"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// export exports what a user keeps (XEP-0227 §4.5). What others answer for they
// export.
func (p *Private) export(ctx context.Context, u *directory.User, dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, "<query xmlns='"+xmpp.NSPrivate+"'>"...)
	empty := len(dst)
	err := p.db.View(ctx, func(tx store.Tx) error {
		for _, xml := range tx.Scan(space, store.Range{Prefix: prefix(u.ID)}) {
			dst = append(dst, xml...)
		}
		return nil
	})
	if len(dst) == empty {
		return dst[:start], err
	}
	return append(dst, "</query>"...), err
}

func (p *Private) importAll(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error) {
	kept := map[Name][]byte{}
	for _, c := range n.Children {
		name, err := check(c)
		if err == nil {
			f, elsewhere := p.faces[name]
			switch {
			case !elsewhere:
				kept[name] = c.Append(kept[name])
			case f.Put != nil:
				err = f.Put(ctx, u.ID, c)
			}
		}
		if err := feature.Leave(&left, "private data "+c.Space, err); err != nil {
			return left, err
		}
	}
	for name, xml := range kept {
		err := p.put(ctx, u.ID, map[Name][]byte{name: xml})
		if err := feature.Leave(&left, "private data "+name.Space, err); err != nil {
			return left, err
		}
	}
	return left, nil
}
