package push

import (
	"encoding/binary"
	"errors"

	"confab/xmpp/router"
)

// What is saved of a session are the registrations that it made, by their keys,
// each with whether what it did not acknowledge is counted, and the count.

func (p *Push) save(s *router.Session) (b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.owners[s.User()] {
		if r.session != s {
			continue
		}
		told := byte(0)
		if r.told {
			told = 1
		}
		k := r.key()
		b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
		b = binary.AppendUvarint(append(b, told), uint64(r.count))
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
		told := rest[0] == 1
		count, size := binary.Uvarint(rest[1:])
		if size <= 0 {
			return errSaved
		}
		saved = rest[1+size:]
		for _, r := range p.owners[s.User()] {
			if string(r.key()) == key {
				r.session, r.told, r.count = s, told, int(count)
			}
		}
	}
	return nil
}
