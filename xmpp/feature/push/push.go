// Package push wakes clients that have no connection: it tells the push service
// of each that something has come for its user (XEP-0357).
//
// A registration belongs to the session that made it. While that is connected
// nothing is pushed for it; once the connection is lost, or the session is gone,
// each message that somebody would want to be woken for is. What is told is that
// there are messages, and how many: neither from whom nor what they say, since
// services are third parties.
package push

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// What one user may register.
const (
	maxRegistrations = 10 // beyond, the oldest goes
	maxNode          = 1000
	maxOptions       = 2000
)

// Options are what the feature needs of others.
type Options struct {
	// Audience returns the users for whom what is said in a room is meant, whether
	// they are in it or not. It may wait for the store. nil: there are no rooms.
	Audience func(room xmpp.JID) ([]directory.ID, error)
}

// Stats counts what happens; every field may be read at any time.
type Stats struct {
	Published atomic.Int64
	Refused   atomic.Int64 // answered with an error
	Lost      atomic.Int64 // not answered in time
	Disabled  atomic.Int64 // registrations that a service's errors have ended
}

// Push is the registrations of all users.
type Push struct {
	host  *feature.Host
	opts  Options
	Stats Stats

	mu      sync.Mutex // nothing but a session is locked under it
	owners  map[directory.ID][]*registration
	waiting map[string]*registration // whose publication has no answer yet, by its id
	serial  uint64
	queue   []*registration
	said    map[said]int // in rooms, whose audience is not counted yet
	working bool
	idle    *sync.Cond
	stopped bool
}

// registration is a node of a service to publish at (§5).
type registration struct {
	owner   directory.ID
	service xmpp.JID
	node    string
	options string // a form
	enabled time.Time

	// Under Push.mu.
	session *router.Session // that made it; nil: ended
	told    bool            // what its session had not acknowledged is counted
	count   int             // messages since the client was last here
	asked   string          // the id of the publication that has no answer
	limit   xmpp.Timer      // of the time for that
	again   bool            // more came since that
	queued  bool
	failing time.Time     // since when there were errors only; zero: there were none
	erred   time.Time     // the last time
	pause   time.Duration // before the next try by itself
	retrial xmpp.Timer    // of that; nil: there will be none
	over    bool          // it is to be removed
	dead    bool          // it was
}

// New makes the Push of a server.
func New(h *feature.Host, o Options) *Push {
	p := &Push{host: h, opts: o, said: map[said]int{}, owners: map[directory.ID][]*registration{}, waiting: map[string]*registration{}}
	p.idle = sync.NewCond(&p.mu)
	h.Directory.OnDelete(func(tx store.Tx, id directory.ID) error {
		tx.OnCommit(func() { p.forget(id, func(*registration) bool { return true }) })
		return erase(tx, id)
	})
	return p
}

// Feature is the Push as the server's table takes it.
func (p *Push) Feature() feature.Feature {
	const where = feature.Server | feature.Self
	return feature.Feature{
		Name:       "push",
		Implements: []feature.XEP{feature.Implements(357, "0.4.1", feature.Complete, "without senders and bodies")},
		Advertise:  []feature.Advert{{Var: xmpp.NSPush, Where: where}},
		IQ: []feature.IQ{
			feature.Set(xmpp.NSPush, "enable", feature.Self, p.enable),
			feature.Set(xmpp.NSPush, "disable", feature.Self, p.disable),
		},
		Accept:   p.accept,
		After:    p.after,
		Inactive: p.inactive,
		Resumed:  p.resumed,
		Ended:    p.ended,
		Restart:  feature.Restart{Save: p.save, Restore: p.restore},
		Start:    p.start,
		Stop:     p.stop,
	}
}

