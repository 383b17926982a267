package push

import (
	"encoding/binary"
	"errors"

	"confab/xmpp/router"
)

// What is saved of a session are the registrations that it made, by their keys,
// each with what holds of it, and the count.

const (
	savedTold = 1 << iota // what it did not acknowledge is counted
	savedOwed             // and no service has taken the count
)

func (p *Push) save(s *router.Session) (b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.owners[s.User()] {
		if r.session != s {
			continue
		}
		var flags byte
		if r.told {
			flags |= savedTold
		}
		if r.queued || r.asked != "" || !r.failing.IsZero() {
			flags |= savedOwed
		}
		k := r.key()
		b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
		b = binary.AppendUvarint(append(b, flags), uint64(r.count))
	}
	return b
}

var errSaved = errors.New("push: what was saved is damaged")

func (p *Push) restore(s *router.Session, saved []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(saved) > 0 {
		n, size := binary.Uvarint(saved)
		if size <= 0 || n >= uint64(len(saved)-size) {
			return errSaved
		}
		key, rest := string(saved[size:size+int(n)]), saved[size+int(n):]
		flags := rest[0]
		count, size := binary.Uvarint(rest[1:])
		if size <= 0 {
			return errSaved
		}
		saved = rest[1+size:]
		for _, r := range p.owners[s.User()] {
			if string(r.key()) == key {
				r.session, r.told, r.count = s, flags&savedTold != 0, int(count)
				if flags&savedOwed != 0 {
					p.failed(r, true) // services are not there before this server is
				}
			}
		}
	}
	return nil
}
