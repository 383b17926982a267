package push

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

const (
	nsSummary = "urn:xmpp:push:summary"
	nsOptions = xmpp.NSPubSub + "#publish-options"
)

const (
	// patience is how long a service has for its answer. Until then, or until it
	// has answered, there is no other publication for the same client.
	patience = 10 * time.Second

	// A service whose errors may pass is asked again by itself, first after
	// firstRetry, then after twice as long each time, up to lastRetry.
	firstRetry = time.Minute
	lastRetry  = time.Hour

	// maxTrouble is after how long without a success such errors end a registration.
	// How many there were says nothing: one busy minute of a service that starts anew
	// must not leave phones asleep until their users look at them.
	maxTrouble = 7 * 24 * time.Hour

	// maxQuiet is how long nothing may have been asked of a service for two errors to
	// be one trouble: while its client is here, nothing is.
	maxQuiet = 24 * time.Hour

	idPrefix = "push-"
)

// enqueue has a registration worked off. Call with p.mu held.
func (p *Push) enqueue(r *registration) {
	switch {
	case r.asked != "":
		r.again = true
		return
	case r.queued || p.stopped:
		return
	}
	r.queued = true
	p.queue = append(p.queue, r)
	p.begin()
}

// begin has the queue worked off. Call with p.mu held.
func (p *Push) begin() {
	if !p.working {
		p.working = true
		go p.work()
	}
}

// work works off the queue. Messages come on the store's committer, which must
// not wait for what a service does.
func (p *Push) work() {
	for {
		for s, n := range p.takeSaid() {
			p.count(s, n)
		}
		r, iq := p.next()
		switch {
		case r == nil:
			return
		case iq == nil:
			p.end(r)
		default:
			p.send(iq)
		}
	}
}

// next takes a registration from the queue and makes what is to be published,
// nil if it is to be removed.
func (p *Push) next() (*registration, *xmpp.Stanza) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 {
		r := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		r.queued = false
		owner := p.host.Directory.ByID(r.owner)
		switch {
		case r.dead:
			continue
		case r.over:
			return r, nil
		case owner == nil || owner.Disabled:
			continue
		}
		p.serial++
		r.asked, r.again = idPrefix+strconv.FormatUint(p.serial, 36), false
		st, err := xmpp.Parse(publication(r, owner.Domain))
		if err != nil {
			p.host.Log.Error("a push notification cannot be written", "error", err)
			r.asked = ""
			continue
		}
		p.waiting[r.asked] = r
		id := r.asked
		r.limit = p.host.Clock.AfterFunc(patience, func() { p.late(id) })
		return r, st
	}
	if p.queue = nil; len(p.said) > 0 {
		p.working = false
		p.begin()
		return nil, nil
	}
	p.working = false
	p.idle.Broadcast()
	return nil, nil
}

func (p *Push) takeSaid() map[said]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.said
	if len(all) > 0 {
		p.said = map[said]int{}
	}
	return all
}

// publication writes a notification for a client (§7).
func publication(r *registration, domain string) []byte {
	b := []byte("<iq type='set'")
	b = xmpp.AppendAttr(b, "id", r.asked)
	b = xmpp.AppendAttr(b, "from", domain)
	b = xmpp.AppendAttr(b, "to", r.service.String())
	b = append(b, "><pubsub xmlns='"+xmpp.NSPubSub+"'><publish"...)
	if r.node != "" {
		b = xmpp.AppendAttr(b, "node", r.node)
	}
	b = append(b, "><item><notification xmlns='"+xmpp.NSPush+"'>"...)
	b = form.New(form.TypeSubmit, nsSummary, form.Field{Var: "message-count", Values: []string{strconv.Itoa(r.count)}}).Append(b)
	b = append(b, "</notification></item></publish>"...)
	if r.options != "" {
		b = append(append(append(b, "<publish-options>"...), r.options...), "</publish-options>"...)
	}
	return append(b, "</pubsub></iq>"...)
}

func (p *Push) send(st *xmpp.Stanza) {
	p.Stats.Published.Add(1)
	err := p.host.Table.Inject(st.From, st)
	if err == nil {
		return
	}
	var e *xmpp.Error
	if !errors.As(err, &e) {
		p.host.Log.Error("a push notification was not sent", "error", err)
		e = xmpp.NewError(xmpp.InternalServerError, "")
	}
	p.answered(string(st.ID), e.Type, e.Condition)
}

// late gives up on an answer.
func (p *Push) late(id string) {
	p.mu.Lock()
	r := p.waiting[id]
	p.mu.Unlock()
	if r != nil {
		p.Stats.Lost.Add(1)
		p.answered(id, xmpp.ErrorWait, xmpp.RemoteServerTimeout)
	}
}

