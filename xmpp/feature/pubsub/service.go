package pubsub

import (
	"context"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// label begins the address of the service: pubsub.example.com.
const label = "pubsub"

// Features is what can be done with all nodes, as XEP-0060 §11 names it.
var Features = []string{
	"access-authorize", "access-open", "access-presence", "access-roster", "access-whitelist",
	"auto-create", "config-node", "config-node-max", "create-and-configure", "create-nodes", "delete-items",
	"delete-nodes", "instant-nodes", "item-ids", "last-published", "manage-subscriptions", "member-affiliation",
	"meta-data", "modify-affiliations", "multi-items", "outcast-affiliation", "persistent-items", "publish",
	"publish-only-affiliation", "publish-options", "publisher-affiliation", "purge-nodes", "retract-items",
	"retrieve-affiliations", "retrieve-default", "retrieve-items", "retrieve-subscriptions", "rsm", "subscribe",
	"subscription-notifications",
}

// Feature is the service of each domain, and what accounts need of it: it watches
// who comes online, and what their clients want to be told of.
func (p *PubSub) Feature() feature.Feature {
	const service = feature.Service
	adverts := []feature.Advert{{Var: xmpp.NSPubSub, Where: service}, {Var: xmpp.NSPubSubOwn, Where: service}, {Var: xmpp.NSRSM, Where: service}}
	for _, f := range Features {
		adverts = append(adverts, feature.Advert{Var: xmpp.NSPubSub + "#" + f, Where: service})
	}
	return feature.Feature{
		Name: "pubsub",
		Implements: []feature.XEP{
			feature.Implements(60, "1.30.0", feature.Complete, "on accounts and at the service pubsub.DOMAIN; no subscription options or ids, no get-pending"),
		},
		Advertise:  adverts,
		Identities: []feature.Identity{{Category: "pubsub", Type: "service", Name: "Publish-Subscribe", Where: service}},
		Items:      p.serviceItems,
		Nodes:      p.serviceNode,
		IQ:         p.IQ(service),
		Targets: []feature.Target{{
			Where: service, Label: label, Name: "Publish-Subscribe",
			Message: p.message, Deliver: func(*feature.Dispatch, *router.Batch) {},
		}},
		Accept:  p.accept,
		Resumed: p.resumed,
		Ended:   func(s *router.Session, _ router.Unacknowledged) { p.left(s) },
		Restart: feature.Restart{Save: p.save, Restore: p.restore},
		Start: func(*feature.Host) error {
			p.sweeper.arm(p)
			return p.load(context.Background())
		},
		Stop: p.sweeper.stop,
	}
}

// The service answers for itself only; accounts are package pep's.

func (p *PubSub) serviceItems(q *feature.Query, dst []byte) ([]byte, error) {
	if q.Where != feature.Service {
		return dst, nil
	}
	return p.DiscoItems(q, dst)
}

func (p *PubSub) serviceNode(q *feature.Query, node string, items bool, dst []byte) ([]byte, bool, error) {
	if q.Where != feature.Service {
		return dst, false, nil
	}
	return p.DiscoNode(q, node, items, dst)
}

// sweepEvery is how often items that have expired are looked for.
const sweepEvery = time.Hour

// sweeper is the timer by which they are.
type sweeper struct {
	mu      sync.Mutex
	timer   xmpp.Timer
	stopped bool
}

func (s *sweeper) arm(p *PubSub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.timer = p.host.Clock.AfterFunc(sweepEvery, p.sweep)
	}
}

func (s *sweeper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped = true; s.timer != nil {
		s.timer.Stop()
	}
}

// sweep removes items that have expired.
func (p *PubSub) sweep() {
	defer p.sweeper.arm(p)
	p.mu.RLock()
	homes := make([]*home, 0, len(p.homes))
	for _, h := range p.homes {
		homes = append(homes, h)
	}
	p.mu.RUnlock()
	for _, h := range homes {
		for _, name := range h.expiring() {
			if err := p.expire(context.Background(), h, name); err != nil {
				p.host.Log.Error("expired items were not removed", "node", name, "error", err)
			}
		}
	}
}

// expiring returns the nodes whose items go by themselves.
func (h *home) expiring() (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, n := range h.nodes {
		if n.shape.Config.Expire > 0 {
			names = append(names, name)
		}
	}
	return names
}
