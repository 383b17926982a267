package pubsub

import (
	"crypto/rand"
	"errors"
	"slices"
	"strconv"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
)

// Request is what is asked for.
type Request struct {
	PubSub *xmpp.Node // <pubsub/>
	About  *xmpp.Node // the element in it that says what it is about
	at     site
}

// Owned reports whether it is the user himself who asks for something of his
// account.
func (r *Request) Owned(q *feature.Query) bool { return q.Where == feature.Self }

// Face answers requests about what looks like a node of an account.
type Face func(q *feature.Query, r *Request, dst []byte) ([]byte, error)

// action is what is done about one kind of request.
type action func(p *PubSub, q *feature.Query, r *Request, dst []byte) ([]byte, error)

var getActions = map[string]action{
	"items":         (*PubSub).items,
	"subscriptions": (*PubSub).ownSubscriptions,
	"affiliations":  (*PubSub).ownAffiliations,
	"default":       refuses("retrieve-default-sub"),
	"options":       refuses("subscription-options"),
}

var setActions = map[string]action{
	"publish":     (*PubSub).publish,
	"retract":     (*PubSub).retract,
	"create":      (*PubSub).create,
	"configure":   misplaced,
	"subscribe":   (*PubSub).subscribe,
	"unsubscribe": (*PubSub).unsubscribe,
	"options":     refuses("subscription-options"),
}

func refuses(what string) action {
	return func(*PubSub, *feature.Query, *Request, []byte) ([]byte, error) { return nil, unsupported(what) }
}

// misplaced is for a configuration that is not behind what it is for (XEP-0060 §8.1.3).
func misplaced(*PubSub, *feature.Query, *Request, []byte) ([]byte, error) {
	return nil, xmpp.NewError(xmpp.BadRequest, "what is to be configured comes first")
}

// handle answers a request by the element in <pubsub/>.
func (p *PubSub) handle(actions map[string]action) feature.Handler {
	return func(q *feature.Query, dst []byte) ([]byte, error) {
		at, err := p.site(q)
		if err != nil {
			return nil, err
		}
		r := &Request{PubSub: q.Payload.Node(), at: at}
		i := slices.IndexFunc(r.PubSub.Children, func(c *xmpp.Node) bool { return c.Space == r.PubSub.Space })
		if i < 0 {
			return nil, xmpp.NewError(xmpp.BadRequest, "nothing is asked for")
		}
		r.About = r.PubSub.Children[i]
		if face := p.hooks.Faces[r.About.Attr("node")]; face != nil && at.user != nil {
			return face(q, r, dst)
		}
		do := actions[r.About.Local]
		if do == nil {
			return nil, xmpp.NewError(xmpp.FeatureNotImplemented, "")
		}
		if q.Stanza.Type == xmpp.TypeSet {
			if err := p.Afford(q.From); err != nil {
				return nil, err
			}
		}
		return do(p, q, r, dst)
	}
}

// IQ are the handlers for addresses of some kinds.
func (p *PubSub) IQ(where feature.Where) []feature.IQ {
	return []feature.IQ{
		feature.Get(xmpp.NSPubSub, "pubsub", where, p.handle(getActions)),
		feature.Set(xmpp.NSPubSub, "pubsub", where, p.handle(setActions)),
		feature.Get(xmpp.NSPubSubOwn, "pubsub", where, p.handle(ownerGetActions)),
		feature.Set(xmpp.NSPubSubOwn, "pubsub", where, p.handle(ownerSetActions)),
	}
}

// mayCreate returns on whose account somebody may make nodes.
func (p *PubSub) mayCreate(at *site, q *feature.Query) (creator directory.ID, err error) {
	forbidden := xmpp.NewError(xmpp.Forbidden, "")
	if at.user != nil {
		if q.From.Bare() != at.jid {
			return 0, forbidden
		}
		return at.id, nil
	}
	u := q.UserOf()
	if u == nil || p.opts.Limits == nil || p.opts.Limits(u).Nodes <= 0 {
		return 0, forbidden
	}
	return u.ID, nil
}

