package pep

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/form"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Kind says what happened.
type Kind uint8

const (
	Published Kind = iota
	Retracted
	Purged
	Deleted
	Configured
)

// Event is something that happened in a node (XEP-0060 §4.3).
type Event struct {
	Kind  Kind
	Owner directory.ID
	Node  string
	Item  Item // Published; its id: Retracted
	At    time.Time

	shape *shape // of the node at that moment
	quiet bool   // nobody is told
}

// OnEvent has fn called for everything that happens in anybody's nodes, once it
// is on disk, in the order of each account. It is called under a lock of the
// account: fn does not change the account itself before it returns. Call it
// before the server runs.
func (p *PEP) OnEvent(fn func(Event)) { p.observers = append(p.observers, fn) }

// run names what this process sends, so that no id is used again.
var run = rand.Text()[:8]

// tell tells everybody of what a transaction did. Call with a.deliver held.
func (p *PEP) tell(a *account, o *outcome) {
	u := p.host.Directory.ByID(a.id)
	if u == nil {
		return
	}
	var out router.Batch
	legacy := false
	for i := range o.events {
		ev := &o.events[i]
		if !ev.quiet && !ev.shape.Config.Mute {
			p.send(&out, u, ev)
		}
		legacy = legacy || ev.Node == nodeBookmarks
		for _, fn := range p.observers {
			fn(*ev)
		}
	}
	if legacy {
		p.tellLegacy(&out, u)
	}
	out.Flush()
}

// send tells of one event.
func (p *PEP) send(out *router.Batch, owner *directory.User, ev *Event) {
	receivers := p.receivers(owner, ev.Node, ev.shape)
	if len(receivers) == 0 {
		return
	}
	message := appendEvent(nil, owner.JID, ev)
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	for _, cl := range receivers {
		*buf = appendTo((*buf)[:0], message, cl.to)
		cl.session.Send(out, *buf)
	}
}

// receivers are the clients that are told of what happens in a node: those that
// want to hear of nodes of this name and whose users see the owner, and those
// that have subscribed (XEP-0060 §9.1, §9.2).
func (p *PEP) receivers(owner *directory.User, node string, s *shape) []*client {
	x := p.audience(owner.Domain)
	all := x.interested(nil, node)
	told := all[:0]
	for _, cl := range all {
		if p.listens(owner, s, cl) {
			told = append(told, cl)
		}
	}
	for _, text := range s.Subscriptions {
		j, err := xmpp.ParseJID(text)
		if err != nil || p.may(owner, s, j) != nil {
			continue
		}
		for _, cl := range x.of(nil, p.host.Router, j) {
			if !slices.Contains(told, cl) {
				told = append(told, cl)
			}
		}
	}
	return told
}

// listens reports whether a client that wants to hear of a node is told.
func (p *PEP) listens(owner *directory.User, s *shape, cl *client) bool {
	if cl.user == owner.ID { // XEP-0060 §9.1.1
		return true
	}
	// §9.1.2: they see each other, and the node lets them in.
	if p.may(owner, s, cl.jid) != nil {
		return false
	}
	return s.Config.Access == Presence || s.Config.Access == Roster || p.opts.MaySee(owner.ID, cl.jid)
}

// appendEvent appends the notification of an event, without 'to'.
func appendEvent(dst []byte, owner xmpp.JID, ev *Event) []byte {
	dst = appendHead(dst, owner, ev.shape)
	switch ev.Kind {
	case Published:
		dst = append(xmpp.AppendAttr(append(dst, "<items"...), "node", ev.Node), '>')
		dst = appendItem(dst, &ev.Item, !ev.shape.Config.NoPayloads)
		dst = append(dst, "</items>"...)
	case Retracted:
		dst = append(xmpp.AppendAttr(append(dst, "<items"...), "node", ev.Node), "><retract"...)
		dst = append(xmpp.AppendAttr(dst, "id", ev.Item.ID), "/></items>"...)
	case Purged:
		dst = append(xmpp.AppendAttr(append(dst, "<purge"...), "node", ev.Node), "/>"...)
	case Deleted:
		dst = append(xmpp.AppendAttr(append(dst, "<delete"...), "node", ev.Node), "/>"...)
	case Configured:
		dst = append(xmpp.AppendAttr(append(dst, "<configuration"...), "node", ev.Node), '>')
		if !ev.shape.Config.NoPayloads {
			dst = ev.shape.Config.form(form.TypeResult).Append(dst)
		}
		dst = append(dst, "</configuration>"...)
	}
	return append(dst, "</event></message>"...)
}

// appendHead appends the beginning of a notification.
func appendHead(dst []byte, owner xmpp.JID, s *shape) []byte {
	dst = xmpp.AppendAttr(append(dst, "<message"...), "from", owner.String())
	if !s.Config.Normal {
		dst = append(dst, " type='headline'"...)
	}
	dst = append(dst, " id='pep-"...)
	dst = append(append(dst, run...), '-')
	dst = strconv.AppendUint(dst, serial.Add(1), 36)
	return append(dst, "'><event xmlns='"+xmpp.NSPubSubEv+"'>"...)
}

// appendItem appends an item as others see it.
func appendItem(dst []byte, it *Item, payload bool) []byte {
	dst = xmpp.AppendAttr(append(dst, "<item"...), "id", it.ID)
	if !payload || len(it.Payload) == 0 {
		return append(dst, "/>"...)
	}
	return append(append(append(dst, '>'), it.Payload...), "</item>"...)
}

// appendTo appends a message that has no 'to' with one.
func appendTo(dst, message, to []byte) []byte {
	const name = len("<message")
	return append(append(append(dst, message[:name]...), to...), message[name:]...)
}

// notification returns the message that tells of the last item of a node. It is
// written once, whoever gets it. Large ones are read from the store.
func (p *PEP) notification(owner *directory.User, n *node, s *shape, last *lastItem) []byte {
	if !last.large {
		last.once.Do(func() { last.bytes = appendLast(nil, owner.JID, n.name, s, &last.Item) })
		return last.bytes
	}
	it, err := p.Item(context.Background(), owner.ID, n.name, last.ID)
	if err != nil || it == nil {
		return nil
	}
	return appendLast(nil, owner.JID, n.name, s, it)
}

// appendLast appends the notification of an item that was published some time
// ago (XEP-0060 §6.1.7, XEP-0203).
func appendLast(dst []byte, owner xmpp.JID, node string, s *shape, it *Item) []byte {
	dst = appendHead(dst, owner, s)
	dst = append(xmpp.AppendAttr(append(dst, "<items"...), "node", node), '>')
	dst = appendItem(dst, it, !s.Config.NoPayloads)
	dst = append(dst, "</items></event><delay xmlns='"+xmpp.NSDelay+"' stamp='"...)
	dst = it.Published.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	return append(dst, "'/></message>"...)
}

// Item returns an item of a user's node, nil if it is not there.
func (p *PEP) Item(ctx context.Context, owner directory.ID, node, id string) (it *Item, err error) {
	err = p.host.State.View(ctx, func(tx store.Tx) error {
		n, err := getNode(tx, owner, node)
		if err != nil || n == nil {
			return err
		}
		found, ok, err := getItem(tx, owner, n.Num, id)
		if err != nil || !ok {
			return err
		}
		found.Payload = slices.Clone(found.Payload)
		it = &found
		return nil
	})
	return it, err
}
