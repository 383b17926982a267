package pubsub

import (
	"cmp"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// capsKey is what a client says of itself in its presence (XEP-0115 §4).
type capsKey struct {
	node, ver, hash string
	session         *router.Session // whom it is of, if it cannot be verified
}

// capabilities is what is known of all clients that say the same of themselves.
type capabilities struct {
	notify []string // the nodes that they want to be told of, in order
}

var nothing = &capabilities{}

// hashes are those that a verification string can be checked with.
var hashes = map[string]func() hash.Hash{
	"sha-1": sha1.New, "sha-256": sha256.New, "sha-512": sha512.New,
}

const (
	maxKnown   = 4096 // verification strings that are remembered
	maxNotify  = 128  // nodes that a client is told of
	maxWanted  = 8192 // bytes of their names together
	maxCaps    = 1024 // bytes of what a client says of itself
	askTimeout = 30 * time.Second
)

// capsOf reads what a presence says; ok is false if it says nothing.
func capsOf(s *router.Session, st *xmpp.Stanza) (k capsKey, ok bool) {
	c := st.Child(xmpp.NSCaps, "c")
	if c == nil || len(c.Raw) > maxCaps {
		return k, false
	}
	k.node, _ = c.Attr("node")
	k.ver, _ = c.Attr("ver")
	k.hash, _ = c.Attr("hash")
	if k.ver == "" {
		return k, false
	}
	if hashes[k.hash] == nil { // §5.4: it holds for this one client
		k.session = s
	}
	return k, true
}

// book is what is known of the capabilities of clients. One of those that say
// the same is asked; what it answers holds for all of them if its hash is right.
type book struct {
	p *PubSub

	mu      sync.Mutex
	known   map[capsKey]*capabilities
	asking  map[capsKey]*question
	answers map[string]*question  // by the id of the request
	busy    map[*Client]*question // by who is asked: one thing at a time, however often he says another
}

// question is a request to a client to tell what it can do.
type question struct {
	key     capsKey
	id      string
	asked   *Client
	waiting []*Client // others who say the same
	late    bool      // nobody else says the same, so the answer may come whenever it comes
	timer   xmpp.Timer
}

// find returns the capabilities if they are known, and asks for them if not.
func (b *book) find(key capsKey, cl *Client) *capabilities {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.known[key]; c != nil {
		return c
	}
	if q := b.asking[key]; q != nil {
		if !slices.Contains(q.waiting, cl) && (q.asked != cl || q.late) {
			q.waiting = append(q.waiting, cl)
		}
		if q.late {
			if q.late = false; q.asked != cl {
				q.waiting = append(q.waiting, q.asked)
			}
			b.next(q)
		}
		return nil
	}
	q := &question{key: key, asked: cl}
	b.asking[key] = q
	b.ask(q)
	return nil
}

// ask sends the request. Call with b.mu held.
func (b *book) ask(q *question) {
	if old := b.busy[q.asked]; old != nil {
		b.next(old)
	}
	q.id = "caps-" + rand.Text()
	b.answers[q.id], b.busy[q.asked] = q, q
	id := q.id
	q.timer = b.p.host.Clock.AfterFunc(askTimeout, func() { b.giveUp(id) })
	domain := q.asked.jid.DomainJID()
	iq := xmpp.AppendAttr([]byte("<iq type='get'"), "from", domain.String())
	iq = append(iq, q.asked.to...)
	iq = xmpp.AppendAttr(iq, "id", q.id)
	iq = append(iq, "><query xmlns='"+xmpp.NSDiscoInfo+"'"...)
	if q.key.session == nil { // XEP-0115 §6.2
		iq = xmpp.AppendAttr(iq, "node", q.key.node+"#"+q.key.ver)
	}
	q.asked.session.Send(nil, append(iq, "/></iq>"...))
}

// giveUp asks the next one if a request is not answered in time.
func (b *book) giveUp(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.answers[id]
	if q == nil {
		return
	}
	if q.late = len(q.waiting) == 0; !q.late {
		b.next(q)
	}
}

// next asks the next client that says the same. Call with b.mu held.
func (b *book) next(q *question) {
	delete(b.answers, q.id)
	delete(b.busy, q.asked)
	q.timer.Stop()
	for len(q.waiting) > 0 {
		cl := q.waiting[0]
		q.waiting = q.waiting[1:]
		if cl.session.Connected() {
			q.asked = cl
			b.ask(q)
			return
		}
	}
	delete(b.asking, q.key)
}

// gone notes that a session will not answer any more.
func (b *book) gone(s *router.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.answers {
		if q.asked.session == s {
			b.next(q)
		}
	}
	for k := range b.known {
		if k.session == s {
			delete(b.known, k)
		}
	}
}

// answered takes the answer of a client. Only who was asked may answer.
func (b *book) answered(d *feature.Dispatch) {
	b.mu.Lock()
	q := b.answers[string(d.Stanza.ID)]
	if q == nil || q.asked.session != d.Session {
		b.mu.Unlock()
		return
	}
	caps, verified := nothing, false
	if e := d.Stanza.Child(xmpp.NSDiscoInfo, "query"); e != nil && d.Stanza.Type == xmpp.TypeResult {
		info := e.Node()
		caps = &capabilities{notify: wants(info)}
		ver, sound := verification(info, q.key.hash)
		verified = sound && ver == q.key.ver || q.key.session != nil
	}
	ready := []*Client{q.asked}
	if verified {
		ready = append(ready, q.waiting...)
		q.waiting = nil
		if len(b.known) >= maxKnown {
			for k := range b.known {
				delete(b.known, k)
				break
			}
		}
		b.known[q.key] = caps
	}
	b.next(q)
	b.mu.Unlock()
	// §5.4: an answer whose hash is wrong holds for nobody else.
	for _, cl := range ready {
		b.p.learned(cl, q.key, caps)
	}
}

// wants returns the nodes that a client wants to be told of (XEP-0060 §9.2).
func wants(info *xmpp.Node) (nodes []string) {
	left := maxWanted
	for _, n := range info.Children {
		if name, ok := strings.CutSuffix(n.Attr("var"), "+notify"); ok && n.Is(xmpp.NSDiscoInfo, "feature") &&
			name != "" && len(name) <= min(maxName, left) && len(nodes) < maxNotify {
			nodes = append(nodes, strings.Clone(name))
			left -= len(name)
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// verification computes the verification string of an answer (XEP-0115 §5.1).
// An answer that is ill-formed has none (§5.4).
func verification(info *xmpp.Node, name string) (ver string, sound bool) {
	if hashes[name] == nil {
		return "", false
	}
	var identities, features []string
	var forms [][]string
	sound = true
	for _, n := range info.Children {
		switch {
		case n.Is(xmpp.NSDiscoInfo, "identity"):
			lang, _ := n.LookupNS(xmpp.NSXML, "lang")
			identities = append(identities, n.Attr("category")+"/"+n.Attr("type")+"/"+lang+"/"+n.Attr("name"))
		case n.Is(xmpp.NSDiscoInfo, "feature"):
			features = append(features, n.Attr("var"))
		case n.Is(xmpp.NSDataForms, "x"):
			words, fine := formWords(n)
			sound = sound && fine
			if words != nil {
				forms = append(forms, words)
			}
		}
	}
	slices.Sort(identities)
	slices.Sort(features)
	slices.SortFunc(forms, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	for i := 1; i < len(forms); i++ {
		sound = sound && forms[i][0] != forms[i-1][0]
	}
	if !sound || twice(identities) || twice(features) {
		return "", false
	}
	h := hashes[name]()
	for _, w := range slices.Concat(identities, features, slices.Concat(forms...)) {
		// §5.4 has no way to write '<' in a word: it would end it.
		if strings.Contains(w, "<") {
			return "", false
		}
		io.WriteString(h, w+"<")
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), true
}

func twice(sorted []string) bool {
	return len(slices.Compact(slices.Clone(sorted))) != len(sorted)
}

// formWords is what a form adds to the string: its type, then its fields, in
// order, each with its values. It is nil for a form that does not count.
func formWords(x *xmpp.Node) (words []string, sound bool) {
	type field struct {
		name   string
		values []string
	}
	var fields []field
	purpose := ""
	for _, f := range x.Children {
		if !f.Is(xmpp.NSDataForms, "field") {
			continue
		}
		var values []string
		for _, v := range f.Children {
			if v.Is(xmpp.NSDataForms, "value") {
				values = append(values, v.Text)
			}
		}
		slices.Sort(values)
		if f.Attr("var") != "FORM_TYPE" {
			fields = append(fields, field{f.Attr("var"), values})
			continue
		}
		if f.Attr("type") == "hidden" && len(values) > 0 {
			purpose = values[0]
			if len(slices.Compact(values)) > 1 {
				return nil, false
			}
		}
	}
	if purpose == "" {
		return nil, true
	}
	slices.SortStableFunc(fields, func(a, b field) int { return cmp.Compare(a.name, b.name) })
	words = []string{purpose}
	for _, f := range fields {
		words = append(append(words, f.name), f.values...)
	}
	return words, true
}