// accept looks for the answers of services, and for their word that nothing
// more is to be published (§8).
func (p *Push) accept(d *feature.Dispatch) error {
	st := d.Stanza
	switch {
	case st.Kind == xmpp.KindIQ && d.Where == feature.Server && strings.HasPrefix(string(st.ID), idPrefix):
		if st.Type == xmpp.TypeResult || st.Type == xmpp.TypeError {
			p.answer(d)
		}
	case st.Kind == xmpp.KindMessage && d.User != nil && d.Session == nil:
		if e := st.Child(xmpp.NSPubSub, "pubsub"); e != nil && p.revoked(d, e.Node()) {
			return feature.ErrDropped
		}
	}
	return nil
}

func (p *Push) answer(d *feature.Dispatch) {
	p.mu.Lock()
	r := p.waiting[string(d.Stanza.ID)]
	p.mu.Unlock()
	if r == nil || r.service != d.From {
		return
	}
	if d.Stanza.Type == xmpp.TypeResult {
		p.answered(string(d.Stanza.ID), "", "")
		return
	}
	kind, condition := xmpp.ErrorCancel, xmpp.UndefinedCondition
	if e := d.Stanza.Child("", "error"); e != nil {
		n := e.Node()
		kind = xmpp.ErrorType(n.Attr("type"))
		for _, c := range n.Children {
			if c.Space == xmpp.NSStanzas && c.Local != "text" {
				condition = xmpp.Condition(c.Local)
			}
		}
	}
	p.answered(string(d.Stanza.ID), kind, condition)
}

// answered takes note of the answer to a publication, no condition if it was
// taken (§7.1).
func (p *Push) answered(id string, kind xmpp.ErrorType, condition xmpp.Condition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.waiting[id]
	if r == nil {
		return
	}
	delete(p.waiting, id)
	r.asked = ""
	r.limit.Stop()
	switch {
	case r.over:
	case condition == "":
		r.failing = time.Time{}
		r.rest()
	default:
		p.Stats.Refused.Add(1)
		p.failed(r, passing(kind, condition))
	}
	if r.again {
		p.enqueue(r)
	}
}

// failed takes note of an error (§7.1). Call with p.mu held.
func (p *Push) failed(r *registration, passes bool) {
	now := p.host.Now()
	if r.failing.IsZero() || now.Sub(r.erred) >= maxQuiet {
		r.failing, r.pause = now, firstRetry
	}
	r.erred = now
	switch {
	case !passes || now.Sub(r.failing) >= maxTrouble:
		r.over, r.again = true, true
	case r.retrial == nil:
		r.retrial = p.host.Clock.AfterFunc(r.pause, func() { p.retry(r) })
		r.pause = min(2*r.pause, lastRetry)
	}
}

// retry publishes what was not taken, unless the client is here by now.
func (p *Push) retry(r *registration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.retrial = nil
	if !r.dead && !r.failing.IsZero() && r.count > 0 && !r.connected() {
		p.enqueue(r)
	}
}

// rest has a service not asked again by itself. Call with p.mu held.
func (r *registration) rest() {
	if r.retrial != nil {
		r.retrial.Stop()
		r.retrial = nil
	}
}

// connected reports whether the client is here. Call with p.mu held.
func (r *registration) connected() bool { return r.session != nil && r.session.Connected() }

// passing reports whether an error may pass by itself.
func passing(kind xmpp.ErrorType, c xmpp.Condition) bool {
	switch c {
	case xmpp.RemoteServerNotFound, xmpp.RemoteServerTimeout, xmpp.InternalServerError, xmpp.ResourceConstraint, xmpp.RecipientUnavailable:
		return true
	}
	return kind == xmpp.ErrorWait
}

// end removes a registration that its service wants nothing of.
func (p *Push) end(r *registration) {
	p.Stats.Disabled.Add(1)
	if err := p.remove(r.owner, r.service, func(node string) bool { return node == r.node }); err != nil {
		p.host.Log.Error("a push service could not be disabled", "error", err, "service", r.service.String())
		return
	}
	p.host.Log.Info("a push service was disabled by its errors", "service", r.service.String())
}

// revoked handles the news that the user may no longer publish at a node (§8).
func (p *Push) revoked(d *feature.Dispatch, n *xmpp.Node) bool {
	node, owner := n.Attr("node"), d.User.ID
	for _, a := range n.Children {
		if !a.Is(xmpp.NSPubSub, "affiliation") || a.Attr("affiliation") != "none" || a.Attr("jid") != d.User.JID.String() {
			continue
		}
		p.mu.Lock()
		found := false
		for _, r := range p.owners[owner] {
			if r.service == d.From && r.node == node {
				found, r.over = true, true
				p.enqueue(r)
			}
		}
		p.mu.Unlock()
		return found
	}
	return false
}

// Settle waits until the queue is worked off.
func (p *Push) Settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.working {
		p.idle.Wait()
	}
}

// stop is Settle, and nothing is published any more.
func (p *Push) stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.Settle()
}
