package pubsub

import (
	"context"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/store"
)

// MaxAnswer is how many bytes of items one answer has. A node that has more is
// read page by page (XEP-0060 §6.5.4).
const MaxAnswer = 640 << 10

// items answers a request for items (XEP-0060 §6.5).
func (p *PubSub) items(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, err := nodeOf(r.About)
	if err != nil {
		return nil, err
	}
	s, err := p.there(&r.at, name)
	if err != nil {
		return nil, err
	}
	if err := p.mayRead(&r.at, s, q.From); err != nil {
		return nil, err
	}
	wanted, err := parseRetrieval(r.PubSub, r.About)
	if err != nil {
		return nil, err
	}
	if s.Config.Transient { // §6.5.9.4
		return nil, unsupported("persistent-items")
	}
	ctx := context.Background()
	if err := p.expire(ctx, r.at.home, name); err != nil {
		return nil, err
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><items"...)
	dst = append(xmpp.AppendAttr(dst, "node", name), '>')
	err = p.host.State.View(ctx, func(tx store.Tx) (err error) {
		n, err := getNode(tx, r.at.id, name)
		if err != nil {
			return err
		}
		if n == nil {
			return xmpp.NewError(xmpp.ItemNotFound, "")
		}
		dst, err = wanted.read(tx, r.at.id, n, dst)
		return err
	})
	if err != nil {
		return nil, err
	}
	return append(dst, "</pubsub>"...), nil
}

// expire removes what is older than a node is to keep, if anything is.
func (p *PubSub) expire(ctx context.Context, h *home, name string) error {
	s := h.shapeOf(name)
	if s == nil || s.Config.Expire == 0 {
		return nil
	}
	old := false
	err := p.host.State.View(ctx, func(tx store.Tx) error {
		n, err := getNode(tx, h.id, name)
		if err != nil || n == nil {
			return err
		}
		for it, err := range scanItems(tx, h.id, n.Num, store.Range{Limit: 1}) {
			if err != nil {
				return err
			}
			old = s.Config.expired(it.Published, p.host.Now())
		}
		return nil
	})
	if err != nil || !old {
		return err
	}
	return p.change(ctx, h, func(t *Transaction) error {
		n, err := t.node(name)
		if err != nil || n.nodeRecord == nil {
			return err
		}
		if err := t.expire(n); err != nil {
			return err
		}
		return t.touched(name, nil)
	})
}

// retrieval is a request for items: those with certain ids, the latest ones, or a page.
type retrieval struct {
	ids    []string
	latest int // -1: not given
	form.RSM
	paged bool
}

func parseRetrieval(pubsub, about *xmpp.Node) (r retrieval, err error) {
	for _, c := range about.Children {
		if c.Is(xmpp.NSPubSub, "item") {
			if c.Attr("id") == "" {
				return r, xmpp.NewError(xmpp.BadRequest, "an item has an id")
			}
			r.ids = append(r.ids, c.Attr("id"))
		}
	}
	if r.latest, err = numberIn(about, "max_items"); err != nil {
		return r, err
	}
	set := pubsub.Child(xmpp.NSRSM, "set")
	r.paged = set != nil
	r.RSM, err = form.ParseRSM(set)
	return r, err
}

// read appends items, the end tag of <items/>, and what is said of the page.
func (r *retrieval) read(tx store.Tx, owner directory.ID, n *nodeRecord, dst []byte) ([]byte, error) {
	if len(r.ids) > 0 {
		for _, id := range r.ids {
			it, ok, err := getItem(tx, owner, n.Num, id)
			if err != nil {
				return dst, err
			}
			if ok && len(dst) < MaxAnswer {
				dst = appendItem(dst, &it, true)
			}
		}
		return append(dst, "</items>"...), nil
	}
	seqs, index, err := r.page(tx, owner, n)
	if err != nil {
		return dst, err
	}
	var first, last string
	room := MaxAnswer - len(dst)
	var chosen []Item
	for i := range seqs {
		at := seqs[i]
		if r.backwards() {
			at = seqs[len(seqs)-1-i]
		}
		key := itemKey(owner, n.Num, at)
		it, err := decodeItem(key, tx.Get(spaceItems, key))
		if err != nil {
			return dst, err
		}
		if room -= len(it.Payload) + len(it.ID) + 32; room < 0 && i > 0 {
			if r.backwards() {
				index += len(seqs) - i
			}
			break
		}
		chosen = append(chosen, it)
	}
	if r.backwards() {
		slices.Reverse(chosen)
	}
	for i := range chosen {
		dst = appendItem(dst, &chosen[i], true)
	}
	dst = append(dst, "</items>"...)
	if len(chosen) > 0 {
		first, last = chosen[0].ID, chosen[len(chosen)-1].ID
	}
	if r.paged || len(chosen) < len(seqs) {
		if len(chosen) == 0 {
			index = -1
		}
		dst = form.RSMResult{First: first, Last: last, Index: index, Count: n.Items}.Append(dst)
	}
	return dst, nil
}

// backwards reports whether the latest items count most.
func (r *retrieval) backwards() bool { return r.HasBefore || r.latest >= 0 }

// page returns the sequences of the items that are asked for, the oldest first,
// and how many items are before them.
func (r *retrieval) page(tx store.Tx, owner directory.ID, n *nodeRecord) (seqs []uint64, index int, err error) {
	all := make([]uint64, 0, n.Items)
	for k := range tx.Scan(spaceItems, store.Range{Prefix: numberKey(owner, n.Num)}) {
		all = append(all, seqOf(k))
	}
	from, to := 0, len(all)
	place := func(id string) (int, error) { // XEP-0059 §3.1
		it, ok, err := getItem(tx, owner, n.Num, id)
		if err != nil {
			return 0, err
		}
		i, found := slices.BinarySearch(all, it.seq)
		if !ok || !found {
			return 0, xmpp.NewError(xmpp.ItemNotFound, "")
		}
		return i, nil
	}
	switch {
	case r.HasAfter:
		if from, err = place(r.After); err != nil {
			return nil, 0, err
		}
		from++
	case r.HasBefore && r.Before != "":
		if to, err = place(r.Before); err != nil {
			return nil, 0, err
		}
	case r.Index >= 0:
		from = min(r.Index, len(all))
	}
	most := to - from
	if r.Max >= 0 {
		most = min(most, r.Max)
	}
	if r.latest >= 0 {
		most = min(most, r.latest)
	}
	if r.backwards() {
		from = to - most
	}
	return all[from : from+most], from, nil
}

func readItems(tx store.Tx, home directory.ID, node string) (items []Item, err error) {
	n, err := getNode(tx, home, node)
	if err != nil || n == nil {
		return nil, err
	}
	for it, err := range scanItems(tx, home, n.Num, store.Range{}) {
		if err != nil {
			return nil, err
		}
		it.Payload = slices.Clone(it.Payload)
		items = append(items, it)
	}
	return items, nil
}
