package pubsub

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
)

// Kind says what happened.
type Kind uint8

const (
	Published Kind = iota
	Retracted
	Purged
	Deleted
	Configured
	Changed // somebody's subscription
)

// Event is something that happened in a node (XEP-0060 §4.3).
type Event struct {
	Kind     Kind
	Owner    directory.ID // of the account
	Node     string
	Item     Item   // Published; its id: Retracted
	Redirect string // Deleted: where the node is now
	At       time.Time

	was   *Config      // Configured: another access model than now; nil: it is the same
	who   string       // Changed
	is    subscription // the same
	shape *shape       // of the node at that moment
	quiet bool         // nobody is told
}

// run names what this process sends, so that no id is used again.
var run = rand.Text()[:8]

// tell tells everybody of what a transaction did. Call with home.deliver held.
func (p *PubSub) tell(h *home, o *outcome) {
	at, ok := p.siteOf(h)
	if !ok {
		return
	}
	var out router.Batch
	spent := 0
	for i := range o.events {
		ev := &o.events[i]
		switch {
		case ev.Kind == Changed:
			spent += p.tellOfSubscription(&out, &at, ev)
		case !ev.quiet && !ev.shape.Config.Mute:
			spent += p.send(&out, &at, ev)
		}
		if ev.was != nil && at.user != nil {
			spent += p.admit(&out, &at, ev)
		}
		if at.user != nil {
			for _, fn := range p.observers {
				fn(*ev)
			}
		}
	}
	if at.user != nil && p.hooks.Told != nil {
		p.hooks.Told(&out, at.user, o.events)
	}
	out.Flush()
	author := o.author
	if author.IsZero() {
		author = at.jid
	}
	if spent > 0 {
		p.budgets.Spend(author, spent, p.opts.Rate, p.host.Now())
	}
}

// Afford reports, as an error, that somebody has had too much told of lately.
func (p *PubSub) Afford(who xmpp.JID) error {
	if p.budgets.Take(who.Bare(), 0, p.opts.Rate, p.host.Now()) {
		return nil
	}
	return feature.ErrTooMuch
}

// admit sends the last item of a node to those whom another access model lets in
// (XEP-0060 §13.2), and returns how many KiB that was. Call with home.deliver held.
func (p *PubSub) admit(out *router.Batch, at *site, ev *Event) (told int) {
	before := *ev.shape
	before.Config = *ev.was
	for _, cl := range p.audience(at.domain).interested(nil, ev.Node) {
		if !p.listens(at, &before, cl) {
			told += p.sendLastOf(out, &job{client: cl, since: p.turn.Load()}, at, ev.Node)
		}
	}
	return told
}

// receiver is a client that is told, and as whom it is addressed.
type receiver struct {
	*Client
	to []byte // ` to='…'`
}

// send tells of one event, and returns how many KiB that was.
func (p *PubSub) send(out *router.Batch, at *site, ev *Event) int {
	receivers := p.receivers(at, ev)
	if len(receivers) == 0 {
		return 0
	}
	message := at.appendEvent(nil, ev)
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	for _, r := range receivers {
		*buf = appendTo((*buf)[:0], message, r.to)
		r.session.Send(out, *buf)
	}
	return len(receivers) * weightOf(message)
}

// weightOf is how many KiB a message counts for (Options.Rate).
func weightOf(message []byte) int { return 1 + len(message)>>10 }

