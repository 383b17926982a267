package roster

import (
	"errors"
	"fmt"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// What is saved of a session are lines: the version of the list that its client
// has, empty if it did not ask for one, and to whom it sent its presence directly.

// save returns that (feature.Restart).
func (r *Roster) save(s *router.Session) []byte {
	c, ok := slot.Peek(s.Account())
	if !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded {
		return nil
	}
	var b []byte
	if s.Has(Interested) {
		v := r.announced(s.JID().Domain())
		v.personal = c.meta.rev()
		b = v.append(b)
	}
	for _, j := range c.directed[s] {
		b = append(append(b, '\n'), j.String()...)
	}
	return append(b, '\n')
}

// restore puts a session back on the board: colleagues see it as they did. What
// changed in its list while the server was down is pushed; if that cannot be
// told, its client has to begin anew.
func (r *Roster) restore(s *router.Session, saved []byte) error {
	if saved == nil {
		return nil
	}
	c, err := r.contacts(s.Account())
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(saved), "\n"), "\n")
	for _, line := range lines[1:] {
		j, err := xmpp.ParseJID(line)
		if err != nil {
			return err
		}
		c.direct(s, j, r.opts.Limits.Directed)
	}
	user := r.dir.ByID(s.User())
	if p := s.Presence(); p.Available {
		seen := user
		if user == nil || user.Disabled || user.JID != s.JID().Bare() {
			// It is about to end, and who saw it is to see that.
			seen = &directory.User{ID: s.User(), JID: s.JID().Bare(), Local: s.JID().Local(), Domain: s.JID().Domain()}
			if user != nil {
				seen.Groups = user.Groups
			}
		}
		now := stand{seen, r.reach(r.dir.Domain(seen.Domain).Snapshot())}
		r.boards[seen.Domain].set(s, now, p.Stanza)
	}
	if lines[0] == "" || user == nil {
		return nil
	}
	return r.catchUp(s, user, c, lines[0])
}

var errChanged = errors.New("what changed in the roster cannot be told")

// catchUp pushes what changed in a list since a version.
func (r *Roster) catchUp(s *router.Session, user *directory.User, c *contacts, version string) error {
	base, ok := parseVersion(version)
	if !ok {
		return fmt.Errorf("%q is no version of a roster", version)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	updates, ok := r.since(user, c, base)
	if !ok {
		return errChanged
	}
	r.update(nil, s, base, updates)
	return nil
}