// publish adds an item (XEP-0060 §7.1).
func (p *PubSub) publish(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, err := nodeOf(r.About)
	if err != nil {
		return nil, err
	}
	creator, notCreate := p.mayCreate(&r.at, q)
	s, err := p.publishable(q, r, name, notCreate)
	if err != nil {
		return nil, err
	}
	it, named, err := ParseItem(r.About)
	if err != nil {
		return nil, err
	}
	options, err := ParseOptions(r.PubSub)
	if err != nil {
		return nil, err
	}
	if it != nil && (r.at.user == nil || q.From.Bare() != r.at.jid) {
		it.Publisher = q.From.Bare().String()
	}
	for {
		err = p.changeBy(q.From, r.at.home, func(t *Transaction) error {
			n, err := t.node(name)
			switch {
			case err != nil:
				return err
			case n.nodeRecord == nil && notCreate != nil:
				return t.missing(name)
			case n.nodeRecord != nil && (s == nil || s.creator != n.Creator):
				return errMade
			}
			if n, err = t.prepare(name, options, creator); err != nil {
				return err
			}
			if err := n.Config.fits(it); err != nil {
				return err
			}
			if it == nil {
				t.say(n, Event{Kind: Published, Node: name})
				return nil
			}
			if old, there, err := getItem(t.tx, t.home.id, n.Num, it.ID); err != nil {
				return err
			} else if there {
				if err := p.mayRemove(&r.at, s, q.From, &old); err != nil {
					return err
				}
			}
			return t.add(n, *it)
		})
		if !errors.Is(err, errMade) {
			break
		}
		if s, err = p.publishable(q, r, name, notCreate); err != nil {
			break
		}
	}
	if err != nil || named || it == nil {
		return dst, err
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><publish"...)
	dst = append(xmpp.AppendAttr(dst, "node", name), "><item"...)
	return append(xmpp.AppendAttr(dst, "id", it.ID), "/></publish></pubsub>"...), nil
}

// errMade ends a transaction that was allowed for another node than the one that
// is there.
var errMade = errors.New("pubsub: the node was made in the meantime")

// publishable returns how the node is to which somebody may publish, nil if he
// may make it, or why he may not (XEP-0060 §7.1.3.1).
func (p *PubSub) publishable(q *feature.Query, r *Request, name string, notCreate error) (*shape, error) {
	s := r.at.shapeOf(name)
	if s == nil {
		return nil, notCreate
	}
	return s, p.mayPublish(&r.at, s, q.From)
}

// fits refuses what is not of the kind that the node takes (XEP-0060 §7.1.3.7).
func (c *Config) fits(it *Item) error {
	switch {
	case c.anonymous() && it != nil:
		return Refusal(xmpp.BadRequest, "item-forbidden", "")
	case c.anonymous():
		return nil
	case it == nil:
		return Refusal(xmpp.BadRequest, "item-required", "")
	case len(it.Payload) == 0 && !c.NoPayloads:
		return Refusal(xmpp.BadRequest, "payload-required", "")
	}
	return nil
}

// ParseItem reads the item of a request to publish, nil if there is none; named
// says that it has an id.
func ParseItem(publish *xmpp.Node) (it *Item, named bool, err error) {
	for _, c := range publish.Children {
		switch {
		case !c.Is(xmpp.NSPubSub, "item"):
		case it != nil: // XEP-0060 §13.11: one at a time
			return nil, false, Refusal(xmpp.NotAllowed, "max-items-exceeded", "one item at a time can be published")
		default:
			it = &Item{ID: c.Attr("id")}
			if len(c.Children) > 1 { // §7.1.3.6
				return nil, false, Refusal(xmpp.BadRequest, "invalid-payload", "an item has one payload")
			}
			if len(c.Children) == 1 {
				it.Payload = c.Children[0].Append(nil)
			}
		}
	}
	if it == nil {
		return nil, false, nil
	}
	if len(it.ID) > maxID {
		return nil, false, unacceptable("the id of an item has at most %d bytes", maxID)
	}
	if named = it.ID != ""; !named {
		it.ID = rand.Text()
	}
	return it, named, nil
}

// maxRetracted is how many items one request retracts: of each, everybody hears.
// Purging takes all.
const maxRetracted = 100

// retract removes items (XEP-0060 §7.2).
func (p *PubSub) retract(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	name, err := nodeOf(r.About)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range r.About.Children {
		if c.Is(xmpp.NSPubSub, "item") {
			ids = append(ids, c.Attr("id"))
		}
	}
	if len(ids) == 0 || slices.Contains(ids, "") { // §7.2.3.4
		return nil, Refusal(xmpp.BadRequest, "item-required", "")
	}
	if len(ids) > maxRetracted {
		return nil, Refusal(xmpp.NotAllowed, "max-items-exceeded", "at most "+strconv.Itoa(maxRetracted)+" items are retracted at once")
	}
	s := r.at.shapeOf(name)
	switch {
	case s == nil && r.at.user != nil && !r.Owned(q):
		return nil, xmpp.NewError(xmpp.Forbidden, "")
	case s == nil:
		return nil, p.gone(&r.at, name)
	case s.Config.Transient: // §7.2.3.5
		return nil, unsupported("persistent-items")
	}
	notify := r.About.Attr("notify") == "true" || r.About.Attr("notify") == "1"
	return dst, p.changeBy(q.From, r.at.home, func(t *Transaction) error {
		for _, id := range ids {
			it, err := t.Item(name, id)
			if err != nil {
				return err
			}
			if it == nil {
				it = &Item{}
			}
			if err := p.mayRemove(&r.at, s, q.From, it); err != nil {
				return err
			}
			if err := t.retract(name, id, notify); err != nil {
				return err
			}
		}
		return t.touched(name, nil)
	})
}

// create makes a node (XEP-0060 §8.1).
func (p *PubSub) create(q *feature.Query, r *Request, dst []byte) ([]byte, error) {
	creator, err := p.mayCreate(&r.at, q)
	if err != nil {
		return nil, err
	}
	instant := r.About.Attr("node") == ""
	if instant { // §8.1.1
		r.About.SetAttr("node", rand.Text())
	}
	name, err := nodeOf(r.About)
	if err != nil {
		return nil, err
	}
	c := p.initial(r.at.home, name)
	if in := r.PubSub.Child("", "configure"); in != nil {
		if _, ok := in.Lookup("node"); ok { // §8.1.3
			return nil, xmpp.NewError(xmpp.BadRequest, "what is created names the node")
		}
		f, _, err := parseForm(in, formConfig)
		if err != nil {
			return nil, err
		}
		if f != nil {
			if c, err = c.with(f); err != nil {
				return nil, err
			}
		}
	}
	if err := p.alone(r.at.home, name, &c); err != nil {
		return nil, err
	}
	err = p.changeBy(q.From, r.at.home, func(t *Transaction) error {
		_, err := t.create(name, c, creator)
		return err
	})
	if err != nil || !instant {
		return dst, err
	}
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSub+"'><create"...)
	return append(xmpp.AppendAttr(dst, "node", name), "/></pubsub>"...), nil
}

// number reads a number out of an attribute, -1 if there is none.
func numberIn(n *xmpp.Node, name string) (int, error) {
	s, ok := n.Lookup(name)
	if !ok {
		return -1, nil
	}
	v, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, xmpp.NewError(xmpp.BadRequest, name+" must be a number")
	}
	return int(v), nil
}