// receivers are the clients that are told of what happens in a node: those that
// want to hear of nodes of this name and whose users see the owner, and those
// that have subscribed (XEP-0060 §9.1, §9.2).
func (p *PubSub) receivers(at *site, ev *Event) (told []receiver) {
	s, x := ev.shape, p.audience(at.domain)
	have := map[*Client]bool{}
	if at.user != nil {
		for _, cl := range x.interested(nil, ev.Node) {
			if p.listens(at, s, cl) {
				told = append(told, receiver{cl, cl.to})
				have[cl] = true
			}
		}
	}
	listed := isSubscribed
	if ev.Kind == Deleted { // §8.4.2
		listed = func(q person) bool { return q.subscription != unsubscribed }
	}
	for _, text := range bareFirst(s.people.list(listed)) { // as addressed does
		j, err := xmpp.ParseJID(text)
		if err != nil {
			continue
		}
		clients := x.of(nil, p.host.Router, j)
		if len(clients) == 0 || !p.welcome(at, s, j) && ev.Kind != Deleted {
			continue
		}
		for _, cl := range clients {
			if !have[cl] && !p.blocked(cl.user, at) {
				told = append(told, receiver{cl, at.addressTo(text, cl)})
				have[cl] = true
			}
		}
	}
	return told
}

// bareFirst puts bare addresses before full ones.
func bareFirst(jids []string) []string {
	n := 0
	for i, j := range jids {
		if !strings.Contains(j, "/") {
			jids[i], jids[n] = jids[n], j
			n++
		}
	}
	return jids
}

// addressTo is how a client of somebody who has subscribed is addressed: an
// account tells of items by full addresses (XEP-0163 §4.3.1), a service by the
// address that subscribed (XEP-0060 §13.3).
func (at *site) addressTo(subscriber string, cl *Client) []byte {
	if at.user != nil {
		return cl.to
	}
	return xmpp.AppendAttr(nil, "to", subscriber)
}

// welcome reports whether somebody who has subscribed still may read the node.
func (p *PubSub) welcome(at *site, s *shape, j xmpp.JID) bool { return p.mayRead(at, s, j) == nil }

func (p *PubSub) blocked(user directory.ID, at *site) bool {
	return p.opts.Blocks != nil && p.opts.Blocks(user, at.jid)
}

// addressed returns as whom a client is told of a node to which it, or its user,
// has subscribed; nil if it is not told.
func (p *PubSub) addressed(at *site, s *shape, cl *Client) []byte {
	for _, j := range []xmpp.JID{cl.jid.Bare(), cl.jid} {
		if j.IsBare() && cl.session.Presence().Priority < 0 || !isSubscribed(s.people.get(j.String())) {
			continue
		}
		if p.welcome(at, s, j) && !p.blocked(cl.user, at) {
			return xmpp.AppendAttr(nil, "to", j.String())
		}
	}
	return nil
}

// listens reports whether a client that wants to hear of a node of an account is told.
func (p *PubSub) listens(at *site, s *shape, cl *Client) bool {
	if cl.user == at.user.ID { // XEP-0060 §9.1.1
		return true
	}
	// §9.1.2: they see each other, and the node lets them in.
	if p.mayRead(at, s, cl.jid) != nil {
		return false
	}
	return s.Config.Access == Presence || s.Config.Access == Roster || p.opts.MaySee(at.user.ID, cl.jid)
}

// appendEvent appends the notification of an event, without 'to'.
func (at *site) appendEvent(dst []byte, ev *Event) []byte {
	dst = at.appendHead(dst, &ev.shape.Config)
	switch ev.Kind {
	case Published:
		dst = append(xmpp.AppendAttr(append(dst, "<items"...), "node", ev.Node), '>')
		if !ev.shape.Config.anonymous() {
			dst = appendItem(dst, &ev.Item, !ev.shape.Config.NoPayloads)
		}
		dst = append(dst, "</items>"...)
	case Retracted:
		dst = append(xmpp.AppendAttr(append(dst, "<items"...), "node", ev.Node), "><retract"...)
		dst = append(xmpp.AppendAttr(dst, "id", ev.Item.ID), "/></items>"...)
	case Purged:
		dst = append(xmpp.AppendAttr(append(dst, "<purge"...), "node", ev.Node), "/>"...)
	case Deleted:
		dst = append(xmpp.AppendAttr(append(dst, "<delete"...), "node", ev.Node), '>')
		if ev.Redirect != "" {
			dst = append(xmpp.AppendAttr(append(dst, "<redirect"...), "uri", ev.Redirect), "/>"...)
		}
		dst = append(dst, "</delete>"...)
	case Configured:
		dst = append(xmpp.AppendAttr(append(dst, "<configuration"...), "node", ev.Node), '>')
		if !ev.shape.Config.NoPayloads {
			dst = ev.shape.Config.form(form.TypeResult).Append(dst)
		}
		dst = append(dst, "</configuration>"...)
	case Changed:
		dst = appendSubscription(dst, ev.Node, ev.who, ev.is)
	}
	return append(dst, "</event></message>"...)
}

