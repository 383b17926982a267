// Package bytestreams is a proxy by which two clients that cannot reach one
// another send files (XEP-0065). Old clients know no other way.
//
// Each of the two connects by SOCKS5 and names the hash of the stream's id and
// both their addresses, which nobody else can know. Nothing passes until the one
// who asked for the stream has it activated over XMPP, as a user of the domain.
// What comes before that is not passed on (§8.1).
package bytestreams

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
)

// NS is the namespace of XEP-0065.
const NS = "http://jabber.org/protocol/bytestreams"

const label = "proxy"

// Options are the settings of a Proxy. Log is required.
type Options struct {
	// Address is where the users of a mail domain reach the proxy; not ok: they
	// cannot. nil: there is no proxy.
	Address func(domain string) (host string, port int, ok bool)
	Limits  func() Limits
	Log     *slog.Logger
}

// Limits bound what the proxy carries. Zero: the default.
type Limits struct {
	Rate     int           // bytes a second of one stream, each way; 0: not bounded
	Streams  int           // of one user, at a time; 0: 10
	All      int           // streams at a time; 0: 1,000
	Waiting  int           // connections that are not activated, at a time; 0: 512, of one address a quarter
	Patience time.Duration // with one of these; 0: 60 s
	Idle     time.Duration // with an activated stream that carries nothing; 0: 10 min
}

func (l Limits) orDefault() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.Streams, 10)
	set(&l.All, 1000)
	set(&l.Waiting, 512)
	if l.Patience == 0 {
		l.Patience = time.Minute
	}
	if l.Idle == 0 {
		l.Idle = 10 * time.Minute
	}
	return l
}

// New makes the Proxy of a host.
func New(h *feature.Host, o Options) *Proxy {
	if o.Limits == nil {
		o.Limits = func() Limits { return Limits{} }
	}
	p := newProxy(h, o)
	h.Directory.OnChange(func(c directory.Change) {
		if c.Old != nil && (c.New == nil || c.New.Disabled) {
			p.cut(c.Old.ID)
		}
	})
	return p
}

// Feature is the XMPP side. Without an Address there is none.
func (p *Proxy) Feature() feature.Feature {
	implements := []feature.XEP{feature.Implements(65, "1.8.2", feature.Complete, "the proxy, over TCP, where `listen.proxy` is set")}
	if p.opts.Address == nil {
		return feature.Feature{Name: "bytestreams", Implements: implements}
	}
	return feature.Feature{
		Name:       "bytestreams",
		Implements: implements,
		Identities: []feature.Identity{{Category: "proxy", Type: "bytestreams", Name: "File Transfer Relay", Where: feature.Service}},
		Advertise:  []feature.Advert{{Var: NS, Where: feature.Service}},
		IQ: []feature.IQ{
			feature.Get(NS, "query", feature.Service, p.address),
			feature.Set(NS, "query", feature.Service, p.activate),
		},
		Targets: []feature.Target{{Where: feature.Service, Label: label, Name: "File Transfer Relay"}},
	}
}

// mine reports an error for those who may not use the proxy (§4).
func mine(q *feature.Query) error {
	switch {
	case q.Target.Label != label || !q.To.IsDomain():
		return xmpp.NewError(xmpp.ServiceUnavailable, "")
	case q.Session == nil:
		return xmpp.NewError(xmpp.Forbidden, "this proxy is for users of "+q.Domain())
	}
	return nil
}

// address tells where the proxy is (§4).
func (p *Proxy) address(q *feature.Query, dst []byte) ([]byte, error) {
	if err := mine(q); err != nil {
		return nil, err
	}
	host, port, ok := p.opts.Address(q.Domain())
	if !ok {
		return nil, xmpp.NewError(xmpp.NotAllowed, "the proxy is not to be reached")
	}
	dst = append(dst, "<query xmlns='"+NS+"'><streamhost"...)
	dst = xmpp.AppendAttr(dst, "jid", q.To.String())
	dst = xmpp.AppendAttr(dst, "host", host)
	dst = xmpp.AppendAttr(dst, "port", strconv.Itoa(port))
	return append(dst, "/></query>"...), nil
}

// activate lets the bytes of a stream pass (§6.3.5).
func (p *Proxy) activate(q *feature.Query, dst []byte) ([]byte, error) {
	if err := mine(q); err != nil {
		return nil, err
	}
	sid, _ := q.Payload.Attr("sid")
	who := q.Payload.Node().Child(NS, "activate")
	if sid == "" || who == nil {
		return nil, xmpp.NewError(xmpp.BadRequest, "an activation names the 'sid' of the stream and its target")
	}
	target, err := xmpp.ParseJID(who.Text)
	if err != nil {
		return nil, xmpp.NewError(xmpp.JIDMalformed, "the target is no address")
	}
	switch err := p.start(hash(sid, q.From, target), q.Session.User()); err {
	case nil:
		return dst, nil
	case errNobody:
		return nil, xmpp.NewError(xmpp.ItemNotFound, "nobody is connected for a stream of this id between you and this target")
	case errAlone:
		return nil, xmpp.NewError(xmpp.NotAllowed, "one of you is not connected to the proxy")
	case errTooMany:
		return nil, xmpp.NewError(xmpp.ResourceConstraint, "too many streams are open already").WithType(xmpp.ErrorWait)
	default:
		return nil, fmt.Errorf("activating a stream: %w", err)
	}
}

// hash is the address of a stream (§6.3.2).
func hash(sid string, requester, target xmpp.JID) (a address) {
	sum := sha1.Sum([]byte(sid + requester.String() + target.String()))
	hex.Encode(a[:], sum[:])
	return a
}