// start reads all registrations.
func (p *Push) start(h *feature.Host) error {
	const page = 5000
	from := prefix(0)
	for n := page; n == page; {
		n = 0
		err := h.State.View(context.Background(), func(tx store.Tx) error {
			for k, v := range tx.Scan(space, store.Range{From: from, Limit: page}) {
				n++
				from = append(append([]byte(nil), k...), 0)
				r, err := decode(k, v)
				if err != nil {
					return err
				}
				p.owners[r.owner] = append(p.owners[r.owner], r)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading who is to be woken: %w", err)
		}
	}
	return nil
}

// read reads what a request names: the service and the node, which may be empty.
func (p *Push) read(n *xmpp.Node) (service xmpp.JID, node string, err error) {
	text, ok := n.Lookup("jid")
	if !ok {
		return service, "", xmpp.NewError(xmpp.BadRequest, "the request has no 'jid' of a push service")
	}
	if service, err = xmpp.ParseJID(text); err != nil {
		return service, "", xmpp.NewError(xmpp.JIDMalformed, "the 'jid' is no address")
	}
	if node = n.Attr("node"); len(node) > maxNode {
		return service, "", xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf("the node is longer than %d bytes", maxNode))
	}
	return service, node, nil
}

// options reads the form that is to go with each publication (§5).
func options(n *xmpp.Node) (string, error) {
	x := n.Child(xmpp.NSDataForms, "x")
	if x == nil {
		return "", nil
	}
	f, err := form.Parse(x)
	switch {
	case err != nil:
		return "", err
	case f.Type != form.TypeSubmit, f.FormType() != nsOptions:
		return "", xmpp.NewError(xmpp.BadRequest, "the form does not hold options of a publication")
	}
	text := string(f.Append(nil))
	if len(text) > maxOptions {
		return "", xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf("the options are longer than %d bytes", maxOptions))
	}
	return text, nil
}

// enable registers a node, or anew with other options (§5).
func (p *Push) enable(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	n := q.Payload.Node()
	service, node, err := p.read(n)
	if err != nil {
		return nil, err
	}
	if p.host.Directory.Domain(service.Domain()) != nil {
		return nil, xmpp.NewError(xmpp.NotAcceptable, "there is no push service at this address")
	}
	o, err := options(n)
	if err != nil {
		return nil, err
	}
	r := &registration{
		owner: q.Session.User(), session: q.Session,
		service: service, node: node, options: o, enabled: p.host.Now(),
	}
	err = p.host.State.Update(context.Background(), func(tx store.Tx) error {
		oldest, err := surplus(tx, r)
		if err != nil {
			return err
		}
		if oldest != nil {
			if err := tx.Delete(space, oldest.key()); err != nil {
				return err
			}
		}
		tx.OnCommit(func() { p.replace(r, oldest) })
		return tx.Put(space, r.key(), r.encode())
	})
	return dst, err
}

// surplus returns the registration that has to go for a new one, if one has to.
func surplus(tx store.Tx, r *registration) (oldest *registration, err error) {
	n, own := 0, string(r.key())
	for k, v := range tx.Scan(space, store.Range{Prefix: prefix(r.owner)}) {
		if string(k) == own {
			continue
		}
		n++
		x, err := decode(k, v)
		if err != nil {
			return nil, err
		}
		if oldest == nil || x.enabled.Before(oldest.enabled) {
			oldest = x
		}
	}
	if n < maxRegistrations {
		return nil, nil
	}
	return oldest, nil
}

// replace puts a registration into force.
func (p *Push) replace(r, without *registration) {
	p.forget(r.owner, func(x *registration) bool { return x.same(r) || without != nil && x.same(without) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owners[r.owner] = append(p.owners[r.owner], r)
}

func (r *registration) same(o *registration) bool { return r.service == o.service && r.node == o.node }

// forget removes registrations of a user from memory.
func (p *Push) forget(owner directory.ID, which func(*registration) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var rest []*registration
	for _, r := range p.owners[owner] {
		if which(r) {
			r.dead = true
			r.rest()
			delete(p.waiting, r.asked)
		} else {
			rest = append(rest, r)
		}
	}
	if p.owners[owner] = rest; len(rest) == 0 {
		delete(p.owners, owner)
	}
}

// disable ends one registration, or all at a service (§6).
func (p *Push) disable(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Session == nil {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	n := q.Payload.Node()
	service, node, err := p.read(n)
	if err != nil {
		return nil, err
	}
	_, one := n.Lookup("node")
	return dst, p.remove(q.Session.User(), service, func(at string) bool { return !one || at == node })
}

// remove removes the registrations at some nodes of a service. It is on disk
// when remove returns.
func (p *Push) remove(owner directory.ID, service xmpp.JID, nodes func(string) bool) error {
	return p.host.State.Update(context.Background(), func(tx store.Tx) error {
		at := key(owner, service, "")
		for k := range tx.Scan(space, store.Range{Prefix: at}) {
			if nodes(strings.TrimPrefix(string(k), string(at))) {
				if err := tx.Delete(space, k); err != nil {
					return err
				}
			}
		}
		tx.OnCommit(func() {
			p.forget(owner, func(r *registration) bool { return r.service == service && nodes(r.node) })
		})
		return nil
	})
}
