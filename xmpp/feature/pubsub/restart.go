package pubsub

import (
	"encoding/binary"
	"errors"
	"slices"

	"confab/xmpp/router"
)

// What is saved of a client that is in the audience: what it says of itself and
// whether that holds for it alone, whether it was still to get last items, and
// if it is known what it wants to be told of, that.

const (
	savedAlone = 1 << iota
	savedUnfinished
	savedKnown
	savedShared // it was verified: others who say the same want the same
)

// save returns that (feature.Restart).
func (p *PubSub) save(s *router.Session) []byte {
	x := p.audience(s.JID().Domain())
	unfinished := x.pace.serves(s)
	cl := x.client(s)
	if cl == nil {
		return nil
	}
	var flags byte
	if p.book.shares(cl) {
		flags |= savedShared
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	if cl.key.session != nil {
		flags |= savedAlone
	}
	if unfinished {
		flags |= savedUnfinished
	}
	words := []string{cl.key.node, cl.key.ver, cl.key.hash}
	if cl.caps != nil {
		flags |= savedKnown
		words = append(words, cl.caps.notify...)
	}
	b := []byte{flags}
	for _, w := range words {
		b = append(binary.AppendUvarint(b, uint64(len(w))), w...)
	}
	return b
}

var errSaved = errors.New("pubsub: what was saved of a client is damaged")

// restore makes a session one of the audience again. It has the last items.
func (p *PubSub) restore(s *router.Session, saved []byte) error {
	if len(saved) == 0 {
		return nil
	}
	flags, saved := saved[0], saved[1:]
	var words []string
	for len(saved) > 0 {
		n, size := binary.Uvarint(saved)
		if size <= 0 || n > uint64(len(saved)-size) {
			return errSaved
		}
		words = append(words, string(saved[size:size+int(n)]))
		saved = saved[size+int(n):]
	}
	if len(words) < 3 {
		return errSaved
	}
	key := capsKey{node: words[0], ver: words[1], hash: words[2]}
	if flags&savedAlone != 0 {
		key.session = s
	}
	x := p.audience(s.JID().Domain())
	cl, _, _ := x.enter(s, key, true)
	if flags&savedKnown != 0 {
		x.learn(cl, key, p.book.remember(key, words[3:], flags&savedShared != 0))
	}
	if flags&savedUnfinished != 0 {
		x.mu.Lock()
		cl.unfinished = true
		x.mu.Unlock()
	}
	return nil
}

// shares reports whether what a client wants to be told of holds for all who say
// the same of themselves.
func (b *book) shares(cl *Client) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[cl.key] != nil
}

// remember notes what a client wants to be told of; with shared, for all who say the same.
func (b *book) remember(key capsKey, notify []string, shared bool) *capabilities {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.known[key]; c != nil && slices.Equal(c.notify, notify) {
		return c
	}
	c := &capabilities{notify: notify}
	if shared && len(b.known) < maxKnown {
		b.known[key] = c
	}
	return c
}

// client returns a session's place in the audience, nil if it has none.
func (x *audience) client(s *router.Session) *Client {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.clients[s]
}

// resumed goes on with what a client was to get when its connection was lost, or
// the server stopped.
func (p *PubSub) resumed(s *router.Session) {
	x := p.audience(s.JID().Domain())
	x.pace.resume(s)
	x.mu.Lock()
	cl := x.clients[s]
	var key capsKey
	unfinished, unknown := false, false
	var wanted []string
	if cl != nil {
		unfinished, key = cl.unfinished, cl.key
		unknown = cl.caps == nil && key != (capsKey{})
		if cl.unfinished = false; cl.caps != nil {
			wanted = cl.caps.notify
		}
	}
	x.mu.Unlock()
	if unknown {
		if c := p.book.find(key, cl); c != nil {
			p.learned(cl, key, c)
		}
	}
	if unfinished {
		p.lasts(cl, wanted)
	}
}

// serves reports whether a session is still to get last items.
func (c *pacer) serves(s *router.Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := func(j *job) bool { return j.client.session == s }
	return slices.ContainsFunc(c.jobs, mine) || slices.ContainsFunc(c.parked, mine)
}