// AppendPublished appends the notification of an item of an account's node that
// is not stored as such, without 'to'.
func AppendPublished(dst []byte, owner xmpp.JID, node string, it *Item) []byte {
	at, c := site{jid: owner}, Private()
	return at.appendEvent(dst, &Event{Kind: Published, Node: node, Item: *it, shape: &shape{Config: c}})
}

// appendHead appends the beginning of a notification.
func (at *site) appendHead(dst []byte, c *Config) []byte {
	dst = at.appendStart(dst)
	if !c.Normal {
		dst = append(dst, " type='headline'"...)
	}
	return append(dst, "><event xmlns='"+xmpp.NSPubSubEv+"'>"...)
}

// appendStart appends an open start tag of a message.
func (at *site) appendStart(dst []byte) []byte {
	dst = xmpp.AppendAttr(append(dst, "<message"...), "from", at.jid.String())
	kind := "pep-"
	if at.user == nil && at.jid.Local() == "" {
		kind = "pubsub-"
	}
	dst = append(append(dst, " id='"...), kind...)
	dst = append(append(dst, run...), '-')
	return append(strconv.AppendUint(dst, serial.Add(1), 36), '\'')
}

// appendItem appends an item as others see it.
func appendItem(dst []byte, it *Item, payload bool) []byte {
	dst = xmpp.AppendAttr(append(dst, "<item"...), "id", it.ID)
	if it.Publisher != "" { // XEP-0060 §7.1.2.3
		dst = xmpp.AppendAttr(dst, "publisher", it.Publisher)
	}
	if !payload || len(it.Payload) == 0 {
		return append(dst, "/>"...)
	}
	return append(append(append(dst, '>'), it.Payload...), "</item>"...)
}

// AppendItem appends an item as others see it, with its payload.
func AppendItem(dst []byte, it *Item) []byte { return appendItem(dst, it, true) }

// appendTo appends a message that has no 'to' with one.
func appendTo(dst, message, to []byte) []byte {
	const name = len("<message")
	return append(append(append(dst, message[:name]...), to...), message[name:]...)
}

// notification returns the message that tells of the last item of a node. It is
// written once, whoever gets it. Large ones are read from the store.
func (p *PubSub) notification(at *site, n *node, s *shape, last *lastItem) []byte {
	if !last.large {
		last.once.Do(func() { last.bytes = at.appendLast(nil, n.name, s, &last.Item) })
		return last.bytes
	}
	it, err := p.Item(context.Background(), at.id, n.name, last.ID)
	if err != nil || it == nil {
		return nil
	}
	return at.appendLast(nil, n.name, s, it)
}

// appendLast appends the notification of an item that was published some time
// ago (XEP-0060 §6.1.7, XEP-0203).
func (at *site) appendLast(dst []byte, node string, s *shape, it *Item) []byte {
	dst = at.appendHead(dst, &s.Config)
	dst = append(xmpp.AppendAttr(append(dst, "<items"...), "node", node), '>')
	dst = appendItem(dst, it, !s.Config.NoPayloads)
	dst = append(dst, "</items></event><delay xmlns='"+xmpp.NSDelay+"' stamp='"...)
	dst = it.Published.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	return append(dst, "'/></message>"...)
}
